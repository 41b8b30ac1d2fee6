//! Finds entries by namespace and name, and keeps each namespace once, as long as somebody is in it.

use std::collections::HashMap;
use std::hash::BuildHasher;

use arcstr::ArcStr;
use hashbrown::{DefaultHashBuilder, HashTable};
use slab::Slab;

use super::entry::Entry;
use super::key::ObjectName;

/// A namespace that has entries; tenants of one lane share it evenly.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Tenant(pub(super) u32);

/// Every entry by its name.
#[derive(Default)]
pub(super) struct Directory {
    /// The name of each namespace, and how many entries are in it.
    namespaces: Slab<(ArcStr, usize)>,
    tenants: HashMap<ArcStr, Tenant>,
    slots: HashTable<u32>,
    hasher: DefaultHashBuilder,
}

impl Directory {
    /// The slot of an object.
    pub(super) fn find(&self, entries: &Slab<Entry>, object: &ObjectName) -> Option<u32> {
        let tenant = *self.tenants.get(&object.namespace)?;
        let hash = self.hasher.hash_one((tenant, &*object.name));
        let is_it = |&slot: &u32| {
            let entry = &entries[slot as usize];
            entry.tenant == tenant && entry.name == object.name
        };
        self.slots.find(hash, is_it).copied()
    }

    /// Takes an entry in.
    pub(super) fn insert(&mut self, entries: &Slab<Entry>, slot: u32) {
        let hasher = &self.hasher;
        self.slots.insert_unique(hash(hasher, entries, slot), slot, |&slot| hash(hasher, entries, slot));
    }

    /// Takes an entry out, and its namespace if it was the last in it.
    pub(super) fn remove(&mut self, entries: &Slab<Entry>, slot: u32) {
        if let Ok(found) = self.slots.find_entry(hash(&self.hasher, entries, slot), |&other| other == slot) {
            found.remove();
        }
        self.leave(entries[slot as usize].tenant);
    }

    /// The tenant of a namespace, with one entry more in it.
    pub(super) fn enter(&mut self, namespace: &ArcStr) -> Tenant {
        let tenant = self.tenants.get(namespace).copied().unwrap_or_else(|| {
            let slot = self.namespaces.insert((namespace.clone(), 0));
            let tenant = Tenant(u32::try_from(slot).expect("memory ends before 4 billion namespaces"));
            self.tenants.insert(namespace.clone(), tenant);
            tenant
        });
        self.namespaces[tenant.0 as usize].1 += 1;
        tenant
    }

    /// The namespace of a tenant.
    pub(super) fn namespace(&self, tenant: Tenant) -> &ArcStr {
        &self.namespaces[tenant.0 as usize].0
    }

    /// How much is kept.
    #[cfg(test)]
    pub(super) fn sizes(&self) -> [usize; 3] {
        [self.namespaces.len(), self.tenants.len(), self.slots.len()]
    }

    fn leave(&mut self, tenant: Tenant) {
        let (_, entries) = &mut self.namespaces[tenant.0 as usize];
        *entries -= 1;
        if *entries == 0 {
            let (namespace, _) = self.namespaces.remove(tenant.0 as usize);
            self.tenants.remove(&namespace);
        }
    }
}

fn hash(hasher: &DefaultHashBuilder, entries: &Slab<Entry>, slot: u32) -> u64 {
    let entry = &entries[slot as usize];
    hasher.hash_one((entry.tenant, &*entry.name))
}
