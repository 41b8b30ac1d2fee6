//! The one index, shared by the loops, with the two bells that wake them.

use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

use crate::clock::{Clock, Now};
use crate::events;
use crate::index::{Due, Index, News, Settings};
use crate::metrics::Metrics;

/// What the loops share.
pub struct Shared {
    index: Mutex<Index>,
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
            clock: Clock::start(),
            looks: Notify::new(),
            writes: Notify::new(),
            metrics,
            events,
        }
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
        let now = self.clock.now();
        read(&mut self.lock(), now)
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
        let now = self.clock.now();
        let mut index = self.lock();
        let result = act(&mut index, now);
        let news = index.take_news();
        drop(index);
        for news in news {
            self.metrics.happened(&news);
            if let News::Told(announcement) = news {
                self.events.offer(announcement);
            }
        }
        result
    }

    fn lock(&self) -> MutexGuard<'_, Index> {
        // In the release build a panic ends the process, and the next one starts from what is stored.
        self.index.lock().expect("no change of the index panics")
    }
}
