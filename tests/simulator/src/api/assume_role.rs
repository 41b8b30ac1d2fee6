//! STS `AssumeRoleWithOIDC`: a session for whoever holds a token that the role trusts. The call is not signed.

use hyper::body::Bytes;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::error::ApiError;
use super::query::Query;
use super::request::Request;
use crate::Account;
use crate::state::State;

pub(crate) const ACTION: &str = "AssumeRoleWithOIDC";
const VERSION: &str = "2018-01-01";

/// The least and the most that may be asked for (SDKs and docs: 15 minutes to 12 hours).
const SECONDS: std::ops::RangeInclusive<u32> = 900..=43_200;

/// Whether a request is for STS; its form holds everything but action and version.
pub(crate) fn is_asked(request: &Request) -> bool {
    request.query.get("Action").as_deref() == Some(ACTION) && request.header("authorization").is_none()
}

/// Opens a session: a temporary key that the other actions accept with its token until it expires.
pub(crate) fn assume_role(request: &Request, state: &mut State, now: Timestamp) -> Result<Value, ApiError> {
    if request.query.get("Version").as_deref() != Some(VERSION) {
        return Err(ApiError::of("InvalidActionOrVersion"));
    }
    if request.method != "POST" {
        return Err(ApiError::of("MethodNotAllowed"));
    }
    let form = form(&request.body);
    let field = |name| form.get(name).filter(|value| !value.is_empty()).ok_or_else(|| ApiError::of("MissingParameter"));
    let (trn, token, session) = (field("RoleTrn")?, field("OIDCToken")?, field("RoleSessionName")?);
    let asked = field("DurationSeconds")?.parse().ok().filter(|seconds| SECONDS.contains(seconds));
    let Some(asked) = asked else {
        return Err(ApiError::of("InvalidParameter"));
    };
    // Which of the two is wrong is nothing that a stranger is told.
    let Some(role) = state.roles.get(&*trn).filter(|role| role.oidc_token == *token) else {
        return Err(ApiError::of("AccessDenied"));
    };
    let lifetime = SignedDuration::from_secs(asked.min(role.max_session_seconds).into());
    let expires = now.checked_add(lifetime).map_err(|_| ApiError::of("InternalError"))?;
    state.sessions += 1;
    let number = state.sessions;
    let (key, secret, token) = (
        format!("AKTPSESSION{number}"),
        format!("session-secret-{number}+/=="),
        format!("nCgdqdzE0.session-token-{number}+/=="),
    );
    let account = Account::new(&key, &secret).session_token(&token).of_account(&role.account).expires(expires);
    let user = format!("{trn}/{session}");
    state.accounts.insert(key.clone(), account);
    Ok(json!({
        "Credentials": {
            "AccessKeyId": key, "SecretAccessKey": secret, "SessionToken": token,
            "CurrentTime": crate::clock::task_time(now), "Expiration": crate::clock::task_time(expires),
        },
        "AssumedRoleUser": { "Trn": user, "AssumedRoleId": format!("{number}:{session}") },
    }))
}

fn form(body: &Bytes) -> Query {
    Query::parse(&String::from_utf8_lossy(body))
}

#[cfg(test)]
mod tests {
    use hyper::HeaderMap;

    use super::*;
    use crate::api::client::{Client, ask, cloud};
    use crate::{Cloud, Fault, Role};

    const TRN: &str = "trn:iam::2100000001:role/operator";

    fn trusting(seconds: u32) -> Cloud {
        let cloud = cloud();
        cloud.trust(Role::new(TRN, "token.of+cluster", "demo").max_session_seconds(seconds));
        cloud
    }

    fn request(form: &str) -> Request {
        Request::new(
            "POST",
            "/",
            "Action=AssumeRoleWithOIDC&Version=2018-01-01",
            HeaderMap::new(),
            form.to_owned().into(),
        )
    }

    fn usual(token: &str) -> Request {
        request(&format!("RoleTrn={TRN}&OIDCToken={token}&RoleSessionName=s&DurationSeconds=3600"))
    }

    async fn code(cloud: &Cloud, request: &Request) -> (u16, Value) {
        let (status, answer) = ask(cloud, request).await;
        (status, answer["ResponseMetadata"]["Error"]["Code"].clone())
    }

    /// Takes the role, and gives the client of its session.
    async fn session(cloud: &Cloud) -> Client {
        let (status, answer) = ask(cloud, &usual("token.of%2Bcluster")).await;
        assert_eq!((status, &answer["ResponseMetadata"]["Service"]), (200, &json!("sts")));
        let word = |name: &str| answer["Result"]["Credentials"][name].as_str().unwrap().to_owned();
        let keys = Client::new(&word("AccessKeyId"), &word("SecretAccessKey"));
        Client { session_token: Some(word("SessionToken")), ..keys }
    }

    #[tokio::test]
    async fn a_trusted_token_opens_a_session_that_is_served_until_it_expires() {
        let cloud = trusting(60);
        let client = session(&cloud).await;
        assert_eq!(client.ask(&cloud, "").await.0, 200);
        let without = Client { session_token: None, ..client.clone() };
        assert_eq!(code(&cloud, &without.describe("")).await, (401, json!("InvalidSecretToken")));
        cloud.skew_clock(61);
        assert_eq!(code(&cloud, &client.describe("")).await, (401, json!("InvalidSecretToken")));
        let renewed = session(&cloud).await;
        assert_ne!(renewed.access_key, client.access_key);
        assert_eq!(renewed.ask(&cloud, "").await.0, 200);
    }

    #[tokio::test]
    async fn what_is_not_trusted_or_not_whole_is_refused() {
        let cloud = trusting(3_600);
        let other = |from: &str, to: &str| {
            let mut request = usual("token.of%2Bcluster");
            request.body = String::from_utf8_lossy(&request.body).replace(from, to).into();
            request
        };
        let mut got = usual("token.of%2Bcluster");
        got.method = "GET".to_owned();
        let cases = [
            (usual("other"), 403, "AccessDenied"),
            (other("role/operator", "role/other"), 403, "AccessDenied"),
            (other("RoleTrn", "Trn"), 400, "MissingParameter"),
            (other("RoleSessionName=s", ""), 400, "MissingParameter"),
            (other("3600", "899"), 400, "InvalidParameter"),
            (other("3600", "soon"), 400, "InvalidParameter"),
            (got, 405, "MethodNotAllowed"),
        ];
        for (request, status, expected) in cases {
            assert_eq!(code(&cloud, &request).await, (status, json!(expected)));
        }
        cloud.distrust(TRN);
        assert_eq!(code(&cloud, &usual("token.of%2Bcluster")).await, (403, json!("AccessDenied")));
    }

    #[tokio::test]
    async fn a_fault_can_strike_one_action_alone() {
        let cloud = trusting(3_600);
        cloud.order(Fault::code("InternalError").only_action(ACTION));
        assert_eq!(code(&cloud, &usual("token.of%2Bcluster")).await, (500, json!("InternalError")));
        assert_eq!(Client::usual().ask(&cloud, "").await.0, 200);
    }
}
