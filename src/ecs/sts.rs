//! The client of STS `AssumeRoleWithOIDC`: a token for temporary credentials, in one POST that is not signed.
//!
//! Host, parameters and answer are those of volcengine-go-sdk v1.2.49 (`credentials/assume_role_oidc_provider.go`).

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::jiff::Timestamp;
use reqwest::Url;
use reqwest::header::{CONTENT_TYPE, HeaderValue};
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;

use super::error::Cause;
use super::http::{self, BuildError, Timeouts};
use super::{Error, endpoint, sign, wire};
use crate::credentials::{ACCESS_KEY, Credentials, SECRET_KEY, SESSION_TOKEN};
use crate::role::{OidcToken, Role};

/// The client of STS for one role; clones share it.
#[derive(Debug, Clone)]
pub struct Sts {
    http: reqwest::Client,
    address: Url,
    role: Arc<Role>,
}

/// Temporary credentials.
#[derive(Debug, Clone)]
pub struct Session {
    /// What to sign with.
    pub credentials: Credentials,
    /// How long they are good from when they were asked for, by the cloud's own clock.
    pub lifetime: Duration,
}

/// 1 h: what the SDKs ask for; no role grants less (docs 6257/64992).
const SECONDS: &str = "3600";

impl Sts {
    /// A client for a role. Its host is the administrator's or the SDKs', whatever the endpoint of ECS is.
    pub fn new(role: Role) -> Result<Self, BuildError> {
        let http = http::client(role.sts.as_ref(), Timeouts::DEFAULT)?;
        Ok(Self { http, address: endpoint::sts(role.sts.as_ref()), role: Arc::new(role) })
    }

    /// The role that it takes.
    pub fn role(&self) -> &Role {
        &self.role
    }

    /// Takes the role, in [`Timeouts::request`] at most.
    pub async fn assume_role(&self, token: &OidcToken, now: Timestamp) -> Result<Session, Error> {
        let mut url = self.address.clone();
        url.set_query(Some("Action=AssumeRoleWithOIDC&Version=2018-01-01"));
        let form = HeaderValue::from_static("application/x-www-form-urlencoded");
        let request = self.http.post(url).header(CONTENT_TYPE, form).body(self.form(token.secret()));
        let response = request.send().await.map_err(Error::transport)?;
        let head = http::head(&response, now);
        let body = http::body(response).await;
        let body = body.map_err(|cause| head.unreadable(cause))?;
        let (result, request_id) = wire::open::<Value>(&head, &body)?;
        let session = result.and_then(|result| session(&result["Credentials"], now));
        session.ok_or_else(|| Error { request_id, ..head.unreadable(Cause::Misshapen) })
    }

    fn form(&self, token: &SecretString) -> String {
        let role = &self.role;
        let mut fields = vec![
            ("RoleTrn", &*role.trn),
            ("OIDCToken", token.expose_secret()),
            ("RoleSessionName", &*role.session_name),
            ("DurationSeconds", SECONDS),
        ];
        fields.extend(role.policy.as_deref().map(|policy| ("Policy", policy)));
        sign::canonical_query(fields)
    }
}

/// `None` for what is not whole or cannot be used.
fn session(answer: &Value, now: Timestamp) -> Option<Session> {
    let field = |name: &str| answer[name].as_str().filter(|value| !value.is_empty());
    let names = [(ACCESS_KEY, "AccessKeyId"), (SECRET_KEY, "SecretAccessKey"), (SESSION_TOKEN, "SessionToken")];
    // A session without its token would be taken for permanent keys.
    field("SessionToken")?;
    let named = |variable: &str| names.iter().find(|(name, _)| *name == variable).and_then(|(_, name)| field(name));
    let credentials = Credentials::from_pairs(|variable| named(variable).map(Into::into)).ok()?;
    let time = |name: &str| field(name).and_then(|value| value.parse::<Timestamp>().ok());
    // Both ends by the cloud's clock, so that ours does not matter.
    let granted = time("Expiration")?.duration_since(time("CurrentTime").unwrap_or(now));
    Some(Session { credentials, lifetime: Duration::try_from(granted).unwrap_or(Duration::ZERO) })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn now() -> Timestamp {
        "2026-11-25T02:00:00Z".parse().unwrap()
    }

    fn answer() -> Value {
        json!({
            "AccessKeyId": "AKTP1", "SecretAccessKey": "secret", "SessionToken": "token",
            "CurrentTime": "2026-11-25T18:00:00+08:00", "Expiration": "2026-11-25T19:00:00+08:00",
        })
    }

    fn lifetime(answer: &Value) -> Option<u64> {
        session(answer, now()).map(|session| session.lifetime.as_secs())
    }

    #[test]
    fn a_session_lasts_as_long_as_the_cloud_says_whatever_our_clock() {
        assert_eq!(lifetime(&answer()), Some(3_600));
        let mut undated = answer();
        undated["CurrentTime"] = json!("");
        assert_eq!(lifetime(&undated), Some(9 * 3_600));
        let mut over = answer();
        over["Expiration"] = json!("2026-11-25T17:00:00+08:00");
        assert_eq!(lifetime(&over), Some(0));
    }

    #[test]
    fn what_is_not_whole_is_no_session() {
        for name in ["AccessKeyId", "SecretAccessKey", "SessionToken", "Expiration"] {
            for bad in [Value::Null, json!(""), json!(7), json!("a b")] {
                let mut broken = answer();
                broken[name] = bad.clone();
                assert_eq!(lifetime(&broken), None, "{name}: {bad}");
            }
        }
    }

    #[test]
    fn the_form_says_what_the_sdks_say() {
        drop(rustls::crypto::ring::default_provider().install_default());
        let role = |policy: Option<&str>| Role {
            trn: "trn:iam::1:role/r".into(),
            token_file: "/token".into(),
            session_name: "s".into(),
            policy: policy.map(Into::into),
            sts: None,
        };
        let form = |policy| Sts::new(role(policy)).unwrap().form(&"a.b+c".into());
        let plain = "DurationSeconds=3600&OIDCToken=a.b%2Bc";
        let rest = "RoleSessionName=s&RoleTrn=trn%3Aiam%3A%3A1%3Arole%2Fr";
        assert_eq!(form(None), format!("{plain}&{rest}"));
        assert_eq!(form(Some("{}")), format!("{plain}&Policy=%7B%7D&{rest}"));
        assert_eq!(Sts::new(role(None)).unwrap().address.as_str(), "https://sts.volcengineapi.com/");
    }
}
