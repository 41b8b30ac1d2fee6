//! Whether the API server can be heard: one error of a watch is ordinary and heals by itself, more in a row are told.

use std::time::Duration;

/// Errors in a row from which on they are told.
const TOLD: u32 = 2;

/// A watch that began well is silent until something changes, so an error is taken to be over once no other follows for
/// longer than kube's watcher ever pauses between two attempts (30 s, doubled by its jitter).
const OVER: Duration = Duration::from_secs(60);

/// The errors of the watch since it last told something.
#[derive(Debug, Default)]
pub struct Outage {
    errors: u32,
    last: Option<(Duration, String)>,
}

impl Outage {
    /// Notes an error; whether it is the first that is told.
    pub fn error(&mut self, error: String, now: Duration) -> bool {
        self.errors = if self.is_over(now) { 1 } else { self.errors + 1 };
        self.last = Some((now, error));
        self.errors == TOLD
    }

    /// Notes that the watch told something.
    pub fn heard(&mut self) {
        *self = Self::default();
    }

    /// What is said of it, while it lasts.
    pub fn told(&self, now: Duration) -> Option<String> {
        let (_, error) = self.last.as_ref()?;
        let told = self.errors >= TOLD && !self.is_over(now);
        told.then(|| format!("the API server cannot be watched, which is tried again and again: {error}"))
    }

    fn is_over(&self, now: Duration) -> bool {
        self.last.as_ref().is_none_or(|(last, _)| now.saturating_sub(*last) > OVER)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn a_single_error_is_not_told() {
        let mut outage = Outage::default();
        assert!(!outage.error("reset".into(), seconds(0)));
        assert_eq!(outage.told(seconds(1)), None);
        assert!(!outage.error("reset".into(), seconds(100)), "the one before is long over");
    }

    #[test]
    fn errors_in_a_row_are_told_once_and_shown_until_the_watch_tells_something() {
        let mut outage = Outage::default();
        let told: Vec<_> = (0..3).map(|n| outage.error(format!("refused {n}"), seconds(n))).collect();
        assert_eq!(told, [false, true, false]);
        let shown = "the API server cannot be watched, which is tried again and again: refused 2";
        assert_eq!(outage.told(seconds(9)).as_deref(), Some(shown));
        outage.heard();
        assert_eq!(outage.told(seconds(9)), None);
    }

    #[test]
    fn errors_that_stop_coming_are_over() {
        let mut outage = Outage::default();
        let told = (0..3).filter(|&n| outage.error("refused".into(), seconds(n))).count();
        assert_eq!(told, 1);
        assert!(outage.told(seconds(62)).is_some());
        assert_eq!(outage.told(seconds(63)), None);
    }
}
