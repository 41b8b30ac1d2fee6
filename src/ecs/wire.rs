//! The two ends of the wire: the query that asks, the answer as it arrived and what it says.
//!
//! Every answer is read as if its sender were careless: a task that cannot be read spoils no other.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;
use std::time::Duration;

use k8s_openapi::jiff::Timestamp;
use k8s_openapi::jiff::fmt::rfc2822::DateTimeParser;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Error as _, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::Value;
use serde_json::value::RawValue;

use super::error::{Cause, sanitise};
use super::ids::MAX_ID;
use super::task::{MAX_STATUS, MAX_TIME, MAX_TYPE, cut};
use super::{Batch, Error, Task, TaskId, Words, sign};

/// An answer as it arrived, all but the body.
pub(super) struct Head {
    pub status: u16,
    /// `Date`: the cloud's own time.
    pub date: Option<Timestamp>,
    /// `Retry-After`, as [`retry_after`] reads it.
    pub retry_after: Option<Duration>,
    /// `X-Top-Request-Id`, sanitised; the one in the body goes first.
    pub request_id: Option<Box<str>>,
}

/// One page of an answer.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Page {
    /// What could be read, in the cloud's order, possibly repeated.
    pub tasks: Vec<Task>,
    /// Whether there was a list of tasks at all, an empty one included.
    pub listed: bool,
    /// Where the next page begins; absent on the last one.
    pub next: Option<String>,
    /// Sanitised.
    pub request_id: Option<Box<str>>,
}

/// The query of one page.
pub(super) fn query(batch: &Batch, next: Option<&str>) -> String {
    let mut parameters = batch.parameters();
    parameters.extend([("Action", "DescribeTasks"), ("Version", "2020-04-01"), ("MaxResults", MAX_RESULTS)]);
    parameters.extend(next.map(|token| ("NextToken", token)));
    sign::canonical_query(parameters)
}

/// What an answer says; its body may also be the reason why there is none. Tasks are those whose id `known` takes.
pub(super) fn decode(
    head: &Head,
    body: Result<Vec<u8>, Cause>,
    known: impl Fn(&str) -> Option<TaskId>,
) -> Result<Page, Error> {
    let body = body.map_err(|cause| head.unreadable(cause))?;
    in_one_pass(head, &body, &known).or_else(|_| part_by_part(head, &body, &known))
}

/// The result in an answer's envelope and the sanitised request id, or the refusal that stands in its place.
pub(super) fn open<'a, R>(head: &Head, body: &'a [u8]) -> Result<(Option<R>, Option<Box<str>>), Error>
where
    R: Deserialize<'a>,
{
    // The whole at once is several times as fast as each text of it.
    let text = str::from_utf8(body).map_err(serde_json::Error::custom);
    let envelope: Envelope<R> = text.and_then(serde_json::from_str).map_err(|error| head.unreadable(error.into()))?;
    let named = envelope.metadata["RequestId"].as_str().and_then(sanitise);
    let request_id = named.or_else(|| head.request_id.clone());
    match refusal(head, &envelope) {
        None => Ok((envelope.result, request_id)),
        Some(error) => Err(Error { request_id, ..error }),
    }
}

/// An HTTP date (RFC 9110 §5.6.7, its current form only).
pub(crate) fn http_date(value: &str) -> Option<Timestamp> {
    DateTimeParser::new().parse_timestamp(value.trim()).ok()
}

/// `Retry-After`, seconds or a date, at most [`MAX_RETRY_AFTER`].
pub(super) fn retry_after(value: &str, now: Timestamp) -> Option<Duration> {
    let value = value.trim();
    let wait = if !value.is_empty() && value.bytes().all(|b| b.is_ascii_digit()) {
        value.parse().map_or(MAX_RETRY_AFTER, Duration::from_secs)
    } else {
        Duration::try_from(http_date(value)?.duration_since(now)).unwrap_or(Duration::ZERO)
    };
    Some(wait.min(MAX_RETRY_AFTER))
}

/// 100: the most that one page holds (docs 6396/120437), so up to 100 task ids need one page.
const MAX_RESULTS: &str = "100";

/// 5 min: the slowest beat of a lane in trouble; a longer wait would be one that nobody explains.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(5 * 60);

impl Head {
    fn refused(&self, code: Option<Box<str>>) -> Error {
        Error::refused(code, self.status, self.retry_after)
    }

    pub(super) fn unreadable(&self, cause: Cause) -> Error {
        let error = Error::unusable(Some(self.status), self.retry_after);
        Error { request_id: self.request_id.clone(), source: Some(cause), ..error }
    }
}

/// What every answer is wrapped in; the last two are of gateways.
#[derive(Deserialize)]
struct Envelope<R> {
    #[serde(rename = "ResponseMetadata", default)]
    metadata: Value,
    #[serde(rename = "Result", default = "Option::default")]
    result: Option<R>,
    #[serde(default)]
    errorcode: Value,
    #[serde(rename = "HTTPCode", default)]
    http_code: Value,
}

fn refusal<R>(head: &Head, body: &Envelope<R>) -> Option<Error> {
    if !body.metadata.is_object() {
        return Some(gateway_refusal(head, body));
    }
    let error = &body.metadata["Error"];
    if !error.is_null() {
        return Some(head.refused(error["Code"].as_str().and_then(sanitise)));
    }
    (!(200..300).contains(&head.status)).then(|| head.refused(None))
}

/// The body that a gateway writes in place of the envelope (volcengine-go-sdk v1.2.49,
/// `volcenginequery/unmarshal_error.go`). Its own status counts where HTTP reports none. Without a code it may be
/// anybody's, of a proxy or a wrong host, and refuses nothing.
fn gateway_refusal<R>(head: &Head, body: &Envelope<R>) -> Error {
    let inner = body.http_code.as_u64().and_then(|inner| u16::try_from(inner).ok());
    let inner = inner.filter(|inner| head.status < 400 && (400..600).contains(inner));
    let status = inner.unwrap_or(head.status);
    match body.errorcode.as_str().and_then(sanitise) {
        Some(code) => Error::refused(Some(code), status, head.retry_after),
        None => Head { status, request_id: None, ..*head }.unreadable(Cause::Misshapen),
    }
}

/// An answer as it is documented.
fn in_one_pass(head: &Head, body: &[u8], known: impl Fn(&str) -> Option<TaskId>) -> Result<Page, Error> {
    let (listing, request_id) = open::<Object<Listing<Object<Fields<'_>>>>>(head, body)?;
    Ok(page(listing, request_id, |Object(fields)| fields.task(&known)))
}

/// An answer of which something is of the wrong type: a field is then absent, and a task that
/// cannot be read spoils no other.
fn part_by_part(head: &Head, body: &[u8], known: impl Fn(&str) -> Option<TaskId>) -> Result<Page, Error> {
    let (result, request_id) = open::<&RawValue>(head, body)?;
    let listing = result.map(|result| serde_json::from_str::<Object<Listing<&RawValue>>>(result.get())).transpose();
    let Ok(listing) = listing else {
        return Err(Error { request_id, ..head.unreadable(Cause::Misshapen) });
    };
    let task = |task: &RawValue| Fields::of(&serde_json::from_str(task.get()).ok()?).task(&known);
    Ok(page(listing, request_id, task))
}

/// No result, or no list in it, means no tasks, as the SDKs read it.
fn page<T>(
    listing: Option<Object<Listing<T>>>,
    request_id: Option<Box<str>>,
    task: impl Fn(T) -> Option<Task>,
) -> Page {
    let Listing { tasks, next_token } = listing.map_or_else(Listing::default, |Object(listing)| listing);
    Page {
        listed: tasks.is_some(),
        tasks: tasks.unwrap_or_default().into_iter().filter_map(task).collect(),
        next: next_token.filter(|token| !token.is_empty()),
        request_id,
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Listing<T> {
    #[serde(default = "Option::default")]
    tasks: Option<Vec<T>>,
    next_token: Option<String>,
}

impl<T> Default for Listing<T> {
    fn default() -> Self {
        Self { tasks: None, next_token: None }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Fields<'a> {
    #[serde(borrow)]
    id: Option<Text<'a>>,
    #[serde(borrow)]
    r#type: Option<Text<'a>>,
    #[serde(borrow)]
    status: Option<Text<'a>>,
    #[serde(default)]
    process: Value,
    #[serde(borrow)]
    resource_id: Option<Text<'a>>,
    #[serde(borrow)]
    created_at: Option<Text<'a>>,
    #[serde(borrow)]
    end_at: Option<Text<'a>>,
    #[serde(borrow)]
    updated_at: Option<Text<'a>>,
}

#[derive(Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

impl<'a> Fields<'a> {
    fn of(task: &'a Value) -> Self {
        let text = |name| task[name].as_str().map(|text| Text(text.into()));
        Self {
            id: text("Id"),
            r#type: text("Type"),
            status: text("Status"),
            process: task["Process"].clone(),
            resource_id: text("ResourceId"),
            created_at: text("CreatedAt"),
            end_at: text("EndAt"),
            updated_at: text("UpdatedAt"),
        }
    }

    /// A task, if it has a usable id.
    fn task(&self, known: impl Fn(&str) -> Option<TaskId>) -> Option<Task> {
        let words = Words {
            process: percent(&self.process),
            type_: word(&self.r#type, MAX_TYPE),
            status: word(&self.status, MAX_STATUS),
            resource_id: word(&self.resource_id, MAX_ID),
            created_at: word(&self.created_at, MAX_TIME),
            ended_at: word(&self.end_at, MAX_TIME),
            updated_at: word(&self.updated_at, MAX_TIME),
        };
        let Text(id) = self.id.as_ref()?;
        Some(Task::new(known(id)?, words))
    }
}

fn word<'a>(text: &'a Option<Text<'_>>, max: usize) -> Option<&'a str> {
    text.as_ref().and_then(|Text(text)| cut(text, max))
}

/// What is an object in JSON too; a derived struct also takes an array.
struct Object<T>(T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members<T>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>> Visitor<'de> for Members<T> {
            type Value = Object<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<M: MapAccess<'de>>(self, members: M) -> Result<Object<T>, M::Error> {
                T::deserialize(MapAccessDeserializer::new(members)).map(Object)
            }
        }

        deserializer.deserialize_map(Members(PhantomData))
    }
}

/// A number, or a text such as `"45"` and `"45%"` that an older edition of the documentation shows.
fn percent(value: &Value) -> Option<u8> {
    let number: f64 = match value {
        Value::Number(number) => number.as_f64()?,
        Value::String(text) => text.trim().trim_end_matches('%').trim_end().parse().ok()?,
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => return None,
    };
    number.is_finite().then_some(number.clamp(0.0, 100.0) as u8)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, prop, prop_assert, prop_assert_eq, proptest};
    use serde_json::json;

    use super::*;
    use crate::ecs::{ErrorKind, Ids};

    /// The example of docs 6396/120437, its stars replaced.
    const DOCUMENTED: &str = r#"{ "ResponseMetadata": { "RequestId": "202106111445100102252431000052",
        "Action": "DescribeTasks", "Version": "2020-04-01", "Service": "ecs", "Region": "cn-beijing" },
        "Result": { "NextToken": "", "Tasks": [ { "Id": "t-ybnz9qci2sahiqdl0001",
        "CreatedAt": "2022-05-06T00:01:00+08:00", "UpdatedAt": "2022-05-06T00:07:12+08:00",
        "EndAt": "2022-05-06T00:07:12+08:00", "ResourceId": "image-ybnz9qci2sahiqdl0001",
        "Type": "ExportImage", "Process": 100, "Status": "Succeeded" } ] } }"#;

    fn head(status: u16) -> Head {
        Head { status, date: None, retry_after: None, request_id: None }
    }

    fn bare(id: &str) -> Task {
        told(id, Words::default())
    }

    fn told(id: &str, words: Words<'_>) -> Task {
        Task::new(TaskId::parse(id).unwrap(), words)
    }

    fn read(head: &Head, body: impl Into<Vec<u8>>) -> Result<Page, Error> {
        decode(head, Ok(body.into()), |id| TaskId::parse(id).ok())
    }

    fn answer(result: Value) -> Result<Page, Error> {
        let body = json!({"ResponseMetadata": {"RequestId": "r-1"}, "Result": result});
        read(&head(200), body.to_string())
    }

    fn page(tasks: Vec<Task>, next: Option<&str>) -> Page {
        Page { tasks, listed: true, next: next.map(str::to_owned), request_id: Some("r-1".into()) }
    }

    type Seen = (ErrorKind, Option<Box<str>>, Option<u16>, Option<Box<str>>);

    fn refused(status: u16, body: &str) -> Seen {
        let error = read(&head(status), body).unwrap_err();
        (error.kind, error.code, error.http_status, error.request_id)
    }

    fn seen(kind: ErrorKind, code: &str, status: u16, request_id: &str) -> Seen {
        (kind, sanitise(code), Some(status), sanitise(request_id))
    }

    #[test]
    fn the_documented_answer_is_read_whole() {
        let words = Words {
            type_: Some("ExportImage"),
            status: Some("Succeeded"),
            process: Some(100),
            resource_id: Some("image-ybnz9qci2sahiqdl0001"),
            created_at: Some("2022-05-06T00:01:00+08:00"),
            updated_at: Some("2022-05-06T00:07:12+08:00"),
            ended_at: Some("2022-05-06T00:07:12+08:00"),
        };
        let task = told("t-ybnz9qci2sahiqdl0001", words);
        let page = Page {
            tasks: vec![task],
            listed: true,
            next: None,
            request_id: Some("202106111445100102252431000052".into()),
        };
        assert_eq!(read(&head(200), DOCUMENTED).unwrap(), page);
    }

    #[test]
    fn no_result_or_no_list_is_an_answer_without_tasks() {
        for empty in [json!(null), json!({}), json!({"Tasks": null, "NextToken": null})] {
            assert_eq!(answer(empty).unwrap(), Page { listed: false, ..page(vec![], None) });
        }
        assert_eq!(answer(json!({"Tasks": []})).unwrap(), page(vec![], None));
    }

    #[test]
    fn a_next_token_is_kept_as_it_is() {
        assert_eq!(answer(json!({"Tasks": [], "NextToken": "a+b/c=="})).unwrap(), page(vec![], Some("a+b/c==")));
    }

    #[test]
    fn a_malformed_task_spoils_no_other() {
        let tasks = json!([
            null, 7, "t-1", [], {}, {"Id": null}, {"Id": 7}, {"Id": ""}, {"Id": "t 1"}, {"Id": "t-****"},
            {"Id": "t-1", "Type": 7, "Status": {}, "Process": [], "ResourceId": null, "CreatedAt": false, "EndAt": ""},
            {"Id": "t-2", "Status": "Paused", "Reason": "a field that does not exist yet"},
        ]);
        let paused = told("t-2", Words { status: Some("Paused"), ..Words::default() });
        assert_eq!(answer(json!({"Tasks": tasks})).unwrap(), page(vec![bare("t-1"), paused], None));
    }

    #[test]
    fn words_are_cut_to_what_a_status_holds_and_otherwise_kept() {
        let long = "\u{1}é".repeat(100);
        let cut = |max| long.chars().take(max).collect::<String>();
        let task = json!({
            "Id": "t-1", "Type": long, "Status": long, "ResourceId": long, "CreatedAt": long, "UpdatedAt": long,
            "EndAt": long,
        });
        let (short, id) = (cut(64), cut(128));
        let (short, id) = (Some(&*short), Some(&*id));
        let words = Words {
            process: None,
            type_: short,
            status: short,
            resource_id: id,
            created_at: short,
            ended_at: short,
            updated_at: short,
        };
        let expected = told("t-1", words);
        assert_eq!(answer(json!({"Tasks": [task]})).unwrap(), page(vec![expected], None));
    }

    #[test]
    fn a_percentage_is_read_from_numbers_and_texts_and_clamped() {
        for (process, read) in [
            (json!(0), Some(0)),
            (json!(45), Some(45)),
            (json!(45.9), Some(45)),
            (json!(-1), Some(0)),
            (json!(101), Some(100)),
            (json!(u64::MAX), Some(100)),
            (json!("45"), Some(45)),
            (json!("45%"), Some(45)),
            (json!(" 45.5 % "), Some(45)),
            (json!("999%"), Some(100)),
            (json!(""), None),
            (json!("%"), None),
            (json!("NaN"), None),
            (json!("inf"), None),
            (json!("half"), None),
            (json!(null), None),
            (json!(true), None),
            (json!([45]), None),
            (json!({"Percent": 45}), None),
        ] {
            assert_eq!(percent(&process), read, "{process}");
        }
    }

    #[test]
    fn an_error_object_is_a_refusal_whatever_the_status() {
        let body = |code: &str| {
            json!({"ResponseMetadata": {"RequestId": "r-1", "Error": {"Code": code, "CodeN": 1, "Message": "secret"}}})
                .to_string()
        };
        let throttled = ErrorKind::Throttled { retry_after: None };
        for status in [200, 400, 429] {
            let code = "AccountFlowLimitExceeded";
            assert_eq!(refused(status, &body(code)), seen(throttled, code, status, "r-1"));
        }
        assert_eq!(
            refused(401, &body("InvalidAccessKey")),
            seen(ErrorKind::CredentialsInvalid, "InvalidAccessKey", 401, "r-1")
        );
        assert_eq!(refused(200, &body("")), seen(ErrorKind::Unavailable, "", 200, "r-1"));
        assert_eq!(
            refused(200, r#"{"ResponseMetadata": {"Error": "broken"}, "Result": {"Tasks": []}}"#),
            seen(ErrorKind::Unavailable, "", 200, "")
        );
    }

    #[test]
    fn tasks_in_an_answer_that_reports_failure_by_status_do_not_count() {
        assert_eq!(refused(500, DOCUMENTED), seen(ErrorKind::Unavailable, "", 500, "202106111445100102252431000052"));
    }

    #[test]
    fn a_gateways_own_body_is_understood() {
        let throttled = ErrorKind::Throttled { retry_after: None };
        let limit = r#"{"HTTPCode": 429, "errorcode": "FlowLimitExceeded", "message": "slow down"}"#;
        assert_eq!(refused(429, limit), seen(throttled, "FlowLimitExceeded", 429, ""));
        let unnamed = r#"{"HTTPCode": 503, "message": "no backend"}"#;
        assert_eq!(refused(200, unnamed), seen(ErrorKind::Unavailable, "", 503, ""));
        assert_eq!(refused(403, unnamed), seen(ErrorKind::Unavailable, "", 403, ""));
    }

    #[test]
    fn what_the_api_did_not_write_refuses_nothing_whatever_its_status() {
        let cut = &DOCUMENTED[..DOCUMENTED.len() / 2];
        let unreadable = [
            "",
            " ",
            "Bad Gateway",
            "<html>502</html>",
            cut,
            "null",
            "[]",
            "7",
            "{}",
            r#"{"Result": {"Tasks": []}}"#,
            r#"{"ResponseMetadata": null, "Result": {"Tasks": []}}"#,
        ];
        for body in unreadable {
            for status in [200, 302, 400, 401, 403, 404, 502] {
                assert_eq!(refused(status, body), seen(ErrorKind::Unavailable, "", status, ""), "{body}");
            }
            let throttled = ErrorKind::Throttled { retry_after: None };
            assert_eq!(refused(429, body), seen(throttled, "", 429, ""), "{body}");
        }
    }

    #[test]
    fn a_result_of_another_shape_is_no_answer() {
        for result in [
            json!("none"),
            json!([]),
            json!(7),
            json!({"Tasks": {}}),
            json!({"Tasks": "none"}),
            json!({"NextToken": 7}),
        ] {
            let error = answer(result.clone()).unwrap_err();
            assert_eq!(error.kind, ErrorKind::Unavailable, "{result}");
        }
    }

    #[test]
    fn the_request_id_of_the_header_stands_in_for_a_missing_one() {
        let head = Head { request_id: Some("r-2".into()), ..head(502) };
        for (body, request_id) in
            [("", "r-2"), (r#"{"ResponseMetadata": {}}"#, "r-2"), (DOCUMENTED, "202106111445100102252431000052")]
        {
            let error = read(&head, body).unwrap_err();
            assert_eq!(error.request_id.as_deref(), Some(request_id), "{body}");
        }
    }

    #[test]
    fn a_wait_is_read_as_seconds_or_as_a_date_and_capped() {
        let now = "1994-11-06T08:49:00Z".parse().unwrap();
        for (value, wait) in [
            ("0", Some(0)),
            (" 37 ", Some(37)),
            ("Sun, 06 Nov 1994 08:49:37 GMT", Some(37)),
            ("Sun, 06 Nov 1994 08:48:37 GMT", Some(0)),
            ("Mon, 06 Nov 2034 08:49:37 GMT", Some(300)),
            ("301", Some(300)),
            ("99999999999999999999999", Some(300)),
            ("", None),
            ("-1", None),
            ("soon", None),
        ] {
            assert_eq!(retry_after(value, now), wait.map(Duration::from_secs), "{value:?}");
        }
    }

    #[test]
    fn a_query_is_complete_sorted_and_escaped() {
        let ids = ["t-b", "t-a"].map(|id| TaskId::parse(id).unwrap());
        let batch = Batch::Tasks(Ids::new(ids.to_vec()).unwrap());
        assert_eq!(
            query(&batch, None),
            "Action=DescribeTasks&MaxResults=100&TaskIds.1=t-a&TaskIds.2=t-b&Version=2020-04-01"
        );
        assert_eq!(
            query(&batch, Some("a+b/c= é")),
            "Action=DescribeTasks&MaxResults=100&NextToken=a%2Bb%2Fc%3D%20%C3%A9&TaskIds.1=t-a&TaskIds.2=t-b&Version=2020-04-01"
        );
    }

    proptest! {
        #[test]
        fn no_bytes_panic(status in any::<u16>(), bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            prop_assert!(read(&head(status), bytes).is_err());
        }

        #[test]
        fn no_answer_that_was_cut_or_changed_panics(cut in 0..DOCUMENTED.len(), at in 0..DOCUMENTED.len(), byte in any::<u8>()) {
            let mut changed = DOCUMENTED.as_bytes().to_vec();
            changed[at] = byte;
            for page in [read(&head(200), changed), read(&head(200), &DOCUMENTED[..cut])] {
                prop_assert!(page.map_or(0, |page| page.tasks.len()) <= 1);
            }
        }

        #[test]
        fn whatever_stands_in_the_fields_the_task_is_kept(fields in prop::array::uniform7(field())) {
            let mut task = json!({"Id": "t-1"});
            let names = ["Type", "Status", "Process", "ResourceId", "CreatedAt", "UpdatedAt", "EndAt"];
            for (name, value) in names.iter().zip(fields) {
                task[name] = value;
            }
            let tasks = answer(json!({"Tasks": [task]})).unwrap().tasks;
            prop_assert_eq!(tasks.len(), 1);
            prop_assert!(tasks[0].process().is_none_or(|percent| percent <= 100));
        }
    }

    fn field() -> impl prop::strategy::Strategy<Value = Value> {
        use prop::strategy::Strategy;
        proptest::prop_oneof![
            any::<Option<bool>>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<String>().prop_map(Value::from),
            prop::collection::vec(any::<i8>(), 0..3).prop_map(Value::from),
        ]
    }
}
