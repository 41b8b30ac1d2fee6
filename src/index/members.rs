//! Who follows what in a lane, and in whose turn it is asked.

use std::hash::BuildHasher;
use std::time::Duration;

use super::EntryKey;
use super::directory::Tenant;
use super::lane::Lane;
use super::ring::Place;
use super::subject::{Follower, Known, Subject, SubjectId};
use crate::clock::Moment;

impl Lane {
    /// Adds a follower; a new id is due at `due`, or at once where that is `None`. One that was refused before is asked
    /// alone.
    pub(super) fn follow(
        &mut self,
        id: SubjectId,
        follower: Follower,
        due: Option<Duration>,
        known: Known,
        now: Duration,
    ) -> u32 {
        let hash = self.hasher.hash_one(&id);
        if let Some(&key) = self.by_id.find(hash, |&key| self.subjects[key as usize].id == id) {
            self.subjects[key as usize].followers.push(follower);
            self.settle_tenant(key);
            if due.is_none() {
                self.hurry(key, now, now);
            }
            return key;
        }
        let place = match (known.refused, due) {
            (true, due) => Place::Isolated(due.unwrap_or(now).into()),
            (false, Some(due)) => Place::Round(due.into()),
            (false, None) => Place::Express(now.into()),
        };
        let subject = Subject::new(id, follower, place, known);
        let key = u32::try_from(self.subjects.insert(subject)).expect("memory ends before 4 billion ids");
        let (subjects, hasher) = (&self.subjects, &self.hasher);
        self.by_id.insert_unique(hash, key, |&key| hasher.hash_one(&subjects[key as usize].id));
        self.namespaces.count_in(follower.tenant);
        if known.answered {
            self.namespaces.answered(follower.tenant, [key].into_iter());
        }
        let ring = self.ring_of(key);
        ring.members += 1;
        let suspect = ring.unsettled.contains(follower.tenant);
        self.subjects[key as usize].suspect = suspect;
        self.place(key, place);
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
            // One that is being asked, or will be in a part of a request, goes when its answer comes.
            self.forget(key);
        }
    }

    /// Everyone who follows something here and is told of the outage.
    pub(super) fn followers(&self) -> Vec<EntryKey> {
        let followers = self.subjects.iter().flat_map(|(_, subject)| &subject.followers);
        followers.filter(|it| self.breaker.concerns(it.tenant)).map(|it| it.entry).collect()
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
        ring.leave(key, subject.tenant, subject.place, subject.suspect);
        ring.members -= 1;
        self.namespaces.count_out(subject.tenant);
        self.spoilers.forget(key);
        let hash = self.hasher.hash_one(&subject.id);
        if let Ok(found) = self.by_id.find_entry(hash, |&other| other == key) {
            found.remove();
        }
    }

    /// An id that several tenants follow is in the turn of the one with the fewest, so that none can slow it down by
    /// following it too; of one that makes no requests fail, if there is one.
    pub(super) fn settle_tenant(&mut self, key: u32) {
        let Subject { tenant: before, place, suspect, ref followers, .. } = self.subjects[key as usize];
        let unsettled = |tenant: Tenant| self.ring(key).unsettled.contains(tenant);
        let rank = |tenant: &Tenant| (unsettled(*tenant), self.namespaces.ids_of(*tenant));
        let least = followers.iter().map(|follower| follower.tenant).min_by_key(rank);
        let Some(tenant) = least.filter(|tenant| *tenant != before) else { return };
        let suspect_there = suspect && unsettled(tenant);
        self.ring_of(key).leave(key, before, place, suspect);
        self.namespaces.count_out(before);
        self.namespaces.count_in(tenant);
        let subject = &mut self.subjects[key as usize];
        (subject.tenant, subject.suspect) = (tenant, suspect_there);
        self.place(key, place);
    }

    /// Settles a namespace if each of its ids was answered or is isolated.
    pub(super) fn settle_namespace(&mut self, tenant: Tenant, tasks: bool, now: Duration) {
        let ring = if tasks { &mut self.tasks } else { &mut self.resources };
        if !ring.unsettled.settle(tenant, now) {
            return;
        }
        for key in ring.unsettled.take_out(tenant, |_| true) {
            let subject = &mut self.subjects[key as usize];
            subject.suspect = false;
            let place = subject.place;
            self.place(key, place);
        }
    }

    /// Asks for the ids of a namespace without those of others, until each was answered or is isolated; for an hour
    /// where that happens again and again.
    pub(super) fn unsettle(&mut self, tenant: Tenant, like: u32, now: Duration) {
        if !self.ring(like).unsettled.contains(tenant) {
            let until = self.spoiling.count(tenant, now).unwrap_or_default();
            self.ring_of(like).unsettled.add(tenant, until);
        }
        let ring = self.ring_of(like);
        for key in ring.take_shared(tenant) {
            let subject = &mut self.subjects[key as usize];
            subject.suspect = true;
            let place = subject.place;
            self.place(key, place);
            if self.subjects[key as usize].followers.len() > 1 {
                self.settle_tenant(key);
            }
        }
    }

    /// Isolates those ids of a namespace that were never answered, whose turn to be asked comes sooner that way.
    pub(super) fn isolate_unanswered(&mut self, tenant: Tenant, tasks: bool, now: Duration) {
        let subjects = &self.subjects;
        let ring = if tasks { &mut self.tasks } else { &mut self.resources };
        for key in ring.unsettled.take_out(tenant, |key| !subjects[key as usize].was_answered()) {
            if self.subjects[key as usize].followers.is_empty() {
                self.forget(key);
            } else {
                self.subjects[key as usize].isolate();
                self.place(key, Place::Isolated(Moment::from(now)));
            }
        }
    }
}
