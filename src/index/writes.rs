//! Statuses that wait to be written: the newest wins, ends go first, progress waits its turn.

use std::collections::BTreeSet;
use std::time::Duration;

use super::change::{Change, Written};
use super::entry::Entry;
use super::key::{EntryKey, ObjectName};
use super::rounds::Rounds;
use super::{Index, News};
use crate::api::{ImageTaskStatus, ImageTaskView};
use crate::clock::{Moment, Now};
use crate::schedule::{Rate, backoff};
use crate::status::Status;

/// Writes under way at once; kube's client speaks HTTP/1.1, so each is a connection (design, fact 9).
const MOST_IN_FLIGHT: usize = 32;

/// Writes a second, a ceiling that delays progress only (contract: "50 a second at most").
const PROGRESS_CEILING: f64 = 50.0;

/// First pause after a write that failed; doubles, and a conflict mostly heals with the next watch event.
const RETRY: Duration = Duration::from_millis(250);

/// Longest pause after a write that failed: what an outage of the API server may cost once it is over.
const LONGEST_RETRY: Duration = Duration::from_secs(30);

/// One status to be written, guarded by the version it was decided on.
#[derive(Debug)]
pub struct Write {
    /// Which entry it is for.
    pub entry: EntryKey,
    /// The object.
    pub object: ObjectName,
    /// The resourceVersion it was decided on.
    pub version: u64,
    /// The status.
    pub status: ImageTaskStatus,
    /// What it tells.
    pub change: Change,
    /// Which of the entry's decisions it is.
    revision: u32,
}

/// What an entry still has to write.
#[derive(Debug, Default)]
pub(super) struct Pending {
    /// What the decided status tells beyond the written one.
    change: Option<Change>,
    in_flight: bool,
    revision: u32,
    failures: u32,
    last: Option<Moment>,
    /// Nothing was ever written.
    unseen: bool,
    /// The decided status tells an end or a lasting error that no written one told.
    announce: bool,
}

impl Pending {
    /// Nothing to write yet.
    pub(super) fn of_unseen(unseen: bool) -> Self {
        Self { unseen, ..Self::default() }
    }

    /// Forgets failures: what the watch has brought since may have healed them.
    pub(super) fn hope(&mut self) {
        self.failures = 0;
    }

    /// Whether the stored status is the decided one, and stays so.
    pub(super) fn is_settled(&self) -> bool {
        self.change.is_none() && !self.in_flight
    }
}

/// The order of writing; what waits for no moment goes by turns of the tenants.
pub(super) struct Writes {
    ends: Rounds,
    states: Rounds,
    /// What is tried again, by the moment it may be.
    retries: BTreeSet<(Duration, EntryKey)>,
    /// Progress, by the moment it may be written.
    progress: BTreeSet<(Duration, EntryKey)>,
    in_flight: usize,
    ceiling: Rate,
}

impl Writes {
    pub(super) fn new() -> Self {
        Self {
            ends: Rounds::default(),
            states: Rounds::default(),
            retries: BTreeSet::new(),
            progress: BTreeSet::new(),
            in_flight: 0,
            ceiling: Rate::new(PROGRESS_CEILING, 1),
        }
    }

    /// Statuses that wait or are under way; one that waits twice counts twice.
    pub(super) fn len(&self) -> usize {
        self.ends.len() + self.states.len() + self.retries.len() + self.progress.len() + self.in_flight
    }

    fn queue(&mut self, key: EntryKey, entry: &Entry, change: Change, pace: Duration, now: Duration) {
        let Entry { tenant, pending, .. } = entry;
        if pending.in_flight {
            return;
        }
        if pending.failures > 0 {
            let pause = backoff(RETRY, pending.failures - 1).min(LONGEST_RETRY);
            self.retries.insert((now + pause, key));
            return;
        }
        match change {
            Change::End => self.ends.push(*tenant, key),
            Change::State => self.states.push(*tenant, key),
            Change::Progress => {
                let due = pending.last.map_or(now, |last| now.max(Duration::from(last) + pace));
                self.progress.insert((due, key));
            }
        }
    }

    fn pop(&mut self, now: Duration) -> Option<EntryKey> {
        let first = self.ends.pop().or_else(|| pop_due(&mut self.retries, now));
        if let Some(entry) = first.or_else(|| self.states.pop()) {
            // Others take from the ceiling too, but leave progress a part of every second.
            if self.ceiling.ready_at() <= now + Duration::from_secs(1) {
                self.ceiling.take(now);
            }
            return Some(entry);
        }
        if self.ceiling.ready_at() > now {
            return None;
        }
        let entry = pop_due(&mut self.progress, now)?;
        self.ceiling.take(now);
        Some(entry)
    }

    /// Lets everything be written now that waits for its moment.
    fn hurry(&mut self) {
        let waiting = std::mem::take(&mut self.retries).into_iter().chain(std::mem::take(&mut self.progress));
        self.retries = waiting.map(|(_, entry)| (Duration::ZERO, entry)).collect();
    }

    fn next(&self) -> Option<Duration> {
        let retry = self.retries.first().map(|(due, _)| *due);
        let progress = self.progress.first().map(|(due, _)| (*due).max(self.ceiling.ready_at()));
        [retry, progress].into_iter().flatten().min()
    }
}

fn pop_due(queue: &mut BTreeSet<(Duration, EntryKey)>, now: Duration) -> Option<EntryKey> {
    queue.first().filter(|(due, _)| *due <= now)?;
    queue.pop_first().map(|(_, entry)| entry)
}

impl Index {
    /// Keeps a decided status, and queues it for writing.
    pub(super) fn keep(&mut self, key: EntryKey, mut status: Status, now: Now) {
        self.share_texts(&mut status);
        let entry = self.entries.get_mut(key.slot as usize).filter(|entry| entry.serial == key.serial);
        let Some(entry) = entry else { return };
        let change = Change::between(&entry.followed.status, &status);
        let pending = &mut entry.pending;
        match status.lasting() {
            None => pending.announce = false,
            lasting => pending.announce |= lasting != entry.followed.status.lasting(),
        }
        entry.followed.status = status;
        entry.followed.share_id();
        pending.revision += 1;
        let urgent = pending.change.is_none_or(|before| change < before);
        pending.change = Some(pending.change.map_or(change, |before| before.min(change)));
        if urgent {
            self.writes.queue(key, entry, change, self.settings.progress_interval, now.mono);
        }
    }

    /// The statuses that may be written now, and when the next may.
    pub fn due_writes(&mut self, now: Now) -> (Vec<Write>, Option<Duration>) {
        let mut due = Vec::new();
        if !self.is_leading(now) {
            return (due, None);
        }
        while self.writes.in_flight < MOST_IN_FLIGHT {
            let Some(key) = self.writes.pop(now.mono) else { break };
            let Some(object) = self.entry(key).map(|entry| self.name_of(entry)) else { continue };
            let entry = &mut self.entries[key.slot as usize];
            let pending = &mut entry.pending;
            let Some(change) = pending.change.filter(|_| !pending.in_flight) else { continue };
            pending.in_flight = true;
            due.push(Write {
                entry: key,
                object,
                version: entry.version,
                status: entry.followed.status.render(),
                change,
                revision: pending.revision,
            });
            self.writes.in_flight += 1;
        }
        let full = self.writes.in_flight >= MOST_IN_FLIGHT;
        (due, if full { None } else { self.writes.next() })
    }

    /// Lets everything be written now that waits for its moment, because there will be no later one.
    pub fn hurry_writes(&mut self) {
        self.writes.hurry();
    }

    /// Whether a write may be sent now: it was due a while ago, and the term may have ended since.
    pub fn may_send(&self, write: &Write, now: Now) -> bool {
        self.is_leading(now) && self.entry(write.entry).is_some()
    }

    /// Takes a write back that was not sent; should the term be prolonged, it is due again.
    pub fn hand_back(&mut self, key: EntryKey, now: Now) {
        self.writes.in_flight -= 1;
        let Some(entry) = self.entry_mut(key) else { return };
        entry.pending.in_flight = false;
        self.queue_anew(key, now);
    }

    /// Takes note of what became of a write.
    pub fn written(&mut self, key: EntryKey, revision: Revision, written: Written, now: Now) {
        self.writes.in_flight -= 1;
        let Some(entry) = self.entry_mut(key) else { return };
        entry.pending.in_flight = false;
        match written {
            Written::Stored(view) => self.stored(key, revision, &view, now),
            // An object that is gone leaves with the watch; until then a "not found" may be an API server's mistake.
            Written::Conflict | Written::Failed | Written::Gone => entry.pending.failures += 1,
        }
        self.queue_anew(key, now);
    }

    /// Queues what an entry still has to write.
    pub(super) fn queue_anew(&mut self, key: EntryKey, now: Now) {
        let Some(entry) = self.entries.get(key.slot as usize).filter(|entry| entry.serial == key.serial) else {
            return;
        };
        if let Some(change) = entry.pending.change {
            self.writes.queue(key, entry, change, self.settings.progress_interval, now.mono);
        }
    }

    fn stored(&mut self, key: EntryKey, revision: Revision, view: &ImageTaskView, now: Now) {
        let entry = &mut self.entries[key.slot as usize];
        let version = view.metadata.resource_version.as_ref().and_then(|version| version.parse().ok());
        entry.version = entry.version.max(version.unwrap_or(0));
        entry.pending.failures = 0;
        entry.pending.last = Some(now.mono.into());
        if std::mem::take(&mut entry.pending.unseen) {
            let age = now.wall.shown().duration_since(entry.followed.created.timestamp());
            self.news.push(News::FirstStatus(age.try_into().unwrap_or_default()));
        }
        // A newer version that the watch has shown already is somebody else's: ours is written once more on it.
        let overwritten = version.is_some_and(|version: u64| entry.watched > version);
        if entry.pending.revision != revision.0 || overwritten {
            return;
        }
        entry.pending.change = None;
        if std::mem::take(&mut entry.pending.announce) {
            self.announce(key);
        }
        // The watch may have told of this write before its answer came.
        let entry = &self.entries[key.slot as usize];
        if entry.watched >= entry.version {
            self.review(key, now);
        }
    }
}

/// Which of an entry's decisions a write told.
#[derive(Clone, Copy, Debug)]
pub struct Revision(u32);

impl Write {
    /// Which decision this write tells.
    pub fn revision(&self) -> Revision {
        Revision(self.revision)
    }
}
