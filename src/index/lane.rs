//! One lane: the ids that are asked with one set of credentials in one region, and at what rate.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use hashbrown::{DefaultHashBuilder, HashTable};
use slab::Slab;

use super::directory::Tenant;
use super::health::LaneHealth;
use super::ring::{Company, Picked, Place, Ring};
use super::source::Identity;
use super::subject::{Subject, SubjectId};
use crate::clock::Moment;
use crate::credentials::Credentials;
use crate::ecs::{Batch, ErrorKind, Ids, Region};
use crate::observation::Failure;
use crate::reconcile::Next;
use crate::schedule::{BATCH, Rate};

/// Calls that may come at once after a pause: a new task need not wait for the beat that was just asked.
const BURST: u32 = 2;

/// One lane.
pub(super) struct Lane {
    pub(super) identity: Identity,
    pub(super) region: Region,
    pub(super) credentials: Arc<Credentials>,
    pub(super) subjects: Slab<Subject>,
    pub(super) by_id: HashTable<u32>,
    pub(super) hasher: DefaultHashBuilder,
    /// How many ids each tenant has here.
    pub(super) tenants: HashMap<Tenant, usize>,
    pub(super) tasks: Ring,
    pub(super) resources: Ring,
    pub(super) last_were_tasks: bool,
    rate: Rate,
    pub(super) health: LaneHealth,
    /// What is told to everyone here while the lane fails.
    trouble: Option<Failure>,
    /// Refusals since the last answer.
    pub(super) refusals: u32,
    /// An id that was answered once, to be asked alone: refused, it shows that the lane is at fault.
    pub(super) control: Option<u32>,
    /// Before this the lane is at fault for every refusal, and no batch is split.
    pub(super) condemned_until: Duration,
    pub(super) in_flight: usize,
    most_in_flight: usize,
    pub(super) interval: Duration,
    /// When it has something to ask, as far as the agenda of all lanes knows.
    pub(super) planned: Option<Duration>,
    /// Number of its last turn among all lanes.
    pub(super) last_turn: u64,
}

/// One question, to be put now.
pub(super) struct Asked {
    pub(super) subjects: Vec<u32>,
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
            tenants: HashMap::new(),
            tasks: Ring::default(),
            resources: Ring::default(),
            last_were_tasks: false,
            rate: Rate::new(qps, BURST),
            health: LaneHealth::default(),
            trouble: None,
            refusals: 0,
            control: None,
            condemned_until: Duration::ZERO,
            in_flight: 0,
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
        self.health.is_probing()
    }

    /// Goes on with newer credentials of the same identity.
    pub(super) fn renew(&mut self, credentials: Arc<Credentials>, now: Duration) {
        self.credentials = credentials;
        if self.is_refused() {
            self.health.probe_at(now);
        }
    }

    /// Whether the cloud refuses the credentials.
    pub(super) fn is_refused(&self) -> bool {
        self.health.kind() == Some(ErrorKind::CredentialsInvalid)
    }

    /// What is told to everyone here, if the lane fails.
    pub(super) fn trouble(&self) -> Option<&Failure> {
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

    /// Those who have ids here.
    pub(super) fn tenants(&self) -> impl Iterator<Item = Tenant> {
        self.tenants.keys().copied()
    }

    /// The id that was asked.
    pub(super) fn id_of(&self, key: u32) -> &SubjectId {
        &self.subjects[key as usize].id
    }

    /// Asks for one look out of turn; no more than one in an interval.
    pub(super) fn poke(&mut self, key: u32, now: Duration) {
        let moment = self.subjects[key as usize].take_poke(now, self.interval);
        self.hurry(key, moment);
    }

    /// When the next question may be put; `None`: not before an answer or a new id comes.
    pub(super) fn next_at(&mut self, now: Duration) -> Option<Duration> {
        self.wake(now);
        let most = if self.is_probing() { 1 } else { self.most_in_flight };
        if self.in_flight >= most {
            return None;
        }
        let next = [self.tasks.next_at(), self.resources.next_at()].into_iter().flatten().min();
        next.map(|at| at.max(self.rate.ready_at()).max(self.health.next_probe()))
    }

    /// The next question; `None` where nothing is due.
    pub(super) fn ask(&mut self, now: Duration) -> Option<Asked> {
        let Picked { subjects, due } = self.pick(now);
        let batch = self.batch(&subjects)?;
        for &key in &subjects {
            self.subjects[key as usize].place = Place::Flying { again: None };
        }
        self.rate.take(now);
        self.in_flight += 1;
        let lag = (!self.is_probing()).then(|| now.saturating_sub(due));
        Some(Asked { subjects, batch, lag })
    }

    /// More HTTP requests were made for one question than the one it was charged with.
    pub(super) fn charge(&mut self, more: u32, now: Duration) {
        (0..more).for_each(|_| self.rate.take(now));
    }

    /// An answer came: the lane is well. Returns whether that is news.
    pub(super) fn answered(&mut self) -> bool {
        self.in_flight -= 1;
        let recovered = self.is_probing();
        self.health = LaneHealth::default();
        self.refusals = 0;
        self.control = None;
        self.rate.recover();
        recovered
    }

    /// The lane as a whole failed: what was asked is due again, after a probe. Returns since when the trouble lasts.
    pub(super) fn failed(&mut self, subjects: Vec<u32>, kind: ErrorKind, begun: Duration, now: Duration) -> Duration {
        self.in_flight -= 1;
        subjects.into_iter().for_each(|key| self.put_back(key, now));
        let asked_for = kind.retry_after().unwrap_or_default();
        if let ErrorKind::Throttled { .. } = kind {
            self.rate.throttled(now + asked_for);
        }
        self.health.failed(kind, begun, now, self.interval)
    }

    /// Puts an id that was asked at `begun` where it waits for its next look.
    pub(super) fn settle(&mut self, key: u32, next: Next, begun: Duration, now: Duration) {
        let subject = &mut self.subjects[key as usize];
        if subject.followers.is_empty() {
            return self.forget(key);
        }
        let place = subject.next_place(next, begun, now, self.interval);
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

    fn batch(&self, subjects: &[u32]) -> Option<Batch> {
        let mut tasks = Vec::new();
        let mut resources = Vec::new();
        for &key in subjects {
            match self.id_of(key) {
                SubjectId::Task(id) => tasks.push(id.clone()),
                SubjectId::Resource(id) => resources.push(id.clone()),
            }
        }
        Ids::new(tasks).map(Batch::Tasks).or_else(|| Ids::new(resources).map(Batch::Resources))
    }

    /// Moves what was asked slowly to where it is asked now.
    fn wake(&mut self, now: Duration) {
        while let Some(key) = self.tasks.next_woken(now).or_else(|| self.resources.next_woken(now)) {
            let place = match self.subjects[key as usize].place {
                Place::Later(due, Company::None) => Place::Alone(due),
                Place::Later(due, Company::Any) => Place::Express(due),
                place
                @ (Place::Express(_) | Place::Round(_) | Place::Alone(_) | Place::Part | Place::Flying { .. }) => place,
            };
            self.place(key, place);
        }
    }

    /// Has an id asked ahead of the rest, from a moment on.
    pub(super) fn hurry(&mut self, key: u32, from: Duration) {
        let from = Moment::from(from);
        let place = self.subjects[key as usize].place;
        match place {
            Place::Flying { again } => {
                let again = Some(again.map_or(from, |before| before.min(from)));
                self.subjects[key as usize].place = Place::Flying { again };
            }
            Place::Express(before) | Place::Round(before) | Place::Later(before, _) if before <= from => {}
            Place::Alone(_) | Place::Part => {}
            Place::Express(_) | Place::Round(_) | Place::Later(..) => {
                self.leave(key);
                self.place(key, Place::Express(from));
            }
        }
    }

    pub(super) fn place(&mut self, key: u32, place: Place) {
        let subject = &mut self.subjects[key as usize];
        subject.place = place;
        let tenant = subject.tenant;
        self.ring_of(key).enter(key, tenant, place);
    }

    /// Takes an id out of the queue in which it waits.
    pub(super) fn leave(&mut self, key: u32) {
        let Subject { tenant, place, .. } = self.subjects[key as usize];
        self.ring_of(key).leave(key, tenant, place);
    }

    pub(super) fn ring_of(&mut self, key: u32) -> &mut Ring {
        match self.subjects[key as usize].id {
            SubjectId::Task(_) => &mut self.tasks,
            SubjectId::Resource(_) => &mut self.resources,
        }
    }
}
