//! A bad road to the API server: loses, delays, cuts and refuses at random, also what has been done already.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::{Stream, StreamExt, stream};
use http_body_util::{BodyExt, StreamBody};
use hyper::body::{Bytes, Frame, Incoming};
use hyper::header::{CONTENT_TYPE, HOST, RETRY_AFTER, TRANSFER_ENCODING};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use imagetask_operator::clock::Clock;
use kube::Client;
use serde_json::json;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// A proxy that speaks HTTP to the operator and, as an administrator, TLS to the API server.
pub(crate) struct Proxy {
    pub(crate) address: SocketAddr,
    road: Arc<Road>,
    serving: JoinHandle<()>,
}

struct Road {
    client: Client,
    clock: Clock,
    dice: Mutex<fastrand::Rng>,
    bad: AtomicBool,
    /// What became of each request, a line each.
    journal: Mutex<Vec<String>>,
}

/// What becomes of one request.
#[derive(Debug)]
struct Fate {
    /// Wait before it goes on to the API server, and before its answer goes back.
    delays: [Duration; 2],
    answer: Answer,
    /// Whether the API server sees it.
    arrives: bool,
}

#[derive(Clone, Copy, Debug)]
enum Answer {
    Whole,
    /// The connection ends after so many bytes.
    Cut(usize),
    /// A watch says after so many bytes that its version is gone.
    Expired(usize),
    /// The connection ends at once.
    Lost,
    Refused(StatusCode),
}

type Body = http_body_util::combinators::UnsyncBoxBody<Bytes, io::Error>;

impl Proxy {
    /// Listens on a free port.
    pub(crate) async fn start(client: Client, dice: fastrand::Rng, clock: Clock) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (dice, bad, journal) = (Mutex::new(dice), AtomicBool::new(true), Mutex::default());
        let road = Arc::new(Road { client, clock, dice, bad, journal });
        let serving = tokio::spawn(serve(listener, road.clone()));
        Self { address, road, serving }
    }

    /// From now on everything passes whole and at once.
    pub(crate) fn calm(&self) {
        self.road.bad.store(false, Ordering::Relaxed);
    }

    /// What became of each request, a line each.
    pub(crate) fn journal(&self) -> Vec<String> {
        self.road.journal.lock().unwrap().clone()
    }

    /// The configuration of a client that takes this road.
    pub(crate) fn kubeconfig(&self) -> String {
        let config = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "road",
            "clusters": [{"name": "road", "cluster": {"server": format!("http://{}", self.address)}}],
            "contexts": [{"name": "road", "context": {"cluster": "road", "user": "anyone"}}],
            "users": [{"name": "anyone", "user": {}}],
        });
        config.to_string()
    }
}

impl Drop for Proxy {
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
    let served = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
    // It ends in an error whenever an answer is cut or lost, and when the operator is killed.
    drop(served);
}

async fn carry(road: Arc<Road>, request: Request<Incoming>) -> io::Result<Response<Body>> {
    let (mut head, body) = request.into_parts();
    let body = body.collect().await.map_err(io::Error::other)?.to_bytes();
    let is_watch = head.uri.query().is_some_and(|query| query.contains("watch="));
    let fate = road.draw(head.method != Method::GET, is_watch);
    road.note(&format!("{} {} {fate:?}", head.method, head.uri));
    let [before, after] = fate.delays;
    wait(before).await;
    head.headers.remove(HOST);
    let answer = match fate.arrives {
        true => Some(road.client.send(Request::from_parts(head, body.into())).await.map_err(io::Error::other)?),
        false => None,
    };
    wait(after).await;
    let (mut head, body) = match (fate.answer, answer) {
        (Answer::Refused(status), _) => return Ok(refusal(status)),
        (Answer::Lost, _) | (_, None) => return Err(io::ErrorKind::ConnectionAborted.into()),
        (Answer::Whole | Answer::Cut(_) | Answer::Expired(_), Some(answer)) => answer.into_parts(),
    };
    head.headers.remove(TRANSFER_ENCODING);
    let chunks = body.into_data_stream().map(|chunk| chunk.map_err(io::Error::other));
    let chunks = match fate.answer {
        Answer::Cut(bytes) => road.clone().cut(chunks, bytes, None).boxed(),
        Answer::Expired(bytes) => road.clone().cut(chunks, bytes, Some(expired())).boxed(),
        Answer::Whole | Answer::Lost | Answer::Refused(_) => chunks.boxed(),
    };
    let chunks = if is_watch { road.halt(chunks).boxed() } else { chunks };
    Ok(Response::from_parts(head, StreamBody::new(chunks.map(|chunk| chunk.map(Frame::data))).boxed_unsync()))
}

impl Road {
    fn note(&self, line: &str) {
        let at = self.clock.now().mono.as_secs_f64();
        self.journal.lock().unwrap().push(format!("{at:.3} {line}"));
    }

    fn is_bad(&self) -> bool {
        self.bad.load(Ordering::Relaxed)
    }

    fn roll<T>(&self, roll: impl FnOnce(&mut fastrand::Rng) -> T) -> T {
        roll(&mut self.dice.lock().unwrap())
    }

    fn draw(&self, is_write: bool, is_watch: bool) -> Fate {
        if !self.is_bad() {
            return Fate { delays: [Duration::ZERO; 2], answer: Answer::Whole, arrives: true };
        }
        self.roll(|dice| {
            let delays = [(); 2].map(|()| if dice.u8(..4) == 0 { millis(dice, 1_500) } else { Duration::ZERO });
            let answer = match dice.u8(..100) {
                // A watch lives long enough to be struck: only every other is left whole.
                0..70 if is_watch => match dice.u8(..4) {
                    0 => Answer::Cut(dice.usize(..200_000)),
                    1 => Answer::Expired(dice.usize(..200_000)),
                    _ => Answer::Whole,
                },
                0..70 => Answer::Whole,
                70..78 => Answer::Lost,
                78..86 => Answer::Cut(dice.usize(..2_000)),
                _ => Answer::Refused(dice.choice(REFUSALS).expect("there are some")),
            };
            let arrives = match answer {
                Answer::Whole | Answer::Cut(_) | Answer::Expired(_) => true,
                Answer::Lost | Answer::Refused(_) => is_write && dice.bool(),
            };
            Fate { delays, answer, arrives }
        })
    }

    /// Ends a stream after so many bytes, between two chunks of a watch also with a last word.
    fn cut(
        self: Arc<Self>,
        chunks: impl Stream<Item = io::Result<Bytes>> + Send,
        bytes: usize,
        word: Option<Bytes>,
    ) -> impl Stream<Item = io::Result<Bytes>> + Send {
        let mut left = bytes;
        let cut = move |chunk: io::Result<Bytes>| {
            let chunk = chunk?;
            if chunk.len() <= left || !self.is_bad() {
                left = left.saturating_sub(chunk.len());
                return Ok(vec![Ok(chunk)]);
            }
            match &word {
                Some(word) if chunk.ends_with(b"\n") => Ok(vec![Ok(chunk), Ok(word.clone()), Err(broken())]),
                Some(_) => Ok(vec![Ok(chunk)]),
                None => Ok(vec![Ok(chunk.slice(..left)), Err(broken())]),
            }
        };
        chunks
            .map(cut)
            .flat_map(|parts: io::Result<Vec<_>>| stream::iter(parts.unwrap_or_else(|error| vec![Err(error)])))
    }

    /// Holds some chunks of a stream back, and with each all that follow.
    fn halt(
        self: Arc<Self>,
        chunks: impl Stream<Item = io::Result<Bytes>> + Send,
    ) -> impl Stream<Item = io::Result<Bytes>> + Send {
        chunks.then(move |chunk| {
            let halts = self.is_bad() && self.roll(|dice| dice.u8(..100) == 0);
            let halt = if halts { self.roll(|dice| millis(dice, 3_000)) } else { Duration::ZERO };
            async move {
                wait(halt).await;
                chunk
            }
        })
    }
}

const REFUSALS: [StatusCode; 5] = [
    StatusCode::CONFLICT,
    StatusCode::GONE,
    StatusCode::TOO_MANY_REQUESTS,
    StatusCode::INTERNAL_SERVER_ERROR,
    StatusCode::SERVICE_UNAVAILABLE,
];

fn refusal(status: StatusCode) -> Response<Body> {
    let body = http_body_util::Full::from(failure(status).to_string());
    let response = Response::builder().status(status).header(CONTENT_TYPE, "application/json");
    let response = match status {
        StatusCode::TOO_MANY_REQUESTS => response.header(RETRY_AFTER, "1"),
        _ => response,
    };
    response.body(body.map_err(|never: Infallible| match never {}).boxed_unsync()).unwrap()
}

fn failure(status: StatusCode) -> serde_json::Value {
    let reason = match status {
        StatusCode::CONFLICT => "Conflict",
        StatusCode::GONE => "Expired",
        StatusCode::TOO_MANY_REQUESTS => "TooManyRequests",
        StatusCode::SERVICE_UNAVAILABLE => "ServiceUnavailable",
        _ => "InternalError",
    };
    json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
        "message": "a fault of the test", "reason": reason, "code": status.as_u16(),
    })
}

fn expired() -> Bytes {
    format!("{}\n", json!({"type": "ERROR", "object": failure(StatusCode::GONE)})).into()
}

fn broken() -> io::Error {
    io::ErrorKind::ConnectionReset.into()
}

fn millis(dice: &mut fastrand::Rng, most: u64) -> Duration {
    Duration::from_millis(dice.u64(..most))
}

#[expect(clippy::disallowed_methods, reason = "the delay is the fault that was drawn")]
async fn wait(delay: Duration) {
    if delay > Duration::ZERO {
        tokio::time::sleep(delay).await;
    }
}
