//! Ids that were refused: asked for alone and slowly, their namespaces in turn, until answers show that they are well
//! again. Each answer doubles how many of them the next request may hold.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use super::directory::Tenant;
use super::turns::{Turns, Waiting};
use crate::clock::Moment;
use crate::schedule::BATCH;

/// A namespace whose next request may hold so many ids has answered four times in a row: it heals with the calls of what
/// is well.
const PROVEN: usize = 16;

/// Where a lane has nothing but isolated ids some namespaces are asked for an id as often, however slowly each id is asked
/// for: the account may lack a permission that comes back.
const SCOUT: Duration = Duration::from_secs(30);

/// So many namespaces at a time, in turn.
const SCOUTS: usize = 14;

/// Isolated ids that say so much of the account, as many as canaries do.
const MANY: usize = 3;

/// A call that began before an answer comes to its end within this.
const LATE: Duration = Duration::from_secs(30);

/// The isolated ids of one kind in a lane.
pub(super) struct Isolation {
    waiting: Turns,
    /// Parts of requests that failed.
    parts: VecDeque<Vec<u32>>,
    /// Namespaces of which an id was just answered.
    healing: BTreeMap<Tenant, Healing>,
    /// Of how many other namespaces the next request may hold an id.
    crowd: usize,
    /// Namespaces of which an id is asked for though none may be due.
    scouted: VecDeque<Tenant>,
    /// Whether the last request was for ids that heal: with others due they take turns.
    healed_last: bool,
    /// When namespaces were scouted last, and which was the last of them.
    last_scouted: (Duration, Option<Tenant>),
}

struct Healing {
    /// How many ids the next request may hold.
    size: usize,
    /// When the newest request began that was answered.
    begun: Duration,
}

impl Default for Isolation {
    fn default() -> Self {
        Self {
            waiting: Turns::default(),
            parts: VecDeque::new(),
            healing: BTreeMap::new(),
            crowd: 1,
            scouted: VecDeque::new(),
            healed_last: false,
            last_scouted: (Duration::ZERO, None),
        }
    }
}

impl Isolation {
    /// Puts an id in.
    pub(super) fn insert(&mut self, tenant: Tenant, waiting: Waiting) {
        self.waiting.insert(tenant, waiting);
    }

    /// Takes an id out.
    pub(super) fn remove(&mut self, tenant: Tenant, waiting: Waiting) {
        self.waiting.remove(tenant, waiting);
    }

    /// Has a part of a request that failed asked for next.
    pub(super) fn add_part(&mut self, part: Vec<u32>) {
        self.parts.push_back(part);
    }

    /// Gives up on the parts.
    pub(super) fn take_parts(&mut self) -> impl Iterator<Item = u32> {
        std::mem::take(&mut self.parts).into_iter().flatten()
    }

    /// The ids that wait.
    pub(super) fn len(&self) -> usize {
        self.waiting.len()
    }

    /// The id of a namespace that waits for the next request.
    pub(super) fn first_of(&self, tenant: Tenant) -> Option<u32> {
        self.waiting.first_of(tenant)
    }

    /// When there is something to ask for.
    pub(super) fn next_at(&self) -> Option<Duration> {
        if !self.parts.is_empty() || self.heals() || !self.scouted.is_empty() {
            return Some(Duration::ZERO);
        }
        self.waiting.first()
    }

    /// Whether ids wait of namespaces that were just answered.
    pub(super) fn heals(&self) -> bool {
        self.healing.keys().any(|tenant| self.waiting.first_of(*tenant).is_some())
    }

    /// Whether there are ids of namespaces that have proven themselves.
    pub(super) fn has_proven(&self) -> bool {
        let proven = self.healing.iter().filter(|(_, it)| it.size >= PROVEN);
        proven.into_iter().any(|(tenant, _)| self.waiting.first_of(*tenant).is_some())
    }

    /// Takes ids of namespaces that have proven themselves.
    pub(super) fn take_proven(&mut self) -> Vec<u32> {
        self.take_healing(PROVEN).into_iter().map(|(_, id)| id).collect()
    }

    /// When namespaces are to be scouted, where the lane has no other ids.
    pub(super) fn scout_at(&self) -> Option<Duration> {
        (self.waiting.len() >= MANY).then(|| self.last_scouted.0 + SCOUT)
    }

    /// Has an id of some namespaces asked for soon.
    pub(super) fn scout_some(&mut self, now: Duration) {
        let last = self.last_scouted.1;
        let mut tenants: Vec<_> = self.waiting.tenants().collect();
        let next = tenants.partition_point(|tenant| Some(*tenant) <= last);
        tenants.rotate_left(next);
        tenants.truncate(SCOUTS);
        self.last_scouted = (now, tenants.last().copied());
        self.scouted = tenants.into();
    }

    /// Has one id of each namespace asked for soon: an account that refused everything has answered.
    pub(super) fn scout_all(&mut self) {
        self.scouted = self.waiting.tenants().collect();
    }

    /// Takes the ids of the next request; none where nothing is due.
    pub(super) fn take(&mut self, now: Duration) -> Vec<u32> {
        if let Some(part) = self.parts.pop_front() {
            return part;
        }
        let others = |it: &mut Self| {
            let scout = it.next_scout();
            if !scout.is_empty() {
                return scout;
            }
            let Self { waiting, healing, crowd, .. } = it;
            waiting.take_one_of_each(now.into(), *crowd, |tenant| !healing.contains_key(&tenant))
        };
        let taken = if self.healed_last { others(self) } else { Vec::new() };
        let taken = if taken.is_empty() { self.take_healing(1) } else { taken };
        self.healed_last = !self.healed_last;
        let taken = if taken.is_empty() { others(self) } else { taken };
        taken.into_iter().map(|(_, id)| id).collect()
    }

    /// Ids of these namespaces were answered, by a request that began at `begun`.
    pub(super) fn answered(&mut self, tenants: impl Iterator<Item = Tenant>, begun: Duration) {
        for tenant in tenants {
            let healing = self.healing.entry(tenant).or_insert(Healing { size: 1, begun });
            *healing = Healing { size: (healing.size * 2).min(BATCH), begun: healing.begun.max(begun) };
        }
        self.crowd = (self.crowd * 2).min(BATCH);
        let Self { healing, waiting, .. } = self;
        // One that is still being asked, since before its namespace was answered, may come back refused.
        healing.retain(|tenant, it| waiting.first_of(*tenant).is_some() || it.begun + LATE > begun);
    }

    /// A request for ids of these namespaces failed that began at `begun`. What was answered since heals on.
    pub(super) fn failed(&mut self, tenants: impl Iterator<Item = Tenant>, begun: Duration) {
        for tenant in tenants {
            if self.healing.get(&tenant).is_some_and(|it| it.begun <= begun) {
                self.healing.remove(&tenant);
            }
        }
        self.crowd = 1;
    }

    fn next_scout(&mut self) -> Vec<Waiting> {
        while let Some(tenant) = self.scouted.pop_front() {
            let is_wanted = !self.healing.contains_key(&tenant) && self.waiting.first_of(tenant).is_some();
            if is_wanted {
                return self.waiting.take_from(tenant, 1, Moment::MAX);
            }
        }
        Vec::new()
    }

    /// Ids that heal, due or not, of namespaces of which a request may hold as many.
    fn take_healing(&mut self, least: usize) -> Vec<Waiting> {
        let mut taken = Vec::new();
        for (&tenant, it) in self.healing.iter().filter(|(_, it)| it.size >= least) {
            let most = it.size.min(BATCH - taken.len());
            taken.extend(self.waiting.take_from(tenant, most, Moment::MAX));
        }
        taken
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Duration = Duration::from_secs(100);

    /// `ids` due ids of each of so many namespaces; an id tells its namespace by its hundreds.
    fn isolation(namespaces: u32, ids: u32) -> Isolation {
        let mut isolation = Isolation::default();
        for tenant in 0..namespaces {
            (0..ids).for_each(|id| isolation.insert(Tenant(tenant), (NOW.into(), tenant * 1_000 + id)));
        }
        isolation
    }

    fn tenants(ids: &[u32]) -> impl Iterator<Item = Tenant> {
        ids.iter().map(|id| Tenant(id / 1_000))
    }

    #[test]
    fn an_account_that_is_well_again_heals_in_few_requests() {
        for (namespaces, ids) in [(1, 4_000), (20, 200), (200, 20)] {
            let mut isolation = isolation(namespaces, ids);
            let mut requests = 0;
            while isolation.len() > 0 {
                let taken = isolation.take(NOW);
                isolation.answered(tenants(&taken), NOW);
                requests += 1;
            }
            assert!(requests <= 60, "{namespaces} namespaces of {ids} ids took {requests} requests");
        }
    }

    #[test]
    fn a_refused_namespace_goes_on_alone_and_slows_no_other() {
        let mut isolation = isolation(2, 400);
        let mut healed = 0;
        for _ in 0..24 {
            let taken = isolation.take(NOW);
            if taken.iter().any(|id| *id < 1_000) {
                isolation.failed(tenants(&taken), NOW);
                assert_eq!(taken.len(), 1);
            } else {
                healed += taken.len();
                isolation.answered(tenants(&taken), NOW);
            }
        }
        assert_eq!(healed, 400);
    }

    #[test]
    fn what_was_refused_before_its_namespace_was_answered_is_asked_for_again_at_once() {
        let mut isolation = isolation(1, 0);
        isolation.answered([Tenant(0)].into_iter(), NOW);
        isolation.failed([Tenant(0)].into_iter(), NOW - Duration::from_millis(1));
        isolation.insert(Tenant(0), ((2 * NOW).into(), 7));
        assert_eq!(isolation.take(NOW), [7]);
        isolation.failed([Tenant(0)].into_iter(), NOW);
        isolation.insert(Tenant(0), ((2 * NOW).into(), 7));
        assert_eq!((isolation.take(NOW), isolation.next_at()), (Vec::new(), Some(2 * NOW)));
    }

    #[test]
    fn nothing_is_asked_for_before_it_is_due_unless_it_heals() {
        let mut isolation = isolation(1, 3);
        assert_eq!((isolation.take(NOW / 2), isolation.next_at()), (Vec::new(), Some(NOW)));
        isolation.answered([Tenant(0)].into_iter(), NOW);
        assert_eq!((isolation.next_at(), isolation.take(NOW / 2).len()), (Some(Duration::ZERO), 2));
    }
}
