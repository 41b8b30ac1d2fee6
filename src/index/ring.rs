//! The ids of one kind in a lane, in the queues in which they wait for their next look.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::schedule::{BATCH, Pace};

/// How long a new id waits for company, so that a burst fills its batches; well under the 250 ms in which it is asked.
const FILL: Duration = Duration::from_millis(50);

/// Where an id waits, and since or until when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// New or poked: asked ahead of the rest.
    Express(Duration),
    /// Asked once in an interval.
    Round(Duration),
    /// Asked slowly; then ahead of the rest, with others or alone.
    Later(Duration, Company),
    /// Asked with no other id in the same question.
    Alone(Duration),
    /// In a part of a batch that was refused.
    Part,
    /// Being asked; `again`: it is wanted anew since, at that moment.
    Flying { again: Option<Duration> },
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
    express: BTreeSet<Waiting>,
    round: BTreeSet<Waiting>,
    later: BTreeSet<Waiting>,
    alone: BTreeSet<Waiting>,
    /// Parts of batches that were refused, to be asked before anything else.
    parts: Vec<Vec<u32>>,
    /// When the next regular call may come, so that calls spread over the interval.
    next_round: Duration,
    /// The last call went past regular ids that were due, so the next is theirs.
    owed: bool,
    /// All ids of this kind, wherever they are.
    pub(super) members: usize,
}

type Waiting = (Duration, u32);

/// The ids of the next question.
pub(super) struct Picked {
    pub(super) subjects: Vec<u32>,
    /// When the one that waited longest was due.
    pub(super) due: Duration,
}

impl Ring {
    /// Puts an id into the queue of its place.
    pub(super) fn enter(&mut self, subject: u32, place: Place) {
        if let Some((queue, due)) = self.queue(place) {
            queue.insert((due, subject));
        }
    }

    /// Takes an id out of the queue of its place.
    pub(super) fn leave(&mut self, subject: u32, place: Place) {
        if let Some((queue, due)) = self.queue(place) {
            queue.remove(&(due, subject));
        }
    }

    /// Takes the first id out whose slow pause is over.
    pub(super) fn next_woken(&mut self, now: Duration) -> Option<u32> {
        take_due(&mut self.later, now, 1).pop().map(|(_, subject)| subject)
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
        let first = |queue: &BTreeSet<Waiting>| queue.first().map(|(due, _)| *due);
        let company = if self.express.len() < BATCH { FILL } else { Duration::ZERO };
        let express = first(&self.express).map(|due| due + company);
        let round = first(&self.round).map(|due| due.max(self.next_round));
        [express, round, first(&self.alone), first(&self.later)].into_iter().flatten().min()
    }

    /// Takes the ids of the next question, at most `most`; none where nothing is due.
    pub(super) fn pick(&mut self, now: Duration, interval: Duration, most: usize) -> Picked {
        if let Some(subjects) = self.parts.pop() {
            return Picked { subjects, due: now };
        }
        let round_is_due = self.round.first().is_some_and(|(due, _)| *due.max(&self.next_round) <= now);
        if !(round_is_due && self.owed) {
            let mut ahead = take_due(&mut self.alone, now, 1);
            if ahead.is_empty() {
                ahead = take_due(&mut self.express, now, most);
            }
            if !ahead.is_empty() {
                self.owed = round_is_due;
                return picked(ahead, now);
            }
        }
        self.owed = false;
        self.pick_round(now, interval, most)
    }

    fn pick_round(&mut self, now: Duration, interval: Duration, most: usize) -> Picked {
        let pace = Pace::of(self.regular(), interval);
        // A ring that fell behind catches up by one spacing at most, not by a burst.
        self.next_round = self.next_round.max(now.saturating_sub(pace.spacing)) + pace.spacing;
        let mut round = take_due(&mut self.round, now, most);
        // Filling up with what is due soon keeps batches full and calls at their least.
        while round.len() < pace.share.min(most) {
            let Some(early) = self.round.pop_first() else { break };
            round.push(early);
        }
        picked(round, now)
    }

    fn queue(&mut self, place: Place) -> Option<(&mut BTreeSet<Waiting>, Duration)> {
        match place {
            Place::Express(due) => Some((&mut self.express, due)),
            Place::Round(due) => Some((&mut self.round, due)),
            Place::Later(due, _) => Some((&mut self.later, due)),
            Place::Alone(due) => Some((&mut self.alone, due)),
            Place::Part | Place::Flying { .. } => None,
        }
    }
}

fn take_due(queue: &mut BTreeSet<Waiting>, now: Duration, most: usize) -> Vec<Waiting> {
    let mut taken = Vec::new();
    while taken.len() < most && queue.first().is_some_and(|(due, _)| *due <= now) {
        taken.extend(queue.pop_first());
    }
    taken
}

fn picked(taken: Vec<Waiting>, now: Duration) -> Picked {
    let due = taken.first().map_or(now, |(due, _)| *due);
    Picked { subjects: taken.into_iter().map(|(_, subject)| subject).collect(), due }
}
