//! What the cloud is asked, and how often.

use futures::future::join_all;
use imagetask_operator::api::Phase;
use simulator::{Cloud, Task};

use crate::world::{World, status, task};

#[tokio::test]
async fn two_hundred_and_fifty_image_tasks_cost_three_calls_a_beat() {
    let world = World::new().await;
    let ids: Vec<String> = (0..250).map(|n| format!("t-{n:03}")).collect();
    world.cloud.put_all(ids.iter().map(|id| Task::export(id, "image-1").running(10)));
    join_all(ids.iter().map(|id| world.follow(id))).await;
    let _operator = world.operator_with(&["--poll-interval=2s", "--account-qps=10"]).await;
    world.until_all_seen().await;

    world.cloud.forget_calls();
    let all_asked_five_times = |cloud: &Cloud| ids.iter().all(|id| cloud.asked(id) >= 5);
    world.cloud.until("every task was asked five times", all_asked_five_times).await;

    // Counted by beats and not by the clock: a loaded machine may be late, but must not ask more.
    let calls = world.cloud.calls();
    let beats = ids.iter().map(|id| world.cloud.asked(id)).max().unwrap();
    assert!(calls.len() as u64 <= 3 * beats, "{} calls in {beats} beats", calls.len());
    assert!(calls.iter().all(|call| call.max_results.as_deref() == Some("100") && call.task_ids.len() <= 100));
    let took = calls.last().unwrap().at_ms - calls[0].at_ms;
    let least = (calls.len() as u64 - 1) * 2_000 / 3 * 9 / 10;
    assert!(took >= least, "{} calls in {took} ms: 3 may come in 2 s", calls.len());
}

#[tokio::test]
async fn two_image_tasks_of_one_task_id_share_one_question() {
    let world = World::new().await;
    world.cloud.put(Task::export("t-1", "image-1").running(10));
    world.create("a", task("t-1")).await;
    world.create("b", task("t-1")).await;
    let _operator = world.operator().await;
    world.until_phase("a", Phase::Running).await;
    world.until_phase("b", Phase::Running).await;
    world.cloud.until("three beats have passed", |cloud| cloud.call_count() >= 4).await;
    for call in world.cloud.calls() {
        assert_eq!(call.task_ids, ["t-1"]);
    }
}

#[tokio::test]
async fn a_new_image_task_need_not_wait_for_the_beat() {
    let world = World::new().await;
    world.cloud.put(Task::export("t-1", "image-1").running(10));
    world.cloud.put(Task::export("t-2", "image-2").running(20));
    // An hour: whatever is seen within the test was not brought by a beat.
    let _operator = world.operator_with(&["--poll-interval=1h"]).await;
    world.follow("t-1").await;
    world.until_phase("t-1", Phase::Running).await;
    world.follow("t-2").await;
    let seen = world.until_phase("t-2", Phase::Running).await;
    assert_eq!(status(&seen).process, Some(20));
}
