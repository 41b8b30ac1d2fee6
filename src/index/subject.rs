//! One id that the cloud is asked about, and the ImageTasks that follow it.

use std::time::Duration;

use smallvec::{SmallVec, smallvec};

use super::EntryKey;
use super::directory::Tenant;
use super::ring::Place;
use crate::clock::Moment;
use crate::ecs::{ResourceId, TaskId};
use crate::reconcile::Next;
use crate::schedule::backoff;

/// What the cloud is asked about.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum SubjectId {
    Task(TaskId),
    Resource(ResourceId),
}

/// An ImageTask that follows an id, and whose it is.
#[derive(Clone, Copy)]
pub(super) struct Follower {
    pub(super) entry: EntryKey,
    pub(super) tenant: Tenant,
}

/// What is known of an id before it is asked for.
#[derive(Clone, Copy, Default)]
pub(super) struct Known {
    /// A stored status says that it was refused.
    pub(super) refused: bool,
    /// A stored status holds a word of the cloud.
    pub(super) answered: bool,
}

/// One id and the ImageTasks that follow it.
pub(super) struct Subject {
    pub(super) id: SubjectId,
    /// Mostly one.
    pub(super) followers: SmallVec<[Follower; 1]>,
    /// In whose turn it is asked.
    pub(super) tenant: Tenant,
    pub(super) place: Place,
    /// Steps of slowing down taken so far.
    slowed: u16,
    /// When it was last asked out of turn, or will be.
    extra: Option<Moment>,
    /// It was refused, and no answer has healed that yet.
    isolated: bool,
    /// It was answered once, so it can tell whether the lane is at fault.
    answered: bool,
    /// It may be what makes the requests of its namespace fail.
    pub(super) suspect: bool,
}

impl Subject {
    /// One that nobody asked about yet.
    pub(super) fn new(id: SubjectId, follower: Follower, place: Place, known: Known) -> Self {
        Self {
            id,
            followers: smallvec![follower],
            tenant: follower.tenant,
            place,
            slowed: 0,
            extra: None,
            isolated: known.refused,
            answered: known.answered,
            suspect: false,
        }
    }

    /// The ImageTasks that follow it.
    pub(super) fn entries(&self) -> impl Iterator<Item = EntryKey> {
        self.followers.iter().map(|follower| follower.entry)
    }

    /// Whether it was answered once, and is not refused since.
    pub(super) fn is_good(&self) -> bool {
        self.answered && !self.isolated
    }

    /// Whether it was answered once.
    pub(super) fn was_answered(&self) -> bool {
        self.answered
    }

    /// It is asked alone from now on, though nobody knows whether it is what makes requests fail.
    pub(super) fn isolate(&mut self) {
        (self.isolated, self.suspect) = (true, false);
    }

    /// When it may next be asked out of turn, which it then counts as: once in an interval.
    pub(super) fn take_poke(&mut self, now: Duration, interval: Duration) -> Duration {
        let moment = match self.extra.map(Duration::from) {
            // One that is still to come serves all who ask until then.
            Some(coming) if coming > now => coming,
            Some(last) => now.max(last + interval),
            None => now,
        };
        self.extra = Some(moment.into());
        moment
    }

    /// Where it waits when it was asked without a result: as before, but one that was refused stays alone.
    pub(super) fn place_again(&self, now: Duration, interval: Duration) -> Place {
        match self.isolated {
            false => Place::Round(now.into()),
            true => Place::Isolated((now + backoff(interval, self.slowed.into())).into()),
        }
    }

    /// Where it waits for its next look after one that began at `begun`; `alone`: it is kept apart even if it was
    /// answered.
    pub(super) fn next_place(
        &mut self,
        next: Next,
        alone: bool,
        begun: Duration,
        now: Duration,
        interval: Duration,
    ) -> Place {
        let slow = Moment::from(begun + backoff(interval, self.slowed.into()));
        let again = match self.place {
            Place::Flying { again } => again.map(|at| at.max(now.into())),
            Place::Express(_)
            | Place::Round(_)
            | Place::Later(_)
            | Place::Isolated(_)
            | Place::Alone(_)
            | Place::Part => None,
        };
        let refused = next == Next::SlowlyAlone;
        let place = match (again, next) {
            (Some(at), Next::SlowlyAlone) => Place::Isolated(at),
            (None, Next::SlowlyAlone) => Place::Isolated(slow),
            (Some(at), _) if alone => Place::Alone(at),
            (Some(at), _) => Place::Express(at),
            (None, Next::Alone) => Place::Alone(now.into()),
            (None, _) if alone => Place::Alone((begun + interval).into()),
            (None, Next::Beat | Next::Never) => Place::Round((begun + interval).into()),
            (None, Next::Slowly) => Place::Later(slow),
        };
        let is_slow = again.is_none() && matches!(next, Next::Slowly | Next::SlowlyAlone);
        self.slowed = if is_slow { self.slowed.saturating_add(1) } else { 0 };
        self.isolated = refused;
        self.answered |= !refused;
        place
    }
}
