//! The CRD as users and their tools meet it: columns, names and selectors, and what its schema says of every field.

use imagetask_operator::api::crd;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{JSONSchemaProps, JSONSchemaPropsOrArray};
use kube::ResourceExt;
use kube::api::{ListParams, Patch, PatchParams};
use serde_json::{Value, json};

use crate::world::World;

/// A world of ImageTasks that say what they are told to; no operator is needed for that.
async fn world(tasks: &[(&str, Value)]) -> World {
    let world = World::new().await;
    for (name, status) in tasks {
        world.follow(name).await;
        let params = PatchParams::default();
        world.tasks().patch_status(name, &params, &Patch::Merge(json!({"status": status}))).await.unwrap();
    }
    world
}

#[tokio::test]
async fn image_tasks_are_listed_by_their_phase() {
    let tasks = [
        ("t-done", json!({"phase": "Succeeded"})),
        ("t-new", json!({})),
        ("t-runs", json!({"phase": "Running"})),
        ("t-stuck", json!({"phase": "Error"})),
    ];
    let world = world(&tasks).await;
    let listed = async |fields: &str| {
        let list = world.tasks().list(&ListParams::default().fields(fields)).await.unwrap();
        list.iter().map(ResourceExt::name_any).collect::<Vec<_>>()
    };
    assert_eq!(listed("status.phase=Running").await, ["t-runs"]);
    assert_eq!(listed("status.phase!=Succeeded").await, ["t-new", "t-runs", "t-stuck"]);
}

/// A table as `kubectl` prints it, by words; how old its only ImageTask is stands for itself.
fn words(table: &str) -> [Vec<&str>; 2] {
    let rows: Vec<Vec<_>> = table.lines().map(|line| line.split_whitespace().collect()).collect();
    let [header, mut row]: [_; 2] = rows.try_into().unwrap_or_else(|_| panic!("one ImageTask is listed: {table}"));
    let age = &mut row[4];
    assert!(age.ends_with('s'), "{age:?} is an age");
    *age = "age";
    [header, row]
}

#[tokio::test]
async fn kubectl_get_shows_an_image_task_in_a_line() {
    let ready = json!({
        "type": "Ready", "status": "False", "reason": "TaskRunning", "message": "the task is running",
        "lastTransitionTime": "2026-01-01T00:00:00Z",
    });
    let status = json!({
        "phase": "Running", "process": 42, "type": "ExportImage", "taskId": "t-other", "resourceId": "image-1",
        "conditions": [ready],
    });
    let world = world(&[("t-1", status)]).await;
    let narrow = world.kubectl(&["get", "imagetasks"]).await;
    let wide = world.kubectl(&["get", "imagetasks", "-o", "wide"]).await;
    let columns = vec!["NAME", "TYPE", "STATUS", "PROCESS", "AGE"];
    let row = vec!["t-1", "ExportImage", "Running", "42", "age"];
    assert_eq!(words(&narrow), [columns.clone(), row.clone()]);
    let more_columns = vec!["TASK", "RESOURCE", "REASON", "MESSAGE"];
    let more = vec!["t-other", "image-1", "TaskRunning", "the", "task", "is", "running"];
    assert_eq!(words(&wide), [[columns, more_columns].concat(), [row, more].concat()]);
}

#[tokio::test]
async fn kubectl_knows_the_short_name_and_the_category() {
    let world = world(&[("t-1", json!({}))]).await;
    for name in ["imagetask", "imgtask", "volcengine"] {
        let listed = world.kubectl(&["get", name, "-o", "name"]).await;
        assert_eq!(listed, "imagetask.ecs.volcengine.com/t-1\n", "{name}");
    }
}

/// Calls for every field under spec and status, these two included, with its path.
fn each_field(check: &mut dyn FnMut(&str, &JSONSchemaProps)) {
    fn descend(path: &str, schema: &JSONSchemaProps, check: &mut dyn FnMut(&str, &JSONSchemaProps)) {
        check(path, schema);
        for (name, field) in schema.properties.iter().flatten() {
            descend(&format!("{path}.{name}"), field, check);
        }
        if let Some(JSONSchemaPropsOrArray::Schema(item)) = &schema.items {
            descend(&format!("{path}[]"), item, check);
        }
    }
    for version in crd().spec.versions {
        let root = version.schema.unwrap().open_api_v3_schema.unwrap();
        for name in ["spec", "status"] {
            descend(name, &root.properties.as_ref().unwrap()[name], check);
        }
    }
}

#[test]
fn every_string_of_the_schema_has_a_bound_and_every_field_a_description() {
    let mut lacking = Vec::new();
    let mut fields = 0;
    each_field(&mut |path, schema| {
        fields += 1;
        let bounded = schema.max_length.is_some() || schema.enum_.is_some();
        let time = schema.format.as_deref() == Some("date-time");
        if schema.type_.as_deref() == Some("string") && !bounded && !time {
            lacking.push(format!("{path} has no maxLength"));
        }
        if schema.description.as_deref().unwrap_or_default().is_empty() {
            lacking.push(format!("{path} has no description"));
        }
    });
    assert_eq!(lacking, [""; 0]);
    assert!(fields > 20, "the schema is where this test looks for it");
}
