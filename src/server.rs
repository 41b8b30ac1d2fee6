//! `/livez`, `/readyz` and `/metrics` over HTTP.

use std::io;
use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use tokio::net::TcpListener;

use crate::health::Health;
use crate::shared::Shared;

/// Serves until the process ends.
pub async fn serve(listener: TcpListener, health: Health, shared: Arc<Shared>) -> io::Result<()> {
    let router = Router::new()
        .route("/livez", get(livez))
        .route("/readyz", get(readyz))
        .with_state(health)
        .route("/metrics", get(metrics).with_state(shared));
    axum::serve(listener, router).await
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
    let text = shared.with(|index, now| shared.metrics.render(index, now));
    ([(header::CONTENT_TYPE, "application/openmetrics-text; version=1.0.0; charset=utf-8")], text)
}
