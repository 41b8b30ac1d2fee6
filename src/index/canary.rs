//! Whether a lane or an id is at fault: when a request fails, ids are asked for alone that were answered before.

use std::time::Duration;

use super::directory::Tenant;
use super::sent::Sent;
use crate::clock::Now;
use crate::ecs::{ErrorKind, Scope};
use crate::observation::Failure;

/// Canaries that must all fail before a lane is blamed, of as many namespaces, so that none of those can have it blamed.
const CANARIES: usize = 3;

/// The next canary need not wait longer than this for the answer to the one before: most answers take a tenth of it.
const HEDGE: Duration = Duration::from_secs(1);

/// A request that failed.
#[derive(Debug)]
pub(super) struct FailedRequest {
    /// The ids that were asked for.
    pub(super) ids: Vec<u32>,
    /// What it was sent for.
    pub(super) sent: Sent,
    /// When it began.
    pub(super) begun: Now,
    /// What it failed with.
    pub(super) kind: ErrorKind,
    /// What is told of it.
    pub(super) failure: Failure,
}

/// What is known of a request that failed once a later one was answered.
pub(super) enum Released {
    /// Some of its ids are at fault.
    AtFault(FailedRequest),
    /// One of its ids has failed alone: these others may be well.
    Explained(Vec<u32>),
}

/// A request that is held.
struct Held {
    request: FailedRequest,
    /// Those of its ids that were asked for as canaries.
    canaries: Vec<u32>,
}

/// Requests that failed, held until canaries have told whether their ids are at fault.
pub(super) struct CanaryCheck {
    held: Vec<Held>,
    asked: Vec<(Tenant, u32)>,
    failed: Vec<(Tenant, Scope)>,
    last: Duration,
}

impl Held {
    fn new(request: FailedRequest) -> Self {
        Self { request, canaries: Vec::new() }
    }

    /// One of its ids may be asked for as a canary, and is held no longer then.
    fn ask(&mut self, id: u32) {
        if let Some(place) = self.request.ids.iter().position(|held| *held == id) {
            self.request.ids.remove(place);
            self.canaries.push(id);
        }
    }

    /// The id that was asked for alone.
    fn alone(&self) -> Option<u32> {
        match self.request.ids[..] {
            [id] if self.canaries.is_empty() => Some(id),
            _ => None,
        }
    }

    fn release(self, failed: &[u32]) -> Released {
        match self.canaries.iter().any(|id| failed.contains(id)) {
            true => Released::Explained(self.request.ids),
            false => Released::AtFault(self.request),
        }
    }
}

impl CanaryCheck {
    /// Holds the first request.
    pub(super) fn new(request: FailedRequest) -> Self {
        Self { held: vec![Held::new(request)], asked: Vec::new(), failed: Vec::new(), last: Duration::ZERO }
    }

    /// Holds one more.
    pub(super) fn hold(&mut self, request: FailedRequest) {
        self.held.push(Held::new(request));
    }

    /// When the next canary may be asked for; `None`: no more of them.
    pub(super) fn next_at(&self) -> Option<Duration> {
        let hedged = if self.is_waiting() { self.last + HEDGE } else { Duration::ZERO };
        (self.asked.len() < CANARIES).then_some(hedged)
    }

    /// Whether a canary is still to be answered.
    pub(super) fn is_waiting(&self) -> bool {
        self.failed.len() < self.asked.len()
    }

    /// Whether a canary of a namespace was asked for.
    pub(super) fn has_asked(&self, tenant: Tenant) -> bool {
        self.asked.iter().any(|(asked, _)| *asked == tenant)
    }

    /// Whether an id was asked for as a canary.
    pub(super) fn has_asked_id(&self, id: u32) -> bool {
        self.asked.iter().any(|(_, asked)| *asked == id)
    }

    /// A canary is asked for; it is held no longer.
    pub(super) fn ask(&mut self, tenant: Tenant, id: u32, now: Duration) {
        self.asked.push((tenant, id));
        self.last = now;
        self.held.iter_mut().for_each(|held| held.ask(id));
        self.held.retain(|held| !held.request.ids.is_empty());
    }

    /// An id that was answered before has failed alone: it counts as a canary, whatever it was asked for.
    pub(super) fn fail(&mut self, tenant: Tenant, id: u32, scope: Scope) {
        if !self.has_asked_id(id) {
            self.asked.push((tenant, id));
        }
        self.failed.push((tenant, scope));
    }

    /// What the canaries that failed tell of the lane: it is refused only if all of them were. None without one.
    pub(super) fn verdict(&self) -> Option<Scope> {
        let is_refusal = |(_, scope): &(Tenant, Scope)| *scope == Scope::Refusal;
        let all_refused = self.failed.iter().all(is_refusal);
        self.failed.first().map(|_| if all_refused { Scope::Refusal } else { Scope::Failure })
    }

    /// The namespaces of the canaries that failed so.
    pub(super) fn failed(&self, how: Scope) -> impl Iterator<Item = Tenant> {
        self.failed.iter().filter(move |(_, scope)| *scope == how).map(|(tenant, _)| *tenant)
    }

    /// Lets go of the newest request for a canary that failed so.
    pub(super) fn take_canary(&mut self, how: Scope) -> Option<FailedRequest> {
        let is_it =
            |held: &Held| held.request.kind.scope() == how && held.alone().is_some_and(|id| self.has_asked_id(id));
        self.held.iter().rposition(is_it).map(|place| self.held.remove(place).request)
    }

    /// The ids that are held.
    pub(super) fn held_ids(&self) -> impl Iterator<Item = u32> {
        self.held.iter().flat_map(|held| held.request.ids.iter().copied())
    }

    /// Lets go of the requests that began before a request that was answered. What began later is for other canaries to
    /// tell.
    pub(super) fn release(&mut self, answered: Duration) -> Vec<Released> {
        let failed: Vec<u32> = self.held.iter().filter_map(Held::alone).filter(|id| self.has_asked_id(*id)).collect();
        self.asked.clear();
        self.failed.clear();
        let released = self.held.extract_if(.., |held| held.request.begun.mono <= answered);
        released.map(|held| held.release(&failed)).collect()
    }

    /// Lets go of all requests.
    pub(super) fn into_held(self) -> Vec<FailedRequest> {
        self.held.into_iter().map(|held| held.request).collect()
    }

    /// Whether nothing is held any more.
    pub(super) fn is_over(&self) -> bool {
        self.held.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Wall;
    use crate::observation::FailureKind;
    use k8s_openapi::jiff::Timestamp;

    fn failed(ids: &[u32]) -> FailedRequest {
        let begun = Now { mono: Duration::from_secs(5), wall: Wall::Local(Timestamp::UNIX_EPOCH) };
        let kind = FailureKind::Rejected;
        let text = "refused".into();
        let failure = Failure { kind, of_task: true, since: begun.mono, text, code: None, request_id: None };
        FailedRequest { ids: ids.to_vec(), sent: Sent::Shared, begun, kind: ErrorKind::Rejected, failure }
    }

    #[test]
    fn an_id_that_is_refused_as_a_canary_explains_the_request_that_it_spoiled() {
        let mut check = CanaryCheck::new(failed(&[1, 2, 3]));
        check.hold(failed(&[7, 8]));
        check.ask(Tenant(0), 3, Duration::from_secs(6));
        check.hold(failed(&[3]));
        check.fail(Tenant(0), 3, Scope::Refusal);
        check.ask(Tenant(1), 9, Duration::from_secs(7));
        let released = check.release(Duration::from_secs(7)).into_iter().map(|released| match released {
            Released::AtFault(request) => (true, request.ids),
            Released::Explained(ids) => (false, ids),
        });
        assert_eq!(released.collect::<Vec<_>>(), [(false, vec![1, 2]), (true, vec![7, 8]), (true, vec![3])]);
    }
}
