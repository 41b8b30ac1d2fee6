//! Whether this index decides: only the leader's does. A standby's keeps what arrives, so that it can begin at once.

use std::time::Duration;

use super::entry::{Entry, Sighting};
use super::key::EntryKey;
use super::pending::Pending;
use super::{Index, is_done, key_of};
use crate::clock::Now;
use crate::status::Status;

/// Until when the index may decide.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Term {
    /// Another one decides. What is decided but not stored stays decided, so a standby that decided would overwrite
    /// later what the leader has written since, even an end.
    Asleep,
    /// Before this moment nobody else does.
    Until(Duration),
}

impl Index {
    /// Leads until a moment, or on until it. Whoever begins to lead reviews every entry once, as after a restart: what is
    /// urgent is looked at at once, the rest spreads over an interval, and graces begin anew.
    pub fn lead(&mut self, until: Duration, now: Now) {
        let before = std::mem::replace(&mut self.term, Term::Until(until));
        if before == Term::Asleep {
            self.foreign_writes.begin(now.mono);
            let mut keys = Vec::with_capacity(self.entries.len());
            keys.extend(self.entries.iter().map(|(slot, entry)| key_of(slot, entry)));
            for key in keys {
                self.wake(key, now);
            }
        }
    }

    /// Whether it may decide now.
    pub fn is_leading(&self, now: Now) -> bool {
        match self.term {
            Term::Asleep => false,
            Term::Until(end) => now.mono < end,
        }
    }

    /// How long it may act from now on; not at all where it does not lead.
    pub fn term_left(&self, now: Now) -> Duration {
        match self.term {
            Term::Asleep => Duration::ZERO,
            Term::Until(end) => end.saturating_sub(now.mono),
        }
    }

    /// Whether it has begun to lead.
    pub(super) fn is_awake(&self) -> bool {
        self.term != Term::Asleep
    }

    /// The entries that this index decides on.
    pub(super) fn followed_here(&self) -> impl Iterator<Item = &Entry> {
        self.entries.iter().map(|(_, entry)| entry).filter(|_| self.is_awake())
    }

    /// Keeps an object as it has become, whoever changed it.
    pub(super) fn changes_asleep(&mut self, key: EntryKey, seen: Sighting, status: Status, now: Now) {
        let followed = self.followed(&seen, status, now);
        if is_done(&followed, now, &self.settings.rules) {
            return self.remove(key);
        }
        let entry = &mut self.entries[key.slot as usize];
        entry.pending = Pending::of_unseen(followed.status == Status::UNSEEN);
        entry.followed = followed;
        (entry.version, entry.watched) = (seen.version, seen.version);
    }

    /// Reviews an entry for the first time.
    fn wake(&mut self, key: EntryKey, now: Now) {
        let followed = &mut self.entries[key.slot as usize].followed;
        followed.fresh_since = now.mono.into();
        self.review(key, now);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::tests::{World, secs, settings, timeout};
    use super::*;

    #[test]
    fn a_standby_keeps_what_is_unfinished_and_asks_reads_writes_and_tells_nothing() {
        let mut world = World::asleep(settings());
        world.create("t-1");
        world.store("t-2", json!({"taskId": "t-2", "credentialsRef": {"name": "keys"}}), Value::Null);
        world.store("t-3", json!({"taskId": "t-3", "suspend": true}), Value::Null);
        world.store("t-4", json!({"taskId": "t-4", "timeout": "1s"}), Value::Null);
        world.store("t-5", json!({"taskId": 5}), Value::Null);
        world.run(secs(120));
        let now = world.moment();
        let due = world.index.due(now);
        assert_eq!((due.questions.len(), due.secrets, due.next), (0, Vec::new(), None));
        assert_eq!((world.calls.len(), world.writes.len(), world.index.take_news().len()), (0, 0, 0));
        assert_eq!((world.index.entries.len(), world.index.status_queue()), (5, 0));
        // What another replica follows is counted there.
        assert_eq!(
            (world.index.phases().map(|(_, count)| count).sum::<usize>(), world.index.invalid_objects()),
            (0, 0)
        );
    }

    #[test]
    fn a_new_leader_looks_at_urgent_tasks_at_once_and_at_the_rest_within_an_interval() {
        let mut world = World::new();
        let mut names: Vec<_> = (0..1_000).map(|n| format!("t-{n}")).collect();
        names.iter().for_each(|name| world.create(name));
        world.stand_by();
        world.run(secs(15));
        let written = world.writes.len();
        world.create("t-new");
        world.hand_over();
        let led = world.now;
        world.run(secs(12));
        assert!(world.looked_at("t-new", led) - led <= Duration::from_millis(250));
        names.retain(|name| world.looked_at(name, led) - led > secs(11));
        assert_eq!(names, [""; 0]);
        let at_once = world.calls.iter().filter(|call| call.at >= led && call.at < led + secs(1));
        let at_once: usize = at_once.map(|call| call.ids.len()).sum();
        assert!(at_once <= 250, "{at_once} of 1,000 tasks in the first of ten seconds");
        assert_eq!(world.told("t-new"), ["TaskRunning"]);
        assert_eq!(world.writes.len(), written + 1, "what the one before has written is not written again");
    }

    #[test]
    fn a_new_leader_takes_nothing_back_that_was_written_since_it_stands_by() {
        let mut world = World::new();
        world.stand_by();
        // Decided on arrival, without a look: had the standby decided so, it would say so when it leads.
        world.store("t-1", json!({"taskId": "t-1", "suspend": true}), Value::Null);
        world.tasks.insert("t-1".into(), "Running");
        world.store("t-2", json!({"taskId": "t-2", "suspend": true}), Value::Null);
        world.tasks.insert("t-2".into(), "Succeeded");
        world.run(secs(1));
        world.edit("t-1", json!({"taskId": "t-1"}));
        world.edit("t-2", json!({"taskId": "t-2"}));
        world.run(secs(15));
        assert_eq!(world.standby.as_ref().map(|standby| standby.entries.len()), Some(1), "what is finished is dropped");
        world.hand_over();
        world.run(secs(60));
        assert_eq!(world.told("t-1"), ["Suspended", "TaskRunning"]);
        assert_eq!(world.told("t-2"), ["Suspended", "TaskSucceeded"]);
    }

    #[test]
    fn what_was_asked_while_nobody_led_is_answered_once() {
        let mut world = World::new();
        for (id, status) in [("t-1", "Succeeded"), ("t-2", "Running")] {
            world.create(id);
            world.tasks.insert(id.into(), status);
        }
        world.run(secs(5));
        let settings = world.index.settings.clone();
        world.index = Index::new(settings);
        for name in ["t-1", "t-2"] {
            let annotations = json!({"imagetasks.ecs.volcengine.com/reconcile-requested-at": "now"});
            world.objects.get_mut(name).unwrap()["metadata"]["annotations"] = annotations;
            world.show(name);
        }
        world.run(secs(30));
        world.lead();
        let led = world.now;
        world.run(secs(30));
        let handled = |name: &str| world.objects[name]["status"]["lastHandledReconcileAt"].clone();
        assert_eq!((handled("t-1"), handled("t-2")), (json!("now"), json!("now")));
        assert_eq!((world.told("t-1").len(), world.told("t-2").len()), (2, 2));
        assert!(world.looked_at("t-2", led) - led <= Duration::from_millis(250));
        assert_eq!(world.index.entries.len(), 1);
    }

    #[test]
    fn a_deadline_that_passed_while_nobody_led_has_its_look() {
        for (status, reason) in [("Succeeded", "TaskSucceeded"), ("Running", "DeadlineExceeded")] {
            let mut world = timeout("1m");
            world.stand_by();
            world.run(secs(15));
            world.tasks.insert("t-1".into(), status);
            // The leader hangs.
            world.now += secs(300);
            world.hand_over();
            world.run(secs(15));
            assert_eq!(world.told("t-1"), ["TaskRunning", reason], "{status}");
        }
    }

    #[test]
    fn graces_begin_anew_with_a_new_leader() {
        let mut world = World::new();
        world.stand_by();
        world.store("t-1", json!({"taskId": "t-1"}), Value::Null);
        world.run(secs(100));
        world.hand_over();
        world.run(secs(100));
        assert_eq!((world.phase("t-1"), world.told("t-1")), ("Pending", vec!["TaskNotFound"]));
        world.run(secs(30));
        assert_eq!(world.phase("t-1"), "Error");
    }

    #[test]
    fn when_its_term_is_over_a_leader_asks_and_writes_nothing_until_it_is_prolonged() {
        let mut world = World::asleep(settings());
        world.create("t-1");
        let now = world.moment();
        world.index.lead(secs(5), now);
        world.run(secs(2));
        assert_eq!(world.phase("t-1"), "Running");
        world.tasks.insert("t-1".into(), "Succeeded");
        world.create("t-2");
        world.run(secs(3));
        let (asked, written) = (world.calls.len(), world.writes.len());
        world.run(secs(30));
        assert_eq!((world.calls.len(), world.writes.len()), (asked, written));
        let now = world.moment();
        world.index.lead(Duration::MAX, now);
        world.run(secs(15));
        assert_eq!((world.phase("t-1"), world.phase("t-2")), ("Succeeded", "Running"));
    }

    #[test]
    fn what_is_due_is_not_sent_after_the_term_and_is_due_again_when_it_is_prolonged() {
        let mut world = World::asleep(settings());
        world.create("t-1");
        let now = world.moment();
        world.index.lead(secs(5), now);
        world.stops_before_sending = secs(10);
        world.run(secs(2));
        assert_eq!((world.now > secs(10), world.told("t-1").len(), world.index.status_queue()), (true, 0, 1));
        world.stops_before_sending = Duration::ZERO;
        world.run(secs(30));
        assert_eq!(world.told("t-1").len(), 0);
        world.lead();
        world.run(secs(1));
        assert_eq!((world.told("t-1"), world.index.status_queue()), (vec!["TaskRunning"], 0));
    }

    #[test]
    fn a_leader_that_stood_still_writes_over_no_end_that_another_has_told() {
        let mut world = World::new();
        world.create("t-1");
        world.run(secs(15));
        world.tasks.insert("t-1".into(), "Pending");
        world.unanswered = Some(Vec::new());
        // It has decided, and stands still before it writes; meanwhile another leads and tells the end.
        world.unstorable.insert("t-1".into());
        world.run(secs(11));
        world.answer_writes();
        let mut status = world.objects["t-1"]["status"].clone();
        status["phase"] = json!("Succeeded");
        status["status"] = json!("Succeeded");
        let condition = |type_: &str| {
            json!({"type": type_, "status": "True", "reason": "TaskSucceeded",
            "message": "the task succeeded", "lastTransitionTime": "2026-01-01T00:00:00Z", "observedGeneration": 1})
        };
        status["conditions"] = json!([condition("Ready"), condition("Finished")]);
        status["completionTime"] = json!("2026-01-01T00:00:00Z");
        let spec = world.objects["t-1"]["spec"].clone();
        world.store("t-1", spec, status);
        (world.unstorable, world.unanswered) = (Default::default(), None);
        world.run(secs(120));
        assert_eq!(world.phase("t-1"), "Succeeded");
        assert_eq!((world.told("t-1"), world.index.status_queue()), (vec!["TaskRunning"], 0));
    }
}
