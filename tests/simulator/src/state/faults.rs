//! The faults that are ordered, and which of them strikes a call.

use std::time::Duration;

use tokio::sync::watch;

use crate::{Call, Effect, Fault, FaultId, OrderedFault};

#[derive(Default)]
pub(crate) struct Faults {
    standing: Vec<Standing>,
    last_id: FaultId,
}

struct Standing {
    ordered: OrderedFault,
    /// Dropped with the fault, which releases the calls that hang on it.
    hold: watch::Sender<()>,
}

/// A fault that strikes one call.
pub(crate) struct Strike {
    pub(crate) effect: Effect,
    pub(crate) latency: Duration,
    pub(crate) retry_after: Option<String>,
    hold: watch::Receiver<()>,
}

impl Faults {
    pub(crate) fn order(&mut self, fault: Fault) -> FaultId {
        self.last_id += 1;
        let ordered = OrderedFault { id: self.last_id, fault, struck: 0 };
        self.standing.push(Standing { ordered, hold: watch::Sender::new(()) });
        self.last_id
    }

    /// Clears one fault; false when it is not there.
    pub(crate) fn clear(&mut self, id: FaultId) -> bool {
        let before = self.standing.len();
        self.standing.retain(|standing| standing.ordered.id != id);
        self.standing.len() < before
    }

    pub(crate) fn clear_all(&mut self) {
        self.standing.clear();
    }

    pub(crate) fn list(&self) -> Vec<OrderedFault> {
        self.standing.iter().map(|standing| standing.ordered.clone()).collect()
    }

    /// The newest fault that fits the call, which counts as one of its times.
    pub(crate) fn strike(&mut self, call: &Call) -> Option<Strike> {
        let standing = self.standing.iter_mut().rev().find(|standing| standing.ordered.fits(call))?;
        standing.ordered.struck += 1;
        let fault = &standing.ordered.fault;
        Some(Strike {
            effect: fault.effect.clone(),
            latency: Duration::from_millis(fault.latency_ms.unwrap_or(0)),
            retry_after: fault.retry_after.clone(),
            hold: standing.hold.subscribe(),
        })
    }
}

impl Strike {
    /// Waits until the fault is cleared.
    pub(crate) async fn released(&mut self) {
        while self.hold.changed().await.is_ok() {}
    }
}

impl OrderedFault {
    fn fits(&self, call: &Call) -> bool {
        let fault = &self.fault;
        let asks_for = |id: &String| call.task_ids.contains(id) || call.resource_ids.contains(id);
        fault.times.is_none_or(|times| self.struck < times)
            && fault.id.as_ref().is_none_or(asks_for)
            && fault.access_key.as_ref().is_none_or(|key| *key == call.access_key)
            && fault.action.as_ref().is_none_or(|action| *action == call.action)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(key: &str, id: &str) -> Call {
        Call { access_key: key.to_owned(), task_ids: vec![id.to_owned()], ..Call::default() }
    }

    #[test]
    fn a_fault_strikes_what_its_scope_fits_and_the_newest_first() {
        let mut faults = Faults::default();
        faults.order(Fault::empty(500).only_key("AK1"));
        faults.order(Fault::empty(501).only_id("t-7"));
        faults.order(Fault::empty(502).times(1));
        let asked =
            [call("AK1", "t-1"), call("AK1", "t-1"), call("AK1", "t-7"), call("AK2", "t-7"), call("AK2", "t-1")];
        let struck = asked.map(|call| faults.strike(&call).map(|strike| strike.effect));
        let with = |status| Some(Effect::Empty { status });
        assert_eq!(struck, [with(502), with(500), with(501), with(501), None]);
    }

    #[test]
    fn a_cleared_fault_strikes_no_more() {
        let mut faults = Faults::default();
        let id = faults.order(Fault::closed());
        assert!(faults.clear(id));
        assert!(!faults.clear(id));
        assert!(faults.strike(&call("AK1", "t-1")).is_none());
    }
}
