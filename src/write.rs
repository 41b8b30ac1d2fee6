//! The only writer of ImageTasks: sends decided statuses, each guarded by the version it was decided on.

use std::borrow::Cow;
use std::sync::Arc;

use kube::{Client, Resource};
use serde::Serialize;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{debug, warn};

use crate::api::{ImageTask, ImageTaskStatus, ImageTaskView};
use crate::apiserver::{CallError, bounded_until};
use crate::health::Loop;
use crate::index::{ObjectName, Write, Written};
use crate::schema::Schema;
use crate::shared::Shared;

/// Name under which the API server records who owns a field.
pub const FIELD_MANAGER: &str = "imagetask-operator";

/// Writes whatever is due until `stop`, then lets the writes under way and those that wait come to their end.
pub async fn run(client: Client, shared: Arc<Shared>, schema: Arc<Schema>, stop: CancellationToken, health: Loop) {
    let writes = TaskTracker::new();
    loop {
        let stopping = stop.is_cancelled();
        if stopping {
            shared.with(|index, _| index.hurry_writes());
        }
        let (due, next) = shared.with(|index, now| index.due_writes(now));
        for write in due {
            writes.spawn(send(client.clone(), write, shared.clone(), schema.clone()));
        }
        if stopping && shared.with(|index, _| index.status_queue()) == 0 {
            return;
        }
        health
            .turning(async {
                tokio::select! {
                    () = shared.wait(&shared.writes, next) => {}
                    () = stop.cancelled(), if !stopping => {}
                }
            })
            .await;
    }
}

/// The body of a write: a PUT of the status alone, the cheapest of the guarded ways; the API server keeps everything
/// else of the object as it is, and answers 409 when `resourceVersion` is not the stored one.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct StatusUpdate<'a> {
    api_version: Cow<'static, str>,
    kind: Cow<'static, str>,
    metadata: Guard<'a>,
    status: serde_json::Map<String, serde_json::Value>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Guard<'a> {
    name: &'a str,
    namespace: &'a str,
    resource_version: String,
}

fn request(object: &ObjectName, version: u64, status: &ImageTaskStatus, schema: &Schema) -> http::Request<Vec<u8>> {
    let body = StatusUpdate {
        api_version: ImageTask::api_version(&()),
        kind: ImageTask::kind(&()),
        metadata: Guard { name: &object.name, namespace: &object.namespace, resource_version: version.to_string() },
        status: schema.served_part(status),
    };
    let collection = ImageTask::url_path(&(), Some(&object.namespace));
    http::Request::put(format!("{collection}/{}/status?fieldManager={FIELD_MANAGER}", object.name))
        .header(http::header::CONTENT_TYPE, "application/json")
        .body(serde_json::to_vec(&body).expect("a status is plain data"))
        .expect("names of stored objects are safe in a path")
}

async fn send(client: Client, write: Write, shared: Arc<Shared>, schema: Arc<Schema>) {
    // Decided in time, it may be sent too late: the process may have stood still since.
    let end =
        shared.with(|index, now| index.may_send(&write, now).then(|| now.mono.saturating_add(index.term_left(now))));
    let Some(end) = end else { return shared.change(|index, now| index.hand_back(write.entry, now)) };
    let revision = write.revision();
    let Write { entry, object, version, status, change, .. } = write;
    let call = client.request::<ImageTaskView>(request(&object, version, &status, &schema));
    let written = match bounded_until(shared.clock, end, call).await {
        Ok(view) => Written::Stored(Box::new(view)),
        Err(CallError::Conflict) => Written::Conflict,
        Err(CallError::NotFound) => Written::Gone,
        Err(error @ (CallError::Forbidden(_) | CallError::Failed(_))) => {
            warn!(namespace = &*object.namespace, name = &*object.name, %error, "status not written");
            Written::Failed
        }
    };
    debug!(namespace = &*object.namespace, name = &*object.name, ?change, outcome = written.label(), "status");
    shared.metrics.written(change, &written);
    shared.change(|index, now| index.written(entry, revision, written, now));
}
