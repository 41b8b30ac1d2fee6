//! The ids of one kind in a lane, in the queues in which they wait for their next look.
//!
//! ```text
//! new, poked ─▶ Express ─┐                     ┌─ next interval ─▶ Round
//! next beat ──▶ Round ───┼─ request ─▶ Flying ─┼─ slowly ────────▶ Later ── due ─▶ Express
//!              Isolated ─┤       ▲             ├─ refused ───────▶ Isolated(slowly)
//!              Alone ────┤       │             └─ alone ─────────▶ Alone(now)
//!              Part ─────┴───────┘
//!                └── parts of a request that failed
//! ```
//!
//! Express and Round of a namespace of which some id makes requests fail are queues of their own ([`Unsettled`]).

use std::collections::VecDeque;
use std::time::Duration;

use super::directory::Tenant;
use super::isolation::Isolation;
use super::sent::Sent;
use super::turns::{Turns, Waiting};
use super::unsettled::Unsettled;
use crate::clock::Moment;
use crate::schedule::{BATCH, Pace, Tempo};

/// How long a new id waits for company, so that a burst fills its batches; well under the 250 ms in which it is asked.
const FILL: Duration = Duration::from_millis(50);

/// Where an id waits, and since or until when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// New or poked: asked ahead of the rest.
    Express(Moment),
    /// Asked once in an interval.
    Round(Moment),
    /// Asked slowly, then ahead of the rest.
    Later(Moment),
    /// Refused: asked slowly, without those that are well.
    Isolated(Moment),
    /// Asked with no other id in the same question.
    Alone(Moment),
    /// In a part of a request that failed.
    Part,
    /// Being asked; `again`: it is wanted anew since, at that moment.
    Flying { again: Option<Moment> },
}

/// The queues, each by the moment its ids are due.
#[derive(Default)]
pub(super) struct Ring {
    express: Turns,
    round: Turns,
    later: Turns,
    alone: Turns,
    /// Parts of requests that failed, of several namespaces; first in, first out.
    parts: VecDeque<Vec<u32>>,
    /// What may make requests fail.
    pub(super) isolation: Isolation,
    pub(super) unsettled: Unsettled,
    /// When the next regular call may come, so that calls spread over the interval.
    next_round: Duration,
    /// With new ids and regular ones in need they take turns, so neither keeps the other waiting.
    last_was_express: bool,
    /// So do ids that heal.
    last_was_healing: bool,
    /// The kind of the last request for what may make requests fail.
    last_special: usize,
    /// All ids of this kind, wherever they are.
    pub(super) members: usize,
}

/// The ids of the next question.
pub(super) struct Picked {
    pub(super) subjects: Vec<u32>,
    pub(super) sent: Sent,
    /// When the one that waited longest was due; none where there is no schedule.
    pub(super) due: Option<Duration>,
}

impl Ring {
    /// Puts an id into the queue of its place; `suspect`: it may be what makes the requests of its namespace fail.
    pub(super) fn enter(&mut self, subject: u32, tenant: Tenant, place: Place, suspect: bool) {
        match place {
            Place::Express(due) | Place::Round(due) if suspect => self.unsettled.insert(tenant, (due, subject)),
            Place::Express(due) => self.express.insert(tenant, (due, subject)),
            Place::Round(due) => self.round.insert(tenant, (due, subject)),
            Place::Later(due) => self.later.insert(tenant, (due, subject)),
            Place::Isolated(due) => self.isolation.insert(tenant, (due, subject)),
            Place::Alone(due) => self.alone.insert(tenant, (due, subject)),
            Place::Part | Place::Flying { .. } => {}
        }
    }

    /// Takes an id out of the queue of its place.
    pub(super) fn leave(&mut self, subject: u32, tenant: Tenant, place: Place, suspect: bool) {
        match place {
            Place::Express(due) | Place::Round(due) if suspect => self.unsettled.remove(tenant, (due, subject)),
            Place::Express(due) => self.express.remove(tenant, (due, subject)),
            Place::Round(due) => self.round.remove(tenant, (due, subject)),
            Place::Later(due) => self.later.remove(tenant, (due, subject)),
            Place::Isolated(due) => self.isolation.remove(tenant, (due, subject)),
            Place::Alone(due) => self.alone.remove(tenant, (due, subject)),
            Place::Part | Place::Flying { .. } => {}
        }
    }

    /// Takes the first id out whose slow pause is over.
    pub(super) fn next_woken(&mut self, now: Duration) -> Option<u32> {
        self.later.take_due(now.into(), 1).pop().map(|(_, subject)| subject)
    }

    /// Takes out what waits with the ids of others.
    pub(super) fn take_shared(&mut self, tenant: Tenant) -> Vec<u32> {
        let express = self.express.take_from(tenant, usize::MAX, Moment::MAX);
        let round = self.round.take_from(tenant, usize::MAX, Moment::MAX);
        express.into_iter().chain(round).map(|(_, subject)| subject).collect()
    }

    /// Has a part of a request that failed asked before whatever else is shared.
    pub(super) fn add_part(&mut self, part: Vec<u32>) {
        self.parts.push_back(part);
    }

    /// Whether parts of requests that failed are to be asked for.
    pub(super) fn has_parts(&self) -> bool {
        !self.parts.is_empty()
    }

    /// Gives up on all parts of requests that failed.
    pub(super) fn take_parts(&mut self) -> Vec<u32> {
        let shared = std::mem::take(&mut self.parts).into_iter().flatten();
        shared.chain(self.unsettled.take_parts()).chain(self.isolation.take_parts()).collect()
    }

    /// The ids that are asked with those of others.
    pub(super) fn shared(&self) -> usize {
        self.members - self.alone.len() - self.isolation.len() - self.unsettled.len()
    }

    /// Those of them that are asked once in an interval.
    pub(super) fn regular(&self) -> usize {
        self.shared() - self.later.len()
    }

    /// The id of a namespace that is to be asked first, those that were refused last.
    pub(super) fn first_of(&self, tenant: Tenant) -> Option<u32> {
        let queues = [&self.express, &self.round, &self.later];
        let well = queues.into_iter().find_map(|queue| queue.first_of(tenant));
        let suspect = || self.unsettled.first_of(tenant);
        let refused = || self.alone.first_of(tenant).or_else(|| self.isolation.first_of(tenant));
        well.or_else(suspect).or_else(refused)
    }

    /// When there is something to ask for next that is well.
    pub(super) fn shared_at(&self) -> Option<Duration> {
        if self.has_parts() || self.isolation.has_proven() {
            return Some(Duration::ZERO);
        }
        let round = self.round.first().map(|due| due.max(self.next_round));
        [self.express_at(), round].into_iter().flatten().min()
    }

    /// When there is something to ask for next that may make requests fail.
    pub(super) fn special_at(&self) -> Option<Duration> {
        let due = [self.unsettled.next_at(), self.isolation.next_at(), self.alone.first(), self.scout_at()];
        due.into_iter().flatten().min()
    }

    /// When the next slow pause is over.
    pub(super) fn later_at(&self) -> Option<Duration> {
        self.later.first()
    }

    /// Takes the ids of the next question about what is well; none where nothing is due.
    pub(super) fn pick_shared(&mut self, now: Duration, tempo: &Tempo) -> Option<Picked> {
        if let Some(subjects) = self.parts.pop_front() {
            return Some(Picked { subjects, sent: Sent::Shared, due: Some(now) });
        }
        let heals = self.isolation.has_proven();
        if heals && !self.last_was_healing {
            self.last_was_healing = true;
            return Some(self.pick_healing());
        }
        self.last_was_healing = false;
        self.pick_well(now, tempo).or_else(|| heals.then(|| self.pick_healing()))
    }

    fn pick_healing(&mut self) -> Picked {
        Picked { subjects: self.isolation.take_proven(), sent: Sent::Healing, due: None }
    }

    fn pick_well(&mut self, now: Duration, tempo: &Tempo) -> Option<Picked> {
        let taken =
            if self.is_late(now, tempo) { self.take_oldest(now) } else { self.take_in_turn(now, tempo.interval) };
        let due = taken.iter().map(|(due, _)| (*due).into()).min()?;
        let subjects = taken.into_iter().map(|(_, subject)| subject).collect();
        Some(Picked { subjects, sent: Sent::Shared, due: Some(due) })
    }

    /// Whether turns let the oldest wait for too long: each id is to be asked within an interval, and a call for every hundred
    /// ids of the lane, of its turn. What comes after the oldest needs time besides.
    fn is_late(&self, now: Duration, tempo: &Tempo) -> bool {
        let waited = |due: Option<Duration>| due.map_or(Duration::ZERO, |due| now.saturating_sub(due));
        let others = tempo.calls.saturating_sub(self.express.len().div_ceil(BATCH));
        waited(self.express.first()) > tempo.interval + tempo.time_of(others)
            || waited(self.round.first()) > tempo.time_of(tempo.calls)
    }

    /// Takes what has waited longest, whosever it is.
    fn take_oldest(&mut self, now: Duration) -> Vec<Waiting> {
        let mut taken = Vec::new();
        while taken.len() < BATCH {
            let of_express = self.express.first().filter(|due| *due <= now);
            let of_round = self.round.first().filter(|due| *due <= now);
            let oldest = match (of_express, of_round) {
                (None, None) => break,
                (Some(express), Some(round)) if round < express => &mut self.round,
                (Some(_), _) => &mut self.express,
                (None, Some(_)) => &mut self.round,
            };
            taken.extend(oldest.take_early());
        }
        taken
    }

    /// Takes new ids and regular ones in turn, each from their namespaces in turn.
    fn take_in_turn(&mut self, now: Duration, interval: Duration) -> Vec<Waiting> {
        let express_first = !self.last_was_express;
        let taken = if express_first { self.take_express(now) } else { self.take_round(now, interval) };
        let is_first = !taken.is_empty();
        self.last_was_express = express_first == is_first;
        match is_first {
            true => taken,
            false if express_first => self.take_round(now, interval),
            false => self.take_express(now),
        }
    }

    /// Takes the ids of the next question about what may make requests fail; none where nothing is due.
    pub(super) fn pick_special(&mut self, now: Duration) -> Option<Picked> {
        if self.scout_at().is_some_and(|at| at <= now) {
            self.isolation.scout_some(now);
        }
        (1..=4).find_map(|turn| {
            let kind = (self.last_special + turn) % 4;
            let (sent, subjects) = match kind {
                0 => self.unsettled.take(now).map(|(tenant, ids)| (Sent::Unsettled(tenant), ids))?,
                1 => (Sent::Isolated, self.isolation.take(now)),
                // What was just answered comes back sooner than attackers are found.
                3 if self.isolation.heals() => (Sent::Isolated, self.isolation.take(now)),
                3 => return None,
                _ => (Sent::Alone, self.alone.take_due(now.into(), 1).into_iter().map(|(_, id)| id).collect()),
            };
            if subjects.is_empty() {
                return None;
            }
            self.last_special = kind;
            Some(Picked { subjects, sent, due: None })
        })
    }

    fn scout_at(&self) -> Option<Duration> {
        self.isolation.scout_at().filter(|_| self.regular() == 0)
    }

    fn express_at(&self) -> Option<Duration> {
        let company = if self.express.len() < BATCH { FILL } else { Duration::ZERO };
        self.express.first().map(|due| due + company)
    }

    fn take_express(&mut self, now: Duration) -> Vec<Waiting> {
        match self.express_at() {
            Some(at) if at <= now => self.express.take_due(now.into(), BATCH),
            Some(_) | None => Vec::new(),
        }
    }

    fn take_round(&mut self, now: Duration, interval: Duration) -> Vec<Waiting> {
        if self.round.first().is_none_or(|due| due.max(self.next_round) > now) {
            return Vec::new();
        }
        let pace = Pace::of(self.regular(), interval);
        // A ring that fell behind catches up by one spacing at most, not by a burst.
        self.next_round = self.next_round.max(now.saturating_sub(pace.spacing)) + pace.spacing;
        let mut round = self.round.take_due(now.into(), BATCH);
        // Filling up with what is due soon keeps batches full and calls at their least.
        while round.len() < pace.share.min(BATCH) {
            let Some(early) = self.round.take_early() else { break };
            round.push(early);
        }
        round
    }
}
