//! The clock, read at the edges only and handed down: deciding takes the time as an argument.

use std::time::{Duration, Instant};

use k8s_openapi::jiff::Timestamp;

/// One moment, on both clocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Now {
    /// Time since the operator started; never goes back, so graces and schedules count on it.
    pub mono: Duration,
    /// The time of day, for what users read and for deadlines.
    pub wall: Timestamp,
}

/// Reads the moment.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    start: Instant,
}

impl Clock {
    /// A clock that starts now.
    #[expect(clippy::disallowed_methods, reason = "the one place")]
    pub fn start() -> Self {
        Self { start: Instant::now() }
    }

    /// This moment.
    #[expect(clippy::disallowed_methods, reason = "the one place")]
    pub fn now(&self) -> Now {
        Now { mono: self.start.elapsed(), wall: Timestamp::now() }
    }

    /// The instant at which `mono` is reached.
    pub fn instant(&self, mono: Duration) -> Instant {
        self.start + mono
    }
}
