//! Texts that many entries have in common, each kept once: one answer tells up to 100 tasks the same message.

use std::collections::HashSet;

use arcstr::ArcStr;

/// The texts.
#[derive(Default)]
pub(super) struct Pool {
    texts: HashSet<ArcStr>,
    /// Texts that were left when those were dropped that nobody has any more.
    kept: usize,
}

/// Texts more than were left the last time, before those are dropped that nobody has any more.
const SLACK: usize = 1_024;

impl Pool {
    /// Has a text share the memory of the others that read the same.
    pub(super) fn share(&mut self, text: &mut ArcStr) {
        match self.texts.get(text) {
            Some(kept) => *text = kept.clone(),
            None => self.keep(text.clone()),
        }
    }

    fn keep(&mut self, text: ArcStr) {
        if self.texts.len() >= 2 * self.kept + SLACK {
            self.texts.retain(|text| ArcStr::strong_count(text) > Some(1));
            self.kept = self.texts.len();
        }
        self.texts.insert(text);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_texts_are_kept_once_and_not_longer_than_somebody_has_them() {
        let mut pool = Pool::default();
        let mut held: Vec<ArcStr> = Vec::new();
        for n in 0..100_000 {
            let mut text: ArcStr = format!("message {}", n / 100).into();
            pool.share(&mut text);
            held.push(text);
            held.drain(..held.len().saturating_sub(300));
        }
        assert!(ArcStr::ptr_eq(&held[0], &held[99]));
        assert!(pool.texts.len() <= 2 * SLACK, "{}", pool.texts.len());
    }
}
