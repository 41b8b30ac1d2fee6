//! CRDs that are older, looser or newer than the operator's own; each test has an API server of its own.

use futures::future::join_all;
use imagetask_operator::api::{Phase, crd};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{CustomResourceDefinition, JSONSchemaProps};
use kube::api::{Patch, PatchParams};
use kube::{Api, ResourceExt};
use serde_json::{Value, json};
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

/// A spec as a later version may know it, and beside it the CRD of that version.
fn with_later_fields() -> CustomResourceDefinition {
    changed(|root| {
        let spec = field(root, "spec");
        let text = JSONSchemaProps { type_: Some("string".into()), ..JSONSchemaProps::default() };
        spec.properties.as_mut().unwrap().insert("laterField".into(), text.clone());
        field(spec, "credentialsRef").properties.as_mut().unwrap().insert("laterField".into(), text);
    })
}

/// An end as an operator has written it for this reason.
fn end(reason: &str) -> Value {
    let condition = |type_: &str| {
        json!({"type": type_, "status": "True", "reason": reason, "message": "the task is over",
            "lastTransitionTime": "2026-01-31T09:00:00Z", "observedGeneration": 1})
    };
    json!({"observedGeneration": 1, "phase": "Succeeded", "taskId": "t-1", "status": "Succeeded",
        "conditions": [condition("Ready"), condition("Finished")]})
}

/// Waits until an ImageTask says that it has a field that is not known, first as trouble that may pass, then for good.
async fn stalls_for_a_field(world: &World, name: &str, field: &str) {
    let told = world.until_told(name, "InvalidSpec").await;
    let ready = told["status"]["conditions"][0]["message"].as_str().unwrap();
    assert!(ready.contains(field) && ready.contains(env!("CARGO_PKG_VERSION")), "{ready}");
    assert_eq!(
        (&told["status"]["phase"], &told["status"]["conditions"][1]["type"]),
        (&json!("Pending"), &json!("Reconciling"))
    );
    let stalled = world.until_phase(name, Phase::Error).await;
    let told = ["Ready=False/InvalidSpec@1", "Stalled=True/InvalidSpec@1", "Finished=False/InvalidSpec@1"];
    assert_eq!(conditions(&stalled), told);
}

#[tokio::test]
async fn a_task_whose_spec_has_a_field_that_this_version_does_not_know_is_not_asked_for() {
    let plane = Box::leak(Box::new(ControlPlane::start().await));
    plane.install(&with_later_fields()).await;
    let world = World::on(plane, Simulator::start().await).await;
    for id in ["t-known", "t-later", "t-nested", "t-1"] {
        world.cloud.put(Task::export(id, "image-1").running(10));
    }
    let region = Simulator::REGION;
    let later = |id: &str| json!({"taskId": id, "region": region, "laterField": "x"});
    let nested = json!({"taskId": "t-nested", "region": region, "credentialsRef": {"name": "keys", "laterField": "x"}});
    for (name, spec) in [("t-later", later("t-later")), ("t-nested", nested), ("t-known", later("t-known"))] {
        world.admit(name, spec).await.unwrap();
    }
    // A user who takes the field back.
    world.admit("t-known", json!({"taskId": "t-known", "region": region})).await.unwrap();
    let mut finished = Vec::new();
    for (name, reason) in [("done", "TaskSucceeded"), ("skipped", "TaskSkipped")] {
        world.admit(name, later("t-1")).await.unwrap();
        let status = Patch::Merge(json!({"status": end(reason)}));
        finished.push(world.dynamic().patch_status(name, &PatchParams::default(), &status).await.unwrap());
    }

    let operator = world.process(PROGRAM, &["--poll-interval=1s", "--stuck-after=5s"], &[]).await;
    world.until_phase("t-known", Phase::Running).await;
    let told = [("t-later", "spec.laterField"), ("t-nested", "spec.credentialsRef.laterField")];
    join_all(told.map(|(name, field)| stalls_for_a_field(&world, name, field))).await;
    let (_, metrics) = crate::world::get(&operator.address, "/metrics").await;
    assert!(metrics.contains("imagetask_invalid_objects 2"), "{metrics}");
    for before in finished {
        let after = world.dynamic().get(&before.name_any()).await.unwrap();
        assert_eq!(after.metadata.resource_version, before.metadata.resource_version, "{}", after.data);
    }
    let asked = ["t-known", "t-later", "t-nested", "t-1"].map(|id| world.cloud.asked(id) > 0);
    assert_eq!(asked, [true, false, false, false]);
}
