//! Who made the requests of others fail before, and is kept apart for it.

use std::collections::HashMap;
use std::hash::Hash;
use std::time::Duration;

/// How long it is remembered.
const MEMORY: Duration = Duration::from_secs(3_600);

/// Those who made requests fail lately, and how often.
pub(super) struct Spoilers<K> {
    most: u32,
    counts: HashMap<K, (u32, Duration)>,
}

impl<K: Copy + Eq + Hash> Spoilers<K> {
    /// Whoever does it `most` times within an hour is kept apart for an hour.
    pub(super) fn new(most: u32) -> Self {
        Self { most, counts: HashMap::new() }
    }

    /// One made a request fail. Returns until when it is kept apart, if it is.
    pub(super) fn count(&mut self, who: K, now: Duration) -> Option<Duration> {
        if self.counts.len() == self.counts.capacity() {
            self.counts.retain(|_, (_, first)| *first + MEMORY > now);
        }
        let (count, first) = self.counts.entry(who).or_insert((0, now));
        if *first + MEMORY <= now {
            (*count, *first) = (0, now);
        }
        *count += 1;
        if *count >= self.most {
            *first = now;
        }
        self.until(who, now)
    }

    /// Until when one is kept apart, if it is.
    pub(super) fn until(&self, who: K, now: Duration) -> Option<Duration> {
        let &(count, first) = self.counts.get(&who)?;
        Some(first + MEMORY).filter(|until| count >= self.most && *until > now)
    }

    /// Forgets one that is gone.
    pub(super) fn forget(&mut self, who: K) {
        self.counts.remove(&who);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_spoils_twice_within_an_hour_is_kept_apart_for_an_hour() {
        let mut spoilers = Spoilers::new(2);
        let at = Duration::from_secs;
        assert_eq!(spoilers.count(1, at(0)), None);
        assert_eq!(spoilers.count(1, at(3_600)), None, "the first time is forgotten");
        assert_eq!(spoilers.count(1, at(3_700)), Some(at(7_300)));
        assert_eq!((spoilers.until(1, at(7_299)), spoilers.until(1, at(7_300))), (Some(at(7_300)), None));
        assert_eq!(spoilers.until(2, at(0)), None);
    }

    #[test]
    fn what_is_past_is_forgotten() {
        let mut spoilers = Spoilers::new(2);
        for n in 0..100_000_u64 {
            spoilers.count(n, Duration::from_secs(n));
        }
        assert!(spoilers.counts.len() <= 8_000, "{}", spoilers.counts.len());
    }
}
