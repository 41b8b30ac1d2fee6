//! The clock, read at the edges only and handed down: deciding takes the time as an argument.

use std::num::NonZeroU64;
use std::str::FromStr;
use std::time::{Duration, Instant};

use k8s_openapi::jiff::Timestamp;
use rustix::time::{ClockId, clock_gettime};

/// One moment, on both clocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Now {
    /// Time since the operator started; never goes back and goes on while the machine sleeps, so graces, schedules and
    /// the term of leadership count on it.
    pub mono: Duration,
    /// The time of day.
    pub wall: Wall,
}

/// The time of day, and whose it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wall {
    /// The API server's, which judges deadlines.
    Server(Timestamp),
    /// The machine's own, as long as the API server's is not known. It is good enough to be written; no deadline is
    /// judged by it.
    Local(Timestamp),
}

impl Wall {
    /// The time of day for what users read.
    pub fn shown(self) -> Timestamp {
        match self {
            Self::Server(time) | Self::Local(time) => time,
        }
    }

    /// The API server's time of day, if it is known.
    pub fn server(self) -> Option<Timestamp> {
        match self {
            Self::Server(time) => Some(time),
            Self::Local(_) => None,
        }
    }
}

/// A moment of the clock that never goes back, packed: half of a [`Duration`], and its absence costs nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment(NonZeroU64);

impl Moment {
    /// The end of the clock.
    pub const MAX: Self = Self(NonZeroU64::MAX);
}

/// What is beyond the clock, 584 years on, is taken for its end.
impl From<Duration> for Moment {
    fn from(mono: Duration) -> Self {
        let nanoseconds = u64::try_from(mono.as_nanos()).unwrap_or(u64::MAX);
        Self(NonZeroU64::MIN.saturating_add(nanoseconds))
    }
}

impl From<Moment> for Duration {
    fn from(moment: Moment) -> Self {
        Self::from_nanos(moment.0.get() - 1)
    }
}

/// A moment in whole seconds, as Kubernetes keeps them, packed: there are many tasks, each with several of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Second(u32);

impl Second {
    /// The earliest.
    pub const FIRST: Self = Self(0);

    /// The second of a moment; what is before 1970 or after 2106 is taken for those.
    pub fn of(moment: Timestamp) -> Self {
        let bounded = moment.as_second().clamp(0, u32::MAX.into());
        Self(u32::try_from(bounded).expect("it is within the bounds"))
    }

    /// The second so much later, in whole seconds; what is after 2106 is taken for that.
    pub fn saturating_add(self, time: Duration) -> Self {
        Self(self.0.saturating_add(u32::try_from(time.as_secs()).unwrap_or(u32::MAX)))
    }

    /// Packed, to be read by [`Second::from_bytes`].
    pub fn to_bytes(self) -> [u8; 4] {
        self.0.to_be_bytes()
    }

    /// What was packed by [`Second::to_bytes`].
    pub fn from_bytes(bytes: [u8; 4]) -> Self {
        Self(u32::from_be_bytes(bytes))
    }

    /// The moment at which it begins.
    pub fn timestamp(self) -> Timestamp {
        Timestamp::from_second(self.0.into()).expect("the year 2106 is in range")
    }
}

impl FromStr for Second {
    type Err = k8s_openapi::jiff::Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse().map(Self::of)
    }
}

/// Reads the moment.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    /// Time that the machine had been up, asleep or awake.
    start: Duration,
}

impl Clock {
    /// A clock that starts now.
    pub fn start() -> Self {
        Self { start: up() }
    }

    /// This moment, by the machine's own time of day.
    pub fn now(&self) -> Now {
        Now { mono: self.mono(), wall: Wall::Local(local()) }
    }

    /// The time since the start.
    pub fn mono(&self) -> Duration {
        up().saturating_sub(self.start)
    }

    /// The instant at which `mono` is reached if the machine stays awake until then; of what is past, this one, and none
    /// that is further away than a year.
    #[expect(clippy::disallowed_methods, reason = "the one place")]
    pub fn instant(&self, mono: Duration) -> Instant {
        let left = mono.saturating_sub(self.mono()).min(YEAR);
        Instant::now() + left
    }
}

/// Beyond it the instants of a machine may end.
const YEAR: Duration = Duration::from_secs(365 * 24 * 3_600);

/// The machine's own time of day.
#[expect(clippy::disallowed_methods, reason = "the one place")]
pub fn local() -> Timestamp {
    Timestamp::now()
}

/// Time since the machine was started. `Instant` stands still while it sleeps, this clock does not.
fn up() -> Duration {
    clock_gettime(ClockId::Boottime).try_into().expect("the kernel counts from zero upwards")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_ahead_is_as_far_ahead_on_the_clock_that_timers_use() {
        let clock = Clock::start();
        let ahead = Duration::from_secs(3_600);
        let before = clock.instant(Duration::ZERO);
        let left = clock.instant(clock.mono() + ahead) - before;
        let passed = clock.mono();
        assert!((ahead..=ahead + passed).contains(&left), "{left:?} in place of {ahead:?}, {passed:?} after the start");
    }
}
