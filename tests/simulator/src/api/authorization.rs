//! The `Authorization` header.

use super::error::ApiError;

const ALGORITHM: &str = "HMAC-SHA256";
const TERMINATOR: &str = "request";

/// `HMAC-SHA256 Credential=<key>/<date>/<region>/<service>/request, SignedHeaders=<a;b>, Signature=<hex>`,
/// taken apart but not yet believed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Authorization {
    pub(crate) access_key: String,
    pub(crate) date: String,
    pub(crate) region: String,
    pub(crate) service: String,
    pub(crate) signed_headers: Vec<String>,
    pub(crate) signature: String,
}

impl Authorization {
    pub(crate) fn parse(header: &str) -> Result<Self, ApiError> {
        let malformed = || ApiError::of("InvalidAuthorization");
        let fields = header.strip_prefix(ALGORITHM).and_then(|rest| rest.strip_prefix(' ')).ok_or_else(malformed)?;
        let credential = field(fields, "Credential").ok_or_else(malformed)?;
        let signed_headers = field(fields, "SignedHeaders").ok_or_else(malformed)?;
        let signature = field(fields, "Signature").ok_or_else(|| ApiError::of("MissingSignature"))?;
        let [access_key, date, region, service] = scope(credential).ok_or_else(|| ApiError::of("InvalidCredential"))?;
        Ok(Self {
            access_key: access_key.to_owned(),
            date: date.to_owned(),
            region: region.to_owned(),
            service: service.to_owned(),
            signed_headers: signed_headers.split(';').map(str::to_owned).collect(),
            signature: signature.to_owned(),
        })
    }

    /// The credential scope: `<date>/<region>/<service>/request`.
    pub(crate) fn scope(&self) -> String {
        format!("{}/{}/{}/{TERMINATOR}", self.date, self.region, self.service)
    }
}

fn field<'a>(fields: &'a str, name: &str) -> Option<&'a str> {
    let mut pairs = fields.split(',').filter_map(|pair| pair.trim().split_once('='));
    pairs.find(|(key, value)| *key == name && !value.is_empty()).map(|(_, value)| value)
}

fn scope(credential: &str) -> Option<[&str; 4]> {
    let parts: Vec<_> = credential.split('/').collect();
    let [access_key, date, region, service, TERMINATOR] = parts[..] else {
        return None;
    };
    let dated = date.len() == 8 && date.bytes().all(|byte| byte.is_ascii_digit());
    let named = [access_key, region, service].iter().all(|part| !part.is_empty());
    (dated && named).then_some([access_key, date, region, service])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(header: &str) -> String {
        Authorization::parse(header).unwrap_err().code
    }

    #[test]
    fn the_parts_of_the_header_are_taken_as_they_stand() {
        let header =
            "HMAC-SHA256 Credential=AK/20220506/cn-beijing/ecs/request, SignedHeaders=x-date;host, Signature=00ff";
        let authorization = Authorization::parse(header).unwrap();
        let expected = Authorization {
            access_key: "AK".to_owned(),
            date: "20220506".to_owned(),
            region: "cn-beijing".to_owned(),
            service: "ecs".to_owned(),
            signed_headers: vec!["x-date".to_owned(), "host".to_owned()],
            signature: "00ff".to_owned(),
        };
        assert_eq!((authorization.scope().as_str(), authorization), ("20220506/cn-beijing/ecs/request", expected));
    }

    #[test]
    fn a_malformed_header_is_told_from_a_malformed_scope() {
        assert_eq!(refusal("Bearer abc"), "InvalidAuthorization");
        assert_eq!(
            refusal("HMAC-SHA256 Credential=AK/20220506/cn-beijing/ecs/request, Signature=00"),
            "InvalidAuthorization"
        );
        assert_eq!(refusal("HMAC-SHA256 SignedHeaders=host, Signature=00"), "InvalidAuthorization");
        assert_eq!(
            refusal("HMAC-SHA256 Credential=AK/20220506/cn-beijing/ecs/request, SignedHeaders=host"),
            "MissingSignature"
        );
        for scope in [
            "AK",
            "AK/20220506/cn-beijing/ecs/aws4_request",
            "AK/2022/cn-beijing/ecs/request",
            "AK/20220506//ecs/request",
        ] {
            assert_eq!(
                refusal(&format!("HMAC-SHA256 Credential={scope}, SignedHeaders=host, Signature=00")),
                "InvalidCredential"
            );
        }
    }
}
