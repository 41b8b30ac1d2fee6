//! Elections in virtual time: one Lease, and candidates with clocks of their own on roads that lose and delay.

use k8s_openapi::api::coordination::v1::LeaseSpec;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use k8s_openapi::jiff::{SignedDuration, Timestamp};
use proptest::prelude::{ProptestConfig, any, prop_assert, prop_assert_eq, proptest};
use serde_json::{Value, json};

use super::*;
use crate::clock::Wall;

fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn millis(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

fn terms() -> Terms {
    Terms::of(secs(15), 0.0)
}

/// A moment on both clocks.
fn at(mono: Duration) -> Now {
    Now { mono, wall: Wall::Server(Timestamp::from_second(1_700_000_000).unwrap() + mono) }
}

fn candidate() -> Election {
    Election::new("lease", "me", terms())
}

/// A Lease as it is stored.
fn lease(version: u64, spec: Value) -> Lease {
    serde_json::from_value(json!({"metadata": {"name": "lease", "resourceVersion": version.to_string()}, "spec": spec}))
        .unwrap()
}

fn held(version: u64, holder: &str) -> Lease {
    let renewed = format!("2022-05-06T00:01:{:02}.000000Z", version % 60);
    lease(version, json!({"holderIdentity": holder, "leaseDurationSeconds": 15, "renewTime": renewed}))
}

/// What would be written, where something would.
fn written(step: Step) -> Option<Lease> {
    match step {
        Step::Write(Draft::Create(lease) | Draft::Replace(lease)) => Some(*lease),
        Step::Read | Step::Wait(_) | Step::Over(_) => None,
    }
}

/// The API server stores what a step writes.
fn store(election: &mut Election, version: u64, now: Now) {
    let mut lease = written(election.step(now)).expect("something is written");
    lease.metadata.resource_version = Some(version.to_string());
    election.wrote(lease, now, now);
}

/// One that leads since the first second.
fn leader() -> Election {
    let mut election = candidate();
    election.read(None, at(secs(1)));
    store(&mut election, 1, at(secs(1)));
    election
}

#[test]
fn the_times_are_those_of_client_go() {
    let expected =
        Terms { duration: secs(15), renew_within: secs(10), retry: secs(2), attempt: secs(3), jitter: secs(1) };
    assert_eq!(Terms::of(secs(15), 0.5), expected);
}

#[test]
fn the_first_candidate_creates_the_lease_and_renews_it_every_two_seconds() {
    let mut election = candidate();
    assert_eq!(election.step(at(secs(1))), Step::Read);
    election.read(None, at(secs(1)));
    let now = at(secs(1)).wall.shown();
    let created = written(election.step(at(secs(1)))).unwrap();
    let spec = LeaseSpec {
        holder_identity: Some("me".into()),
        lease_duration_seconds: Some(15),
        lease_transitions: Some(0),
        acquire_time: Some(MicroTime(now)),
        renew_time: Some(MicroTime(now)),
        ..LeaseSpec::default()
    };
    assert_eq!(created.spec, Some(spec.clone()));
    assert_eq!(election.term(), None);
    store(&mut election, 1, at(secs(1)));
    assert_eq!((election.term(), election.step(at(secs(1)))), (Some(secs(11)), Step::Wait(secs(3))));
    let renewed = written(election.step(at(secs(3)))).unwrap();
    let spec = LeaseSpec { renew_time: Some(MicroTime(at(secs(3)).wall.shown())), ..spec };
    assert_eq!((renewed.spec, renewed.metadata.resource_version), (Some(spec), Some("1".into())));
}

#[test]
fn a_term_counts_from_before_the_request_and_a_call_does_not_outlive_it() {
    let mut election = leader();
    let mut renewed = written(election.step(at(secs(3)))).unwrap();
    renewed.metadata.resource_version = Some("2".into());
    election.wrote(renewed, at(secs(3)), at(secs(5)));
    assert_eq!(election.term(), Some(secs(13)));
    assert_eq!([5, 11, 13, 20].map(|now| election.patience(at(secs(now))).as_secs()), [3, 2, 0, 0]);
}

#[test]
fn a_leader_that_cannot_renew_tries_until_its_term_is_over_and_no_longer() {
    let mut election = leader();
    let mut tried = Vec::new();
    let mut now = secs(1);
    let end = loop {
        match election.step(at(now)) {
            Step::Wait(until) => now = until,
            Step::Over(lost) => break (now, lost),
            Step::Read | Step::Write(_) => {
                tried.push(now.as_secs());
                let begun = at(now);
                now += election.patience(begun);
                election.failed(begun, at(now));
            }
        }
    };
    assert_eq!((tried, end), (vec![3, 6, 9], (secs(11), Lost::Unrenewed(secs(10)))));
}

#[test]
fn a_leader_that_sees_another_holder_or_none_leads_no_more() {
    for (other, named) in [(held(2, "other"), "other"), (lease(2, json!({})), "")] {
        let mut election = leader();
        election.saw(other, at(secs(2)));
        assert_eq!(election.step(at(secs(2))), Step::Over(Lost::Taken(named.into())));
    }
    // What a late watch shows is older than what it wrote itself.
    let mut election = leader();
    election.saw(held(0, "other"), at(secs(2)));
    assert_eq!(election.step(at(secs(2))), Step::Wait(secs(3)));
}

#[test]
fn a_conflict_is_read_at_once_and_a_deleted_lease_is_created_anew() {
    let mut election = leader();
    election.doubt();
    assert_eq!(election.step(at(secs(3))), Step::Read);
    let mut touched = written(leader().step(at(secs(3)))).unwrap();
    touched.metadata.resource_version = Some("7".into());
    election.read(Some(touched), at(secs(3)));
    assert_eq!(written(election.step(at(secs(3)))).unwrap().metadata.resource_version, Some("7".into()));
    election.deleted(&held(6, "older"), at(secs(3)));
    election.deleted(&held(8, "me"), at(secs(3)));
    assert!(matches!(election.step(at(secs(3))), Step::Write(Draft::Create(_))));
}

#[test]
fn a_standby_takes_over_when_the_record_has_not_changed_for_its_duration_whatever_its_times_say() {
    let hour = SignedDuration::from_hours(1);
    for off in [-hour, SignedDuration::ZERO, hour] {
        let mut election = candidate();
        for second in [0, 2, 4] {
            let mut lease = held(second, "other");
            let now = at(secs(second));
            lease.spec.as_mut().unwrap().renew_time = Some(MicroTime(now.wall.shown() + off));
            election.saw(lease, now);
        }
        // Read again and again, it stays as it is.
        for second in 5..19 {
            let unchanged = election.view_of_lease().clone();
            election.read(Some(unchanged), at(secs(second)));
            assert_eq!(written(election.step(at(secs(second)))), None, "{off}");
        }
        assert_eq!(election.step(at(millis(18_999))), Step::Wait(secs(19)), "{off}");
        let spec = written(election.step(at(secs(19)))).unwrap().spec.unwrap();
        assert_eq!((spec.holder_identity.as_deref(), spec.lease_transitions), (Some("me"), Some(1)), "{off}");
    }
}

#[test]
fn a_holder_is_given_the_time_that_its_record_promises() {
    for (promised, free) in [(json!(30), 30), (json!(2), 2), (json!(0), 15), (json!(-5), 15), (Value::Null, 15)] {
        let mut election = candidate();
        election
            .read(Some(lease(1, json!({"holderIdentity": "other", "leaseDurationSeconds": promised}))), at(secs(0)));
        let claims = |election: &Election, now| written(election.step(at(now))).is_some();
        assert!(!claims(&election, secs(free) - millis(1)) && claims(&election, secs(free)), "{promised}");
    }
}

#[test]
fn a_released_lease_is_taken_at_once_and_its_transitions_are_counted() {
    for holder in [Value::Null, json!("")] {
        let mut election = candidate();
        election.read(Some(held(1, "other")), at(secs(1)));
        assert!(matches!(election.step(at(secs(1))), Step::Wait(_)));
        election.saw(lease(2, json!({"holderIdentity": holder, "leaseTransitions": 4})), at(secs(2)));
        let spec = written(election.step(at(secs(2)))).unwrap().spec.unwrap();
        assert_eq!((spec.holder_identity.as_deref(), spec.lease_transitions), (Some("me"), Some(5)));
    }
}

#[test]
fn only_a_leader_releases_and_leaves_no_holder() {
    let election = leader();
    let released = election.release(at(secs(2))).unwrap();
    let spec = released.spec.unwrap();
    assert_eq!((spec.holder_identity, spec.lease_duration_seconds, spec.lease_transitions), (None, Some(1), Some(0)));
    assert_eq!(released.metadata.resource_version.as_deref(), Some("1"));
    let mut standby = candidate();
    standby.read(Some(held(1, "other")), at(secs(1)));
    assert_eq!(standby.release(at(secs(2))), None);
}

#[test]
fn a_deleted_lease_is_respected_for_as_long_as_its_holder_may_lead() {
    let mut election = candidate();
    election.read(Some(held(1, "other")), at(secs(1)));
    election.deleted(&held(2, "other"), at(secs(2)));
    assert_eq!(written(election.step(at(millis(15_999)))), None);
    assert!(matches!(election.step(at(secs(16))), Step::Write(Draft::Create(_))));
}

#[test]
fn a_standby_reads_when_it_hears_nothing_for_two_renewals() {
    let mut election = candidate();
    election.read(Some(held(1, "other")), at(secs(1)));
    assert_eq!(election.step(at(secs(1))), Step::Wait(secs(5)));
    election.saw(held(2, "other"), at(secs(3)));
    assert_eq!(election.step(at(secs(5))), Step::Wait(secs(7)));
    assert_eq!(election.step(at(secs(7))), Step::Read);
}

#[test]
fn a_claim_whose_answer_was_lost_is_renewed_before_it_leads() {
    let mut election = candidate();
    election.read(None, at(secs(1)));
    election.failed(at(secs(1)), at(secs(4)));
    assert_eq!((election.term(), election.step(at(secs(4)))), (None, Step::Read));
    election.read(Some(held(1, "me")), at(secs(4)));
    assert_eq!(election.term(), None);
    store(&mut election, 2, at(secs(4)));
    assert_eq!(election.term(), Some(secs(14)));
}

#[test]
fn a_clock_that_stands_still_renews_all_the_same() {
    let election = leader();
    let standing = Now { mono: secs(3), wall: at(secs(1)).wall };
    let renewed = written(election.step(standing)).unwrap();
    assert_ne!(&renewed.spec, &election.view_of_lease().spec);
}

impl Election {
    fn view_of_lease(&self) -> &Lease {
        match &self.view {
            View::Present(seen) => &seen.lease,
            View::Unknown | View::Absent { .. } => panic!("no Lease was seen"),
        }
    }
}

/// One moment of the world after another.
const TICK: Duration = Duration::from_millis(20);

/// The API server, its Lease, and whoever stands for election.
struct World {
    dice: fastrand::Rng,
    now: Duration,
    revision: u64,
    lease: Option<Lease>,
    candidates: Vec<Candidate>,
    /// Requests whose candidate has died or given up may still arrive.
    strays: Vec<(Duration, Draft)>,
    /// Roads are bad.
    bad: bool,
}

struct Candidate {
    election: Election,
    /// Its clocks are this far ahead.
    mono: Duration,
    wall: SignedDuration,
    /// It stands still, as in a debugger.
    paused_until: Duration,
    call: Option<Call>,
    /// What its watch has yet to show.
    shows: Vec<(Duration, Lease)>,
    over: bool,
}

struct Call {
    begun: Now,
    draft: Option<Draft>,
    arrives: Option<Duration>,
    answer: Option<(Duration, Result<Option<Lease>, ()>)>,
    given_up: Duration,
}

impl Candidate {
    fn now(&self, now: Duration) -> Now {
        Now { mono: now + self.mono, wall: Wall::Server(at(now).wall.shown() + self.wall) }
    }

    fn leads(&self, now: Duration) -> bool {
        !self.over && self.election.term().is_some_and(|term| self.now(now).mono < term)
    }
}

impl World {
    fn new(seed: u64) -> Self {
        let dice = fastrand::Rng::with_seed(seed);
        let (candidates, strays) = (Vec::new(), Vec::new());
        let mut world = Self { dice, now: Duration::ZERO, revision: 0, lease: None, candidates, strays, bad: true };
        (0..3).for_each(|_| world.join());
        world
    }

    fn join(&mut self) {
        let identity = format!("c-{}", self.dice.u64(..));
        let duration = secs(self.dice.u64(2..6));
        let candidate = Candidate {
            election: Election::new("lease", &identity, Terms::of(duration, self.dice.f64())),
            mono: secs(self.dice.u64(..10_000)),
            wall: SignedDuration::from_hours(self.dice.i64(-1..=1)),
            paused_until: Duration::ZERO,
            call: None,
            shows: Vec::new(),
            over: false,
        };
        self.candidates.push(candidate);
    }

    fn delay(&mut self) -> Duration {
        let most = if self.bad && self.dice.u8(..6) == 0 { 3_000 } else { 60 };
        millis(self.dice.u64(..most))
    }

    fn is_lost(&mut self) -> bool {
        self.bad && self.dice.u8(..8) == 0
    }

    /// The API server gets a request.
    fn arrive(&mut self, draft: Option<&Draft>) -> Result<Option<Lease>, ()> {
        let stored = self.lease.as_ref().map(|lease| lease.metadata.resource_version.clone());
        let next = match draft {
            None => return Ok(self.lease.clone()),
            Some(Draft::Create(_)) if stored.is_some() => return Err(()),
            Some(Draft::Replace(next)) if stored.as_ref() != Some(&next.metadata.resource_version) => return Err(()),
            Some(Draft::Create(next) | Draft::Replace(next)) => next,
        };
        self.revision += 1;
        let mut next = Lease::clone(next);
        next.metadata.resource_version = Some(self.revision.to_string());
        self.lease = Some(next.clone());
        for number in 0..self.candidates.len() {
            if !self.is_lost() {
                let shown = self.now + self.delay();
                self.candidates[number].shows.push((shown, next.clone()));
            }
        }
        Ok(Some(next))
    }

    fn tick(&mut self) {
        self.now += TICK;
        let now = self.now;
        let (due, strays) = std::mem::take(&mut self.strays).into_iter().partition(|(at, _)| *at <= now);
        self.strays = strays;
        for (_, draft) in Vec::from_iter::<Vec<(Duration, Draft)>>(due) {
            let _too_late = self.arrive(Some(&draft));
        }
        for number in 0..self.candidates.len() {
            self.carry(number);
            if self.candidates[number].paused_until <= now && !self.candidates[number].over {
                self.act(number);
            }
        }
    }

    /// Brings a request to the API server.
    fn carry(&mut self, number: usize) {
        let arrived = self.candidates[number].call.take_if(|call| call.arrives.is_some_and(|at| at <= self.now));
        if let Some(mut call) = arrived {
            let answer = self.arrive(call.draft.as_ref());
            let back = self.now + self.delay();
            call.answer = if self.is_lost() { None } else { Some((back, answer)) };
            call.arrives = None;
            self.candidates[number].call = Some(call);
        }
    }

    fn act(&mut self, number: usize) {
        let now = self.now;
        let candidate = &mut self.candidates[number];
        let own = candidate.now(now);
        if let Some(call) = candidate.call.take_if(|call| call.answer.as_ref().is_some_and(|(at, _)| *at <= now)) {
            let (_, answer) = call.answer.expect("it has come");
            match (answer, &call.draft) {
                (Ok(found), None) => candidate.election.read(found, own),
                (Ok(stored), Some(_)) => candidate.election.wrote(stored.expect("it is stored"), call.begun, own),
                (Err(()), _) => candidate.election.doubt(),
            }
        }
        if let Some(call) = candidate.call.take_if(|call| call.given_up <= now) {
            candidate.election.failed(call.begun, own);
            self.strays.extend(call.arrives.zip(call.draft));
        }
        let candidate = &mut self.candidates[number];
        let (due, later) = std::mem::take(&mut candidate.shows).into_iter().partition(|(at, _)| *at <= now);
        candidate.shows = later;
        let due: Vec<(Duration, Lease)> = due;
        due.into_iter().for_each(|(_, lease)| candidate.election.saw(lease, own));
        if candidate.call.is_some() {
            return;
        }
        match candidate.election.step(own) {
            Step::Read => self.call(number, None),
            Step::Write(draft) => self.call(number, Some(draft)),
            Step::Wait(_) => {}
            Step::Over(_) => candidate.over = true,
        }
    }

    fn call(&mut self, number: usize, draft: Option<Draft>) {
        let arrives = (!self.is_lost()).then(|| self.now + self.delay());
        let candidate = &mut self.candidates[number];
        let begun = candidate.now(self.now);
        let given_up = self.now + candidate.election.patience(begun);
        candidate.call = Some(Call { begun, draft, arrives, answer: None, given_up });
    }

    /// Something happens to one of them.
    fn strike(&mut self) {
        let number = self.dice.usize(..self.candidates.len());
        let pause = millis(self.dice.u64(..8_000));
        let candidate = &mut self.candidates[number];
        match self.dice.u8(..4) {
            0 => candidate.paused_until = self.now + pause,
            1 => candidate.over = true,
            2 if candidate.leads(self.now) => {
                candidate.over = true;
                let released = candidate.election.release(candidate.now(self.now));
                self.strays.extend(released.map(|lease| (self.now + pause, Draft::Replace(Box::new(lease)))));
            }
            _ => {}
        }
        if self.candidates[number].over {
            let dead = self.candidates.remove(number);
            self.strays.extend(dead.call.and_then(|call| call.arrives.zip(call.draft)));
            self.join();
        }
    }

    fn leaders(&self) -> usize {
        self.candidates.iter().filter(|candidate| candidate.leads(self.now)).count()
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn there_are_never_two_leaders_and_soon_one_when_the_roads_are_good(seed in any::<u64>()) {
        let mut world = World::new(seed);
        while world.now < secs(120) {
            world.tick();
            prop_assert!(world.leaders() <= 1, "two leaders after {:?}", world.now);
            if world.dice.u8(..50) == 0 {
                world.strike();
            }
        }
        world.bad = false;
        world.candidates.retain(|candidate| !candidate.over);
        world.join();
        let calm = world.now + secs(25);
        while world.now < calm {
            world.tick();
            prop_assert!(world.leaders() <= 1, "two leaders after {:?}", world.now);
        }
        prop_assert_eq!(world.leaders(), 1);
    }
}
