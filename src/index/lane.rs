//! One lane: the ids that are asked with one set of credentials in one region, when each is due, and at what rate.

use std::collections::BTreeSet;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use slab::Slab;

use super::EntryKey;
use crate::credentials::Credentials;
use crate::ecs::{Batch, ErrorKind, Ids, Region, ResourceId, TaskId};
use crate::reconcile::Next;
use crate::schedule::{BATCH, Pace, Rate, backoff};

/// How long a new id waits for company, so that a burst fills its batches; well under the 250 ms in which it is asked.
const FILL: Duration = Duration::from_millis(50);

/// Calls that may come at once after a pause: a new task need not wait for the beat that was just asked.
const BURST: u32 = 2;

/// One lane.
pub(super) struct Lane {
    pub(super) region: Region,
    pub(super) credentials: Arc<Credentials>,
    subjects: Slab<Subject>,
    by_id: HashMap<SubjectId, usize>,
    tasks: Ring,
    resources: Ring,
    rate: Rate,
    health: Health,
    in_flight: usize,
    most_in_flight: usize,
    interval: Duration,
}

/// What the cloud is asked about.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum SubjectId {
    Task(TaskId),
    Resource(ResourceId),
}

/// One id and the ImageTasks that follow it.
struct Subject {
    id: SubjectId,
    followers: Vec<EntryKey>,
    place: Place,
    /// Steps of slowing down taken so far.
    slowed: u32,
    /// When it was last asked out of turn.
    extra: Option<Duration>,
}

/// Where an id waits, and since or until when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Express(Duration),
    Round(Duration),
    Later(Duration, Company),
    Alone(Duration),
    /// In a half of a batch that failed.
    Half,
    /// Being asked; `again`: it is wanted anew since.
    Flying { again: bool },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Company {
    Any,
    Alone,
}

/// The ids of one kind: task ids and image ids never share a call.
#[derive(Default)]
struct Ring {
    /// New and poked ones, by arrival.
    express: BTreeSet<(Duration, usize)>,
    /// The regular ones, by the moment they are due.
    round: BTreeSet<(Duration, usize)>,
    /// Those that are asked slowly, by the moment they are due.
    later: BTreeSet<(Duration, usize)>,
    /// Those that are asked alone, by the moment they are due.
    alone: BTreeSet<(Duration, usize)>,
    /// Halves of batches that failed.
    halves: Vec<Vec<usize>>,
    /// When the next regular call may come, so that calls spread over the interval.
    next_round: Duration,
    /// All ids of this kind.
    members: usize,
}

enum Health {
    /// The last call was answered.
    Well,
    /// The lane as a whole fails: single probes, ever more rarely.
    Probing {
        kind: ErrorKind,
        since: Duration,
        step: u32,
        /// When the last failure was told; calls begun before it are no probes.
        told: Duration,
        next: Duration,
    },
}

/// One question, to be put now.
pub(super) struct Question {
    pub(super) subjects: Vec<usize>,
    pub(super) batch: Batch,
    /// How late the id is that waited longest.
    pub(super) lag: Duration,
}

/// What a lane does next.
pub(super) enum Turn {
    Ask(Question),
    /// Nothing before this moment; `None`: nothing before an answer or a new id comes.
    Wait(Option<Duration>),
}

impl Lane {
    pub(super) fn new(region: Region, credentials: Arc<Credentials>, qps: f64, interval: Duration) -> Self {
        Self {
            region,
            credentials,
            subjects: Slab::new(),
            by_id: HashMap::new(),
            tasks: Ring::default(),
            resources: Ring::default(),
            rate: Rate::new(qps, BURST),
            health: Health::Well,
            in_flight: 0,
            // Calls that take up to 2 s do not lower the rate; a hanging lane holds no more.
            most_in_flight: (qps * 2.0).ceil().max(2.0) as usize,
            interval,
        }
    }

    /// Whether nobody follows anything here any more.
    pub(super) fn is_empty(&self) -> bool {
        self.subjects.is_empty()
    }

    /// Whether the lane as a whole fails.
    pub(super) fn is_probing(&self) -> bool {
        matches!(self.health, Health::Probing { .. })
    }

    /// Whether its ids need more calls than its rate allows.
    pub(super) fn is_behind(&self, qps: f64) -> bool {
        let calls = self.tasks.regular().div_ceil(BATCH) + self.resources.regular().div_ceil(BATCH);
        calls as f64 > qps * self.interval.as_secs_f64()
    }

    /// Everyone who follows something here.
    pub(super) fn followers(&self) -> Vec<EntryKey> {
        self.subjects.iter().flat_map(|(_, subject)| subject.followers.iter().copied()).collect()
    }

    /// Adds a follower; a new id is due at `due`, or at once where that is `None`.
    pub(super) fn follow(&mut self, id: SubjectId, follower: EntryKey, due: Option<Duration>, now: Duration) -> usize {
        if let Some(&key) = self.by_id.get(&id) {
            self.subjects[key].followers.push(follower);
            if due.is_none() {
                self.hurry(key, now);
            }
            return key;
        }
        let place = due.map_or(Place::Express(now), Place::Round);
        let subject =
            Subject { id: id.clone(), followers: vec![follower], place: Place::Half, slowed: 0, extra: None };
        let key = self.subjects.insert(subject);
        self.by_id.insert(id, key);
        self.ring_of(key).members += 1;
        self.place(key, place);
        key
    }

    /// Takes a follower away.
    pub(super) fn unfollow(&mut self, key: usize, follower: EntryKey) {
        let subject = &mut self.subjects[key];
        subject.followers.retain(|other| *other != follower);
        // One that is being asked, alone or in a half, goes when the answer comes.
        if subject.followers.is_empty() && !matches!(subject.place, Place::Flying { .. } | Place::Half) {
            self.forget(key);
        }
    }

    /// Asks for one look out of turn; no more than one in an interval.
    pub(super) fn poke(&mut self, key: usize, now: Duration) {
        let subject = &mut self.subjects[key];
        if subject.extra.is_none_or(|last| now >= last + self.interval) {
            subject.extra = Some(now);
            self.hurry(key, now);
        }
    }

    /// The next question, if one may be put now.
    pub(super) fn turn(&mut self, now: Duration) -> Turn {
        self.promote(now);
        if let Health::Probing { next, .. } = self.health {
            if self.in_flight > 0 {
                return Turn::Wait(None);
            }
            if now < next {
                return Turn::Wait(Some(next));
            }
        }
        if self.in_flight >= self.most_in_flight {
            return Turn::Wait(None);
        }
        let ready = self.rate.ready_at();
        let wait = [&self.tasks, &self.resources].into_iter().filter_map(|ring| ring.next_at()).min();
        match wait {
            None => Turn::Wait(None),
            Some(at) if at.max(ready) > now => Turn::Wait(Some(at.max(ready))),
            Some(_) => self.ask(now),
        }
    }

    /// Those who follow one of the ids that were asked.
    pub(super) fn followers_of(&self, key: usize) -> &[EntryKey] {
        &self.subjects[key].followers
    }

    /// The id that was asked.
    pub(super) fn id_of(&self, key: usize) -> &SubjectId {
        &self.subjects[key].id
    }

    /// An answer came: the lane is well.
    pub(super) fn answered(&mut self) {
        self.in_flight -= 1;
        self.health = Health::Well;
        self.rate.recover();
    }

    /// This very question was refused; the lane answers. Returns the id that was alone in it, if one was.
    pub(super) fn refused(&mut self, mut subjects: Vec<usize>) -> Option<usize> {
        self.in_flight -= 1;
        self.health = Health::Well;
        if subjects.len() == 1 {
            return subjects.pop();
        }
        let right = subjects.split_off(subjects.len() / 2);
        for half in [subjects, right] {
            for &key in &half {
                self.subjects[key].place = Place::Half;
            }
            self.ring_of(half[0]).halves.push(half);
        }
        None
    }

    /// The lane as a whole failed: what was asked is due again, after a probe. Returns since when the trouble lasts.
    pub(super) fn failed(&mut self, subjects: Vec<usize>, kind: ErrorKind, begun: Duration, now: Duration) -> Duration {
        self.in_flight -= 1;
        for key in subjects {
            self.put_back(key, now);
        }
        if let ErrorKind::Throttled { retry_after } = kind {
            self.rate.throttled(now + retry_after.unwrap_or_default());
        }
        let (since, step) = match self.health {
            Health::Well => (now, 0),
            Health::Probing { since, told, .. } if begun < told => return since,
            Health::Probing { since, step, kind: before, .. } => {
                (if before.label() == kind.label() { since } else { now }, step + 1)
            }
        };
        let earliest = match kind {
            ErrorKind::Throttled { retry_after } => retry_after.unwrap_or_default(),
            ErrorKind::Unavailable
            | ErrorKind::CredentialsInvalid
            | ErrorKind::Clock
            | ErrorKind::AccessDenied
            | ErrorKind::Rejected => Duration::ZERO,
        };
        let next = now + backoff(self.interval, step).max(earliest);
        self.health = Health::Probing { kind, since, step, told: now, next };
        since
    }

    /// Puts an id that was asked at `begun` where it waits for its next look.
    pub(super) fn settle(&mut self, key: usize, next: Next, begun: Duration, now: Duration) {
        let again = matches!(self.subjects[key].place, Place::Flying { again: true });
        let subject = &mut self.subjects[key];
        if subject.followers.is_empty() {
            return self.forget(key);
        }
        let slow = backoff(self.interval, subject.slowed);
        let place = match next {
            _ if again => Place::Express(now),
            Next::Alone => Place::Alone(now),
            Next::Beat | Next::Never => Place::Round(begun + self.interval),
            Next::Slowly => Place::Later(begun + slow, Company::Any),
            Next::SlowlyAlone => Place::Later(begun + slow, Company::Alone),
        };
        subject.slowed = match place {
            Place::Later(..) => subject.slowed + 1,
            Place::Express(_) | Place::Round(_) | Place::Alone(_) | Place::Half | Place::Flying { .. } => 0,
        };
        self.place(key, place);
    }

    /// An id that was asked without a result is due again at once, when the lane allows.
    pub(super) fn put_back(&mut self, key: usize, now: Duration) {
        if self.subjects[key].followers.is_empty() {
            return self.forget(key);
        }
        self.place(key, Place::Round(now));
    }

    fn ask(&mut self, now: Duration) -> Turn {
        let due = |ring: &Ring| ring.next_at().is_some_and(|at| at <= now);
        // The kind that waited longer goes first.
        let tasks_first = self.tasks.next_at() <= self.resources.next_at();
        let ring = match due(&self.tasks) && (tasks_first || !due(&self.resources)) {
            true => &mut self.tasks,
            false => &mut self.resources,
        };
        let (subjects, oldest) = ring.pick(now, self.interval);
        for &key in &subjects {
            self.subjects[key].place = Place::Flying { again: false };
        }
        let Some(batch) = self.batch(&subjects) else { return Turn::Wait(Some(now)) };
        self.rate.take(now);
        self.in_flight += 1;
        Turn::Ask(Question { subjects, batch, lag: now.saturating_sub(oldest) })
    }

    fn batch(&self, subjects: &[usize]) -> Option<Batch> {
        let mut tasks = Vec::new();
        let mut resources = Vec::new();
        for &key in subjects {
            match &self.subjects[key].id {
                SubjectId::Task(id) => tasks.push(id.clone()),
                SubjectId::Resource(id) => resources.push(id.clone()),
            }
        }
        Ids::new(tasks).map(Batch::Tasks).or_else(|| Ids::new(resources).map(Batch::Resources))
    }

    /// Moves what was asked slowly to where it is asked now.
    fn promote(&mut self, now: Duration) {
        for ring in [&mut self.tasks, &mut self.resources] {
            while let Some(&(due, key)) = ring.later.first().filter(|(due, _)| *due <= now) {
                ring.later.pop_first();
                let subject = &mut self.subjects[key];
                let alone = matches!(subject.place, Place::Later(_, Company::Alone));
                subject.place = if alone { Place::Alone(due) } else { Place::Express(due) };
                let queue = if alone { &mut ring.alone } else { &mut ring.express };
                queue.insert((due, key));
            }
        }
    }

    fn hurry(&mut self, key: usize, now: Duration) {
        match self.subjects[key].place {
            Place::Flying { .. } => self.subjects[key].place = Place::Flying { again: true },
            Place::Express(_) | Place::Alone(_) | Place::Half => {}
            Place::Round(_) | Place::Later(..) => {
                self.displace(key);
                self.place(key, Place::Express(now));
            }
        }
    }

    fn place(&mut self, key: usize, place: Place) {
        self.subjects[key].place = place;
        let ring = self.ring_of(key);
        match place {
            Place::Express(at) => ring.express.insert((at, key)),
            Place::Round(at) => ring.round.insert((at, key)),
            Place::Later(at, _) => ring.later.insert((at, key)),
            Place::Alone(at) => ring.alone.insert((at, key)),
            Place::Half | Place::Flying { .. } => false,
        };
    }

    fn displace(&mut self, key: usize) {
        let place = self.subjects[key].place;
        let ring = self.ring_of(key);
        match place {
            Place::Express(at) => ring.express.remove(&(at, key)),
            Place::Round(at) => ring.round.remove(&(at, key)),
            Place::Later(at, _) => ring.later.remove(&(at, key)),
            Place::Alone(at) => ring.alone.remove(&(at, key)),
            Place::Half | Place::Flying { .. } => false,
        };
    }

    fn forget(&mut self, key: usize) {
        self.displace(key);
        self.ring_of(key).members -= 1;
        let subject = self.subjects.remove(key);
        self.by_id.remove(&subject.id);
    }

    fn ring_of(&mut self, key: usize) -> &mut Ring {
        match self.subjects[key].id {
            SubjectId::Task(_) => &mut self.tasks,
            SubjectId::Resource(_) => &mut self.resources,
        }
    }
}

impl Ring {
    /// The ids that are asked once in an interval.
    fn regular(&self) -> usize {
        self.members - self.later.len() - self.alone.len()
    }

    /// When there is something to ask next.
    fn next_at(&self) -> Option<Duration> {
        if !self.halves.is_empty() {
            return Some(Duration::ZERO);
        }
        let first = |set: &BTreeSet<(Duration, usize)>| set.first().map(|(at, _)| *at);
        let express = first(&self.express).map(|at| if self.express.len() >= BATCH { at } else { at + FILL });
        let round = first(&self.round).map(|at| at.max(self.next_round));
        [express, round, first(&self.alone), first(&self.later)].into_iter().flatten().min()
    }

    /// Takes the ids of the next question, and since when the oldest of them is due.
    fn pick(&mut self, now: Duration, interval: Duration) -> (Vec<usize>, Duration) {
        if let Some(half) = self.halves.pop() {
            return (half, now);
        }
        if let Some((due, key)) = take_due(&mut self.alone, now, 1).pop() {
            return (vec![key], due);
        }
        let express = take_due(&mut self.express, now, BATCH);
        if !express.is_empty() {
            return split(express, now);
        }
        let pace = Pace::of(self.regular(), interval);
        self.next_round = self.next_round.max(now.saturating_sub(pace.spacing)) + pace.spacing;
        let mut round = take_due(&mut self.round, now, BATCH);
        // Filling up with what is due soon keeps the batches full and the calls at their least.
        while round.len() < pace.share {
            let Some(early) = self.round.pop_first() else { break };
            round.push(early);
        }
        split(round, now)
    }
}

fn take_due(queue: &mut BTreeSet<(Duration, usize)>, now: Duration, most: usize) -> Vec<(Duration, usize)> {
    let mut taken = Vec::new();
    while taken.len() < most && queue.first().is_some_and(|(due, _)| *due <= now) {
        taken.extend(queue.pop_first());
    }
    taken
}

fn split(taken: Vec<(Duration, usize)>, now: Duration) -> (Vec<usize>, Duration) {
    let oldest = taken.first().map_or(now, |(due, _)| *due);
    (taken.into_iter().map(|(_, key)| key).collect(), oldest)
}
