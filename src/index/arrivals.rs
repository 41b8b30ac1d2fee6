//! What the watch tells: objects that are there, have changed, or are gone.

use arcstr::ArcStr;

use super::entry::{Entry, Seat, Sighting};
use super::key::{EntryKey, WatchId};
use super::leading::Term;
use super::pending::Pending;
use super::{Index, is_done, key_of};
use crate::api::ImageTaskView;
use crate::clock::Now;
use crate::ecs::Region;
use crate::followed::{Followed, Request};
use crate::spec::{InvalidSpec, Spec};
use crate::status::Status;

impl Index {
    /// A list begins: what it does not show is gone.
    pub fn list_begins(&mut self, watch: WatchId) {
        *self.lists.entry(watch).or_default() += 1;
    }

    /// A list is done.
    pub fn list_ends(&mut self, watch: WatchId) {
        let list = self.lists.get(&watch).copied().unwrap_or_default();
        let unseen = self.entries.iter().filter(|(_, entry)| entry.watch == watch && entry.list != list);
        let unseen: Vec<_> = unseen.map(|(slot, entry)| key_of(slot, entry)).collect();
        for key in unseen {
            self.remove(key);
        }
    }

    /// An object is there, or has changed. Returns whether it could be read at all.
    pub fn arrives(&mut self, view: ImageTaskView, watch: WatchId, now: Now) -> bool {
        let Some(seen) = Sighting::of(view) else { return false };
        let list = self.lists.get(&watch).copied().unwrap_or_default();
        let is_over = Status::is_end_of_later_version(&seen.status);
        if let Some(key) = self.find(&seen.object) {
            let entry = &mut self.entries[key.slot as usize];
            if entry.uid == seen.uid {
                (entry.watch, entry.list) = (watch, list);
                // What is older than our last write was decided upon already.
                if seen.version >= entry.version {
                    let status = Status::parse(&seen.status);
                    self.compare(key, seen.version, &status, now);
                    match self.term {
                        Term::Asleep | Term::Until(_) if is_over => self.remove(key),
                        Term::Asleep => self.changes_asleep(key, seen, status, now),
                        Term::Until(_) => self.changes(key, seen, status, now),
                    }
                }
                return true;
            }
            // Deleted and recreated under the same name: another task, and nothing of the old one is kept.
            self.remove(key);
        }
        if is_over {
            return true;
        }
        let followed = self.followed(&seen, Status::parse(&seen.status), now);
        if is_done(&followed, now, &self.settings.rules) {
            return true;
        }
        let key = self.insert(seen, followed, watch, list);
        if self.is_awake() {
            self.review(key, now);
        }
        true
    }

    /// An object is gone.
    pub fn leaves(&mut self, view: ImageTaskView) {
        let Some(gone) = Sighting::of(view) else { return };
        if let Some(key) = self.find(&gone.object).filter(|key| self.entries[key.slot as usize].uid == gone.uid) {
            self.remove(key);
        }
    }

    /// Notices a status that somebody else has written.
    fn compare(&mut self, key: EntryKey, version: u64, status: &Status, now: Now) {
        let entry = &mut self.entries[key.slot as usize];
        if version == entry.version {
            return;
        }
        let digest = status.digest();
        let has_changed = std::mem::replace(&mut entry.stored, digest) != digest;
        match entry.pending.in_flight {
            true => entry.pending.crossed |= has_changed,
            false if has_changed => self.foreign_write(key, now),
            false => {}
        }
    }

    fn changes(&mut self, key: EntryKey, seen: Sighting, mut status: Status, now: Now) {
        let entry = &mut self.entries[key.slot as usize];
        let written_by_us = seen.version == entry.version && entry.watched < entry.version;
        entry.version = seen.version;
        entry.watched = seen.version;
        let spec_changed = entry.followed.generation != seen.generation;
        let asked = |followed: &Followed| followed.request.as_ref().map(|request| request.value.clone());
        let newly_asked = seen.request.is_some() && seen.request != asked(&entry.followed);
        if spec_changed {
            entry.followed.spec = spec(&seen, &status);
            entry.followed.generation = seen.generation;
            entry.followed.fresh_since = now.mono.into();
            entry.followed.trouble = None;
            self.deadlines.clear(key);
        }
        let entry = &mut self.entries[key.slot as usize];
        if newly_asked {
            entry.followed.request = request(seen.request, now);
        }
        // What is decided but not stored yet stays decided: a fact that was learnt is not unlearnt. But an end that was told
        // stays told: this process may have stood still since it decided.
        // What we wrote ourselves is not read back: an older CRD may have pruned it, and would have it written over and over.
        if status.is_finished() && !written_by_us {
            entry.pending.drop_decision();
        }
        let is_decided = entry.pending.has_decision() || entry.pending.is_under_way() && !status.is_finished();
        if !is_decided && !written_by_us {
            self.share_texts(&mut status);
            let followed = &mut self.entries[key.slot as usize].followed;
            followed.status = status;
            followed.share_id();
        } else {
            entry.pending.hope();
            if !written_by_us {
                self.writes.damping.distrust(key);
            }
            self.queue_anew(key, now);
        }
        if spec_changed {
            self.settle_rights(key);
            let left = self.rise(key);
            self.review(key, now);
            self.leave(left);
        } else {
            self.review(key, now);
        }
        if newly_asked || spec_changed {
            self.poke(key, now);
        }
    }

    pub(super) fn followed(&mut self, seen: &Sighting, status: Status, now: Now) -> Followed {
        let spec = spec(seen, &status);
        let mut followed = Followed {
            permitted: self.permits(&spec, &seen.object.namespace),
            region: self.region(&spec, &status),
            spec,
            generation: seen.generation,
            created: seen.created,
            fresh_since: now.mono.into(),
            request: request(seen.request.clone(), now),
            trouble: None,
            status,
        };
        followed.share_id();
        self.share_texts(&mut followed.status);
        let of_spec = followed.spec.as_mut().ok().map(|spec| (&mut spec.region, &mut spec.credentials));
        let (named, credentials) = of_spec.unzip();
        let regions = named.and_then(Option::as_mut).into_iter().chain(&mut followed.region);
        let texts = regions.map(|region| &mut region.0).chain(credentials.and_then(Option::as_mut));
        texts.for_each(|text| self.texts.share(text));
        followed
    }

    /// Messages and regions are few and statuses are many.
    pub(super) fn share_texts(&mut self, status: &mut Status) {
        let message = status.standing.as_mut().map(|standing| &mut standing.message);
        let region = status.region.as_mut().map(|region| &mut region.0);
        message.into_iter().chain(region).for_each(|text| self.texts.share(text));
    }

    fn settle_rights(&mut self, key: EntryKey) {
        let entry = &self.entries[key.slot as usize];
        let permitted = self.permits(&entry.followed.spec, self.directory.namespace(entry.tenant));
        let region = self.region(&entry.followed.spec, &entry.followed.status);
        let followed = &mut self.entries[key.slot as usize].followed;
        (followed.permitted, followed.region) = (permitted, region);
    }

    /// One that names a Secret is never asked with other credentials; own ones are lent by namespace.
    fn permits<E>(&self, spec: &Result<Spec, E>, namespace: &str) -> bool {
        let own = self.settings.own_credentials.is_some() && self.settings.lent_to.contains(namespace);
        spec.as_ref().is_ok_and(|spec| spec.credentials.is_some()) || own
    }

    /// The region named in the spec, else the one fixed at the first look, else the default.
    fn region<E>(&self, spec: &Result<Spec, E>, status: &Status) -> Option<Region> {
        let named = spec.as_ref().ok().and_then(|spec| spec.region.clone());
        named.or_else(|| status.region.clone()).or_else(|| self.settings.default_region.clone())
    }

    fn insert(&mut self, seen: Sighting, followed: Followed, watch: WatchId, list: u32) -> EntryKey {
        self.serial = self.serial.wrapping_add(1);
        let serial = self.serial;
        let unseen = followed.status == Status::UNSEEN;
        let stored = followed.status.digest();
        let slot = self.entries.insert(Entry {
            serial,
            tenant: self.directory.enter(&seen.object.namespace),
            name: followed.name_shared(seen.object.name),
            uid: seen.uid,
            version: seen.version,
            watched: seen.version,
            watch,
            list,
            followed,
            seat: Seat::None,
            pending: Pending::of_unseen(unseen),
            stored,
        });
        let slot = u32::try_from(slot).expect("memory ends before 4 billion entries");
        self.directory.insert(&self.entries, slot);
        EntryKey { slot, serial }
    }
}

/// What is asked for. Where a later version has read a field that the CRD has lost since, nobody knows.
fn spec(seen: &Sighting, status: &Status) -> Result<Spec, InvalidSpec> {
    let spec = Spec::parse(&seen.spec)?;
    match status.spec_revision.is_of_later_version() {
        true => Err(InvalidSpec::UnknownField("a field that spec had, or has".into())),
        false => Ok(spec),
    }
}

fn request(value: Option<ArcStr>, now: Now) -> Option<Box<Request>> {
    value.map(|value| Box::new(Request { value, arrived: now.mono }))
}
