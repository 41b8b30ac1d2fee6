//! The shapes of runs, each made from a seed: which attackers are there, and when.

use std::time::Duration;

use k8s_openapi::jiff::SignedDuration;

use crate::clocks::{millis, secs};
use crate::cloud::{Cloud, Ill, Stage, Thing, Trouble};
use crate::scenario::{Act, FUTURE, Limits, OWN, Object, REGION, Scenario, Secret, Target};

/// The shapes of runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Profile {
    /// Nobody attacks.
    Quiet,
    /// Honest ids and up to 200 refused ones at a cold start, then a restart.
    RefusedFlood,
    /// The same with a restart every minute or so.
    RestartStorm,
    /// Ids that are answered for a while and refused for a while, the oldest of all.
    ComeAndGo,
    /// A few ids that break every answer they are in.
    Breakers,
    /// Images whose tasks never come to an end, beside honest images.
    EndlessImages,
    /// An account loses its permission, and gets it back.
    LostPermission,
    /// The process stops, its machine sleeps or is paused, clocks are set and single dates are wrong, beside timeouts.
    SleepingMachine,
    /// Secrets that are missing, malformed, wrong, corrected and rotated, of several accounts.
    Secrets,
    /// Leaders that are killed, end, stop or sleep, and others that take over.
    HandOver,
    /// Hundreds of new refused ids at once, and changes of annotations on them.
    Floods,
    /// The cloud throttles, hangs, cannot be reached or answers pages of a proxy; the API server is out of order.
    SickCloud,
    /// All of this.
    Everything,
}

impl Profile {
    pub(crate) const ALL: [Self; 13] = [
        Self::Quiet,
        Self::RefusedFlood,
        Self::RestartStorm,
        Self::ComeAndGo,
        Self::Breakers,
        Self::EndlessImages,
        Self::LostPermission,
        Self::SleepingMachine,
        Self::Secrets,
        Self::HandOver,
        Self::Floods,
        Self::SickCloud,
        Self::Everything,
    ];

    /// The profile of a seed.
    pub(crate) fn of(seed: u64) -> Self {
        let count = Self::ALL.len() as u64;
        Self::ALL[usize::try_from(seed % count).expect("there are few")]
    }
}

/// Builds a scenario.
pub(crate) struct Plan {
    scenario: Scenario,
    dice: fastrand::Rng,
    /// Of the next objects: their account, the Secret that they name, and whether some of them have timeouts.
    account: usize,
    secret: Option<String>,
    with_timeouts: bool,
}

impl Scenario {
    pub(crate) fn of(seed: u64) -> Self {
        let profile = Profile::of(seed);
        let mut plan = Plan::new(seed, profile);
        match profile {
            Profile::Quiet => plan.quiet(),
            Profile::RefusedFlood => plan.refused_flood(),
            Profile::RestartStorm => plan.restart_storm(),
            Profile::ComeAndGo => plan.come_and_go(),
            Profile::Breakers => plan.breakers(),
            Profile::EndlessImages => plan.endless_images(),
            Profile::LostPermission => plan.lost_permission(),
            Profile::SleepingMachine => plan.sleeping_machine(),
            Profile::Secrets => plan.with_secrets(),
            Profile::HandOver => plan.hand_over(),
            Profile::Floods => plan.floods(),
            Profile::SickCloud => plan.sick_cloud(),
            Profile::Everything => plan.everything(),
        }
        plan.done()
    }
}

impl Plan {
    fn new(seed: u64, profile: Profile) -> Self {
        let mut dice = fastrand::Rng::with_seed(seed);
        let is_usual = dice.bool();
        let (qps, interval) = if is_usual { (4, 10) } else { (dice.u32(1..=8), dice.u64(1..=10)) };
        let limits = Limits { qps: f64::from(qps), interval: secs(interval), stuck_after: secs(300) };
        let mut cloud = Cloud { seed, ..Cloud::default() };
        cloud.keys.insert(OWN.to_owned(), (0, Duration::ZERO, Duration::MAX));
        let scenario = Scenario {
            seed,
            profile,
            limits,
            election: false,
            false_dates: false,
            cloud,
            objects: Vec::new(),
            by_name: Default::default(),
            secrets: Default::default(),
            acts: Vec::new(),
            outages: Vec::new(),
            calm: Duration::ZERO,
            end: secs(600),
        };
        Self { scenario, dice, account: 0, secret: None, with_timeouts: false }
    }

    fn done(mut self) -> Scenario {
        // What is refused is asked one after the other at a quarter of the rate, and told once it was.
        let hostile = self.scenario.objects.iter().filter(|object| !object.honest).count();
        let search = Duration::from_secs_f64(hostile as f64 * 4.0 / self.scenario.limits.qps);
        self.scenario.end = self.scenario.end.max(self.scenario.calm + secs(600) + search);
        // Acts of one moment come as they were planned.
        self.scenario.acts.sort_by_key(|(at, _)| *at);
        let names = self.scenario.objects.iter().enumerate();
        self.scenario.by_name = names.map(|(place, it)| ((it.namespace.clone(), it.name.clone()), place)).collect();
        self.scenario
    }

    /// An ImageTask of a task, and what the cloud makes of it.
    fn task(&mut self, namespace: &str, id: &str, thing: Thing, born: Duration) -> usize {
        self.object(namespace, Target::Task(id.to_owned()), thing, born)
    }

    /// An ImageTask of an image, whose newest task lives as it is said, and which has others of another type.
    fn image(&mut self, namespace: &str, image: &str, life: Thing, others: usize, born: Duration) -> usize {
        let stage = if life.at(Duration::MAX).is_answered() { Stage::Word("Running") } else { life.at(Duration::MAX) };
        let task = format!("t-of-{image}");
        self.scenario.cloud.things.insert((self.account, task.clone()), life);
        let thing = Thing { newest: Some(task), others, ..Thing::always(stage) };
        self.object(namespace, Target::Image(image.to_owned()), thing, born)
    }

    fn object(&mut self, namespace: &str, target: Target, thing: Thing, born: Duration) -> usize {
        let honest = thing.script.iter().all(|(_, stage)| stage.is_answered());
        let (Target::Task(id) | Target::Image(id)) = target.clone();
        self.scenario.cloud.things.insert((self.account, id.clone()), thing);
        let place = self.scenario.objects.len();
        let timeout = (honest && self.with_timeouts && self.dice.bool()).then(|| secs(self.dice.u64(30..=300)));
        self.scenario.objects.push(Object {
            namespace: namespace.to_owned(),
            name: id,
            account: self.account,
            region: REGION,
            target,
            secret: self.secret.clone(),
            timeout,
            honest: honest && namespace != FUTURE,
        });
        self.act(born, Act::Create(place));
        place
    }

    fn act(&mut self, at: Duration, act: Act) {
        self.scenario.acts.push((at, act));
    }

    fn between(&mut self, from: u64, to: u64) -> Duration {
        millis(self.dice.u64(from * 1_000..to * 1_000))
    }

    /// Pending for a while, running for a while, then over, or for ever.
    fn life(&mut self, until: u64) -> Thing {
        let running = self.between(0, until / 2);
        let over = running + self.between(1, until / 2);
        let end = *self.dice.choice(&["Succeeded", "Failed", "Running", "Running"]).expect("there are some");
        let script =
            vec![(Duration::ZERO, Stage::Word("Pending")), (running, Stage::Word("Running")), (over, Stage::Word(end))];
        Thing::scripted(script)
    }

    fn refusal(&mut self) -> Stage {
        let all = [("InvalidTaskId.NotFound", 404), ("InvalidParameter", 400), ("Forbidden.Task", 403)];
        let (code, status) = *self.dice.choice(&all).expect("there are some");
        Stage::Refused(code, status)
    }

    /// Honest tasks in some namespaces, all there from the beginning.
    fn honest(&mut self, count: usize) {
        let namespaces = self.dice.usize(1..=3);
        for n in 0..count {
            let life = self.life(900);
            self.task(&format!("quiet-{}", n % namespaces), &format!("t-{n:04}"), life, Duration::ZERO);
        }
    }

    fn restart(&mut self, at: Duration) {
        self.act(at, Act::Kill);
        let pause = self.between(1, 5);
        self.act(at + pause, Act::Start);
    }

    /// From a start to a time by which everything is calm, and a tail.
    fn starts_and_is_calm_by(&mut self, calm: u64) {
        self.act(secs(1), Act::Start);
        self.scenario.calm = secs(calm);
        self.scenario.end = secs(calm + 600);
    }

    fn quiet(&mut self) {
        let count = self.dice.usize(1..=300);
        self.honest(count);
        for n in 0..3 {
            let life = self.life(900);
            self.task(FUTURE, &format!("n-{n}"), life, Duration::ZERO);
        }
        let restart = self.between(60, 400);
        self.restart(restart);
        self.starts_and_is_calm_by(400);
    }

    fn refused_flood(&mut self) {
        self.honest(100);
        self.refused();
        let restart = self.between(240, 480);
        self.restart(restart);
        self.starts_and_is_calm_by(600);
    }

    fn refused(&mut self) {
        let namespaces = if self.dice.bool() { 1 } else { self.dice.usize(2..=20) };
        // Their ids come before those of the others, and after them.
        let names = ["loud", "very-loud"];
        for n in 0..self.dice.usize(20..=200) {
            let refused = Thing::always(self.refusal());
            let namespace = n % namespaces;
            self.task(&format!("{}-{namespace}", names[namespace % 2]), &format!("x-{n:03}"), refused, Duration::ZERO);
        }
    }

    fn restart_storm(&mut self) {
        let count = self.dice.usize(20..=150);
        self.honest(count);
        self.refused();
        let mut at = secs(1);
        while at < secs(500) {
            at += self.between(20, 90);
            self.restart(at);
            at += secs(5);
        }
        self.starts_and_is_calm_by(600);
    }

    fn come_and_go(&mut self) {
        for n in 0..self.dice.usize(1..=60) {
            let mut at = Duration::ZERO;
            let mut script = Vec::new();
            while at < secs(600) {
                script.extend([(at, Stage::Word("Running"))]);
                at += self.between(5, 200);
                script.extend([(at, self.refusal())]);
                at += self.between(5, 200);
            }
            self.task("loud", &format!("c-{n:03}"), Thing::scripted(script), Duration::ZERO);
        }
        let count = self.dice.usize(20..=150);
        self.honest(count);
        if self.dice.bool() {
            let restart = self.between(100, 500);
            self.restart(restart);
        }
        self.starts_and_is_calm_by(1_000);
    }

    fn breakers(&mut self) {
        let count = self.dice.usize(20..=300);
        self.honest(count);
        for n in 0..self.dice.usize(1..=5) {
            let born = if self.dice.bool() { Duration::ZERO } else { self.between(60, 300) };
            let status = *self.dice.choice(&[500, 200, 502, 403]).expect("there are some");
            self.task("loud", &format!("b-{n}"), Thing::always(Stage::Breaks(status)), born);
        }
        let restart = self.between(240, 480);
        self.restart(restart);
        self.starts_and_is_calm_by(600);
    }

    fn endless_images(&mut self) {
        let count = self.dice.usize(20..=120);
        self.honest(count);
        for n in 0..self.dice.usize(1..=20) {
            let life = self.life(900);
            self.image("quiet-0", &format!("i-{n:03}"), life, 2, Duration::ZERO);
        }
        for n in 0..self.dice.usize(1..=5) {
            let born = if self.dice.bool() { Duration::ZERO } else { self.between(60, 300) };
            self.image("loud", &format!("e-{n}"), Thing::always(Stage::Endless), 0, born);
        }
        let restart = self.between(240, 480);
        self.restart(restart);
        self.starts_and_is_calm_by(600);
    }

    fn lost_permission(&mut self) {
        let count = *self.dice.choice(&[100, 400, 1_000, 4_000]).expect("there are some");
        self.honest(count);
        if self.dice.bool() {
            self.refused();
        }
        let from = if self.dice.bool() { Duration::ZERO } else { self.between(30, 120) };
        let to = from + self.between(30, 600);
        self.scenario.cloud.troubles.push(Trouble { account: 0, from, to, ill: Ill::Denied });
        if self.dice.bool() {
            let restart = self.between(30, 600);
            self.restart(restart);
        }
        self.starts_and_is_calm_by(800);
    }

    /// What befalls the machine of the leader, one after the other; between two of them it is left alone for a while.
    fn machines_misbehave(&mut self, until: u64) {
        let mut at = secs(20);
        while at < secs(until) {
            at += self.between(10, 120);
            let time = self.between(1, 200);
            match self.dice.u8(..5) {
                0 => self.act(at, Act::Stop(time)),
                1 => self.act(at, Act::Sleep(time)),
                2 => self.act(at, Act::Pause(time)),
                3 if !self.scenario.election => self.restart(at),
                3 => self.leader_goes(at),
                _ => {
                    let ahead = self.dice.i64(-7_200..=7_200);
                    self.act(at, Act::SetClock(SignedDuration::from_secs(ahead)));
                    // A process that starts with a wrong clock has not heard the API server's time yet.
                    if self.dice.bool() {
                        self.restart(at + secs(1));
                    }
                }
            }
            at += time + secs(10);
        }
    }

    fn leader_goes(&mut self, at: Duration) {
        let act = if self.dice.bool() { Act::Kill } else { Act::End };
        self.act(at, act);
        let pause = self.between(1, 5);
        self.act(at + pause, Act::Start);
    }

    fn sleeping_machine(&mut self) {
        self.with_timeouts = true;
        self.scenario.false_dates = self.dice.bool();
        let count = self.dice.usize(10..=100);
        self.honest(count);
        self.machines_misbehave(500);
        self.starts_and_is_calm_by(800);
    }

    fn with_secrets(&mut self) {
        self.honest(20);
        self.secrets(600);
        if self.dice.bool() {
            let restart = self.between(100, 500);
            self.restart(restart);
        }
        self.starts_and_is_calm_by(700);
    }

    /// Namespaces with Secrets of two accounts, whose contents go wrong and are corrected.
    fn secrets(&mut self, until: u64) {
        for n in 0..self.dice.usize(1..=12) {
            let (namespace, name) = (format!("team-{}", n % 5), format!("keys-{n}"));
            self.account = 1 + n % 2;
            self.secret = Some(name.clone());
            for id in 0..self.dice.usize(1..=10) {
                let life = self.life(1_500);
                self.task(&namespace, &format!("s-{n}-{id}"), life, Duration::ZERO);
            }
            let contents = self.contents(n, until);
            self.scenario.secrets.insert((namespace, name), contents);
        }
        (self.account, self.secret) = (0, None);
    }

    /// What a Secret holds: good keys, of which some are taken away before or after there is a new one, and wrong ones.
    fn contents(&mut self, n: usize, until: u64) -> Vec<(Duration, Secret)> {
        let mut contents = Vec::new();
        let mut at = Duration::ZERO;
        let mut is_good = self.dice.bool();
        let mut number = 0;
        loop {
            number += 1;
            let key = format!("key-{n}-{number}");
            let from = at;
            at += if self.dice.bool() { self.between(5, 60) } else { self.between(60, 400) };
            let secret = match self.dice.u8(..3) {
                _ if is_good => {
                    // It is taken away a little before or after it is replaced, or not at all.
                    let to = match self.dice.u8(..3) {
                        0 => Duration::MAX,
                        1 => at + self.between(0, 60),
                        _ => at.saturating_sub(self.between(0, 60)).max(from),
                    };
                    let to = if at < secs(until) { to } else { Duration::MAX };
                    self.scenario.cloud.keys.insert(key.clone(), (self.account, Duration::ZERO, to));
                    Secret::Key(key)
                }
                0 => Secret::Missing,
                1 => Secret::Malformed,
                _ => {
                    self.scenario.cloud.keys.insert(key.clone(), (self.account, Duration::ZERO, Duration::ZERO));
                    Secret::Key(key)
                }
            };
            contents.push((from, secret));
            if at >= secs(until) && is_good {
                return contents;
            }
            is_good = !is_good || self.dice.u8(..3) == 0;
        }
    }

    fn hand_over(&mut self) {
        self.scenario.election = true;
        self.with_timeouts = self.dice.bool();
        let count = self.dice.usize(20..=150);
        self.honest(count);
        self.refused();
        self.machines_misbehave(500);
        self.act(secs(2), Act::Start);
        self.starts_and_is_calm_by(800);
    }

    fn floods(&mut self) {
        let count = self.dice.usize(20..=200);
        self.honest(count);
        self.refused();
        self.flood();
        self.users_come_back(500);
        let restart = self.between(240, 480);
        self.restart(restart);
        self.starts_and_is_calm_by(800);
    }

    /// Honest ImageTasks that are suspended for a while, deleted, and poked.
    fn users_come_back(&mut self, until: u64) {
        let places: Vec<_> =
            (0..self.scenario.objects.len()).filter(|place| self.scenario.objects[*place].honest).collect();
        for place in places {
            let at = self.between(10, until);
            match self.dice.u8(..8) {
                0 => self.act(at, Act::Delete(place)),
                1 => {
                    let pause = self.between(1, 100);
                    self.act(at, Act::Suspend(place, true));
                    self.act(at + pause, Act::Suspend(place, false));
                }
                2 => self.act(at, Act::Poke(place)),
                _ => {}
            }
        }
    }

    /// New refused ids within seconds, and pokes of all that are refused, again and again.
    fn flood(&mut self) {
        let from = self.between(5, 200);
        for n in 0..self.dice.usize(100..=600) {
            let refused = Thing::always(self.refusal());
            let born = from + millis(self.dice.u64(0..3_000));
            self.task(&format!("flood-{}", n % 7), &format!("f-{n:04}"), refused, born);
        }
        let places: Vec<_> =
            (0..self.scenario.objects.len()).filter(|place| !self.scenario.objects[*place].honest).collect();
        let pokes = self.between(10, 300);
        for _ in 0..self.dice.usize(100..=2_000) {
            let place = *self.dice.choice(&places).expect("there are some");
            let at = from + pokes + millis(self.dice.u64(0..60_000));
            self.act(at, Act::Poke(place));
        }
    }

    fn sick_cloud(&mut self) {
        let count = self.dice.usize(20..=300);
        self.honest(count);
        if self.dice.bool() {
            self.refused();
        }
        self.illness(0, 600);
        self.outages(600);
        if self.dice.bool() {
            let restart = self.between(100, 500);
            self.restart(restart);
        }
        self.starts_and_is_calm_by(900);
    }

    fn illness(&mut self, account: usize, until: u64) {
        let mut from = self.between(0, 200);
        while from < secs(until) {
            let to = from + self.between(1, 120);
            let seconds = self.dice.bool().then(|| self.dice.u64(1..20));
            let status = *self.dice.choice(&[500, 200, 502, 503]).expect("there are some");
            let ills = [Ill::Throttled(seconds), Ill::Hangs, Ill::Unreachable, Ill::Page(status), Ill::Denied];
            let ill = *self.dice.choice(&ills).expect("there are some");
            self.scenario.cloud.troubles.push(Trouble { account, from, to, ill });
            from = to + self.between(60, 300);
        }
    }

    fn outages(&mut self, until: u64) {
        for _ in 0..self.dice.usize(0..=2) {
            let from = self.between(30, until);
            let to = from + self.between(1, 60);
            self.scenario.outages.push((from, to));
        }
    }

    fn everything(&mut self) {
        self.scenario.election = self.dice.bool();
        self.scenario.false_dates = self.dice.bool();
        let count = self.dice.usize(20..=100);
        self.honest(count);
        self.refused();
        self.with_timeouts = self.dice.bool();
        if self.dice.bool() {
            self.secrets(600);
        }
        if self.dice.bool() {
            self.flood();
        }
        if self.dice.bool() {
            self.illness(0, 600);
            self.illness(1, 600);
        }
        if self.dice.bool() {
            self.outages(600);
        }
        if self.dice.bool() {
            self.task("breaker", "b-0", Thing::always(Stage::Breaks(500)), Duration::ZERO);
        }
        self.machines_misbehave(600);
        if self.scenario.election {
            self.act(secs(2), Act::Start);
        }
        self.users_come_back(500);
        self.starts_and_is_calm_by(1_000);
    }
}
