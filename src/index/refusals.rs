//! Whose fault a refusal is: a batch is split until the id that spoils it is alone, and a lane is at fault only if an
//! id is refused that was answered before.

use std::time::Duration;

use super::health::LaneHealth;
use super::lane::Lane;
use super::ring::{Picked, Place, Ring};
use super::subject::Subject;
use crate::ecs::ErrorKind;
use crate::schedule::{BATCH, SLOWEST};

/// Refusals in a row after which the lane is suspected, and not single tasks: 7 halvings lead from 100 ids to one, and
/// the one beside it is asked next.
const SUSPICION: u32 = BATCH.ilog2() + 2;

/// What a refusal tells.
pub(super) enum Refusal {
    /// Nothing yet: the batch is split to find the id that spoils it.
    Split,
    /// This id is refused.
    Culprit(u32),
    /// The lane as a whole is refused, since then.
    Lane(Duration),
}

impl Lane {
    /// This very question was refused: one of its ids may be the cause, or the lane as a whole.
    pub(super) fn refused(
        &mut self,
        mut subjects: Vec<u32>,
        kind: ErrorKind,
        begun: Duration,
        now: Duration,
    ) -> Refusal {
        let was_control = self.control.is_some_and(|control| subjects == [control]);
        self.refusals += 1;
        if was_control || now < self.condemned_until {
            return self.condemn(subjects, kind, begun, now);
        }
        if self.refusals > SUSPICION && self.control.is_none() {
            self.control = self.subjects.iter().find(|(_, it)| it.may_be_control()).map(|(key, _)| key as u32);
            if self.control.is_none() {
                return self.condemn(subjects, kind, begun, now);
            }
        }
        self.in_flight -= 1;
        self.health = LaneHealth::default();
        if let [culprit] = subjects[..] {
            return Refusal::Culprit(culprit);
        }
        let right = subjects.split_off(subjects.len() / 2);
        self.split([subjects, right]);
        Refusal::Split
    }

    /// Has the parts of a batch asked next, each by itself.
    pub(super) fn split(&mut self, parts: [Vec<u32>; 2]) {
        for &key in parts.iter().flatten() {
            self.subjects[key as usize].place = Place::Part;
        }
        let parts = parts.map(|part| if part.is_empty() { None } else { Some(part) });
        for part in parts.into_iter().flatten() {
            self.ring_of(part[0]).add_part(part);
        }
    }

    fn condemn(&mut self, subjects: Vec<u32>, kind: ErrorKind, begun: Duration, now: Duration) -> Refusal {
        if now >= self.condemned_until {
            self.condemned_until = now + SLOWEST;
        }
        self.refusals = 0;
        self.control = None;
        let parts = [self.tasks.take_parts(), self.resources.take_parts()].concat();
        parts.into_iter().for_each(|key| self.put_back(key, now));
        Refusal::Lane(self.failed(subjects, kind, begun, now))
    }

    /// The ids of the next question.
    pub(super) fn pick(&mut self, now: Duration) -> Picked {
        if let Some(control) = self.control {
            match self.subjects.get(control as usize) {
                Some(subject) if subject.may_be_control() => {
                    self.leave(control);
                    return Picked { subjects: vec![control], due: now };
                }
                // It is being asked just now.
                Some(Subject { place: Place::Flying { .. }, .. }) => {}
                Some(_) | None => self.control = None,
            }
        }
        // A condemned lane is probed by one id after the other, lest one bad id hides that others are answered.
        let most = if now < self.condemned_until { 1 } else { BATCH };
        // With both kinds in need they take turns, so neither keeps the other waiting.
        let is_due = |ring: &Ring| ring.next_at().is_some_and(|at| at <= now);
        self.last_were_tasks = is_due(&self.tasks) && !(self.last_were_tasks && is_due(&self.resources));
        let ring = if self.last_were_tasks { &mut self.tasks } else { &mut self.resources };
        ring.pick(now, self.interval, most)
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
}
