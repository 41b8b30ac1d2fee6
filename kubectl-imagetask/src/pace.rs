//! How long a task may still take, estimated from the pace at which its percentage was seen to grow.

use std::collections::VecDeque;
use std::time::Duration;

/// Steps that are remembered: enough to even out uneven ones, few enough to follow a change of pace.
const STEPS: usize = 8;

/// The latest steps of a percentage.
#[derive(Clone, Debug, Default)]
pub struct Pace {
    steps: VecDeque<(Duration, u8)>,
}

impl Pace {
    /// Notes the percentage at `now`. One that goes back begins anew.
    pub fn sees(&mut self, percent: u8, now: Duration) {
        match self.steps.back() {
            Some(&(_, last)) if last == percent => return,
            Some(&(_, last)) if last > percent => self.steps.clear(),
            Some(_) | None => {}
        }
        if self.steps.len() > STEPS {
            self.steps.pop_front();
        }
        self.steps.push_back((now, percent));
    }

    /// The time left at `now`; `None` until the percentage has grown once.
    ///
    /// Between two steps it runs down with the clock, until the next step is due by the pace of the last ones. From
    /// then on it is what it would be if the step came now, so a task that slows down is not forever about to end.
    pub fn left(&self, now: Duration) -> Option<Duration> {
        let (&(begun, from), &(last, to)) = (self.steps.front()?, self.steps.back()?);
        let gained = f64::from(to.checked_sub(from).filter(|&gained| gained > 0)?);
        let remaining = f64::from(100_u8.saturating_sub(to));
        let (taken, since) = ((last - begun).as_secs_f64(), now.saturating_sub(last).as_secs_f64());
        let steps = u32::try_from(self.steps.len() - 1).map_or(1.0, f64::from);
        let step = gained / steps;
        let by_the_clock = remaining * taken / gained - since;
        let by_the_next_step = (remaining - step).max(0.0) * (taken + since) / (gained + step);
        Duration::try_from_secs_f64(by_the_clock.max(by_the_next_step).max(0.0)).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn pace(seen: &[(u64, u8)]) -> Pace {
        let mut pace = Pace::default();
        seen.iter().for_each(|&(at, percent)| pace.sees(percent, seconds(at)));
        pace
    }

    #[test]
    fn nothing_is_estimated_before_the_percentage_has_grown() {
        assert_eq!(pace(&[]).left(seconds(9)), None);
        assert_eq!(pace(&[(0, 0), (5, 0)]).left(seconds(9)), None);
    }

    #[test]
    fn an_even_pace_is_carried_on() {
        let pace = pace(&[(0, 0), (10, 10), (20, 20)]);
        assert_eq!(pace.left(seconds(20)), Some(seconds(80)));
        assert_eq!(pace.left(seconds(25)), Some(seconds(75)), "it runs down between two steps");
    }

    #[test]
    fn a_task_that_stands_still_has_more_and_more_left() {
        let pace = pace(&[(0, 0), (10, 50)]);
        assert_eq!(pace.left(seconds(20)), Some(Duration::ZERO), "the next step, and the last, is due");
        let slow = self::pace(&[(0, 0), (10, 10)]);
        assert_eq!(slow.left(seconds(20)), Some(seconds(80)));
        assert_eq!(slow.left(seconds(40)), Some(seconds(160)), "20 percent in 40 s, if the step came now");
    }

    #[test]
    fn a_percentage_that_goes_back_begins_anew() {
        assert_eq!(pace(&[(0, 0), (10, 50), (20, 5)]).left(seconds(20)), None);
        assert_eq!(pace(&[(0, 0), (10, 50), (20, 0), (30, 50)]).left(seconds(30)), Some(seconds(10)));
    }

    #[test]
    fn only_the_latest_steps_count() {
        let slow = (0..=10).map(|n| (n * 100, u8::try_from(n).unwrap()));
        let fast = (1..=10).map(|n| (1000 + n, 10 + u8::try_from(n).unwrap()));
        let seen: Vec<_> = slow.chain(fast).collect();
        assert_eq!(pace(&seen).left(seconds(1010)), Some(seconds(80)));
    }

    proptest! {
        #[test]
        fn whatever_is_seen_an_estimate_is_finite(
            seen in prop::collection::vec((0_u64..1_000_000, 0_u8..=255), 0..20),
            now in 0_u64..2_000_000,
        ) {
            let mut seen = seen;
            seen.sort_unstable();
            let left = pace(&seen).left(seconds(now));
            prop_assert!(left.is_none_or(|left| left <= seconds(u64::from(u32::MAX))), "{:?}", left);
        }

        #[test]
        fn an_even_pace_is_met_within_a_step(
            step in 1_u8..=20, every in 1_u64..600, steps in 1_u64..5, later in 0.0..1.0_f64,
        ) {
            let percent = |n: u64| u8::try_from(n).unwrap() * step;
            prop_assume!(steps * u64::from(step) <= 100);
            let seen: Vec<_> = (0..=steps).map(|n| (n * every, percent(n))).collect();
            let now = seconds(steps * every) + seconds(every).mul_f64(later);
            let truth = 100.0 / f64::from(step) * seconds(every).as_secs_f64() - now.as_secs_f64();
            let left = pace(&seen).left(now).unwrap().as_secs_f64();
            prop_assert!((left - truth.max(0.0)).abs() < 1e-3, "{left} for {truth}");
        }

        #[test]
        fn until_the_next_step_is_due_an_estimate_only_falls(step in 1_u8..50, every in 1_u64..600) {
            let pace = pace(&[(0, 0), (every, step)]);
            let estimates: Vec<_> = (every..=2 * every).map(|now| pace.left(seconds(now)).unwrap()).collect();
            prop_assert!(estimates.is_sorted_by(|a, b| a >= b), "{:?}", estimates);
        }
    }
}
