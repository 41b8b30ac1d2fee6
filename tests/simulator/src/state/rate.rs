//! The flow limit: how many calls an account may make in any second.

use std::collections::{HashMap, VecDeque};

const WINDOW_MS: u64 = 1_000;

#[derive(Default)]
pub(crate) struct RateLimit {
    per_second: Option<u32>,
    /// Times of the admitted calls of the last second, by account.
    admitted: HashMap<String, VecDeque<u64>>,
}

impl RateLimit {
    pub(crate) fn set(&mut self, per_second: Option<u32>) {
        *self = Self { per_second, admitted: HashMap::new() };
    }

    /// Whether the account may make one more call; a refused call uses nothing up.
    pub(crate) fn admit(&mut self, account: &str, now_ms: u64) -> bool {
        let Some(limit) = self.per_second else {
            return true;
        };
        let recent = self.admitted.entry(account.to_owned()).or_default();
        while recent.front().is_some_and(|time| time + WINDOW_MS <= now_ms) {
            recent.pop_front();
        }
        let free = recent.len() < limit as usize;
        if free {
            recent.push_back(now_ms);
        }
        free
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_account_gets_its_calls_in_any_second_and_takes_none_from_another() {
        let mut rate = RateLimit::default();
        rate.set(Some(2));
        let asked = [("a", 0), ("a", 900), ("a", 950), ("b", 950), ("a", 1000), ("a", 1001), ("a", 1900)];
        let admitted = asked.map(|(account, time)| rate.admit(account, time));
        assert_eq!(admitted, [true, true, false, true, true, false, true]);
    }

    #[test]
    fn without_a_limit_every_call_is_admitted() {
        assert!((0..1000).all(|_| RateLimit::default().admit("a", 0)));
    }
}
