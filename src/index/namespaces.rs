//! The namespaces that have ids in a lane, and which of their ids may serve as canaries.

use std::collections::BTreeMap;
use std::ops::Bound;

use smallvec::SmallVec;

use super::directory::Tenant;

/// Ids kept of each namespace: where it is the only one, three of its ids must fail before the lane is blamed.
const CANARIES: usize = 3;

/// The namespaces of a lane.
#[derive(Default)]
pub(super) struct Namespaces(BTreeMap<Tenant, Namespace>);

#[derive(Default)]
struct Namespace {
    ids: usize,
    /// Ids that were answered, the newest answer first; some may be gone since.
    canaries: SmallVec<[u32; CANARIES]>,
}

impl Namespaces {
    /// Counts an id in.
    pub(super) fn count_in(&mut self, tenant: Tenant) {
        self.0.entry(tenant).or_default().ids += 1;
    }

    /// Counts an id out, and its namespace if it was the last.
    pub(super) fn count_out(&mut self, tenant: Tenant) {
        let Some(namespace) = self.0.get_mut(&tenant) else { return };
        namespace.ids -= 1;
        if namespace.ids == 0 {
            self.0.remove(&tenant);
        }
    }

    /// The ids of a namespace.
    pub(super) fn ids_of(&self, tenant: Tenant) -> usize {
        self.0.get(&tenant).map_or(0, |namespace| namespace.ids)
    }

    /// All of them.
    pub(super) fn iter(&self) -> impl Iterator<Item = Tenant> {
        self.0.keys().copied()
    }

    /// All of them, beginning after one.
    pub(super) fn after(&self, last: Option<Tenant>) -> impl Iterator<Item = Tenant> {
        let split = last.map_or(Bound::Unbounded, Bound::Excluded);
        let first = self.0.range((split, Bound::Unbounded));
        let rest = last.into_iter().flat_map(|last| self.0.range(..=last));
        first.chain(rest).map(|(tenant, _)| *tenant)
    }

    /// Ids of a namespace were answered.
    pub(super) fn answered(&mut self, tenant: Tenant, ids: impl Iterator<Item = u32>) {
        let Some(namespace) = self.0.get_mut(&tenant) else { return };
        let mut canaries: SmallVec<[u32; CANARIES]> = ids.take(CANARIES).collect();
        let before = namespace.canaries.iter().filter(|id| !canaries.contains(id)).copied();
        let before: SmallVec<[u32; CANARIES]> = before.take(CANARIES - canaries.len()).collect();
        canaries.extend(before);
        namespace.canaries = canaries;
    }

    /// Ids of a namespace that were answered.
    pub(super) fn canaries_of(&self, tenant: Tenant) -> impl Iterator<Item = u32> {
        self.0.get(&tenant).into_iter().flat_map(|namespace| namespace.canaries.iter().copied())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn namespaces_come_in_turn() {
        let mut namespaces = Namespaces::default();
        [1, 2, 3].into_iter().for_each(|tenant| namespaces.count_in(Tenant(tenant)));
        let after = |last: Option<u32>| namespaces.after(last.map(Tenant)).map(|it| it.0).collect::<Vec<_>>();
        assert_eq!([after(None), after(Some(1)), after(Some(3))], [[1, 2, 3], [2, 3, 1], [1, 2, 3]]);
        namespaces.count_out(Tenant(1));
        assert_eq!(namespaces.iter().collect::<Vec<_>>(), [2, 3].map(Tenant));
    }

    #[test]
    fn the_ids_that_were_answered_last_are_kept_as_canaries() {
        let mut namespaces = Namespaces::default();
        namespaces.count_in(Tenant(1));
        namespaces.answered(Tenant(1), [1, 2].into_iter());
        namespaces.answered(Tenant(1), [2, 4].into_iter());
        assert_eq!(namespaces.canaries_of(Tenant(1)).collect::<Vec<_>>(), [2, 4, 1]);
        namespaces.answered(Tenant(1), [5, 6, 7, 8].into_iter());
        assert_eq!(namespaces.canaries_of(Tenant(1)).collect::<Vec<_>>(), [5, 6, 7]);
    }
}
