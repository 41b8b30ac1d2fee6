//! Who leads, decided from what was seen of a Lease and when: client-go's protocol, pure.
//!
//! - A write names the version that it was decided on, so of two candidates the API server lets one through.
//! - Whether a holder is dead is judged by the own clock alone: its record has not changed for as long as it promises.
//!   The times in the record are for people.
//! - A leader's term counts from before the request that renewed it, and ends at two thirds of the lease duration:
//!   whoever takes over has seen the record later, and waits for all of it.

mod record;
mod terms;

use std::time::Duration;

use k8s_openapi::api::coordination::v1::Lease;

use crate::clock::Now;
use record::{holder, promised, version};
pub use terms::Terms;

/// What a candidate does next.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// Reads the Lease.
    Read,
    /// Writes the Lease.
    Write(Draft),
    /// Waits until this moment, or until the Lease changes.
    Wait(Duration),
    /// Leads no more, and must not act any more.
    Over(Lost),
}

/// A Lease to be written.
#[derive(Clone, Debug, PartialEq)]
pub enum Draft {
    /// There is none.
    Create(Box<Lease>),
    /// In place of the one of its version.
    Replace(Box<Lease>),
}

/// Why leadership is lost.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Lost {
    /// The Lease was not renewed in time.
    #[error("leadership is lost: the Lease could not be renewed for {0:?}, see the log for the reason")]
    Unrenewed(Duration),
    /// The Lease names another holder, or none.
    #[error("leadership is lost: the Lease was taken from this replica, and names {0:?} now")]
    Taken(String),
}

/// One candidate's view of an election.
#[derive(Debug)]
pub struct Election {
    name: String,
    identity: String,
    terms: Terms,
    view: View,
    /// What is known may be old: it is read before anything is written on it.
    stale: bool,
    /// When anything was heard of the Lease last.
    heard: Duration,
    /// No call before.
    paused_until: Duration,
    /// The moment before the last write that made or kept it the leader.
    renewed: Option<Duration>,
}

#[derive(Debug)]
enum View {
    Unknown,
    /// There is none; one that was deleted is respected until its holder's term is over for certain.
    Absent {
        free_at: Duration,
    },
    Present(Seen),
}

#[derive(Debug)]
struct Seen {
    lease: Box<Lease>,
    /// Since when its record is as it is, by the own clock.
    since: Duration,
}

impl Election {
    /// A candidate that has seen nothing yet. `identity` is nobody else's.
    pub fn new(name: &str, identity: &str, terms: Terms) -> Self {
        Self {
            name: name.to_owned(),
            identity: identity.to_owned(),
            terms,
            view: View::Unknown,
            stale: false,
            heard: Duration::ZERO,
            paused_until: Duration::ZERO,
            renewed: None,
        }
    }

    /// What is to be done now.
    pub fn step(&self, now: Now) -> Step {
        match self.renewed {
            Some(renewed) => self.step_of_leader(renewed, now),
            None => self.step_of_standby(now),
        }
    }

    /// Until when it leads, if it does.
    pub fn term(&self) -> Option<Duration> {
        self.renewed.map(|renewed| renewed + self.terms.renew_within)
    }

    /// How long a call may take that begins now: no longer than what is left of the term.
    pub fn patience(&self, now: Now) -> Duration {
        let left = self.term().map_or(self.terms.attempt, |term| term.saturating_sub(now.mono));
        left.min(self.terms.attempt)
    }

    /// Who holds the Lease, as far as is known.
    pub fn holder(&self) -> Option<&str> {
        match &self.view {
            View::Unknown | View::Absent { .. } => None,
            View::Present(seen) => holder(&seen.lease),
        }
    }

    /// The version from which on changes are to be watched.
    pub fn version(&self) -> Option<&str> {
        match &self.view {
            View::Unknown | View::Absent { .. } => None,
            View::Present(seen) => seen.lease.metadata.resource_version.as_deref(),
        }
    }

    /// The Lease was read.
    pub fn read(&mut self, found: Option<Lease>, now: Now) {
        self.stale = false;
        match found {
            Some(lease) => self.saw(lease, now),
            None => self.gone(now),
        }
    }

    /// A watch shows the Lease.
    pub fn saw(&mut self, lease: Lease, now: Now) {
        self.heard_something(now);
        let since = match &self.view {
            View::Present(seen) if version(&lease) < version(&seen.lease) => return,
            View::Present(seen) if seen.lease.spec == lease.spec => seen.since,
            View::Present(_) | View::Absent { .. } | View::Unknown => now.mono,
        };
        self.view = View::Present(Seen { lease: Box::new(lease), since });
    }

    /// A watch shows that the Lease was deleted.
    pub fn deleted(&mut self, lease: &Lease, now: Now) {
        match &self.view {
            View::Present(seen) if version(lease) < version(&seen.lease) => {}
            View::Present(_) | View::Absent { .. } | View::Unknown => self.gone(now),
        }
    }

    /// The Lease was written by a call that began at `begun`.
    pub fn wrote(&mut self, lease: Lease, begun: Now, now: Now) {
        self.saw(lease, now);
        self.renewed = Some(begun.mono);
    }

    /// Somebody else has written it meanwhile, or a watch may have missed that.
    pub fn doubt(&mut self) {
        self.stale = true;
    }

    /// A call that began at `begun` brought nothing; a write may have happened all the same.
    pub fn failed(&mut self, begun: Now, now: Now) {
        self.stale = true;
        self.paused_until = now.mono.max(begun.mono + self.terms.retry);
    }

    /// How the Lease is given back: without a holder, so that another takes it at once. `None`: it is not ours.
    pub fn release(&self, now: Now) -> Option<Lease> {
        let View::Present(seen) = &self.view else { return None };
        if self.renewed.is_none() || holder(&seen.lease) != Some(&self.identity) {
            return None;
        }
        Some(record::released(&seen.lease, now.wall.shown()))
    }

    fn step_of_leader(&self, renewed: Duration, now: Now) -> Step {
        let end = renewed + self.terms.renew_within;
        if let View::Present(seen) = &self.view
            && holder(&seen.lease) != Some(&self.identity)
        {
            return Step::Over(Lost::Taken(holder(&seen.lease).unwrap_or_default().to_owned()));
        }
        if now.mono >= end {
            return Step::Over(Lost::Unrenewed(self.terms.renew_within));
        }
        if now.mono < self.paused_until {
            return Step::Wait(self.paused_until.min(end));
        }
        match &self.view {
            View::Present(seen) if !self.stale => match renewed + self.terms.retry {
                due if now.mono < due => Step::Wait(due),
                _ => Step::Write(self.next(seen, now)),
            },
            View::Absent { .. } if !self.stale => Step::Write(self.first(now)),
            View::Present(_) | View::Absent { .. } | View::Unknown => Step::Read,
        }
    }

    fn step_of_standby(&self, now: Now) -> Step {
        if now.mono < self.paused_until {
            return Step::Wait(self.paused_until);
        }
        let free_at = match &self.view {
            View::Unknown => return Step::Read,
            View::Absent { .. } | View::Present(_) if self.stale => return Step::Read,
            View::Absent { free_at } if now.mono >= *free_at => return Step::Write(self.first(now)),
            View::Absent { free_at } => *free_at,
            View::Present(seen) => match self.free_at(seen) {
                free_at if now.mono >= free_at => return Step::Write(self.next(seen, now)),
                free_at => free_at,
            },
        };
        // Two renewals that were not heard of: the watch hangs, or the leader does.
        let silent_at = self.heard + self.terms.retry * 2 + self.terms.jitter;
        if now.mono >= silent_at { Step::Read } else { Step::Wait(free_at.min(silent_at)) }
    }

    /// When somebody else may take the Lease.
    fn free_at(&self, seen: &Seen) -> Duration {
        match holder(&seen.lease) {
            None => Duration::ZERO,
            // A write whose answer was lost.
            Some(holder) if holder == self.identity => Duration::ZERO,
            Some(_) => seen.since + promised(&seen.lease).unwrap_or(self.terms.duration) + self.terms.jitter,
        }
    }

    fn gone(&mut self, now: Now) {
        self.heard_something(now);
        let free_at = match &self.view {
            View::Unknown => now.mono,
            View::Absent { free_at } => *free_at,
            View::Present(seen) => self.free_at(seen),
        };
        self.view = View::Absent { free_at };
    }

    fn heard_something(&mut self, now: Now) {
        self.heard = now.mono;
        self.paused_until = now.mono;
    }

    fn next(&self, seen: &Seen, now: Now) -> Draft {
        Draft::Replace(Box::new(record::claimed(&seen.lease, &self.identity, self.terms.duration, now.wall.shown())))
    }

    fn first(&self, now: Now) -> Draft {
        Draft::Create(Box::new(record::first(&self.name, &self.identity, self.terms.duration, now.wall.shown())))
    }
}

#[cfg(test)]
mod tests;
