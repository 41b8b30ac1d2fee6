//! Hundreds of ImageTasks while everything goes wrong that can: the cloud, the API server, the way to both, and the
//! operator's own life. Afterwards every one of them must tell the truth, and none may ever have told anything else.
//!
//! `IMAGETASK_FAULTS_SEED=7 cargo test --test faults` runs one seed, `IMAGETASK_FAULTS_SEEDS=20` that many fresh ones. A red
//! run leaves all that is known of it in the folder that it names.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod checks;
mod folder;
mod operator;
mod proxy;
mod scenario;
mod truth;
#[path = "../it"]
mod it {
    #[expect(dead_code, unused_imports, reason = "the other tests of the operator need the rest")]
    pub(crate) mod world;
}

use std::any::Any;
use std::panic::AssertUnwindSafe;
use std::time::Duration;

use futures::FutureExt;
use imagetask_operator::api::ImageTask;
use imagetask_operator::clock::Clock;
use kube::api::{DeleteParams, Patch, PatchParams};
use serde_json::json;
use simulator::FaultId;
use tokio::time::{interval, timeout};

use checks::{Evidence, SLACK, check, has_ended, shows_what_the_cloud_says};
use folder::Folder;
use it::world::{ControlPlane, Record, World};
use operator::{INTERVAL, Operator, QPS};
use proxy::Proxy;
use scenario::{Act, SECRETS, Scenario, TROUBLE};
use truth::Truth;

/// The run that is always made.
const SEED: u64 = 4;

/// How long after all trouble everything may take to come right. Probes of a lane that failed all the time come up to
/// 32 s apart by then, and so do the attempts of the watch; a loaded machine is slow, a hung operator is found all the same.
const RECOVERY: Duration = Duration::from_secs(300);

/// How long two looks may take a fresh process; on a machine that does nothing else they take 3 s.
const FOLLOWING: Duration = Duration::from_secs(60);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_image_task_tells_the_truth_whatever_goes_wrong() {
    let mut red = Vec::new();
    for seed in seeds() {
        eprintln!("IMAGETASK_FAULTS_SEED={seed}");
        if let Err(verdict) = judge(seed).await {
            eprintln!("{verdict}");
            red.push(verdict);
        }
    }
    assert!(red.is_empty(), "{}", red.join("\n"));
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

/// Makes a run and checks it; what does not hold, and where its evidence is.
async fn judge(seed: u64) -> Result<(), String> {
    let mut run = Run::begin(seed).await;
    let lived = AssertUnwindSafe(run.live()).catch_unwind().await;
    let (evidence, road, folder) = run.end().await;
    let verdict: Vec<_> = lived.err().map(|panic| words(&*panic)).into_iter().chain(check(&evidence)).collect();
    if verdict.is_empty() {
        folder.drop();
        return Ok(());
    }
    let verdict = format!("IMAGETASK_FAULTS_SEED={seed}\n{}", verdict.join("\n"));
    Err(folder.keep(&verdict, &evidence, road))
}

/// What a panic said.
fn words(panic: &(dyn Any + Send)) -> String {
    let words = panic.downcast_ref::<String>().cloned();
    words.or_else(|| panic.downcast_ref::<&str>().map(|words| (*words).to_owned())).unwrap_or_default()
}

/// One run, from its beginning to its end.
struct Run {
    world: World,
    truth: Truth,
    road: Proxy,
    record: Record,
    operator: Operator,
    acts: Vec<(Duration, Act)>,
    clock: Clock,
    /// How far the cloud's clock is ahead of the run's.
    ahead: Duration,
    forgotten: Vec<String>,
    folder: Folder,
}

impl Run {
    async fn begin(seed: u64) -> Self {
        let mut scenario = Scenario::of(seed);
        let world = World::new().await;
        for key in SECRETS {
            world.cloud.add_account(key, "secret");
            world.secret(key, json!({"VOLCENGINE_ACCESS_KEY": key, "VOLCENGINE_SECRET_KEY": "secret"})).await;
        }
        let client = ControlPlane::shared().await.client().await;
        let folder = Folder::of(seed, &scenario, Clock::start().now());
        let clock = Clock::start();
        let ahead = lead_of_the_cloud(&world, clock).await;
        world.cloud.forget_calls();
        let road = Proxy::start(client, scenario.dice(), clock).await;
        world.cloud.put_all(scenario.tasks.clone());
        let record = Record::begin(world.tasks(), clock).await;
        let operator = Operator::start(folder.path(), &road.kubeconfig(), &world.cloud.url(), &world.namespace, clock);
        let (truth, acts, forgotten) = (Truth::of(&scenario.tasks), scenario.acts, Vec::new());
        Self { world, truth, road, record, operator, acts, clock, ahead, forgotten, folder }
    }

    async fn live(&mut self) {
        let mut orders = Vec::new();
        for (at, act) in std::mem::take(&mut self.acts) {
            tokio::time::sleep_until(self.clock.instant(at).into()).await;
            play(act, &self.world, &mut self.operator, &mut orders).await;
        }
        tokio::time::sleep_until(self.clock.instant(TROUBLE).into()).await;
        self.world.cloud.clear_faults();
        self.road.calm();

        // An end never changes, right or wrong.
        let is_done = |object: &ImageTask| has_ended(object) || shows_what_the_cloud_says(&self.truth, object).is_ok();
        self.record.until(RECOVERY, |history| history.present().all(is_done)).await;
        eprintln!("done after {:?}", self.clock.now().mono);
        // A fresh process asks for what is not over, and for nothing else.
        self.operator.kill_and_start().await;
        self.forgotten = not_asked_again(&self.world, &self.truth, &self.record).await;
        let ahead = lead_of_the_cloud(&self.world, self.clock).await;
        assert!(ahead.abs_diff(self.ahead) < SLACK, "the cloud's clock was ahead by {:?}, now {ahead:?}", self.ahead);
    }

    /// Stops everything; what is known of the run.
    async fn end(self) -> (Evidence, Vec<String>, Folder) {
        let mut calls = self.world.cloud.calls();
        let ahead = u64::try_from(self.ahead.as_millis()).expect("it is short");
        calls.iter_mut().for_each(|call| call.at_ms = call.at_ms.saturating_sub(ahead));
        let evidence = Evidence {
            truth: self.truth,
            history: self.record.history(),
            calls,
            starts: self.operator.starts.clone(),
            forgotten: self.forgotten,
            qps: QPS,
        };
        (evidence, self.road.journal(), self.folder)
    }
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
    let mut beat = interval(INTERVAL);
    let all = async {
        while !before.iter().all(is_asked) {
            beat.tick().await;
        }
    };
    drop(timeout(FOLLOWING, all).await);
    before.iter().filter(|one| !is_asked(one)).map(|(_, id)| id.clone()).collect()
}

/// How far the cloud's clock is ahead, for it is older: between two readings of the run's that are close to each other.
async fn lead_of_the_cloud(world: &World, clock: Clock) -> Duration {
    let client = reqwest::Client::new();
    for _ in 0..100 {
        let before = clock.now().mono;
        client.get(world.cloud.url()).send().await.unwrap();
        let after = clock.now().mono;
        let calls = world.cloud.calls();
        let probe = calls.iter().rfind(|call| call.access_key.is_empty()).expect("the cloud notes every call");
        if after - before < SLACK / 4 {
            return Duration::from_millis(probe.at_ms).saturating_sub(before);
        }
    }
    panic!("this machine is too busy to compare two clocks");
}
