//! What happens in one run, all of it drawn from the seed: the cloud's scripts, its faults, what users do, and when the
//! operator is killed.

use std::time::Duration;

use imagetask_operator::api::{CredentialsRef, ImageTaskSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use serde_json::json;
use simulator::{Fault, Simulator, Task};

/// How long anything goes wrong.
pub(crate) const TROUBLE: Duration = Duration::from_secs(36);

/// The access keys of the Secrets, each named after its key.
pub(crate) const SECRETS: [&str; 2] = ["ak-1", "ak-2"];

const REGIONS: [&str; 2] = [Simulator::REGION, "cn-shanghai"];
const TYPES: [&str; 3] = ["ExportImage", "CopyImage", "ImportImage"];

/// Those whose task made the image, and so is the one that is meant even if it was over before anybody looked.
const MAKERS: [&str; 2] = ["CopyImage", "ImportImage"];

/// The end of every script, a little before the trouble ends.
const LAST_STAGE: u64 = 34_000;

/// ImageTasks are created until then.
const LAST_CREATION: u64 = 20_000;

/// One run.
pub(crate) struct Scenario {
    /// What the cloud knows, from the start.
    pub(crate) tasks: Vec<Task>,
    /// What is done, in order of time; what is done at once is done before the operator starts.
    pub(crate) acts: Vec<(Duration, Act)>,
    /// Access keys, each an account of its own, and their secret keys.
    pub(crate) accounts: Vec<(&'static str, &'static str)>,
    /// Secrets that are there from the start.
    pub(crate) secrets: Vec<Keys>,
    /// Namespaces beside the own one.
    pub(crate) namespaces: Vec<&'static str>,
    besieged: bool,
    orders: usize,
    dice: fastrand::Rng,
}

/// The name of an object.
#[derive(Debug)]
pub(crate) struct Key {
    /// Empty for the own one.
    pub(crate) namespace: &'static str,
    pub(crate) name: String,
}

/// A Secret.
#[derive(Debug)]
pub(crate) struct Keys {
    pub(crate) key: Key,
    pub(crate) access_key: &'static str,
    pub(crate) secret_key: &'static str,
}

/// One thing that is done.
#[derive(Debug)]
pub(crate) enum Act {
    Create(Key, ImageTaskSpec),
    /// Deletes an ImageTask and creates another under its name.
    Recreate(Key, ImageTaskSpec),
    /// Changes an ImageTask as a user would.
    Change(Key, serde_json::Value),
    /// Stores a Secret, or changes it.
    Secret(Keys),
    Order(usize, Fault),
    Clear(usize),
    LimitRate(Option<u32>),
    SkewClock(i64),
    Kill,
    /// Stops the process; it goes on with the next.
    Stop,
    Continue,
    /// Ends all that goes wrong on the road, and of the orders those with a lower number.
    Calm(usize),
}

impl Key {
    pub(crate) fn of(namespace: &'static str, name: &str) -> Self {
        Self { namespace, name: name.to_owned() }
    }
}

impl Keys {
    pub(crate) fn of(namespace: &'static str, name: &str, access_key: &'static str, secret_key: &'static str) -> Self {
        Self { key: Key::of(namespace, name), access_key, secret_key }
    }
}

impl Scenario {
    /// The run that belongs to a seed, with attackers or without.
    pub(crate) fn of(seed: u64, besieged: bool) -> Self {
        let mut run = Self {
            tasks: Vec::new(),
            acts: Vec::new(),
            accounts: SECRETS.map(|key| (key, "secret")).to_vec(),
            secrets: SECRETS.map(|key| Keys::of("", key, key, "secret")).into(),
            namespaces: Vec::new(),
            besieged,
            orders: 0,
            dice: fastrand::Rng::with_seed(seed),
        };
        (0..110).for_each(|n| run.single(&format!("t-{n:03}")));
        (110..140).for_each(|n| run.shared(&format!("t-{n:03}")));
        (140..146).for_each(|n| run.unknown(&format!("t-{n:03}")));
        (0..18).for_each(|n| run.image(&format!("image-{n:02}")));
        run.cloud_faults();
        // Beside attackers a process lives long enough to show how it treats whom.
        for _ in 0..if besieged { 2 } else { 5 } {
            run.at(4_000, 35_000, Act::Kill);
        }
        run.acts.push((TROUBLE, Act::Calm(run.orders)));
        if besieged {
            run.besiege();
        }
        run.acts.sort_by_key(|(at, _)| *at);
        run
    }

    /// Dice for what cannot be planned.
    pub(crate) fn dice(&mut self) -> fastrand::Rng {
        self.dice.fork()
    }

    /// A task with one ImageTask, to which users do what users do.
    fn single(&mut self, id: &str) {
        let lane = self.lane();
        let (task, end) = self.script(Task::export(id, &format!("image-of-{id}")), &lane);
        let born = self.create(id, by_id(id, &lane));
        self.tasks.push(task);
        match self.dice.u8(..10) {
            0..4 => {
                // About when the end is written: what is on its way must not reach the one that comes after.
                let other = format!("{id}-again");
                let (task, _) = self.script(Task::export(&other, &format!("image-of-{other}")), &lane);
                self.tasks.push(task);
                let from = end.saturating_sub(500).max(born + 500);
                let spec = by_id(&other, &lane);
                self.at(from, from + 2_000, Act::Recreate(Key::of("", id), spec));
            }
            4 => {
                let timeout = json!({"spec": {"timeout": "2h"}});
                self.at(born + 500, 35_000, Act::Change(Key::of("", id), timeout));
            }
            5 => {
                let suspend = |suspend: bool| Act::Change(Key::of("", id), json!({"spec": {"suspend": suspend}}));
                self.at(born + 500, 30_000, suspend(true));
                self.at(30_000, 35_000, suspend(false));
            }
            6 => {
                let request = json!({"imagetasks.ecs.volcengine.com/reconcile-requested-at": id});
                self.at(
                    born + 500,
                    35_000,
                    Act::Change(Key::of("", id), json!({"metadata": {"annotations": request}})),
                );
            }
            _ => {}
        }
    }

    /// A task with two or three ImageTasks.
    fn shared(&mut self, id: &str) {
        let lane = self.lane();
        let (task, _) = self.script(Task::copy(id, &format!("image-of-{id}")), &lane);
        self.tasks.push(task);
        for n in 0..self.dice.u8(2..4) {
            self.create(&format!("{id}-{n}"), by_id(id, &lane));
        }
    }

    /// An ImageTask whose task the cloud never shows.
    fn unknown(&mut self, id: &str) {
        let lane = self.lane();
        self.create(id, by_id(id, &lane));
    }

    /// An image with more tasks than fit on a page, and one or two ImageTasks that follow the newest of a type.
    fn image(&mut self, image: &str) {
        let lane = self.lane();
        let type_ = self.dice.choice(MAKERS).expect("there are some");
        for n in 0..self.dice.usize(101..125) {
            let old =
                Task::of_type(self.dice.choice(TYPES).expect("there are some"), &format!("t-{image}-{n:03}"), image);
            let old = old.created_at(&format!("2021-05-06T00:{:02}:00+08:00", self.dice.u8(..60)));
            self.tasks.push(at(if self.dice.bool() { old.failed() } else { old.succeeded() }, &lane));
        }
        let newest = Task::of_type(type_, &format!("t-{image}"), image);
        let (newest, _) = self.visible_script(newest, &lane);
        self.tasks.push(newest);
        for n in 0..self.dice.u8(1..3) {
            let spec = ImageTaskSpec {
                resource_id: Some(image.to_owned()),
                type_: Some(type_.to_owned()),
                // The newest may have ended when its ImageTask comes, and an export is then picked by its moment only.
                started_after: (type_ == "ExportImage").then(|| Time("2022-05-05T16:01:00Z".parse().unwrap())),
                ..by_id(image, &lane)
            };
            let born = self.create(&format!("{image}-{n}"), ImageTaskSpec { task_id: None, ..spec });
            if n == 0 && self.dice.bool() {
                self.spoil_later_pages(born, image);
            }
        }
    }

    /// A script that may hide its task, and when it ends.
    fn script(&mut self, task: Task, lane: &Lane) -> (Task, u64) {
        let (mut task, end) = self.visible_script(task, lane);
        if self.dice.u8(..3) == 0 {
            // Any stage but the last is hidden for a while; that one is mostly an end.
            let last = task.stages.len() - 1;
            let gone = self.dice.u8(..10) == 0;
            let stage = if gone { last } else { self.dice.usize(..last.max(1)) };
            task.stages[stage].hidden = true;
        }
        (task, end)
    }

    fn visible_script(&mut self, task: Task, lane: &Lane) -> (Task, u64) {
        let mut task = at(task, lane);
        let dice = &mut self.dice;
        let mut now = dice.u64(..10_000);
        for _ in 0..dice.u8(1..7) {
            now = (now + dice.u64(300..7_000)).min(LAST_STAGE);
            task = task.after(Duration::from_millis(now));
            task = match dice.u8(..10) {
                0 => task.status(dice.choice(["Verifying", "UnknownStatus", ""]).expect("there are some")),
                1 => task.process(dice.choice([json!(250), json!(-3), json!(null)]).expect("there are some")),
                2 => task.ticking(),
                _ => task.running(dice.i64(1..100)),
            };
        }
        now = (now + dice.u64(300..7_000)).min(LAST_STAGE);
        task = task.after(Duration::from_millis(now));
        let task = match dice.u8(..10) {
            0..5 => task.succeeded(),
            5..8 => task.failed(),
            // It never ends.
            _ => task.running(99),
        };
        (task, now)
    }

    /// Every kind of fault once, for a while, some at the same time; most strike one account.
    fn cloud_faults(&mut self) {
        let poison =
            (0..3).map(|_| Fault::code("InvalidTask.Poison").only_id(&format!("t-{:03}", self.dice.u8(..140))));
        let poison: Vec<Fault> = poison.collect();
        let faults = scopeless_faults(&mut self.dice).into_iter().map(|fault| match self.dice.u8(..6) {
            0 => fault,
            1 => fault.times(self.dice.u64(1..6)),
            2 | 3 => fault.only_key(Simulator::ACCESS_KEY),
            4 => fault.only_key(SECRETS[0]),
            _ => fault.only_key(SECRETS[1]),
        });
        for fault in faults.chain(poison).collect::<Vec<_>>() {
            let lasts = self.dice.u64(500..5_000);
            let from = self.dice.u64(..35_000);
            match self.besieged && fault.access_key.is_none() {
                // The account of the siege has no trouble but its attackers.
                true => [Simulator::ACCESS_KEY, SECRETS[0], SECRETS[1]]
                    .into_iter()
                    .for_each(|key| self.order(from, lasts, fault.clone().only_key(key))),
                false => self.order(from, lasts, fault),
            }
        }
        for (act, undo) in [
            (Act::LimitRate(Some(1)), Act::LimitRate(None)),
            (Act::LimitRate(Some(2)), Act::LimitRate(None)),
            (Act::SkewClock(2_000), Act::SkewClock(0)),
            (Act::SkewClock(-3_000), Act::SkewClock(0)),
        ] {
            if self.besieged && matches!(act, Act::LimitRate(_)) {
                continue;
            }
            let ordered = self.at(0, 30_000, act);
            self.at(ordered + 2_000, ordered + 5_000, undo);
        }
    }

    /// Plans that answers about an image break off after their first page, for a while.
    fn spoil_later_pages(&mut self, from: u64, image: &str) {
        let faults = [
            Fault::null_tasks(),
            Fault::absent_tasks(),
            Fault::truncated(),
            Fault::closed(),
            Fault::status(500),
            Fault::code("FlowLimitExceeded"),
        ];
        let fault = self.dice.choice(faults).expect("there are some");
        self.order(from, 4_000, fault.only_id(image));
        // Of several faults the newest strikes, and this one does nothing, once.
        self.order(from, 4_000, Fault::latency(Duration::ZERO).only_id(image).times(1));
    }

    /// Plans a fault of the cloud.
    pub(super) fn order(&mut self, from: u64, lasts: u64, fault: Fault) {
        let number = self.orders;
        self.orders += 1;
        self.at(from, from, Act::Order(number, fault));
        self.at(from + lasts, from + lasts, Act::Clear(number));
    }

    /// Plans a fault that is there from the start to the end.
    pub(super) fn stand(&mut self, fault: Fault) {
        self.acts.push((Duration::ZERO, Act::Order(self.orders, fault)));
        self.orders += 1;
    }

    fn create(&mut self, name: &str, spec: ImageTaskSpec) -> u64 {
        self.at(0, LAST_CREATION, Act::Create(Key::of("", name), spec))
    }

    /// Plans an act between two moments; returns when it is.
    pub(super) fn at(&mut self, from: u64, to: u64, act: Act) -> u64 {
        let at = self.dice.u64(from..to.max(from + 1));
        self.acts.push((Duration::from_millis(at), act));
        at
    }

    fn lane(&mut self) -> Lane {
        let secret = self.dice.choice([None, Some(SECRETS[0]), Some(SECRETS[1])]).expect("there are some");
        Lane { secret, region: self.dice.choice(REGIONS).expect("there are some") }
    }
}

/// An account in a region.
struct Lane {
    /// Its Secret; none for the operator's own credentials.
    secret: Option<&'static str>,
    region: &'static str,
}

fn at(task: Task, lane: &Lane) -> Task {
    task.account(lane.secret.unwrap_or(Simulator::ACCESS_KEY)).region(lane.region)
}

fn by_id(id: &str, lane: &Lane) -> ImageTaskSpec {
    ImageTaskSpec {
        task_id: Some(id.to_owned()),
        region: Some(lane.region.to_owned()),
        credentials_ref: lane.secret.map(|name| CredentialsRef { name: name.to_owned() }),
        ..ImageTaskSpec::default()
    }
}

fn scopeless_faults(dice: &mut fastrand::Rng) -> Vec<Fault> {
    let latency = |dice: &mut fastrand::Rng| Duration::from_millis(dice.u64(200..3_000));
    let codes = [
        "FlowLimitExceeded",
        "AccountFlowLimitExceeded",
        "InternalError",
        "ServiceUnavailableTemp",
        "InvalidAccessKey",
        "SignatureDoesNotMatch",
        "InvalidTimestamp",
        "AccessDenied",
        "SomethingNew",
    ];
    let statuses = [403, 404, 429, 500, 502, 503].map(Fault::status);
    let others = [
        Fault::code_with_status("FlowLimitExceeded", 200),
        Fault::code("FlowLimitExceeded").retry_after("2"),
        Fault::text(200, "<html>a captive portal</html>"),
        Fault::empty(200),
        Fault::empty(500),
        Fault::oversized(2 << 20),
        Fault::truncated(),
        Fault::truncated(),
        Fault::hang(),
        Fault::closed(),
        Fault::null_tasks(),
        Fault::absent_tasks(),
        Fault::latency(latency(dice)),
        Fault::latency(latency(dice)),
        Fault::closed().slow(latency(dice)),
    ];
    codes.map(Fault::code).into_iter().chain(statuses).chain(others).collect()
}
