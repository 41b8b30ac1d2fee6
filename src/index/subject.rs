//! One id that the cloud is asked about, and the ImageTasks that follow it.

use std::time::Duration;

use smallvec::{SmallVec, smallvec};

use super::EntryKey;
use super::directory::Tenant;
use super::ring::{Company, Place};
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
    /// With whom it is asked: one that was refused is asked alone.
    company: Company,
    /// It was in an answer once, so refusing it is no fault of its own.
    pub(super) answered: bool,
}

impl Subject {
    /// One that nobody asked about yet.
    pub(super) fn new(id: SubjectId, follower: Follower, place: Place) -> Self {
        Self {
            id,
            followers: smallvec![follower],
            tenant: follower.tenant,
            place,
            slowed: 0,
            extra: None,
            company: Company::Any,
            answered: false,
        }
    }

    /// The ImageTasks that follow it.
    pub(super) fn entries(&self) -> impl Iterator<Item = EntryKey> {
        self.followers.iter().map(|follower| follower.entry)
    }

    /// Whether it can show that the lane is at fault: it was answered once, and waits to be asked.
    pub(super) fn may_be_control(&self) -> bool {
        self.answered && matches!(self.place, Place::Round(_) | Place::Express(_) | Place::Later(_, Company::Any))
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

    /// Where it waits when it was asked without a result: as before, but one that is asked alone stays alone.
    pub(super) fn place_again(&self, now: Duration, interval: Duration) -> Place {
        match self.company {
            Company::Any => Place::Round(now.into()),
            Company::None => Place::Later((now + backoff(interval, self.slowed.into())).into(), Company::None),
        }
    }

    /// Where it waits for its next look after one that began at `begun`.
    pub(super) fn next_place(&mut self, next: Next, begun: Duration, now: Duration, interval: Duration) -> Place {
        let slow = Moment::from(begun + backoff(interval, self.slowed.into()));
        let place = match (self.place, next) {
            (Place::Flying { again: Some(at) }, _) => Place::Express(at.max(now.into())),
            (_, Next::Alone) => Place::Alone(now.into()),
            (_, Next::Beat | Next::Never) => Place::Round((begun + interval).into()),
            (_, Next::Slowly) => Place::Later(slow, Company::Any),
            (_, Next::SlowlyAlone) => Place::Later(slow, Company::None),
        };
        self.slowed = if matches!(place, Place::Later(..)) { self.slowed.saturating_add(1) } else { 0 };
        self.company = if next == Next::SlowlyAlone { Company::None } else { Company::Any };
        self.answered |= next != Next::SlowlyAlone;
        place
    }
}
