//! The shapes of runs, each made from a seed: which attackers are there, and when.

use std::time::Duration;

use crate::clocks::{millis, secs};
use crate::cloud::{Cloud, Ill, Stage, Thing, Trouble};
use crate::scenario::{Act, Limits, OWN, Object, REGION, Scenario, Target};

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
}

impl Profile {
    pub(crate) const ALL: [Self; 7] = [
        Self::Quiet,
        Self::RefusedFlood,
        Self::RestartStorm,
        Self::ComeAndGo,
        Self::Breakers,
        Self::EndlessImages,
        Self::LostPermission,
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
        }
        plan.done()
    }
}

impl Plan {
    fn new(seed: u64, profile: Profile) -> Self {
        let limits = Limits { qps: 4.0, interval: secs(10), stuck_after: secs(300) };
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
        Self { scenario, dice: fastrand::Rng::with_seed(seed) }
    }

    fn done(mut self) -> Scenario {
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
        self.scenario.cloud.things.insert((0, task.clone()), life);
        let thing = Thing { newest: Some(task), others, ..Thing::always(stage) };
        self.object(namespace, Target::Image(image.to_owned()), thing, born)
    }

    fn object(&mut self, namespace: &str, target: Target, thing: Thing, born: Duration) -> usize {
        let honest = thing.script.iter().all(|(_, stage)| stage.is_answered());
        let (Target::Task(id) | Target::Image(id)) = target.clone();
        self.scenario.cloud.things.insert((0, id.clone()), thing);
        let place = self.scenario.objects.len();
        self.scenario.objects.push(Object {
            namespace: namespace.to_owned(),
            name: id,
            account: 0,
            region: REGION,
            target,
            secret: None,
            timeout: None,
            honest,
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
        for n in 0..self.dice.usize(20..=200) {
            let refused = Thing::always(self.refusal());
            self.task("loud", &format!("x-{n:03}"), refused, Duration::ZERO);
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
}
