//! A road to the API server on which single answers get a wrong date, never two in a row, and creations of Events are
//! sent away for a while.

use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::StreamExt;
use http_body_util::{BodyExt, Empty, StreamBody};
use hyper::body::{Bytes, Frame, Incoming};
use hyper::header::{DATE, HOST, HeaderValue, RETRY_AFTER, TRANSFER_ENCODING};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use imagetask_operator::clock::Clock;
use k8s_openapi::jiff::fmt::rfc2822::{DateTimeParser, DateTimePrinter};
use k8s_openapi::jiff::{SignedDuration, Timestamp};
use kube::Client;
use serde_json::json;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use crate::world::World;

/// A proxy that speaks HTTP to an operator and, as an administrator, TLS to the API server.
pub(crate) struct Misdated {
    /// The configuration of an operator that goes this way.
    pub(crate) kubeconfig: PathBuf,
    road: Arc<Road>,
    serving: JoinHandle<()>,
}

struct Road {
    client: Client,
    clock: Clock,
    answers: Mutex<Vec<Dated>>,
    /// How many creations of Events are still to be sent away.
    busy: AtomicUsize,
}

/// An answer as the operator got it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Dated {
    pub(crate) at: Duration,
    /// By how many hours its date is wrong.
    pub(crate) hours: i64,
}

/// Of four answers one is wrong: two hours ahead, then two behind.
fn hours(number: usize) -> i64 {
    match number % 8 {
        3 => 2,
        7 => -2,
        _ => 0,
    }
}

type Body = http_body_util::combinators::UnsyncBoxBody<Bytes, io::Error>;

impl Misdated {
    /// A road to the API server of a world.
    pub(crate) async fn of(world: &World, clock: Clock) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let kubeconfig = world.plane.kubeconfig_with(&format!("misdated-{}", address.port()), |config| {
            config["clusters"][0]["cluster"] = json!({"server": format!("http://{address}")});
            config["users"][0]["user"] = json!({});
        });
        let road = Arc::new(Road {
            client: world.client.clone(),
            clock,
            answers: Mutex::default(),
            busy: AtomicUsize::new(0),
        });
        let serving = tokio::spawn(serve(listener, road.clone()));
        Self { kubeconfig, road, serving }
    }

    /// The API server has too much to do for the next so many creations of Events.
    pub(crate) fn send_events_away(&self, times: usize) {
        self.road.busy.store(times, Ordering::SeqCst);
    }

    /// How many creations of Events are still to be sent away.
    pub(crate) fn still_busy(&self) -> usize {
        self.road.busy.load(Ordering::SeqCst)
    }

    /// The answers so far.
    pub(crate) fn answers(&self) -> Vec<Dated> {
        self.road.answers.lock().unwrap().clone()
    }
}

impl Drop for Misdated {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

async fn serve(listener: TcpListener, road: Arc<Road>) {
    while let Ok((stream, _)) = listener.accept().await {
        tokio::spawn(converse(stream, road.clone()));
    }
}

async fn converse(stream: TcpStream, road: Arc<Road>) {
    let service = service_fn(move |request| carry(road.clone(), request));
    // It ends in an error when the operator is killed.
    drop(http1::Builder::new().serve_connection(TokioIo::new(stream), service).await);
}

async fn carry(road: Arc<Road>, request: Request<Incoming>) -> io::Result<Response<Body>> {
    let (mut head, body) = request.into_parts();
    let creates_event = head.method == Method::POST && head.uri.path().ends_with("/events");
    if creates_event && road.sends_away() {
        let mut answer = Response::new(Empty::new().map_err(io::Error::other).boxed_unsync());
        *answer.status_mut() = StatusCode::TOO_MANY_REQUESTS;
        answer.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
        return Ok(answer);
    }
    let body = body.collect().await.map_err(io::Error::other)?.to_bytes();
    head.headers.remove(HOST);
    let answer = road.client.send(Request::from_parts(head, body.into())).await.map_err(io::Error::other)?;
    let (mut head, body) = answer.into_parts();
    head.headers.remove(TRANSFER_ENCODING);
    let date = head.headers.get(DATE).expect("the API server dates its answers");
    let date = DateTimeParser::new().parse_timestamp(date.to_str().unwrap()).unwrap();
    head.headers.insert(DATE, road.misdate(date));
    let chunks = body.into_data_stream().map(|chunk| chunk.map_err(io::Error::other));
    Ok(Response::from_parts(head, StreamBody::new(chunks.map(|chunk| chunk.map(Frame::data))).boxed_unsync()))
}

impl Road {
    fn sends_away(&self) -> bool {
        self.busy.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |times| times.checked_sub(1)).is_ok()
    }

    fn misdate(&self, date: Timestamp) -> HeaderValue {
        let mut answers = self.answers.lock().unwrap();
        let hours = hours(answers.len());
        answers.push(Dated { at: self.clock.mono(), hours });
        let date = date + SignedDuration::from_hours(hours);
        HeaderValue::from_str(&DateTimePrinter::new().timestamp_to_rfc9110_string(&date).unwrap()).unwrap()
    }
}
