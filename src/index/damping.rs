//! What changes back and forth is written ever more rarely, until it was still for a while.
//!
//! Three changes of state within ten progress intervals are written as they come. After that an entry is damped: there is
//! one write an interval, then one in two, doubling to 5 min, until nothing has changed for ten intervals. A changed state
//! that has to wait is *held*. Entries that are still are not in here, and cost nothing.

use std::collections::BTreeSet;
use std::collections::btree_map::{BTreeMap, Entry};
use std::time::Duration;

use super::change::Change;
use super::key::EntryKey;
use crate::clock::Moment;
use crate::message::tell_the_same;
use crate::schedule::backoff;
use crate::status::Status;

/// Changes within the window that are written as they come.
const FREE: usize = 3;

/// Intervals that the window has.
const WINDOW: u32 = 10;

/// The entries that have changed lately.
pub(super) struct Damping {
    /// First pause between two writes of a damped entry.
    interval: Duration,
    unsteady: BTreeMap<EntryKey, Unsteady>,
    /// Since when each of them counts as still, if nothing changes until then.
    still: BTreeSet<(Moment, EntryKey)>,
    /// Those that are held, by the moment they are let go.
    held: BTreeSet<(Moment, EntryKey)>,
}

/// An entry that has changed lately.
struct Unsteady {
    /// The last changes, the oldest first.
    recent: [Option<Moment>; FREE],
    last: Moment,
    /// When it was last written.
    written: Option<Moment>,
    /// Writes since it is damped; `None`: it is not.
    step: Option<u8>,
    held: Option<Held>,
}

/// A write that has to wait.
struct Held {
    until: Moment,
    /// What is written as yet, where that is known.
    written: Option<Box<Written>>,
}

/// What was decided before a write came to be held.
struct Written {
    status: Status,
    /// Whether all of it is written, and not all but its progress.
    is_complete: bool,
}

/// A decided status that tells the state that is written already.
pub(super) struct Returned {
    /// It, with the words that are written.
    pub(super) status: Status,
    /// Whether it tells progress that is not written yet.
    pub(super) has_progress: bool,
}

impl Damping {
    pub(super) fn new(interval: Duration) -> Self {
        Self { interval, unsteady: BTreeMap::new(), still: BTreeSet::new(), held: BTreeSet::new() }
    }

    /// The state of an entry has changed.
    pub(super) fn changed(&mut self, key: EntryKey, now: Duration) {
        let window = self.interval * WINDOW;
        let unsteady = match self.unsteady.entry(key) {
            Entry::Occupied(known) => {
                let known = known.into_mut();
                self.still.remove(&(later(known.last, window), key));
                known.change(now, window);
                known
            }
            Entry::Vacant(new) => new.insert(Unsteady::new(now)),
        };
        self.still.insert((later(unsteady.last, window), key));
        // While it changes on it is not still, so its write may have to wait longer than was thought.
        if self.holds(key) {
            self.hold(key, now);
        }
    }

    /// Before this nothing of the entry is written that is not exempt; `None`: it may be now.
    pub(super) fn earliest_write(&self, key: EntryKey, now: Duration) -> Option<Duration> {
        self.unsteady.get(&key)?.earliest_write(self.interval).filter(|earliest| *earliest > now)
    }

    /// Holds the write of a changed state if it is to wait. Returns whether it is.
    pub(super) fn hold(&mut self, key: EntryKey, now: Duration) -> bool {
        let until = self.earliest_write(key, now).map(Moment::from);
        let Some(unsteady) = self.unsteady.get_mut(&key) else { return false };
        let before = unsteady.held.take();
        if let Some(Held { until, .. }) = before {
            self.held.remove(&(until, key));
        }
        // One that was held stays so until it is let go, lest it is lost.
        let due = before.as_ref().map(|_| Moment::from(now));
        let Some(until) = until.or(due) else { return false };
        unsteady.held = Some(Held { until, written: before.and_then(|held| held.written) });
        self.held.insert((until, key));
        true
    }

    /// Whether a write of the entry is held.
    pub(super) fn holds(&self, key: EntryKey) -> bool {
        self.unsteady.get(&key).is_some_and(|unsteady| unsteady.held.is_some())
    }

    /// Keeps what was decided before the write that is held: it is written, maybe but for progress.
    pub(super) fn remember(&mut self, key: EntryKey, status: Status, is_complete: bool) {
        if let Some(held) = self.unsteady.get_mut(&key).and_then(|unsteady| unsteady.held.as_mut()) {
            held.written = Some(Box::new(Written { status, is_complete }));
        }
    }

    /// Somebody else has written the object: what was written by us is of no interest any more.
    pub(super) fn distrust(&mut self, key: EntryKey) {
        if let Some(held) = self.unsteady.get_mut(&key).and_then(|unsteady| unsteady.held.as_mut()) {
            held.written = None;
        }
    }

    /// The status to go on with, if what is decided is, of a held entry, the state that is written already.
    pub(super) fn returned(&self, key: EntryKey, decided: &Status) -> Option<Returned> {
        let Written { status: written, is_complete } = self.unsteady.get(&key)?.held.as_ref()?.written.as_deref()?;
        let status = back_to(written, decided)?;
        let has_progress = !is_complete || status != *written;
        Some(Returned { status, has_progress })
    }

    /// Nothing of the entry is held any more. Returns whether something was.
    pub(super) fn release(&mut self, key: EntryKey) -> bool {
        let held = self.unsteady.get_mut(&key).and_then(|unsteady| unsteady.held.take());
        held.is_some_and(|held| self.held.remove(&(held.until, key)))
    }

    /// Lets the next entry go whose write may wait no longer.
    pub(super) fn let_go(&mut self, now: Duration) -> Option<EntryKey> {
        let (_, key) = *self.held.first().filter(|(until, _)| *until <= now.into())?;
        self.release(key);
        Some(key)
    }

    /// Lets everything go.
    pub(super) fn let_all_go(&mut self) -> Vec<EntryKey> {
        let held: Vec<_> = self.held.iter().map(|(_, key)| *key).collect();
        for key in &held {
            self.release(*key);
        }
        held
    }

    /// When the next entry is let go.
    pub(super) fn next(&self) -> Option<Duration> {
        self.held.first().map(|(until, _)| (*until).into())
    }

    /// Writes that are held.
    #[cfg(test)]
    pub(super) fn held_count(&self) -> usize {
        self.held.len()
    }

    /// A status is being written, which slows the next one down if it counts: what is exempt does not, nor does one that
    /// is tried again.
    pub(super) fn wrote(&mut self, key: EntryKey, is_counted: bool, now: Duration) {
        let Some(unsteady) = self.unsteady.get_mut(&key) else { return };
        unsteady.written = Some(now.into());
        if let Some(step) = unsteady.step.as_mut().filter(|_| is_counted) {
            *step = step.saturating_add(1);
        }
    }

    /// Forgets an entry.
    pub(super) fn forget(&mut self, key: EntryKey) {
        self.release(key);
        if let Some(gone) = self.unsteady.remove(&key) {
            self.still.remove(&(later(gone.last, self.interval * WINDOW), key));
        }
    }

    /// Forgets the entries that are still, once what was held of them is let go.
    pub(super) fn forget_still(&mut self, now: Duration) {
        while let Some(&(_, key)) = self.still.first().filter(|(from, _)| *from <= now.into()) {
            self.forget(key);
        }
    }

    /// Entries that have changed lately.
    #[cfg(test)]
    pub(super) fn unsteady_count(&self) -> usize {
        self.unsteady.len().max(self.still.len())
    }
}

impl Unsteady {
    fn new(now: Duration) -> Self {
        let now = Moment::from(now);
        Self { recent: [None, None, Some(now)], last: now, written: None, step: None, held: None }
    }

    fn change(&mut self, now: Duration, window: Duration) {
        let is_within = |moment: Moment| later(moment, window) > now.into();
        if !is_within(self.last) {
            self.step = None;
        }
        if self.recent[0].is_some_and(is_within) {
            self.step = self.step.or(Some(0));
        }
        self.last = now.into();
        self.recent.rotate_left(1);
        self.recent[FREE - 1] = Some(self.last);
    }

    /// Before this it is not written; `None`: it is written at once.
    fn earliest_write(&self, interval: Duration) -> Option<Duration> {
        let pause = backoff(interval, self.step?.into());
        let still = later(self.last, interval * WINDOW);
        Some(still.min(later(self.written?, pause)).into())
    }
}

/// The written status with the progress of what is decided, if both tell the same state.
fn back_to(written: &Status, decided: &Status) -> Option<Status> {
    let (told, now) = written.standing.as_ref().zip(decided.standing.as_ref())?;
    let is_same = told.course == now.course && told.reason == now.reason && tell_the_same(&told.message, &now.message);
    let status = Status { standing: Some(told.clone()), ..decided.clone() };
    (is_same && Change::between(written, &status) == Change::Progress).then_some(status)
}

fn later(moment: Moment, by: Duration) -> Moment {
    (Duration::from(moment) + by).into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::conditions::{Course, Standing};
    use crate::clock::Second;
    use crate::ecs::{Task, TaskId, Words};
    use crate::reason::Reason;
    use k8s_openapi::jiff::Timestamp;

    const INTERVAL: Duration = Duration::from_secs(30);

    const KEY: EntryKey = EntryKey { slot: 1, serial: 1 };

    fn secs(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    /// Changes at these seconds, each of which is written as soon as it may be; the seconds of the writes until `end`.
    fn writes(changes: &[u64], end: u64) -> Vec<u64> {
        let mut damping = Damping::new(INTERVAL);
        let mut writes = Vec::new();
        let mut write = |damping: &mut Damping, now: u64| {
            damping.wrote(KEY, true, secs(now));
            writes.push(now);
        };
        for now in 0..end {
            if damping.let_go(secs(now)).is_some() {
                write(&mut damping, now);
            }
            damping.forget_still(secs(now));
            if changes.contains(&now) {
                damping.changed(KEY, secs(now));
                if !damping.hold(KEY, secs(now)) {
                    write(&mut damping, now);
                }
            }
        }
        writes
    }

    fn every(seconds: usize, end: u64) -> Vec<u64> {
        (0..end).step_by(seconds).collect()
    }

    #[test]
    fn three_changes_within_ten_intervals_are_written_as_they_come() {
        assert_eq!(writes(&[0, 1, 2], 400), [0, 1, 2]);
        assert_eq!(writes(&every(100, 2_000), 2_000), every(100, 2_000));
    }

    #[test]
    fn beyond_three_there_is_one_write_an_interval_doubling_to_five_minutes() {
        assert_eq!(writes(&every(10, 1_500), 1_500), [0, 10, 20, 50, 110, 230, 470, 770, 1_070, 1_370]);
        // A change that comes after the pause waits for nothing.
        assert_eq!(writes(&[0, 1, 2, 40, 41, 42], 400), [0, 1, 2, 40, 100]);
    }

    #[test]
    fn what_was_still_for_ten_intervals_is_told_and_begins_anew() {
        let flips: Vec<_> = every(10, 500);
        let flipping = [0, 10, 20, 50, 110, 230, 470];
        assert_eq!(writes(&flips, 1_200), [&flipping[..], &[770]].concat(), "the last change, at 490, is told");
        let again: Vec<_> = flips.iter().copied().chain([800, 801, 802, 803]).collect();
        assert_eq!(writes(&again, 1_200), [&flipping[..], &[770, 800, 801, 802, 832]].concat());
    }

    #[test]
    fn an_interval_that_is_short_is_over_before_the_pause_is() {
        let mut damping = Damping::new(secs(1));
        for now in 0..200 {
            damping.changed(KEY, secs(now));
            if !damping.hold(KEY, secs(now)) || damping.let_go(secs(now)).is_some() {
                damping.wrote(KEY, true, secs(now));
            }
        }
        assert_eq!(damping.next(), Some(secs(209)), "ten intervals after the last change");
    }

    #[test]
    fn an_exempt_write_lets_the_next_one_wait_no_longer_than_another() {
        let mut damping = Damping::new(INTERVAL);
        for now in 0..3 {
            damping.changed(KEY, secs(now));
            damping.wrote(KEY, true, secs(now));
        }
        for now in [10, 20, 30] {
            damping.wrote(KEY, false, secs(now));
        }
        damping.changed(KEY, secs(40));
        assert!(damping.hold(KEY, secs(40)));
        assert_eq!(damping.next(), Some(secs(60)));
    }

    #[test]
    fn entries_that_are_still_or_gone_cost_nothing() {
        let mut damping = Damping::new(INTERVAL);
        let key = |slot| EntryKey { slot, serial: 0 };
        for now in 0..4 {
            (0..100).for_each(|slot| damping.changed(key(slot), secs(now)));
            for slot in 0..100 {
                damping.hold(key(slot), secs(now));
                damping.wrote(key(slot), true, secs(now));
            }
        }
        (0..50).for_each(|slot| damping.forget(key(slot)));
        assert_eq!(damping.unsteady_count(), 50);
        damping.forget_still(secs(302));
        assert_eq!(damping.unsteady_count(), 50);
        damping.forget_still(secs(303));
        assert_eq!((damping.unsteady_count(), damping.held_count()), (0, 0));
    }

    fn status(reason: Reason, word: &str, process: u8, request: &str) -> Status {
        let second = Second::of(Timestamp::UNIX_EPOCH);
        let message = format!("told [request {request}]").into();
        let words = Words { status: Some(word), process: Some(process), ..Words::default() };
        Status {
            observed_generation: 1,
            reported: Some(Task::new(TaskId::parse("t-1").unwrap(), words)),
            standing: Some(Standing::next(None, Course::Progressing, reason, message, second)),
            ..Status::UNSEEN
        }
    }

    /// What comes of a decided status while another one is held: the status to go on with, and whether it tells progress.
    fn returned(decided: &Status, is_complete: bool) -> Option<(Status, bool)> {
        let mut damping = Damping::new(INTERVAL);
        for now in 0..4 {
            damping.changed(KEY, secs(now));
            damping.wrote(KEY, true, secs(now));
        }
        assert!(damping.hold(KEY, secs(4)));
        damping.remember(KEY, status(Reason::TaskRunning, "Running", 40, "first"), is_complete);
        damping.returned(KEY, decided).map(|Returned { status, has_progress }| (status, has_progress))
    }

    #[test]
    fn a_state_that_returns_to_what_is_written_keeps_its_words_and_has_at_most_progress_to_tell() {
        let written = |process| status(Reason::TaskRunning, "Running", process, "first");
        let back = status(Reason::TaskRunning, "Running", 40, "second");
        assert_eq!(returned(&back, true), Some((written(40), false)));
        assert_eq!(returned(&back, false), Some((written(40), true)));
        let further = status(Reason::TaskRunning, "Running", 50, "second");
        assert_eq!(returned(&further, true), Some((written(50), true)));
        for other in [
            status(Reason::TaskPending, "Running", 40, "second"),
            status(Reason::TaskRunning, "Odd", 40, "second"),
            Status { handled: Some("now".into()), ..written(40) },
        ] {
            assert_eq!(returned(&other, true), None);
        }
    }
}
