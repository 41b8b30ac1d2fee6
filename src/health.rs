//! Whether the loops turn, and whether the first lists are done: what `/livez` and `/readyz` say.

use std::future::Future;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::timeout;

use crate::clock::Clock;

/// A loop that has not turned for this long makes `/livez` fail.
const STUCK: Duration = Duration::from_secs(60);

/// An idle loop turns this often, to show that it could.
const PULSE: Duration = Duration::from_secs(10);

/// The state of all loops.
#[derive(Clone)]
pub struct Health {
    clock: Clock,
    loops: Arc<Mutex<Vec<Loop>>>,
}

/// One loop that reports its turning.
#[derive(Clone)]
pub struct Loop {
    name: &'static str,
    clock: Clock,
    turned: Arc<AtomicU64>,
    ready: Arc<AtomicBool>,
}

impl Health {
    /// Nothing turns yet.
    pub fn new(clock: Clock) -> Self {
        Self { clock, loops: Arc::default() }
    }

    /// A loop that is ready from the start.
    pub fn register(&self, name: &'static str) -> Loop {
        let turned = Arc::new(AtomicU64::new(seconds(&self.clock)));
        let it = Loop { name, clock: self.clock, turned, ready: Arc::new(AtomicBool::new(true)) };
        self.loops.lock().unwrap_or_else(PoisonError::into_inner).push(it.clone());
        it
    }

    /// A loop that becomes ready only when it says so.
    pub fn register_unready(&self, name: &'static str) -> Loop {
        let it = self.register(name);
        it.ready.store(false, Ordering::Relaxed);
        it
    }

    /// This moment, on the clock that the loops report by.
    pub fn now(&self) -> Duration {
        self.clock.mono()
    }

    /// The first loop that has stopped turning.
    pub fn stuck(&self, now: Duration) -> Option<&'static str> {
        let now = now.as_secs();
        self.find(|it| now.saturating_sub(it.turned.load(Ordering::Relaxed)) > STUCK.as_secs())
    }

    /// The first loop that is not ready.
    pub fn unready(&self) -> Option<&'static str> {
        self.find(|it| !it.ready.load(Ordering::Relaxed))
    }

    fn find(&self, wanted: impl Fn(&Loop) -> bool) -> Option<&'static str> {
        let loops = self.loops.lock().unwrap_or_else(PoisonError::into_inner);
        loops.iter().find(|it| wanted(it)).map(|it| it.name)
    }
}

impl Loop {
    /// Waits for what the loop waits for, and reports that it turns meanwhile.
    pub async fn turning<T>(&self, wait: impl Future<Output = T>) -> T {
        let mut wait = std::pin::pin!(wait);
        loop {
            self.turned.store(seconds(&self.clock), Ordering::Relaxed);
            if let Ok(done) = timeout(PULSE, &mut wait).await {
                return done;
            }
        }
    }

    /// Says that the loop is not ready any more.
    pub fn unready(&self) {
        self.ready.store(false, Ordering::Relaxed);
    }

    /// Says that the loop is ready; returns whether that is news.
    pub fn ready(&self) -> bool {
        !self.ready.swap(true, Ordering::Relaxed)
    }
}

fn seconds(clock: &Clock) -> u64 {
    clock.mono().as_secs()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loop_that_has_not_turned_for_a_minute_is_stuck() {
        let health = Health::new(Clock::start());
        let _poll = health.register("poll");
        let at = |seconds| health.stuck(Duration::from_secs(seconds));
        assert_eq!([at(0), at(60), at(61)], [None, None, Some("poll")]);
    }

    #[tokio::test(start_paused = true)]
    async fn an_idle_loop_turns() {
        let clock = Clock::start();
        let health = Health::new(clock);
        let idle = health.register("watch");
        idle.turned.store(0, Ordering::Relaxed);
        assert!(timeout(Duration::from_secs(120), idle.turning(std::future::pending::<()>())).await.is_err());
        assert_eq!(health.stuck(health.now() + STUCK), None);
    }

    #[test]
    fn all_loops_must_be_ready() {
        let health = Health::new(Clock::start());
        let _poll = health.register("poll");
        let watch = health.register_unready("watch");
        assert_eq!(health.unready(), Some("watch"));
        assert!(watch.ready() && !watch.ready());
        assert_eq!(health.unready(), None);
    }
}
