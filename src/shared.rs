//! The one index, shared by the loops, with the two bells that wake them.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use k8s_openapi::jiff::Timestamp;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};
use tracing::warn;

use crate::clock::{self, Clock, Now, Wall};
use crate::events;
use crate::index::{Due, Index, News, Settings};
use crate::metrics::Metrics;
use crate::server_clock::ServerClock;

/// What the loops share.
pub struct Shared {
    index: Mutex<Index>,
    server: Mutex<ServerClock>,
    /// The clock of all loops.
    pub clock: Clock,
    /// Rings when something may be due to be asked.
    pub looks: Notify,
    /// Rings when something may be due to be written.
    pub writes: Notify,
    /// What is counted.
    pub metrics: Metrics,
    events: events::Queue,
}

impl Shared {
    /// An empty index.
    pub fn new(settings: Settings, metrics: Metrics, events: events::Queue) -> Self {
        Self {
            index: Mutex::new(Index::new(settings)),
            server: Mutex::default(),
            clock: Clock::start(),
            looks: Notify::new(),
            writes: Notify::new(),
            metrics,
            events,
        }
    }

    /// This moment, by the API server's time of day once it is known.
    pub fn now(&self) -> Now {
        let now = self.clock.now();
        match self.server().now(now.mono) {
            Some(time) => Now { wall: Wall::Server(time), ..now },
            None => now,
        }
    }

    /// An answer of the API server, which arrives now, has this date.
    pub fn heard(&self, date: Timestamp) {
        if self.server().heard(date, self.clock.mono()) {
            self.looks.notify_one();
        }
    }

    /// How far the machine's own time of day is ahead of the API server's, in seconds; `None` where that is not known.
    pub fn skew(&self) -> Option<f64> {
        let server = self.server().now(self.clock.mono())?;
        Some(clock::local().duration_since(server).as_secs_f64())
    }

    /// Changes the index, and wakes whom that may concern.
    pub fn change<T>(&self, change: impl FnOnce(&mut Index, Now) -> T) -> T {
        let result = self.act(change);
        self.looks.notify_one();
        self.writes.notify_one();
        result
    }

    /// What is due to be asked; finding that out may have decided statuses, as when a deadline has passed.
    pub fn due(&self) -> Due {
        let due = self.act(Index::due);
        self.writes.notify_one();
        due
    }

    /// Looks into the index.
    pub fn with<T>(&self, read: impl FnOnce(&mut Index, Now) -> T) -> T {
        let mut index = self.lock();
        let now = self.now();
        read(&mut index, now)
    }

    /// Waits for a bell, or until a moment.
    pub async fn wait(&self, bell: &Notify, until: Option<Duration>) {
        match until.map(|moment| Instant::from_std(self.clock.instant(moment))) {
            None => bell.notified().await,
            Some(moment) => {
                tokio::select! {
                    () = bell.notified() => {}
                    () = sleep_until(moment) => {}
                }
            }
        }
    }

    fn act<T>(&self, act: impl FnOnce(&mut Index, Now) -> T) -> T {
        let mut index = self.lock();
        let now = self.now();
        let result = act(&mut index, now);
        let news = index.take_news();
        drop(index);
        for news in news {
            self.metrics.happened(&news);
            match news {
                News::Ended(_) | News::FirstStatus(_) | News::ForeignWrite { told: None } => {}
                News::Told(announcement) => self.events.offer(announcement),
                News::ForeignWrite { told: Some(object) } => warn!(
                    namespace = %object.namespace,
                    name = %object.name,
                    "somebody else writes statuses of ImageTasks, which never settles: let one operator alone follow each, by \
                     its namespaces, its selector or one Lease"
                ),
            }
        }
        result
    }

    fn server(&self) -> MutexGuard<'_, ServerClock> {
        self.server.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock(&self) -> MutexGuard<'_, Index> {
        // In the release build a panic ends the process, and the next one starts from what is stored.
        self.index.lock().expect("no change of the index panics")
    }
}
