//! What the API server lets in, and how it says no.

use serde_json::{Value, json};

use crate::world::World;

async fn refused(world: &World, name: &str, spec: Value, complaint: &str) {
    match world.admit(name, spec.clone()).await {
        Ok(()) => panic!("{spec} was let in"),
        Err(error) => assert!(error.contains(complaint), "{spec} was refused with {error:?}, without {complaint:?}"),
    }
}

#[tokio::test]
async fn a_masked_id_is_refused_with_a_readable_message() {
    let world = World::new().await;
    let complaint = "spec.taskId in body should match '^[A-Za-z0-9][A-Za-z0-9_-]{0,127}$'";
    refused(&world, "t-1", json!({"taskId": "t-ybnz9qci2sahiqdl****"}), complaint).await;
}

#[tokio::test]
async fn every_rule_of_the_spec_is_kept_at_admission() {
    let world = World::new().await;
    let either = "exactly one of taskId and resourceId must be set";
    let with_type = "type is required with resourceId and not allowed without it";
    refused(&world, "x", json!({}), either).await;
    refused(&world, "x", json!({"taskId": "t-1", "resourceId": "i-1", "type": "CopyImage"}), either).await;
    refused(&world, "x", json!({"resourceId": "i-1"}), with_type).await;
    refused(&world, "x", json!({"taskId": "t-1", "type": "CopyImage"}), with_type).await;
    refused(&world, "x", json!({"taskId": "t-1", "region": "cn.evil.example"}), "spec.region in body").await;
    refused(&world, "x", json!({"taskId": "t-1", "region": "a".repeat(33)}), "spec.region").await;
    refused(&world, "x", json!({"taskId": "a".repeat(129)}), "spec.taskId").await;
    refused(&world, "x", json!({"taskId": "t-1", "timeout": "0h0m"}), "timeout must not be zero").await;
    refused(&world, "x", json!({"taskId": "t-1", "timeout": "-5m"}), "spec.timeout").await;
    refused(&world, "x", json!({"taskId": "t-1", "credentialsRef": {"name": "../other"}}), "spec.credentialsRef").await;
    refused(&world, "x", json!({"taskId": "t-1", "suspend": "yes"}), "spec.suspend").await;
    let by_id = json!({"taskId": "t-1", "startedAfter": "2026-01-31T09:00:00Z"});
    refused(&world, "x", by_id, "startedAfter is not allowed without resourceId").await;
    for no_moment in ["yesterday", "2026-01-31", "2026-01-31T09:00:00", "1769850000"] {
        let spec = json!({"resourceId": "i-1", "type": "CopyImage", "startedAfter": no_moment});
        refused(&world, "x", spec, "spec.startedAfter in body must be of type date-time").await;
    }
    for spec in [
        json!({"taskId": "t-1", "timeout": "1h30m", "suspend": true, "credentialsRef": {"name": "keys.v1"}}),
        json!({"resourceId": "image-1", "type": "LaterImage", "region": "cn-beijing"}),
        json!({"resourceId": "image-1", "type": "PreheatImage", "startedAfter": "2026-01-31T17:00:00.5+08:00"}),
    ] {
        world.admit("good", spec).await.unwrap();
        world.delete("good").await;
    }
}

#[tokio::test]
async fn nothing_immutable_can_be_changed_added_or_removed() {
    let world = World::new().await;
    let task = json!({"taskId": "t-1", "region": "cn-beijing"});
    world.admit("task", task).await.unwrap();
    world.admit("image", json!({"resourceId": "i-1", "type": "CopyImage"})).await.unwrap();
    let again = |field: &str| format!("{field} is immutable: create a new ImageTask");
    refused(&world, "task", json!({"taskId": "t-2", "region": "cn-beijing"}), &again("taskId")).await;
    refused(&world, "task", json!({"taskId": "t-1", "region": "cn-shanghai"}), &again("region")).await;
    refused(&world, "task", json!({"taskId": "t-1"}), &again("region")).await;
    refused(
        &world,
        "task",
        json!({"resourceId": "i-1", "type": "CopyImage", "region": "cn-beijing"}),
        &again("taskId"),
    )
    .await;
    refused(&world, "image", json!({"resourceId": "i-2", "type": "CopyImage"}), &again("resourceId")).await;
    refused(&world, "image", json!({"resourceId": "i-1", "type": "ExportImage"}), &again("type")).await;
    refused(
        &world,
        "image",
        json!({"resourceId": "i-1", "type": "CopyImage", "region": "cn-beijing"}),
        &again("region"),
    )
    .await;
    let since = |moment: &str| json!({"resourceId": "i-1", "type": "CopyImage", "startedAfter": moment});
    world.admit("since", since("2026-01-31T09:00:00Z")).await.unwrap();
    refused(&world, "image", since("2026-01-31T09:00:00Z"), &again("startedAfter")).await;
    refused(&world, "since", since("2026-01-31T09:00:01Z"), &again("startedAfter")).await;
    refused(&world, "since", json!({"resourceId": "i-1", "type": "CopyImage"}), &again("startedAfter")).await;
    // The same moment in another zone is no other.
    world.admit("since", since("2026-01-31T17:00:00+08:00")).await.unwrap();
    // The rest may change.
    let mutable = json!({
        "taskId": "t-1", "region": "cn-beijing", "suspend": true, "timeout": "1h", "credentialsRef": {"name": "a"},
    });
    world.admit("task", mutable).await.unwrap();
}
