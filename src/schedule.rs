//! The arithmetic of the schedule: pure, every moment an argument, counted from the operator's start.

use std::time::Duration;

use crate::ecs::{Ids, TaskId};

/// Slowest asking of what does not answer.
pub const SLOWEST: Duration = Duration::from_secs(300);

/// Ids that one call can ask for.
pub const BATCH: usize = Ids::<TaskId>::MAX;

/// Doubles from `beat` with every step, up to [`SLOWEST`] or the beat where that is longer.
pub fn backoff(beat: Duration, step: u32) -> Duration {
    let factor = 2_u32.checked_pow(step).unwrap_or(u32::MAX);
    beat.saturating_mul(factor).min(SLOWEST.max(beat))
}

/// When a session that was asked for at `begun` is renewed: a fifth of its life early, which for the usual hour leaves
/// 12 min in which to try again. The SDKs renew 60 s early, and fail with the first failure.
pub fn renewal(begun: Duration, lifetime: Duration) -> Duration {
    begun.saturating_add(lifetime / 5 * 4)
}

/// How the looks at `ids` ids are spread over one interval, so that calls come at the least possible rate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// Time between two calls: ⌈ids/100⌉ of them fill an interval.
    pub spacing: Duration,
    /// Ids in each of them, evenly.
    pub share: usize,
}

impl Pace {
    /// The pace for `ids` ids, each to be asked once in `interval`.
    pub fn of(ids: usize, interval: Duration) -> Self {
        let calls = ids.div_ceil(BATCH).max(1);
        let spacing = interval / u32::try_from(calls).unwrap_or(u32::MAX);
        Self { spacing, share: ids.div_ceil(calls).max(1) }
    }
}

/// How fast a lane asks.
#[derive(Clone, Copy, Debug)]
pub struct Tempo {
    /// Between two looks at one id, where the rate allows it.
    pub interval: Duration,
    /// Between two calls.
    pub call: Duration,
    /// Calls that it takes to ask once for all ids of the lane that share calls, whether they have a task or not.
    pub calls: usize,
}

impl Tempo {
    /// The time that so many calls take.
    pub fn time_of(&self, calls: usize) -> Duration {
        self.call * u32::try_from(calls).unwrap_or(u32::MAX)
    }
}

/// A ceiling of events a second, kept by the generic cell rate algorithm: lowered by throttling, recovering slowly.
#[derive(Clone, Debug)]
pub struct Rate {
    ceiling: f64,
    current: f64,
    burst: f64,
    /// When the next event would be due if all came evenly.
    due: Duration,
}

impl Rate {
    /// Least rate that throttling can bring about: one call in 5 min, as [`SLOWEST`].
    const FLOOR: f64 = 1.0 / 300.0;

    /// A part of the ceiling that each good answer gives back: a halved rate is whole again after 25 of them.
    const RECOVERY: f64 = 0.02;

    /// `ceiling` events a second, of which `burst` may come at once after a pause.
    pub fn new(ceiling: f64, burst: u32) -> Self {
        Self { ceiling, current: ceiling, burst: f64::from(burst.max(1)), due: Duration::ZERO }
    }

    /// The earliest moment for the next event.
    pub fn ready_at(&self) -> Duration {
        self.due.saturating_sub(Duration::from_secs_f64((self.burst - 1.0) / self.current))
    }

    /// The earliest moment for an event that leaves the burst to others.
    pub fn idle_at(&self) -> Duration {
        self.due
    }

    /// Time between two events at the rate of the moment.
    pub fn spacing(&self) -> Duration {
        Duration::from_secs_f64(1.0 / self.current)
    }

    /// Counts an event at `now`.
    pub fn take(&mut self, now: Duration) {
        self.due = self.due.max(now) + self.spacing();
    }

    /// Halves the rate.
    pub fn halve(&mut self) {
        self.current = (self.current / 2.0).max(Self::FLOOR.min(self.ceiling));
    }

    /// Lets nothing pass before `until`.
    pub fn hold_until(&mut self, until: Duration) {
        self.due = self.due.max(until);
    }

    /// Gives back a part of what throttling took.
    pub fn recover(&mut self) {
        self.current = (self.current + self.ceiling * Self::RECOVERY).min(self.ceiling);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn trouble_is_asked_ever_more_rarely_up_to_five_minutes() {
        let waits = [0, 1, 2, 3, 4, 5, 6, 40].map(|step| backoff(10 * SECOND, step).as_secs());
        assert_eq!(waits, [10, 20, 40, 80, 160, 300, 300, 300]);
        assert_eq!(backoff(600 * SECOND, 3), 600 * SECOND);
    }

    #[test]
    fn a_session_is_renewed_a_fifth_of_its_life_early() {
        let at = |seconds| renewal(7 * SECOND, seconds * SECOND).as_secs();
        assert_eq!([0, 60, 900, 3_600, 43_200].map(at), [7, 55, 727, 2_887, 34_567]);
        assert_eq!(renewal(7 * SECOND, Duration::MAX).as_secs(), u64::MAX / 5 * 4 + 7);
    }

    #[test]
    fn ids_are_spread_evenly_over_the_interval() {
        let pace = |ids| {
            let Pace { spacing, share } = Pace::of(ids, 10 * SECOND);
            (spacing.as_millis(), share)
        };
        assert_eq!(
            [0, 1, 100, 101, 250, 10_000].map(pace),
            [(10_000, 1), (10_000, 1), (10_000, 100), (5_000, 51), (3_333, 84), (100, 100)]
        );
    }

    #[test]
    fn a_throttled_rate_halves_and_comes_back_slowly() {
        let mut rate = Rate::new(4.0, 1);
        rate.take(SECOND);
        assert_eq!(rate.ready_at().as_millis(), 1_250);
        rate.halve();
        rate.hold_until(5 * SECOND);
        assert_eq!(rate.ready_at(), 5 * SECOND);
        rate.take(5 * SECOND);
        assert_eq!(rate.ready_at().as_millis(), 5_500);
        (0..25).for_each(|_| rate.recover());
        rate.take(6 * SECOND);
        assert_eq!(rate.ready_at().as_millis(), 6_250);
    }

    proptest! {
        #[test]
        fn a_rate_keeps_its_ceiling(waits in prop::collection::vec(0_u64..2_000, 1..200), burst in 1_u32..5) {
            let mut rate = Rate::new(4.0, burst);
            let mut now = Duration::ZERO;
            let mut taken = Vec::new();
            for wait in waits {
                now = (now + Duration::from_millis(wait)).max(rate.ready_at());
                rate.take(now);
                taken.push(now);
            }
            for (i, first) in taken.iter().enumerate() {
                let within = taken[i..].iter().filter(|at| **at < *first + SECOND).count();
                prop_assert!(within <= 4 + burst as usize);
            }
        }

        #[test]
        fn a_pace_covers_every_id_at_the_least_number_of_calls(ids in 1_usize..200_000) {
            let pace = Pace::of(ids, 10 * SECOND);
            let calls = ids.div_ceil(BATCH);
            prop_assert!(pace.share <= BATCH && pace.share * calls >= ids);
            prop_assert!(pace.spacing * u32::try_from(calls).unwrap() <= 10 * SECOND);
        }
    }
}
