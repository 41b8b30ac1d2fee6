//! What the cloud is asked, and how often.

use std::time::Duration;

use futures::future::join_all;
use imagetask_operator::api::Phase;
use simulator::Task;

use crate::world::{World, status, task};

#[tokio::test]
async fn two_hundred_and_fifty_image_tasks_cost_three_calls_a_beat() {
    let world = World::new().await;
    let ids: Vec<String> = (0..250).map(|n| format!("t-{n:03}")).collect();
    world.cloud.put_all(ids.iter().map(|id| Task::export(id, "image-1").running(10)));
    join_all(ids.iter().map(|id| world.follow(id))).await;
    let _operator = world.operator_with(&["--poll-interval=2s", "--account-qps=10"]).await;
    world.until_all_seen().await;

    let beats = 5;
    let interval = Duration::from_secs(2).as_millis() as u64;
    let seen = world.cloud.calls().last().map_or(0, |call| call.at_ms);
    let end = seen + beats * interval;
    world
        .cloud
        .until("five beats have passed", |cloud| cloud.calls().last().is_some_and(|call| call.at_ms > end))
        .await;
    let calls = world.cloud.calls();
    let in_window: Vec<_> = calls.iter().filter(|call| call.at_ms > seen && call.at_ms <= end).collect();
    // 3 a beat; the window's edges may cut one more in.
    let most = 3 * beats as usize + 1;
    assert!((3 * beats as usize - 1..=most).contains(&in_window.len()), "{} calls in {beats} beats", in_window.len());
    assert!(in_window.iter().all(|call| call.max_results.as_deref() == Some("100") && call.task_ids.len() <= 100));
    let asked = in_window.iter().map(|call| call.task_ids.len()).sum::<usize>();
    assert!(asked >= 250 * (beats as usize - 1), "every task once a beat, but {asked} ids in {beats} beats");
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
