//! Hundreds of ImageTasks while everything goes wrong that can: the cloud, the API server, the way to both, and the
//! operator's own life, while some tenants attack those who share their account. Afterwards every ImageTask of the others
//! must tell the truth, and none may ever have told anything else.
//!
//! `IMAGETASK_FAULTS_SEED=7 cargo test --test faults` runs one seed, `IMAGETASK_FAULTS_SEEDS=20` that many fresh ones;
//! `IMAGETASK_FAULTS_ATTACKERS=0` leaves the attackers out. A red run leaves all that is known of it in the folder that it
//! names.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod checks;
mod folder;
mod operator;
mod proxy;
mod neighbours;
mod scenario;
mod siege;
mod truth;
#[path = "../it"]
mod it {
    #[expect(dead_code, unused_imports, reason = "the other tests of the operator need the rest")]
    pub(crate) mod world;
}

use std::any::Any;
use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;
use std::time::Duration;

use futures::FutureExt;
use imagetask_operator::api::{ImageTask, ImageTaskSpec};
use imagetask_operator::clock::Clock;
use k8s_openapi::api::core::v1::Secret;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use kube::runtime::watcher::Config;
use kube::{Api, ResourceExt};
use serde_json::json;
use simulator::FaultId;
use tokio::time::{interval, timeout};

use checks::{Evidence, SLACK, check, has_ended, shows_what_the_cloud_says};
use folder::Folder;
use it::world::{ControlPlane, Record, World};
use operator::{INTERVAL, Operator, QPS};
use proxy::Proxy;
use scenario::{Act, Key, Keys, Scenario};
use siege::is_loud;
use truth::Truth;

/// The run that is always made.
const SEED: u64 = 4;

/// Tells the objects of a run from those of the runs before, which share the API server.
const LABEL: &str = "faults";

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

#[expect(clippy::disallowed_methods, reason = "whoever runs the tests chooses")]
fn are_there_attackers() -> bool {
    std::env::var("IMAGETASK_FAULTS_ATTACKERS").ok().as_deref() != Some("0")
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
    /// What was ordered and not cleared.
    orders: BTreeMap<usize, FaultId>,
    clock: Clock,
    /// How far the cloud's clock is ahead of the run's.
    ahead: Duration,
    forgotten: Vec<String>,
    folder: Folder,
}

impl Run {
    async fn begin(seed: u64) -> Self {
        let mut scenario = Scenario::of(seed, are_there_attackers());
        let world = World::new().await;
        for (access_key, secret_key) in &scenario.accounts {
            world.cloud.add_account(access_key, secret_key);
        }
        for namespace in &scenario.namespaces {
            world.create_namespace(&in_world(&world, namespace)).await;
        }
        for keys in &scenario.secrets {
            store(&world, keys).await;
        }
        let client = ControlPlane::shared().await.client().await;
        let folder = Folder::of(seed, &scenario, Clock::start().now());
        let clock = Clock::start();
        let ahead = lead_of_the_cloud(&world, clock).await;
        world.cloud.forget_calls();
        let road = Proxy::start(client, scenario.dice(), clock).await;
        world.cloud.put_all(scenario.tasks.clone());
        let own = Config::default().labels(&format!("{LABEL}={}", world.namespace));
        let record = Record::begin_with(Api::all(world.client.clone()), own, clock).await;
        let namespaces: Vec<_> =
            [""].iter().chain(&scenario.namespaces).map(|namespace| in_world(&world, namespace)).collect();
        let operator = Operator::of(folder.path(), &road.kubeconfig(), &world.cloud.url(), &namespaces, clock);
        Self {
            truth: Truth::of(&scenario.tasks),
            acts: scenario.acts,
            orders: BTreeMap::new(),
            forgotten: Vec::new(),
            world,
            road,
            record,
            operator,
            clock,
            ahead,
            folder,
        }
    }

    async fn live(&mut self) {
        let (at_once, later): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.acts).into_iter().partition(|(at, _)| at.is_zero());
        for (_, act) in at_once {
            self.play(act).await;
        }
        self.operator.start();
        for (at, act) in later {
            tokio::time::sleep_until(self.clock.instant(at).into()).await;
            self.play(act).await;
        }

        // An end never changes, right or wrong.
        let is_done = |object: &ImageTask| {
            let is_loud = is_loud(&object.namespace().unwrap_or_default());
            is_loud || has_ended(object) || shows_what_the_cloud_says(&self.truth, object).is_ok()
        };
        self.record.until(RECOVERY, |history| history.present().all(is_done)).await;
        eprintln!("done after {:?}", self.clock.now().mono);
        // A fresh process asks for what is not over, and for nothing else.
        self.operator.kill_and_start().await;
        self.forgotten = not_asked_again(&self.world, &self.truth, &self.record).await;
        let ahead = lead_of_the_cloud(&self.world, self.clock).await;
        assert!(ahead.abs_diff(self.ahead) < SLACK, "the cloud's clock was ahead by {:?}, now {ahead:?}", self.ahead);
    }

    async fn play(&mut self, act: Act) {
        let (world, operator) = (&self.world, &mut self.operator);
        match act {
            Act::Create(key, spec) => create(world, &key, spec).await,
            Act::Recreate(key, spec) => {
                tasks(world, &key).delete(&key.name, &DeleteParams::default()).await.unwrap();
                create(world, &key, spec).await;
            }
            Act::Change(key, change) => {
                tasks(world, &key).patch(&key.name, &PatchParams::default(), &Patch::Merge(change)).await.unwrap();
            }
            Act::Secret(keys) => store(world, &keys).await,
            Act::Order(number, fault) => drop(self.orders.insert(number, world.cloud.order(fault))),
            Act::Clear(number) => drop(self.orders.remove(&number).map(|order| world.cloud.clear(order))),
            Act::LimitRate(limit) => world.cloud.limit_rate(limit),
            Act::SkewClock(seconds) => world.cloud.skew_clock(seconds),
            Act::Kill => operator.kill_and_start().await,
            Act::Stop => operator.stop().await,
            Act::Continue => operator.go_on().await,
            Act::Calm(number) => {
                let lasting = self.orders.split_off(&number);
                for order in std::mem::replace(&mut self.orders, lasting).into_values() {
                    world.cloud.clear(order);
                }
                self.road.calm();
            }
        }
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
            stops: self.operator.stops.clone(),
            end: self.clock.now().mono,
            forgotten: self.forgotten,
            qps: QPS,
        };
        (evidence, self.road.journal(), self.folder)
    }
}

/// A namespace of the run.
fn in_world(world: &World, namespace: &str) -> String {
    match namespace.is_empty() {
        true => world.namespace.clone(),
        false => format!("{}-{namespace}", world.namespace),
    }
}

fn tasks(world: &World, key: &Key) -> Api<ImageTask> {
    Api::namespaced(world.client.clone(), &in_world(world, key.namespace))
}

async fn create(world: &World, key: &Key, spec: ImageTaskSpec) {
    let mut object = ImageTask::new(&key.name, spec);
    object.labels_mut().insert(LABEL.to_owned(), world.namespace.clone());
    tasks(world, key).create(&PostParams::default(), &object).await.unwrap();
}

/// Stores a Secret, or changes it.
async fn store(world: &World, Keys { key, access_key, secret_key }: &Keys) {
    let object = json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": {"name": key.name},
        "stringData": {"VOLCENGINE_ACCESS_KEY": access_key, "VOLCENGINE_SECRET_KEY": secret_key},
    });
    let api: Api<Secret> = Api::namespaced(world.client.clone(), &in_world(world, key.namespace));
    api.patch(&key.name, &PatchParams::apply("faults").force(), &Patch::Apply(object)).await.unwrap();
}

/// Waits until everything that is neither over nor missing was asked for twice more; what was not in time.
async fn not_asked_again(world: &World, truth: &Truth, record: &Record) -> Vec<String> {
    let history = record.history();
    let honest = history.present().filter(|object| !is_loud(&object.namespace().unwrap_or_default()));
    let followed = honest.map(|object| truth.followed(&object.spec));
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
