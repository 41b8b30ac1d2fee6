//! Who calls: the checks that a signed request has to pass.

use std::collections::HashMap;

use jiff::Timestamp;

use super::authorization::Authorization;
use super::error::ApiError;
use super::request::Request;
use super::signature;
use crate::{Account, clock};

/// How far `X-Date` may be off: the default of `X-Expires`, either way.
const VALIDITY_SECONDS: u64 = 900;

/// A caller who has proved to hold the secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Caller {
    pub(crate) account: String,
    pub(crate) region: String,
    pub(crate) service: String,
}

pub(crate) fn authenticate(
    request: &Request,
    accounts: &HashMap<String, Account>,
    now: Timestamp,
) -> Result<Caller, ApiError> {
    let refuse = |code| Err(ApiError::of(code));
    let Some(header) = request.header("authorization") else {
        return refuse("MissingAuthenticationToken");
    };
    let authorization = Authorization::parse(&header)?;
    let Some(x_date) = request.header("x-date") else {
        return refuse("MissingRequestInfo");
    };
    let Some(signed_at) = clock::parse_x_date(&x_date) else {
        return refuse("InvalidTimestamp");
    };
    if !x_date.starts_with(&authorization.date) {
        return refuse("InvalidCredential");
    }
    let Some(account) = accounts.get(&authorization.access_key) else {
        return refuse("InvalidAccessKey");
    };
    if signed_at.as_second().abs_diff(now.as_second()) > VALIDITY_SECONDS {
        return refuse("InvalidTimestamp");
    }
    // Host and X-Date are to be signed, but Java signs X-Date alone and is served.
    let dated = authorization.signed_headers.iter().any(|name| name == "x-date");
    if !dated || !signature::matches(request, &authorization, &x_date, &account.secret_key) {
        return refuse("SignatureDoesNotMatch");
    }
    // Java sends the token unsigned, so where it stands is all the same.
    if account.is_expired(now) || request.header("x-security-token") != account.session_token {
        return refuse("InvalidSecretToken");
    }
    let Authorization { region, service, .. } = authorization;
    Ok(Caller { account: account.owner().to_owned(), region, service })
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;

    use super::*;
    use crate::Simulator;
    use crate::api::client::{Client, set};
    use crate::api::vectors::Vector;

    fn accounts(account: Account) -> HashMap<String, Account> {
        HashMap::from([(account.access_key.clone(), account)])
    }

    fn check(request: &Request) -> Result<Caller, ApiError> {
        let usual = Account::new(Simulator::ACCESS_KEY, Simulator::SECRET_KEY);
        authenticate(request, &accounts(usual), Timestamp::now())
    }

    fn refusal(request: &Request) -> (u16, String) {
        let error = check(request).unwrap_err();
        (error.status, error.code)
    }

    fn refused(status: u16, code: &str) -> (u16, String) {
        (status, code.to_owned())
    }

    #[test]
    fn every_header_set_that_an_official_client_signs_is_accepted() {
        let mut checked = 0;
        for vector in Vector::all() {
            let mut account = Account::new(&vector.access_key, &vector.secret_key);
            account.session_token.clone_from(&vector.session_token);
            let known = accounts(account);
            let now = clock::parse_x_date(&vector.x_date).unwrap();
            let mut requests = vector.as_other_sdks_sign_it();
            requests.push(vector.request(&vector.headers, &vector.authorization));
            for request in requests {
                let caller = authenticate(&request, &known, now).map(|caller| caller.account);
                assert_eq!(
                    caller,
                    Ok(vector.access_key.clone()),
                    "{}: {:?}",
                    vector.name,
                    request.header("authorization")
                );
                checked += 1;
            }
        }
        assert!(checked > 40, "the vectors hold the values of other SDKs too, but only {checked} were checked");
    }

    #[test]
    fn a_caller_is_the_account_of_the_key_in_the_region_of_the_scope() {
        let account = Account::new("AK2", "secret").of_account("demo");
        let client = Client { region: "cn-shanghai".to_owned(), ..Client::new("AK2", "secret") };
        let caller = authenticate(&client.describe(""), &accounts(account), Timestamp::now());
        let [account, region, service] = ["demo", "cn-shanghai", "ecs"].map(str::to_owned);
        assert_eq!(caller, Ok(Caller { account, region, service }));
    }

    #[test]
    fn a_wrong_key_secret_or_query_is_refused() {
        let usual = Client::usual();
        assert_eq!(refusal(&Client::new("AK9", "secret").describe("")), refused(401, "InvalidAccessKey"));
        assert_eq!(
            refusal(&Client::new(Simulator::ACCESS_KEY, "wrong").describe("")),
            refused(401, "SignatureDoesNotMatch")
        );
        let mut tampered = usual.describe("&TaskIds.1=t-1");
        tampered.query = usual.describe("&TaskIds.1=t-2").query;
        assert_eq!(refusal(&tampered), refused(401, "SignatureDoesNotMatch"));
        let mut undated = usual;
        undated.signed_headers = vec!["host".to_owned()];
        assert_eq!(refusal(&undated.describe("")), refused(401, "SignatureDoesNotMatch"));
    }

    #[test]
    fn the_host_is_bound_only_when_it_is_signed() {
        let mut client = Client::usual();
        let moved = |client: &Client| {
            let mut request = client.describe("");
            set(&mut request, "host", "elsewhere");
            request
        };
        assert_eq!(refusal(&moved(&client)), refused(401, "SignatureDoesNotMatch"));
        client.signed_headers = vec!["x-date".to_owned()];
        assert!(check(&moved(&client)).is_ok());
    }

    #[test]
    fn a_header_that_is_missing_or_malformed_is_named() {
        let mut request = Client::usual().describe("");
        let header = request.header("authorization").unwrap();
        set(&mut request, "authorization", &header.replace("/ecs/request", "/ecs"));
        assert_eq!(refusal(&request), refused(400, "InvalidCredential"));
        set(&mut request, "authorization", &header.replace("SignedHeaders", "Headers"));
        assert_eq!(refusal(&request), refused(400, "InvalidAuthorization"));
        set(&mut request, "authorization", header.split_once(", Signature").unwrap().0);
        assert_eq!(refusal(&request), refused(401, "MissingSignature"));
        set(&mut request, "authorization", &header);
        set(&mut request, "x-date", "yesterday");
        assert_eq!(refusal(&request), refused(400, "InvalidTimestamp"));
        set(&mut request, "x-date", "19700101T000000Z");
        assert_eq!(refusal(&request), refused(400, "InvalidCredential"));
        request.headers.remove("x-date");
        assert_eq!(refusal(&request), refused(400, "MissingRequestInfo"));
        request.headers.remove("authorization");
        assert_eq!(refusal(&request), refused(401, "MissingAuthenticationToken"));
    }

    #[test]
    fn a_date_more_than_900_seconds_off_is_refused_either_way() {
        let request = Client::usual().describe("");
        let signed_at = clock::parse_x_date(&request.header("x-date").unwrap()).unwrap();
        let usual = accounts(Account::new(Simulator::ACCESS_KEY, Simulator::SECRET_KEY));
        let at = |seconds| {
            let now = signed_at + SignedDuration::from_secs(seconds);
            authenticate(&request, &usual, now).map_or_else(|error| error.code, |_| "OK".to_owned())
        };
        assert_eq!([-901, -900, 900, 901].map(at), ["InvalidTimestamp", "OK", "OK", "InvalidTimestamp"]);
    }

    #[test]
    fn a_temporary_key_needs_its_own_token_and_in_time() {
        let temporary = Account::new("AK2", "secret").session_token("token");
        let with = |token: Option<&str>| {
            let session_token = token.map(str::to_owned);
            Client { session_token, ..Client::new("AK2", "secret") }.describe("")
        };
        let code = |account: &Account, request: &Request| {
            let checked = authenticate(request, &accounts(account.clone()), Timestamp::now());
            checked.map_or_else(|error| error.code, |_| "OK".to_owned())
        };
        assert_eq!(code(&temporary, &with(Some("token"))), "OK");
        assert_eq!(code(&temporary, &with(Some("older"))), "InvalidSecretToken");
        assert_eq!(code(&temporary, &with(None)), "InvalidSecretToken");
        assert_eq!(code(&temporary.expired(), &with(Some("token"))), "InvalidSecretToken");
        assert_eq!(code(&Account::new("AK2", "secret"), &with(Some("token"))), "InvalidSecretToken");
    }
}
