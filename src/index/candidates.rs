//! Which ids of a lane may tell whether it is at fault: those that were answered before, as canaries of a request that
//! failed and as probes of a lane that fails.

use std::time::Duration;

use super::canary::CanaryCheck;
use super::directory::Tenant;
use super::lane::Lane;
use super::ring::{Picked, Place};
use super::sent::Sent;
use crate::ecs::{ErrorKind, Scope};

impl Lane {
    /// When a canary is to be asked for, or it is seen that there is none any more.
    pub(super) fn canary_at(&self) -> Option<Duration> {
        let check = self.check.as_ref()?;
        match self.next_canary() {
            // Parts of other requests tell as much, and are to be asked for anyway.
            Some(_) if self.tasks.has_parts() || self.resources.has_parts() => None,
            Some(_) => check.next_at(),
            None => (self.in_flight == 0).then_some(Duration::ZERO),
        }
    }

    /// The next canary. If those that were to be asked for are gone meanwhile, what is held is asked for anew.
    pub(super) fn pick_canary(&mut self, now: Duration) -> Option<Picked> {
        let Some((tenant, key)) = self.next_canary() else {
            let held = self.check.take().map(CanaryCheck::into_held).unwrap_or_default();
            held.into_iter().flat_map(|request| request.ids).for_each(|key| self.put_back(key, now));
            return None;
        };
        if self.subjects[key as usize].place != Place::Part {
            self.leave(key);
        }
        self.check.as_mut()?.ask(tenant, key, now);
        self.last_canary = Some(tenant);
        Some(Picked { subjects: vec![key], sent: Sent::Canary, due: None })
    }

    /// The next probe of a lane whose breaker is open: an id of a namespace of which none was probed, if there is one.
    pub(super) fn pick_probe(&mut self) -> Option<Picked> {
        let in_turn = || self.namespaces.after(self.last_canary);
        let unprobed = || in_turn().filter(|tenant| !self.breaker.has_probed(*tenant));
        // An id that was answered before tells most; one that is refused anyway tells least.
        let canaries = unprobed().chain(in_turn()).filter_map(|tenant| self.canary_of(tenant));
        let refused = unprobed().chain(in_turn()).filter_map(|tenant| self.answered_of(tenant));
        let others = unprobed().chain(in_turn()).filter_map(|tenant| self.any_of(tenant));
        let (tenant, key) = canaries.chain(refused).chain(others).next()?;
        self.leave(key);
        self.last_canary = Some(tenant);
        Some(Picked { subjects: vec![key], sent: Sent::Probe, due: None })
    }

    /// Whether the failure of these ids tells something of the lane: it is one alone that was answered before.
    pub(super) fn is_telling(&self, ids: &[u32]) -> bool {
        matches!(*ids, [key] if self.subjects[key as usize].was_answered())
    }

    /// The next canary: of a namespace of which none was asked for, or any other id that was answered before.
    pub(super) fn next_canary(&self) -> Option<(Tenant, u32)> {
        let check = self.check.as_ref()?;
        let in_turn = || self.namespaces.after(self.last_canary);
        let of_another = in_turn().filter(|tenant| !check.has_asked(*tenant)).find_map(|it| self.canary_of(it));
        let not_asked = |key: &u32| !check.has_asked_id(*key);
        let any = || {
            let known = in_turn().flat_map(|tenant| self.namespaces.canaries_of(tenant));
            let found = known.chain(check.held_ids()).filter(not_asked).find(|key| self.may_be_canary(*key));
            found.map(|key| (self.subjects[key as usize].tenant, key))
        };
        of_another.or_else(any)
    }

    /// Whether there is a canary at all.
    pub(super) fn has_canary(&self) -> bool {
        self.namespaces.iter().any(|tenant| self.canary_of(tenant).is_some())
    }

    /// The canary of a namespace.
    pub(super) fn canary_of(&self, tenant: Tenant) -> Option<(Tenant, u32)> {
        let is_its = |key: &u32| self.subjects.get(*key as usize).is_some_and(|subject| subject.tenant == tenant);
        let mut canaries = self.namespaces.canaries_of(tenant).filter(is_its);
        canaries.find(|key| self.may_be_canary(*key)).map(|key| (tenant, key))
    }

    /// Whether an id was answered before, and waits or is held.
    pub(super) fn may_be_canary(&self, key: u32) -> bool {
        self.subjects.get(key as usize).filter(|subject| subject.is_good()).is_some_and(|subject| match subject.place {
            Place::Express(_) | Place::Round(_) | Place::Later(_) => true,
            Place::Part => self.check.as_ref().is_some_and(|check| check.held_ids().any(|held| held == key)),
            Place::Isolated(_) | Place::Alone(_) | Place::Flying { .. } => false,
        })
    }

    /// The id of a namespace that is to be asked first.
    pub(super) fn any_of(&self, tenant: Tenant) -> Option<(Tenant, u32)> {
        let first = self.tasks.first_of(tenant).or_else(|| self.resources.first_of(tenant));
        first.map(|key| (tenant, key))
    }

    /// An id of a namespace that was answered once, be it refused since.
    pub(super) fn answered_of(&self, tenant: Tenant) -> Option<(Tenant, u32)> {
        let may_be_asked = |key: &u32| {
            self.subjects.get(*key as usize).is_some_and(|subject| {
                let waits = !matches!(subject.place, Place::Part | Place::Flying { .. });
                waits && subject.tenant == tenant && subject.was_answered()
            })
        };
        self.namespaces.canaries_of(tenant).find(may_be_asked).map(|key| (tenant, key))
    }

    /// Whether a probe of a namespace tells something: that an id is refused that was never answered does not.
    pub(super) fn may_probe(&self, tenant: Tenant, kind: ErrorKind) -> bool {
        kind.scope() == Scope::Failure || self.answered_of(tenant).is_some()
    }

    /// Keeps ids that were answered as canaries.
    pub(super) fn note_canaries(&mut self, ids: &[u32]) {
        let tenant = |key: &u32| self.subjects.get(*key as usize).map(|subject| subject.tenant);
        for of_one in ids.chunk_by(|a, b| tenant(a) == tenant(b)) {
            if let Some(tenant) = tenant(&of_one[0]) {
                self.namespaces.answered(tenant, of_one.iter().copied());
            }
        }
    }
}
