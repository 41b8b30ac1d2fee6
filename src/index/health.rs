//! Whether a lane as a whole is well, and when it is probed if it is not.

use std::time::Duration;

use crate::ecs::ErrorKind;
use crate::schedule::backoff;

/// The health of a lane.
#[derive(Default)]
pub(super) enum LaneHealth {
    /// The last call was answered.
    #[default]
    Well,
    /// Every call fails: single probes, ever more rarely.
    Probing {
        kind: ErrorKind,
        since: Duration,
        step: u32,
        /// When the last failure was told; calls begun before it are no probes.
        told: Duration,
        next: Duration,
    },
}

impl LaneHealth {
    /// Whether single probes take the place of calls.
    pub(super) fn is_probing(&self) -> bool {
        match self {
            Self::Well => false,
            Self::Probing { .. } => true,
        }
    }

    /// What every call fails with.
    pub(super) fn kind(&self) -> Option<ErrorKind> {
        match self {
            Self::Well => None,
            Self::Probing { kind, .. } => Some(*kind),
        }
    }

    /// Probes as soon as that, for there is reason to hope.
    pub(super) fn probe_at(&mut self, moment: Duration) {
        match self {
            Self::Well => {}
            Self::Probing { next, .. } => *next = moment.min(*next),
        }
    }

    /// Nothing may be asked before.
    pub(super) fn next_probe(&self) -> Duration {
        match self {
            Self::Well => Duration::ZERO,
            Self::Probing { next, .. } => *next,
        }
    }

    /// A call that began at `begun` failed for the lane as a whole. Returns since when this trouble lasts.
    pub(super) fn failed(&mut self, kind: ErrorKind, begun: Duration, now: Duration, interval: Duration) -> Duration {
        let (since, step) = match *self {
            Self::Well => (now, 0),
            Self::Probing { since, told, .. } if begun < told => return since,
            Self::Probing { since, step, kind: before, .. } => {
                (if row(before) == row(kind) { since } else { now }, step + 1)
            }
        };
        let pause = backoff(interval, step).max(kind.retry_after().unwrap_or_default());
        *self = Self::Probing { kind, since, step, told: now, next: now + pause };
        since
    }
}

/// The rows of the status table that lane-wide trouble belongs to: within one it goes on, whatever it is called.
#[derive(PartialEq, Eq)]
enum Row {
    Cloud,
    Credentials,
    Refused,
}

fn row(kind: ErrorKind) -> Row {
    match kind {
        ErrorKind::Throttled { .. } | ErrorKind::Unreachable | ErrorKind::Unavailable | ErrorKind::Clock => Row::Cloud,
        ErrorKind::CredentialsInvalid => Row::Credentials,
        ErrorKind::AccessDenied | ErrorKind::Rejected => Row::Refused,
    }
}
