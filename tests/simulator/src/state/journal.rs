//! The journal: every recent call, and counts of all of them.

use std::collections::{BTreeMap, HashMap, VecDeque};

use crate::{Call, Counts, KeyCount};

/// Enough for 100 s at the 1,000 calls/s the simulator is meant for.
const CALLS_KEPT: usize = 100_000;

/// About 60 bytes an id, so the journal stays under 60 MB when every call asks for 100 ids.
const IDS_KEPT: usize = 1_000_000;

#[derive(Default)]
pub(crate) struct Journal {
    calls: VecDeque<Call>,
    /// The ticket of the oldest call kept.
    oldest: Ticket,
    ids_kept: usize,
    keys: BTreeMap<String, KeyCount>,
    /// How often each id was asked: one number for each id there is.
    asked: HashMap<String, u64>,
}

/// The running number of a call.
pub(crate) type Ticket = u64;

impl Journal {
    pub(crate) fn arrived(&mut self, call: Call) -> Ticket {
        self.keys.entry(call.access_key.clone()).or_default().calls += 1;
        for id in call.task_ids.iter().chain(&call.resource_ids) {
            match self.asked.get_mut(id) {
                Some(count) => *count += 1,
                None => drop(self.asked.insert(id.clone(), 1)),
            }
        }
        self.ids_kept += ids(&call);
        self.calls.push_back(call);
        self.drop_oldest();
        self.oldest + self.calls.len() as Ticket - 1
    }

    pub(crate) fn ended(&mut self, ticket: Ticket, outcome: &str) {
        let place = ticket.checked_sub(self.oldest).and_then(|place| usize::try_from(place).ok());
        let Some(call) = place.and_then(|place| self.calls.get_mut(place)) else {
            return;
        };
        call.outcome = Some(outcome.to_owned());
        let key = self.keys.entry(call.access_key.clone()).or_default();
        *key.outcomes.entry(outcome.to_owned()).or_default() += 1;
    }

    pub(crate) fn calls(&self) -> Vec<Call> {
        self.calls.iter().cloned().collect()
    }

    pub(crate) fn counts(&self) -> Counts {
        Counts { calls: self.keys.values().map(|key| key.calls).sum(), keys: self.keys.clone() }
    }

    pub(crate) fn asked(&self, id: &str) -> u64 {
        self.asked.get(id).copied().unwrap_or(0)
    }

    pub(crate) fn ids_asked(&self) -> usize {
        self.asked.len()
    }

    /// Forgets everything; a call still under way leaves no trace.
    pub(crate) fn forget(&mut self) {
        let oldest = self.oldest + self.calls.len() as Ticket;
        *self = Self { oldest, ..Self::default() };
    }

    fn drop_oldest(&mut self) {
        while self.calls.len() > CALLS_KEPT || self.ids_kept > IDS_KEPT {
            let Some(call) = self.calls.pop_front() else {
                return;
            };
            self.ids_kept -= ids(&call);
            self.oldest += 1;
        }
    }
}

fn ids(call: &Call) -> usize {
    call.task_ids.len() + call.resource_ids.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn old_calls_are_dropped_and_still_counted() {
        let mut journal = Journal::default();
        let first = journal.arrived(Call { task_ids: vec!["t-1".to_owned()], ..Call::default() });
        let tickets: Vec<_> = (0..CALLS_KEPT).map(|_| journal.arrived(Call::default())).collect();
        journal.ended(first, "OK");
        journal.ended(tickets[CALLS_KEPT - 1], "OK");
        let last = Call { outcome: Some("OK".to_owned()), ..Call::default() };
        assert_eq!((journal.calls.len(), journal.calls.back()), (CALLS_KEPT, Some(&last)));
        assert_eq!((journal.counts().calls, journal.asked("t-1")), (CALLS_KEPT as u64 + 1, 1));
    }

    #[test]
    fn a_call_that_ends_after_it_was_forgotten_leaves_no_trace() {
        let mut journal = Journal::default();
        let before = journal.arrived(Call::default());
        journal.forget();
        journal.arrived(Call::default());
        journal.ended(before, "OK");
        assert_eq!(journal.calls(), [Call::default()]);
    }
}
