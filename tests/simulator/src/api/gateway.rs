//! The gateway: lets faults strike, finds out who calls, and routes to the action.

use std::time::Duration;

use hyper::Response;
use serde_json::{Value, json};

use super::assume_role::{self, assume_role};
use super::authenticate::authenticate;
use super::describe_tasks::describe_tasks;
use super::envelope::Metadata;
use super::error::ApiError;
use super::payload::Payload;
use super::request::Request;
use crate::state::{Place, State, Strike};
use crate::{Cloud, Effect};

const JSON: &str = "application/json; charset=utf-8";
const TEXT: &str = "text/plain; charset=utf-8";

/// Answers a request, however late a fault makes the answer. No response means that the
/// connection is to be closed.
pub(crate) async fn answer(cloud: &Cloud, request: &Request) -> Option<Response<Payload>> {
    let (ticket, strike) = cloud.arrived(|now_ms| request.call(now_ms));
    let Some(mut strike) = strike else {
        return cloud.ended(ticket, |state| reply(state, request, &Effect::None, None, ticket));
    };
    hold_back(&mut strike).await;
    let Strike { effect, retry_after, .. } = strike;
    cloud.ended(ticket, |state| reply(state, request, &effect, retry_after.as_deref(), ticket))
}

#[expect(clippy::disallowed_methods, reason = "the delay is the fault that was ordered")]
async fn hold_back(strike: &mut Strike) {
    if strike.latency > Duration::ZERO {
        tokio::time::sleep(strike.latency).await;
    }
    if strike.effect == Effect::Hang {
        strike.released().await;
    }
}

/// The response, and what the journal calls it.
fn reply(
    state: &mut State,
    request: &Request,
    effect: &Effect,
    retry_after: Option<&str>,
    number: u64,
) -> (Option<Response<Payload>>, String) {
    let metadata = Metadata::of(request, state.clock.now(), number);
    let respond = |status, content_type, body| Some(metadata.response(status, content_type, body, retry_after));
    let result = match effect {
        Effect::Close => return (None, "closed".to_owned()),
        Effect::Text { status, body } => {
            return (respond(*status, TEXT, Payload::whole(body.clone())), "text".to_owned());
        }
        Effect::Empty { status } => {
            return (respond(*status, TEXT, Payload::whole("")), "empty".to_owned());
        }
        Effect::Code { code, status } => Err(ApiError::of(code).with_status(*status)),
        Effect::NullTasks => usual(state, request).map(|result| with_tasks(result, Some(Value::Null))),
        Effect::AbsentTasks => usual(state, request).map(|result| with_tasks(result, None)),
        Effect::EndlessPages => without_end(usual(state, request), number),
        Effect::None | Effect::Hang | Effect::Oversized { .. } | Effect::Truncated | Effect::Garbled => {
            usual(state, request)
        }
    };
    let status = result.as_ref().map_or_else(|error| error.status, |_| 200);
    let mut outcome = result.as_ref().map_or_else(|error| error.code.clone(), |_| "OK".to_owned());
    let mut body = Payload::whole(metadata.body(result));
    if let Effect::Oversized { bytes } = effect {
        body = body.padded(*bytes);
        outcome = "oversized".to_owned();
    }
    if *effect == Effect::Garbled {
        body = body.garbled();
        outcome = "garbled".to_owned();
    }
    if *effect == Effect::Truncated {
        body = body.truncated();
        outcome = "truncated".to_owned();
    }
    (respond(status, JSON, body), outcome)
}

fn usual(state: &mut State, request: &Request) -> Result<Value, ApiError> {
    let (now, now_ms) = (state.clock.now(), state.clock.elapsed_ms());
    if assume_role::is_asked(request) {
        return assume_role(request, state, now);
    }
    let caller = authenticate(request, &state.accounts, now)?;
    if !state.rate.admit(&caller.account, now_ms) {
        return Err(ApiError::of("FlowLimitExceeded"));
    }
    let parameter = |name| request.query.get(name).ok_or_else(|| ApiError::of("MissingParameter"));
    let (action, version) = (parameter("Action")?, parameter("Version")?);
    match (caller.service.as_str(), &*action, &*version, request.path.as_str()) {
        ("ecs", "DescribeTasks", "2020-04-01", "/") if request.method == "GET" => {
            let place = Place { account: caller.account, region: caller.region };
            describe_tasks(request, &state.tasks, &place, now_ms, now)
        }
        ("ecs", "DescribeTasks", "2020-04-01", "/") => Err(ApiError::of("MethodNotAllowed")),
        ("ecs", ..) => Err(ApiError::of("InvalidActionOrVersion")),
        _ => Err(ApiError::of("ServiceNotFound")),
    }
}

fn with_tasks(mut result: Value, tasks: Option<Value>) -> Value {
    if let Some(fields) = result.as_object_mut() {
        fields.remove("Tasks");
        fields.extend(tasks.map(|tasks| ("Tasks".to_owned(), tasks)));
    }
    result
}

/// Lets another page follow the last one, and an empty one each of those.
fn without_end(page: Result<Value, ApiError>, number: u64) -> Result<Value, ApiError> {
    let mut page = match page {
        Err(error) if error.code == "InvalidNextToken.Malformed" => json!({ "NextToken": "", "Tasks": [] }),
        page => page?,
    };
    if page["NextToken"] == "" {
        page["NextToken"] = json!(format!("another-{number}"));
    }
    Ok(page)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::Fault;
    use crate::api::client::{Client, ask, cloud, set};

    /// The answer without its request id, which is checked on its own.
    async fn answer_to(request: &Request) -> (u16, Value) {
        let (status, mut answer) = ask(&cloud(), request).await;
        let id = answer["ResponseMetadata"]["RequestId"].take();
        let digits = id.as_str().unwrap();
        assert!(digits.len() == 34 && digits.bytes().all(|byte| byte.is_ascii_digit()), "{digits}");
        (status, answer)
    }

    #[tokio::test]
    async fn a_good_request_gets_the_documented_envelope() {
        let expected = json!({
            "ResponseMetadata": {
                "RequestId": null, "Action": "DescribeTasks", "Version": "2020-04-01", "Service": "ecs", "Region": "cn-beijing",
            },
            "Result": { "NextToken": "", "Tasks": [] },
        });
        assert_eq!(answer_to(&Client::usual().describe("")).await, (200, expected));
    }

    #[tokio::test]
    async fn a_refusal_has_an_error_and_no_result() {
        let request = Client::usual().signed("POST", "Action=DescribeTasks&Version=2020-04-01");
        let expected = json!({ "ResponseMetadata": {
            "RequestId": null, "Action": "DescribeTasks", "Version": "2020-04-01", "Service": "ecs", "Region": "cn-beijing",
            "Error": { "Code": "MethodNotAllowed", "CodeN": 100_020, "Message": "The method is not allowed for this action." },
        }});
        assert_eq!(answer_to(&request).await, (405, expected));
    }

    #[tokio::test]
    async fn what_cannot_be_routed_is_refused_with_its_public_code() {
        let usual = Client::usual();
        let other = Client { service: "vod".to_owned(), ..usual.clone() };
        let mut elsewhere = usual.signed("GET", "Action=DescribeTasks&Version=2020-04-01");
        elsewhere.path = "/tasks".to_owned();
        let cases = [
            (usual.signed("GET", "Action=Nothing&Version=2020-04-01"), 404, "InvalidActionOrVersion"),
            (usual.signed("GET", "Action=DescribeTasks&Version=2014-05-26"), 404, "InvalidActionOrVersion"),
            (elsewhere, 401, "SignatureDoesNotMatch"),
            (usual.signed("DELETE", "Action=DescribeTasks&Version=2020-04-01"), 405, "MethodNotAllowed"),
            (other.describe(""), 404, "ServiceNotFound"),
            (usual.signed("GET", "Action=DescribeTasks"), 400, "MissingParameter"),
            (usual.signed("GET", ""), 400, "MissingParameter"),
        ];
        for (request, status, code) in cases {
            let (got, answer) = answer_to(&request).await;
            assert_eq!((got, &answer["ResponseMetadata"]["Error"]["Code"]), (status, &json!(code)));
        }
    }

    #[tokio::test]
    async fn request_ids_begin_with_the_time_and_differ() {
        let cloud = cloud();
        let mut ids = Vec::new();
        for _ in 0..3 {
            let (_, answer) = Client::usual().ask(&cloud, "").await;
            ids.push(answer["ResponseMetadata"]["RequestId"].as_str().unwrap().to_owned());
        }
        let today = crate::clock::request_id_time(jiff::Timestamp::now());
        assert!(ids.iter().all(|id| id[..6] == today[..6]), "{ids:?}");
        ids.dedup();
        assert_eq!(ids.len(), 3);
    }

    #[tokio::test]
    async fn an_account_over_its_flow_limit_is_told_so() {
        let cloud = cloud();
        cloud.limit_rate(Some(2));
        for _ in 0..3 {
            Client::usual().ask(&cloud, "").await;
        }
        let outcomes: Vec<_> = cloud.calls().into_iter().map(|call| call.outcome.unwrap()).collect();
        assert_eq!(outcomes, ["OK", "OK", "FlowLimitExceeded"]);
    }

    #[tokio::test]
    async fn a_skewed_clock_refuses_who_goes_right_and_serves_who_goes_along() {
        let cloud = cloud();
        cloud.skew_clock(2_000);
        let (status, answer) = Client::usual().ask(&cloud, "").await;
        assert_eq!((status, &answer["ResponseMetadata"]["Error"]["Code"]), (400, &json!("InvalidTimestamp")));
        let along = Client { skew_seconds: 2_000, ..Client::usual() };
        assert_eq!(along.ask(&cloud, "").await.0, 200);
    }

    #[tokio::test]
    async fn a_code_comes_with_its_documented_status_or_the_one_ordered() {
        let cloud = cloud();
        let cases = [
            (Fault::code("FlowLimitExceeded"), 429, json!(100_018)),
            (Fault::code_with_status("FlowLimitExceeded", 200), 200, json!(100_018)),
            (Fault::code("SomethingNew"), 400, Value::Null),
        ];
        for (fault, status, number) in cases {
            cloud.order(fault);
            let (got, answer) = Client::usual().ask(&cloud, "").await;
            assert_eq!(
                (got, &answer["ResponseMetadata"]["Error"]["CodeN"], &answer["Result"]),
                (status, &number, &Value::Null)
            );
        }
    }

    #[tokio::test]
    async fn tasks_can_be_null_or_absent() {
        let cloud = cloud();
        cloud.order(Fault::null_tasks());
        assert_eq!(Client::usual().ask(&cloud, "").await.1["Result"], json!({ "NextToken": "", "Tasks": null }));
        cloud.order(Fault::absent_tasks());
        assert_eq!(Client::usual().ask(&cloud, "").await.1["Result"], json!({ "NextToken": "" }));
    }

    #[tokio::test]
    async fn pages_without_end_lead_from_one_to_the_next() {
        let cloud = cloud();
        cloud.put(crate::Task::export("t-1", "i-1"));
        cloud.order(Fault::endless_pages());
        let (mut sizes, mut tokens) = (Vec::new(), vec![String::new()]);
        for _ in 0..3 {
            let token = tokens.last().expect("there is one");
            let (_, answer) = Client::usual().ask(&cloud, &format!("&NextToken={token}")).await;
            sizes.push(answer["Result"]["Tasks"].as_array().unwrap().len());
            tokens.push(answer["Result"]["NextToken"].as_str().unwrap().to_owned());
        }
        tokens.dedup();
        assert_eq!((sizes, tokens.len()), (vec![1, 0, 0], 4));
    }

    #[tokio::test]
    async fn a_garbled_answer_is_no_utf_8() {
        let cloud = cloud();
        cloud.order(Fault::garbled());
        let response = answer(&cloud, &Client::usual().describe("")).await.unwrap();
        let body = http_body_util::BodyExt::collect(response.into_body()).await.unwrap().to_bytes();
        assert!(std::str::from_utf8(&body).is_err());
    }

    fn any_authorization() -> impl Strategy<Value = String> {
        let plausible = "HMAC-SHA256 Credential=[!-~]{0,20}/[0-9é]{0,9}/[a-z/]{0,9}/ecs/request, SignedHeaders=[ -~]{0,20}, Signature=[0-9a-fG]{0,66}";
        prop_oneof![any::<String>(), plausible]
    }

    proptest! {
        #[test]
        fn no_request_makes_it_panic(method in "[A-Za-z]{0,8}", path in any::<String>(), query in any::<String>(), date in any::<String>(), authorization in any_authorization()) {
            let mut request = Request::new(&method, &path, &query, Default::default(), "".into());
            for (name, value) in [("authorization", authorization), ("x-date", date)] {
                if let Ok(value) = hyper::header::HeaderValue::from_bytes(value.as_bytes()) {
                    request.headers.insert(name, value);
                }
            }
            let (status, _) = block_on(ask(&cloud(), &request));
            prop_assert!((400..500).contains(&status));
        }

        #[test]
        fn no_signed_query_makes_it_panic(results in any::<String>(), token in any::<String>(), name in "[ -~]{0,9}", date in "[0-9TZ]{15,17}") {
            let mut request = Client::usual().describe(&format!("&MaxResults={results}&NextToken={token}&TaskIds.{name}=t&{name}"));
            let (status, _) = block_on(ask(&cloud(), &request));
            prop_assert!(status == 200 || status == 400, "{status}");
            set(&mut request, "x-date", &date);
            let (status, _) = block_on(ask(&cloud(), &request));
            prop_assert!(status == 400 || status == 401, "{status}");
        }
    }

    fn block_on<T>(future: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
    }
}
