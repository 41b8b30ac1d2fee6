//! One queue of ids, in which tenants take turns: however many ids one of them has, the others wait no longer for it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::directory::Tenant;
use crate::clock::Moment;

/// An id that waits, and the moment it is due.
pub(super) type Waiting = (Moment, u32);

/// The queue, each id by the moment it is due.
#[derive(Default)]
pub(super) struct Turns {
    queues: BTreeMap<Tenant, BTreeSet<Waiting>>,
    /// The first moment of each queue.
    heads: BTreeSet<(Moment, Tenant)>,
    len: usize,
    /// Who had the last turn.
    last: Option<Tenant>,
}

impl Turns {
    /// Puts an id in.
    pub(super) fn insert(&mut self, tenant: Tenant, waiting: Waiting) {
        self.change(tenant, |queue| queue.insert(waiting));
    }

    /// Takes an id out.
    pub(super) fn remove(&mut self, tenant: Tenant, waiting: Waiting) {
        self.change(tenant, |queue| queue.remove(&waiting));
    }

    /// The ids that wait.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// When the first is due.
    pub(super) fn first(&self) -> Option<Duration> {
        self.heads.first().map(|(due, _)| (*due).into())
    }

    /// Takes out up to `most` ids that are due, as evenly from their tenants as they have them, and those of one tenant
    /// side by side: a batch that is split then parts the tenants first.
    pub(super) fn take_due(&mut self, now: Moment, most: usize) -> Vec<Waiting> {
        let mut taken: Vec<(Tenant, Waiting)> = Vec::new();
        let mut turns = self.in_turn(now);
        while taken.len() < most && !turns.is_empty() {
            let share = ((most - taken.len()) / turns.len()).max(1);
            turns.retain(|&tenant| {
                let wanted = share.min(most - taken.len());
                let got = self.take_from(tenant, wanted, now);
                if !got.is_empty() {
                    self.last = Some(tenant);
                }
                let has_more = got.len() == wanted;
                taken.extend(got.into_iter().map(|waiting| (tenant, waiting)));
                has_more
            });
        }
        taken.sort_by_key(|(tenant, _)| *tenant);
        taken.into_iter().map(|(_, waiting)| waiting).collect()
    }

    /// Takes out one due id of each of so many tenants in turn, of those that are wanted.
    pub(super) fn take_one_of_each(
        &mut self,
        now: Moment,
        tenants: usize,
        wanted: impl Fn(Tenant) -> bool,
    ) -> Vec<Waiting> {
        let mut in_turn = self.in_turn(now);
        in_turn.retain(|tenant| wanted(*tenant));
        in_turn.truncate(tenants);
        self.last = in_turn.last().copied().or(self.last);
        in_turn.into_iter().flat_map(|tenant| self.take_from(tenant, 1, now)).collect()
    }

    /// The id of a tenant that is due first.
    pub(super) fn first_of(&self, tenant: Tenant) -> Option<u32> {
        self.queues.get(&tenant)?.first().map(|(_, id)| *id)
    }

    /// Those who have ids here.
    pub(super) fn tenants(&self) -> impl Iterator<Item = Tenant> {
        self.queues.keys().copied()
    }

    /// Whether a tenant has something due.
    pub(super) fn is_due(&self, tenant: Tenant, now: Moment) -> bool {
        self.queues.get(&tenant).and_then(BTreeSet::first).is_some_and(|(due, _)| *due <= now)
    }

    /// Takes out the id that is due first, now or later.
    pub(super) fn take_early(&mut self) -> Option<Waiting> {
        let (due, tenant) = *self.heads.first()?;
        self.take_from(tenant, 1, due).pop()
    }

    /// The tenants with something due, beginning after the one that had the last turn.
    fn in_turn(&self, now: Moment) -> Vec<Tenant> {
        let mut tenants: Vec<_> = self.heads.range(..=(now, Tenant(u32::MAX))).map(|(_, tenant)| *tenant).collect();
        tenants.sort_unstable();
        let next = tenants.partition_point(|tenant| Some(*tenant) <= self.last);
        tenants.rotate_left(next);
        tenants
    }

    /// Takes out up to `most` ids of a tenant that are due.
    pub(super) fn take_from(&mut self, tenant: Tenant, most: usize, now: Moment) -> Vec<Waiting> {
        let mut taken = Vec::new();
        self.change(tenant, |queue| {
            taken.reserve(most.min(queue.len()));
            while taken.len() < most && queue.first().is_some_and(|(due, _)| *due <= now) {
                taken.extend(queue.pop_first());
            }
        });
        taken
    }

    fn change<T>(&mut self, tenant: Tenant, change: impl FnOnce(&mut BTreeSet<Waiting>) -> T) {
        let queue = self.queues.entry(tenant).or_default();
        let before = (queue.len(), queue.first().map(|(due, _)| *due));
        change(queue);
        let after = (queue.len(), queue.first().map(|(due, _)| *due));
        self.len = self.len - before.0 + after.0;
        if before.1 != after.1 {
            if let Some(due) = before.1 {
                self.heads.remove(&(due, tenant));
            }
            self.heads.extend(after.1.map(|due| (due, tenant)));
        }
        if after.0 == 0 {
            self.queues.remove(&tenant);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const NOW: Duration = Duration::from_secs(100);

    fn queue(ids: &[(u32, u32)]) -> Turns {
        let mut turns = Turns::default();
        for (n, &(tenant, count)) in (0..).zip(ids) {
            (0..count)
                .for_each(|id| turns.insert(Tenant(tenant), (Duration::from_secs(n.into()).into(), n * 1_000 + id)));
        }
        turns
    }

    fn taken(turns: &mut Turns, most: usize) -> BTreeMap<u32, usize> {
        let mut by_tenant = BTreeMap::new();
        for (_, id) in turns.take_due(NOW.into(), most) {
            *by_tenant.entry(id / 1_000).or_default() += 1;
        }
        by_tenant
    }

    #[test]
    fn tenants_share_evenly_and_what_one_does_not_need_goes_to_the_others() {
        let mut turns = queue(&[(0, 900), (1, 10), (2, 300)]);
        assert_eq!(taken(&mut turns, 100), [(0, 45), (1, 10), (2, 45)].into());
        assert_eq!(taken(&mut turns, 100), [(0, 50), (2, 50)].into());
    }

    #[test]
    fn with_more_tenants_than_places_each_has_its_turn() {
        let mut turns = queue(&[(0, 9), (1, 9), (2, 9)]);
        let firsts: Vec<_> = (0..6).map(|_| taken(&mut turns, 1).into_keys().next()).collect();
        assert_eq!(firsts, [0, 1, 2, 0, 1, 2].map(Some));
    }

    #[test]
    fn nothing_is_taken_before_its_moment_but_early_by_the_earliest() {
        let mut turns = Turns::default();
        turns.insert(Tenant(0), ((2 * NOW).into(), 1));
        turns.insert(Tenant(1), ((3 * NOW).into(), 2));
        assert_eq!((turns.take_due(NOW.into(), 5), turns.first(), turns.len()), (Vec::new(), Some(2 * NOW), 2));
        assert_eq!(
            [turns.take_early(), turns.take_early(), turns.take_early()].map(|it| it.map(|it| it.1)),
            [Some(1), Some(2), None]
        );
    }

    proptest! {
        #[test]
        fn nothing_is_lost_and_nobody_gets_more_than_a_fair_share(
            ids in prop::collection::vec((0_u32..6, 0_u64..200), 0..300),
            most in 1_usize..120,
        ) {
            let mut turns = Turns::default();
            let mut due: BTreeMap<u32, usize> = BTreeMap::new();
            let all: Vec<_> = (0..).zip(&ids).map(|(id, &(tenant, at))| (tenant, (Duration::from_secs(at).into(), id))).collect();
            for &(tenant, waiting) in &all {
                turns.insert(Tenant(tenant), waiting);
                *due.entry(tenant).or_default() += usize::from(waiting.0 <= NOW.into());
            }
            let taken = turns.take_due(NOW.into(), most);
            let got = |tenant: u32| taken.iter().filter(|waiting| all.contains(&(tenant, **waiting))).count();
            prop_assert_eq!(taken.len(), most.min(due.values().sum()));
            prop_assert_eq!(turns.len(), ids.len() - taken.len());
            for (tenant, count) in &due {
                let fewest = got(*tenant);
                let is_served = fewest == *count;
                prop_assert!(is_served || due.keys().all(|other| got(*other) <= fewest + 1));
            }
            for &(tenant, waiting) in &all {
                turns.remove(Tenant(tenant), waiting);
            }
            prop_assert_eq!((turns.len(), turns.first()), (0, None));
        }
    }
}
