//! A queue of entries to be written, in which tenants take turns: whoever has many waits for them alone.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Bound;

use super::directory::Tenant;
use super::key::EntryKey;

/// The queue, first in first out for each tenant.
#[derive(Default)]
pub(super) struct Rounds {
    /// No queue in it is empty.
    queues: BTreeMap<Tenant, VecDeque<EntryKey>>,
    /// Who had the last turn.
    last: Option<Tenant>,
    len: usize,
}

impl Rounds {
    /// Puts an entry in.
    pub(super) fn push(&mut self, tenant: Tenant, entry: EntryKey) {
        self.queues.entry(tenant).or_default().push_back(entry);
        self.len += 1;
    }

    /// Takes the first entry of the tenant whose turn it is.
    pub(super) fn pop(&mut self) -> Option<EntryKey> {
        let after = self.last.map_or(Bound::Unbounded, Bound::Excluded);
        let mut following = self.queues.range((after, Bound::Unbounded));
        let tenant = *following.next().or_else(|| self.queues.first_key_value())?.0;
        let queue = self.queues.get_mut(&tenant)?;
        let entry = queue.pop_front();
        if queue.is_empty() {
            self.queues.remove(&tenant);
        }
        self.last = Some(tenant);
        self.len -= entry.iter().len();
        entry
    }

    /// The entries that wait.
    pub(super) fn len(&self) -> usize {
        self.len
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_tenant_has_one_turn_a_round_however_many_entries_wait() {
        let mut rounds = Rounds::default();
        let entry = |slot: u32| EntryKey { slot, serial: 0 };
        for (tenant, slot) in [(2, 20), (2, 21), (2, 22), (1, 10), (3, 30), (3, 31)] {
            rounds.push(Tenant(tenant), entry(slot));
        }
        let order: Vec<_> = std::iter::from_fn(|| rounds.pop()).map(|entry| entry.slot).collect();
        assert_eq!((order, rounds.len()), (vec![10, 20, 30, 21, 31, 22], 0));
    }
}
