//! What is written to the API server, and what is not.

use std::time::Duration;

use imagetask_operator::api::Phase;
use imagetask_operator::clock::Clock;
use serde_json::json;
use simulator::Task;

use crate::PROGRAM;
use crate::misdated::Misdated;
use crate::world::{World, status};

#[tokio::test]
async fn quiet_looks_write_nothing_even_when_updated_at_moves() {
    let world = World::new().await;
    world.cloud.put(Task::export("t-1", "image-1").running(10).ticking());
    let _operator = world.operator().await;
    world.follow("t-1").await;
    let seen = world.until_phase("t-1", Phase::Running).await;
    world.cloud.until("three more beats have passed", |cloud| cloud.asked("t-1") >= 4).await;
    let later = world.tasks().get("t-1").await.unwrap();
    assert_eq!(later.metadata.resource_version, seen.metadata.resource_version);
}

#[tokio::test]
async fn progress_is_written_no_more_often_than_its_interval() {
    let world = World::new().await;
    world.cloud.put(Task::export("t-1", "image-1").running(1));
    let _operator = world.operator_with(&["--poll-interval=1s", "--progress-interval=1h"]).await;
    world.follow("t-1").await;
    world.until_phase("t-1", Phase::Running).await;
    world.cloud.change("t-1", &json!({"Process": 50}));
    let asked = world.cloud.asked("t-1");
    world.cloud.until("two more beats have passed", |cloud| cloud.asked("t-1") >= asked + 2).await;
    assert_eq!(status(&world.tasks().get("t-1").await.unwrap()).process, Some(1));
    // The end waits for nothing.
    world.cloud.change("t-1", &json!({"Process": 100, "Status": "Succeeded"}));
    let ended = world.until_phase("t-1", Phase::Succeeded).await;
    assert_eq!(status(&ended).process, Some(100));
}

#[tokio::test]
async fn a_request_to_look_is_answered_with_its_echo() {
    let world = World::new().await;
    world.cloud.put(Task::export("t-1", "image-1").running(1));
    let _operator = world.operator_with(&["--poll-interval=1h", "--progress-interval=1s"]).await;
    world.follow("t-1").await;
    world.until_phase("t-1", Phase::Running).await;
    world.cloud.change("t-1", &json!({"Process": 50}));
    let annotation = json!({"imagetasks.ecs.volcengine.com/reconcile-requested-at": "now"});
    world.change("t-1", json!({"metadata": {"annotations": annotation}})).await;
    let echo = |handled: Option<&str>| handled == Some("now");
    let answered = world.until("t-1", "answered", |it| echo(status(it).last_handled_reconcile_at.as_deref())).await;
    assert_eq!(status(&answered).process, Some(50));
}

#[tokio::test]
async fn a_user_who_writes_at_the_same_time_loses_nothing() {
    let world = World::new().await;
    world.cloud.put(Task::export("t-1", "image-1").running(1));
    let _operator = world.operator().await;
    world.follow("t-1").await;
    for percent in 2..12 {
        world.cloud.change("t-1", &json!({"Process": percent}));
        let labels = json!({"metadata": {"labels": {"step": percent.to_string()}}});
        world.change("t-1", labels).await;
        tokio::time::timeout(Duration::from_secs(60), async {
            world.until("t-1", "told", |object| status(object).process == Some(percent)).await
        })
        .await
        .unwrap();
        let object = world.tasks().get("t-1").await.unwrap();
        assert_eq!(object.metadata.labels.unwrap()["step"], percent.to_string());
    }
}

#[tokio::test]
async fn an_end_and_a_lasting_error_get_one_event_each_and_polls_none() {
    let world = World::new().await;
    world.cloud.put(Task::export("t-1", "image-1").running(1));
    let _operator = world.operator_with(&["--poll-interval=1s", "--not-found-grace=1s"]).await;
    world.follow("t-1").await;
    world.follow("t-2").await;
    world.until_phase("t-2", Phase::Error).await;
    world.cloud.until("three beats have passed", |cloud| cloud.asked("t-1") >= 3).await;
    world.cloud.change("t-1", &json!({"Status": "Succeeded", "Process": 100}));
    world.until_phase("t-1", Phase::Succeeded).await;
    let seen = world.events_until(|events| events.len() >= 2).await;
    assert_eq!(seen, ["Normal TaskSucceeded t-1".to_owned(), "Warning TaskNotFound t-2".to_owned(),]);
}

#[tokio::test]
async fn an_event_that_a_busy_api_server_sends_away_is_created_later() {
    let world = World::new().await;
    world.cloud.put(Task::export("t-1", "image-1").succeeded());
    let road = Misdated::of(&world, Clock::start()).await;
    road.send_events_away(2);
    let endpoint = format!("--endpoint={}", world.cloud.url());
    let variables = [("KUBECONFIG", road.kubeconfig.to_str().unwrap())];
    let _operator = world.process(PROGRAM, &["--poll-interval=1s", &endpoint], &variables).await;
    world.follow("t-1").await;
    let seen = world.events_until(|events| !events.is_empty()).await;
    assert_eq!((seen, road.still_busy()), (vec!["Normal TaskSucceeded t-1".to_owned()], 0));
}
