//! The cloud's port: HTTP/1.1, with or without TLS.

use std::sync::Arc;

use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Response, server::conn::http1};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use crate::Cloud;
use crate::api::{self, Payload, Request};

/// Far above any body that a GET comes with, or the form of an STS call.
const BODY_LIMIT: usize = 1 << 20;

/// Serves until the future is dropped.
pub(crate) async fn serve(listener: TcpListener, tls: Option<TlsAcceptor>, cloud: Arc<Cloud>) {
    loop {
        // A connection that failed before it was accepted is its client's loss alone.
        if let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(accept(stream, tls.clone(), Arc::clone(&cloud)));
        }
    }
}

async fn accept(stream: TcpStream, tls: Option<TlsAcceptor>, cloud: Arc<Cloud>) {
    match tls {
        None => converse(stream, cloud).await,
        Some(tls) => {
            if let Ok(stream) = tls.accept(stream).await {
                converse(stream, cloud).await;
            }
        }
    }
}

async fn converse(stream: impl AsyncRead + AsyncWrite + Unpin + 'static, cloud: Arc<Cloud>) {
    let service = service_fn(move |request| respond(Arc::clone(&cloud), request));
    let served = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
    // It ends in an error whenever a fault cuts the answer short or the client goes away.
    drop(served);
}

/// The connection closes without an answer.
#[derive(Debug)]
struct Closed;

impl std::fmt::Display for Closed {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("closed without an answer")
    }
}

impl std::error::Error for Closed {}

async fn respond(cloud: Arc<Cloud>, request: hyper::Request<Incoming>) -> Result<Response<Payload>, Closed> {
    let (head, body) = request.into_parts();
    let body = Limited::new(body, BODY_LIMIT).collect().await.map_err(|_| Closed)?.to_bytes();
    let query = head.uri.query().unwrap_or_default();
    let request = Request::new(head.method.as_str(), head.uri.path(), query, head.headers, body);
    api::answer(&cloud, &request).await.ok_or(Closed)
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpStream;
    use std::thread;
    use std::time::Duration;

    use crate::api::Client;
    use crate::clock::Clock;
    use crate::{Fault, Simulator, Task};

    /// What comes over the wire for one signed request, until the connection ends.
    fn exchange(cloud_url: &str) -> String {
        let request = Client::usual().describe("&TaskIds.1=t-1");
        let mut stream = TcpStream::connect(cloud_url.trim_start_matches("http://")).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        let mut text = format!("GET /?{} HTTP/1.1\r\nConnection: close\r\n", request.query.canonical());
        for (name, value) in &request.headers {
            text += &format!("{name}: {}\r\n", value.to_str().unwrap());
        }
        stream.write_all(format!("{text}\r\n").as_bytes()).unwrap();
        let mut answer = Vec::new();
        // A connection that is cut may be reset; what came before counts.
        stream.read_to_end(&mut answer).ok();
        String::from_utf8(answer).unwrap()
    }

    /// The status line, the named header, and the body.
    fn parts<'a>(answer: &'a str, header: &str) -> (&'a str, Option<&'a str>, &'a str) {
        let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((answer, ""));
        let value = head.lines().filter_map(|line| line.split_once(": ")).find(|(name, _)| *name == header);
        (head.lines().next().unwrap_or_default(), value.map(|(_, value)| value), body)
    }

    async fn struck_by(fault: Fault) -> String {
        let cloud = Simulator::start().await;
        cloud.put(Task::export("t-1", "image-1"));
        cloud.order(fault);
        exchange(&cloud.url())
    }

    #[tokio::test]
    async fn an_answer_carries_its_request_id_and_the_clouds_date() {
        let cloud = Simulator::start().await;
        cloud.skew_clock(-1);
        let answer = exchange(&cloud.url());
        let (status, id, body) = parts(&answer, "x-top-request-id");
        let json: serde_json::Value = serde_json::from_str(body).unwrap();
        assert_eq!((status, id), ("HTTP/1.1 200 OK", json["ResponseMetadata"]["RequestId"].as_str()));
        cloud.skew_clock(400 * 24 * 3600);
        let (answer, next_year) = (
            exchange(&cloud.url()),
            (jiff::Timestamp::now() + jiff::SignedDuration::from_hours(400 * 24)).strftime(" %Y ").to_string(),
        );
        assert!(parts(&answer, "date").1.unwrap().contains(&next_year), "{answer}");
    }

    #[tokio::test]
    async fn bodies_can_be_text_or_empty_under_any_status() {
        let text = struck_by(Fault::status(503).retry_after("2")).await;
        assert_eq!(parts(&text, "retry-after"), ("HTTP/1.1 503 Service Unavailable", Some("2"), "Service Unavailable"));
        let empty = struck_by(Fault::empty(502)).await;
        assert_eq!(parts(&empty, "content-length"), ("HTTP/1.1 502 Bad Gateway", Some("0"), ""));
    }

    #[tokio::test]
    async fn a_truncated_body_is_half_of_what_its_length_says() {
        let answer = struck_by(Fault::truncated()).await;
        let (status, length, body) = parts(&answer, "content-length");
        let length: usize = length.unwrap().parse().unwrap();
        assert_eq!((status, body.len()), ("HTTP/1.1 200 OK", length / 2));
        assert!(body.starts_with("{\"ResponseMetadata\""), "{body}");
    }

    #[tokio::test]
    async fn an_oversized_body_is_the_usual_json() {
        let answer = struck_by(Fault::oversized(100_000)).await;
        let (_, length, body) = parts(&answer, "content-length");
        let json: serde_json::Value = serde_json::from_str(body).unwrap();
        assert_eq!((length, body.len(), &json["Result"]["Tasks"][0]["Id"]), (Some("100000"), 100_000, &"t-1".into()));
    }

    #[tokio::test]
    async fn a_closed_connection_answers_nothing() {
        assert_eq!(struck_by(Fault::closed()).await, "");
    }

    #[tokio::test]
    async fn a_slow_answer_is_the_usual_one_later() {
        let clock = Clock::start();
        let answer = struck_by(Fault::latency(Duration::from_millis(50))).await;
        assert_eq!(parts(&answer, "").0, "HTTP/1.1 200 OK");
        assert!(clock.elapsed_ms() >= 50);
    }

    #[tokio::test]
    async fn a_call_that_hangs_is_answered_when_the_fault_is_cleared() {
        let cloud = Simulator::start().await;
        let fault = cloud.order(Fault::hang().times(1));
        let url = cloud.url();
        let client = thread::spawn(move || exchange(&url));
        cloud.until("a call has arrived", |cloud| cloud.call_count() == 1).await;
        assert_eq!(cloud.calls()[0].outcome, None);
        assert!(cloud.clear(fault));
        assert_eq!(parts(&client.join().unwrap(), "").0, "HTTP/1.1 200 OK");
        assert_eq!(cloud.calls()[0].outcome.as_deref(), Some("OK"));
    }

    #[tokio::test]
    async fn dropping_the_simulator_ends_calls_that_hang_and_frees_the_port() {
        let cloud = Simulator::start().await;
        cloud.order(Fault::hang());
        let url = cloud.url();
        let address = url.trim_start_matches("http://").to_owned();
        let client = thread::spawn(move || exchange(&url));
        cloud.until("a call has arrived", |cloud| cloud.call_count() == 1).await;
        drop(cloud);
        assert_eq!(client.join().unwrap(), "");
        assert!(TcpStream::connect(address).is_err());
    }

    #[tokio::test]
    async fn a_call_is_written_down_with_what_it_asked() {
        let cloud = Simulator::start().await;
        exchange(&cloud.url());
        let mut calls = cloud.calls();
        calls[0].at_ms = 0;
        let expected = crate::Call {
            access_key: Simulator::ACCESS_KEY.to_owned(),
            region: Simulator::REGION.to_owned(),
            action: "DescribeTasks".to_owned(),
            task_ids: vec!["t-1".to_owned()],
            outcome: Some("OK".to_owned()),
            ..crate::Call::default()
        };
        assert_eq!((calls, cloud.asked("t-1")), (vec![expected], 1));
    }
}
