//! One lane: the ids that are asked with one set of credentials in one region, and at what rate.

use std::sync::Arc;
use std::time::Duration;

use hashbrown::{DefaultHashBuilder, HashTable};
use slab::Slab;

use super::breaker::Breaker;
use super::canary::CanaryCheck;
use super::directory::Tenant;
use super::namespaces::Namespaces;
use super::ring::{Place, Ring};
use super::sent::Sent;
use super::source::Identity;
use super::spoilers::Spoilers;
use super::subject::{Subject, SubjectId};
use crate::clock::Moment;
use crate::credentials::Credentials;
use crate::ecs::{Batch, ErrorKind, Region};
use crate::observation::Failure;
use crate::reconcile::Next;
use crate::schedule::{BATCH, Pace, Rate, Tempo};

/// Calls that may come at once after a pause: a new task need not wait for the beat that was just asked.
const BURST: u32 = 2;

/// Shared calls for each special one while both are due.
pub(super) const SHARED_PER_SPECIAL: u32 = 3;

/// An id that is refused alone this often within an hour while the lane is well stays alone for an hour.
const ID_SPOILS: u32 = 2;

/// A namespace whose ids make shared requests fail this often within an hour shares none for an hour.
const NAMESPACE_SPOILS: u32 = 4;

/// One lane.
pub(super) struct Lane {
    pub(super) identity: Identity,
    pub(super) region: Region,
    pub(super) credentials: Arc<Credentials>,
    pub(super) subjects: Slab<Subject>,
    pub(super) by_id: HashTable<u32>,
    pub(super) hasher: DefaultHashBuilder,
    pub(super) namespaces: Namespaces,
    pub(super) tasks: Ring,
    pub(super) resources: Ring,
    pub(super) last_were_tasks: bool,
    pub(super) rate: Rate,
    /// The calls that were made, pages of what may make requests fail included: the next of these wait for them.
    pub(super) load: Rate,
    pub(super) breaker: Breaker,
    /// What is told to everyone here while the lane fails.
    trouble: Option<Failure>,
    /// Requests that failed, while canaries tell whether the lane or an id is at fault.
    pub(super) check: Option<CanaryCheck>,
    /// Whose id was the last canary or probe.
    pub(super) last_canary: Option<Tenant>,
    /// When the newest request began that was answered.
    pub(super) answered: Option<Duration>,
    /// Requests that came to no answer since the last that did.
    pub(super) failures: usize,
    pub(super) spoilers: Spoilers<u32>,
    pub(super) spoiling: Spoilers<Tenant>,
    /// Shared calls since the last special one, or page of one.
    pub(super) credit: u32,
    pub(super) in_flight: usize,
    pub(super) special_in_flight: usize,
    /// Questions about images under way: at most one, as nobody knows beforehand how many pages its answer has.
    pub(super) images_in_flight: usize,
    pub(super) most_in_flight: usize,
    pub(super) interval: Duration,
    /// When it has something to ask, as far as the agenda of all lanes knows.
    pub(super) planned: Option<Duration>,
    /// Number of its last turn among all lanes.
    pub(super) last_turn: u64,
}

/// One question, to be put now.
pub(super) struct Asked {
    pub(super) subjects: Vec<u32>,
    pub(super) sent: Sent,
    pub(super) batch: Batch,
    /// How late the id is that waited longest; a probe has no schedule.
    pub(super) lag: Option<Duration>,
}

impl Lane {
    pub(super) fn new(
        identity: Identity,
        region: Region,
        credentials: Arc<Credentials>,
        qps: f64,
        interval: Duration,
    ) -> Self {
        Self {
            identity,
            region,
            credentials,
            subjects: Slab::new(),
            by_id: HashTable::new(),
            hasher: DefaultHashBuilder::default(),
            namespaces: Namespaces::default(),
            tasks: Ring::default(),
            resources: Ring::default(),
            last_were_tasks: false,
            rate: Rate::new(qps, BURST),
            load: Rate::new(qps, BURST),
            breaker: Breaker::default(),
            trouble: None,
            check: None,
            last_canary: None,
            answered: None,
            failures: 0,
            spoilers: Spoilers::new(ID_SPOILS),
            spoiling: Spoilers::new(NAMESPACE_SPOILS),
            credit: 0,
            in_flight: 0,
            special_in_flight: 0,
            images_in_flight: 0,
            // Calls that take up to 2 s do not lower the rate; a hanging lane holds no more.
            most_in_flight: (qps * 2.0).ceil().max(2.0) as usize,
            interval,
            planned: None,
            last_turn: 0,
        }
    }

    /// Whether nobody follows anything here any more.
    pub(super) fn is_empty(&self) -> bool {
        self.subjects.is_empty()
    }

    /// Whether the lane as a whole fails.
    pub(super) fn is_probing(&self) -> bool {
        self.breaker.is_open()
    }

    /// Goes on with newer credentials of the same identity.
    pub(super) fn renew(&mut self, credentials: Arc<Credentials>, now: Duration) {
        self.credentials = credentials;
        if self.is_refused() {
            self.breaker.probe_at(now);
        }
    }

    /// Whether the cloud refuses the credentials.
    pub(super) fn is_refused(&self) -> bool {
        self.breaker.kind() == Some(ErrorKind::CredentialsInvalid)
    }

    /// What is told to those of a namespace, if the lane fails.
    pub(super) fn trouble(&self, tenant: Tenant) -> Option<&Failure> {
        self.outage().filter(|_| self.breaker.concerns(tenant))
    }

    /// What the lane fails with, whoever is told.
    pub(super) fn outage(&self) -> Option<&Failure> {
        self.trouble.as_ref().filter(|_| self.is_probing())
    }

    /// Keeps what is told to everyone here, for those who come while the lane fails.
    pub(super) fn tell(&mut self, trouble: Failure) {
        self.trouble = Some(trouble);
    }

    /// Whether its ids need more calls than its rate allows.
    pub(super) fn is_behind(&self, qps: f64) -> bool {
        let calls = self.tasks.regular().div_ceil(BATCH) + self.resources.regular().div_ceil(BATCH);
        calls as f64 > qps * self.interval.as_secs_f64()
    }

    /// How fast it asks.
    pub(super) fn tempo(&self) -> Tempo {
        let calls = self.tasks.shared().div_ceil(BATCH) + self.resources.shared().div_ceil(BATCH);
        Tempo { interval: self.interval, call: self.rate.spacing(), calls }
    }

    /// Between two calls while it is well.
    pub(super) fn healthy_spacing(&self) -> Duration {
        Pace::of(self.tasks.regular() + self.resources.regular(), self.interval).spacing
    }

    /// Those who have ids here.
    pub(super) fn tenants(&self) -> impl Iterator<Item = Tenant> {
        self.namespaces.iter()
    }

    /// The id that was asked.
    pub(super) fn id_of(&self, key: u32) -> &SubjectId {
        &self.subjects[key as usize].id
    }

    /// In whose turn an id is asked.
    pub(super) fn tenant_of(&self, key: u32) -> Tenant {
        self.subjects[key as usize].tenant
    }

    /// The id as it was asked.
    pub(super) fn text_of(&self, key: u32) -> &str {
        match self.id_of(key) {
            SubjectId::Task(id) => id.as_str(),
            SubjectId::Resource(id) => id.as_str(),
        }
    }

    /// Asks for one look out of turn; no more than one in an interval.
    pub(super) fn poke(&mut self, key: u32, now: Duration) {
        let moment = self.subjects[key as usize].take_poke(now, self.interval);
        self.hurry(key, moment, now);
    }

    /// More HTTP requests were made for one question than the one it was charged with.
    pub(super) fn charge(&mut self, more: u32, sent: Sent, now: Duration) {
        (0..more).for_each(|_| self.load.take(now));
        if !sent.is_special() {
            (0..more).for_each(|_| self.rate.take(now));
        }
    }

    /// A question for these ids came to its end, whatever it was.
    pub(super) fn landed(&mut self, ids: &[u32], sent: Sent) {
        self.in_flight -= 1;
        self.special_in_flight -= usize::from(sent.is_special());
        self.images_in_flight -= usize::from(matches!(self.id_of(ids[0]), SubjectId::Resource(_)));
        if let Sent::Unsettled(tenant) = sent {
            self.ring_of(ids[0]).unsettled.landed(tenant);
        }
    }

    /// Puts an id that was asked at `begun` where it waits for its next look.
    pub(super) fn settle(&mut self, key: u32, next: Next, begun: Duration, now: Duration) {
        if self.subjects[key as usize].followers.is_empty() {
            return self.forget(key);
        }
        let alone = next != Next::SlowlyAlone && self.spoilers.until(key, now).is_some();
        let interval = self.interval;
        let place = self.subjects[key as usize].next_place(next, alone, begun, now, interval);
        let tenant = self.subjects[key as usize].tenant;
        let suspect = self.subjects[key as usize].suspect && self.ring(key).unsettled.keeps(tenant, now);
        self.subjects[key as usize].suspect = suspect;
        self.place(key, place);
    }

    /// An id that was asked without a result is due again at once, when the lane allows.
    pub(super) fn put_back(&mut self, key: u32, now: Duration) {
        if self.subjects[key as usize].followers.is_empty() {
            return self.forget(key);
        }
        let place = self.subjects[key as usize].place_again(now, self.interval);
        self.place(key, place);
    }

    /// Has an id asked ahead of the rest, from a moment on. One that was refused is asked first of those of its
    /// namespace, and no sooner than its namespace's turn.
    pub(super) fn hurry(&mut self, key: u32, from: Duration, now: Duration) {
        let first = if from <= now { Moment::from(Duration::ZERO) } else { from.into() };
        let from = Moment::from(from);
        let place = self.subjects[key as usize].place;
        let hurried = match place {
            Place::Flying { again } => {
                let again = Some(again.map_or(from, |before| before.min(from)));
                self.subjects[key as usize].place = Place::Flying { again };
                return;
            }
            Place::Express(before) | Place::Round(before) | Place::Later(before) if before <= from => return,
            Place::Part => return,
            Place::Isolated(before) => Place::Isolated(before.min(first)),
            Place::Alone(before) => Place::Alone(before.min(first)),
            Place::Express(_) | Place::Round(_) | Place::Later(_) => Place::Express(from),
        };
        self.leave(key);
        self.place(key, hurried);
    }

    /// Puts an id into the queue of a place.
    pub(super) fn place(&mut self, key: u32, place: Place) {
        let subject = &mut self.subjects[key as usize];
        subject.place = place;
        let (tenant, suspect) = (subject.tenant, subject.suspect);
        self.ring_of(key).enter(key, tenant, place, suspect);
    }

    /// Takes an id out of the queue in which it waits.
    pub(super) fn leave(&mut self, key: u32) {
        let Subject { tenant, place, suspect, .. } = self.subjects[key as usize];
        self.ring_of(key).leave(key, tenant, place, suspect);
    }

    pub(super) fn ring_of(&mut self, key: u32) -> &mut Ring {
        match self.subjects[key as usize].id {
            SubjectId::Task(_) => &mut self.tasks,
            SubjectId::Resource(_) => &mut self.resources,
        }
    }

    pub(super) fn ring(&self, key: u32) -> &Ring {
        match self.subjects[key as usize].id {
            SubjectId::Task(_) => &self.tasks,
            SubjectId::Resource(_) => &self.resources,
        }
    }
}
