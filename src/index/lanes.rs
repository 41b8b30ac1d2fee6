//! All lanes, and when each has something to ask: those that nothing happens to cost nothing, however many there are.

use std::collections::{BTreeSet, HashMap};
use std::ops;
use std::time::Duration;

use slab::Slab;

use super::lane::Lane;
use super::source::Identity;
use crate::ecs::Region;

/// All lanes.
#[derive(Default)]
pub(super) struct Lanes {
    lanes: Slab<Lane>,
    by_identity: HashMap<(Identity, Region), usize>,
    /// When each lane has something to ask.
    agenda: BTreeSet<(Duration, usize)>,
    /// Lanes that were changed since their moment was put into the agenda.
    touched: Vec<usize>,
}

impl Lanes {
    /// The lane of an identity in a region, opened where there is none.
    pub(super) fn of(&mut self, identity: Identity, region: &Region, open: impl FnOnce() -> Lane) -> usize {
        *self.by_identity.entry((identity, region.clone())).or_insert_with(|| self.lanes.insert(open()))
    }

    /// Closes a lane that nobody follows anything in; one with a call under way stays until the answer.
    pub(super) fn close_if_empty(&mut self, key: usize) {
        if self.lanes.get(key).is_some_and(Lane::is_empty) {
            let closed = self.lanes.remove(key);
            if let Some(at) = closed.planned {
                self.agenda.remove(&(at, key));
            }
            self.by_identity.remove(&(closed.identity, closed.region));
        }
    }

    /// The lanes of an identity, one a region.
    pub(super) fn of_identity(&self, identity: Identity) -> Vec<usize> {
        self.by_identity.iter().filter(|((of, _), _)| *of == identity).map(|(_, key)| *key).collect()
    }

    /// Every lane.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Lane> {
        self.lanes.iter().map(|(_, lane)| lane)
    }

    /// The lanes that may ask now.
    pub(super) fn ready(&mut self, now: Duration) -> Vec<usize> {
        for key in std::mem::take(&mut self.touched) {
            self.plan(key, now);
        }
        let mut due: Vec<_> = self.agenda.range(..=(now, usize::MAX)).map(|(_, key)| *key).collect();
        due.retain(|&key| self.plan(key, now).is_some_and(|at| at <= now));
        due
    }

    /// Puts down when a lane has something to ask.
    pub(super) fn plan(&mut self, key: usize, now: Duration) -> Option<Duration> {
        let lane = self.lanes.get_mut(key)?;
        let next = lane.next_at(now);
        let before = std::mem::replace(&mut lane.planned, next);
        if before != next {
            if let Some(at) = before {
                self.agenda.remove(&(at, key));
            }
            self.agenda.extend(next.map(|at| (at, key)));
        }
        next
    }

    /// When the first lane has something to ask.
    pub(super) fn next(&self) -> Option<Duration> {
        self.agenda.first().map(|(at, _)| *at)
    }
}

impl ops::Index<usize> for Lanes {
    type Output = Lane;

    fn index(&self, key: usize) -> &Lane {
        &self.lanes[key]
    }
}

impl ops::IndexMut<usize> for Lanes {
    fn index_mut(&mut self, key: usize) -> &mut Lane {
        if self.touched.last() != Some(&key) {
            self.touched.push(key);
        }
        &mut self.lanes[key]
    }
}
