//! The circuit breaker of a lane: open, it lets through nothing but single probes.

use std::collections::BTreeSet;
use std::time::Duration;

use super::directory::Tenant;
use crate::ecs::{ErrorKind, Scope};
use crate::schedule::backoff;

/// Failures without an answer that say enough: 7 cuts lead from a batch of 100 ids to a single one, and as many more to
/// the one beside it.
pub(super) const MAX_FAILURES: usize = 14;

/// Longest pause between two probes of a lane that is refused, or the interval where that is longer: a permission that
/// comes back is to heal 4,000 ids within a minute, of which healing takes half.
const REFUSED: Duration = Duration::from_secs(30);

/// The circuit breaker of a lane.
#[derive(Default)]
pub(super) enum Breaker {
    /// Calls are made as they are due.
    #[default]
    Closed,
    /// Every call fails: single probes, ever more rarely.
    Open(Outage),
}

/// What every call of a lane fails with.
pub(super) struct Outage {
    kind: ErrorKind,
    since: Duration,
    step: u32,
    /// When the last failure came; calls begun before it are no probes.
    failed: Duration,
    next: Duration,
    /// Namespaces of which an id was probed in vain.
    probed: BTreeSet<Tenant>,
}

/// How probes are spaced.
#[derive(Clone, Copy)]
pub(super) struct Spacing {
    /// Between two polls of one id.
    pub(super) interval: Duration,
    /// Between two calls of the lane while it is well.
    pub(super) healthy: Duration,
}

impl Breaker {
    /// Whether single probes take the place of calls.
    pub(super) fn is_open(&self) -> bool {
        self.outage().is_some()
    }

    /// What every call fails with.
    pub(super) fn kind(&self) -> Option<ErrorKind> {
        self.outage().map(|outage| outage.kind)
    }

    /// Whether the outage may be the fault of the ids that are asked for, so that those are probed that were answered
    /// before.
    pub(super) fn probes_single_ids(&self) -> bool {
        self.kind().is_some_and(|kind| kind.scope() != Scope::Lane)
    }

    /// Whether an id of a namespace was probed in vain.
    pub(super) fn has_probed(&self, tenant: Tenant) -> bool {
        self.outage().is_some_and(|outage| outage.probed.contains(&tenant))
    }

    /// Whether those of a namespace are told: of a refusal only if an id of their own was refused.
    pub(super) fn concerns(&self, tenant: Tenant) -> bool {
        self.outage().is_some_and(|outage| outage.kind.scope() != Scope::Refusal || outage.probed.contains(&tenant))
    }

    /// Nothing may be asked before.
    pub(super) fn next_probe(&self) -> Duration {
        self.outage().map_or(Duration::ZERO, |outage| outage.next)
    }

    /// Probes as soon as that.
    pub(super) fn probe_at(&mut self, moment: Duration) {
        match self {
            Self::Closed => {}
            Self::Open(outage) => outage.next = outage.next.min(moment),
        }
    }

    /// A call that began at `begun` failed for the lane as a whole; `unprobed`: there are namespaces of which no id was
    /// probed. Returns since when this outage lasts.
    pub(super) fn failed(
        &mut self,
        kind: ErrorKind,
        begun: Duration,
        now: Duration,
        probed: &[Tenant],
        unprobed: bool,
        spacing: Spacing,
    ) -> Duration {
        let mut outage = match std::mem::take(self) {
            Self::Closed => Outage { kind, since: now, step: 0, failed: now, next: now, probed: BTreeSet::new() },
            Self::Open(outage) if begun < outage.failed => {
                let since = outage.since;
                *self = Self::Open(outage);
                return since;
            }
            Self::Open(outage) => {
                let since = if row(outage.kind) == row(kind) { outage.since } else { now };
                let probed = if outage.kind.scope() == kind.scope() { outage.probed } else { BTreeSet::new() };
                Outage { kind, since, step: outage.step, failed: now, next: now, probed }
            }
        };
        outage.probed.extend(probed);
        outage.next = now + outage.pause(unprobed, spacing);
        let since = outage.since;
        *self = Self::Open(outage);
        since
    }

    fn outage(&self) -> Option<&Outage> {
        match self {
            Self::Closed => None,
            Self::Open(outage) => Some(outage),
        }
    }
}

impl Outage {
    /// Until the next probe. As long as there are namespaces of which no id was probed, one of them may show that the
    /// lane is well: the first are probed at once. The others are probed at the healthy pace where the lane is refused,
    /// for until then they are not told.
    fn pause(&mut self, unprobed: bool, spacing: Spacing) -> Duration {
        let asked_for = self.kind.retry_after().unwrap_or_default();
        match self.kind.scope() {
            Scope::Refusal | Scope::Failure if unprobed && self.probed.len() < MAX_FAILURES => Duration::ZERO,
            Scope::Refusal if unprobed => spacing.healthy,
            Scope::Lane | Scope::Refusal | Scope::Failure => {
                let pause = backoff(spacing.interval, self.step).max(asked_for);
                self.step = self.step.saturating_add(1);
                let is_refused = self.kind.scope() == Scope::Refusal;
                if is_refused { pause.min(REFUSED.max(spacing.interval)) } else { pause }
            }
        }
    }
}

/// The rows of the status table that lane-wide trouble belongs to: within one it goes on, whatever it is called.
#[derive(PartialEq, Eq)]
enum Row {
    Cloud,
    Credentials,
    Refused,
}

fn row(kind: ErrorKind) -> Row {
    match kind {
        ErrorKind::Throttled { .. } | ErrorKind::Unreachable | ErrorKind::Unavailable | ErrorKind::Clock => Row::Cloud,
        ErrorKind::CredentialsInvalid => Row::Credentials,
        ErrorKind::AccessDenied | ErrorKind::Rejected => Row::Refused,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SPACING: Spacing = Spacing { interval: Duration::from_secs(10), healthy: Duration::from_secs(2) };

    fn fail(breaker: &mut Breaker, kind: ErrorKind, at: u64, tenant: u32, unprobed: bool) -> u64 {
        let now = Duration::from_secs(at);
        breaker.failed(kind, now, now, &[Tenant(tenant)], unprobed, SPACING);
        (breaker.next_probe() - now).as_secs()
    }

    #[test]
    fn probes_are_spaced_from_the_interval_doubling_to_five_minutes() {
        let mut breaker = Breaker::default();
        let at = [0, 100, 200, 300, 400, 500, 900];
        let pauses = at.map(|at| fail(&mut breaker, ErrorKind::Unavailable, at, 0, false));
        assert_eq!(pauses, [10, 20, 40, 80, 160, 300, 300]);
    }

    #[test]
    fn a_lane_that_is_refused_is_probed_every_half_a_minute() {
        let mut breaker = Breaker::default();
        let pauses = [0, 100, 200, 300].map(|at| fail(&mut breaker, ErrorKind::AccessDenied, at, 0, false));
        assert_eq!(pauses, [10, 20, 30, 30]);
    }

    #[test]
    fn the_first_namespaces_are_probed_at_once_and_the_others_of_a_refused_lane_at_its_healthy_pace() {
        for (kind, then) in [(ErrorKind::Unavailable, 10), (ErrorKind::AccessDenied, 2)] {
            let mut breaker = Breaker::default();
            let pauses: Vec<_> = (0..16).map(|n| fail(&mut breaker, kind, u64::from(n), n, true)).collect();
            assert_eq!((&pauses[..13], pauses[13]), (&[0; 13][..], then), "{kind:?}");
        }
    }

    #[test]
    fn of_a_refusal_only_those_are_told_of_whose_namespace_an_id_was_refused() {
        let mut breaker = Breaker::default();
        fail(&mut breaker, ErrorKind::AccessDenied, 0, 1, true);
        assert_eq!([1, 2].map(|tenant| breaker.concerns(Tenant(tenant))), [true, false]);
        fail(&mut breaker, ErrorKind::Unavailable, 1, 1, true);
        assert_eq!([1, 2].map(|tenant| breaker.concerns(Tenant(tenant))), [true, true]);
    }
}
