//! Several replicas: one leads, the others stand by, and a Lease decides.

use std::process::Stdio;
use std::time::Duration;

use imagetask_operator::api::Phase;
use imagetask_operator::clock::Clock;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::rbac::v1::{Role, RoleBinding};
use k8s_openapi::jiff::{SignedDuration, Timestamp};
use kube::api::{ObjectMeta, PostParams};
use kube::{Api, Resource};
use serde_json::{Value, json};
use simulator::{Simulator, Task};

use crate::PROGRAM;
use crate::world::chart::{built, for_namespaces};
use crate::world::{PATIENCE, Process, Record, Wire, World, get, signal, status};

/// The lease duration of these tests.
const LEASE: Duration = Duration::from_secs(3);

/// A replica, as a process with its own wire to the API server.
pub(crate) struct Replica {
    pub(crate) process: Process,
    pub(crate) wire: Wire,
    pub(crate) identity: String,
}

impl Replica {
    /// Starts one of a world; its Lease is in the world's namespace.
    pub(crate) async fn start(world: &World, flags: &[&str]) -> Self {
        let namespace = format!("--lease-namespace={}", world.namespace);
        let own = ["--leader-elect", &namespace, "--lease-duration=3s", "--poll-interval=1s", "--progress-interval=1s"];
        let given = |flag: &&&str| flags.iter().any(|given| given.split('=').next() == flag.split('=').next());
        let own: Vec<&str> = own.iter().filter(|flag| !given(flag)).copied().collect();
        let wire = Wire::of(world).await;
        let variables = [("KUBECONFIG", wire.kubeconfig.to_str().unwrap())];
        let process = world.process(PROGRAM, &[&own, flags].concat(), &variables).await;
        let line = process.log_until("stands for election").await.remove(0);
        let line: Value = serde_json::from_str(&line).unwrap();
        let identity = line["identity"].as_str().expect("it says who it is").to_owned();
        Self { process, wire, identity }
    }

    /// Starts one, and waits until it leads.
    async fn lead(world: &World, leases: &Record<Lease>, flags: &[&str]) -> Self {
        let replica = Self::start(world, flags).await;
        until_led_by(leases, &replica).await;
        replica
    }

    /// Starts one that finds another leading.
    async fn stand_by(world: &World, flags: &[&str]) -> Self {
        let replica = Self::start(world, flags).await;
        replica.process.log_until("stands by").await;
        replica.process.log_until("the first list of ImageTasks is done").await;
        replica
    }

    /// A line of its metrics.
    async fn metric(&self, name: &str) -> String {
        let (_, text) = get(&self.process.address, "/metrics").await;
        let line = text.lines().find(|line| line.strip_prefix(name).is_some_and(|rest| rest.starts_with([' ', '{'])));
        line.unwrap_or_else(|| panic!("no {name} in {text}")).to_owned()
    }
}

/// Records every version of the world's Leases.
pub(crate) async fn leases(world: &World, clock: Clock) -> Record<Lease> {
    Record::begin(Api::namespaced(world.client.clone(), &world.namespace), clock).await
}

pub(crate) fn holder(lease: &Lease) -> Option<&str> {
    lease.spec.as_ref()?.holder_identity.as_deref()
}

pub(crate) fn version(object: &impl Resource) -> u64 {
    object.meta().resource_version.as_ref().unwrap().parse().unwrap()
}

/// When a Lease was first seen as described.
fn first(leases: &Record<Lease>, is: impl Fn(&Lease) -> bool) -> Option<Duration> {
    leases.history().lives().find_map(|life| life.first(&is))
}

/// Waits until a replica leads; when that was seen.
async fn until_led_by(leases: &Record<Lease>, replica: &Replica) -> Duration {
    until_held_by(leases, &replica.identity).await
}

/// Waits until the Lease is somebody's; when that was first seen.
async fn until_held_by(leases: &Record<Lease>, identity: &str) -> Duration {
    let led = |lease: &Lease| holder(lease) == Some(identity);
    leases.until(PATIENCE, |history| history.lives().any(|life| led(life.last()))).await.expect("it leads in time");
    first(leases, led).expect("it was seen to lead")
}

#[tokio::test]
async fn a_leader_that_stops_hands_over_within_a_second() {
    let (world, elsewhere, clock) = (World::new().await, Simulator::start().await, Clock::start());
    world.cloud.put(Task::export("t-1", "image-1").running(10));
    elsewhere.put(Task::export("t-1", "image-1").succeeded());
    let leases = leases(&world, clock).await;
    let mut leader = Replica::lead(&world, &leases, &[]).await;
    let standby = Replica::stand_by(&world, &[&format!("--endpoint={}", elsewhere.url())]).await;
    world.follow("t-1").await;
    world.until_phase("t-1", Phase::Running).await;
    world.cloud.until("two more beats have passed", |cloud| cloud.asked("t-1") >= 3).await;
    assert_eq!(elsewhere.call_count(), 0);
    assert_eq!(get(&standby.process.address, "/readyz").await, (200, "ok\n".into()));
    let metrics = async |replica: &Replica| {
        (replica.metric("imagetask_leader").await, replica.metric("imagetask_status_queue").await)
    };
    assert_eq!(metrics(&leader).await, ("imagetask_leader 1".into(), "imagetask_status_queue 0".into()));
    assert_eq!(metrics(&standby).await, ("imagetask_leader 0".into(), "imagetask_status_queue 0".into()));

    leader.process.signal("TERM").await;
    assert_eq!(leader.process.ended().await, Some(0));
    let led = until_led_by(&leases, &standby).await;
    let released = first(&leases, |lease| holder(lease).is_none()).expect("it is released");
    assert!(led - released < Duration::from_secs(1), "taken {:?} after the release", led - released);
    world.until_phase("t-1", Phase::Succeeded).await;
    assert_eq!(standby.metric("imagetask_leader").await, "imagetask_leader 1");
    let transitions = leases.history().present().next().unwrap().spec.as_ref().unwrap().lease_transitions;
    assert_eq!(transitions, Some(1));
}

#[tokio::test]
async fn what_is_decided_is_written_before_the_lease_is_released() {
    let (world, clock) = (World::new().await, Clock::start());
    world.cloud.put(Task::export("t-1", "image-1").running(1));
    let leases = leases(&world, clock).await;
    let mut leader = Replica::lead(&world, &leases, &["--progress-interval=1h"]).await;
    world.follow("t-1").await;
    world.until_phase("t-1", Phase::Running).await;
    world.cloud.change("t-1", &json!({"Process": 50}));
    let asked = world.cloud.asked("t-1");
    world.cloud.until("it is known", |cloud| cloud.asked("t-1") >= asked + 2).await;
    assert_eq!(status(&world.tasks().get("t-1").await.unwrap()).process, Some(1), "its progress waits its turn");
    leader.process.signal("TERM").await;
    assert_eq!(leader.process.ended().await, Some(0));
    let written = world.tasks().get("t-1").await.unwrap();
    let is_released = |lease: &Lease| holder(lease).is_none();
    leases.until(PATIENCE, |history| history.present().any(is_released)).await.expect("it is released");
    let history = leases.history();
    let released = history.present().next().unwrap();
    assert_eq!((status(&written).process, version(&written) < version(released)), (Some(50), true));
}

#[tokio::test]
async fn a_leader_that_is_killed_is_replaced_within_its_lease_duration_and_two_seconds() {
    let (world, clock) = (World::new().await, Clock::start());
    world.cloud.put(Task::export("t-1", "image-1").running(10));
    let leases = leases(&world, clock).await;
    let mut leader = Replica::lead(&world, &leases, &[]).await;
    let standby = Replica::stand_by(&world, &[]).await;
    world.follow("t-1").await;
    world.until_phase("t-1", Phase::Running).await;
    let killed = clock.now().mono;
    leader.process.child.kill().await.unwrap();
    world.cloud.change("t-1", &json!({"Status": "Succeeded", "Process": 100}));
    let took = until_led_by(&leases, &standby).await - killed;
    assert!(took <= LEASE + Duration::from_secs(2), "taken over after {took:?}");
    world.until_phase("t-1", Phase::Succeeded).await;
}

/// A leader that cannot reach the API server any more ends by itself, before another leads.
async fn ends_before_another_leads(sever: impl Fn(&Wire)) {
    let (world, clock) = (World::new().await, Clock::start());
    let leases = leases(&world, clock).await;
    let mut leader = Replica::lead(&world, &leases, &[]).await;
    let standby = Replica::stand_by(&world, &[]).await;
    sever(&leader.wire);
    assert_eq!(leader.process.ended().await, Some(1));
    let ended = clock.now().mono;
    let led = until_led_by(&leases, &standby).await;
    assert!(ended < led, "the other leads {:?} before the end", ended - led);
    leader.process.log_until("leadership is lost").await;
}

#[tokio::test]
async fn a_leader_that_is_cut_off_ends_before_another_leads() {
    ends_before_another_leads(Wire::cut).await;
}

#[tokio::test]
async fn a_leader_whose_calls_hang_ends_before_another_leads() {
    ends_before_another_leads(Wire::hold).await;
}

#[tokio::test]
async fn a_standby_whose_watch_hangs_still_finds_a_released_lease() {
    let (world, clock) = (World::new().await, Clock::start());
    let leases = leases(&world, clock).await;
    let mut leader = Replica::lead(&world, &leases, &["--lease-duration=15s"]).await;
    let standby = Replica::stand_by(&world, &["--lease-duration=15s"]).await;
    standby.wire.hold_what_is_open();
    leader.process.signal("TERM").await;
    assert_eq!(leader.process.ended().await, Some(0));
    let stopped = clock.now().mono;
    let took = until_led_by(&leases, &standby).await - stopped;
    // Silence of two renewals and its jitter, a read on a connection that hangs, and one that does not.
    assert!(took < Duration::from_secs(12), "taken after {took:?}");
}

/// How often the Lease was somebody's.
fn times_held_by(leases: &Record<Lease>, identity: &str) -> usize {
    let versions: Vec<_> = leases.history().lives().flat_map(|life| life.versions.clone()).collect();
    versions.iter().filter(|seen| holder(&seen.object) == Some(identity)).count()
}

/// Starts a program that stands for election with client-go.
fn candidate_of_client_go(world: &World, identity: &str) -> tokio::process::Child {
    let mut command = tokio::process::Command::new(built("candidate"));
    command.args([&world.namespace, "it", identity]).env_clear().env("KUBECONFIG", &world.plane.kubeconfig);
    command.kill_on_drop(true).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

#[tokio::test]
async fn client_go_and_the_operator_respect_each_other_and_hand_over() {
    let (world, clock) = (World::new().await, Clock::start());
    let leases = leases(&world, clock).await;
    let until_renewed = async |identity: &str| {
        let before = times_held_by(&leases, identity);
        let renewed = leases.until(PATIENCE, |_| times_held_by(&leases, identity) >= before + 15);
        renewed.await.expect("it renews the Lease");
    };
    let mut other = candidate_of_client_go(&world, "go-1");
    until_held_by(&leases, "go-1").await;
    let mut replica = Replica::stand_by(&world, &["--lease-name=it"]).await;
    until_renewed("go-1").await;
    assert_eq!(times_held_by(&leases, &replica.identity), 0);
    signal(&other, "TERM").await;
    let led = until_led_by(&leases, &replica).await;
    let released = |lease: &Lease| holder(lease).is_none_or(str::is_empty);
    let after_release = led - first(&leases, released).expect("it is released");
    assert!(after_release < Duration::from_secs(1), "taken {after_release:?} after the release");
    assert_eq!(other.wait().await.unwrap().code(), Some(0));

    let _next = candidate_of_client_go(&world, "go-2");
    until_renewed(&replica.identity).await;
    assert_eq!(times_held_by(&leases, "go-2"), 0);
    replica.process.signal("TERM").await;
    assert_eq!(replica.process.ended().await, Some(0));
    let stopped = clock.now().mono;
    // It looks every 400 to 900 ms, and would wait 3 s for a Lease that was not released.
    let took = until_held_by(&leases, "go-2").await.saturating_sub(stopped);
    assert!(took < Duration::from_secs(2), "taken {took:?} after the release");
}

#[tokio::test]
async fn the_times_in_the_record_do_not_matter() {
    for hours in [-1, 1] {
        let (world, clock) = (World::new().await, Clock::start());
        let leases = leases(&world, clock).await;
        let off = clock.now().wall.shown() + SignedDuration::from_hours(hours);
        let stranger = json!({"metadata": {"name": "it"}, "spec": {
            "holderIdentity": "stranger", "leaseDurationSeconds": 3, "leaseTransitions": 7,
            "acquireTime": micros(off), "renewTime": micros(off),
        }});
        let api: Api<Lease> = Api::namespaced(world.client.clone(), &world.namespace);
        api.create(&PostParams::default(), &serde_json::from_value(stranger).unwrap()).await.unwrap();
        let before = clock.now().mono;
        let replica = Replica::start(&world, &["--lease-name=it"]).await;
        let started = clock.now().mono;
        let led = until_led_by(&leases, &replica).await;
        assert!(
            led >= before + LEASE && led <= started + LEASE + Duration::from_secs(2),
            "{hours} h: {:?}",
            led - started
        );
        let taken = api.get("it").await.unwrap().spec.unwrap();
        assert_eq!(taken.lease_transitions, Some(8));
    }
}

/// What the API server takes as a time of a Lease.
fn micros(time: Timestamp) -> String {
    format!("{time:.6}")
}

/// Two shards with two replicas each follow every task exactly once, also after one of each has stopped.
async fn follow_each_task_once(world: &World, shards: [&[&str]; 2], create: impl AsyncFn(usize, &str)) {
    let clouds = [Simulator::start().await, Simulator::start().await];
    let leases = leases(world, Clock::start()).await;
    let ids = ["t-0", "t-1", "t-2", "t-3"];
    for (cloud, id) in clouds.iter().flat_map(|cloud| ids.map(|id| (cloud, id))) {
        cloud.put(Task::export(id, "image-1").running(1));
    }
    let mut replicas = Vec::new();
    for (flags, cloud) in shards.iter().zip(&clouds) {
        let endpoint = format!("--endpoint={}", cloud.url());
        let flags = [flags, &[&*endpoint][..]].concat();
        replicas.push((Replica::lead(world, &leases, &flags).await, Replica::stand_by(world, &flags).await));
    }
    for (number, id) in ids.iter().enumerate() {
        create(number % 2, id).await;
    }
    let asked = || clouds.each_ref().map(|cloud| ids.map(|id| cloud.asked(id) > 0));
    let once = [[true, false, true, false], [false, true, false, true]];
    let all_twice =
        |number: usize| move |cloud: &simulator::Cloud| (number..4).step_by(2).all(|n| cloud.asked(ids[n]) >= 2);
    for (number, cloud) in clouds.iter().enumerate() {
        cloud.until("its tasks are followed", all_twice(number)).await;
    }
    assert_eq!(asked(), once);
    for (leader, standby) in &mut replicas {
        leader.process.signal("TERM").await;
        assert_eq!(leader.process.ended().await, Some(0));
        until_led_by(&leases, standby).await;
    }
    clouds.iter().for_each(|cloud| cloud.forget_calls());
    for (number, cloud) in clouds.iter().enumerate() {
        cloud.until("its tasks are followed", all_twice(number)).await;
    }
    assert_eq!(asked(), once);
    assert_eq!(leases.history().present().count(), 2, "each shard has a Lease of its own");
}

#[tokio::test]
async fn two_shards_by_selector_follow_each_task_once() {
    let world = World::new().await;
    follow_each_task_once(&world, [&["--selector=shard=0"], &["--selector=shard notin (0)"]], async |shard, id| {
        let spec = json!({"taskId": id, "region": Simulator::REGION});
        let object = json!({"metadata": {"name": id, "labels": {"shard": shard.to_string()}}, "spec": spec});
        let object = serde_json::from_value(with_type(object)).unwrap();
        world.tasks().create(&PostParams::default(), &object).await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn two_shards_by_namespace_follow_each_task_once() {
    let (world, other) = (World::new().await, World::new().await);
    let flags =
        |namespace: &str| [format!("--namespace={namespace}"), format!("--default-credentials-namespaces={namespace}")];
    let (here, there) = (flags(&world.namespace), flags(&other.namespace));
    world.install(&for_namespaces(&world.namespace, &[&world.namespace, &other.namespace]).await).await;
    let shards = [&here, &there].map(|flags| flags.each_ref().map(String::as_str));
    follow_each_task_once(&world, [&shards[0], &shards[1]], async |shard, id| {
        [&world, &other][shard].follow(id).await;
    })
    .await;
}

fn with_type(mut object: Value) -> Value {
    object["apiVersion"] = json!("ecs.volcengine.com/v1alpha1");
    object["kind"] = json!("ImageTask");
    object
}

/// A user who may do what the operator needs, and these verbs with its Lease.
async fn account(world: &World, verbs: &[&str]) -> String {
    account_with(world, verbs, &["update"]).await
}

/// As [`account`], who may do this with statuses.
async fn account_with(world: &World, verbs: &[&str], status_verbs: &[&str]) -> String {
    let api: Api<Role> = Api::namespaced(world.client.clone(), &world.namespace);
    let named: Vec<_> = verbs.iter().filter(|verb| **verb != "create").collect();
    let unnamed: Vec<_> = verbs.iter().filter(|verb| **verb == "create").collect();
    let lease = |verbs: &[&&str], names: &[&str]| {
        json!({
            "apiGroups": ["coordination.k8s.io"], "resources": ["leases"], "verbs": verbs, "resourceNames": names,
        })
    };
    let mut rules = vec![
        json!({"apiGroups": ["ecs.volcengine.com"], "resources": ["imagetasks"], "verbs": ["list", "watch"]}),
        json!({"apiGroups": ["ecs.volcengine.com"], "resources": ["imagetasks/status"], "verbs": status_verbs}),
    ];
    rules.extend((!named.is_empty()).then(|| lease(&named, &["it"])));
    rules.extend((!unnamed.is_empty()).then(|| lease(&unnamed, &[])));
    let metadata = ObjectMeta { name: Some("operator".into()), ..ObjectMeta::default() };
    let role = Role { metadata, rules: serde_json::from_value(json!(rules)).unwrap() };
    api.create(&PostParams::default(), &role).await.unwrap();
    let user = format!("operator-of-{}", world.namespace);
    let binding = json!({
        "metadata": {"name": "operator"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "operator"},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": user}],
    });
    let bindings: Api<RoleBinding> = Api::namespaced(world.client.clone(), &world.namespace);
    bindings.create(&PostParams::default(), &serde_json::from_value(binding).unwrap()).await.unwrap();
    let kubeconfig = world.plane.kubeconfig_with(&user, |config| config["users"][0]["user"]["as"] = json!(user));
    kubeconfig.to_str().unwrap().to_owned()
}

#[tokio::test]
async fn the_documented_permissions_are_enough_and_each_is_needed() {
    const VERBS: [&str; 4] = ["create", "get", "update", "watch"];
    let run = async |verbs: &[&str]| {
        let world = World::new().await;
        let kubeconfig = account(&world, verbs).await;
        let namespace = format!("--lease-namespace={}", world.namespace);
        let flags = ["--leader-elect", &namespace, "--lease-name=it", "--lease-duration=2s", "--poll-interval=1s"];
        let process = world.process(PROGRAM, &flags, &[("KUBECONFIG", &kubeconfig)]).await;
        (world, process)
    };
    for lacking in VERBS {
        let verbs: Vec<_> = VERBS.into_iter().filter(|verb| *verb != lacking).collect();
        let (_world, process) = run(&verbs).await;
        process.log_until(&format!("cannot {lacking} the Lease")).await;
    }
    let (world, mut process) = run(&VERBS).await;
    world.cloud.put(Task::export("t-1", "image-1").succeeded());
    world.follow("t-1").await;
    world.until_phase("t-1", Phase::Succeeded).await;
    process.signal("TERM").await;
    assert_eq!(process.ended().await, Some(0));
    assert_eq!(process.log_until("released the Lease").await.len(), 1);
}

#[tokio::test]
async fn a_lease_is_not_released_while_statuses_are_unwritten() {
    let world = World::new().await;
    world.cloud.put(Task::export("t-1", "image-1").succeeded());
    let kubeconfig = account_with(&world, &["create", "get", "update", "watch"], &["get"]).await;
    let namespace = format!("--lease-namespace={}", world.namespace);
    let flags = ["--leader-elect", &namespace, "--lease-name=it", "--lease-duration=3s", "--poll-interval=1s"];
    let mut process = world.process(PROGRAM, &flags, &[("KUBECONFIG", &kubeconfig)]).await;
    world.follow("t-1").await;
    process.log_until("status not written").await;
    process.signal("TERM").await;
    assert_eq!(process.ended().await, Some(0));
    process.log_until("stopped with statuses unwritten").await;
    let api: Api<Lease> = Api::namespaced(world.client.clone(), &world.namespace);
    assert!(holder(&api.get("it").await.unwrap()).is_some());
}
