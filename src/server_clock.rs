//! The API server's time of day, as the `Date` headers of its answers tell it.
//!
//! The creation of an ImageTask is a moment of that clock, and so is its deadline. An answer is dated before it arrives,
//! so one with a right date never tells a time that is still to come. Of the two newest answers the earlier time counts: a
//! single wrong date ahead changes nothing, and one behind only delays, until two right ones have come.

use std::time::Duration;

use k8s_openapi::jiff::{SignedDuration, Timestamp};

/// The API server's clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct ServerClock {
    newest: Option<Heard>,
    before: Option<Heard>,
}

/// The date of one answer.
#[derive(Clone, Copy, Debug)]
struct Heard {
    date: Timestamp,
    at: Duration,
}

/// More than the fractions of a second that a date in whole seconds leaves out.
const JUMP: SignedDuration = SignedDuration::from_secs(1);

impl ServerClock {
    /// Takes the date of an answer that arrived at `at`. Returns whether the time jumped ahead with it, so that what waits
    /// for a moment may be due already.
    pub fn heard(&mut self, date: Timestamp, at: Duration) -> bool {
        let told = self.now(at);
        self.before = self.newest;
        self.newest = Some(Heard { date, at });
        match (told, self.now(at)) {
            (Some(told), Some(now)) => now.duration_since(told) > JUMP,
            (None, now) => now.is_some(),
            (Some(_), None) => false,
        }
    }

    /// The time of day at `mono`, up to a second and the way of an answer late. `None` before two answers: a single one
    /// may be wrong.
    pub fn now(&self, mono: Duration) -> Option<Timestamp> {
        let [newest, before] = [self.newest?, self.before?].map(|heard| heard.now(mono));
        Some(newest.min(before))
    }
}

impl Heard {
    /// Whatever a date says, this is a time that can be told.
    fn now(self, mono: Duration) -> Timestamp {
        let passed = SignedDuration::try_from(mono.saturating_sub(self.at)).unwrap_or(SignedDuration::MAX);
        self.date.checked_add(passed).unwrap_or(Timestamp::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_700_000_000 + seconds).unwrap()
    }

    fn secs(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    /// A clock that has heard these dates, one a second.
    fn heard(dates: &[i64]) -> ServerClock {
        let mut clock = ServerClock::default();
        for (second, date) in (0..).zip(dates) {
            clock.heard(at(*date), secs(second));
        }
        clock
    }

    const HOURS: i64 = 7_200;

    #[test]
    fn the_time_is_not_known_before_two_answers() {
        assert_eq!([heard(&[]).now(secs(9)), heard(&[0]).now(secs(9)), heard(&[HOURS]).now(secs(9))], [None; 3]);
        assert_eq!(heard(&[0, 1]).now(secs(9)), Some(at(9)));
    }

    #[test]
    fn a_single_date_that_is_ahead_changes_nothing_and_one_behind_is_forgotten_with_the_second_right_one() {
        for dates in [&[HOURS, 1][..], &[0, 1, 2 + HOURS], &[0, 1 + HOURS, 2], &[0, 1, 2 - HOURS, 3, 4]] {
            assert_eq!(heard(dates).now(secs(100)), Some(at(100)), "{dates:?}");
        }
        assert_eq!(heard(&[0, 1, 2 - HOURS]).now(secs(100)), Some(at(100 - HOURS)));
        assert_eq!(heard(&[0, 1, 2 - HOURS, 3]).now(secs(100)), Some(at(100 - HOURS)));
    }

    #[test]
    fn a_jump_ahead_is_told_and_the_fractions_of_seconds_are_not() {
        let mut clock = ServerClock::default();
        let dates = [(0, 0), (1, 1), (1, 2), (3, 3), (4 - HOURS, 4), (5, 5), (6, 6), (7, 7)];
        let jumps = dates.map(|(date, mono)| clock.heard(at(date), secs(mono)));
        assert_eq!(jumps, [false, true, false, false, false, false, true, false]);
    }

    #[test]
    fn no_date_is_too_large_to_be_counted_on_from() {
        let mut clock = ServerClock::default();
        for mono in [0, 1] {
            clock.heard(Timestamp::MAX, secs(mono));
        }
        assert_eq!(clock.now(Duration::MAX), Some(Timestamp::MAX));
        clock.heard(Timestamp::MIN, Duration::MAX);
        assert_eq!(clock.now(Duration::ZERO), Some(Timestamp::MIN));
    }

    proptest! {
        /// Answers at any pace, each some time under way, dated in whole seconds; false ones come one at a time.
        #[test]
        fn with_single_false_dates_the_time_is_never_ahead_and_right_with_the_second_true_answer_in_a_row(
            answers in prop::collection::vec((0_u64..20_000, 0_u64..3_000, prop::option::of(-HOURS..=HOURS)), 0..40),
            look in 0_u64..5_000,
        ) {
            let mut clock = ServerClock::default();
            let truth = |mono: Duration| at(0) + mono;
            let (mut mono, mut was_false, mut true_ones) = (Duration::ZERO, false, 0);
            for (pause, way, shift) in answers {
                let way = Duration::from_millis(way);
                mono += Duration::from_millis(pause) + way;
                let shift = shift.filter(|_| !was_false);
                let date = truth(mono - way).as_second() + shift.unwrap_or_default();
                clock.heard(Timestamp::from_second(date).unwrap(), mono);
                was_false = shift.is_some();
                true_ones = if was_false { 0 } else { true_ones + 1 };
                let later = mono + Duration::from_millis(look);
                if let Some(told) = clock.now(later) {
                    prop_assert!(told <= truth(later), "{told} is ahead of {}", truth(later));
                    let late = truth(later).duration_since(told);
                    prop_assert!(true_ones < 2 || late <= SignedDuration::from_secs(4), "{late} late after {true_ones}");
                }
                prop_assert!(true_ones < 2 || clock.now(later).is_some());
            }
        }
    }
}
