//! A client that signs, for the tests of this package.

use http_body_util::BodyExt;
use hyper::HeaderMap;
use hyper::header::HeaderValue;
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use super::authorization::Authorization;
use super::gateway;
use super::request::Request;
use super::signature;
use crate::{Cloud, Simulator};

#[derive(Clone)]
pub(crate) struct Client {
    pub(crate) access_key: String,
    pub(crate) secret_key: String,
    pub(crate) session_token: Option<String>,
    pub(crate) region: String,
    pub(crate) service: String,
    /// How far its clock is ahead.
    pub(crate) skew_seconds: i64,
    pub(crate) signed_headers: Vec<String>,
}

impl Client {
    pub(crate) fn new(access_key: &str, secret_key: &str) -> Self {
        Self {
            access_key: access_key.to_owned(),
            secret_key: secret_key.to_owned(),
            session_token: None,
            region: Simulator::REGION.to_owned(),
            service: "ecs".to_owned(),
            skew_seconds: 0,
            signed_headers: vec!["host".to_owned(), "x-date".to_owned()],
        }
    }

    /// The client of the account that is there from the start.
    pub(crate) fn usual() -> Self {
        Self::new(Simulator::ACCESS_KEY, Simulator::SECRET_KEY)
    }

    /// A signed `GET` of `DescribeTasks` with more parameters, each with a leading `&`.
    pub(crate) fn describe(&self, parameters: &str) -> Request {
        self.signed("GET", &format!("Action=DescribeTasks&Version=2020-04-01{parameters}"))
    }

    pub(crate) fn signed(&self, method: &str, query: &str) -> Request {
        let mut request = Request::new(method, "/", query, HeaderMap::new(), "".into());
        let now = Timestamp::now() + SignedDuration::from_secs(self.skew_seconds);
        let x_date = now.strftime("%Y%m%dT%H%M%SZ").to_string();
        let mut authorization = Authorization {
            access_key: self.access_key.clone(),
            date: x_date[..8].to_owned(),
            region: self.region.clone(),
            service: self.service.clone(),
            signed_headers: self.signed_headers.clone(),
            signature: String::new(),
        };
        set(&mut request, "host", "open.volcengineapi.com");
        set(&mut request, "x-date", &x_date);
        if let Some(token) = &self.session_token {
            set(&mut request, "x-security-token", token);
        }
        authorization.signature = signature::tests::sign(&request, &authorization, &x_date, &self.secret_key);
        let scope = authorization.scope();
        let Authorization { access_key, signed_headers, signature, .. } = authorization;
        let header = format!(
            "HMAC-SHA256 Credential={access_key}/{scope}, SignedHeaders={}, Signature={signature}",
            signed_headers.join(";")
        );
        set(&mut request, "authorization", &header);
        request
    }

    /// Asks without a socket; gives the HTTP status and the JSON of the answer.
    pub(crate) async fn ask(&self, cloud: &Cloud, parameters: &str) -> (u16, Value) {
        ask(cloud, &self.describe(parameters)).await
    }
}

/// Asks without a socket; gives the HTTP status and the JSON of the answer.
pub(crate) async fn ask(cloud: &Cloud, request: &Request) -> (u16, Value) {
    let response = gateway::answer(cloud, request).await.unwrap();
    let status = response.status().as_u16();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    (status, serde_json::from_slice(&body).unwrap())
}

/// A cloud with the account that is there from the start.
pub(crate) fn cloud() -> Cloud {
    let cloud = Cloud::new();
    cloud.add_account(Simulator::ACCESS_KEY, Simulator::SECRET_KEY);
    cloud
}

pub(crate) fn set(request: &mut Request, name: &'static str, value: &str) {
    request.headers.insert(name, HeaderValue::from_str(value).unwrap());
}
