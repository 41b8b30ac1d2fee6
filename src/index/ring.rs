//! The ids of one kind in a lane, in the queues in which they wait for their next look.

use std::time::Duration;

use super::directory::Tenant;
use super::turns::{Turns, Waiting};
use crate::clock::Moment;
use crate::schedule::{BATCH, Pace};

/// How long a new id waits for company, so that a burst fills its batches; well under the 250 ms in which it is asked.
const FILL: Duration = Duration::from_millis(50);

/// Where an id waits, and since or until when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// New or poked: asked ahead of the rest.
    Express(Moment),
    /// Asked once in an interval.
    Round(Moment),
    /// Asked slowly; then ahead of the rest, with others or alone.
    Later(Moment, Company),
    /// Asked with no other id in the same question.
    Alone(Moment),
    /// In a part of a batch that was refused.
    Part,
    /// Being asked; `again`: it is wanted anew since, at that moment.
    Flying { again: Option<Moment> },
}

/// With whom an id is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Company {
    Any,
    None,
}

/// The queues, each by the moment its ids are due.
#[derive(Default)]
pub(super) struct Ring {
    express: Turns,
    round: Turns,
    later: Turns,
    alone: Turns,
    /// Parts of batches that were refused.
    parts: Vec<Vec<u32>>,
    /// When the next regular call may come, so that calls spread over the interval.
    next_round: Duration,
    /// The queue of the last call: with more than one in need they take turns, so none keeps another waiting.
    last: Option<Queue>,
    /// All ids of this kind, wherever they are.
    pub(super) members: usize,
}

/// The queues that calls are made of.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Queue {
    Parts,
    Express,
    Alone,
    Round,
}

impl Queue {
    /// In the order of their turns.
    const ALL: [Self; 4] = [Self::Parts, Self::Express, Self::Alone, Self::Round];
}

/// The ids of the next question.
pub(super) struct Picked {
    pub(super) subjects: Vec<u32>,
    /// When the one that waited longest was due.
    pub(super) due: Duration,
}

impl Ring {
    /// Puts an id into the queue of its place.
    pub(super) fn enter(&mut self, subject: u32, tenant: Tenant, place: Place) {
        if let Some((queue, due)) = self.queue(place) {
            queue.insert(tenant, (due, subject));
        }
    }

    /// Takes an id out of the queue of its place.
    pub(super) fn leave(&mut self, subject: u32, tenant: Tenant, place: Place) {
        if let Some((queue, due)) = self.queue(place) {
            queue.remove(tenant, (due, subject));
        }
    }

    /// Takes the first id out whose slow pause is over.
    pub(super) fn next_woken(&mut self, now: Duration) -> Option<u32> {
        self.later.take_due(now.into(), 1).pop().map(|(_, subject)| subject)
    }

    /// Has a part of a refused batch asked next.
    pub(super) fn add_part(&mut self, part: Vec<u32>) {
        self.parts.push(part);
    }

    /// Gives up on the parts of refused batches.
    pub(super) fn take_parts(&mut self) -> Vec<u32> {
        std::mem::take(&mut self.parts).concat()
    }

    /// The ids that are asked once in an interval.
    pub(super) fn regular(&self) -> usize {
        self.members - self.later.len() - self.alone.len()
    }

    /// When there is something to ask next.
    pub(super) fn next_at(&self) -> Option<Duration> {
        if !self.parts.is_empty() {
            return Some(Duration::ZERO);
        }
        let company = if self.express.len() < BATCH { FILL } else { Duration::ZERO };
        let express = self.express.first().map(|due| due + company);
        let round = self.round.first().map(|due| due.max(self.next_round));
        [express, round, self.alone.first(), self.later.first()].into_iter().flatten().min()
    }

    /// Takes the ids of the next question, at most `most`; none where nothing is due.
    pub(super) fn pick(&mut self, now: Duration, interval: Duration, most: usize) -> Picked {
        let mut turns = Queue::ALL;
        let last = Queue::ALL.into_iter().position(|queue| Some(queue) == self.last);
        turns.rotate_left(last.map_or(0, |last| last + 1));
        let picks = |queue: Queue| {
            let taken = self.take(queue, now, interval, most);
            (!taken.is_empty()).then_some((queue, taken))
        };
        let picked = turns.into_iter().find_map(picks);
        self.last = picked.as_ref().map(|(queue, _)| *queue);
        let taken = picked.map(|(_, taken)| taken).unwrap_or_default();
        let due = taken.iter().map(|(due, _)| (*due).into()).min().unwrap_or(now);
        Picked { subjects: taken.into_iter().map(|(_, subject)| subject).collect(), due }
    }

    fn take(&mut self, queue: Queue, now: Duration, interval: Duration, most: usize) -> Vec<Waiting> {
        match queue {
            Queue::Parts => {
                self.parts.pop().unwrap_or_default().into_iter().map(|subject| (now.into(), subject)).collect()
            }
            Queue::Express => self.express.take_due(now.into(), most),
            Queue::Alone => self.alone.take_due(now.into(), 1),
            Queue::Round => self.take_round(now, interval, most),
        }
    }

    fn take_round(&mut self, now: Duration, interval: Duration, most: usize) -> Vec<Waiting> {
        if self.round.first().is_none_or(|due| due.max(self.next_round) > now) {
            return Vec::new();
        }
        let pace = Pace::of(self.regular(), interval);
        // A ring that fell behind catches up by one spacing at most, not by a burst.
        self.next_round = self.next_round.max(now.saturating_sub(pace.spacing)) + pace.spacing;
        let mut round = self.round.take_due(now.into(), most);
        // Filling up with what is due soon keeps batches full and calls at their least.
        while round.len() < pace.share.min(most) {
            let Some(early) = self.round.take_early() else { break };
            round.push(early);
        }
        round
    }

    fn queue(&mut self, place: Place) -> Option<(&mut Turns, Moment)> {
        match place {
            Place::Express(due) => Some((&mut self.express, due)),
            Place::Round(due) => Some((&mut self.round, due)),
            Place::Later(due, _) => Some((&mut self.later, due)),
            Place::Alone(due) => Some((&mut self.alone, due)),
            Place::Part | Place::Flying { .. } => None,
        }
    }
}
