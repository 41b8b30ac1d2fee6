//! The control port: what [`Cloud`] can do, as JSON over HTTP for other processes.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, patch, post};
use axum::{Router, serve as axum_serve};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::{Cloud, FaultId, Script};

type Shared = State<Arc<Cloud>>;
type Refusal = (StatusCode, String);

/// Serves until the future is dropped.
pub(crate) async fn serve(listener: TcpListener, cloud: Arc<Cloud>) {
    let router = Router::new()
        .route("/control/script", post(play))
        .route("/control/accounts/{access_key}", delete(remove_account))
        .route("/control/tasks/{id}", patch(change).delete(remove))
        .route("/control/tasks/{id}/advance", post(advance))
        .route("/control/faults", get(faults).delete(clear_faults))
        .route("/control/faults/{id}", delete(clear))
        .route("/control/calls", get(calls).delete(forget_calls))
        .route("/control/counts", get(counts))
        .route("/control/counts/{id}", get(asked))
        .with_state(cloud);
    // axum's own loop retries what fails and does not end.
    drop(axum_serve(listener, router).await);
}

async fn play(State(cloud): Shared, body: Bytes) -> Result<Response, Refusal> {
    let script: Script = read(&body)?;
    Ok(json_response(&json!({ "faults": cloud.play(script) })))
}

async fn remove_account(State(cloud): Shared, Path(access_key): Path<String>) -> Result<StatusCode, Refusal> {
    found(cloud.remove_account(&access_key), "account", &access_key)
}

async fn change(State(cloud): Shared, Path(id): Path<String>, body: Bytes) -> Result<StatusCode, Refusal> {
    let fields: serde_json::Map<String, Value> = read(&body)?;
    found(cloud.change(&id, &Value::Object(fields)), "task", &id)
}

async fn remove(State(cloud): Shared, Path(id): Path<String>) -> Result<StatusCode, Refusal> {
    found(cloud.remove(&id), "task", &id)
}

async fn advance(State(cloud): Shared, Path(id): Path<String>) -> Result<StatusCode, Refusal> {
    found(cloud.advance(&id), "task", &id)
}

async fn faults(State(cloud): Shared) -> Response {
    json_response(&cloud.faults())
}

async fn clear_faults(State(cloud): Shared) -> StatusCode {
    cloud.clear_faults();
    StatusCode::NO_CONTENT
}

async fn clear(State(cloud): Shared, Path(id): Path<FaultId>) -> Result<StatusCode, Refusal> {
    found(cloud.clear(id), "fault", &id.to_string())
}

async fn calls(State(cloud): Shared) -> Response {
    json_response(&cloud.calls())
}

async fn forget_calls(State(cloud): Shared) -> StatusCode {
    cloud.forget_calls();
    StatusCode::NO_CONTENT
}

async fn counts(State(cloud): Shared) -> Response {
    json_response(&cloud.counts())
}

async fn asked(State(cloud): Shared, Path(id): Path<String>) -> Response {
    json_response(&json!({ "asked": cloud.asked(&id) }))
}

fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, Refusal> {
    serde_json::from_slice(body)
        .map_err(|error| (StatusCode::BAD_REQUEST, format!("send the documented JSON: {error}\n")))
}

fn found(there: bool, kind: &str, name: &str) -> Result<StatusCode, Refusal> {
    if there {
        Ok(StatusCode::NO_CONTENT)
    } else {
        Err((StatusCode::NOT_FOUND, format!("put the {kind} {name} first\n")))
    }
}

fn json_response(value: &impl Serialize) -> Response {
    match serde_json::to_vec(value) {
        Ok(body) => ([(CONTENT_TYPE, "application/json")], body).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}
