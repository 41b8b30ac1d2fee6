//! Waiting goes on through an API server that restarts, and does not wait for what is gone.

use serde_json::json;
use simulator::{Simulator, Task};

use crate::it::world::{ControlPlane, World};
use crate::program::start;

#[tokio::test]
async fn an_api_server_that_restarts_is_told_and_waited_for() {
    let plane = Box::leak(Box::new(ControlPlane::start().await));
    plane.install_crd().await;
    let world = World::on(plane, Simulator::start().await).await;
    world.cloud.put(Task::export("t-1", "image-1").running(20));
    let _operator = world.operator().await;
    world.follow("t-1").await;
    world.until_reason("t-1", "TaskRunning").await;
    let mut waiting = start(plane, &world, "wait --all");
    waiting.until("20%").await;
    // It is away for seconds: long enough for two attempts to fail.
    plane.restart();
    waiting.until("the API server cannot be watched, which is tried again and again: ").await;
    world.cloud.change("t-1", &json!({"Process": 60}));
    waiting.until("60%").await;
    world.cloud.put(Task::export("t-1", "image-1").succeeded());
    let ended = waiting.end().await;
    assert_eq!((ended.code, ended.lines().last().unwrap().as_str()), (0, "1 of 1 succeeded"), "{ended:?}");
}

#[tokio::test]
async fn one_that_is_deleted_meanwhile_ends_it() {
    let world = World::new().await;
    world.cloud.put(Task::export("t-1", "image-1").running(20));
    let _operator = world.operator().await;
    for others in ["", "--wait-all"] {
        world.follow("t-1").await;
        world.until_reason("t-1", "TaskRunning").await;
        let mut waiting = start(ControlPlane::shared().await, &world, &format!("wait t-1 {others}"));
        waiting.until("20%").await;
        world.delete("t-1").await;
        let ended = waiting.end().await;
        let told = ["t-1: Running 20%, _", "t-1: deleted while it was waited for", "0 of 1 succeeded, 1 deleted"];
        assert_eq!((ended.code, ended.lines()), (1, told.map(str::to_owned).to_vec()));
    }
}
