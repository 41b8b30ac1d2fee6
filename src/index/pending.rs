//! What an entry still has to write.

use super::change::Change;
use crate::clock::Moment;
use crate::status::Status;

/// What an entry still has to write.
#[derive(Debug, Default)]
pub(super) struct Pending {
    /// What the decided status tells beyond the written one.
    pub(super) change: Option<Change>,
    pub(super) in_flight: bool,
    /// While it was, the watch has shown another status than the stored one: this write, or somebody else's.
    pub(super) crossed: bool,
    pub(super) revision: u32,
    pub(super) failures: u32,
    pub(super) last: Option<Moment>,
    /// The newest revision that is to be written without delay; 0: none, or it is written.
    pub(super) exempt: u32,
    /// Nothing was ever written.
    pub(super) unseen: bool,
    /// The decided status tells an end or a lasting error that no written one told.
    pub(super) announce: bool,
}

impl Pending {
    /// Nothing to write yet.
    pub(super) fn of_unseen(unseen: bool) -> Self {
        Self { unseen, ..Self::default() }
    }

    /// Whether a decided status is not stored yet, nor being written.
    pub(super) fn has_decision(&self) -> bool {
        self.change.is_some()
    }

    /// Whether a status is being written.
    pub(super) fn is_under_way(&self) -> bool {
        self.in_flight
    }

    /// Gives up on a decided status: the end was told meanwhile. By another leader, who announces it then; or by the write
    /// that is under way, whose answer tells so.
    pub(super) fn drop_decision(&mut self) {
        self.change = None;
        self.announce &= self.in_flight;
    }

    /// Forgets failures: what the watch has brought since may have healed them.
    pub(super) fn hope(&mut self) {
        self.failures = 0;
    }

    /// Takes note of a decided status; returns what it tells beyond the one that was decided before.
    pub(super) fn decide(&mut self, before: &Status, after: &Status) -> Change {
        match after.lasting() {
            None => self.announce = false,
            lasting => self.announce |= lasting != before.lasting(),
        }
        self.revision += 1;
        if Change::is_exempt(before, after) {
            self.exempt = self.revision;
        }
        let change = Change::between(before, after);
        self.change = Some(self.change.map_or(change, |was| was.min(change)));
        change
    }

    /// Whether the stored status is the decided one, and stays so.
    pub(super) fn is_settled(&self) -> bool {
        self.change.is_none() && !self.in_flight
    }
}
