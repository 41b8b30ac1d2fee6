//! When entries are judged anew that nothing else would wake: one that is not polled is judged on events alone, and what
//! it says may change with time.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use super::Index;
use super::key::EntryKey;
use crate::clock::{Moment, Now};

/// The moments, one an entry at most.
#[derive(Default)]
pub(super) struct Rechecks {
    due: BTreeSet<(Moment, EntryKey)>,
    moments: HashMap<EntryKey, Moment>,
}

impl Rechecks {
    /// Puts a moment in the place of the one that an entry had.
    pub(super) fn set(&mut self, key: EntryKey, moment: Option<Moment>) {
        if let Some(before) = self.moments.remove(&key) {
            self.due.remove(&(before, key));
        }
        if let Some(moment) = moment {
            self.moments.insert(key, moment);
            self.due.insert((moment, key));
        }
    }

    /// When the next is.
    pub(super) fn next(&self) -> Option<Duration> {
        self.due.first().map(|(moment, _)| (*moment).into())
    }

    /// Takes one whose moment has come.
    fn pop(&mut self, now: Moment) -> Option<EntryKey> {
        let (_, key) = *self.due.first().filter(|(moment, _)| *moment <= now)?;
        self.set(key, None);
        Some(key)
    }
}

impl Index {
    /// Sees to it that an entry is judged anew when the grace of a field that this version does not know is over.
    pub(super) fn recheck(&mut self, key: EntryKey, now: Now) {
        let stuck_after = self.settings.rules.stuck_after;
        let end = self.entry(key).and_then(|entry| entry.followed.unknown_field_grace(stuck_after));
        self.rechecks.set(key, end.filter(|end| *end > now.mono).map(Moment::from));
    }

    /// Judges anew those whose moment has come.
    pub(super) fn pass_rechecks(&mut self, now: Now) {
        while let Some(key) = self.rechecks.pop(now.mono.into()) {
            self.review(key, now);
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::tests::{World, secs};

    /// A spec with a field of a later version.
    fn later(id: &str) -> Value {
        json!({"taskId": id, "laterField": "x", "timeout": "30s"})
    }

    fn message(world: &World, name: &str) -> String {
        world.objects[name]["status"]["conditions"][0]["message"].to_string()
    }

    #[test]
    fn a_field_that_this_version_does_not_know_is_told_at_once_and_stalls_after_its_grace_and_nothing_is_asked() {
        let mut world = World::new();
        world.tasks.insert("t-1".into(), "Succeeded");
        world.store("t-1", later("t-1"), Value::Null);
        world.run(secs(1));
        assert_eq!((world.told("t-1"), world.phase("t-1")), (vec!["InvalidSpec"], "Pending"));
        let told = message(&world, "t-1");
        assert!(told.contains(env!("CARGO_PKG_VERSION")) && told.contains("spec.laterField"), "{told}");
        world.run(secs(298));
        assert_eq!(world.phase("t-1"), "Pending");
        world.run(secs(2));
        assert_eq!((world.told("t-1"), world.phase("t-1")), (vec!["InvalidSpec", "InvalidSpec"], "Error"));
        world.run(secs(900));
        assert_eq!((world.told("t-1").len(), world.calls.len()), (2, 0));
    }

    #[test]
    fn it_stays_stalled_over_a_restart_and_a_hand_over() {
        let mut world = World::new();
        world.store("t-1", later("t-1"), Value::Null);
        world.run(secs(301));
        world.stand_by();
        world.restart_after(secs(1));
        world.run(secs(400));
        world.hand_over();
        world.run(secs(400));
        assert_eq!((world.told("t-1"), world.phase("t-1")), (vec!["InvalidSpec", "InvalidSpec"], "Error"));
    }

    #[test]
    fn a_new_leader_counts_the_grace_anew_and_one_that_stands_by_not_at_all() {
        let mut world = World::new();
        world.stand_by();
        world.store("t-1", later("t-1"), Value::Null);
        world.run(secs(200));
        world.hand_over();
        world.run(secs(299));
        assert_eq!((world.told("t-1"), world.phase("t-1")), (vec!["InvalidSpec"], "Pending"));
        world.run(secs(2));
        assert_eq!(world.phase("t-1"), "Error");
    }

    #[test]
    fn what_is_stalled_for_another_reason_stays_so() {
        let mut world = World::new();
        world.store("t-1", json!({"taskId": "t-1"}), Value::Null);
        world.run(secs(130));
        assert_eq!((world.told("t-1"), world.phase("t-1")), (vec!["TaskNotFound", "TaskNotFound"], "Error"));
        // The same object, as a program that knows less sees it after a roll-back.
        world.objects.get_mut("t-1").unwrap()["spec"]["laterField"] = json!("x");
        world.restart_after(secs(1));
        world.run(secs(299));
        assert_eq!((world.told("t-1").len(), world.phase("t-1")), (2, "Error"));
        world.run(secs(2));
        assert_eq!((world.told("t-1").last(), world.phase("t-1")), (Some(&"InvalidSpec"), "Error"));
    }

    #[test]
    fn a_field_that_comes_stops_the_polling_and_one_that_goes_lets_it_go_on() {
        let mut world = World::new();
        world.create("t-1");
        world.run(secs(15));
        world.edit("t-1", later("t-1"));
        let asked = world.asked("t-1");
        world.run(secs(200));
        assert_eq!((world.told("t-1"), world.phase("t-1")), (vec!["TaskRunning", "InvalidSpec"], "Running"));
        // Another change: another grace.
        world.edit("t-1", json!({"taskId": "t-1", "laterField": "y"}));
        world.run(secs(299));
        assert_eq!((world.phase("t-1"), world.asked("t-1"), world.index.rechecks.due.len()), ("Running", asked, 1));
        world.edit("t-1", json!({"taskId": "t-1"}));
        world.run(secs(15));
        assert_eq!((world.told("t-1").last(), world.phase("t-1")), (Some(&"TaskRunning"), "Running"));
        assert!(world.asked("t-1") > asked);
        assert_eq!((world.index.rechecks.due.len(), world.index.rechecks.moments.len()), (0, 0));
    }

    #[test]
    fn one_that_is_deleted_within_its_grace_leaves_nothing_behind() {
        let mut world = World::new();
        world.store("t-1", later("t-1"), Value::Null);
        world.run(secs(1));
        assert_eq!(world.index.rechecks.moments.len(), 1);
        world.delete("t-1");
        assert_eq!((world.index.rechecks.due.len(), world.index.rechecks.moments.len()), (0, 0));
    }

    #[test]
    fn a_spec_of_which_an_older_crd_has_lost_a_later_field_is_left_alone() {
        let mut world = World::new();
        world.tasks.insert("t-1".into(), "Succeeded");
        world.store("t-1", json!({"taskId": "t-1"}), json!({"observedGeneration": 1, "specRevision": 2}));
        world.run(secs(301));
        world.edit("t-1", json!({"taskId": "t-1", "timeout": "1s"}));
        world.run(secs(301));
        world.restart_after(secs(1));
        world.ask_for_a_look("t-1", "now");
        world.run(secs(30));
        assert_eq!(
            (world.told("t-1").first(), world.phase("t-1"), world.calls.len()),
            (Some(&"InvalidSpec"), "Error", 0)
        );
        assert_eq!(world.objects["t-1"]["status"]["specRevision"], 2);
        assert!(message(&world, "t-1").contains("a field that spec had"));
    }

    /// An end as a later version has written it.
    fn end(reason: &str) -> Value {
        let condition = |type_: &str| {
            json!({"type": type_, "status": "True", "reason": reason, "message": "m",
                "lastTransitionTime": "2023-11-14T22:13:20Z", "observedGeneration": 1})
        };
        json!({"observedGeneration": 1, "phase": "Succeeded", "taskId": "t-1", "status": "Succeeded",
            "laterField": "x", "conditions": [condition("Ready"), condition("Finished")]})
    }

    #[test]
    fn what_is_finished_stays_as_it_is_also_where_a_later_version_has_told_the_end() {
        for reason in ["TaskSucceeded", "TaskSkipped"] {
            let mut world = World::new();
            world.tasks.insert("t-1".into(), "Running");
            world.stand_by();
            world.store("t-1", later("t-1"), end(reason));
            world.store("t-2", json!({"taskId": "t-1"}), end(reason));
            world.run(secs(400));
            world.hand_over();
            world.run(secs(400));
            world.restart_after(secs(1));
            world.run(secs(400));
            let told = (world.told("t-1").len(), world.told("t-2").len(), world.calls.len());
            assert_eq!((told, world.index.entries.len()), ((0, 0, 0), 0), "{reason}");
            assert_eq!(world.objects["t-1"]["status"], end(reason));
        }
    }

    #[test]
    fn a_task_that_a_later_version_ends_meanwhile_is_asked_no_more() {
        let mut world = World::new();
        world.stand_by();
        world.create("t-1");
        world.run(secs(15));
        world.store("t-1", json!({"taskId": "t-1"}), end("TaskSkipped"));
        let asked = world.asked("t-1");
        world.run(secs(30));
        world.hand_over();
        world.run(secs(30));
        assert_eq!((world.asked("t-1"), world.told("t-1")), (asked, vec!["TaskRunning"]));
        assert_eq!(world.objects["t-1"]["status"], end("TaskSkipped"));
    }

    #[test]
    fn what_is_not_whole_is_no_end_of_a_later_version() {
        let mut forged = [end("TaskSkipped"), end("TaskSkipped"), end("")];
        forged[0]["phase"] = json!("Running");
        forged[1]["conditions"][0]["status"] = json!("False");
        for status in forged {
            let mut world = World::new();
            world.tasks.insert("t-1".into(), "Running");
            world.store("t-1", json!({"taskId": "t-1"}), status);
            world.run(secs(15));
            assert_eq!(world.told("t-1"), ["TaskRunning"]);
        }
    }
}
