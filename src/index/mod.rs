//! The index: every unfinished ImageTask, kept in memory and nowhere else. Synchronous and pure but for what it holds:
//! each method takes the moment, changes the index, and leaves the doing (asking, reading, writing) to its caller.

mod arrivals;
mod blame;
mod breaker;
mod canary;
mod candidates;
mod change;
mod cut;
mod damping;
mod deadlines;
mod directory;
mod dispatch;
mod entry;
mod foreign;
mod isolation;
mod key;
mod lane;
mod lanes;
mod leading;
mod looks;
mod members;
mod namespaces;
mod news;
mod own;
mod pending;
mod pick;
mod rechecks;
mod pool;
mod read_schedule;
mod ring;
mod rounds;
mod sent;
mod shares;
mod source;
mod sources;
mod spoilers;
mod subject;
mod turns;
mod unsettled;
mod writes;

pub use change::{Change, Written};
pub use key::{EntryKey, ObjectName, WatchId};
pub use looks::{Due, Question};
pub use news::{Announcement, News};
pub use source::{Own, SecretFault, SecretName, Unusable};
pub use writes::{Revision, Write};

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use slab::Slab;

use crate::api::Phase;
use crate::clock::Now;
use crate::deadline::Deadline;
use crate::ecs::Region;
use crate::followed::Followed;
use crate::observation::{Look, Observation};
use crate::reconcile::{Next, Outcome, Rules, reconcile};
use crate::schedule::Rate;
use deadlines::Deadlines;
use directory::Directory;
use entry::{Entry, Seat};
use foreign::{ForeignWrites, Worth};
use lanes::Lanes;
use leading::Term;
use pool::Pool;
use rechecks::Rechecks;
use shares::Shares;
use source::Source;
use writes::Writes;

/// What the administrator decides.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The graces of the status table.
    pub rules: Rules,
    /// Between two looks at one running task.
    pub poll_interval: Duration,
    /// Ceiling of calls a second per lane.
    pub account_qps: f64,
    /// Ceiling of calls a second of the whole operator.
    pub total_qps: f64,
    /// At least this between two writes of progress only.
    pub progress_interval: Duration,
    /// Where tasks are looked for that name no region.
    pub default_region: Option<Region>,
    /// The operator's own credentials.
    pub own_credentials: Option<Own>,
    /// Who may use them.
    pub lent_to: Namespaces,
    /// How long a replica is believed to lead that is silent.
    pub lease_duration: Duration,
}

/// A set of namespaces.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Namespaces {
    /// All of them.
    All,
    /// These.
    Named(BTreeSet<String>),
}

impl Namespaces {
    /// Whether it holds the namespace.
    pub fn contains(&self, namespace: &str) -> bool {
        match self {
            Self::All => true,
            Self::Named(names) => names.contains(namespace),
        }
    }
}

/// Every unfinished ImageTask.
pub struct Index {
    settings: Settings,
    term: Term,
    entries: Slab<Entry>,
    serial: u32,
    directory: Directory,
    lists: HashMap<WatchId, u32>,
    lanes: Lanes,
    /// Turns that lanes have had.
    turns: u64,
    shares: Shares,
    total: Rate,
    sources: Slab<Source>,
    source_of: HashMap<Option<SecretName>, usize>,
    deadlines: Deadlines,
    rechecks: Rechecks,
    texts: Pool,
    writes: Writes,
    foreign_writes: ForeignWrites,
    news: Vec<News>,
}

impl Index {
    /// An empty index that is asleep: it keeps what arrives, and decides nothing before [`Index::lead`].
    pub fn new(settings: Settings) -> Self {
        Self {
            total: Rate::new(settings.total_qps, settings.total_qps.ceil().max(1.0) as u32),
            writes: Writes::new(settings.progress_interval),
            foreign_writes: ForeignWrites::new(settings.lease_duration),
            settings,
            term: Term::Asleep,
            entries: Slab::new(),
            serial: 0,
            directory: Directory::default(),
            lists: HashMap::new(),
            lanes: Lanes::default(),
            turns: 0,
            shares: Shares::default(),
            sources: Slab::new(),
            source_of: HashMap::new(),
            deadlines: Deadlines::default(),
            rechecks: Rechecks::default(),
            texts: Pool::default(),
            news: Vec::new(),
        }
    }

    /// Unfinished ImageTasks by phase; one that was never written counts as pending. None while asleep: another
    /// replica follows them.
    pub fn phases(&self) -> impl Iterator<Item = (Phase, usize)> {
        let mut counts = Phase::ALL.map(|phase| (phase, 0));
        for entry in self.followed_here() {
            let phase = entry.followed.status.phase().unwrap_or(Phase::Pending);
            counts.iter_mut().filter(|(counted, _)| *counted == phase).for_each(|(_, count)| *count += 1);
        }
        counts.into_iter().filter(|(phase, _)| !phase.is_end())
    }

    /// Stored objects that break the rules of the CRD, or have a field that this version does not know. None while asleep.
    pub fn invalid_objects(&self) -> usize {
        self.followed_here().filter(|entry| entry.followed.spec.is_err()).count()
    }

    /// Statuses that wait to be written or are being written. What is held because it changes back and forth waits for
    /// nothing but time, and is not counted.
    pub fn status_queue(&self) -> usize {
        self.writes.len()
    }

    /// Decides anew without a look, and sees to it that the entry is looked at if it needs to be.
    fn review(&mut self, key: EntryKey, now: Now) {
        let look = Look { begun: now, seen: Observation::Nothing };
        let Some(next) = self.judge(key, &look, now) else { return };
        self.recheck(key, now);
        let slot = key.slot as usize;
        if next == Next::Never {
            self.vacate(key);
            self.deadlines.clear(key);
        } else if self.entries[slot].seat == Seat::None {
            let due = self.due_when_seated(key, now);
            self.take_seat(key, due, now);
            self.arm(key);
        }
        let entry = &self.entries[slot];
        if entry.pending.is_settled() && is_done(&entry.followed, now, &self.settings.rules) {
            self.remove(key);
        }
    }

    /// Reconciles one entry, keeps what comes of it, and returns when to look next; `None` if it is gone.
    fn judge(&mut self, key: EntryKey, look: &Look<'_>, now: Now) -> Option<Next> {
        let rules = self.settings.rules;
        let deadline = self.deadline_at(key, look);
        let entry = self.entry_mut(key)?;
        let Outcome { status, trouble, next } = reconcile(&entry.followed, look, deadline, now, &rules);
        entry.followed.trouble = trouble.map(Box::new);
        if let Some(status) = status {
            if status.is_finished() && !entry.followed.status.is_finished() {
                self.news.extend(status.standing.as_ref().map(|standing| News::Ended(standing.reason)));
                self.deadlines.clear(key);
            }
            self.keep(key, status, now);
        }
        Some(next)
    }

    fn announce(&mut self, key: EntryKey) {
        let entry = &self.entries[key.slot as usize];
        self.news.extend(entry.announcement(self.name_of(entry)).map(News::Told));
    }

    /// Takes note of a status that somebody else has written.
    fn foreign_write(&mut self, key: EntryKey, now: Now) {
        let told = match self.foreign_writes.seen(now.mono) {
            Worth::Nothing => return,
            Worth::Counted => None,
            Worth::Told => self.entry(key).map(|entry| self.name_of(entry)),
        };
        self.news.push(News::ForeignWrite { told });
    }

    /// What happened since the last call.
    pub fn take_news(&mut self) -> Vec<News> {
        std::mem::take(&mut self.news)
    }

    /// Asks for a look out of turn, and for the credentials to be read anew where they are the trouble.
    fn poke(&mut self, key: EntryKey, now: Now) {
        let Some(entry) = self.entry_mut(key) else { return };
        match entry.seat {
            Seat::None => {}
            Seat::Waiting { source } => self.sources[source.get()].hurry(now.mono),
            Seat::Taken { source, lane, subject } => {
                self.lanes[lane.get()].poke(subject, now.mono);
                self.sources[source.get()].hurry(now.mono);
            }
        }
    }

    /// When an entry that takes a seat is due: at once (`None`) where somebody waits for it or its deadline has passed, else
    /// within an interval.
    fn due_when_seated(&self, key: EntryKey, now: Now) -> Option<Duration> {
        let entry = &self.entries[key.slot as usize];
        let is_urgent = entry.is_urgent() || self.deadlines.has_passed(key);
        (!is_urgent).then(|| now.mono + entry.spread(self.settings.poll_interval))
    }

    fn remove(&mut self, key: EntryKey) {
        self.vacate(key);
        self.deadlines.clear(key);
        self.rechecks.set(key, None);
        self.writes.damping.forget(key);
        self.directory.remove(&self.entries, key.slot);
        self.entries.remove(key.slot as usize);
    }

    fn find(&self, object: &ObjectName) -> Option<EntryKey> {
        let slot = self.directory.find(&self.entries, object)? as usize;
        Some(key_of(slot, &self.entries[slot]))
    }

    fn entry(&self, key: EntryKey) -> Option<&Entry> {
        self.entries.get(key.slot as usize).filter(|entry| entry.serial == key.serial)
    }

    fn entry_mut(&mut self, key: EntryKey) -> Option<&mut Entry> {
        self.entries.get_mut(key.slot as usize).filter(|entry| entry.serial == key.serial)
    }

    /// What an entry is called in the cluster.
    fn name_of(&self, entry: &Entry) -> ObjectName {
        ObjectName { namespace: self.directory.namespace(entry.tenant).clone(), name: entry.name.clone() }
    }
}

/// A finished object whose status needs nothing more costs nothing from then on.
fn is_done(followed: &Followed, now: Now, rules: &Rules) -> bool {
    let look = Look { begun: now, seen: Observation::Nothing };
    followed.status.is_finished() && reconcile(followed, &look, Deadline::Open, now, rules).status.is_none()
}

fn key_of(slot: usize, entry: &Entry) -> EntryKey {
    EntryKey { slot: u32::try_from(slot).expect("memory ends before 4 billion entries"), serial: entry.serial }
}

#[cfg(test)]
mod tests;
