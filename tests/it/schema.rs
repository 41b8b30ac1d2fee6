//! CRDs that are older, looser or newer than the operator's own; each test has an API server of its own.

use imagetask_operator::api::{Phase, crd};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{CustomResourceDefinition, JSONSchemaProps};
use kube::api::{Patch, PatchParams};
use kube::{Api, ResourceExt};
use serde_json::json;
use simulator::{Simulator, Task};

use crate::PROGRAM;
use crate::world::{ControlPlane, World, conditions, status};

/// The CRD with a change in its schema.
pub(crate) fn changed(change: impl Fn(&mut JSONSchemaProps)) -> CustomResourceDefinition {
    let mut crd = crd();
    for version in &mut crd.spec.versions {
        change(version.schema.as_mut().and_then(|schema| schema.open_api_v3_schema.as_mut()).unwrap());
    }
    crd
}

/// A field of a schema.
pub(crate) fn field<'a>(schema: &'a mut JSONSchemaProps, name: &str) -> &'a mut JSONSchemaProps {
    schema.properties.as_mut().unwrap().get_mut(name).unwrap()
}

/// Installs another CRD over the one that is there.
pub(crate) async fn apply(world: &World, crd: &CustomResourceDefinition) {
    let api: Api<CustomResourceDefinition> = Api::all(world.client.clone());
    let stored = api.get(&crd.name_any()).await.unwrap();
    let mut crd = crd.clone();
    crd.metadata.resource_version = stored.metadata.resource_version;
    api.replace(&crd.name_any(), &kube::api::PostParams::default(), &crd).await.unwrap();
}

#[tokio::test]
async fn a_crd_that_lacks_newer_status_fields_is_told_once_and_costs_no_write_on_quiet_looks() {
    let plane = Box::leak(Box::new(ControlPlane::start().await));
    plane
        .install(&changed(|root| {
            let status = field(root, "status").properties.as_mut().unwrap();
            status.remove("endAt");
            status.remove("createdAt");
        }))
        .await;
    let world = World::on(plane, Simulator::start().await).await;
    let task = Task::export("t-1", "image-1").created_at("2022-05-06T00:01:00+08:00");
    world.cloud.put(task.running(10).field("EndAt", json!("2022-05-06T00:01:00+08:00")));
    let operator = world.process(PROGRAM, &["--poll-interval=1s"], &[]).await;
    world.follow("t-1").await;
    let seen = world.until_phase("t-1", Phase::Running).await;
    assert_eq!((status(&seen).end_at.as_deref(), status(&seen).resource_id.as_deref()), (None, Some("image-1")));
    world.cloud.until("three more beats have passed", |cloud| cloud.asked("t-1") >= 4).await;
    let later = world.tasks().get("t-1").await.unwrap();
    assert_eq!(later.metadata.resource_version, seen.metadata.resource_version);
    let (_, metrics) = crate::world::get(&operator.address, "/metrics").await;
    assert!(metrics.contains(r#"imagetask_status_writes_total{kind="state",outcome="stored"} 1"#), "{metrics}");
    let told = operator.log_until("lacks status fields").await;
    assert!(matches!(&told[..], [line] if line.contains("createdAt, endAt")), "{told:?}");
}

#[tokio::test]
async fn an_object_that_a_looser_crd_let_in_is_told_invalid_and_spoils_no_other() {
    let plane = Box::leak(Box::new(ControlPlane::start().await));
    plane
        .install(&changed(|root| {
            let spec = field(root, "spec");
            spec.x_kubernetes_validations = None;
            let task = field(spec, "taskId");
            *task = JSONSchemaProps { x_kubernetes_preserve_unknown_fields: Some(true), ..JSONSchemaProps::default() };
            let suspend = field(spec, "suspend");
            *suspend =
                JSONSchemaProps { x_kubernetes_preserve_unknown_fields: Some(true), ..JSONSchemaProps::default() };
        }))
        .await;
    let world = World::on(plane, Simulator::start().await).await;
    world.cloud.put(Task::export("t-1", "image-1").running(10));
    // The API server takes no status for the last two: their types break the CEL rules of the CRD, which no update may.
    // The one before breaks a rule as well, which newer API servers forgive where it is not news.
    let bad = [
        json!({"taskId": "t-****"}),
        json!({"taskId": "t-1", "suspend": "yes"}),
        json!({}),
        json!({"taskId": 7}),
        json!({"taskId": {"a": [1]}}),
    ];
    let told = if world.forgives_broken_rules().await { 3 } else { 2 };
    for (n, spec) in bad.iter().enumerate() {
        let object = json!({
            "apiVersion": "ecs.volcengine.com/v1alpha1", "kind": "ImageTask",
            "metadata": {"name": format!("bad-{n}")}, "spec": spec,
        });
        let tasks: Api<kube::core::DynamicObject> = world.dynamic();
        tasks.patch(&format!("bad-{n}"), &PatchParams::apply("it"), &Patch::Apply(&object)).await.unwrap();
    }
    world.follow("t-1").await;
    apply(&world, &crd()).await;

    let operator = world.process(PROGRAM, &["--poll-interval=1s"], &[]).await;
    world.until_phase("t-1", Phase::Running).await;
    for n in 0..told {
        let told = world.until_told(&format!("bad-{n}"), "InvalidSpec").await;
        assert_eq!(told["status"]["phase"], "Error", "{told}");
    }
    let (_, metrics) = crate::world::get(&operator.address, "/metrics").await;
    assert!(metrics.contains("imagetask_invalid_objects 5"), "{metrics}");
    operator.log_until("status not written").await;
    let good = world.tasks().get("t-1").await.unwrap();
    assert_eq!(conditions(&good)[0], "Ready=False/TaskRunning@1");
}
