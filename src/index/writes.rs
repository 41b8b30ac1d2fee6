//! Statuses that wait to be written: the newest wins, ends go first, progress waits its turn.

use std::collections::BTreeSet;
use std::time::Duration;

use super::change::{Change, Written};
use super::damping::{Damping, Returned};
use super::entry::Entry;
use super::key::{EntryKey, ObjectName};
use super::pending::Pending;
use super::rounds::Rounds;
use super::{Index, News};
use crate::api::{ImageTaskStatus, ImageTaskView};
use crate::clock::Now;
use crate::schedule::{Rate, backoff};
use crate::status::Status;

/// Writes under way at once; kube's client speaks HTTP/1.1, so each is a connection.
const MOST_IN_FLIGHT: usize = 32;

/// Writes a second, a ceiling that delays progress only.
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

/// The order of writing; what waits for no moment goes by turns of the tenants.
pub(super) struct Writes {
    ends: Rounds,
    states: Rounds,
    /// What is tried again, by the moment it may be.
    retries: BTreeSet<(Duration, EntryKey)>,
    /// Progress, by the moment it may be written.
    progress: BTreeSet<(Duration, EntryKey)>,
    /// Entries that change back and forth, and what of them waits.
    pub(super) damping: Damping,
    /// There will be no later moment to write: nothing waits for its own.
    is_last: bool,
    in_flight: usize,
    ceiling: Rate,
}

impl Writes {
    pub(super) fn new(progress_interval: Duration) -> Self {
        Self {
            damping: Damping::new(progress_interval),
            is_last: false,
            ends: Rounds::default(),
            states: Rounds::default(),
            retries: BTreeSet::new(),
            progress: BTreeSet::new(),
            in_flight: 0,
            ceiling: Rate::new(PROGRESS_CEILING, 1),
        }
    }

    /// Statuses that wait or are under way; one that waits twice counts twice, one that is held does not.
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
            Change::State if !self.is_last && pending.exempt == 0 && self.damping.hold(key, now) => {}
            Change::State => self.states.push(*tenant, key),
            Change::Progress => {
                let pace = if self.is_last { Duration::ZERO } else { pace };
                let due = pending.last.map_or(now, |last| now.max(Duration::from(last) + pace));
                let damped = self.damping.earliest_write(key, now).filter(|_| !self.is_last);
                self.progress.insert((damped.map_or(due, |earliest| due.max(earliest)), key));
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

    /// Whether what an entry has to write waits for a later moment than the one that a queue still had of it.
    fn waits(&self, key: EntryKey, pending: &Pending, now: Duration) -> bool {
        let is_progress = pending.change == Some(Change::Progress) && pending.failures == 0 && !self.is_last;
        pending.in_flight || self.damping.holds(key) || (is_progress && self.damping.earliest_write(key, now).is_some())
    }

    /// Takes note of a decided change, which may have to wait. Returns whether something that waited need not any more.
    fn take_note(&mut self, key: EntryKey, entry: &Entry, change: Change, now: Duration) -> bool {
        let is_exempt = entry.pending.exempt == entry.pending.revision;
        if change == Change::State && !is_exempt {
            self.damping.changed(key, now);
        }
        is_exempt && self.damping.release(key)
    }

    /// Keeps what was decided `before` a write that has to wait, where nothing but progress of it may be unwritten.
    fn remember(&mut self, key: EntryKey, entry: &Entry, before: Status, unwritten: Option<Change>) {
        let is_complete = match unwritten {
            None => true,
            Some(Change::Progress) => false,
            Some(Change::State | Change::End) => return,
        };
        if !entry.pending.in_flight && entry.pending.failures == 0 {
            self.damping.remember(key, before, is_complete);
        }
    }

    /// Lets everything be written now that waits for its moment, and whatever comes after it.
    fn hurry(&mut self) {
        if std::mem::replace(&mut self.is_last, true) {
            return;
        }
        let waiting = std::mem::take(&mut self.retries).into_iter().chain(std::mem::take(&mut self.progress));
        let waiting = waiting.map(|(_, entry)| entry).chain(self.damping.let_all_go());
        self.retries = waiting.map(|entry| (Duration::ZERO, entry)).collect();
    }

    fn next(&self) -> Option<Duration> {
        let retry = self.retries.first().map(|(due, _)| *due);
        let progress = self.progress.first().map(|(due, _)| (*due).max(self.ceiling.ready_at()));
        [retry, progress, self.damping.next()].into_iter().flatten().min()
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
        let before = std::mem::replace(&mut entry.followed.status, status);
        entry.followed.share_id();
        let was = entry.pending.change;
        let change = entry.pending.decide(&before, &entry.followed.status);
        let is_released = self.writes.take_note(key, entry, change, now.mono);
        if is_released || was.is_none_or(|was| change < was) {
            self.writes.queue(key, entry, change, self.settings.progress_interval, now.mono);
            self.writes.remember(key, entry, before, was);
        } else if change == Change::State {
            self.take_back(key, now);
        }
    }

    /// Writes nothing, or progress alone, of an entry whose state has returned to the written one while it was held.
    fn take_back(&mut self, key: EntryKey, now: Now) {
        let entry = &mut self.entries[key.slot as usize];
        let Some(Returned { status, has_progress }) = self.writes.damping.returned(key, &entry.followed.status) else {
            return;
        };
        self.writes.damping.release(key);
        entry.followed.status = status;
        entry.followed.share_id();
        entry.pending.change = has_progress.then_some(Change::Progress);
        entry.pending.announce = false;
        self.queue_anew(key, now);
    }

    /// The statuses that may be written now, and when the next may.
    pub fn due_writes(&mut self, now: Now) -> (Vec<Write>, Option<Duration>) {
        let mut due = Vec::new();
        if !self.is_leading(now) {
            return (due, None);
        }
        while let Some(key) = self.writes.damping.let_go(now.mono) {
            self.queue_anew(key, now);
        }
        self.writes.damping.forget_still(now.mono);
        while self.writes.in_flight < MOST_IN_FLIGHT {
            let Some(key) = self.writes.pop(now.mono) else { break };
            let Some(object) = self.entry(key).map(|entry| self.name_of(entry)) else { continue };
            let entry = &mut self.entries[key.slot as usize];
            let pending = &mut entry.pending;
            let Some(change) = pending.change.filter(|_| !self.writes.waits(key, pending, now.mono)) else { continue };
            pending.in_flight = true;
            let is_counted = pending.exempt == 0 && pending.failures == 0;
            self.writes.damping.wrote(key, is_counted, now.mono);
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

    /// Lets everything be written now that waits for its moment, because there will be no later one. Once is enough.
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
        let has_crossed = std::mem::take(&mut entry.pending.crossed);
        let was_refused = matches!(written, Written::Conflict);
        match written {
            Written::Stored(view) => self.stored(key, revision, &view, now),
            // An object that is gone leaves with the watch; until then a "not found" may be an API server's mistake.
            Written::Conflict | Written::Failed | Written::Gone => entry.pending.failures += 1,
        }
        if has_crossed && was_refused {
            self.foreign_write(key, now);
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
        let digest = Status::parse(&view.status).digest();
        entry.pending.failures = 0;
        entry.pending.last = Some(now.mono.into());
        if std::mem::take(&mut entry.pending.unseen) {
            let age = now.wall.shown().duration_since(entry.followed.created.timestamp());
            self.news.push(News::FirstStatus(age.try_into().unwrap_or_default()));
        }
        // A newer version that the watch has shown already is somebody else's: ours is written once more on it.
        let overwritten = version.is_some_and(|version: u64| entry.watched > version);
        if !overwritten {
            entry.stored = digest;
            entry.pending.exempt = if entry.pending.exempt <= revision.0 { 0 } else { entry.pending.exempt };
        } else if entry.stored != digest {
            self.foreign_write(key, now);
        }
        let entry = &mut self.entries[key.slot as usize];
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

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::tests::{World, secs};
    use super::*;
    use crate::ecs::ErrorKind;

    /// A world of one task that has been looked at, with its looks in the middle of each ten seconds to come.
    fn world() -> World {
        let mut world = World::new();
        world.create("t-1");
        world.run(secs(5));
        world
    }

    /// One look that finds the task in a state.
    fn look(world: &mut World, state: &'static str) {
        world.tasks.insert("t-1".into(), state);
        world.run(secs(10));
    }

    /// Looks that find it in another state each time, beginning and ending with `Running`.
    fn flip(world: &mut World, looks: usize) {
        for n in 0..looks {
            look(world, if n % 2 == 0 { "Running" } else { "Pending" });
        }
    }

    fn written_since(world: &World, from: Duration) -> Vec<(u64, &str)> {
        let writes = world.writes.iter().filter(|write| write.at >= from);
        writes.map(|write| ((write.at - from).as_secs(), write.reason.as_str())).collect()
    }

    #[test]
    fn a_task_that_is_absent_from_every_other_answer_causes_no_write_at_all() {
        let mut world = world();
        for n in 0..360 {
            match n % 2 {
                0 => drop(world.tasks.remove("t-1")),
                _ => drop(world.tasks.insert("t-1".into(), "Running")),
            }
            world.run(secs(10));
        }
        assert_eq!((world.told("t-1"), world.asked("t-1")), (vec!["TaskRunning"], 361));
    }

    #[test]
    fn a_task_that_is_refused_or_in_an_unknown_state_every_other_time_causes_no_write_at_all() {
        let mut world = world();
        for n in 0..60 {
            look(&mut world, if n % 2 == 0 { "Defragmenting" } else { "Running" });
        }
        world.create("t-2");
        world.run(secs(5));
        for n in 0..60 {
            world.cloud = Box::new(move |call| match n % 2 == 0 && call.ids.contains(&"t-1".into()) {
                true => Err(ErrorKind::Rejected),
                false => Ok(()),
            });
            world.run(secs(10));
        }
        assert_eq!(world.told("t-1"), ["TaskRunning"]);
    }

    #[test]
    fn a_task_that_is_in_another_state_at_every_look_is_written_twenty_times_in_an_hour() {
        let mut world = world();
        flip(&mut world, 360);
        let writes: Vec<_> = world.writes.iter().map(|write| write.at).collect();
        assert!(writes.len() <= 20, "{} writes", writes.len());
        let pauses: Vec<_> = writes.windows(2).map(|pair| (pair[1] - pair[0]).as_secs()).collect();
        assert!(
            pauses[3..].iter().zip([30, 60, 120, 240, 300, 300]).all(|(pause, least)| *pause >= least),
            "{pauses:?}"
        );
    }

    #[test]
    fn after_a_hundred_changes_an_end_is_written_at_once() {
        let mut world = world();
        flip(&mut world, 100);
        let from = world.now;
        look(&mut world, "Succeeded");
        let end = world.looked_at("t-1", from) + world.latency;
        let last = world.writes.last().map(|write| (write.at, write.change, write.reason.as_str()));
        assert_eq!(last, Some((end, Change::End, "TaskSucceeded")));
    }

    #[test]
    fn after_a_hundred_changes_a_new_spec_and_an_annotation_are_answered_at_once() {
        let mut world = world();
        flip(&mut world, 101);
        let from = world.now;
        world.tasks.insert("t-1".into(), "Pending");
        world.ask_for_a_look("t-1", "now");
        world.run(secs(1));
        assert_eq!(written_since(&world, from), [(0, "TaskPending")]);
        assert_eq!(world.objects["t-1"]["status"]["lastHandledReconcileAt"], "now");
        let from = world.now;
        world.edit("t-1", json!({"taskId": "t-1", "suspend": true}));
        world.run(secs(1));
        assert_eq!(written_since(&world, from), [(0, "Suspended")]);
    }

    #[test]
    fn after_a_hundred_changes_it_enters_and_leaves_stalled_at_once() {
        let mut world = world();
        world.create("t-2");
        flip(&mut world, 101);
        world.cloud = Box::new(|call| match call.ids.contains(&"t-1".into()) {
            true => Err(ErrorKind::Rejected),
            false => Ok(()),
        });
        world.run(secs(1_200));
        assert_eq!(world.phase("t-1"), "Error");
        // Refusals that come meanwhile from another mouth change what is said of it, and wait.
        for n in 0..20 {
            let kind = if n % 2 == 0 { ErrorKind::AccessDenied } else { ErrorKind::Rejected };
            world.cloud = Box::new(move |call| if call.ids.contains(&"t-1".into()) { Err(kind) } else { Ok(()) });
            world.ask_for_a_look("t-1", &n.to_string());
            world.run(secs(20));
        }
        world.cloud = Box::new(|_| Ok(()));
        let from = world.now;
        world.run(secs(310));
        let healed = world.looked_at("t-1", from) + world.latency;
        let write = world.writes.iter().find(|write| write.at >= from && write.name == "t-1").expect("it heals");
        assert_eq!((write.at, write.reason.as_str()), (healed, "TaskRunning"));
    }

    /// Changes the task until a change waits: the word that is told, and the other one.
    fn with_a_change_that_waits(world: &mut World) -> (&'static str, &'static str) {
        flip(world, 100);
        let is_running = world.told("t-1").last() == Some(&"TaskRunning");
        let (here, other) = if is_running { ("Running", "Pending") } else { ("Pending", "Running") };
        look(world, here);
        look(world, other);
        assert_eq!(world.index.writes.damping.held_count(), 1, "it waits");
        (here, other)
    }

    #[test]
    fn a_state_that_returns_before_its_time_is_not_written_and_one_that_stays_is() {
        let mut world = world();
        let (here, other) = with_a_change_that_waits(&mut world);
        let from = world.now;
        look(&mut world, here);
        assert_eq!(world.index.writes.damping.held_count(), 0);
        world.run(secs(400));
        assert_eq!(written_since(&world, from), []);
        let from = world.now;
        look(&mut world, other);
        world.run(secs(600));
        assert_eq!(written_since(&world, from).len(), 1);
        assert_eq!(world.index.writes.damping.unsteady_count(), 0, "what is still costs nothing");
    }

    #[test]
    fn a_task_that_changes_once_in_a_while_is_never_kept_waiting() {
        let mut world = world();
        for n in 0..20 {
            let from = world.now;
            look(&mut world, if n % 2 == 0 { "Pending" } else { "Running" });
            let learnt = world.looked_at("t-1", from) + world.latency;
            assert_eq!(world.writes.last().map(|write| write.at), Some(learnt));
            world.run(secs(110));
        }
    }

    #[test]
    fn the_progress_of_a_task_that_changes_back_and_forth_is_written_no_more_often_than_its_state() {
        let mut world = world();
        world.process = |at| u8::try_from(at.as_secs() / 40).ok();
        flip(&mut world, 361);
        let pauses: Vec<_> = world.writes.windows(2).map(|pair| (pair[1].at - pair[0].at).as_secs()).collect();
        assert!(pauses[3..].iter().zip([30, 60, 120, 240]).all(|(pause, least)| *pause >= least), "{pauses:?}");
        assert!(pauses.len() <= 20 && pauses[7..].iter().all(|pause| *pause >= 300), "{pauses:?}");
        let told = world.objects["t-1"]["status"]["process"].as_u64();
        assert!(told >= Some(80), "{told:?} of 90");
    }

    #[test]
    fn a_status_that_somebody_else_wrote_while_ours_waited_is_written_over() {
        let mut world = world();
        let (here, _) = with_a_change_that_waits(&mut world);
        let ours = world.objects["t-1"]["status"].clone();
        let spec = world.objects["t-1"]["spec"].clone();
        let mut theirs = ours.clone();
        theirs["conditions"][0]["message"] = json!("all is well");
        world.store("t-1", spec, theirs);
        look(&mut world, here);
        world.run(secs(600));
        assert_eq!(world.objects["t-1"]["status"]["conditions"][0]["reason"], ours["conditions"][0]["reason"]);
        assert_ne!(world.objects["t-1"]["status"]["conditions"][0]["message"], "all is well");
    }

    #[test]
    fn what_waits_is_written_before_a_clean_stop_and_then_nothing_waits_any_more() {
        let mut world = world();
        flip(&mut world, 100);
        while world.index.writes.damping.held_count() == 0 {
            flip(&mut world, 1);
            look(&mut world, "Pending");
        }
        let from = world.now;
        world.index.hurry_writes();
        world.run(secs(1));
        assert_eq!(written_since(&world, from).len(), 1);
        let from = world.now;
        flip(&mut world, 10);
        assert_eq!((written_since(&world, from).len(), world.index.status_queue()), (10, 0));
    }

    #[test]
    fn what_was_decided_while_a_write_was_under_way_waits_too() {
        let mut world = world();
        flip(&mut world, 100);
        world.unanswered = Some(Vec::new());
        let mut states = ["Running", "Pending"].into_iter().cycle();
        while world.index.writes.in_flight == 0 {
            look(&mut world, states.next().expect("it goes on for ever"));
        }
        look(&mut world, states.next().expect("it goes on for ever"));
        assert_eq!(world.answer_writes(), 1);
        world.unanswered = None;
        let from = world.now;
        world.run(secs(270));
        assert_eq!(written_since(&world, from), []);
        world.run(secs(40));
        assert_eq!(written_since(&world, from).len(), 1);
    }

    #[test]
    fn a_deleted_entry_is_held_no_more() {
        let mut world = world();
        flip(&mut world, 100);
        world.delete("t-1");
        assert_eq!((world.index.writes.damping.held_count(), world.index.writes.damping.unsteady_count()), (0, 0));
        world.store("t-1", json!({"taskId": "t-1"}), Value::Null);
        let from = world.now;
        world.run(secs(1));
        assert_eq!(written_since(&world, from).len(), 1, "a first status waits for nothing");
    }
}
