//! The clock, read at the edges only and handed down: deciding takes the time as an argument.

use std::num::NonZeroU64;
use std::str::FromStr;
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
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
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
