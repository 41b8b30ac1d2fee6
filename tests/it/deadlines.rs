//! A timeout falls by the API server's clock, and never for what the operator has slept through.

use std::sync::Arc;
use std::time::Duration;

use imagetask_operator::api::{ImageTask, ImageTaskSpec, Phase};
use imagetask_operator::clock::Clock;
use k8s_openapi::jiff::SignedDuration;
use kube::ResourceExt;
use serde_json::json;
use simulator::{Simulator, Task};
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval};

use crate::PROGRAM;
use crate::misdated::Misdated;
use crate::world::{PATIENCE, Record, World, reason, status, task};

fn with_timeout(id: &str, seconds: u64) -> ImageTaskSpec {
    ImageTaskSpec { timeout: Some(format!("{seconds}s")), ..task(id) }
}

#[tokio::test]
async fn a_task_that_ends_while_the_operator_is_stopped_over_its_deadline_has_succeeded() {
    let (world, elsewhere) = tokio::join!(World::new(), World::new());
    for world in [&world, &elsewhere] {
        world.cloud.put(Task::export("t-1", "image-1").running(10));
    }
    let operator = world.process(PROGRAM, &["--poll-interval=1s"], &[]).await;
    let _another = elsewhere.operator().await;
    world.create("t-1", with_timeout("t-1", 5)).await;
    world.until_phase("t-1", Phase::Running).await;
    operator.signal("STOP").await;
    world.cloud.put(Task::export("t-1", "image-1").succeeded());
    // More than the minute for which an answer is waited for has passed once another operator says so.
    elsewhere.create("t-1", with_timeout("t-1", 70)).await;
    let passed = |object: &ImageTask| reason(object) == Some("DeadlineExceeded");
    elsewhere.until_within(PATIENCE + Duration::from_secs(70), "t-1", "over", passed).await;
    operator.signal("CONT").await;
    let over = |object: &ImageTask| status(object).phase.is_some_and(Phase::is_end);
    let ended = world.until("t-1", "over", over).await;
    assert_eq!(reason(&ended), Some("TaskSucceeded"));
}

/// Timeouts, in seconds.
const TIMEOUTS: [u64; 8] = [4, 6, 8, 10, 12, 14, 16, 18];

/// Every look brings progress, so a write, and so an answer of the API server.
async fn move_on(cloud: Arc<Simulator>) {
    let mut beat = interval(Duration::from_millis(300));
    beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    for percent in (0..100).cycle() {
        beat.tick().await;
        for seconds in TIMEOUTS {
            cloud.change(&format!("t-{seconds}"), &json!({"Process": percent}));
        }
    }
}

#[tokio::test]
async fn false_dates_of_single_answers_make_no_timeout_fall_early_and_none_more_than_two_answers_late() {
    let (world, clock) = (World::new().await, Clock::start());
    let started = clock.now().wall.shown();
    let cloud = Arc::new(Simulator::start().await);
    cloud.put_all(TIMEOUTS.map(|seconds| Task::export(&format!("t-{seconds}"), "image-1").running(0)));
    let mut moving = JoinSet::new();
    moving.spawn(move_on(cloud.clone()));
    let road = Misdated::of(&world, clock).await;
    let record = Record::begin(world.tasks(), clock).await;
    let flags = ["--poll-interval=1s", "--progress-interval=1s", &format!("--endpoint={}", cloud.url())];
    let _operator = world.process(PROGRAM, &flags, &[("KUBECONFIG", road.kubeconfig.to_str().unwrap())]).await;
    for seconds in TIMEOUTS {
        let name = format!("t-{seconds}");
        world.create(&name, with_timeout(&name, seconds)).await;
    }
    let is_over = |object: &ImageTask| status(object).phase == Some(Phase::Failed);
    let all = record.until(PATIENCE, |history| history.present().filter(|it| is_over(it)).count() == TIMEOUTS.len());
    all.await.expect("every timeout falls");

    let answers = road.answers();
    for life in record.history().lives() {
        let (name, at) = (life.last().name_any(), life.first(is_over).expect("it is over"));
        assert_eq!(reason(life.last()), Some("DeadlineExceeded"), "{name}");
        let created = life.last().creation_timestamp().unwrap().0;
        let timeout = SignedDuration::from_secs(name["t-".len()..].parse().unwrap());
        let deadline = Duration::try_from(created.duration_since(started) + timeout).unwrap();
        assert!(at >= deadline, "{name}: {:?} early", deadline - at);
        // A date is in whole seconds, so it may take another to say so.
        let said = deadline + Duration::from_secs(1);
        let right = answers.windows(2).find(|pair| pair[0].at >= said && pair.iter().all(|answer| answer.hours == 0));
        let late = at.saturating_sub(right.map_or(said, |pair| pair[1].at));
        assert!(late < Duration::from_secs(3), "{name}: {late:?} after two right answers");
    }
    let wrong = |hours| answers.iter().filter(|answer| answer.hours == hours).count();
    assert!(wrong(2) > 5 && wrong(-2) > 5, "{answers:?}");
}
