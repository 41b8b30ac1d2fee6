//! Hundreds of ImageTasks while everything goes wrong that can: the cloud, the API server, the way to both, and the
//! operator's own life. Afterwards every one of them must tell the truth, and none may ever have told anything else.
//!
//! `IMAGETASK_FAULTS_SEED=7 cargo test --test faults` runs one seed, `IMAGETASK_FAULTS_SEEDS=20` that many fresh ones.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod checks;
mod operator;
mod proxy;
mod scenario;
mod truth;
#[path = "../it"]
mod it {
    #[expect(dead_code, unused_imports, reason = "the other tests of the operator need the rest")]
    pub(crate) mod world;
}

use std::time::Duration;

use imagetask_operator::api::ImageTask;
use imagetask_operator::clock::Clock;
use kube::api::{DeleteParams, Patch, PatchParams};
use serde_json::json;
use simulator::FaultId;
use tokio::time::timeout;

use checks::{Evidence, SLACK, check, has_ended, shows_what_the_cloud_says};
use it::world::{ControlPlane, Record, World};
use operator::{Operator, QPS};
use proxy::Proxy;
use scenario::{Act, SECRETS, Scenario, TROUBLE};
use truth::Truth;

/// The run that is always made.
const SEED: u64 = 4;

/// How long after all trouble everything may take to come right: probes of a lane that failed all the time come up to
/// 32 s apart by then, and so do the attempts of the watch.
const RECOVERY: Duration = Duration::from_secs(70);

/// How long two looks may take a fresh process.
const FOLLOWING: Duration = Duration::from_secs(20);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_image_task_tells_the_truth_whatever_goes_wrong() {
    for seed in seeds() {
        eprintln!("IMAGETASK_FAULTS_SEED={seed}");
        run(seed).await;
    }
}

#[expect(clippy::disallowed_methods, reason = "the seeds are chosen by whoever runs the tests")]
fn seeds() -> Vec<u64> {
    let number = |name: &str| std::env::var(name).ok().map(|text| text.parse::<u64>().expect("it is a number"));
    match (number("IMAGETASK_FAULTS_SEED"), number("IMAGETASK_FAULTS_SEEDS")) {
        (Some(seed), _) => vec![seed],
        (None, Some(count)) => (0..count).map(|_| fresh_seed()).collect(),
        (None, None) => vec![SEED],
    }
}

/// Short enough to be typed.
fn fresh_seed() -> u64 {
    fastrand::u64(..1_000_000)
}

async fn run(seed: u64) {
    let mut scenario = Scenario::of(seed);
    let world = World::new().await;
    for key in SECRETS {
        world.cloud.add_account(key, "secret");
        world.secret(key, json!({"VOLCENGINE_ACCESS_KEY": key, "VOLCENGINE_SECRET_KEY": "secret"})).await;
    }
    let road = Proxy::start(ControlPlane::shared().await.client().await, scenario.dice()).await;
    let skipped = milliseconds_of_the_cloud(&world).await;
    let clock = Clock::start();
    world.cloud.put_all(scenario.tasks.clone());
    let record = Record::begin(world.tasks(), clock).await;
    let run = seed.to_string();
    let mut operator = Operator::start(&run, &road.kubeconfig(), &world.cloud.url(), &world.namespace, clock);
    let truth = Truth::of(&scenario.tasks);

    let mut orders = Vec::new();
    for (at, act) in scenario.acts {
        tokio::time::sleep_until(clock.instant(at).into()).await;
        play(act, &world, &mut operator, &mut orders).await;
    }
    tokio::time::sleep_until(clock.instant(TROUBLE).into()).await;
    world.cloud.clear_faults();
    road.calm();

    // An end never changes, right or wrong.
    let is_done = |object: &ImageTask| has_ended(object) || shows_what_the_cloud_says(&truth, object).is_ok();
    record.until(RECOVERY, |history| history.present().all(is_done)).await;
    eprintln!("done after {:?}", clock.now().mono);
    // A fresh process asks for what is not over, and for nothing else.
    operator.kill_and_start().await;
    let forgotten = not_asked_again(&world, &truth, &record).await;

    let mut calls = world.cloud.calls();
    calls.iter_mut().for_each(|call| call.at_ms = call.at_ms.saturating_sub(skipped));
    let (simulated, real) = (milliseconds_of_the_cloud(&world).await - skipped, clock.now().mono);
    assert!(
        real.abs_diff(Duration::from_millis(simulated)) < SLACK,
        "the simulator's clock is at {simulated} ms, the test's at {real:?}"
    );
    let starts = operator.starts.clone();
    let evidence = Evidence { truth, history: record.history(), calls, starts, forgotten, qps: QPS };
    check(&evidence, &format!("IMAGETASK_FAULTS_SEED={seed}"));
}

async fn play(act: Act, world: &World, operator: &mut Operator, orders: &mut Vec<(usize, FaultId)>) {
    match act {
        Act::Create(name, spec) => drop(world.create(&name, spec).await),
        Act::Recreate(name, spec) => {
            world.tasks().delete(&name, &DeleteParams::default()).await.unwrap();
            world.create(&name, spec).await;
        }
        Act::Change(name, change) => {
            world.tasks().patch(&name, &PatchParams::default(), &Patch::Merge(change)).await.unwrap();
        }
        Act::Order(number, fault) => orders.push((number, world.cloud.order(fault))),
        Act::Clear(number) => {
            let (_, order) = orders.iter().find(|(ordered, _)| *ordered == number).expect("it was ordered before");
            world.cloud.clear(*order);
        }
        Act::LimitRate(limit) => world.cloud.limit_rate(limit),
        Act::SkewClock(seconds) => world.cloud.skew_clock(seconds),
        Act::Kill => operator.kill_and_start().await,
    }
}

/// Waits until everything that is neither over nor missing was asked for twice more; what was not in time.
async fn not_asked_again(world: &World, truth: &Truth, record: &Record) -> Vec<String> {
    let history = record.history();
    let followed = history.present().map(|object| truth.followed(&object.spec));
    let goes_on = |id: &String| truth.last(id).is_some_and(|told| told.phase.is_some_and(|phase| !phase.is_end()));
    let before: Vec<_> = followed.filter(goes_on).map(|id| (world.cloud.asked(&id), id)).collect();
    let is_asked = |(asked, id): &(u64, String)| world.cloud.asked(id) >= asked + 2;
    let all = world.cloud.until("what is not over is asked for again", |_| before.iter().all(is_asked));
    drop(timeout(FOLLOWING, all).await);
    before.iter().filter(|one| !is_asked(one)).map(|(_, id)| id.clone()).collect()
}

/// How long the cloud has been there.
async fn milliseconds_of_the_cloud(world: &World) -> u64 {
    reqwest::get(world.cloud.url()).await.unwrap();
    let calls = world.cloud.calls();
    world.cloud.forget_calls();
    calls.last().expect("the cloud notes every call").at_ms
}
