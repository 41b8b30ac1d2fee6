//! Namespaces of which some id makes requests fail: their ids are asked for without those of others, until each was
//! answered or is isolated.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Bound;
use std::time::Duration;

use super::directory::Tenant;
use super::turns::{Turns, Waiting};
use crate::clock::Moment;
use crate::schedule::BATCH;

/// Requests for ids of one namespace that may fail in a row before those are isolated that were never answered: 7 cuts
/// lead from a batch of 100 ids to a single one.
const MAX_FAILURES: u8 = 7;

/// The unsettled namespaces of one kind of id in a lane.
#[derive(Default)]
pub(super) struct Unsettled {
    namespaces: BTreeMap<Tenant, Namespace>,
    waiting: Turns,
    /// Parts of requests that failed, first in, first out. None of the queues is empty.
    parts: BTreeMap<Tenant, VecDeque<Vec<u32>>>,
    turns: Turn,
    turns_of_healing: Turn,
    last_was_healing: bool,
}

/// Who had the last turn, if anybody.
type Turn = Option<Tenant>;

#[derive(Default)]
struct Namespace {
    in_flight: usize,
    /// Whether its last request was answered.
    answered: bool,
    /// Failures since the last answer.
    failures: u8,
    /// It stays unsettled until then.
    until: Duration,
}

impl Unsettled {
    /// A namespace is unsettled from now on, at least until a moment.
    pub(super) fn add(&mut self, tenant: Tenant, until: Duration) {
        let namespace = self.namespaces.entry(tenant).or_default();
        namespace.until = namespace.until.max(until);
    }

    /// Whether a namespace is unsettled.
    pub(super) fn contains(&self, tenant: Tenant) -> bool {
        self.namespaces.contains_key(&tenant)
    }

    /// Whether even those ids of a namespace are kept apart that were answered since.
    pub(super) fn keeps(&self, tenant: Tenant, now: Duration) -> bool {
        self.namespaces.get(&tenant).is_some_and(|namespace| namespace.until > now)
    }

    /// Puts an id in.
    pub(super) fn insert(&mut self, tenant: Tenant, waiting: Waiting) {
        self.waiting.insert(tenant, waiting);
    }

    /// Takes an id out, if it is there.
    pub(super) fn remove(&mut self, tenant: Tenant, waiting: Waiting) {
        self.waiting.remove(tenant, waiting);
    }

    /// Has a part of a request that failed asked for.
    pub(super) fn add_part(&mut self, tenant: Tenant, part: Vec<u32>) {
        self.parts.entry(tenant).or_default().push_back(part);
    }

    /// Gives up on all parts.
    pub(super) fn take_parts(&mut self) -> impl Iterator<Item = u32> {
        std::mem::take(&mut self.parts).into_values().flatten().flatten()
    }

    /// Takes out the wanted ids of a namespace, those in parts first. What is left of its parts stays as it is.
    pub(super) fn take_out(&mut self, tenant: Tenant, is_wanted: impl Fn(u32) -> bool) -> Vec<u32> {
        let mut taken = Vec::new();
        if let Some(parts) = self.parts.get_mut(&tenant) {
            for part in parts.iter_mut() {
                taken.extend(part.extract_if(.., |id| is_wanted(*id)));
            }
            parts.retain(|part| !part.is_empty());
            if parts.is_empty() {
                self.parts.remove(&tenant);
            }
        }
        for waiting in self.waiting.take_from(tenant, usize::MAX, Moment::MAX) {
            match is_wanted(waiting.1) {
                true => taken.push(waiting.1),
                false => self.waiting.insert(tenant, waiting),
            }
        }
        taken
    }

    /// The ids that wait.
    pub(super) fn len(&self) -> usize {
        self.waiting.len()
    }

    /// The id of a namespace that is due first.
    pub(super) fn first_of(&self, tenant: Tenant) -> Option<u32> {
        self.waiting.first_of(tenant)
    }

    /// When there is something to ask for.
    pub(super) fn next_at(&self) -> Option<Duration> {
        if self.parts.is_empty() { self.waiting.first() } else { Some(Duration::ZERO) }
    }

    /// Takes the ids of the next request, of the namespace in turn; none where nothing is due.
    pub(super) fn take(&mut self, now: Duration) -> Option<(Tenant, Vec<u32>)> {
        let tenant = self.next_in_turn(now)?;
        let namespace = self.namespaces.entry(tenant).or_default();
        namespace.in_flight += 1;
        if let Some(parts) = self.parts.get_mut(&tenant) {
            let part = parts.pop_front().unwrap_or_default();
            if parts.is_empty() {
                self.parts.remove(&tenant);
            }
            return Some((tenant, part));
        }
        // Filled up with what is not due yet: the sooner each was asked for, the sooner the namespace is settled.
        let most = if namespace.until > now { now.into() } else { Moment::MAX };
        let taken = self.waiting.take_from(tenant, BATCH, most);
        Some((tenant, taken.into_iter().map(|(_, id)| id).collect()))
    }

    /// A request for ids of a namespace has come to its end, whatever it was.
    pub(super) fn landed(&mut self, tenant: Tenant) {
        if let Some(namespace) = self.namespaces.get_mut(&tenant) {
            namespace.in_flight = namespace.in_flight.saturating_sub(1);
        }
    }

    /// A request for ids of a namespace was answered, or failed for their fault. Returns whether that happened so often
    /// in a row that the ids are isolated that were never answered.
    pub(super) fn completed(&mut self, tenant: Tenant, answered: bool) -> bool {
        let Some(namespace) = self.namespaces.get_mut(&tenant) else { return false };
        namespace.answered = answered;
        namespace.failures = if answered { 0 } else { namespace.failures + 1 };
        let too_many = namespace.failures >= MAX_FAILURES;
        if too_many {
            namespace.failures = 0;
        }
        too_many
    }

    /// Lets a namespace go whose ids have all been answered or are isolated. Returns whether it is settled; what still
    /// waits is then to be put where the ids of others wait.
    pub(super) fn settle(&mut self, tenant: Tenant, now: Duration) -> bool {
        let Some(namespace) = self.namespaces.get(&tenant) else { return false };
        let waits = self.parts.contains_key(&tenant) || namespace.in_flight > 0;
        let is_kept = namespace.until > now;
        let is_served = self.waiting.first_of(tenant).is_none();
        let settled = !waits && !is_kept && (is_served || namespace.until > Duration::ZERO);
        if settled {
            self.namespaces.remove(&tenant);
        }
        settled
    }

    /// Who has the next turn. Every other one is for those with parts whose last request was answered: where an account has
    /// its permission back they are soon found to be well, however many others are refused for their own sake.
    fn next_in_turn(&mut self, now: Duration) -> Option<Tenant> {
        let heals = |tenant: &Tenant, it: &Namespace| it.answered && self.parts.contains_key(tenant);
        let healing = if self.last_was_healing { None } else { self.first_after(self.turns_of_healing, heals) };
        self.last_was_healing = healing.is_some();
        if healing.is_some() {
            self.turns_of_healing = healing;
            return healing;
        }
        let has_work = |tenant: &Tenant, _: &Namespace| {
            self.parts.contains_key(tenant) || self.waiting.is_due(*tenant, now.into())
        };
        let next = self.first_after(self.turns, has_work)?;
        self.turns = Some(next);
        Some(next)
    }

    /// The first namespace that is wanted, beginning after one.
    fn first_after(&self, turn: Turn, is_wanted: impl Fn(&Tenant, &Namespace) -> bool) -> Option<Tenant> {
        let wanted = |(tenant, it): (&Tenant, &Namespace)| is_wanted(tenant, it).then_some(*tenant);
        let after = (turn.map_or(Bound::Unbounded, Bound::Excluded), Bound::Unbounded);
        self.namespaces.range(after).find_map(wanted).or_else(|| self.namespaces.iter().find_map(wanted))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Duration = Duration::from_secs(100);

    fn unsettled(namespaces: u32, ids: u32) -> Unsettled {
        let mut unsettled = Unsettled::default();
        for tenant in 0..namespaces {
            unsettled.add(Tenant(tenant), Duration::ZERO);
            (0..ids).for_each(|id| unsettled.insert(Tenant(tenant), (NOW.into(), tenant * 1_000 + id)));
        }
        unsettled
    }

    #[test]
    fn namespaces_take_turns_and_their_parts_are_first_in_first_out() {
        let mut unsettled = unsettled(2, 1);
        unsettled.add_part(Tenant(1), vec![7, 8]);
        unsettled.add_part(Tenant(1), vec![9]);
        let taken: Vec<_> = std::iter::from_fn(|| unsettled.take(NOW)).collect();
        let expected = [(0, vec![0]), (1, vec![7, 8]), (1, vec![9]), (1, vec![1_000])];
        assert_eq!(taken, expected.map(|(tenant, ids)| (Tenant(tenant), ids)));
    }

    #[test]
    fn every_other_turn_is_for_a_namespace_whose_last_request_was_answered() {
        let mut unsettled = unsettled(4, 0);
        (0..4).for_each(|tenant| (0..4).for_each(|part| unsettled.add_part(Tenant(tenant), vec![part])));
        unsettled.completed(Tenant(2), true);
        let turns: Vec<_> = (0..8).filter_map(|_| unsettled.take(NOW)).map(|(Tenant(tenant), _)| tenant).collect();
        assert_eq!(turns, [2, 0, 2, 1, 2, 2, 3, 0]);
    }

    #[test]
    fn a_namespace_is_settled_once_nothing_of_it_waits_or_is_under_way() {
        let mut unsettled = unsettled(1, 1);
        assert!(!unsettled.settle(Tenant(0), NOW));
        unsettled.take(NOW);
        assert!(!unsettled.settle(Tenant(0), NOW));
        unsettled.landed(Tenant(0));
        assert!(unsettled.settle(Tenant(0), NOW));
        assert!(!unsettled.contains(Tenant(0)));
    }

    #[test]
    fn one_that_spoils_again_and_again_is_kept_apart_for_its_time() {
        let mut unsettled = unsettled(1, 0);
        unsettled.add(Tenant(0), 2 * NOW);
        assert!(unsettled.keeps(Tenant(0), NOW) && !unsettled.settle(Tenant(0), NOW));
        assert!(!unsettled.keeps(Tenant(0), 2 * NOW) && unsettled.settle(Tenant(0), 2 * NOW));
    }

    #[test]
    fn seven_failures_in_a_row_isolate_what_was_never_answered() {
        let mut unsettled = unsettled(1, 0);
        let mut fails = |answered| unsettled.completed(Tenant(0), answered);
        let first = [(); 6].map(|()| fails(false));
        assert_eq!((first, fails(true)), ([false; 6], false));
        assert_eq!([(); 7].map(|()| fails(false)), [false, false, false, false, false, false, true]);
    }
}
