//! The index in virtual time: a cloud that answers from a table, an API server that stores what is written.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use k8s_openapi::jiff::Timestamp;
use serde_json::{Value, json};

use super::*;
use crate::clock::Wall;
use crate::credentials::Credentials;
use crate::deadline::Unheard;
use crate::ecs::{Answer, Error, ErrorKind, Session, Task, TaskId, Word, Words};
use crate::reason::Reason;
use crate::role::RenewalFault;

const WATCH: WatchId = WatchId(0);

/// A step of virtual time; every moment of the tests is a multiple.
const STEP: Duration = Duration::from_millis(10);

/// The time after which the client gives up a call.
const HANG: Duration = Duration::from_secs(10);

/// What the cloud says to a question about these ids.
pub(super) type Cloud = Box<dyn Fn(&Call) -> Result<(), ErrorKind>>;

/// What STS says to whoever takes the operator's role at a moment.
pub(super) type Sts = fn(Duration) -> Result<Session, RenewalFault>;

/// A question as the cloud got it.
#[derive(Clone, Debug)]
pub(super) struct Call {
    pub(super) at: Duration,
    pub(super) lag: Option<Duration>,
    pub(super) ids: Vec<String>,
    pub(super) region: String,
    /// The access key that it is signed with.
    pub(super) key: String,
}

/// A status as the API server stored it.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Stored {
    pub(super) at: Duration,
    pub(super) name: String,
    pub(super) change: Change,
    pub(super) reason: String,
}

/// A small world in virtual time.
pub(super) struct World {
    pub(super) index: Index,
    /// The index of another replica, which sees what the first one sees.
    pub(super) standby: Option<Index>,
    pub(super) now: Duration,
    pub(super) latency: Duration,
    /// How far the API server's clock was set back.
    set_back: Duration,
    /// The API server has not told its time yet.
    pub(super) timeless: bool,
    /// Status word by task id; ids that are not here are not found.
    pub(super) tasks: BTreeMap<String, &'static str>,
    /// Progress of every task, as a look begun at a moment sees it.
    pub(super) process: fn(Duration) -> Option<u8>,
    pub(super) cloud: Cloud,
    pub(super) sts: Sts,
    /// When the role was taken, or was to be.
    pub(super) renewals: Vec<Duration>,
    /// Images of which the cloud tells one task, and never comes to the end of the others.
    endless: BTreeSet<String>,
    /// Tasks that the cloud tells whole, also when it is asked about their images.
    pub(super) of_images: Vec<Task>,
    pub(super) calls: Vec<Call>,
    /// The region whose calls are never answered, but given up after [`HANG`].
    hanging: Option<String>,
    flying: VecDeque<(Duration, Question)>,
    pub(super) objects: BTreeMap<String, Value>,
    /// What the API server says of a Secret; `None`: it does not answer.
    pub(super) secrets: fn(&str, Duration) -> Option<Result<Credentials, SecretFault>>,
    /// When each Secret was read.
    pub(super) reads: Vec<(Duration, String)>,
    /// Where objects are created from now on.
    pub(super) namespace: &'static str,
    version: u64,
    pub(super) writes: Vec<Stored>,
    /// Objects whose status the API server fails to store, and when it did.
    pub(super) unstorable: BTreeSet<String>,
    failures: Vec<(Duration, String)>,
    /// While it is some, the API server stores what is written, but answers only when told to.
    pub(super) unanswered: Option<Vec<(EntryKey, Revision, Written)>>,
    /// How long the process stands still before it sends a write that is due.
    pub(super) stops_before_sending: Duration,
}

pub(super) fn settings() -> Settings {
    Settings {
        rules: Rules { not_found_grace: Duration::from_secs(120), stuck_after: Duration::from_secs(300) },
        poll_interval: Duration::from_secs(10),
        account_qps: 4.0,
        total_qps: 100.0,
        progress_interval: Duration::from_secs(30),
        default_region: Region::parse("cn-beijing").ok(),
        own_credentials: Some(Own::Keys(Arc::new(credentials("own")))),
        lent_to: Namespaces::All,
        lease_duration: Duration::from_secs(15),
    }
}

pub(super) fn credentials(key: &str) -> Credentials {
    Credentials::from_pairs(|name| (name != crate::credentials::SESSION_TOKEN).then(|| key.into())).unwrap()
}

impl World {
    pub(super) fn new() -> Self {
        Self::with(settings())
    }

    pub(super) fn with(settings: Settings) -> Self {
        let mut world = Self::asleep(settings);
        world.lead();
        world
    }

    /// A world whose index is a standby's.
    pub(super) fn asleep(settings: Settings) -> Self {
        Self {
            index: Index::new(settings),
            standby: None,
            now: Duration::ZERO,
            latency: Duration::from_millis(100),
            set_back: Duration::ZERO,
            timeless: false,
            tasks: BTreeMap::new(),
            process: |_| None,
            cloud: Box::new(|_| Ok(())),
            sts: |_| panic!("the operator has no role"),
            renewals: Vec::new(),
            endless: BTreeSet::new(),
            of_images: Vec::new(),
            calls: Vec::new(),
            hanging: None,
            flying: VecDeque::new(),
            objects: BTreeMap::new(),
            secrets: |_, _| None,
            reads: Vec::new(),
            namespace: "team",
            version: 0,
            writes: Vec::new(),
            unstorable: BTreeSet::new(),
            failures: Vec::new(),
            unanswered: None,
            stops_before_sending: Duration::ZERO,
        }
    }

    /// The index begins to lead.
    pub(super) fn lead(&mut self) {
        let now = self.moment();
        self.index.lead(Duration::MAX, now);
    }

    pub(super) fn moment(&self) -> Now {
        let start = Timestamp::from_second(1_700_000_000).unwrap();
        let wall = start + self.now - self.set_back;
        Now { mono: self.now, wall: if self.timeless { Wall::Local(wall) } else { Wall::Server(wall) } }
    }

    /// Creates an ImageTask named after its task, and the task.
    pub(super) fn create(&mut self, id: &str) {
        self.tasks.insert(id.to_owned(), "Running");
        self.store(id, json!({"taskId": id}), Value::Null);
    }

    /// Changes the spec of an ImageTask, as a user does.
    pub(super) fn edit(&mut self, name: &str, spec: Value) {
        self.store(name, spec, self.objects[name]["status"].clone());
    }

    /// Sets the annotation that asks for a look.
    pub(super) fn ask_for_a_look(&mut self, name: &str, value: &str) {
        self.version += 1;
        let metadata = &mut self.objects.get_mut(name).expect("it was created")["metadata"];
        metadata["resourceVersion"] = json!(self.version.to_string());
        metadata["annotations"] = json!({crate::api::RECONCILE_REQUESTED_AT: value});
        self.show(name);
    }

    /// Deletes an ImageTask, and lets the watch tell.
    pub(super) fn delete(&mut self, name: &str) {
        let gone = self.objects.remove(name).expect("it was created");
        for index in self.standby.iter_mut().chain([&mut self.index]) {
            index.leaves(serde_json::from_value(gone.clone()).unwrap());
        }
    }

    /// The operator is down for a while, and starts anew.
    pub(super) fn restart_after(&mut self, pause: Duration) {
        self.flying.clear();
        self.now += pause;
        self.index = Index::new(self.index.settings.clone());
        self.lead();
        let names: Vec<_> = self.objects.keys().cloned().collect();
        for name in names {
            self.show(&name);
        }
    }

    /// A second replica is there from now on.
    pub(super) fn stand_by(&mut self) {
        let mut standby = Index::new(self.index.settings.clone());
        let now = self.moment();
        for object in self.objects.values() {
            assert!(standby.arrives(serde_json::from_value(object.clone()).unwrap(), WATCH, now));
        }
        self.standby = Some(standby);
    }

    /// The leader is killed, and the standby begins to lead.
    pub(super) fn hand_over(&mut self) {
        self.flying.clear();
        self.index = self.standby.take().expect("another replica is there");
        self.lead();
    }

    pub(super) fn store(&mut self, name: &str, spec: Value, status: Value) {
        self.version += 1;
        let before = self.objects.get(name).map(|object| &object["metadata"]);
        let created = before.map(|metadata| metadata["creationTimestamp"].clone());
        let namespace = before.map_or_else(|| json!(self.namespace), |metadata| metadata["namespace"].clone());
        let generation = self
            .objects
            .get(name)
            .map_or(1, |object| object["metadata"]["generation"].as_i64().unwrap() + i64::from(object["spec"] != spec));
        let object = json!({
            "metadata": {
                "name": name, "namespace": namespace, "uid": format!("uid-{name}"),
                "resourceVersion": self.version.to_string(), "generation": generation,
                "creationTimestamp": created.unwrap_or_else(|| json!(self.moment().wall.shown().to_string())),
            },
            "spec": spec, "status": status,
        });
        self.objects.insert(name.to_owned(), object);
        self.show(name);
    }

    /// Lets the watch show an object as it is.
    pub(super) fn show(&mut self, name: &str) {
        let now = self.moment();
        for index in self.standby.iter_mut().chain([&mut self.index]) {
            let view = serde_json::from_value(self.objects[name].clone()).unwrap();
            assert!(index.arrives(view, WATCH, now), "{name} can be read");
        }
    }

    pub(super) fn run(&mut self, time: Duration) {
        let end = self.now + time;
        while self.now < end {
            self.turn();
            self.now += STEP;
        }
    }

    fn turn(&mut self) {
        let now = self.moment();
        while self.flying.front().is_some_and(|(due, _)| *due <= self.now) {
            let (_, question) = self.flying.pop_front().unwrap();
            let answer = self.answer(&question);
            self.index.answered(question, answer, now);
        }
        let due = self.index.due(now);
        for secret in due.secrets {
            self.reads.push((self.now, secret.name.to_string()));
            if let Some(read) = (self.secrets)(&secret.name, self.now) {
                self.index.secret_read(secret, read, now);
            }
        }
        if due.renew {
            self.renewals.push(self.now);
            self.index.renewed((self.sts)(self.now), now);
        }
        for question in due.questions {
            self.calls.push(call(&question, self.now));
            let hangs = self.hanging.as_deref() == Some(question.region.as_str());
            let latency = if hangs { HANG } else { self.latency };
            self.flying.push_back((self.now + latency, question));
            self.flying.make_contiguous().sort_by_key(|(due, _)| *due);
        }
        for write in self.index.due_writes(now).0 {
            self.now += self.stops_before_sending;
            let now = self.moment();
            match self.index.may_send(&write, now) {
                true => self.write(write),
                false => self.index.hand_back(write.entry, now),
            }
        }
    }

    fn answer(&self, question: &Question) -> Result<Answer, Error> {
        let call = call(question, question.begun.mono);
        (self.cloud)(&call).map_err(Error::of_kind)?;
        let process = (self.process)(call.at);
        let known = |id: &String| {
            let status = Some(*self.tasks.get(id)?);
            Some(task(id, Words { process, status, ..Words::default() }))
        };
        let of_image = |image: &String| {
            let (type_, status) = (Some("ExportImage"), Some("Succeeded"));
            task("t-old", Words { type_, status, resource_id: Some(image), ..Words::default() })
        };
        let part = call.ids.iter().filter(|id| self.endless.contains(*id)).map(of_image);
        let asked = |id: &str| call.ids.iter().any(|asked| asked == id);
        let whole = self
            .of_images
            .iter()
            .filter(|task| asked(task.id.as_str()) || task.word(Word::Resource).is_some_and(|image| asked(&image)));
        let tasks: Vec<_> = call.ids.iter().filter_map(known).chain(part).chain(whole.cloned()).collect();
        let complete = !call.ids.iter().any(|id| self.endless.contains(id));
        Ok(Answer { tasks, request_id: Some("r".into()), complete, calls: if complete { 1 } else { 20 } })
    }

    fn write(&mut self, write: Write) {
        let (name, entry, revision) = (write.object.name.to_string(), write.entry, write.revision());
        let written = self.stored(&name, write);
        let changed = matches!(written, Written::Stored(_));
        let now = self.moment();
        match &mut self.unanswered {
            Some(unanswered) => unanswered.push((entry, revision, written)),
            None => self.index.written(entry, revision, written, now),
        }
        if changed {
            self.show(&name);
        }
    }

    fn stored(&mut self, name: &str, write: Write) -> Written {
        if self.unstorable.contains(name) {
            self.failures.push((self.now, name.to_owned()));
            return Written::Failed;
        }
        let object = self.objects.get_mut(name).expect("nothing is written to a deleted object");
        if object["metadata"]["resourceVersion"] != *write.version.to_string() {
            return Written::Conflict;
        }
        self.version += 1;
        object["metadata"]["resourceVersion"] = json!(self.version.to_string());
        object["status"] = serde_json::to_value(write.status).unwrap();
        let reason = object["status"]["conditions"][0]["reason"].as_str().unwrap().to_owned();
        self.writes.push(Stored { at: self.now, name: name.to_owned(), change: write.change, reason });
        Written::Stored(Box::new(serde_json::from_value(object.clone()).unwrap()))
    }

    /// Answers all writes that are under way, and returns how many were.
    pub(super) fn answer_writes(&mut self) -> usize {
        let now = self.moment();
        let unanswered = self.unanswered.as_mut().map(std::mem::take).unwrap_or_default();
        let count = unanswered.len();
        unanswered.into_iter().for_each(|(entry, revision, written)| self.index.written(entry, revision, written, now));
        count
    }

    /// The reasons that were written to an ImageTask, in order.
    pub(super) fn told(&self, name: &str) -> Vec<&str> {
        self.writes.iter().filter(|write| write.name == name).map(|write| write.reason.as_str()).collect()
    }

    /// When the first look at a task began, from a moment on.
    pub(super) fn looked_at(&self, id: &str, from: Duration) -> Duration {
        let mut looks = self.calls.iter().filter(|call| call.at >= from && call.ids.iter().any(|asked| asked == id));
        looks.next().expect("it was looked at").at
    }

    pub(super) fn phase(&self, name: &str) -> &str {
        self.objects[name]["status"]["phase"].as_str().unwrap_or("–")
    }

    pub(super) fn calls_between(&self, from: u64, to: u64) -> Vec<&Call> {
        let window = Duration::from_secs(from)..Duration::from_secs(to);
        self.calls.iter().filter(|call| window.contains(&call.at)).collect()
    }

    pub(super) fn asked(&self, id: &str) -> usize {
        self.calls.iter().filter(|call| call.ids.iter().any(|asked| asked == id)).count()
    }
}

fn call(question: &Question, at: Duration) -> Call {
    let ids = question.batch.parameters().into_iter().map(|(_, id)| id.to_owned()).collect();
    let (region, key) = (question.region.as_str().to_owned(), question.credentials.access_key().to_owned());
    Call { at, lag: question.lag, ids, region, key }
}

pub(super) fn task(id: &str, words: Words<'_>) -> Task {
    Task::new(TaskId::parse(id).unwrap(), words)
}

pub(super) fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

#[test]
fn calls_keep_to_the_floor_and_every_task_gets_its_turn() {
    for count in [1_usize, 99, 100, 101, 250, 1_000, 4_000] {
        let mut world = World::new();
        for n in 0..count {
            world.create(&format!("t-{n}"));
        }
        world.run(secs(120));
        let floor = count.div_ceil(100) * 6;
        let calls = world.calls_between(60, 120);
        assert!(
            calls.len() * 100 <= floor * 105,
            "{count} tasks: {} calls in a minute, the floor is {floor}",
            calls.len()
        );
        let asked: usize = calls.iter().map(|call| call.ids.len()).sum();
        assert!(asked >= count * 5, "{count} tasks: {asked} ids asked in six beats");
        let distinct: BTreeSet<_> = calls.iter().flat_map(|call| &call.ids).collect();
        assert_eq!(distinct.len(), count);
    }
}

#[test]
fn tasks_that_come_one_by_one_end_up_in_full_batches() {
    let mut world = World::new();
    for n in 0..150 {
        world.create(&format!("t-{n}"));
        world.run(Duration::from_millis(730));
    }
    world.run(secs(60));
    let calls = world.calls_between(130, 160);
    assert!(calls.len() <= 7, "{} calls in three beats, the floor is 6", calls.len());
}

#[test]
fn a_new_task_is_looked_at_within_a_quarter_of_a_second() {
    let mut world = World::new();
    for n in 0..3_000 {
        world.create(&format!("t-{n}"));
    }
    world.run(secs(60));
    for n in 0..20 {
        let id = format!("t-new-{n}");
        world.create(&id);
        let created = world.now;
        world.run(Duration::from_millis(1_370));
        let first = world.calls.iter().find(|call| call.ids.contains(&id)).expect("it was asked");
        assert!(first.at - created <= Duration::from_millis(250), "{id} was asked after {:?}", first.at - created);
    }
}

#[test]
fn first_look_and_first_write_are_one_each() {
    let mut world = World::new();
    for n in 0..1_000 {
        world.create(&format!("t-{n}"));
    }
    world.run(secs(30));
    assert_eq!(world.writes.len(), 1_000);
}

#[test]
fn a_finished_task_leaves_the_index_and_is_not_asked_again() {
    let mut world = World::new();
    world.create("t-1");
    world.create("t-2");
    world.run(secs(15));
    world.tasks.insert("t-1".into(), "Succeeded");
    world.run(secs(15));
    assert_eq!((world.phase("t-1"), world.index.entries.len()), ("Succeeded", 1));
    let asked = world.asked("t-1");
    world.run(secs(60));
    assert_eq!(world.asked("t-1"), asked);

    world.edit("t-1", json!({"taskId": "t-1", "suspend": true}));
    world.run(secs(15));
    assert_eq!(world.objects["t-1"]["status"]["observedGeneration"], 2);
    assert_eq!((world.asked("t-1"), world.index.entries.len()), (asked, 1));
}

#[test]
fn an_older_event_causes_no_write() {
    let mut world = World::new();
    world.create("t-1");
    let created = world.objects["t-1"].clone();
    world.run(secs(5));
    let written = world.writes.len();
    let view = serde_json::from_value(created).unwrap();
    let now = world.moment();
    world.index.arrives(view, WATCH, now);
    world.run(secs(30));
    assert_eq!(world.writes.len(), written);
}

#[test]
fn what_a_list_does_not_show_is_gone() {
    let mut world = World::new();
    world.create("t-1");
    world.create("t-2");
    world.run(secs(5));
    world.index.list_begins(WATCH);
    world.show("t-2");
    world.index.list_ends(WATCH);
    world.calls.clear();
    world.run(secs(30));
    assert_eq!((world.asked("t-1"), world.asked("t-2")), (0, 3));
    assert_eq!(world.index.entries.len(), 1);
}

#[test]
fn a_poisonous_id_is_found_and_asked_alone_and_slowly() {
    let mut world = World::new();
    for n in 0..100 {
        world.create(&format!("t-{n}"));
    }
    world.cloud = Box::new(|call| match call.ids.iter().any(|id| id == "t-42" || id == "t-43") {
        true => Err(ErrorKind::Rejected),
        false => Ok(()),
    });
    world.run(secs(10));
    assert!((0..100).filter(|n| ![42, 43].contains(n)).all(|n| world.phase(&format!("t-{n}")) == "Running"));
    world.run(secs(400));
    assert_eq!((world.phase("t-42"), world.phase("t-43")), ("Error", "Error"));
    let poisonous: Vec<_> =
        world.calls_between(60, 400).into_iter().filter(|call| call.ids.contains(&"t-42".into())).collect();
    assert!(poisonous.len() <= 6 && poisonous.iter().all(|call| call.ids.len() == 1), "{poisonous:?}");
}

#[test]
fn of_a_lane_that_was_refused_from_the_start_each_task_is_asked_and_told_of_its_own_refusal() {
    let mut world = World::new();
    for n in 0..300 {
        world.create(&format!("t-{n}"));
    }
    world.cloud = Box::new(|_| Err(ErrorKind::AccessDenied));
    world.run(secs(300));
    assert!((0..300).all(|n| world.objects[&format!("t-{n}")]["status"]["conditions"][0]["reason"] == "AccessDenied"));
    world.cloud = Box::new(|_| Ok(()));
    world.run(secs(60));
    assert!((0..300).all(|n| world.phase(&format!("t-{n}")) == "Running"));
}

#[test]
fn a_failing_lane_is_probed_ever_more_rarely_and_comes_back_with_an_answer() {
    let mut world = World::new();
    for n in 0..500 {
        world.create(&format!("t-{n}"));
    }
    world.run(secs(20));
    world.cloud = Box::new(|_| Err(ErrorKind::Unavailable));
    world.calls.clear();
    world.run(secs(200));
    let gaps: Vec<u64> =
        world.calls.windows(2).map(|pair| (pair[1].at - pair[0].at).as_secs()).filter(|gap| *gap > 5).collect();
    assert_eq!(gaps, [10, 20, 40, 80]);
    world.cloud = Box::new(|_| Ok(()));
    world.run(secs(200));
    let calls = world.calls_between(390, 420).len();
    assert!((14..=16).contains(&calls), "{calls} calls in three beats after the outage");
}

#[test]
fn a_throttled_lane_slows_down_and_recovers() {
    let mut world = World::new();
    for n in 0..2_000 {
        world.create(&format!("t-{n}"));
    }
    world.run(secs(30));
    let healthy = world.calls_between(10, 30).len();
    world.cloud = Box::new(|call| match call.at < secs(32) {
        true => Err(ErrorKind::Throttled { retry_after: Some(secs(15)) }),
        false => Ok(()),
    });
    world.run(secs(17));
    assert!(world.calls_between(33, 44).is_empty(), "Retry-After is honoured");
    world.run(secs(90));
    let recovered = world.calls_between(117, 137).len();
    assert!(recovered * 10 >= healthy * 9, "{recovered} calls in two beats, {healthy} before");
}

#[test]
fn trouble_of_one_lane_does_not_delay_another() {
    let lag = |trouble: Option<ErrorKind>, hangs: bool| {
        let mut world = World::new();
        world.hanging = hangs.then(|| "cn-shanghai".to_owned());
        for n in 0..200 {
            let id = format!("t-{n}");
            world.tasks.insert(id.clone(), "Running");
            world.store(
                &id,
                json!({"taskId": id, "region": if n % 2 == 0 { "cn-beijing" } else { "cn-shanghai" }}),
                Value::Null,
            );
        }
        world.cloud = Box::new(move |call| match (call.region.as_str(), trouble) {
            ("cn-shanghai", Some(kind)) => Err(kind),
            _ => Ok(()),
        });
        world.run(secs(120));
        let beats: Vec<_> = world.calls.iter().filter(|call| call.region == "cn-beijing").map(|call| call.at).collect();
        beats.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap()
    };
    let alone = lag(None, false);
    assert_eq!(lag(Some(ErrorKind::Unavailable), true), alone, "hanging");
    for kind in [
        ErrorKind::Unavailable,
        ErrorKind::CredentialsInvalid,
        ErrorKind::AccessDenied,
        ErrorKind::Throttled { retry_after: None },
    ] {
        assert_eq!(lag(Some(kind), false), alone, "{kind:?}");
    }
}

#[test]
fn probes_of_a_lane_that_fails_are_not_late() {
    let mut world = World::new();
    for (id, region) in [("t-1", "cn-beijing"), ("t-2", "cn-shanghai")] {
        world.tasks.insert(id.into(), "Running");
        world.store(id, json!({"taskId": id, "region": region}), Value::Null);
    }
    world.cloud = Box::new(|call| match call.region.as_str() {
        "cn-shanghai" => Err(ErrorKind::CredentialsInvalid),
        _ => Ok(()),
    });
    world.run(secs(1200));
    let probes = world.calls.iter().filter(|call| call.region == "cn-shanghai").skip(2);
    assert!(probes.clone().count() > 3 && probes.clone().all(|call| call.lag.is_none()));
    let looks = world.calls.iter().filter(|call| call.region == "cn-beijing");
    assert!(looks.clone().all(|call| call.lag.is_some_and(|lag| lag < secs(1))));
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Flood {
    Tasks,
    UnknownTasks,
    RefusedTasks,
    UnknownImages,
}

/// How late a new task of a tenant is looked at, and how long an old one waits between two looks, while another tenant
/// floods their lane.
fn longest_waits_beside(flood: Flood) -> (Duration, Duration) {
    let mut world = World::new();
    world.namespace = "quiet";
    (0..100).for_each(|n| world.create(&format!("t-{n}")));
    world.run(secs(30));
    if flood == Flood::RefusedTasks {
        world.cloud = Box::new(|call| match call.ids.iter().any(|id| id.starts_with("x-")) {
            true => Err(ErrorKind::Rejected),
            false => Ok(()),
        });
    }
    world.namespace = "loud";
    for n in 0..10_000 {
        let id = format!("x-{n}");
        let spec = match flood {
            Flood::Tasks => {
                world.tasks.insert(id.clone(), "Running");
                json!({"taskId": id})
            }
            Flood::UnknownTasks | Flood::RefusedTasks => json!({"taskId": id}),
            Flood::UnknownImages => json!({"resourceId": id, "type": "CopyImage"}),
        };
        world.store(&id, spec, Value::Null);
    }
    world.namespace = "quiet";
    let mut first = Duration::ZERO;
    for n in 0..20 {
        let id = format!("t-new-{n}");
        world.create(&id);
        let created = world.now;
        world.run(secs(10));
        first = first.max(world.looked_at(&id, created) - created);
    }
    let looks = |n: usize| {
        let id = format!("t-{n}");
        world.calls.iter().filter(|call| call.ids.contains(&id)).map(|call| call.at).collect::<Vec<_>>()
    };
    let gap = |looks: Vec<Duration>| looks.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap();
    (first, (0..100).map(|n| gap(looks(n))).max().unwrap())
}

#[test]
fn a_flood_of_ids_delays_no_other_tenant_of_the_same_account_by_a_beat() {
    let beat = settings().poll_interval;
    for flood in [Flood::Tasks, Flood::UnknownTasks, Flood::RefusedTasks, Flood::UnknownImages] {
        let (first, gap) = longest_waits_beside(flood);
        assert!(first <= secs(2), "{flood:?}: a new task was first looked at after {first:?}");
        assert!(gap <= 2 * beat, "{flood:?}: {gap:?} between two looks");
    }
}

#[test]
fn new_ids_of_a_lane_that_is_behind_are_looked_at_within_a_round() {
    for small in [0, 100, 500] {
        let mut world = World::with(Settings { poll_interval: secs(2), account_qps: 1.0, ..settings() });
        world.namespace = "small";
        (0..small).for_each(|n| world.create(&format!("t-small-{n}")));
        world.namespace = "large";
        (small..2_000).for_each(|n| world.create(&format!("t-{n}")));
        world.run(secs(100));
        let mut last = BTreeMap::new();
        let mut longest = Duration::ZERO;
        for (id, at) in world.calls.iter().flat_map(|call| call.ids.iter().map(|id| (id, call.at))) {
            longest = longest.max(at - last.insert(id, at).unwrap_or_default());
        }
        assert_eq!(last.len(), 2_000);
        let promised = 2 * secs(2) + 20 * secs(1) + secs(1);
        assert!(longest <= promised, "{small}: {longest:?} without a look, {promised:?} at most are promised");
    }
}

#[test]
fn a_storm_of_throttling_halves_the_rate_once() {
    let mut world = World::new();
    (0..4_000).for_each(|n| world.create(&format!("t-{n}")));
    world.run(secs(20));
    world.cloud = Box::new(|_| Err(ErrorKind::Throttled { retry_after: None }));
    world.run(secs(300));
    world.cloud = Box::new(|_| Ok(()));
    world.run(secs(400));
    let back = world.calls.iter().find(|call| call.at >= secs(320)).expect("it is probed again").at.as_secs();
    let calls = world.calls_between(back, back + 20).len();
    assert!((40..=80).contains(&calls), "{calls} calls in the 20 s after the storm, at a ceiling of 80");
}

#[test]
fn a_lane_that_was_throttled_gets_its_rate_back_with_refusals_too() {
    let mut world = World::new();
    (0..300).for_each(|n| world.create(&format!("t-{n}")));
    world.run(secs(20));
    // Again and again, each time with an answer between.
    for _ in 0..6 {
        world.cloud = Box::new(|_| Err(ErrorKind::Throttled { retry_after: None }));
        world.run(secs(30));
        let calls = world.calls.len();
        world.cloud = Box::new(|_| Ok(()));
        while world.calls.len() == calls {
            world.run(STEP);
        }
        world.run(secs(1));
    }
    world.cloud = Box::new(|call| match call.ids.iter().any(|id| id.starts_with("x-")) {
        true => Err(ErrorKind::Rejected),
        false => Ok(()),
    });
    world.namespace = "loud";
    (0..3_000).for_each(|n| world.create(&format!("x-{n}")));
    let before = world.calls.len();
    world.run(secs(60));
    let calls = world.calls.len() - before;
    assert!(calls >= 100, "{calls} calls in a minute, the ceiling is 240");
}

#[test]
fn who_follows_the_task_of_another_does_not_drag_it_into_the_own_queue() {
    let mut world = World::new();
    world.namespace = "loud";
    for n in 0..10_000 {
        let id = format!("x-{n}");
        world.store(&id, json!({"taskId": id}), Value::Null);
    }
    world.store("copy", json!({"taskId": "t-0"}), Value::Null);
    world.namespace = "quiet";
    world.create("t-0");
    let created = world.now;
    world.run(secs(2));
    assert!(world.looked_at("t-0", created) - created <= secs(1));
}

#[test]
fn the_statuses_of_a_flood_are_written_in_turns_with_those_of_another_tenant() {
    let mut world = World::new();
    world.namespace = "quiet";
    world.create("t-ending");
    world.namespace = "loud";
    for n in 0..3_500 {
        let id = format!("x-{n}");
        world.store(&id, json!({"taskId": id, "timeout": "60s"}), Value::Null);
    }
    world.run(secs(59));
    world.tasks.insert("t-ending".into(), "Succeeded");
    // An API server that takes its time, until everyone's end waits to be written.
    world.unanswered = Some(Vec::new());
    world.run(secs(60));
    assert!(world.index.status_queue() > 3_000);
    let ended = |world: &World| world.writes.iter().any(|it| it.name == "t-ending" && it.change == Change::End);
    let mut rounds = 0;
    while !ended(&world) {
        world.answer_writes();
        world.run(STEP);
        rounds += 1;
    }
    assert!(rounds <= 2, "{rounds} rounds of 32 writes");
}

#[test]
fn an_end_is_announced_although_the_watch_shows_it_before_its_write_is_answered() {
    let mut world = World::new();
    world.create("t-1");
    world.run(secs(20));
    world.index.take_news();
    world.tasks.insert("t-1".into(), "Succeeded");
    world.unanswered = Some(Vec::new());
    world.run(secs(20));
    assert_eq!(world.phase("t-1"), "Succeeded");
    world.answer_writes();
    let announced = |news: &News| match news {
        News::Told(announcement) => Some(announcement.reason),
        News::Ended(_) | News::FirstStatus(_) | News::ForeignWrite { .. } => None,
    };
    let announced: Vec<_> = world.index.take_news().iter().filter_map(announced).collect();
    assert_eq!(announced, [Reason::TaskSucceeded]);
}

#[test]
fn the_total_ceiling_is_shared_evenly() {
    let mut world = World::with(Settings { total_qps: 2.0, account_qps: 100.0, ..settings() });
    for n in 0..4_000 {
        let id = format!("t-{n}");
        world.tasks.insert(id.clone(), "Running");
        world.store(&id, json!({"taskId": id, "region": format!("r-{}", n % 4)}), Value::Null);
    }
    world.run(secs(120));
    assert!(world.calls.len() <= 2 * 120 + 2, "{} calls in two minutes", world.calls.len());
    for region in 0..4 {
        let calls = world.calls_between(20, 120).iter().filter(|call| call.region == format!("r-{region}")).count();
        assert!((45..=55).contains(&calls), "region {region} had {calls} of 200 calls");
    }
}

#[test]
fn who_opens_a_thousand_lanes_with_invented_keys_or_regions_delays_no_other_tenant() {
    for invented in ["credentialsRef", "region"] {
        let mut world = World::with(Settings { total_qps: 20.0, ..settings() });
        world.secrets = |name, _| Some(Ok(credentials(name)));
        world.cloud = Box::new(|call| match call.key.starts_with("invented") {
            true => Err(ErrorKind::CredentialsInvalid),
            false => Ok(()),
        });
        world.namespace = "quiet";
        (0..300).for_each(|n| world.create(&format!("t-{n}")));
        world.run(secs(30));
        world.namespace = "loud";
        for n in 0..1_000 {
            let (id, name) = (format!("x-{n}"), format!("invented-{n}"));
            let named = if invented == "region" { json!(name) } else { json!({"name": name}) };
            world.store(&id, json!({"taskId": id, invented: named}), Value::Null);
        }
        let from = world.now;
        world.run(secs(60));
        let calls = world.calls_between(from.as_secs(), from.as_secs() + 60);
        assert!((1_000..=20 * 61).contains(&calls.len()), "{} calls in a minute", calls.len());
        let looks: Vec<_> = calls.iter().filter(|call| call.ids.contains(&"t-0".into())).map(|call| call.at).collect();
        let longest = looks.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap();
        assert!(longest <= secs(11), "{invented}: {longest:?} between two looks");
        world.namespace = "quiet";
        world.create("t-new");
        let created = world.now;
        world.run(secs(2));
        assert!(world.looked_at("t-new", created) - created <= Duration::from_millis(250), "{invented}");
    }
}

/// A world with one ImageTask that names a Secret.
fn with_secret(secrets: fn(&str, Duration) -> Option<Result<Credentials, SecretFault>>) -> World {
    let mut world = World { secrets, ..World::new() };
    world.tasks.insert("t-1".into(), "Running");
    world.store("t-1", json!({"taskId": "t-1", "credentialsRef": {"name": "keys"}}), Value::Null);
    world
}

#[test]
fn a_missing_secret_is_read_ever_more_rarely_and_heals_when_it_appears() {
    let mut world = with_secret(|name, now| {
        let missing = now < secs(400);
        Some(if missing { Err(SecretFault::Unusable(Unusable::NotFound)) } else { Ok(credentials(name)) })
    });
    world.run(secs(500));
    assert_eq!(world.told("t-1"), ["CredentialsNotFound", "CredentialsNotFound", "TaskRunning"]);
    let reads: Vec<_> = world.reads.iter().map(|(at, _)| at.as_secs()).collect();
    assert_eq!(reads[..6], [0, 10, 30, 70, 130, 190]);
    let healed = world.looked_at("t-1", Duration::ZERO);
    assert!(healed < secs(400 + 61), "{healed:?}");
}

#[test]
fn an_api_server_that_does_not_give_a_secret_is_told_after_a_minute_and_harms_no_secret_that_is_known() {
    let mut world = with_secret(|_, _| Some(Err(SecretFault::Unreadable)));
    world.run(secs(55));
    assert_eq!(world.told("t-1"), [""; 0]);
    world.run(secs(30));
    assert_eq!(world.told("t-1"), ["CredentialsForbidden"]);
    let mut world = with_secret(|name, now| {
        Some(if now < secs(100) { Ok(credentials(name)) } else { Err(SecretFault::Unreadable) })
    });
    world.run(secs(1_000));
    assert!(world.reads.len() > 5, "it is read again: {:?}", world.reads);
    assert_eq!(world.told("t-1"), ["TaskRunning"]);
}

#[test]
fn a_secret_that_the_cloud_refuses_is_read_in_the_next_beat_and_a_rotated_one_heals_at_once() {
    let mut world = with_secret(|_, now| Some(Ok(credentials(if now < secs(105) { "old" } else { "new" }))));
    world.run(secs(100));
    world.cloud = Box::new(|call| if call.key == "old" { Err(ErrorKind::CredentialsInvalid) } else { Ok(()) });
    world.run(secs(40));
    let refused = world.calls.iter().filter(|call| call.key == "old" && call.at >= secs(100)).count();
    assert_eq!(world.told("t-1"), ["TaskRunning", "CredentialsInvalid", "TaskRunning"]);
    assert!(refused <= 2, "the refused keys were tried {refused} times, of which one may be a probe");
    let healed = world.calls.iter().find(|call| call.key == "new").unwrap().at;
    assert!(healed <= secs(121), "{healed:?}");
}

#[test]
fn who_joins_a_lane_that_fails_is_told_so_without_waiting_for_the_next_probe() {
    let mut world = World::new();
    world.cloud = Box::new(|_| Err(ErrorKind::CredentialsInvalid));
    world.create("t-1");
    world.run(secs(200));
    world.create("t-2");
    world.run(secs(1));
    assert_eq!(world.told("t-2"), ["CredentialsInvalid"]);
}

#[test]
fn a_user_who_asks_again_and_again_has_one_look_more_in_an_interval() {
    let mut world = World::new();
    world.create("t-1");
    world.run(secs(25));
    let asked = world.asked("t-1");
    for n in 0..100 {
        world.ask_for_a_look("t-1", &n.to_string());
        world.run(Duration::from_millis(200));
    }
    // Two intervals of 10 s: a regular look in each at most, and one out of turn.
    let more = world.asked("t-1") - asked;
    assert!((2..=5).contains(&more), "{more} looks in 20 s");
    world.run(secs(20));
    assert_eq!(world.objects["t-1"]["status"]["lastHandledReconcileAt"], "99");
}

#[test]
fn what_waits_for_its_moment_is_written_before_a_clean_stop() {
    let mut world = World::new();
    world.process = |at| u8::try_from(at.as_secs() / 10 % 100).ok();
    world.create("t-1");
    world.run(secs(15));
    assert_eq!(world.index.status_queue(), 1, "progress waits for its interval");
    let written = world.writes.len();
    world.index.hurry_writes();
    world.run(STEP);
    assert_eq!((world.writes.len(), world.index.status_queue()), (written + 1, 0));
}

#[test]
fn a_clock_that_is_set_back_only_delays_a_timeout() {
    let mut world = timeout("1m");
    world.run(secs(30));
    world.set_back = secs(3_600);
    world.run(secs(3_000));
    assert_eq!(world.phase("t-1"), "Running");
    world.run(secs(800));
    assert_eq!(end(&world, "t-1").1, TOO_LATE);
}

#[test]
fn a_conflict_is_written_anew_on_the_version_that_the_watch_brings() {
    let mut world = World::new();
    world.create("t-1");
    world.run(Duration::from_millis(100));
    // The object moves on in the API server, and the watch is late.
    world.version += 1;
    world.objects.get_mut("t-1").unwrap()["metadata"]["resourceVersion"] = json!(world.version.to_string());
    world.run(secs(2));
    assert_eq!(world.phase("t-1"), "–");
    world.show("t-1");
    world.run(secs(5));
    assert_eq!((world.phase("t-1"), world.writes.len()), ("Running", 1));
}

#[test]
fn secrets_of_equal_content_share_a_lane_and_a_changed_one_moves_its_tasks() {
    let mut world = World::new();
    let secret = |name: &str| SecretName { namespace: "team".into(), name: name.into() };
    for (id, name) in [("t-1", "a"), ("t-2", "b")] {
        world.tasks.insert(id.into(), "Running");
        world.store(id, json!({"taskId": id, "credentialsRef": {"name": name}}), Value::Null);
    }
    let now = world.moment();
    assert_eq!(world.index.due(now).secrets, [secret("a"), secret("b")]);
    world.index.secret_read(secret("a"), Ok(credentials("one")), now);
    world.index.secret_read(secret("b"), Ok(credentials("one")), now);
    world.run(secs(15));
    assert_eq!(world.index.lanes.iter().count(), 1);
    assert!(world.calls.iter().all(|call| call.ids == ["t-1", "t-2"]), "{:?}", world.calls);

    let now = world.moment();
    world.index.secret_read(secret("b"), Ok(credentials("two")), now);
    world.calls.clear();
    world.run(secs(15));
    assert_eq!(world.index.lanes.iter().count(), 2);
    assert!(world.calls.iter().all(|call| call.ids.len() == 1), "{:?}", world.calls);
}

#[test]
fn an_emptied_index_holds_nothing() {
    let mut world = World::new();
    for n in 0..50 {
        world.create(&format!("t-{n}"));
    }
    world.run(secs(5));
    for n in 0..50 {
        let view = serde_json::from_value(world.objects[&format!("t-{n}")].clone()).unwrap();
        world.index.leaves(view);
    }
    world.run(secs(15));
    let index = &world.index;
    let left = [index.entries.len(), index.lanes.iter().count(), index.sources.len(), index.status_queue()];
    assert_eq!((left, index.directory.sizes()), ([0; 4], [0; 3]));
}

#[test]
fn progress_is_written_fifty_times_a_second_at_most_and_delays_no_end() {
    let mut world = World::with(Settings { progress_interval: secs(1), ..settings() });
    world.process = |at| u8::try_from(at.as_secs() % 100).ok();
    for n in 0..1_000 {
        world.create(&format!("t-{n}"));
    }
    world.run(secs(30));
    world.tasks.insert("t-500".into(), "Succeeded");
    let ends = world.now;
    world.run(secs(30));

    let progress: Vec<_> =
        world.writes.iter().filter(|write| write.change == Change::Progress).map(|write| write.at).collect();
    let within = |from: Duration| progress.iter().filter(|at| (from..from + secs(1)).contains(*at)).count();
    assert!(progress.iter().all(|at| within(*at) <= 51));
    assert!(within(ends) >= 49, "{} of 1,000 tasks told their progress in a second", within(ends));
    let learnt = world.looked_at("t-500", ends) + world.latency;
    let end = Stored { at: learnt, name: "t-500".into(), change: Change::End, reason: "TaskSucceeded".into() };
    assert_eq!(world.writes.iter().rfind(|write| write.name == "t-500"), Some(&end));
}

#[test]
fn no_more_than_32_writes_are_under_way() {
    let mut world = World { unanswered: Some(Vec::new()), ..World::new() };
    for n in 0..100 {
        world.create(&format!("t-{n}"));
    }
    let under_way = [(); 5].map(|()| {
        world.run(secs(1));
        world.answer_writes()
    });
    assert_eq!((under_way, world.index.status_queue()), ([32, 32, 32, 4, 0], 0));
}

#[test]
fn the_newest_status_is_written_once_however_many_came_before_it() {
    let mut world = World { unanswered: Some(Vec::new()), ..World::new() };
    for n in 0..33 {
        world.create(&format!("t-{n}"));
    }
    for status in ["Running", "Pending", "Defragmenting"] {
        world.tasks.values_mut().for_each(|task| *task = status);
        world.run(secs(11));
    }
    // A word that is not known is told when two looks in a row say it.
    world.run(secs(11));
    assert_eq!(world.writes.len(), 32);
    for _ in 0..3 {
        world.answer_writes();
        world.run(secs(1));
    }
    let mut told: Vec<_> = world.tasks.keys().map(|name| world.told(name)).collect();
    told.sort();
    let waited = vec!["TaskStatusUnknown"];
    let under_way = vec!["TaskRunning", "TaskStatusUnknown"];
    assert_eq!(told, [vec![under_way; 32], vec![waited]].concat());
}

#[test]
fn an_end_is_written_before_the_states_that_wait_longer() {
    let mut world = World { unanswered: Some(Vec::new()), ..World::new() };
    for n in 0..100 {
        world.create(&format!("t-{n}"));
    }
    world.run(secs(1));
    for n in 90..100 {
        world.tasks.insert(format!("t-{n}"), "Succeeded");
    }
    world.run(secs(10));
    world.answer_writes();
    world.run(secs(1));
    let order: Vec<_> = world.writes.iter().map(|write| write.change).collect();
    assert_eq!(order, [vec![Change::State; 32], vec![Change::End; 10], vec![Change::State; 22]].concat());
}

#[test]
fn a_failed_write_is_tried_ever_more_rarely_and_delays_no_other() {
    let mut world = World::new();
    world.create("t-1");
    world.create("t-2");
    world.unstorable.insert("t-1".into());
    world.run(secs(10));
    world.create("t-3");
    let created = world.now;
    world.run(secs(10));

    let gaps: Vec<_> = world.failures.windows(2).map(|pair| (pair[1].0 - pair[0].0).as_millis()).collect();
    assert_eq!(gaps, [250, 500, 1_000, 2_000, 4_000, 8_000]);
    let first = |at: Duration, name: &str| Stored {
        at: at + world.latency,
        name: name.into(),
        change: Change::State,
        reason: "TaskRunning".into(),
    };
    let others = [first(world.looked_at("t-2", secs(0)), "t-2"), first(world.looked_at("t-3", created), "t-3")];
    assert_eq!(world.writes, others);

    world.unstorable.clear();
    world.run(secs(60));
    assert_eq!((world.told("t-1"), world.index.status_queue()), (vec!["TaskRunning"], 0));
}

#[test]
fn a_deleted_object_is_written_no_more_and_an_answer_under_way_is_nobody_elses() {
    let mut world = World { unanswered: Some(Vec::new()), ..World::new() };
    let names: Vec<_> = (0..33).map(|n| format!("t-{n}")).collect();
    names.iter().for_each(|name| world.create(name));
    world.run(secs(1));
    names.iter().rev().for_each(|name| world.delete(name));
    world.writes.clear();
    world.create("t-new");
    world.run(secs(1));
    assert_eq!(world.told("t-new"), [""; 0], "all writes are under way");
    assert_eq!(world.answer_writes(), 32);
    assert_eq!(world.phase("t-new"), "–");
    world.run(secs(1));
    world.answer_writes();
    world.run(secs(15));
    assert_eq!((world.told("t-new"), world.writes.len()), (vec!["TaskRunning"], 1));
    assert_eq!((world.index.entries.len(), world.index.status_queue()), (1, 0));
}

#[test]
fn suspending_stops_the_looks_and_resuming_looks_at_once() {
    let mut world = World::new();
    world.create("t-1");
    world.run(secs(15));
    world.edit("t-1", json!({"taskId": "t-1", "suspend": true}));
    let asked = world.asked("t-1");
    world.run(secs(60));
    assert_eq!((world.asked("t-1"), world.told("t-1")), (asked, vec!["TaskRunning", "Suspended"]));

    world.edit("t-1", json!({"taskId": "t-1", "suspend": false}));
    let resumed = world.now;
    world.run(secs(1));
    assert!(world.looked_at("t-1", resumed) - resumed <= Duration::from_millis(250));
    assert_eq!(world.told("t-1"), ["TaskRunning", "Suspended", "TaskRunning"]);
}

/// A world of one task with a timeout, and of one without.
pub(super) fn timeout(timeout: &str) -> World {
    let mut world = World::new();
    world.create("t-endless");
    world.tasks.insert("t-1".into(), "Running");
    world.store("t-1", json!({"taskId": "t-1", "timeout": timeout}), Value::Null);
    world
}

/// When the end of a task was written, and what it says.
pub(super) fn end(world: &World, name: &str) -> (Duration, String) {
    let at = world.writes.iter().find(|write| write.name == name && write.change == Change::End).map(|write| write.at);
    (at.expect("it has ended"), world.objects[name]["status"]["conditions"][0]["message"].as_str().unwrap().to_owned())
}

const TOO_LATE: &str =
    "the timeout passed before the task ended: look at the task in the console, or raise the timeout [request r]";

#[test]
fn a_timeout_falls_with_the_answer_to_a_look_begun_after_the_deadline() {
    let mut world = timeout("55s");
    // The look under way when the deadline passes is answered after it, and tells nothing.
    world.latency = secs(5);
    world.run(secs(90));
    let look = world.looked_at("t-1", secs(55));
    assert!(world.looked_at("t-1", secs(50)) < secs(55) && look <= secs(56), "{:?}", world.calls);
    assert_eq!(world.told("t-1"), ["TaskRunning", "DeadlineExceeded"]);
    assert_eq!(end(&world, "t-1"), (look + world.latency, TOO_LATE.into()));
    assert_eq!(world.phase("t-endless"), "Running");
}

#[test]
fn a_timeout_falls_a_minute_after_the_deadline_where_nobody_answers() {
    let mut world = timeout("50s");
    world.run(secs(45));
    world.cloud = Box::new(|_| Err(ErrorKind::Unavailable));
    world.run(secs(120));
    assert_eq!(world.told("t-1"), ["TaskRunning", "DeadlineExceeded"]);
    let (at, message) = end(&world, "t-1");
    assert!((secs(110)..=secs(111)).contains(&at), "{at:?}");
    assert_eq!(message, Unheard::Cloud.text());
}

/// A restart after this long has a look at the task before its timeout falls.
fn look_comes_before_timeout_after(down: Duration) {
    for (status, reason) in [("Succeeded", "TaskSucceeded"), ("Running", "DeadlineExceeded")] {
        let mut world = timeout("1m");
        world.run(secs(15));
        world.tasks.insert("t-1".into(), status);
        world.restart_after(down);
        let started = world.now;
        world.run(secs(15));
        assert_eq!(world.told("t-1"), ["TaskRunning", reason], "{status}, after {down:?}");
        let look = world.looked_at("t-1", started);
        assert_eq!(end(&world, "t-1").0, look + world.latency, "{status}, after {down:?}");
    }
}

#[test]
fn a_deadline_that_passed_just_before_the_start_has_its_look() {
    look_comes_before_timeout_after(secs(70));
}

#[test]
fn a_deadline_that_passed_long_before_the_start_has_its_look_all_the_same() {
    look_comes_before_timeout_after(secs(3_600));
}

#[test]
fn a_deadline_that_passed_long_before_the_start_falls_within_a_minute_where_nobody_answers() {
    let mut world = timeout("1m");
    world.run(secs(15));
    world.cloud = Box::new(|_| Err(ErrorKind::Unavailable));
    world.restart_after(secs(3_600));
    let started = world.now;
    world.run(secs(90));
    let (at, message) = end(&world, "t-1");
    assert_eq!(message, Unheard::Cloud.text());
    let asked = world.looked_at("t-1", started);
    assert!(
        asked <= started + Duration::from_millis(250) && at <= asked + secs(61),
        "asked {asked:?}, fallen {at:?}, started {started:?}"
    );
}

#[test]
fn a_timeout_that_is_past_when_a_user_sets_or_resumes_it_has_its_look() {
    let set = json!({"taskId": "t-1", "timeout": "1m"});
    for before in [json!({"taskId": "t-1"}), json!({"taskId": "t-1", "timeout": "1m", "suspend": true})] {
        let mut world = World::new();
        world.tasks.insert("t-1".into(), "Running");
        world.store("t-1", before.clone(), Value::Null);
        world.run(secs(200));
        world.tasks.insert("t-1".into(), "Succeeded");
        world.edit("t-1", set.clone());
        world.run(secs(1));
        assert_eq!(world.told("t-1").last(), Some(&"TaskSucceeded"), "{before}");
    }
}

#[test]
fn of_an_image_whose_answer_never_ends_no_task_is_picked_and_others_are_not_kept_waiting() {
    let mut world = World::new();
    for image in ["image-1", "image-2", "image-3"] {
        world.store(image, json!({"resourceId": image, "type": "ExportImage"}), Value::Null);
    }
    world.endless.insert("image-2".into());
    world.run(secs(20));
    assert_eq!(
        ["image-1", "image-2", "image-3"].map(|it| world.told(it)),
        [["TaskNotFound"], ["RequestRejected"], ["TaskNotFound"]]
    );
    assert_eq!(world.objects["image-2"]["status"]["taskId"], Value::Null);
    world.run(secs(600));
    let late = world.calls_between(320, 620).into_iter().filter(|call| call.ids == ["image-2"]).count();
    assert!((1..=2).contains(&late), "asked alone {late} times in five minutes");
}

#[test]
fn images_are_not_kept_waiting_while_endless_pages_and_refused_ids_take_all_calls_that_are_left() {
    let mut world = World::with(Settings { poll_interval: secs(1), account_qps: 10.0, ..settings() });
    world.namespace = "loud";
    world.cloud = Box::new(|call| match call.ids.iter().any(|id| id.starts_with("x-")) {
        true => Err(ErrorKind::Rejected),
        false => Ok(()),
    });
    (0..200).for_each(|n| world.create(&format!("x-{n}")));
    world.endless.insert("image-loud".into());
    world.store("image-loud", json!({"resourceId": "image-loud", "type": "ExportImage"}), Value::Null);
    world.namespace = "honest";
    let words = Words { status: Some("Running"), type_: Some("ExportImage"), ..Words::default() };
    world.of_images.push(task("t-honest", Words { resource_id: Some("image-honest"), ..words }));
    world.store("image-honest", json!({"resourceId": "image-honest", "type": "ExportImage"}), Value::Null);
    world.run(secs(120));
    // By its id, once its task is known.
    let is_honest = |id: &String| id.ends_with("-honest");
    let looks = world.calls.iter().filter(|call| call.ids.iter().any(is_honest)).map(|call| call.at);
    let moments: Vec<_> = looks.chain([world.now]).collect();
    let longest = moments.windows(2).map(|pair| pair[1] - pair[0]).max();
    // The image that never ends is found by three answers of 20 pages, each of which is 2 s of the rate.
    assert!(longest <= Some(secs(7)), "{moments:?}");
    let pages = world.calls.iter().filter(|call| call.ids.iter().any(|id| id == "image-loud")).count() * 19;
    let calls = world.calls.len() + pages;
    assert!(calls <= 120 * 10 + 2 + 19, "{calls} calls in two minutes");
}
