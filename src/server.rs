//! `/livez`, `/readyz` and `/metrics` over HTTP.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use axum::serve::Listener;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{AbortHandle, JoinSet};
use tracing::debug;

use crate::health::Health;
use crate::shared::Shared;
use crate::telemetry::chain;

/// Connections at a time. A kubelet and a few scrapers need a handful; one more lets the oldest go, so that whoever holds
/// connections open can neither use up the file descriptors nor keep a probe waiting.
const MOST_OPEN: usize = 64;

/// How long the head of a request may take; it has some 200 bytes.
const HEAD_TIMEOUT: Duration = Duration::from_secs(5);

/// Longest head of a request, in bytes: twice what the usual proxies send on.
const MAX_HEAD: usize = 16 * 1024;

/// Serves for ever.
pub async fn serve(mut listener: TcpListener, health: Health, shared: Arc<Shared>) {
    let router = Router::new()
        .route("/livez", get(livez))
        .route("/readyz", get(readyz))
        .with_state(health)
        .route("/metrics", get(metrics).with_state(shared));
    let mut connections = JoinSet::new();
    let mut open = VecDeque::new();
    loop {
        // Trouble with one connection is passed over, trouble with all of them waited out.
        let (stream, _) = Listener::accept(&mut listener).await;
        while connections.try_join_next().is_some() {}
        open.retain(|connection: &AbortHandle| !connection.is_finished());
        if open.len() >= MOST_OPEN {
            open.pop_front().iter().for_each(AbortHandle::abort);
        }
        open.push_back(connections.spawn(converse(stream, router.clone())));
    }
}

async fn converse(stream: TcpStream, router: Router) {
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(HEAD_TIMEOUT).max_buf_size(MAX_HEAD);
    let served = http.serve_connection(TokioIo::new(stream), TowerToHyperService::new(router)).await;
    if let Err(error) = served {
        debug!(error = chain(&error), "a connection to --listen ended early");
    }
}

async fn livez(State(health): State<Health>) -> (StatusCode, String) {
    report(health.stuck(health.now()).map(|name| format!("the {name} loop has not turned for a minute\n")))
}

async fn readyz(State(health): State<Health>) -> (StatusCode, String) {
    report(health.unready().map(|name| format!("the {name} loop waits for the CRD or for its first list\n")))
}

fn report(trouble: Option<String>) -> (StatusCode, String) {
    match trouble {
        None => (StatusCode::OK, "ok\n".into()),
        Some(trouble) => (StatusCode::SERVICE_UNAVAILABLE, trouble),
    }
}

async fn metrics(State(shared): State<Arc<Shared>>) -> impl IntoResponse {
    shared.skew().into_iter().for_each(|seconds| shared.metrics.skewed(seconds));
    let text = shared.with(|index, now| shared.metrics.render(index, now));
    ([(header::CONTENT_TYPE, "application/openmetrics-text; version=1.0.0; charset=utf-8")], text)
}
