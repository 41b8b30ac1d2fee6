//! Whose fault it is that a request fails: one of its ids', or the lane's.
//!
//! A failed request is held while canaries are asked for, ids that were answered before. If one of them is answered, or
//! anything else that was asked for since, the lane is well, and the request is cut in parts until the id that spoils
//! it is alone. If they all fail too, the breaker of the lane opens. With no canary yet the request is cut at once.

use std::collections::BTreeSet;
use std::time::Duration;

use super::breaker::{Breaker, MAX_FAILURES, Spacing};
use super::canary::{CanaryCheck, FailedRequest, Released};
use super::cut::cut;
use super::directory::Tenant;
use super::lane::Lane;
use super::ring::Place;
use super::sent::Sent;
use super::subject::SubjectId;
use crate::clock::Now;
use crate::ecs::{ErrorKind, Scope};
use crate::observation::Failure;

/// What is found out by an answer or a failure.
pub(super) enum Finding {
    /// This request for one id fails for the fault of that id.
    Poison(FailedRequest),
    /// The lane as a whole fails, since a moment.
    Outage {
        /// When the call began.
        begun: Now,
        /// Since when it lasts.
        since: Duration,
        /// What the call failed with.
        kind: ErrorKind,
        /// What is told of it.
        failure: Failure,
    },
}

impl Lane {
    /// A request was answered: the lane is well, and so are its ids if the answer is of use. Returns whether the first is
    /// news, and what it tells of requests that failed.
    pub(super) fn succeeded(
        &mut self,
        ids: &[u32],
        sent: Sent,
        is_of_use: bool,
        begun: Duration,
        now: Duration,
    ) -> (bool, Vec<Finding>) {
        let recovered = self.breaker.is_open();
        self.breaker = Breaker::default();
        self.failures = 0;
        self.answered = self.answered.max(Some(begun));
        self.was_not_throttled();
        if is_of_use {
            self.are_well(ids, sent, begun);
        }
        (recovered, self.release(begun, now))
    }

    /// A request failed.
    pub(super) fn failed(&mut self, request: FailedRequest, now: Duration) -> Vec<Finding> {
        if request.kind.scope() == Scope::Lane {
            return vec![self.open(request, now)];
        }
        if request.kind.scope() == Scope::Refusal {
            self.was_not_throttled();
        }
        match (self.breaker.kind().map(ErrorKind::scope), request.kind.scope()) {
            (Some(Scope::Refusal), Scope::Refusal) if !self.is_telling(&request.ids) => {
                return self.still_refused(request.ids, request.begun.mono, now);
            }
            (Some(Scope::Refusal), _) | (Some(Scope::Failure), Scope::Failure) => return vec![self.open(request, now)],
            // The API speaks again, if only to refuse this request: the outage is over.
            (Some(Scope::Lane | Scope::Failure), _) => self.breaker = Breaker::default(),
            (None, _) => {}
        }
        if self.answered >= Some(request.begun.mono) {
            return self.blame(request, now);
        }
        if request.kind.scope() == Scope::Failure && self.check.is_none() && !self.has_canary() {
            self.failures += 1;
            if self.failures >= MAX_FAILURES.min(self.subjects.len()) {
                return vec![self.open(request, now)];
            }
        }
        // Of these it is known that they make requests fail: that they do it again tells nothing of the lane.
        if request.sent.is_of_suspects() {
            return self.blame(request, now);
        }
        self.hold(request);
        self.conclude(now)
    }

    /// Of tasks that are only part of an answer nobody can say which is the newest. Images are asked for by fewer and
    /// fewer; the namespaces with most of the tasks that were told of at once without the others.
    pub(super) fn endless(&mut self, request: FailedRequest, told: &[(Tenant, usize)], now: Duration) -> Vec<Finding> {
        let tenants = self.tenants_of(&request.ids);
        if tenants.len() == 1 || request.sent != Sent::Shared {
            return self.blame(request, now);
        }
        let mean = told.iter().map(|(_, tasks)| tasks).sum::<usize>().div_ceil(tenants.len()).max(1);
        let most: BTreeSet<_> = told.iter().filter(|(_, tasks)| *tasks >= mean).map(|(tenant, _)| *tenant).collect();
        if most.is_empty() {
            return self.blame(request, now);
        }
        let (heavy, rest): (Vec<_>, Vec<_>) =
            request.ids.into_iter().partition(|&key| most.contains(&self.subjects[key as usize].tenant));
        let mut parts: Vec<Vec<u32>> = vec![rest];
        for tenant in most {
            self.unsettle(tenant, heavy[0], now);
            parts.push(heavy.iter().copied().filter(|&key| self.subjects[key as usize].tenant == tenant).collect());
        }
        parts.into_iter().filter(|part| !part.is_empty()).for_each(|part| self.add_part(part));
        Vec::new()
    }

    /// Holds a request until canaries have told whose fault it is.
    fn hold(&mut self, request: FailedRequest) {
        let alone = match request.ids[..] {
            [key] => Some(key).filter(|key| self.subjects[*key as usize].is_good() || request.sent == Sent::Canary),
            _ => None,
        };
        let failed = alone.map(|key| (self.subjects[key as usize].tenant, key));
        let scope = request.kind.scope();
        for &key in &request.ids {
            self.subjects[key as usize].place = Place::Part;
        }
        let check = match &mut self.check {
            Some(check) => {
                check.hold(request);
                check
            }
            None => self.check.insert(CanaryCheck::new(request)),
        };
        if let Some((tenant, key)) = failed {
            check.fail(tenant, key, scope);
        }
    }

    /// Opens the breaker if all canaries have failed; blames the ids where there is no canary.
    fn conclude(&mut self, now: Duration) -> Vec<Finding> {
        let Some(check) = self.check.as_ref().filter(|check| !check.is_waiting()) else { return Vec::new() };
        if check.next_at().is_some() && self.next_canary().is_some() {
            return Vec::new();
        }
        let verdict = check.verdict();
        match verdict.and_then(|how| self.check.as_mut()?.take_canary(how)) {
            Some(canary) => vec![self.open(canary, now)],
            None => {
                let held = self.check.take().map(CanaryCheck::into_held).unwrap_or_default();
                held.into_iter().flat_map(|request| self.blame(request, now)).collect()
            }
        }
    }

    /// The cloud took a call, whatever it said of what was asked.
    fn was_not_throttled(&mut self) {
        self.rate.recover();
        self.load.recover();
    }

    /// The ids of requests are at fault that began before a request that was answered.
    fn release(&mut self, answered: Duration, now: Duration) -> Vec<Finding> {
        let Some(check) = &mut self.check else { return Vec::new() };
        let released = check.release(answered);
        if check.is_over() {
            self.check = None;
        }
        let mut findings = Vec::new();
        for released in released {
            match released {
                Released::AtFault(request) => findings.extend(self.blame(request, now)),
                Released::Explained(ids) => self.add_part(ids),
            }
        }
        findings
    }

    /// The lane as a whole fails: what was asked for is due again, after a probe. Nothing is cut.
    fn open(&mut self, request: FailedRequest, now: Duration) -> Finding {
        let FailedRequest { ids, begun, kind, failure, .. } = request;
        let probed = self.check.iter().flat_map(|check| check.failed(kind.scope()));
        let mut probed: Vec<Tenant> = probed.collect();
        let held = self.check.take().map(CanaryCheck::into_held).unwrap_or_default();
        probed.extend(match ids[..] {
            // That an id is refused which was never answered tells nothing of its namespace.
            [key] if kind.scope() != Scope::Refusal || self.is_telling(&ids) => {
                Some(self.subjects[key as usize].tenant)
            }
            _ => None,
        });
        let parts = [self.tasks.take_parts(), self.resources.take_parts()].concat();
        let held = held.into_iter().flat_map(|request| request.ids);
        ids.into_iter().chain(held).chain(parts).for_each(|key| self.put_back(key, now));
        if let ErrorKind::Throttled { retry_after } = kind {
            let (until, is_first) = (now + retry_after.unwrap_or_default(), !self.breaker.is_open());
            for rate in [&mut self.rate, &mut self.load] {
                rate.hold_until(until);
                // Probes come ever more slowly by themselves: what they are told halves the rate no further.
                if is_first {
                    rate.halve();
                }
            }
        }
        let since = self.keep_open(kind, begun.mono, &probed, now);
        Finding::Outage { begun, since, kind, failure }
    }

    /// What was refused while the lane is refused tells nothing new: it may be refused for its own sake.
    fn still_refused(&mut self, ids: Vec<u32>, begun: Duration, now: Duration) -> Vec<Finding> {
        ids.into_iter().for_each(|key| self.put_back(key, now));
        if let Some(kind) = self.breaker.kind() {
            self.keep_open(kind, begun, &[], now);
        }
        Vec::new()
    }

    fn keep_open(&mut self, kind: ErrorKind, begun: Duration, probed: &[Tenant], now: Duration) -> Duration {
        let spacing = Spacing { interval: self.interval, healthy: self.healthy_spacing() };
        let unprobed = |tenant: Tenant| !probed.contains(&tenant) && !self.breaker.has_probed(tenant);
        let unprobed = self.namespaces.iter().any(|it| unprobed(it) && self.may_probe(it, kind));
        self.breaker.failed(kind, begun, now, probed, unprobed, spacing)
    }

    /// One of the ids of a request makes it fail.
    fn blame(&mut self, request: FailedRequest, now: Duration) -> Vec<Finding> {
        let FailedRequest { ref ids, sent, .. } = request;
        if matches!(sent, Sent::Isolated | Sent::Healing) || ids.len() == 1 {
            let tenants = self.tenants_of(ids);
            self.ring_of(ids[0]).isolation.failed(tenants.into_iter(), request.begun.mono);
        }
        match sent {
            Sent::Unsettled(tenant) if self.ring_of(ids[0]).unsettled.completed(tenant, false) => {
                let tasks = matches!(self.id_of(ids[0]), SubjectId::Task(_));
                self.isolate_unanswered(tenant, tasks, now);
            }
            Sent::Shared | Sent::Canary | Sent::Probe => self.suspect(ids, now),
            Sent::Unsettled(_) | Sent::Alone | Sent::Isolated | Sent::Healing => {}
        }
        match ids[..] {
            [key] => {
                if self.answered.is_some() && !sent.is_of_suspects() {
                    self.spoilers.count(key, now);
                }
                vec![Finding::Poison(request)]
            }
            _ => {
                self.cut(request.ids, sent);
                Vec::new()
            }
        }
    }

    /// A shared request of one namespace was spoiled by it.
    fn suspect(&mut self, ids: &[u32], now: Duration) {
        if let [tenant] = self.tenants_of(ids)[..] {
            self.unsettle(tenant, ids[0], now);
        }
    }

    /// Has the parts of a request asked for next.
    fn cut(&mut self, ids: Vec<u32>, sent: Sent) {
        let parts = cut(ids.into_iter().map(|key| (self.subjects[key as usize].tenant, key)).collect());
        for part in parts {
            match sent {
                Sent::Isolated | Sent::Healing => {
                    self.mark_part(&part);
                    self.ring_of(part[0]).isolation.add_part(part);
                }
                Sent::Shared | Sent::Canary | Sent::Probe | Sent::Unsettled(_) | Sent::Alone => self.add_part(part),
            }
        }
    }

    /// Has a part asked for, with those of its namespace where that is unsettled.
    fn add_part(&mut self, part: Vec<u32>) {
        self.mark_part(&part);
        let tenants = self.tenants_of(&part);
        let ring = self.ring_of(part[0]);
        match tenants[..] {
            [tenant] if ring.unsettled.contains(tenant) => ring.unsettled.add_part(tenant, part),
            _ => ring.add_part(part),
        }
    }

    fn mark_part(&mut self, part: &[u32]) {
        for &key in part {
            self.subjects[key as usize].place = Place::Part;
        }
    }

    /// The answer to a request tells of its ids.
    fn are_well(&mut self, ids: &[u32], sent: Sent, begun: Duration) {
        self.note_canaries(ids);
        match sent {
            Sent::Unsettled(tenant) => {
                self.ring_of(ids[0]).unsettled.completed(tenant, true);
            }
            Sent::Isolated | Sent::Healing => {
                let tenants = self.tenants_of(ids);
                self.ring_of(ids[0]).isolation.answered(tenants.into_iter(), begun);
                // What is being asked counts as regular, mostly an id a request.
                if self.tasks.regular() + self.resources.regular() <= ids.len() + self.special_in_flight {
                    self.tasks.isolation.scout_all();
                    self.resources.isolation.scout_all();
                }
            }
            Sent::Shared | Sent::Canary | Sent::Probe | Sent::Alone => {}
        }
    }

    fn tenants_of(&self, ids: &[u32]) -> Vec<Tenant> {
        let mut tenants: Vec<_> = ids.iter().map(|&key| self.subjects[key as usize].tenant).collect();
        tenants.sort_unstable();
        tenants.dedup();
        tenants
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{Cloud, World, secs};
    use crate::ecs::ErrorKind;

    /// A cloud that refuses every question in which one of these ids is.
    fn refusing(bad: &'static [&'static str]) -> Cloud {
        Box::new(|call| match call.ids.iter().any(|id| bad.contains(&id.as_str())) {
            true => Err(ErrorKind::Rejected),
            false => Ok(()),
        })
    }

    fn healthy(world: &World, count: usize) -> usize {
        (0..count).filter(|n| world.phase(&format!("t-{n}")) == "Running").count()
    }

    const BAD: &[&str] = &["bad-0", "bad-1", "bad-2", "bad-3", "bad-4", "bad-5", "bad-6", "bad-7", "bad-8", "bad-9"];

    #[test]
    fn refused_ids_that_come_together_harm_no_other() {
        for count in [20, 500] {
            let mut world = World::new();
            (0..count).for_each(|n| world.create(&format!("t-{n}")));
            world.run(secs(30));
            world.cloud = refusing(BAD);
            BAD.iter().for_each(|id| world.create(id));
            let written = world.writes.len();
            for _ in 0..30 {
                world.run(secs(20));
                assert_eq!(healthy(&world, count), count);
            }
            assert!(BAD.iter().all(|id| world.phase(id) == "Error"));
            assert!(world.writes.len() - written <= 4 * BAD.len(), "{} writes", world.writes.len() - written);
        }
    }

    #[test]
    fn refused_ids_that_come_with_the_first_tasks_harm_no_other() {
        let mut world = World::new();
        world.cloud = refusing(BAD);
        BAD.iter().for_each(|id| world.create(id));
        (0..50).for_each(|n| world.create(&format!("t-{n}")));
        world.run(secs(900));
        assert_eq!(healthy(&world, 50), 50);
    }

    #[test]
    fn a_permission_that_comes_back_for_all_but_one_id_heals_all_but_one() {
        let mut world = World::new();
        (0..50).for_each(|n| world.create(&format!("t-{n}")));
        world.cloud = Box::new(|_| Err(ErrorKind::AccessDenied));
        world.run(secs(400));
        world.cloud = refusing(&["t-7"]);
        world.run(secs(900));
        assert_eq!((healthy(&world, 50), world.phase("t-7")), (49, "Error"));
    }

    #[test]
    fn every_namespace_of_a_lane_that_refused_everything_heals_within_a_minute_of_an_answer() {
        let mut world = World::new();
        world.cloud = Box::new(|_| Err(ErrorKind::AccessDenied));
        for namespace in 0..40 {
            world.namespace = format!("team-{namespace}").leak();
            (0..3).for_each(|n| world.create(&format!("t-{namespace}-{n}")));
        }
        world.run(secs(600));
        world.cloud = Box::new(|_| Ok(()));
        world.run(secs(100));
        let back = world.calls.iter().find(|call| call.at >= secs(600)).expect("it is asked again").at;
        assert!(back <= secs(631), "asked at {back:?}");
        for id in (0..40).flat_map(|namespace| (0..3).map(move |n| format!("t-{namespace}-{n}"))) {
            let looked = world.looked_at(&id, back);
            assert!(looked - back <= secs(60), "{id} {:?} after the first answer", looked - back);
        }
    }

    #[test]
    fn many_refused_ids_leave_turns_for_the_others() {
        let mut world = World::new();
        (0..100).for_each(|n| world.create(&format!("t-{n}")));
        world.run(secs(20));
        world.cloud = Box::new(|call| match call.ids.iter().any(|id| id.starts_with("x-")) {
            true => Err(ErrorKind::Rejected),
            false => Ok(()),
        });
        (0..300).for_each(|n| world.create(&format!("x-{n}")));
        world.run(secs(600));
        let looks = world.calls_between(300, 600).iter().filter(|call| call.ids.contains(&"t-0".into())).count();
        assert!(looks >= 25, "{looks} looks at a healthy task in 30 beats");
    }

    /// Whether a call asks for an id that begins so.
    fn asks(call: &super::super::tests::Call, prefix: &str) -> bool {
        call.ids.iter().any(|id| id.starts_with(prefix))
    }

    /// A world with honest ids of one namespace and refused or breaking ones of others.
    fn beside(honest: usize, bad: usize, namespaces: &[&'static str], kind: ErrorKind) -> World {
        let mut world = World::new();
        world.cloud = Box::new(move |call| if asks(call, "x-") { Err(kind) } else { Ok(()) });
        world.namespace = "quiet";
        (0..honest).for_each(|n| world.create(&format!("t-{n}")));
        for (n, namespace) in (0..bad).zip(namespaces.iter().cycle()) {
            world.namespace = namespace;
            world.create(&format!("x-{n}"));
        }
        world
    }

    /// The longest time that an honest id went without a look, from the first second on.
    fn longest_gap(world: &World, from: u64, to: u64) -> u64 {
        let gap = |id: String| {
            let looks = world.calls_between(from, to).into_iter().filter(|call| call.ids.contains(&id));
            let moments = [secs(from)].into_iter().chain(looks.map(|call| call.at)).chain([secs(to)]);
            let moments: Vec<_> = moments.collect();
            moments.windows(2).map(|pair| (pair[1] - pair[0]).as_secs()).max().expect("there are two")
        };
        (0..20).map(|n| gap(format!("t-{n}"))).max().expect("there are some")
    }

    const LOUD: [&str; 20] = [
        "a1", "a2", "a3", "a4", "a5", "a6", "a7", "a8", "a9", "a10", "z1", "z2", "z3", "z4", "z5", "z6", "z7", "z8",
        "z9", "z10",
    ];

    #[test]
    fn refused_and_breaking_ids_of_others_harm_nobody_from_the_first_second_on_nor_after_a_restart() {
        for kind in [ErrorKind::Rejected, ErrorKind::AccessDenied, ErrorKind::Unavailable] {
            for (bad, namespaces) in [(20, &LOUD[..1]), (200, &LOUD[..1]), (400, &LOUD[..])] {
                let mut world = beside(100, bad, namespaces, kind);
                world.run(secs(300));
                world.restart_after(secs(1));
                world.run(secs(299));
                let told: Vec<_> = (0..100).flat_map(|n| world.told(&format!("t-{n}"))).collect();
                assert!(told.iter().all(|reason| *reason == "TaskRunning"), "{kind:?} {bad}: {told:?}");
                let gap = longest_gap(&world, 0, 300).max(longest_gap(&world, 301, 600));
                let bound = 20 + 7 * namespaces.len() as u64 / 4 + 1;
                assert!(gap <= bound, "{kind:?}, {bad} ids in {}: {gap} s without a look", namespaces.len());
            }
        }
    }

    #[test]
    fn an_id_that_breaks_the_answer_is_told_so_and_never_stalled() {
        let mut world = beside(20, 1, &LOUD[..1], ErrorKind::Unavailable);
        world.run(secs(900));
        assert_eq!((world.told("x-0"), world.phase("x-0")), (vec!["CloudUnavailable"], "Pending"));
        assert_eq!(healthy(&world, 20), 20);
    }

    #[test]
    fn an_outage_costs_probes_and_no_bisection() {
        for kind in [ErrorKind::Unavailable, ErrorKind::Unreachable] {
            let mut world = beside(1_000, 0, &LOUD, kind);
            world.run(secs(30));
            world.calls.clear();
            world.cloud = Box::new(move |_| Err(kind));
            world.run(secs(300));
            assert!(world.calls.len() <= 20, "{kind:?}: {} calls in five minutes", world.calls.len());
            assert!(world.calls.iter().skip(10).all(|call| call.ids.len() == 1 || kind == ErrorKind::Unreachable));
        }
    }

    #[test]
    fn a_lost_permission_is_told_to_everyone_with_few_calls_and_comes_back_within_a_minute() {
        let mut world = World::new();
        for n in 0..4_000 {
            world.namespace = LOUD[n % 20];
            world.create(&format!("t-{n}"));
        }
        world.run(secs(30));
        world.cloud = Box::new(|_| Err(ErrorKind::AccessDenied));
        let lost = world.calls.len();
        world.run(secs(400));
        assert!(world.calls.len() - lost <= 60, "{} calls", world.calls.len() - lost);
        assert!((0..4_000).all(|n| world.told(&format!("t-{n}")).last() == Some(&"AccessDenied")));
        world.restart_after(secs(1));
        world.run(secs(60));
        world.cloud = Box::new(|_| Ok(()));
        world.run(secs(60));
        assert_eq!(healthy(&world, 4_000), 4_000);
    }

    #[test]
    fn isolated_ids_get_one_call_in_four_while_others_are_due() {
        let mut world = beside(4_000, 2_000, &LOUD, ErrorKind::Rejected);
        world.run(secs(900));
        let calls = world.calls_between(600, 900);
        let refused = calls.iter().filter(|call| asks(call, "x-")).count();
        assert!((calls.len() / 5..=calls.len() * 27 / 100).contains(&refused), "{refused} of {} calls", calls.len());
    }

    #[test]
    fn a_poke_or_an_edit_leaves_an_id_that_was_refused_alone() {
        let mut world = beside(100, 50, &LOUD[..1], ErrorKind::Rejected);
        world.run(secs(200));
        for n in 0..50 {
            world.ask_for_a_look(&format!("x-{n}"), "now");
            world.edit(&format!("x-{n}"), serde_json::json!({"taskId": format!("x-{n}"), "timeout": "9h"}));
        }
        world.run(secs(100));
        let shared = world.calls_between(200, 300).into_iter().filter(|call| asks(call, "x-") && call.ids.len() > 1);
        assert_eq!(shared.count(), 0);
    }

    #[test]
    fn an_id_that_spoils_twice_stays_alone_for_an_hour() {
        let mut world = beside(100, 1, &LOUD[..1], ErrorKind::Rejected);
        world.cloud = Box::new(|call| {
            let refused = asks(call, "x-") && call.at.as_secs() / 60 % 2 == 1;
            if refused { Err(ErrorKind::Rejected) } else { Ok(()) }
        });
        world.run(secs(3_000));
        let spoilt = |call: &&&super::super::tests::Call| call.ids.len() > 1 && asks(call, "x-");
        assert_eq!(world.calls_between(400, 3_000).iter().filter(spoilt).count(), 0);
        assert!(longest_gap(&world, 1, 3_000) <= 13);
    }

    #[test]
    fn an_outage_is_over_when_the_api_answers_a_probe_be_it_with_a_refusal() {
        let mut world = beside(40, 400, &LOUD[..], ErrorKind::Rejected);
        world.run(secs(300));
        world.cloud = Box::new(|_| Err(ErrorKind::Unavailable));
        world.run(secs(200));
        world.cloud = Box::new(|call| if asks(call, "x-") { Err(ErrorKind::Rejected) } else { Ok(()) });
        let healed = world.now.as_secs();
        world.run(secs(600));
        // The pause in which the outage ends is 160 s at most.
        assert!(longest_gap(&world, healed + 161, healed + 600) <= 56);
        assert!((0..40).all(|n| world.told(&format!("t-{n}")).iter().all(|it| !it.starts_with("RequestR"))));
    }

    #[test]
    fn canaries_that_hang_have_nobody_told_of_the_refusal_of_another() {
        let mut world = beside(3, 3, &LOUD[..1], ErrorKind::Rejected);
        world.run(secs(5));
        // All ids of the honest namespace hang while those of the other are refused.
        world.cloud = Box::new(|call| Err(if asks(call, "x-") { ErrorKind::Rejected } else { ErrorKind::Unavailable }));
        world.run(secs(300));
        let told: Vec<_> = (0..3).flat_map(|n| world.told(&format!("t-{n}"))).collect();
        assert!(!told.contains(&"RequestRejected"), "{told:?}");
    }
}
