//! `suspend`, `resume`, `refresh`, and the story that `why` tells.

use serde_json::{Value, json};
use simulator::{Fault, Simulator, Task};

use crate::it::world::World;
use crate::program::run;

#[tokio::test]
async fn suspended_ones_are_resumed() {
    let world = World::new().await;
    world.cloud.put(Task::export("t-1", "image-1").running(20));
    let _operator = world.operator().await;
    let before = world.follow("t-1").await;
    let ended = run(&world, "suspend t-1").await;
    assert_eq!((ended.code, ended.out.as_str()), (0, "t-1 suspended"));
    world.until_reason("t-1", "Suspended").await;

    let ended = run(&world, "refresh t-1 --wait").await;
    assert_eq!(ended.code, 1);
    assert!(ended.err.ends_with("`kubectl imagetask resume t-1` has it looked at"), "{ended:?}");

    let ended = run(&world, "resume --all -o json").await;
    assert_eq!((ended.code, &ended.json()["metadata"]["name"]), (0, &json!("t-1")));
    let after = world.until_reason("t-1", "TaskRunning").await;
    assert_eq!(after.spec, before.spec);
}

#[tokio::test]
async fn a_refresh_has_them_looked_at_now() {
    let world = World::new().await;
    for id in ["t-1", "t-2"] {
        world.cloud.put(Task::export(id, "image-1").running(20));
    }
    let operator = world.operator_with(&["--poll-interval=1h"]).await;
    for id in ["t-1", "t-2"] {
        world.follow(id).await;
        world.until_reason(id, "TaskRunning").await;
        world.cloud.change(id, &json!({"Process": 60}));
    }
    // Looks that are asked for come once in an interval, which the first has not begun.
    let ended = run(&world, "refresh --all --wait -o json").await;
    let names: Vec<_> =
        ended.json()["items"].as_array().unwrap().iter().map(|it| it["metadata"]["name"].clone()).collect();
    assert_eq!((ended.code, names), (0, vec![json!("t-1"), json!("t-2")]));
    world.until("t-2", "at 60", |object| object.status.as_ref().unwrap().process == Some(60)).await;

    operator.stop().await;
    let ended = run(&world, "refresh t-1 --wait --timeout 1s").await;
    assert_eq!(ended.code, 3);
    assert!(ended.err.contains("not looked at within 1s"), "{ended:?}");
}

#[tokio::test]
async fn why_tells_what_happened_and_what_to_do() {
    let world = World::new().await;
    world.cloud.put(Task::export("t-1", "image-1").running(60).failed());
    let _operator = world.operator().await;
    world.follow("t-1").await;
    world.until_reason("t-1", "TaskFailed").await;
    world.events_until(|events| !events.is_empty()).await;
    let ended = run(&world, "why t-1").await;
    assert_eq!(ended.code, 0, "{ended:?}");
    let namespace = &world.namespace;
    let start =
        format!("t-1 in namespace {namespace} follows task t-1 (ExportImage of image-1) in {}.", Simulator::REGION);
    assert!(ended.out.starts_with(&start), "{}", ended.out);
    for words in ["Now:   Failed at 60% (TaskFailed): ", "Request: ", "Next:  The task is over and did not work"] {
        assert!(ended.out.contains(words), "{words}: {}", ended.out);
    }
    let history: Vec<_> =
        ended.out.lines().filter_map(|line| line.split_once(" ago  ")).map(|(_, what)| what).collect();
    assert_eq!(history[0], "the ImageTask was created", "{}", ended.out);
    assert!(history.contains(&"Ready became False, Stalled became True, Finished became True"), "{}", ended.out);
    assert!(history.iter().any(|what| what.starts_with("Event Warning TaskFailed: the task failed")), "{}", ended.out);
}

#[tokio::test]
async fn why_names_the_clouds_code_and_request() {
    let world = World::new().await;
    world.cloud.order(Fault::code("AccessDenied"));
    let _operator = world.operator().await;
    world.follow("t-1").await;
    world.until_reason("t-1", "AccessDenied").await;
    let story: Value = run(&world, "why t-1 -o json").await.json();
    assert_eq!((&story["reason"], &story["code"]), (&json!("AccessDenied"), &json!("AccessDenied")), "{story:#}");
    assert!(story["requestId"].is_string() && story["next"].is_string(), "{story:#}");
}
