//! The times of an election.

use std::time::Duration;

/// The times of an election, in the proportions of client-go's 15 s, 10 s and 2 s.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Terms {
    /// How long others wait for a leader that is silent.
    pub(super) duration: Duration,
    /// How long a leader leads without a renewal.
    pub(super) renew_within: Duration,
    /// Between two renewals, and after what failed.
    pub(super) retry: Duration,
    /// The longest call: three that hang fit into a term.
    pub(super) attempt: Duration,
    /// What candidates wait beyond what they must, each for itself, so that they do not all come at once.
    pub(super) jitter: Duration,
}

impl Terms {
    /// The times for a lease duration; `jitter`, from 0 to 1, tells candidates apart.
    pub fn of(duration: Duration, jitter: f64) -> Self {
        let retry = duration * 2 / 15;
        Self {
            duration,
            renew_within: duration * 2 / 3,
            retry,
            attempt: duration / 5,
            jitter: retry.mul_f64(jitter.clamp(0.0, 1.0)),
        }
    }

    /// Between two renewals, and after what failed.
    pub fn retry(&self) -> Duration {
        self.retry
    }
}
