//! The signature of a request, computed from the public specification (docs 6369/67268 to 67270).

use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};

use super::authorization::Authorization;
use super::request::Request;

/// Whether the signature in the header is the one that `secret_key` gives.
pub(crate) fn matches(request: &Request, authorization: &Authorization, x_date: &str, secret_key: &str) -> bool {
    let host = request.header("host").unwrap_or_default();
    signable_hosts(&host).into_iter().flatten().any(|host| {
        let canonical = canonical_request(request, &authorization.signed_headers, host);
        let text = string_to_sign(x_date, &authorization.scope(), &canonical);
        signs(&signing_key(secret_key, authorization), &text, &authorization.signature)
    })
}

/// Python and Go sign the host without `:80` and `:443`, Java and Node with them, so both hold.
fn signable_hosts(host: &str) -> [Option<&str>; 2] {
    let bare = host.strip_suffix(":80").or_else(|| host.strip_suffix(":443"));
    [Some(host), bare]
}

fn canonical_request(request: &Request, signed_headers: &[String], host: &str) -> String {
    let value = |name: &String| match name.as_str() {
        "host" => host.to_owned(),
        other => request.header(other).unwrap_or_default(),
    };
    let headers: String = signed_headers.iter().map(|name| format!("{name}:{}\n", value(name))).collect();
    let parts = [
        request.method.to_uppercase(),
        request.path.clone(),
        request.query.canonical(),
        headers,
        signed_headers.join(";"),
        hex::encode(Sha256::digest(&request.body)),
    ];
    parts.join("\n")
}

fn string_to_sign(x_date: &str, scope: &str, canonical_request: &str) -> String {
    let digest = hex::encode(Sha256::digest(canonical_request));
    ["HMAC-SHA256", x_date, scope, &digest].join("\n")
}

fn signing_key(secret_key: &str, authorization: &Authorization) -> Vec<u8> {
    let Authorization { date, region, service, .. } = authorization;
    let chain = [date.as_str(), region, service, "request"];
    chain.iter().fold(secret_key.as_bytes().to_vec(), |key, part| mac(&key, part).finalize().into_bytes().to_vec())
}

fn signs(key: &[u8], text: &str, signature: &str) -> bool {
    // Upper-case hex is another spelling than the specified one.
    let lower = !signature.bytes().any(|byte| byte.is_ascii_uppercase());
    hex::decode(signature).is_ok_and(|bytes| lower && mac(key, text).verify_slice(&bytes).is_ok())
}

fn mac(key: &[u8], text: &str) -> Hmac<Sha256> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes a key of any length");
    mac.update(text.as_bytes());
    mac
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::api::vectors::Vector;
    use crate::clock;

    /// What a client that holds the secret would put into the header.
    pub(in crate::api) fn sign(
        request: &Request,
        authorization: &Authorization,
        x_date: &str,
        secret_key: &str,
    ) -> String {
        let host = request.header("host").unwrap();
        let canonical = canonical_request(request, &authorization.signed_headers, &host);
        let text = string_to_sign(x_date, &authorization.scope(), &canonical);
        hex::encode(mac(&signing_key(secret_key, authorization), &text).finalize().into_bytes())
    }

    /// The stages of a vector's signature, as computed or as written down.
    #[derive(Debug, PartialEq)]
    struct Stages {
        canonical_query: String,
        canonical_request: String,
        string_to_sign: String,
        signing_key: String,
        signature_holds: bool,
    }

    #[test]
    fn every_stage_of_every_header_vector_is_computed_as_written() {
        let vectors = Vector::all();
        for vector in &vectors {
            let request = vector.request(&vector.headers, &vector.authorization);
            let authorization = Authorization::parse(&vector.authorization).unwrap();
            let host = request.header("host").unwrap_or_default();
            let host = signable_hosts(&host).into_iter().flatten().last().unwrap();
            let canonical = canonical_request(&request, &authorization.signed_headers, host);
            let computed = Stages {
                canonical_query: request.query.canonical(),
                string_to_sign: string_to_sign(&vector.x_date, &authorization.scope(), &canonical),
                canonical_request: canonical,
                signing_key: hex::encode(signing_key(&vector.secret_key, &authorization)),
                signature_holds: matches(&request, &authorization, &vector.x_date, &vector.secret_key),
            };
            let output = |name: &str| vector.output[name].as_str().unwrap().to_owned();
            let written = Stages {
                canonical_query: output("canonical_query"),
                canonical_request: output("canonical_request"),
                string_to_sign: output("string_to_sign"),
                signing_key: output("signing_key_hex"),
                signature_holds: true,
            };
            assert_eq!(computed, written, "{}", vector.name);
        }
        assert_eq!(vectors.len(), 23, "18 header, 2 documented, 2 of other SDKs, 1 captured");
    }

    #[test]
    fn a_signature_of_another_secret_or_in_other_hex_does_not_hold() {
        for vector in Vector::all() {
            let request = vector.request(&vector.headers, &vector.authorization);
            let mut authorization = Authorization::parse(&vector.authorization).unwrap();
            assert!(!matches(&request, &authorization, &vector.x_date, "another secret"), "{}", vector.name);
            authorization.signature = authorization.signature.to_uppercase();
            assert!(!matches(&request, &authorization, &vector.x_date, &vector.secret_key), "{}", vector.name);
        }
    }

    #[test]
    fn a_default_port_may_be_signed_or_not() {
        assert_eq!(signable_hosts("h:443"), [Some("h:443"), Some("h")]);
        assert_eq!(signable_hosts("h:80"), [Some("h:80"), Some("h")]);
        assert_eq!(signable_hosts("h:8443"), [Some("h:8443"), None]);
        assert_eq!(signable_hosts("h"), [Some("h"), None]);
    }

    #[test]
    fn every_vector_is_dated_in_the_form_of_x_date() {
        assert!(Vector::all().iter().all(|vector| clock::parse_x_date(&vector.x_date).is_some()));
    }
}
