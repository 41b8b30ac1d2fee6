//! A request as it came in.

use hyper::HeaderMap;
use hyper::body::Bytes;

use super::authorization::Authorization;
use super::query::Query;
use crate::Call;

#[derive(Clone, Debug, Default)]
pub(crate) struct Request {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) query: Query,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Request {
    pub(crate) fn new(method: &str, path: &str, query: &str, headers: HeaderMap, body: Bytes) -> Self {
        Self { method: method.to_owned(), path: path.to_owned(), query: Query::parse(query), headers, body }
    }

    /// The values of a header as one text; none when the header is absent.
    pub(crate) fn header(&self, name: &str) -> Option<String> {
        let mut values = self.headers.get_all(name).iter().peekable();
        values.peek()?;
        let texts = values.map(|value| String::from_utf8_lossy(value.as_bytes()).trim().to_owned());
        Some(texts.collect::<Vec<_>>().join(","))
    }

    /// Whom and what the request claims to be signed for, unproved.
    pub(crate) fn claimed(&self) -> Option<Authorization> {
        Authorization::parse(&self.header("authorization")?).ok()
    }

    /// What the journal keeps of the request, which need not be a valid one.
    pub(crate) fn call(&self, at_ms: u64) -> Call {
        let claimed = self.claimed();
        let (access_key, region) = claimed.map(|claimed| (claimed.access_key, claimed.region)).unwrap_or_default();
        let text = |name| self.query.get(name).map(|value| value.into_owned());
        Call {
            at_ms,
            access_key,
            region,
            action: text("Action").unwrap_or_default(),
            task_ids: self.query.list("TaskIds"),
            resource_ids: self.resource_ids(),
            max_results: text("MaxResults"),
            next_token: text("NextToken").is_some_and(|token| !token.is_empty()),
            outcome: None,
        }
    }

    /// `ResourceIds.N`, and the legacy `ResourceId` as one more of them.
    pub(crate) fn resource_ids(&self) -> Vec<String> {
        let mut ids = self.query.list("ResourceIds");
        ids.extend(self.query.get("ResourceId").map(|id| id.into_owned()));
        ids
    }
}
