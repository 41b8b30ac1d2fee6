//! `DescribeTasks` (docs 6396/120437).

use jiff::Timestamp;
use serde_json::{Value, json};

use super::error::ApiError;
use super::page::{Binding, Page};
use super::query::Query;
use super::request::Request;
use crate::state::{Place, Tasks};

const DEFAULT_RESULTS: usize = 20;
const MAXIMUM_RESULTS: i64 = 100;
/// Of each kind.
const MAXIMUM_IDS: usize = 100;

/// The `Result` of the call.
pub(crate) fn describe_tasks(
    request: &Request,
    tasks: &Tasks,
    place: &Place,
    now_ms: u64,
    now: Timestamp,
) -> Result<Value, ApiError> {
    let size = page_size(&request.query)?;
    let task_ids = request.query.list("TaskIds");
    let resource_ids = request.resource_ids();
    if task_ids.len() > MAXIMUM_IDS {
        return Err(ApiError::of("LimitExceeded.MaximumTaskIds"));
    }
    if resource_ids.len() > MAXIMUM_IDS {
        return Err(ApiError::of("LimitExceeded.MaximumResourceIds"));
    }
    let found = tasks.select(place, &task_ids, &resource_ids, now_ms);
    let binding = Binding { place, task_ids: &task_ids, resource_ids: &resource_ids };
    let token = request.query.get("NextToken").unwrap_or_default();
    let page = Page::cut(found, &binding, &token, size)?;
    let shown: Vec<_> = page.tasks.into_iter().map(|task| Value::Object(task.fields(now))).collect();
    Ok(json!({ "NextToken": page.next_token, "Tasks": shown }))
}

/// The minimum is not documented, only that there is one; siblings print 1.
fn page_size(query: &Query) -> Result<usize, ApiError> {
    let Some(text) = query.get("MaxResults") else {
        return Ok(DEFAULT_RESULTS);
    };
    match text.parse::<i64>() {
        Ok(..1) => Err(ApiError::of("LimitExceeded.MinimumMaxResults")),
        Ok(number @ 1..=MAXIMUM_RESULTS) => Ok(usize::try_from(number).unwrap_or(DEFAULT_RESULTS)),
        Ok(_) => Err(ApiError::of("LimitExceeded.MaximumMaxResults")),
        Err(_) => Err(ApiError::of("InvalidMaxResults.Malformed")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::client::{Client, cloud};
    use crate::{Account, Cloud, Task};

    fn ids(letter: char, numbers: std::ops::RangeInclusive<u32>) -> Vec<String> {
        numbers.map(|number| format!("{letter}-{number:03}")).collect()
    }

    fn parameters(name: &str, ids: &[String]) -> String {
        (1..).zip(ids).map(|(number, id)| format!("&{name}.{number}={id}")).collect()
    }

    /// The ids of an answer, and the token as it goes into the next query.
    fn page(answer: &Value) -> (Vec<String>, String) {
        let tasks = answer["Result"]["Tasks"].as_array().unwrap();
        let ids = tasks.iter().map(|task| task["Id"].as_str().unwrap().to_owned()).collect();
        let token = answer["Result"]["NextToken"].as_str().unwrap();
        (ids, token.replace('+', "%2B").replace('/', "%2F").replace('=', "%3D"))
    }

    async fn found(cloud: &Cloud, client: &Client, parameters: &str) -> Vec<String> {
        page(&client.ask(cloud, parameters).await.1).0
    }

    async fn code(cloud: &Cloud, parameters: &str) -> String {
        let (_, answer) = Client::usual().ask(cloud, parameters).await;
        answer["ResponseMetadata"]["Error"]["Code"].as_str().unwrap_or("OK").to_owned()
    }

    #[tokio::test]
    async fn a_batch_of_100_ids_with_the_default_page_size_comes_in_five_pages() {
        let cloud = cloud();
        let all = ids('t', 1..=100);
        cloud.put_all(all.iter().map(|id| Task::export(id, "image-1")));
        let asked = parameters("TaskIds", &all);
        let (mut pages, mut token) = (Vec::new(), String::new());
        loop {
            let (_, answer) = Client::usual().ask(&cloud, &format!("{asked}&NextToken={token}")).await;
            let (shown, next) = page(&answer);
            pages.push(shown);
            token = next;
            if token.is_empty() {
                break;
            }
        }
        assert_eq!(pages, all.chunks(20).map(<[String]>::to_vec).collect::<Vec<_>>());
    }

    #[tokio::test]
    async fn a_page_that_holds_the_rest_exactly_is_the_last() {
        let cloud = cloud();
        cloud.put_all(ids('t', 1..=100).iter().map(|id| Task::export(id, "image-1")));
        let (_, answer) = Client::usual().ask(&cloud, "&MaxResults=100").await;
        assert_eq!(page(&answer), (ids('t', 1..=100), String::new()));
    }

    #[tokio::test]
    async fn a_task_that_vanishes_between_two_pages_moves_no_other() {
        let cloud = cloud();
        cloud.put_all(ids('t', 1..=4).iter().map(|id| Task::export(id, "image-1")));
        let (_, answer) = Client::usual().ask(&cloud, "&MaxResults=2").await;
        let (_, token) = page(&answer);
        cloud.remove("t-002");
        assert_eq!(found(&cloud, &Client::usual(), &format!("&NextToken={token}")).await, ids('t', 3..=4));
    }

    #[tokio::test]
    async fn a_token_continues_its_own_query_only() {
        let cloud = cloud();
        cloud.put_all(ids('t', 1..=4).iter().map(|id| Task::export(id, "image-1")));
        let (_, answer) = Client::usual().ask(&cloud, "&ResourceId=image-1&MaxResults=2").await;
        let (_, token) = page(&answer);
        assert_eq!(code(&cloud, &format!("&ResourceId=image-1&NextToken={token}")).await, "OK");
        for query in
            [format!("&NextToken={token}"), "&NextToken=3tiegs1y963vj0".to_owned(), "&NextToken=%00".to_owned()]
        {
            assert_eq!(code(&cloud, &query).await, "InvalidNextToken.Malformed", "{query}");
        }
    }

    #[tokio::test]
    async fn numbers_out_of_their_range_are_refused_by_name() {
        let cloud = cloud();
        let cases = [
            ("&MaxResults=101".to_owned(), "LimitExceeded.MaximumMaxResults"),
            ("&MaxResults=0".to_owned(), "LimitExceeded.MinimumMaxResults"),
            ("&MaxResults=-1".to_owned(), "LimitExceeded.MinimumMaxResults"),
            ("&MaxResults=many".to_owned(), "InvalidMaxResults.Malformed"),
            ("&MaxResults=".to_owned(), "InvalidMaxResults.Malformed"),
            ("&MaxResults=1".to_owned(), "OK"),
            ("&MaxResults=100".to_owned(), "OK"),
            (parameters("TaskIds", &ids('t', 1..=100)), "OK"),
            (parameters("TaskIds", &ids('t', 1..=101)), "LimitExceeded.MaximumTaskIds"),
            (parameters("ResourceIds", &ids('i', 1..=100)), "OK"),
            (parameters("ResourceIds", &ids('i', 1..=101)), "LimitExceeded.MaximumResourceIds"),
            (parameters("ResourceIds", &ids('i', 1..=100)) + "&ResourceId=i-101", "LimitExceeded.MaximumResourceIds"),
        ];
        for (query, expected) in cases {
            assert_eq!(code(&cloud, &query).await, expected, "{query}");
        }
    }

    #[tokio::test]
    async fn tasks_are_found_by_task_id_resource_id_both_or_neither() {
        let cloud = cloud();
        cloud.put_all([Task::export("t-1", "i-1"), Task::export("t-2", "i-1"), Task::export("t-3", "i-3")]);
        let cases: [(&str, &[&str]); 7] = [
            ("", &["t-1", "t-2", "t-3"]),
            ("&TaskIds.1=t-3&TaskIds.2=t-1&TaskIds.3=t-unknown", &["t-1", "t-3"]),
            ("&TaskIds.1=t-1&TaskIds.2=t-1", &["t-1"]),
            ("&ResourceIds.1=i-1&ResourceIds.2=i-3", &["t-1", "t-2", "t-3"]),
            ("&ResourceId=i-3", &["t-3"]),
            ("&TaskIds.1=t-1&TaskIds.2=t-3&ResourceIds.1=i-1", &["t-1"]),
            ("&TaskIds.1=t-unknown", &[]),
        ];
        for (query, expected) in cases {
            assert_eq!(found(&cloud, &Client::usual(), query).await, expected, "{query}");
        }
    }

    #[tokio::test]
    async fn nobody_sees_the_tasks_of_another_account_or_region() {
        let cloud = cloud();
        cloud.add(Account::new("AK2", "secret").of_account("demo"));
        cloud.add(Account::new("AK3", "secret").of_account("demo"));
        cloud.put_all([
            Task::export("t-1", "i-1"),
            Task::export("t-2", "i-1").account("demo"),
            Task::export("t-3", "i-1").account("demo").region("cn-shanghai"),
        ]);
        let shanghai = Client { region: "cn-shanghai".to_owned(), ..Client::new("AK2", "secret") };
        let clients = [Client::usual(), Client::new("AK2", "secret"), Client::new("AK3", "secret"), shanghai];
        let mut seen = Vec::new();
        for client in &clients {
            seen.push(found(&cloud, client, "&TaskIds.1=t-1&TaskIds.2=t-2&TaskIds.3=t-3").await);
        }
        assert_eq!(seen, [["t-1"], ["t-2"], ["t-2"], ["t-3"]]);
    }

    #[tokio::test]
    async fn a_task_shows_any_json_that_its_script_says() {
        let cloud = cloud();
        let odd = Task::export("t-1", "i-1")
            .status("Paused")
            .process(json!("45%"))
            .without("EndAt")
            .field("Reason", Value::Null);
        cloud.put(odd);
        let (status, answer) = Client::usual().ask(&cloud, "&TaskIds.1=t-1").await;
        let created = "2022-05-06T00:01:00+08:00";
        let expected = json!({ "NextToken": "", "Tasks": [{
            "Id": "t-1", "Type": "ExportImage", "Status": "Paused", "Process": "45%", "ResourceId": "i-1",
            "CreatedAt": created, "UpdatedAt": created, "Reason": null,
        }]});
        assert_eq!((status, &answer["Result"]), (200, &expected));
    }
}
