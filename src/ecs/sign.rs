//! The request signature, step by step and without a clock (docs 6369/67268 to 67270).
//!
//! ```text
//! canonical request = method, path, query, headers, signed header names, hex(sha256(payload))
//! string to sign    = "HMAC-SHA256", date, scope, hex(sha256(canonical request))
//! signing key       = hmac(hmac(hmac(hmac(secret, day), region), service), "request")
//! signature         = hex(hmac(signing key, string to sign))
//! ```

use hmac::{Hmac, KeyInit, Mac};
use k8s_openapi::jiff::Timestamp;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use secrecy::{ExposeSecret, SecretBox, SecretString};
use sha2::{Digest, Sha256};

use crate::credentials::Credentials;

/// What is signed of a request: what is not listed here may change on the way.
pub(super) struct Request<'a> {
    pub method: &'a str,
    pub path: &'a str,
    /// As [`canonical_query`] made it, which is also how it must be sent.
    pub query: &'a str,
    /// Names in lower case, in any order. A host may carry a port.
    pub headers: &'a [(&'a str, &'a str)],
    /// Lower-case hexadecimal SHA-256 of the body.
    pub payload_hash: &'a str,
}

/// Where and when a signature counts.
pub(super) struct CredentialScope<'a> {
    /// `YYYYMMDDTHHMMSSZ`, as [`date`] makes it and as `X-Date` says it.
    pub date: &'a str,
    pub region: &'a str,
    pub service: &'a str,
}

/// Lower-case hexadecimal SHA-256 of no body at all.
pub(super) const EMPTY_PAYLOAD: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

/// The value of `Authorization`.
pub(super) fn authorization(request: &Request<'_>, scope: &CredentialScope<'_>, credentials: &Credentials) -> String {
    let key = signing_key(credentials.secret_key(), scope);
    let signature = hex::encode(hmac(key.expose_secret(), &string_to_sign(scope, &canonical_request(request))));
    format!(
        "{ALGORITHM} Credential={}/{}, SignedHeaders={}, Signature={signature}",
        credentials.access_key(),
        scope.path(),
        signed_headers(request),
    )
}

/// `YYYYMMDDTHHMMSSZ`, in UTC.
pub(super) fn date(now: Timestamp) -> String {
    now.strftime("%Y%m%dT%H%M%SZ").to_string()
}

/// `a=1&b=x%20y`: sorted by name, everything but letters, digits and `-_.~` escaped.
pub(super) fn canonical_query(mut parameters: Vec<(&str, &str)>) -> String {
    parameters.sort_unstable();
    let mut query = String::with_capacity(parameters.iter().map(|(name, value)| name.len() + value.len() + 2).sum());
    for (name, value) in parameters {
        query.push_str(if query.is_empty() { "" } else { "&" });
        query.extend(utf8_percent_encode(name, ESCAPED));
        query.push('=');
        query.extend(utf8_percent_encode(value, ESCAPED));
    }
    query
}

const ALGORITHM: &str = "HMAC-SHA256";
const TERMINATOR: &str = "request";

/// All but the unreserved characters of RFC 3986.
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

impl CredentialScope<'_> {
    fn day(&self) -> &str {
        self.date.split('T').next().unwrap_or_default()
    }

    fn path(&self) -> String {
        format!("{}/{}/{}/{TERMINATOR}", self.day(), self.region, self.service)
    }
}

fn canonical_request(request: &Request<'_>) -> String {
    let headers: String = sorted(request.headers)
        .into_iter()
        .map(|(name, value)| format!("{name}:{}\n", canonical_value(name, value)))
        .collect();
    [request.method, request.path, request.query, &headers, &signed_headers(request), request.payload_hash].join("\n")
}

fn signed_headers(request: &Request<'_>) -> String {
    let names: Vec<&str> = sorted(request.headers).into_iter().map(|(name, _)| name).collect();
    names.join(";")
}

fn string_to_sign(scope: &CredentialScope<'_>, canonical_request: &str) -> String {
    let hash = hex::encode(Sha256::digest(canonical_request));
    [ALGORITHM, scope.date, &scope.path(), &hash].join("\n")
}

fn signing_key(secret: &SecretString, scope: &CredentialScope<'_>) -> SecretBox<[u8; 32]> {
    let start = hmac(secret.expose_secret().as_bytes(), scope.day());
    SecretBox::new(Box::new(
        [scope.region, scope.service, TERMINATOR].into_iter().fold(start, |key, part| hmac(&key, part)),
    ))
}

fn hmac(key: &[u8], message: &str) -> [u8; 32] {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of any length");
    mac.update(message.as_bytes());
    mac.finalize().into_bytes().into()
}

fn sorted<'a>(headers: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    let mut sorted = headers.to_vec();
    sorted.sort_unstable();
    sorted
}

/// The official signers drop these two ports from the host whatever the scheme; other ports stay.
fn canonical_value<'a>(name: &str, value: &'a str) -> &'a str {
    let value = value.trim();
    if name != "host" {
        return value;
    }
    value.strip_suffix(":443").or_else(|| value.strip_suffix(":80")).unwrap_or(value)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::{any, prop, prop_assert, prop_assert_eq, proptest};
    use serde::Deserialize;

    use super::*;

    #[derive(Deserialize)]
    struct Vectors {
        vectors: Vec<Vector>,
    }

    #[derive(Deserialize)]
    struct Vector {
        name: String,
        kind: String,
        input: Input,
        output: BTreeMap<String, serde_json::Value>,
    }

    #[derive(Deserialize)]
    struct Input {
        method: String,
        host: Option<String>,
        path: String,
        query: Vec<(String, String)>,
        headers: BTreeMap<String, String>,
        body: String,
        access_key: String,
        secret_key: String,
        session_token: Option<String>,
        x_date: String,
        region: String,
        service: String,
        signed_headers: Option<Vec<String>>,
    }

    /// Every vector whose signature travels in the header, as the official SDKs and documents made them.
    fn vectors() -> Vec<Vector> {
        let text = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/signature/vectors.json"));
        let all: Vectors = serde_json::from_str(text).unwrap();
        all.vectors.into_iter().filter(|vector| vector.kind.starts_with("header")).collect()
    }

    impl Vector {
        fn expected(&self, stage: &str) -> Option<&str> {
            self.output.get(stage).and_then(serde_json::Value::as_str)
        }

        #[track_caller]
        fn check(&self, stage: &str, found: &str) {
            assert_eq!(Some(found), self.expected(stage), "{stage} of {}", self.name);
        }
    }

    impl Input {
        fn query(&self) -> String {
            canonical_query(self.query.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect())
        }

        fn payload_hash(&self) -> String {
            hex::encode(Sha256::digest(&self.body))
        }

        /// What the vector's client signs: chosen by hand, or all that the Python signer takes.
        fn signed(&self, payload_hash: &str) -> Vec<(String, String)> {
            let mut headers: BTreeMap<String, String> =
                self.headers.iter().map(|(name, value)| (name.to_lowercase(), value.clone())).collect();
            headers.extend(self.host.clone().map(|host| ("host".to_owned(), host)));
            headers.insert("x-date".to_owned(), self.x_date.clone());
            headers.insert("x-content-sha256".to_owned(), payload_hash.to_owned());
            headers.extend(self.session_token.clone().map(|token| ("x-security-token".to_owned(), token)));
            let taken = |name: &String| match &self.signed_headers {
                Some(names) => names.contains(name),
                None => name.starts_with("x-") || ["host", "content-type", "content-md5"].contains(&name.as_str()),
            };
            headers.into_iter().filter(|(name, _)| taken(name)).collect()
        }

        fn credentials(&self) -> Credentials {
            Credentials::from_pairs(|name| match name {
                crate::credentials::ACCESS_KEY => Some(self.access_key.clone().into()),
                crate::credentials::SECRET_KEY => Some(self.secret_key.clone().into()),
                _ => None,
            })
            .unwrap()
        }
    }

    #[test]
    fn every_stage_equals_what_the_official_signers_computed() {
        for vector in vectors() {
            let input = &vector.input;
            let (query, payload_hash) = (input.query(), input.payload_hash());
            let signed = input.signed(&payload_hash);
            let headers: Vec<(&str, &str)> = signed.iter().rev().map(|(name, value)| (&**name, &**value)).collect();
            let request = Request {
                method: &input.method,
                path: &input.path,
                query: &query,
                headers: &headers,
                payload_hash: &payload_hash,
            };
            let scope = CredentialScope { date: &input.x_date, region: &input.region, service: &input.service };
            let credentials = input.credentials();
            let canonical = canonical_request(&request);

            vector.check("canonical_query", &query);
            vector.check("payload_sha256", &payload_hash);
            vector.check("canonical_request", &canonical);
            vector.check("canonical_request_sha256", &hex::encode(Sha256::digest(&canonical)));
            vector.check("string_to_sign", &string_to_sign(&scope, &canonical));
            let key = signing_key(credentials.secret_key(), &scope);
            vector.check("signing_key_hex", &hex::encode(key.expose_secret()));
            vector.check("signed_headers", &signed_headers(&request));
            vector.check("authorization", &authorization(&request, &scope, &credentials));
        }
    }

    #[test]
    fn the_vectors_cover_every_kind_of_header_signature() {
        let kinds: Vec<String> = vectors().into_iter().map(|vector| vector.kind).collect();
        for kind in ["header", "header-captured", "header-documented", "header-other-sdk"] {
            assert!(kinds.iter().any(|known| known == kind), "{kind}");
        }
    }

    #[test]
    fn a_date_is_basic_iso_8601_in_utc() {
        let now = "2024-02-29T23:59:59.999+08:00".parse().unwrap();
        assert_eq!(date(now), "20240229T155959Z");
    }

    #[test]
    fn the_hash_of_no_body_is_the_constant() {
        assert_eq!(EMPTY_PAYLOAD, hex::encode(Sha256::digest("")));
    }

    #[test]
    fn only_the_ports_443_and_80_leave_the_host() {
        for (host, signed) in [
            ("a.example:443", "a.example"),
            ("a.example:80", "a.example"),
            ("a.example:8080", "a.example:8080"),
            ("a.example:1443", "a.example:1443"),
            ("[::1]:443", "[::1]"),
            ("[::80]", "[::80]"),
        ] {
            assert_eq!(canonical_value("host", host), signed);
            assert_eq!(canonical_value("x-host", host), host);
        }
    }

    #[test]
    fn the_signing_key_does_not_show() {
        let scope = CredentialScope { date: "20220506T000712Z", region: "cn-beijing", service: "ecs" };
        let key = signing_key(&"secret".into(), &scope);
        assert_eq!(format!("{key:?}"), "SecretBox<[u8; 32]>([REDACTED])");
    }

    proptest! {
        #[test]
        fn nothing_panics_and_no_secret_shows(
            texts in prop::collection::vec(any::<String>(), 8),
            secret in "[A-Za-z0-9+/=]{20,80}",
        ) {
            let credentials = Credentials::from_pairs(|name| match name {
                crate::credentials::ACCESS_KEY => Some(b"AK".to_vec()),
                crate::credentials::SECRET_KEY => Some(secret.clone().into()),
                _ => None,
            }).unwrap();
            let headers = [("host", texts[0].as_str()), (&texts[1], &texts[2])];
            let query = canonical_query(vec![(texts[3].as_str(), texts[4].as_str())]);
            let request = Request { method: "GET", path: "/", query: &query, headers: &headers, payload_hash: &texts[5] };
            let scope = CredentialScope { date: &texts[6], region: &texts[7], service: "ecs" };
            let outputs = [
                canonical_request(&request),
                string_to_sign(&scope, &canonical_request(&request)),
                authorization(&request, &scope, &credentials),
            ];
            prop_assert!(outputs.iter().all(|output| !output.contains(&secret)));
        }

        #[test]
        fn a_query_can_be_read_back_and_holds_only_unreserved_characters(
            pairs in prop::collection::btree_map(any::<String>(), any::<String>(), 1..8),
        ) {
            let query = canonical_query(pairs.iter().rev().map(|(name, value)| (name.as_str(), value.as_str())).collect());
            let safe = |b: u8| b.is_ascii_alphanumeric() || b"-_.~%=&".contains(&b);
            prop_assert!(query.bytes().all(safe), "{query}");
            let decode = |text| percent_encoding::percent_decode_str(text).decode_utf8().unwrap().into_owned();
            let read: Vec<(String, String)> =
                query.split('&').filter_map(|pair| pair.split_once('=')).map(|(n, v)| (decode(n), decode(v))).collect();
            prop_assert_eq!(read, pairs.into_iter().collect::<Vec<_>>());
        }
    }
}
