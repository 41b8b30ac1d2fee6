//! Tasks that are not found, credentials that are not there, rights that are not given.

use imagetask_operator::api::{ImageTaskSpec, Phase};
use serde_json::json;
use simulator::{Simulator, Task};

use crate::world::{World, conditions, status, task};

fn with_secret(id: &str, secret: &str) -> ImageTaskSpec {
    serde_json::from_value(json!({
        "taskId": id, "region": Simulator::REGION, "credentialsRef": {"name": secret},
    }))
    .unwrap()
}

#[tokio::test]
async fn a_task_that_is_not_found_gets_stuck_after_the_grace_and_heals_when_it_appears() {
    let world = World::new().await;
    let _operator = world.operator_with(&["--poll-interval=1s", "--not-found-grace=2s"]).await;
    world.follow("t-1").await;
    let waiting = world.until_reason("t-1", "TaskNotFound").await;
    assert_eq!(
        conditions(&waiting),
        ["Ready=False/TaskNotFound@1", "Reconciling=True/TaskNotFound@1", "Finished=False/TaskNotFound@1"]
    );
    let stuck = world.until_phase("t-1", Phase::Error).await;
    assert_eq!(
        conditions(&stuck),
        ["Ready=False/TaskNotFound@1", "Stalled=True/TaskNotFound@1", "Finished=False/TaskNotFound@1"]
    );
    world.cloud.put(Task::export("t-1", "image-1").running(10));
    world.until_phase("t-1", Phase::Running).await;
}

#[tokio::test]
async fn a_task_that_vanishes_is_lost_after_a_last_look_alone() {
    let world = World::new().await;
    world.cloud.put(Task::export("t-1", "image-1").running(10));
    world.cloud.put(Task::export("t-2", "image-2").running(10));
    let _operator = world.operator_with(&["--poll-interval=1s", "--stuck-after=2s"]).await;
    world.follow("t-1").await;
    world.follow("t-2").await;
    world.until_phase("t-1", Phase::Running).await;
    world.until_phase("t-2", Phase::Running).await;
    world.cloud.remove("t-1");
    let stuck = world.until_phase("t-1", Phase::Error).await;
    assert_eq!(conditions(&stuck), ["Ready=False/TaskLost@1", "Stalled=True/TaskLost@1", "Finished=False/TaskLost@1"]);
    assert_eq!(status(&stuck).status.as_deref(), Some("Running"));
    assert!(world.cloud.calls().iter().any(|call| call.task_ids == ["t-1"]), "t-1 was asked alone");
}

#[tokio::test]
async fn an_image_task_that_names_a_secret_is_never_asked_with_other_credentials() {
    let world = World::new().await;
    world.cloud.add_account("AKTENANT", "tenant-secret");
    world.cloud.put(Task::export("t-1", "image-1").account("AKTENANT").running(30));
    let _operator = world.operator_with(&["--poll-interval=1s"]).await;
    world.create("t-1", with_secret("t-1", "keys")).await;
    let missing = world.until_reason("t-1", "CredentialsNotFound").await;
    assert_eq!(status(&missing).phase, Some(Phase::Pending));
    assert_eq!(world.cloud.call_count(), 0);

    world.secret("keys", json!({"VOLCENGINE_ACCESS_KEY": "AKTENANT", "VOLCENGINE_SECRET_KEY": "tenant-secret"})).await;
    world.until_phase("t-1", Phase::Running).await;
    assert!(world.cloud.calls().iter().all(|call| call.access_key == "AKTENANT"));
}

#[tokio::test]
async fn a_malformed_secret_is_told_by_the_name_of_its_key() {
    let world = World::new().await;
    let _operator = world.operator().await;
    world.secret("keys", json!({"VOLCENGINE_ACCESS_KEY": "AKTENANT", "VOLCENGINE_SECRET_KEY": "hidden\n"})).await;
    world.create("t-1", with_secret("t-1", "keys")).await;
    let told = world.until_reason("t-1", "CredentialsInvalid").await;
    let message = &status(&told).conditions[0].message;
    assert!(message.contains("VOLCENGINE_SECRET_KEY") && !message.contains("hidden"), "{message}");
}

#[tokio::test]
async fn a_namespace_that_own_credentials_are_not_lent_to_is_denied() {
    let world = World::new().await;
    world.cloud.put(Task::export("t-1", "image-1").running(30));
    let _operator = world.operator_with(&["--default-credentials-namespaces=elsewhere"]).await;
    world.follow("t-1").await;
    let denied = world.until_reason("t-1", "PolicyDenied").await;
    assert_eq!(
        conditions(&denied),
        ["Ready=False/PolicyDenied@1", "Stalled=True/PolicyDenied@1", "Finished=False/PolicyDenied@1"]
    );
    assert_eq!((status(&denied).phase, world.cloud.call_count()), (Some(Phase::Error), 0));
}

#[tokio::test]
async fn refused_keys_are_told_and_heal_when_the_account_is_there() {
    let world = World::new().await;
    world.cloud.put(Task::export("t-1", "image-1").account("AKLATE").running(30));
    world.secret("keys", json!({"VOLCENGINE_ACCESS_KEY": "AKLATE", "VOLCENGINE_SECRET_KEY": "late"})).await;
    let _operator = world.operator().await;
    world.create("t-1", with_secret("t-1", "keys")).await;
    let refused = world.until_reason("t-1", "CredentialsInvalid").await;
    let message = &status(&refused).conditions[0].message;
    assert!(message.contains("InvalidAccessKey") && message.contains("[request "), "{message}");
    world.cloud.add_account("AKLATE", "late");
    world.until_phase("t-1", Phase::Running).await;
}

#[tokio::test]
async fn a_task_without_any_region_is_told_so() {
    let world = World::new().await;
    let _operator = world.operator().await;
    world.create("t-1", ImageTaskSpec { region: None, ..task("t-1") }).await;
    world.until_reason("t-1", "RegionUnknown").await;
}
