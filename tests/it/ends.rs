//! From nothing to the end, as users see it.

use futures::future::join_all;
use imagetask_operator::api::{ImageTaskSpec, ImageTaskStatus, Phase};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use serde_json::{Value, json};
use simulator::Task;

use crate::world::{World, conditions, newest, reason, status, task};

#[tokio::test]
async fn an_image_task_reaches_succeeded_with_every_status_field_right() {
    let world = World::new().await;
    world.cloud.put(
        Task::export("t-1", "image-1")
            .created_at("2022-05-06T00:01:00+08:00")
            .updated_at("2022-05-06T00:02:00+08:00")
            .running(40),
    );
    let _operator = world.operator().await;
    world.follow("t-1").await;

    let running = world.until_phase("t-1", Phase::Running).await;
    assert_eq!(status(&running).process, Some(40));
    assert_eq!(
        conditions(&running),
        ["Ready=False/TaskRunning@1", "Reconciling=True/TaskRunning@1", "Finished=False/TaskRunning@1"]
    );

    world.cloud.put(
        Task::export("t-1", "image-1")
            .created_at("2022-05-06T00:01:00+08:00")
            .succeeded()
            .updated_at("2022-05-06T00:07:12+08:00")
            .field("EndAt", json!("2022-05-06T00:07:12+08:00")),
    );
    let ended = world.until_phase("t-1", Phase::Succeeded).await;
    assert_eq!(conditions(&ended), ["Ready=True/TaskSucceeded@1", "Finished=True/TaskSucceeded@1"]);
    let told = status(&ended).clone();
    let Time(completed) = told.completion_time.clone().expect("the end was seen");
    assert_eq!(completed.subsec_nanosecond(), 0);
    let expected = ImageTaskStatus {
        observed_generation: Some(1),
        phase: Some(Phase::Succeeded),
        process: Some(100),
        status: Some("Succeeded".into()),
        task_id: Some("t-1".into()),
        type_: Some("ExportImage".into()),
        resource_id: Some("image-1".into()),
        created_at: Some("2022-05-06T00:01:00+08:00".into()),
        updated_at: Some("2022-05-06T00:07:12+08:00".into()),
        end_at: Some("2022-05-06T00:07:12+08:00".into()),
        spec_revision: None,
        region: Some("cn-beijing".into()),
        completion_time: told.completion_time.clone(),
        last_handled_reconcile_at: None,
        conditions: told.conditions.clone(),
    };
    assert_eq!(told, expected);
}

#[tokio::test]
async fn a_failed_task_is_told_as_failed() {
    let world = World::new().await;
    world.cloud.put(Task::export("t-1", "image-1").failed());
    let _operator = world.operator().await;
    world.follow("t-1").await;
    let ended = world.until_phase("t-1", Phase::Failed).await;
    assert_eq!(
        conditions(&ended),
        ["Ready=False/TaskFailed@1", "Stalled=True/TaskFailed@1", "Finished=True/TaskFailed@1"]
    );
}

#[tokio::test]
async fn a_pending_task_and_an_unknown_word_are_followed_on() {
    let world = World::new().await;
    world.cloud.put(Task::export("t-1", "image-1").pending());
    world.cloud.put(Task::export("t-2", "image-2").status("Defragmenting"));
    let _operator = world.operator().await;
    world.follow("t-1").await;
    world.follow("t-2").await;
    let pending = world.until_reason("t-1", "TaskPending").await;
    let unknown = world.until_reason("t-2", "TaskStatusUnknown").await;
    assert_eq!(status(&pending).phase, Some(Phase::Pending));
    assert_eq!(
        (status(&unknown).phase, status(&unknown).status.as_deref()),
        (Some(Phase::Running), Some("Defragmenting"))
    );
}

#[tokio::test]
async fn a_finished_task_is_never_asked_again_and_still_gets_its_observed_generation() {
    let world = World::new().await;
    world.cloud.put(Task::export("t-1", "image-1").succeeded());
    world.cloud.put(Task::export("t-2", "image-2").running(1));
    let _operator = world.operator().await;
    world.follow("t-1").await;
    let ended = world.until_phase("t-1", Phase::Succeeded).await;
    let asked = world.cloud.asked("t-1");

    world.change("t-1", json!({"spec": {"suspend": true}})).await;
    let current = world.until("t-1", "observed", |object| status(object).observed_generation == Some(2)).await;
    assert_eq!(conditions(&current), ["Ready=True/TaskSucceeded@2", "Finished=True/TaskSucceeded@2"]);
    let only_generations_moved = ImageTaskStatus {
        observed_generation: Some(1),
        conditions: status(&ended).conditions.clone(),
        ..status(&current).clone()
    };
    assert_eq!(&only_generations_moved, status(&ended));

    // Another task's beats show that time has passed.
    world.follow("t-2").await;
    world.cloud.until("t-2 was asked three times", |cloud| cloud.asked("t-2") >= 3).await;
    assert_eq!(world.cloud.asked("t-1"), asked);
}

#[tokio::test]
async fn a_recreated_image_task_never_gets_the_old_tasks_status() {
    let world = World::new().await;
    world.cloud.put(Task::export("t-old", "image-1").running(10));
    world.cloud.put(Task::export("t-new", "image-2").running(20));
    let _operator = world.operator().await;
    for _ in 0..5 {
        world.create("x", task("t-old")).await;
        world.until_phase("x", Phase::Running).await;
        world.cloud.change("t-old", &json!({"Status": "Failed"}));
        world.delete("x").await;
        let created = world.create("x", task("t-new")).await;
        let seen = world.until_phase("x", Phase::Running).await;
        assert_eq!(seen.metadata.uid, created.metadata.uid);
        assert_eq!(status(&seen).task_id.as_deref(), Some("t-new"));
        world.delete("x").await;
        world.cloud.change("t-old", &json!({"Status": "Running"}));
    }
}

#[tokio::test]
async fn the_newest_task_of_the_type_is_picked_for_an_image_and_kept() {
    let world = World::new().await;
    let copy = |id: &str, created: &str| Task::copy(id, "image-1").created_at(created).running(5);
    world.cloud.put(copy("t-older", "2022-05-06T00:01:00+08:00"));
    world.cloud.put(copy("t-newer", "2022-05-06T00:02:00+08:00"));
    world.cloud.put(copy("t-unreadable", "soon"));
    world.cloud.put(Task::export("t-export", "image-1").created_at("2023-01-01T00:00:00+08:00").running(5));
    let _operator = world.operator().await;
    world.create("copy", newest("CopyImage", "image-1")).await;
    let seen = world.until_phase("copy", Phase::Running).await;
    assert_eq!(status(&seen).task_id.as_deref(), Some("t-newer"));

    world.cloud.put(copy("t-newest", "2022-05-06T00:03:00+08:00"));
    world.cloud.change("t-newer", &json!({"Status": "Succeeded", "Process": 100}));
    let ended = world.until_phase("copy", Phase::Succeeded).await;
    assert_eq!(status(&ended).task_id.as_deref(), Some("t-newer"));
    assert_eq!(world.cloud.asked("t-newest"), 0);
}

#[tokio::test]
async fn an_old_success_opens_no_gate_unless_the_user_says_since_when_tasks_are_meant() {
    let world = World::new().await;
    world.cloud.put(Task::export("t-old", "image-1").created_at("2022-05-06 00:01:00").succeeded());
    let since = |moment: &str| ImageTaskSpec {
        started_after: Some(Time(moment.parse().unwrap())),
        ..newest("ExportImage", "image-1")
    };
    world.create("any", newest("ExportImage", "image-1")).await;
    world.create("since", since("2022-05-06T00:01:00+08:00")).await;
    world.create("later", since("2022-05-06T00:02:00+08:00")).await;
    let _operator = world.operator().await;

    let meant = world.until_phase("since", Phase::Succeeded).await;
    assert_eq!(status(&meant).task_id.as_deref(), Some("t-old"));
    for (name, words) in [("any", "had ended before this ImageTask was created"), ("later", "before spec.startedAfter")]
    {
        let waiting = world.until_reason(name, "TaskNotFound").await;
        let message = &status(&waiting).conditions[0].message;
        assert!(message.contains(words) && message.contains("spec.startedAfter"), "{message}");
        assert_eq!((status(&waiting).phase, status(&waiting).task_id.as_deref()), (Some(Phase::Pending), None));
    }

    world.cloud.put(Task::export("t-new", "image-1").created_at("2022-05-06T00:03:00+08:00").running(10));
    for name in ["any", "later"] {
        let picked = world.until_phase(name, Phase::Running).await;
        assert_eq!(status(&picked).task_id.as_deref(), Some("t-new"));
    }
    world.cloud.change("t-new", &json!({"Status": "Succeeded", "Process": 100}));
    for name in ["any", "later"] {
        world.until_phase(name, Phase::Succeeded).await;
    }
}

#[tokio::test]
async fn a_restarted_operator_goes_on_where_it_was() {
    let world = World::new().await;
    world.cloud.put(Task::export("t-1", "image-1").running(10));
    let operator = world.operator().await;
    world.follow("t-1").await;
    let before = world.until_phase("t-1", Phase::Running).await;
    operator.stop().await;

    world.cloud.change("t-1", &json!({"Process": 60}));
    let _operator = world.operator().await;
    let after = world.until("t-1", "at 60", |object| status(object).process == Some(60)).await;
    assert_eq!(status(&after).conditions, status(&before).conditions);
    world.cloud.put(Task::export("t-1", "image-1").succeeded());
    let ended = world.until_phase("t-1", Phase::Succeeded).await;
    assert_eq!(reason(&ended), Some("TaskSucceeded"));
}

/// Fields as a cloud that keeps no promise may send them.
fn wild() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "\\PC{0,300}".prop_map(Value::from),
        any::<String>().prop_map(Value::from),
        Just(json!({"a": [1]})),
        Just(json!("é".repeat(5_000))),
    ]
}

#[tokio::test]
async fn whatever_the_cloud_answers_the_status_is_one_that_the_api_server_accepts() {
    let world = World::new().await;
    let mut runner = TestRunner::deterministic();
    let ids: Vec<String> = (0..100).map(|n| format!("t-{n}")).collect();
    for id in &ids {
        let mut task = Task::export(id, "image-1");
        for field in ["Type", "Status", "Process", "ResourceId", "CreatedAt", "UpdatedAt", "EndAt"] {
            task = task.field(field, wild().new_tree(&mut runner).unwrap().current());
        }
        world.cloud.put(task);
    }
    let _operator = world.operator().await;
    join_all(ids.iter().map(|id| world.follow(id))).await;
    for id in &ids {
        let seen = world.until(id, "seen", |object| status(object).observed_generation == Some(1)).await;
        assert_eq!(status(&seen).task_id.as_deref(), Some(id.as_str()));
    }
}
