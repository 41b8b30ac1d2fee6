//! The envelope of every answer: metadata, and a result or an error.

use hyper::body::Bytes;
use hyper::header::{CONTENT_LENGTH, CONTENT_TYPE, DATE, HeaderName, HeaderValue, RETRY_AFTER};
use hyper::{Response, StatusCode};
use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::assume_role;
use super::error::ApiError;
use super::payload::Payload;
use super::request::Request;
use crate::clock;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-top-request-id");
const SERVICE: HeaderName = HeaderName::from_static("x-top-service");
const REGION: HeaderName = HeaderName::from_static("x-top-region");

/// What an answer says about its request.
pub(crate) struct Metadata {
    request_id: String,
    action: String,
    version: String,
    service: String,
    region: String,
    date: Timestamp,
}

impl Metadata {
    /// `number` makes the request id unique.
    pub(crate) fn of(request: &Request, now: Timestamp, number: u64) -> Self {
        let text = |name| request.query.get(name).unwrap_or_default().into_owned();
        let (service, region) = match request.claimed() {
            Some(claimed) => (claimed.service, claimed.region),
            None if assume_role::is_asked(request) => ("sts".to_owned(), String::new()),
            None => Default::default(),
        };
        Self {
            // As long as the documentation's 202106111445100102252431000052****.
            request_id: format!("{}{number:020}", clock::request_id_time(now)),
            action: text("Action"),
            version: text("Version"),
            service,
            region,
            date: now,
        }
    }

    /// The JSON body: `Result` on success only.
    pub(crate) fn body(&self, result: Result<Value, ApiError>) -> Bytes {
        let mut metadata = json!({
            "RequestId": self.request_id,
            "Action": self.action,
            "Version": self.version,
            "Service": self.service,
            "Region": self.region,
        });
        let mut document = Map::new();
        match result {
            Ok(value) => drop(document.insert("Result".to_owned(), value)),
            Err(error) => metadata["Error"] = error_json(&error),
        }
        document.insert("ResponseMetadata".to_owned(), metadata);
        Bytes::from(Value::Object(document).to_string())
    }

    /// The HTTP response around a body.
    pub(crate) fn response(
        &self,
        status: u16,
        content_type: &str,
        body: Payload,
        retry_after: Option<&str>,
    ) -> Response<Payload> {
        let length = body.announced().map(|length| length.to_string());
        let date = clock::http_date(self.date);
        let headers = [
            (CONTENT_TYPE, Some(content_type)),
            (CONTENT_LENGTH, length.as_deref()),
            (DATE, date.as_deref()),
            (RETRY_AFTER, retry_after),
            (REQUEST_ID, Some(&*self.request_id)),
            (SERVICE, Some(&*self.service)),
            (REGION, Some(&*self.region)),
        ];
        let mut response = Response::new(body);
        // A fault may order a number that is no HTTP status.
        *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        for (name, value) in headers {
            let value = value.and_then(|value| HeaderValue::from_str(value).ok());
            response.headers_mut().extend(value.map(|value| (name, value)));
        }
        response
    }
}

fn error_json(error: &ApiError) -> Value {
    let mut json = json!({ "Code": error.code, "Message": error.message });
    if let Some(number) = error.number {
        json["CodeN"] = json!(number);
    }
    json
}
