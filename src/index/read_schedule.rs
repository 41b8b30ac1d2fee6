//! When a source of credentials is read next: routinely, or sooner after the cloud refused what was read, or after a
//! reading that brought nothing.

use std::time::Duration;

use crate::schedule::backoff;

/// Longest pause between two readings of what cannot be used as it is, or the poll interval where that is longer.
const SLOWEST: Duration = Duration::from_secs(60);

/// Least time between two readings of one source, whoever asks.
const LEAST_PAUSE: Duration = Duration::from_secs(1);

/// When a source is read next. A reading that is due is never put off: whatever happens until then only brings it
/// forward.
#[derive(Debug)]
pub(super) struct ReadSchedule {
    /// First pause; pauses double from it.
    interval: Duration,
    cause: Cause,
    next: Next,
    /// When it would be read had nobody asked for it out of turn.
    regular: Option<Duration>,
    /// When the last reading began.
    begun: Option<Duration>,
}

/// Why it is read next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cause {
    /// What was read is good, as far as is known.
    Routine,
    /// The cloud refuses what was read; so many readings have begun since.
    Refusal { step: u32 },
    /// So many readings in a row have brought nothing.
    Failure { step: u32 },
}

/// What comes next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    /// Nothing, ever.
    Never,
    /// A reading, at that moment.
    At(Duration),
    /// The end of the one that is under way; whether another is wanted soon after it.
    End { again: bool },
}

impl ReadSchedule {
    /// That of what is never read.
    pub(super) fn never() -> Self {
        Self { interval: Duration::ZERO, cause: Cause::Routine, next: Next::Never, regular: None, begun: None }
    }

    /// That of what was never read, and is read at `now` for the first time.
    pub(super) fn new(interval: Duration, now: Duration) -> Self {
        Self { interval, next: Next::At(now), ..Self::never() }
    }

    /// When it is read next; `None` while it is being read, and for what is never read.
    pub(super) fn next(&self) -> Option<Duration> {
        match self.next {
            Next::At(moment) => Some(moment),
            Next::Never | Next::End { .. } => None,
        }
    }

    /// When the last reading began.
    pub(super) fn begun(&self) -> Option<Duration> {
        self.begun
    }

    /// Whether what was read is good, as far as is known.
    pub(super) fn is_routine(&self) -> bool {
        self.cause == Cause::Routine
    }

    /// A reading begins.
    pub(super) fn begin(&mut self, now: Duration) {
        self.begun = Some(now);
        self.next = Next::End { again: false };
        self.regular = self.regular.filter(|regular| now < *regular);
        match &mut self.cause {
            Cause::Refusal { step } if self.regular.is_none() => *step = step.saturating_add(1),
            Cause::Routine | Cause::Refusal { .. } | Cause::Failure { .. } => {}
        }
    }

    /// A reading brought what is known already: it is read again at `routine`, or sooner where the cloud refuses it.
    pub(super) fn brought_the_same(&mut self, routine: Duration, now: Duration) {
        let next = match self.cause {
            Cause::Refusal { step } => routine.min(now + self.pause(step)),
            Cause::Routine | Cause::Failure { .. } => {
                self.cause = Cause::Routine;
                routine
            }
        };
        self.finish(next);
    }

    /// A reading brought something new, which is good until the cloud says otherwise.
    pub(super) fn brought_new(&mut self, routine: Duration) {
        self.cause = Cause::Routine;
        self.finish(routine);
    }

    /// A reading brought nothing that can be used.
    pub(super) fn brought_nothing(&mut self, now: Duration) {
        match self.cause {
            // That was out of turn, and its turn stays what it was.
            Cause::Failure { step } if self.regular.is_some() => self.finish(now + self.pause(step)),
            Cause::Failure { step } => self.failed(step, now),
            Cause::Routine | Cause::Refusal { .. } => self.failed(0, now),
        }
    }

    /// A reading was not answered: what is known of the source stays as it is, so a refusal is not forgotten.
    pub(super) fn was_not_answered(&mut self, now: Duration) {
        match self.cause {
            Cause::Refusal { step } => self.finish(now + self.pause(step)),
            Cause::Routine | Cause::Failure { .. } => self.brought_nothing(now),
        }
    }

    /// The cloud refuses what was read: it is read once in the next interval, then at pauses that double.
    pub(super) fn refused(&mut self, now: Duration) {
        match self.cause {
            Cause::Refusal { .. } => {}
            Cause::Routine | Cause::Failure { .. } => {
                self.cause = Cause::Refusal { step: 0 };
                self.no_later_than(now + self.pause(0));
            }
        }
    }

    /// The cloud accepts what was read: after the reading that is due it is read routinely again.
    pub(super) fn accepted(&mut self) {
        match self.cause {
            Cause::Refusal { .. } => self.cause = Cause::Routine,
            Cause::Routine | Cause::Failure { .. } => {}
        }
    }

    /// Somebody waits for it: it is read as soon as it may be read again.
    pub(super) fn hurry(&mut self, now: Duration) {
        self.next = match self.next {
            Next::End { .. } => Next::End { again: true },
            Next::At(next) => self.out_of_turn(next, now),
            Next::Never => Next::Never,
        };
    }

    /// Reads it at that moment or before.
    pub(super) fn no_later_than(&mut self, moment: Duration) {
        if let Next::At(next) = &mut self.next {
            *next = moment.min(*next);
        }
    }

    fn failed(&mut self, step: u32, now: Duration) {
        self.cause = Cause::Failure { step: step.saturating_add(1) };
        self.finish(now + self.pause(step));
    }

    fn finish(&mut self, next: Duration) {
        let next = self.regular.take().map_or(next, |regular| regular.min(next));
        self.next = match self.next {
            Next::Never => Next::Never,
            Next::End { again: true } => self.out_of_turn(next, Duration::ZERO),
            // Without a reading under way the result is that of one for a source of the same name that is gone.
            Next::End { again: false } | Next::At(_) => Next::At(next),
        };
    }

    /// A reading as soon as it may be, before the one whose turn is at `next`.
    fn out_of_turn(&mut self, next: Duration, now: Duration) -> Next {
        let earliest = self.earliest(now);
        if earliest < next {
            self.regular.get_or_insert(next);
        }
        Next::At(next.min(earliest))
    }

    fn earliest(&self, now: Duration) -> Duration {
        self.begun.map_or(now, |begun| now.max(begun + LEAST_PAUSE))
    }

    fn pause(&self, step: u32) -> Duration {
        backoff(self.interval, step).min(SLOWEST.max(self.interval))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn secs(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    /// What is read routinely is read after this.
    const ROUTINE: Duration = Duration::from_secs(300);

    /// The moments of the readings of something good, which takes no time, from one refusal on.
    fn read_again(interval: u64, readings: usize) -> Vec<u64> {
        let mut schedule = ReadSchedule::new(secs(interval), secs(0));
        schedule.begin(secs(0));
        schedule.brought_new(ROUTINE);
        schedule.refused(secs(0));
        let mut moments = Vec::new();
        for _ in 0..readings {
            let now = schedule.next().expect("it is read again");
            moments.push(now.as_secs());
            schedule.begin(now);
            schedule.brought_the_same(now + ROUTINE, now);
        }
        moments
    }

    #[test]
    fn after_a_refusal_it_is_read_in_the_next_interval_and_then_at_pauses_that_double_to_a_minute() {
        assert_eq!(read_again(1, 9), [1, 3, 7, 15, 31, 63, 123, 183, 243]);
        assert_eq!(read_again(10, 6), [10, 30, 70, 130, 190, 250]);
        assert_eq!(read_again(90, 3), [90, 180, 270]);
        assert_eq!(read_again(600, 3), [300, 600, 900], "the routine is more often");
    }

    #[test]
    fn no_refusal_postpones_a_reading() {
        let mut schedule = ReadSchedule::new(secs(10), secs(0));
        schedule.begin(secs(0));
        schedule.brought_new(ROUTINE);
        let mut before = 0;
        for reading in [10, 30, 70, 130] {
            for now in before..reading {
                schedule.refused(secs(now));
                assert_eq!(schedule.next(), Some(secs(reading)));
            }
            schedule.begin(secs(reading));
            schedule.refused(secs(reading));
            schedule.brought_the_same(secs(reading) + ROUTINE, secs(reading));
            before = reading;
        }
    }

    #[test]
    fn a_refusal_during_a_reading_is_followed_by_one_in_the_next_interval() {
        let mut schedule = ReadSchedule::new(secs(10), secs(0));
        schedule.begin(secs(0));
        schedule.refused(secs(1));
        schedule.brought_the_same(ROUTINE, secs(2));
        assert_eq!(schedule.next(), Some(secs(12)));
    }

    #[test]
    fn what_is_accepted_or_new_is_read_routinely() {
        for heal in [ReadSchedule::accepted, |schedule: &mut ReadSchedule| schedule.brought_new(ROUTINE)] {
            let mut schedule = ReadSchedule::new(secs(10), secs(0));
            schedule.begin(secs(0));
            schedule.brought_the_same(ROUTINE, secs(0));
            schedule.refused(secs(1));
            heal(&mut schedule);
            schedule.begin(secs(11));
            schedule.brought_the_same(secs(11) + ROUTINE, secs(11));
            assert_eq!((schedule.next(), schedule.is_routine()), (Some(secs(311)), true));
        }
    }

    #[test]
    fn what_brings_nothing_is_read_ever_more_rarely_and_then_routinely() {
        let mut schedule = ReadSchedule::new(secs(10), secs(0));
        let pauses = [(); 5].map(|()| {
            let now = schedule.next().expect("it is read again");
            schedule.begin(now);
            schedule.brought_nothing(now);
            (schedule.next().expect("it is read again") - now).as_secs()
        });
        assert_eq!(pauses, [10, 20, 40, 60, 60]);
        schedule.begin(secs(200));
        schedule.brought_the_same(secs(500), secs(200));
        assert_eq!((schedule.next(), schedule.is_routine()), (Some(secs(500)), true));
    }

    #[test]
    fn an_api_server_that_does_not_answer_makes_no_refusal_forgotten() {
        let mut schedule = ReadSchedule::new(secs(10), secs(0));
        schedule.refused(secs(0));
        for (now, next) in [(0, 20), (20, 60)] {
            schedule.begin(secs(now));
            schedule.was_not_answered(secs(now));
            assert_eq!(schedule.next(), Some(secs(next)));
        }
        schedule.begin(secs(60));
        schedule.brought_the_same(secs(60) + ROUTINE, secs(60));
        assert_eq!(schedule.next(), Some(secs(120)));
    }

    #[test]
    fn who_asks_has_it_read_at_once_but_no_more_than_once_a_second() {
        let mut schedule = ReadSchedule::new(secs(10), secs(0));
        schedule.begin(secs(5));
        schedule.brought_the_same(secs(5) + ROUTINE, secs(5));
        schedule.hurry(secs(9));
        assert_eq!(schedule.next(), Some(secs(9)));
        schedule.begin(secs(9));
        // What was asked for while it is read may have changed since it was read.
        schedule.hurry(secs(9));
        assert_eq!(schedule.next(), None);
        schedule.brought_the_same(secs(9) + ROUTINE, secs(9));
        assert_eq!(schedule.next(), Some(secs(10)));
    }

    #[test]
    fn what_is_never_read_is_not_read_for_a_refusal_or_a_wish() {
        let mut schedule = ReadSchedule::never();
        schedule.refused(secs(1));
        schedule.hurry(secs(1));
        schedule.accepted();
        assert_eq!(schedule.next(), None);
    }

    #[test]
    fn who_asks_out_of_turn_does_not_make_anybody_wait_longer() {
        let mut schedule = ReadSchedule::new(secs(10), secs(0));
        schedule.begin(secs(0));
        schedule.brought_new(ROUTINE);
        schedule.refused(secs(0));
        for turn in [10, 30, 70, 130] {
            schedule.hurry(secs(turn - 8));
            assert_eq!(schedule.next(), Some(secs(turn - 8)));
            schedule.begin(secs(turn - 8));
            schedule.brought_the_same(ROUTINE, secs(turn - 8));
            assert_eq!(schedule.next(), Some(secs(turn)));
            schedule.begin(secs(turn));
            schedule.brought_the_same(ROUTINE, secs(turn));
        }
    }

    proptest! {
        #[test]
        fn between_two_readings_the_next_one_only_comes_forward(
            interval in 1_u64..600,
            events in prop::collection::vec((0..3_u8, 0..30_u64), 1..40),
        ) {
            let mut schedule = ReadSchedule::new(secs(interval), secs(0));
            schedule.begin(secs(0));
            schedule.brought_new(ROUTINE);
            let mut now = 0;
            for (event, pause) in events {
                now += pause;
                let before = schedule.next();
                match event {
                    0 => schedule.refused(secs(now)),
                    1 => schedule.hurry(secs(now)),
                    _ => schedule.accepted(),
                }
                prop_assert!(schedule.next() <= before);
                prop_assert!(schedule.next() >= Some(secs(1)), "once a second at most");
            }
        }
    }
}
