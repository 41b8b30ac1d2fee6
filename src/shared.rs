//! The one index, shared by the loops, with the two bells that wake them.

use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use crate::clock::{Clock, Now};
use crate::events;
use crate::index::{Index, News, Settings};
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
        let now = self.clock.now();
        let mut index = self.lock();
        let result = change(&mut index, now);
        let news = index.take_news();
        drop(index);
        for news in news {
            self.metrics.happened(&news);
            if let News::Told(announcement) = news {
                self.events.offer(announcement);
            }
        }
        self.looks.notify_one();
        self.writes.notify_one();
        result
    }

    /// Looks into the index, or takes from it what is due.
    pub fn with<T>(&self, read: impl FnOnce(&mut Index, Now) -> T) -> T {
        let now = self.clock.now();
        read(&mut self.lock(), now)
    }

    /// A panic in one change leaves the index as far as it came; going on beats stopping everyone's tasks.
    fn lock(&self) -> MutexGuard<'_, Index> {
        self.index.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
