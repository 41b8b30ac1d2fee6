//! Which status fields the installed CRD can store: an older one prunes the newer ones, so they are not sent.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use kube::{Client, Resource};
use serde_json::{Map, Value};
use tokio::time::{Instant, sleep_until};
use tracing::{info, warn};

use crate::api::{ImageTask, ImageTaskStatus, crd};
use crate::apiserver::{CallError, bounded};
use crate::clock::Clock;
use crate::health::Loop;

/// What is known of the installed CRD.
#[derive(Default)]
pub struct Schema {
    /// Fields of our status that it lacks.
    missing: Mutex<BTreeSet<String>>,
}

/// Between two readings of the served schema.
const PERIOD: Duration = Duration::from_secs(60);

/// Until the next reading where ImageTask is not described yet: the API server publishes it a moment after the CRD.
const RETRY: Duration = Duration::from_secs(2);

/// Reads the served schema again and again, and says once what it lacks. Every authenticated account may read it; the
/// CRD itself would need a ClusterRole.
pub async fn run(client: Client, schema: Arc<Schema>, clock: Clock, health: Loop) {
    loop {
        let served = health.turning(read(&client)).await;
        let known = served.is_some();
        if let Some(served) = served {
            schema.learn(own_fields().difference(&served).cloned().collect());
        }
        let next = clock.mono() + if known { PERIOD } else { RETRY };
        health.turning(sleep_until(Instant::from_std(clock.instant(next)))).await;
    }
}

async fn read(client: &Client) -> Option<BTreeSet<String>> {
    let path = format!("/openapi/v3/apis/{}/{}", ImageTask::group(&()), ImageTask::version(&()));
    let request = http::Request::get(path).body(Vec::new()).expect("the path is constant");
    match bounded(client.request::<Value>(request)).await {
        Ok(document) => status_fields(&document),
        // Without the CRD there is no schema; the watch says so.
        Err(CallError::NotFound) => None,
        Err(error @ (CallError::Conflict | CallError::Forbidden(_) | CallError::Failed(_))) => {
            warn!(%error, "the served schema was not read");
            None
        }
    }
}

impl Schema {
    /// The part of a status that the installed CRD can store.
    pub fn served_part(&self, status: &ImageTaskStatus) -> Map<String, Value> {
        let Ok(Value::Object(mut fields)) = serde_json::to_value(status) else { return Map::new() };
        let missing = self.missing.lock().unwrap_or_else(PoisonError::into_inner);
        fields.retain(|name, _| !missing.contains(name));
        fields
    }

    fn learn(&self, now_missing: BTreeSet<String>) {
        let mut missing = self.missing.lock().unwrap_or_else(PoisonError::into_inner);
        if *missing == now_missing {
            return;
        }
        if now_missing.is_empty() {
            info!("the installed CRD has every status field now");
        } else {
            let fields = now_missing.iter().map(String::as_str).collect::<Vec<_>>().join(", ");
            warn!(fields, "the installed CRD is older than the operator and lacks status fields: upgrade it");
        }
        *missing = now_missing;
    }
}

/// The fields of our own status.
fn own_fields() -> BTreeSet<String> {
    let crd = crd();
    let schema = crd.spec.versions.into_iter().next().and_then(|version| version.schema?.open_api_v3_schema);
    let status = schema.and_then(|root| root.properties?.remove("status")).and_then(|status| status.properties);
    status.expect("the CRD describes its status").into_keys().collect()
}

/// The fields of the status in an OpenAPI document of our group; `None` where ImageTask is not described.
fn status_fields(document: &Value) -> Option<BTreeSet<String>> {
    let schemas = document.pointer("/components/schemas")?.as_object()?;
    let is_image_task = |schema: &&Value| {
        let kinds = schema["x-kubernetes-group-version-kind"].as_array();
        kinds.is_some_and(|kinds| kinds.iter().any(|kind| kind["kind"] == *ImageTask::kind(&())))
    };
    let image_task = schemas.values().find(is_image_task)?;
    let fields = image_task.pointer("/properties/status/properties")?.as_object()?;
    Some(fields.keys().cloned().collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_the_installed_crd_lacks_is_left_out() {
        let schema = Schema::default();
        let status = ImageTaskStatus {
            observed_generation: Some(1),
            end_at: Some("now".into()),
            region: Some("cn-beijing".into()),
            ..ImageTaskStatus::default()
        };
        assert_eq!(Value::Object(schema.served_part(&status)), serde_json::to_value(&status).unwrap());
        schema.learn(["endAt".to_owned()].into());
        let part = json!({"observedGeneration": 1, "region": "cn-beijing"});
        assert_eq!(Value::Object(schema.served_part(&status)), part);
    }

    #[test]
    fn the_served_fields_are_those_of_image_task() {
        let document = json!({"components": {"schemas": {
            "other": {"properties": {"status": {"properties": {"x": {}}}}},
            "ours": {
                "x-kubernetes-group-version-kind": [{"kind": "ImageTask"}],
                "properties": {"status": {"properties": {"phase": {}, "process": {}}}},
            },
        }}});
        assert_eq!(status_fields(&document), Some(["phase".to_owned(), "process".to_owned()].into()));
        assert_eq!(status_fields(&json!({})), None);
        assert!(own_fields().contains("lastHandledReconcileAt"));
    }
}
