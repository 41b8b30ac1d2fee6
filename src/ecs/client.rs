//! Asks the cloud: sends signed requests, follows pages, corrects the clock.

use std::mem;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use k8s_openapi::jiff::Timestamp;
use reqwest::Url;
use reqwest::header::{HeaderMap, HeaderValue};
use secrecy::ExposeSecret;

use super::endpoint::{address, host};
use super::http::{self, Body, BuildError, Timeouts};
use super::wire::{self, Head, Page};
use super::{Batch, Endpoint, Error, ErrorKind, Region, Task, sign};
use crate::credentials::Credentials;

/// The client of one cloud; clones share connections and the measured clock skew.
#[derive(Debug, Clone)]
pub struct Client {
    http: reqwest::Client,
    endpoint: Option<Endpoint>,
    /// Seconds by which the cloud's clock is ahead of ours, as far as it ever mattered.
    skew: Arc<AtomicI64>,
}

/// The tasks that the cloud told of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// Tasks that were asked for, each once, in ascending order of their ids.
    pub tasks: Vec<Task>,
    /// Request id of the last page, in the characters of [`Error::code`].
    pub request_id: Option<Box<str>>,
    /// Whether every page was read. Only then does the absence of a task mean something.
    pub complete: bool,
    /// HTTP requests made, at least one.
    pub calls: u32,
}

impl Client {
    /// A client of the administrator's endpoint; `None` finds the host by region, as the SDKs do.
    ///
    /// # Panics
    /// When no rustls crypto provider is installed.
    pub fn new(endpoint: Option<Endpoint>) -> Result<Self, BuildError> {
        Self::with_timeouts(endpoint, Timeouts::DEFAULT)
    }

    /// Like [`Client::new`], with other bounds.
    pub fn with_timeouts(endpoint: Option<Endpoint>, timeouts: Timeouts) -> Result<Self, BuildError> {
        Ok(Self { http: http::client(endpoint.as_ref(), timeouts)?, endpoint, skew: Arc::default() })
    }

    /// Asks one question, page by page, and reads `now` once for each request that it signs.
    ///
    /// Takes [`Timeouts::request`] per request at most, of which there are two per page (the second
    /// where the clock had to be corrected) on at most 20 pages; mostly it is one.
    /// What a cloud tells unasked is dropped, and of two reports of one task the newer is kept.
    /// A page that fails fails the question; what earlier pages told comes again with the next one.
    pub async fn describe_tasks(
        &self,
        credentials: &Credentials,
        region: &Region,
        batch: &Batch,
        now: &(dyn Fn() -> Timestamp + Send + Sync),
    ) -> Result<Answer, Error> {
        let address = address(self.endpoint.as_ref(), region);
        let mut question = Paging { client: self, credentials, region, batch, address, now, calls: 0 };
        let (mut tasks, mut tokens) = (Vec::new(), Vec::new());
        loop {
            let page = question.page(tokens.last().map(String::as_str)).await;
            let page = page.map_err(|error| Error { calls: question.calls, ..error })?;
            // "No list" means no tasks on the first page only: where a token promised more it hides some.
            if !page.listed && !tokens.is_empty() {
                return Err(Error::broken_off(page.request_id, question.calls));
            }
            tasks.extend(page.tasks.into_iter().filter(|task| batch.asks_for(task)));
            match page.next {
                Some(token) if leads_on(&token, &tokens) => tokens.push(token),
                next => {
                    return Ok(Answer {
                        tasks: distinct(tasks),
                        request_id: page.request_id,
                        complete: next.is_none(),
                        calls: question.calls,
                    });
                }
            }
        }
    }
}

#[cfg(any(fuzzing, feature = "bench"))]
impl Client {
    /// The headers of the request for the first page of an answer, signed.
    pub(super) fn signed(&self, credentials: &Credentials, region: &Region, batch: &Batch, at: Timestamp) -> HeaderMap {
        let address = address(self.endpoint.as_ref(), region);
        let question = Paging { client: self, credentials, region, batch, address, now: &|| at, calls: 0 };
        question.headers(&wire::query(batch, None), at)
    }
}

/// 20: a server that ignores `MaxResults` needs 5 pages of 20 for 100 tasks; the rest is for images
/// with up to 20 tasks each.
const MAX_PAGES: usize = 20;

/// 2 KiB: documented tokens have some 50 characters; a query must stay under the 8 KiB that servers take.
const MAX_TOKEN: usize = 2 * 1024;

/// One question on its way.
struct Paging<'a> {
    client: &'a Client,
    credentials: &'a Credentials,
    region: &'a Region,
    batch: &'a Batch,
    address: Url,
    now: &'a (dyn Fn() -> Timestamp + Send + Sync),
    calls: u32,
}

impl Paging<'_> {
    /// Reads one page; when the cloud finds our clock wrong, once more by its own.
    async fn page(&mut self, next: Option<&str>) -> Result<Page, Error> {
        let query = &wire::query(self.batch, next);
        let ours = (self.now)();
        let known = self.client.skew.load(Ordering::Relaxed);
        let (head, body) = self.send(query, shifted(ours, known)).await?;
        let first = self.decode(&head, body);
        let Some(date) = head.date.filter(|_| names_clock(&first)) else {
            return first;
        };
        let measured = date.as_second() - ours.as_second();
        let (head, body) = self.send(query, shifted((self.now)(), measured)).await?;
        let second = self.decode(&head, body);
        if !names_clock(&second) {
            self.client.skew.store(measured, Ordering::Relaxed);
        }
        second
    }

    fn decode(&self, head: &Head, body: Body) -> Result<Page, Error> {
        wire::decode(head, body, |id| self.batch.task_id(id))
    }

    async fn send(&mut self, query: &str, at: Timestamp) -> Result<(Head, Body), Error> {
        self.calls += 1;
        let mut url = self.address.clone();
        url.set_query(Some(query));
        let request = self.client.http.get(url).headers(self.headers(query, at));
        let response = request.send().await.map_err(Error::transport)?;
        Ok((http::head(&response, at), http::body(response).await))
    }

    /// Everything that is signed but the host, and the signature. A content type would only add a way to fail.
    fn headers(&self, query: &str, at: Timestamp) -> HeaderMap {
        let (date, host) = (sign::date(at), host(&self.address));
        let mut signed = vec![("host", host.as_str()), ("x-content-sha256", sign::EMPTY_PAYLOAD), ("x-date", &date)];
        let token = self.credentials.session_token();
        signed.extend(token.map(|token| ("x-security-token", token.expose_secret())));
        let request =
            sign::Request { method: "GET", path: "/", query, headers: &signed, payload_hash: sign::EMPTY_PAYLOAD };
        let scope = sign::CredentialScope { date: &date, region: self.region.as_str(), service: "ecs" };
        let authorization = sign::authorization(&request, &scope, self.credentials);
        let sent = signed.into_iter().filter(|(name, _)| *name != "host");
        sent.chain([("authorization", authorization.as_str())])
            .map(|(name, value)| {
                let name = name.parse().expect("the names above are header names");
                (name, hidden(value))
            })
            .collect()
    }
}

fn hidden(value: &str) -> HeaderValue {
    let mut value = HeaderValue::from_str(value).expect("keys, regions and dates are visible ASCII");
    value.set_sensitive(true);
    value
}

/// Whether to follow a token: not round in a circle, not for ever.
fn leads_on(token: &String, before: &[String]) -> bool {
    token.len() <= MAX_TOKEN && before.len() + 1 < MAX_PAGES && !before.contains(token)
}

fn names_clock(outcome: &Result<Page, Error>) -> bool {
    outcome.as_ref().is_err_and(|error| error.kind == ErrorKind::Clock)
}

/// A time beyond the calendar stays as it is: the cloud refuses either.
fn shifted(ours: Timestamp, skew: i64) -> Timestamp {
    Timestamp::from_second(ours.as_second().saturating_add(skew)).unwrap_or(ours)
}

/// Each task once: the report with the newer `UpdatedAt`, between equals the one that was read later.
fn distinct(mut tasks: Vec<Task>) -> Vec<Task> {
    tasks.sort_by(|a, b| a.id.cmp(&b.id));
    tasks.dedup_by(|later, kept| {
        let repeated = later.id == kept.id;
        if repeated && later.compare_age(kept).is_ge() {
            mem::swap(later, kept);
        }
        repeated
    });
    tasks
}

#[cfg(test)]
mod tests {
    use std::error::Error as _;
    use std::io::{Read, Write};
    use std::net::{SocketAddr, TcpListener, TcpStream};
    use std::sync::Mutex;
    use std::thread;
    use std::time::Duration;

    use serde_json::{Value, json};

    use super::*;
    use crate::credentials::{ACCESS_KEY, SECRET_KEY, SESSION_TOKEN};
    use crate::ecs::error::Cause;
    use crate::ecs::http::{MAX_BODY, USER_AGENT};
    use crate::ecs::{Ids, ResourceId, TaskId, Word, Words};

    /// The first second of every world.
    const START: &str = "2022-05-06T00:07:12Z";

    /// A server on this machine that gives the queued answers, one a connection, and then is gone.
    struct Cloud {
        address: SocketAddr,
        requests: Arc<Mutex<Vec<String>>>,
    }

    enum Say {
        Bytes(Vec<u8>),
        Nothing,
    }

    impl Cloud {
        fn new(answers: Vec<Say>) -> Self {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let address = listener.local_addr().unwrap();
            let requests = Arc::<Mutex<Vec<String>>>::default();
            let seen = Arc::clone(&requests);
            thread::spawn(move || {
                for answer in answers {
                    let (mut stream, _) = listener.accept().unwrap();
                    let request = read_head(&mut stream);
                    seen.lock().unwrap().push(request);
                    match answer {
                        // The client may hang up before it has taken everything.
                        Say::Bytes(bytes) => drop(stream.write_all(&bytes)),
                        Say::Nothing => drop(stream.read(&mut [0])),
                    }
                }
            });
            Self { address, requests }
        }

        fn client(&self) -> Client {
            client(&format!("http://{}", self.address))
        }

        async fn ask(&self, batch: &Batch) -> Result<Answer, Error> {
            ask(&self.client(), batch).await
        }

        fn requests(&self) -> Vec<String> {
            self.requests.lock().unwrap().clone()
        }

        /// One header of every request, in the order of their arrival.
        fn headers(&self, name: &str) -> Vec<String> {
            let header = |request: &String| {
                let mut lines = request.lines().filter_map(|line| line.split_once(": "));
                lines.find(|(found, _)| *found == name).map(|(_, value)| value.to_owned())
            };
            self.requests().iter().filter_map(header).collect()
        }
    }

    fn client(endpoint: &str) -> Client {
        // Another test may have installed it already.
        drop(rustls::crypto::ring::default_provider().install_default());
        let timeouts = Timeouts { connect: Duration::from_secs(2), request: Duration::from_secs(2) };
        Client::with_timeouts(Some(Endpoint::parse(endpoint).unwrap()), timeouts).unwrap()
    }

    fn read_head(stream: &mut TcpStream) -> String {
        let (mut head, mut byte) = (Vec::new(), [0]);
        while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).unwrap() == 1 {
            head.push(byte[0]);
        }
        String::from_utf8(head).unwrap()
    }

    fn credentials() -> Credentials {
        Credentials::from_pairs(|name| match name {
            ACCESS_KEY => Some(b"AKEXAMPLE".to_vec()),
            SECRET_KEY => Some(b"exampleSecretKey".to_vec()),
            SESSION_TOKEN => Some(b"exampleSessionToken".to_vec()),
            _ => None,
        })
        .unwrap()
    }

    /// Asks with a clock that moves one second each time it is read.
    async fn ask(client: &Client, batch: &Batch) -> Result<Answer, Error> {
        let start: Timestamp = START.parse().unwrap();
        let ticks = AtomicI64::new(start.as_second());
        let now = move || Timestamp::from_second(ticks.fetch_add(1, Ordering::Relaxed)).unwrap();
        let region = Region::parse("cn-beijing").unwrap();
        let credentials = credentials();
        let answer = client.describe_tasks(&credentials, &region, batch, &now);
        tokio::time::timeout(Duration::from_secs(30), answer).await.expect("every request is bounded")
    }

    fn http(status: u16, headers: &[&str], body: &str) -> Say {
        let headers: String = headers.iter().map(|header| format!("{header}\r\n")).collect();
        let length = body.len();
        Say::Bytes(
            format!("HTTP/1.1 {status} x\r\nconnection: close\r\ncontent-length: {length}\r\n{headers}\r\n{body}")
                .into(),
        )
    }

    fn tasks(tasks: Value, next: &str) -> Say {
        let metadata = json!({"RequestId": "r-1"});
        let body = json!({"ResponseMetadata": metadata, "Result": {"Tasks": tasks, "NextToken": next}});
        http(200, &[], &body.to_string())
    }

    fn refusal(status: u16, headers: &[&str], code: &str) -> Say {
        let body = json!({"ResponseMetadata": {"RequestId": "r-1", "Error": {"Code": code}}});
        http(status, headers, &body.to_string())
    }

    fn batch(ids: &[&str]) -> Batch {
        Batch::Tasks(Ids::new(ids.iter().map(|id| TaskId::parse(id).unwrap()).collect()).unwrap())
    }

    fn reported(id: &str, status: &str, updated_at: Option<&str>) -> Task {
        task(id, Words { status: Some(status), updated_at, ..Words::default() })
    }

    fn task(id: &str, words: Words<'_>) -> Task {
        Task::new(TaskId::parse(id).unwrap(), words)
    }

    fn answer(tasks: Vec<Task>, complete: bool, calls: u32) -> Answer {
        Answer { tasks, request_id: Some("r-1".into()), complete, calls }
    }

    type Seen = (ErrorKind, Option<u16>, u32, Option<String>);

    /// An error as far as it can be compared: kind, status, calls, cause.
    fn seen(outcome: Result<Answer, Error>) -> Seen {
        let error = outcome.unwrap_err();
        (error.kind, error.http_status, error.calls, error.source().map(ToString::to_string))
    }

    #[tokio::test]
    async fn a_question_is_one_signed_get() {
        let cloud = Cloud::new(vec![tasks(json!([{"Id": "t-1", "Status": "Running"}]), "")]);
        let running = reported("t-1", "Running", None);
        assert_eq!(cloud.ask(&batch(&["t-1", "t-2"])).await.unwrap(), answer(vec![running], true, 1));

        let request = cloud.requests().remove(0);
        let line =
            "GET /?Action=DescribeTasks&MaxResults=100&TaskIds.1=t-1&TaskIds.2=t-2&Version=2020-04-01 HTTP/1.1\r\n";
        assert!(request.starts_with(line), "{request}");
        assert_eq!(cloud.headers("host"), [cloud.address.to_string()]);
        assert_eq!(cloud.headers("x-date"), ["20220506T000712Z"]);
        assert_eq!(cloud.headers("x-content-sha256"), [sign::EMPTY_PAYLOAD]);
        assert_eq!(cloud.headers("x-security-token"), ["exampleSessionToken"]);
        assert_eq!(cloud.headers("user-agent"), [USER_AGENT]);
        assert!(!request.contains("exampleSecretKey"));
    }

    #[tokio::test]
    async fn what_is_sent_is_what_was_signed() {
        let next = "a+b/c=d&e f~g*h'i(j)k\"<>^`{}|é";
        let cloud = Cloud::new(vec![tasks(json!([]), next), tasks(json!([]), "")]);
        assert_eq!(cloud.ask(&batch(&["t-1"])).await.unwrap(), answer(vec![], true, 2));
        for (n, request) in cloud.requests().iter().enumerate() {
            let target = request.split(' ').nth(1).unwrap();
            let header = |name| cloud.headers(name).remove(n);
            let (host, date, token) = (header("host"), header("x-date"), header("x-security-token"));
            let signed = [
                ("host", &*host),
                ("x-content-sha256", sign::EMPTY_PAYLOAD),
                ("x-date", &date),
                ("x-security-token", &token),
            ];
            let query = target.strip_prefix("/?").unwrap();
            let request =
                sign::Request { method: "GET", path: "/", query, headers: &signed, payload_hash: sign::EMPTY_PAYLOAD };
            let scope = sign::CredentialScope { date: &date, region: "cn-beijing", service: "ecs" };
            assert_eq!(header("authorization"), sign::authorization(&request, &scope, &credentials()));
        }
    }

    #[tokio::test]
    async fn every_page_is_read_and_signed_anew() {
        let cloud = Cloud::new(vec![
            tasks(json!([{"Id": "t-2", "Status": "Pending"}]), "p2"),
            tasks(json!([]), "p3"),
            tasks(json!([{"Id": "t-1", "Status": "Failed"}]), ""),
        ]);
        let both = vec![reported("t-1", "Failed", None), reported("t-2", "Pending", None)];
        assert_eq!(cloud.ask(&batch(&["t-1", "t-2"])).await.unwrap(), answer(both, true, 3));
        assert_eq!(cloud.headers("x-date"), ["20220506T000712Z", "20220506T000713Z", "20220506T000714Z"]);
        let tokens: Vec<bool> = cloud.requests().iter().map(|request| request.contains("&NextToken=p")).collect();
        assert_eq!(tokens, [false, true, true]);
    }

    #[tokio::test]
    async fn pages_that_lead_nowhere_end_in_an_incomplete_answer() {
        let circle = Cloud::new(["p2", "p3", "p2"].map(|next| tasks(json!([]), next)).into());
        assert_eq!(circle.ask(&batch(&["t-1"])).await.unwrap(), answer(vec![], false, 3));
        let endless = Cloud::new((0..30).map(|n| tasks(json!([]), &format!("p{n}"))).collect());
        assert_eq!(endless.ask(&batch(&["t-1"])).await.unwrap(), answer(vec![], false, 20));
        let huge = Cloud::new(vec![tasks(json!([]), &"p".repeat(MAX_TOKEN + 1))]);
        assert_eq!(huge.ask(&batch(&["t-1"])).await.unwrap(), answer(vec![], false, 1));
    }

    #[tokio::test]
    async fn a_failed_page_fails_the_question() {
        let cloud = Cloud::new(vec![tasks(json!([{"Id": "t-1"}]), "p2"), refusal(429, &[], "FlowLimitExceeded")]);
        let throttled = ErrorKind::Throttled { retry_after: None };
        assert_eq!(seen(cloud.ask(&batch(&["t-1"])).await), (throttled, Some(429), 2, None));
    }

    #[tokio::test]
    async fn a_promised_page_without_a_list_fails_the_question() {
        for result in [json!(null), json!({}), json!({"Tasks": null})] {
            let body = json!({"ResponseMetadata": {"RequestId": "r-1"}, "Result": result}).to_string();
            let cloud = Cloud::new(vec![tasks(json!([{"Id": "t-1"}]), "p2"), http(200, &[], &body)]);
            let cause = Some(Cause::Misshapen.to_string());
            assert_eq!(seen(cloud.ask(&batch(&["t-1"])).await), (ErrorKind::Unavailable, None, 2, cause));
        }
    }

    #[tokio::test]
    async fn a_task_that_nobody_asked_for_is_dropped() {
        let told = json!([
            {"Id": "t-1", "Status": "Running", "ResourceId": "image-1"},
            {"Id": "t-2", "Status": "Failed", "ResourceId": "image-2"},
            {"Id": "t-3", "Status": "Failed"},
        ]);
        let cloud = Cloud::new(vec![tasks(told.clone(), ""), tasks(told, "")]);
        let words = Words { status: Some("Running"), resource_id: Some("image-1"), ..Words::default() };
        let asked = task("t-1", words);
        let image = Ids::new(vec![ResourceId::parse("image-1").unwrap()]).unwrap();
        for batch in [batch(&["t-1"]), Batch::Resources(image)] {
            assert_eq!(cloud.ask(&batch).await.unwrap(), answer(vec![asked.clone()], true, 1));
        }
        assert!(cloud.requests()[1].contains("&ResourceIds.1=image-1&"));
    }

    #[test]
    fn of_two_reports_of_one_task_the_newer_is_kept() {
        let (early, late) = (Some("2022-05-06T00:01:00+08:00"), Some("2022-05-06T00:02:00+08:00"));
        let report = |status, updated_at| reported("t-1", status, updated_at);
        let other = reported("t-0", "Running", late);
        for (first, second, kept) in [
            (report("Running", early), report("Failed", late), "Failed"),
            (report("Failed", late), report("Running", early), "Failed"),
            (report("Running", early), report("Failed", early), "Failed"),
            (report("Running", None), report("Failed", Some("?")), "Failed"),
            (report("Failed", early), report("Running", None), "Failed"),
        ] {
            let kept_all = distinct(vec![first, other.clone(), second]);
            assert_eq!(
                kept_all.iter().map(|task| task.word(Word::Status)).collect::<Vec<_>>(),
                [Some("Running".into()), Some(kept.into())]
            );
        }
    }

    #[tokio::test]
    async fn a_wrong_clock_is_corrected_by_the_clouds_and_stays_corrected() {
        let date = "date: Fri, 06 May 2022 01:07:12 GMT";
        let cloud = Cloud::new(vec![
            refusal(400, &[date], "InvalidTimestamp"),
            tasks(json!([]), "p2"),
            tasks(json!([]), ""),
            tasks(json!([]), ""),
        ]);
        let client = cloud.client();
        assert_eq!(ask(&client, &batch(&["t-1"])).await.unwrap(), answer(vec![], true, 3));
        assert_eq!(ask(&client.clone(), &batch(&["t-1"])).await.unwrap(), answer(vec![], true, 1));
        let signed = ["20220506T000712Z", "20220506T010713Z", "20220506T010714Z", "20220506T010712Z"];
        assert_eq!(cloud.headers("x-date"), signed);
    }

    #[tokio::test]
    async fn a_clock_that_a_second_signature_does_not_cure_is_an_error_and_its_measure_is_forgotten() {
        let date = "date: Fri, 06 May 2022 01:07:12 GMT";
        let refused = || refusal(403, &[date], "InvalidTimestamp");
        let cloud = Cloud::new(vec![refused(), refused(), refusal(400, &[], "InvalidTimestamp")]);
        let client = cloud.client();
        assert_eq!(seen(ask(&client, &batch(&["t-1"])).await), (ErrorKind::Clock, Some(403), 2, None));
        assert_eq!(seen(ask(&client, &batch(&["t-1"])).await), (ErrorKind::Clock, Some(400), 1, None));
        assert_eq!(cloud.headers("x-date"), ["20220506T000712Z", "20220506T010713Z", "20220506T000712Z"]);
    }

    #[tokio::test]
    async fn a_throttle_says_how_long_to_wait_even_inside_a_200() {
        let cloud = Cloud::new(vec![
            refusal(200, &["retry-after: 7"], "AccountFlowLimitExceeded"),
            http(429, &["retry-after: Fri, 06 May 2022 00:07:42 GMT"], "slow down"),
        ]);
        let after = |seconds| ErrorKind::Throttled { retry_after: Some(Duration::from_secs(seconds)) };
        assert_eq!(seen(cloud.ask(&batch(&["t-1"])).await), (after(7), Some(200), 1, None));
        let not_json = Some("the answer is not JSON".to_owned());
        assert_eq!(seen(cloud.ask(&batch(&["t-1"])).await), (after(30), Some(429), 1, not_json));
    }

    #[tokio::test]
    async fn the_request_id_of_the_header_is_kept_with_a_refusal() {
        let cloud = Cloud::new(vec![http(502, &["x-top-request-id: 2022<05>06"], "Bad Gateway")]);
        let error = cloud.ask(&batch(&["t-1"])).await.unwrap_err();
        assert_eq!(error.request_id.as_deref(), Some("20220506"));
    }

    #[tokio::test]
    async fn a_redirect_is_not_followed() {
        let elsewhere = Cloud::new(vec![tasks(json!([]), "")]);
        let location = format!("location: http://{}/", elsewhere.address);
        for status in [301, 302, 307, 308] {
            let cloud = Cloud::new(vec![http(status, &[&location], "")]);
            let outcome = seen(cloud.ask(&batch(&["t-1"])).await);
            let not_json = Some("the answer is not JSON".to_owned());
            assert_eq!(outcome, (ErrorKind::Unavailable, Some(status), 1, not_json));
        }
        assert_eq!(elsewhere.requests(), Vec::<String>::new());
    }

    #[tokio::test]
    async fn an_answer_that_breaks_off_is_no_answer_of_the_api() {
        let cut = |status| Say::Bytes(format!("HTTP/1.1 {status} x\r\ncontent-length: 99\r\n\r\n{{").into());
        let cloud = Cloud::new(vec![cut(200), cut(403)]);
        let broken = Some("the exchange with the cloud broke off".to_owned());
        assert_eq!(seen(cloud.ask(&batch(&["t-1"])).await), (ErrorKind::Unavailable, Some(200), 1, broken.clone()));
        assert_eq!(seen(cloud.ask(&batch(&["t-1"])).await), (ErrorKind::Unavailable, Some(403), 1, broken));
    }

    #[tokio::test]
    async fn reading_stops_at_the_cap() {
        let endless = format!("HTTP/1.1 200 x\r\n\r\n{}", " ".repeat(MAX_BODY + 1));
        let cloud = Cloud::new(vec![Say::Bytes(endless.into())]);
        let oversized = Some("the answer is larger than 1048576 bytes".to_owned());
        assert_eq!(seen(cloud.ask(&batch(&["t-1"])).await), (ErrorKind::Unavailable, Some(200), 1, oversized));

        let body = json!({"ResponseMetadata": {"RequestId": "r-1"}}).to_string();
        let largest = format!("{body}{}", " ".repeat(MAX_BODY - body.len()));
        let cloud = Cloud::new(vec![http(200, &[], &largest)]);
        assert_eq!(cloud.ask(&batch(&["t-1"])).await.unwrap(), answer(vec![], true, 1));
    }

    #[tokio::test]
    async fn no_connection_no_http_and_no_answer_are_unavailable() {
        let broken = || Some("the exchange with the cloud broke off".to_owned());
        let cloud = Cloud::new(vec![Say::Bytes(b"SSH-2.0-x\r\n".to_vec()), Say::Nothing]);
        for _ in 0..2 {
            assert_eq!(seen(cloud.ask(&batch(&["t-1"])).await), (ErrorKind::Unavailable, None, 1, broken()));
        }
        assert_eq!(cloud.requests().len(), 2);
        let gone = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let outcome = seen(ask(&client(&format!("http://{gone}")), &batch(&["t-1"])).await);
        assert_eq!(outcome, (ErrorKind::Unreachable, None, 1, broken()));
    }

    #[tokio::test]
    async fn an_https_endpoint_is_spoken_to_in_tls() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let client = client(&format!("https://{}", listener.local_addr().unwrap()));
        let first_byte = thread::spawn(move || {
            let mut byte = [0];
            let (mut stream, _) = listener.accept().unwrap();
            stream.read_exact(&mut byte).unwrap();
            byte
        });
        let broken = Some("the exchange with the cloud broke off".to_owned());
        let outcome = seen(ask(&client, &batch(&["t-1"])).await);
        assert_eq!(outcome, (ErrorKind::Unreachable, None, 1, broken));
        let handshake = 22;
        assert_eq!(first_byte.join().unwrap(), [handshake]);
    }

    #[tokio::test]
    async fn no_error_shows_what_was_sent_or_received() {
        let echo = "AKEXAMPLE exampleSecretKey exampleSessionToken";
        let named = json!({"Error": {"Code": "InvalidAccessKey", "Message": echo}, "Message": echo});
        let cloud = Cloud::new(vec![
            http(500, &[], echo),
            http(401, &[], &json!({"ResponseMetadata": named}).to_string()),
            http(200, &[], &json!({"ResponseMetadata": {}, "Result": echo}).to_string()),
        ]);
        for _ in 0..4 {
            let error = cloud.ask(&batch(&["t-1"])).await.unwrap_err();
            let shown = format!("{error} {error:?}");
            for word in ["AKEXAMPLE", "exampleSecretKey", "exampleSessionToken", "t-1"] {
                assert!(!shown.contains(word), "{shown}");
            }
        }
    }
}
