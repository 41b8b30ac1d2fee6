//! Who follows what in a lane, and in whose turn it is asked.

use std::collections::hash_map::Entry;
use std::hash::BuildHasher;
use std::time::Duration;

use super::EntryKey;
use super::directory::Tenant;
use super::lane::Lane;
use super::ring::Place;
use super::subject::{Follower, Subject, SubjectId};

impl Lane {
    /// Adds a follower; a new id is due at `due`, or at once where that is `None`.
    pub(super) fn follow(&mut self, id: SubjectId, follower: Follower, due: Option<Duration>, now: Duration) -> u32 {
        let hash = self.hasher.hash_one(&id);
        if let Some(&key) = self.by_id.find(hash, |&key| self.subjects[key as usize].id == id) {
            self.subjects[key as usize].followers.push(follower);
            self.settle_tenant(key);
            if due.is_none() {
                self.hurry(key, now);
            }
            return key;
        }
        let place = due.map_or(Place::Express(now.into()), |due| Place::Round(due.into()));
        let subject = Subject::new(id, follower, place);
        let key = u32::try_from(self.subjects.insert(subject)).expect("memory ends before 4 billion ids");
        let (subjects, hasher) = (&self.subjects, &self.hasher);
        self.by_id.insert_unique(hash, key, |&key| hasher.hash_one(&subjects[key as usize].id));
        *self.tenants.entry(follower.tenant).or_default() += 1;
        self.ring_of(key).members += 1;
        self.ring_of(key).enter(key, follower.tenant, place);
        key
    }

    /// Takes a follower away.
    pub(super) fn unfollow(&mut self, key: u32, follower: EntryKey) {
        let subject = &mut self.subjects[key as usize];
        if let Some(first) = subject.followers.iter().position(|other| other.entry == follower) {
            subject.followers.remove(first);
        }
        if !subject.followers.is_empty() {
            self.settle_tenant(key);
        } else if !matches!(subject.place, Place::Flying { .. } | Place::Part) {
            // One that is being asked, or will be in a part of a batch, goes when its answer comes.
            self.forget(key);
        }
    }

    /// Everyone who follows something here.
    pub(super) fn followers(&self) -> Vec<EntryKey> {
        self.subjects.iter().flat_map(|(_, subject)| subject.entries()).collect()
    }

    /// Those who follow one of the ids that were asked.
    pub(super) fn followers_of(&self, key: u32) -> Vec<EntryKey> {
        self.subjects[key as usize].entries().collect()
    }

    /// Takes an id out that nobody follows any more.
    pub(super) fn forget(&mut self, key: u32) {
        let subject = self.subjects.remove(key as usize);
        let ring = match subject.id {
            SubjectId::Task(_) => &mut self.tasks,
            SubjectId::Resource(_) => &mut self.resources,
        };
        ring.leave(key, subject.tenant, subject.place);
        ring.members -= 1;
        self.count_out(subject.tenant);
        let hash = self.hasher.hash_one(&subject.id);
        if let Ok(found) = self.by_id.find_entry(hash, |&other| other == key) {
            found.remove();
        }
    }

    /// An id that several tenants follow is in the turn of the one with the fewest, so that none can slow it down by
    /// following it too.
    fn settle_tenant(&mut self, key: u32) {
        let subject = &self.subjects[key as usize];
        let before = subject.tenant;
        let ids = |tenant: &Tenant| self.tenants.get(tenant).copied().unwrap_or_default();
        let least = subject.followers.iter().map(|follower| follower.tenant).min_by_key(ids);
        let Some(tenant) = least.filter(|tenant| *tenant != before) else { return };
        self.leave(key);
        self.count_out(before);
        *self.tenants.entry(tenant).or_default() += 1;
        self.subjects[key as usize].tenant = tenant;
        self.place(key, self.subjects[key as usize].place);
    }

    fn count_out(&mut self, tenant: Tenant) {
        if let Entry::Occupied(mut ids) = self.tenants.entry(tenant) {
            *ids.get_mut() -= 1;
            if *ids.get() == 0 {
                ids.remove();
            }
        }
    }
}
