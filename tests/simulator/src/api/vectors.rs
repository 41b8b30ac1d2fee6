//! The signature vectors of official clients, for tests.

use hyper::HeaderMap;
use hyper::header::{HeaderName, HeaderValue};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Map, Value};

use super::request::Request;

const FILE: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../signature/vectors.json"));

/// A request that is known to be signed correctly by a header.
pub(super) struct Vector {
    pub(super) name: String,
    pub(super) access_key: String,
    pub(super) secret_key: String,
    pub(super) session_token: Option<String>,
    pub(super) x_date: String,
    pub(super) headers: Map<String, Value>,
    pub(super) authorization: String,
    pub(super) output: Value,
    input: Value,
    other_sdks: Map<String, Value>,
}

impl Vector {
    pub(super) fn all() -> Vec<Self> {
        let file: Value = serde_json::from_str(FILE).unwrap();
        let vectors = file["vectors"].as_array().unwrap();
        vectors.iter().filter(|vector| text(vector, "kind").starts_with("header")).map(Self::read).collect()
    }

    /// The request with these headers beside the ones that were signed first.
    pub(super) fn request(&self, headers: &Map<String, Value>, authorization: &str) -> Request {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            set(&mut map, name, value.as_str().unwrap());
        }
        set(&mut map, "authorization", authorization);
        set(&mut map, "x-date", &self.x_date);
        let pairs = self.input["query"].as_array().unwrap().iter();
        // Spaces as the official SDKs send them, in the order in which they were given.
        let encode = |value: &Value| {
            utf8_percent_encode(value.as_str().unwrap(), NON_ALPHANUMERIC).to_string().replace("%20", "+")
        };
        let query: Vec<_> = pairs.map(|pair| format!("{}={}", encode(&pair[0]), encode(&pair[1]))).collect();
        let body = text(&self.input, "body").into();
        Request::new(&text(&self.input, "method"), &text(&self.input, "path"), &query.join("&"), map, body)
    }

    /// The same call as the other SDKs sign it.
    pub(super) fn as_other_sdks_sign_it(&self) -> Vec<Request> {
        let others = self.other_sdks.values().filter(|other| other["authorization"].is_string());
        let request = |other: &Value| {
            let mut headers = self.headers.clone();
            headers.extend(other["headers_added_before_signing"].as_object().cloned().unwrap_or_default());
            self.request(&headers, &text(other, "authorization"))
        };
        others.map(request).collect()
    }

    fn read(vector: &Value) -> Self {
        let (input, output) = (vector["input"].clone(), vector["output"].clone());
        let sent = output["headers_to_send"].as_object().or_else(|| input["headers"].as_object());
        Self {
            name: text(vector, "name"),
            access_key: text(&input, "access_key"),
            secret_key: text(&input, "secret_key"),
            session_token: input["session_token"].as_str().map(str::to_owned),
            x_date: text(&input, "x_date"),
            headers: sent.unwrap().clone(),
            authorization: text(&output, "authorization"),
            other_sdks: vector["other_sdks"].as_object().cloned().unwrap_or_default(),
            output,
            input,
        }
    }
}

fn text(value: &Value, name: &str) -> String {
    value[name].as_str().unwrap().to_owned()
}

fn set(headers: &mut HeaderMap, name: &str, value: &str) {
    let name: HeaderName = name.parse().unwrap();
    headers.insert(name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
}
