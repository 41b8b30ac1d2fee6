//! What is told where there is no terminal, and how the waiting ends.

use serde_json::json;
use simulator::Task;

use crate::it::world::{ControlPlane, World};
use crate::program::{run, start};

#[tokio::test]
async fn each_change_is_a_line() {
    let world = World::new().await;
    world.cloud.put(Task::export("t-1", "image-1").running(20));
    let _operator = world.operator().await;
    world.follow("t-1").await;
    world.until_reason("t-1", "TaskRunning").await;

    let mut waiting = start(ControlPlane::shared().await, &world, "wait imagetask/t-1 --timeout 5m");
    waiting.until("20%").await;
    world.cloud.change("t-1", &json!({"Process": 22}));
    waiting.until("22%").await;
    world.cloud.put(Task::export("t-1", "image-1").succeeded());
    let ended = waiting.end().await;
    let told =
        ["t-1: Running 20%, _", "t-1: Running 22%, _, about _ left", "t-1: Succeeded after _", "1 of 1 succeeded"];
    assert_eq!((ended.code, ended.lines(), ended.err.as_str()), (0, told.map(str::to_owned).to_vec(), ""));
}

#[tokio::test]
async fn the_first_failure_ends_it_or_all_are_waited_for() {
    let world = World::new().await;
    world.cloud.put(Task::export("t-bad", "image-1").running(60).failed());
    world.cloud.put(Task::export("t-slow", "image-2").running(10));
    let _operator = world.operator().await;
    world.follow("t-bad").await;
    world.follow("t-slow").await;
    world.until_reason("t-bad", "TaskFailed").await;
    world.until_reason("t-slow", "TaskRunning").await;

    let ended = run(&world, "wait --all").await;
    let last = "0 of 2 succeeded, 1 failed; `kubectl imagetask why t-bad` tells more";
    assert_eq!((ended.code, ended.lines().last().unwrap().as_str()), (1, last));

    let mut waiting = start(ControlPlane::shared().await, &world, "wait --all --wait-all");
    waiting.until("t-slow: Running 10%").await;
    world.cloud.put(Task::export("t-slow", "image-2").succeeded());
    let ended = waiting.end().await;
    let last = "1 of 2 succeeded, 1 failed; `kubectl imagetask why t-bad` tells more";
    assert_eq!((ended.code, ended.lines().last().unwrap().as_str()), (1, last));
}

#[tokio::test]
async fn one_that_is_stuck_is_a_failure() {
    let world = World::new().await;
    let _operator = world.operator_with(&["--poll-interval=1s", "--not-found-grace=1s"]).await;
    world.follow("t-unknown").await;
    let ended = run(&world, "wait t-unknown --wait-all").await;
    assert_eq!(ended.code, 1);
    assert!(ended.out.contains("t-unknown: Error after"), "{ended:?}");
}

#[tokio::test]
async fn a_label_selector_chooses_and_what_comes_later_is_not_waited_for() {
    let world = World::new().await;
    world.cloud.put(Task::export("t-1", "image-1").running(20));
    let _operator = world.operator().await;
    world.follow("t-1").await;
    world.follow("t-other").await;
    world.change("t-1", json!({"metadata": {"labels": {"release": "seven"}}})).await;
    world.until_reason("t-1", "TaskRunning").await;
    let mut waiting = start(ControlPlane::shared().await, &world, "wait -l release=seven");
    waiting.until("20%").await;
    // Without its label it is still the one that is waited for.
    world.change("t-1", json!({"metadata": {"labels": {"release": null}}})).await;
    world.cloud.put(Task::export("t-1", "image-1").succeeded());
    let ended = waiting.end().await;
    assert_eq!((ended.code, ended.lines().last().unwrap().as_str()), (0, "1 of 1 succeeded"), "{ended:?}");
}

#[tokio::test]
async fn a_timeout_and_a_status_of_an_older_generation_end_nothing() {
    let world = World::new().await;
    world.cloud.put(Task::export("t-1", "image-1").succeeded());
    let operator = world.operator().await;
    world.follow("t-1").await;
    world.until_reason("t-1", "TaskSucceeded").await;
    operator.stop().await;
    world.change("t-1", json!({"spec": {"suspend": true}})).await;
    let ended = run(&world, "wait t-1 --timeout 1s").await;
    let told = ["t-1: the operator has not looked at it yet", "not over after _: 0 of 1 succeeded"];
    assert_eq!((ended.code, ended.lines()), (3, told.map(str::to_owned).to_vec()));
}

#[tokio::test]
async fn scripts_get_one_document_and_people_the_progress() {
    let world = World::new().await;
    world.cloud.put(Task::export("t-1", "image-1").running(60).failed());
    let _operator = world.operator().await;
    world.follow("t-1").await;
    world.until_reason("t-1", "TaskFailed").await;
    let ended = run(&world, "wait t-1 -o json").await;
    let mut document = ended.json();
    document["imageTasks"][0]["elapsedSeconds"] = json!("some");
    let message = document["imageTasks"][0]["message"].take();
    let expected = json!({"result": "Failed", "exitCode": 1, "imageTasks": [{
        "namespace": world.namespace, "name": "t-1", "standing": "Failed", "deleted": false, "phase": "Failed",
        "process": 60, "reason": "TaskFailed", "message": null, "elapsedSeconds": "some",
    }]});
    assert_eq!((ended.code, document), (1, expected));
    assert!(message.as_str().is_some_and(|message| message.contains("[request ")), "{message}");
    assert!(ended.err.starts_with("t-1: Failed at 60% after "), "{ended:?}");
}
