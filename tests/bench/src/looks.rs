//! What the simulated cloud was asked, from its journal: independent of whoever asked.

use std::collections::HashMap;

use simulator::Call;

use crate::report::quantile;

/// The looks of a stretch of time.
pub(crate) struct Looks {
    pub(crate) calls: usize,
    pub(crate) ids: usize,
    /// Calls that were not answered well.
    pub(crate) failed: usize,
    /// Between two looks at one task, in seconds, ascending.
    gaps: Vec<f64>,
}

impl Looks {
    /// The calls of `from..to`; a gap belongs to the look that ends it.
    pub(crate) fn between(calls: &[Call], from: f64, to: f64) -> Self {
        let mut looks = Self { calls: 0, ids: 0, failed: 0, gaps: Vec::new() };
        let mut last: HashMap<&str, f64> = HashMap::new();
        for call in calls {
            let at = seconds(call);
            let inside = (from..to).contains(&at);
            looks.calls += usize::from(inside);
            looks.failed += usize::from(inside && call.outcome.as_deref() != Some("OK"));
            for id in &call.task_ids {
                looks.ids += usize::from(inside);
                if let Some(before) = last.insert(id, at).filter(|_| inside) {
                    looks.gaps.push(at - before);
                }
            }
        }
        looks.gaps.sort_by(f64::total_cmp);
        looks
    }

    /// How much longer than the interval a task waited for its next look, in seconds.
    pub(crate) fn lag(&self, share: f64, interval: f64) -> Option<f64> {
        quantile(&self.gaps, share).map(|gap| (gap - interval).max(0.0))
    }
}

/// When each task was first looked at after `from`, by its id.
pub(crate) fn first(calls: &[Call], from: f64) -> HashMap<&str, f64> {
    let mut first = HashMap::new();
    for call in calls.iter().filter(|call| seconds(call) >= from && call.outcome.as_deref() == Some("OK")) {
        for id in &call.task_ids {
            first.entry(id.as_str()).or_insert(seconds(call));
        }
    }
    first
}

fn seconds(call: &Call) -> f64 {
    call.at_ms as f64 / 1000.0
}
