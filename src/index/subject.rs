//! One id that the cloud is asked about, and the ImageTasks that follow it.

use std::time::Duration;

use super::EntryKey;
use super::ring::{Company, Place};
use crate::ecs::{ResourceId, TaskId};
use crate::reconcile::Next;
use crate::schedule::backoff;

/// What the cloud is asked about.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum SubjectId {
    Task(TaskId),
    Resource(ResourceId),
}

/// One id and the ImageTasks that follow it.
pub(super) struct Subject {
    pub(super) id: SubjectId,
    pub(super) followers: Vec<EntryKey>,
    pub(super) place: Place,
    /// Steps of slowing down taken so far.
    slowed: u32,
    /// When it was last asked out of turn.
    extra: Option<Duration>,
}

impl Subject {
    /// One that nobody asked about yet.
    pub(super) fn new(id: SubjectId, follower: EntryKey, place: Place) -> Self {
        Self { id, followers: vec![follower], place, slowed: 0, extra: None }
    }

    /// Whether it may be asked out of turn at `now`, which it then counts as: once in an interval.
    pub(super) fn take_poke(&mut self, now: Duration, interval: Duration) -> bool {
        let may = self.extra.is_none_or(|last| now >= last + interval);
        if may {
            self.extra = Some(now);
        }
        may
    }

    /// Where it waits for its next look after one that began at `begun`.
    pub(super) fn next_place(&mut self, next: Next, begun: Duration, now: Duration, interval: Duration) -> Place {
        let slow = begun + backoff(interval, self.slowed);
        let place = match (self.place, next) {
            (Place::Flying { again: true }, _) => Place::Express(now),
            (_, Next::Alone) => Place::Alone(now),
            (_, Next::Beat | Next::Never) => Place::Round(begun + interval),
            (_, Next::Slowly) => Place::Later(slow, Company::Any),
            (_, Next::SlowlyAlone) => Place::Later(slow, Company::None),
        };
        self.slowed = if matches!(place, Place::Later(..)) { self.slowed + 1 } else { 0 };
        place
    }
}
