//! The timeouts of ImageTasks: when each has passed, and how long the last word on its task is waited for.
//!
//! ```text
//! set ─▶ ahead ── first pass after it ─▶ passed: asked at once ─┬─ an answer to a question begun since ─▶ its word
//!                                                               └─ a minute of running loop ─▶ falls without it
//! ```
//!
//! The API server's clock tells when one has passed. The minute is counted on time in which the loop ran, as the leader's:
//! a machine that slept, a process that was stopped and a clock that jumped end no task. It begins when the task has had
//! its chance: its request was sent, or could not be. Waiting for a turn does not count, but for no longer than 10 min.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use super::Index;
use super::entry::Seat;
use super::key::EntryKey;
use crate::clock::{Now, Second};
use crate::deadline::{Deadline, Unheard};
use crate::observation::{FailureKind, Look};

/// How long the last word is waited for.
const PATIENCE: Duration = Duration::from_secs(60);

/// How long waiting for a turn does not count.
const QUEUED: Duration = Duration::from_secs(600);

/// While a last word is waited for the loop passes this often.
const PULSE: Duration = Duration::from_secs(1);

/// A longer pause between two passes is one in which the process did not run.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// All timeouts.
#[derive(Default)]
pub(super) struct Deadlines {
    of: HashMap<EntryKey, Second>,
    ahead: BTreeSet<(Second, EntryKey)>,
    passed: BTreeMap<EntryKey, Passed>,
    ran: RunningTime,
    /// When those that have passed are looked through next.
    next_review: Duration,
}

/// A deadline that has passed, and whose task has not had its last word.
struct Passed {
    /// When that was found. What is asked from then on tells the last word.
    found: Duration,
    /// When the wait is over even without a chance, in running time.
    latest: Duration,
    /// When the task has had its chance, in running time.
    tried: Option<Duration>,
    /// Why there is no word yet.
    why: Unheard,
}

/// Time in which the loop ran.
#[derive(Default)]
struct RunningTime {
    total: Duration,
    last_pass: Option<Duration>,
}

impl RunningTime {
    fn pass(&mut self, now: Duration) {
        let pause = self.last_pass.map_or(Duration::ZERO, |last| now.saturating_sub(last));
        if pause <= LONGEST_PAUSE {
            self.total += pause;
        }
        self.last_pass = Some(now);
    }
}

impl Passed {
    fn waits_for(&mut self, what: Unheard, ran: Duration) {
        match what {
            Unheard::Queue => {}
            Unheard::Cloud | Unheard::Credentials => {
                self.tried.get_or_insert(ran);
                self.why = what;
            }
        }
    }

    fn waits_for_its_turn(&mut self) {
        (self.tried, self.why) = (None, Unheard::Queue);
    }

    fn is_over(&self, ran: Duration) -> bool {
        ran >= self.tried.map_or(self.latest, |tried| self.latest.min(tried + PATIENCE))
    }
}

impl Deadlines {
    /// An entry has this deadline; one that it has already stands as it does.
    pub(super) fn set(&mut self, key: EntryKey, at: Second) {
        if self.of.get(&key) != Some(&at) {
            self.clear(key);
            self.of.insert(key, at);
            self.ahead.insert((at, key));
        }
    }

    /// An entry has no deadline any more, or has it anew.
    pub(super) fn clear(&mut self, key: EntryKey) {
        if let Some(at) = self.of.remove(&key) {
            self.ahead.remove(&(at, key));
            self.passed.remove(&key);
        }
    }

    /// The loop passes as the leader's. Returns the entries whose deadlines have passed since the last time.
    fn pass(&mut self, now: Now) -> Vec<EntryKey> {
        self.ran.pass(now.mono);
        let Some(time) = now.wall.server() else { return Vec::new() };
        let mut keys = Vec::new();
        while let Some(&(_, key)) = self.ahead.first().filter(|(at, _)| at.timestamp() <= time) {
            self.ahead.pop_first();
            let latest = self.ran.total + QUEUED + PATIENCE;
            self.passed.insert(key, Passed { found: now.mono, latest, tried: None, why: Unheard::Queue });
            keys.push(key);
        }
        keys
    }

    /// The loop passes, but not as the leader's.
    pub(super) fn idle(&mut self) {
        self.ran.last_pass = None;
    }

    /// Whether the deadline of an entry has passed, and its last word is waited for.
    pub(super) fn has_passed(&self, key: EntryKey) -> bool {
        self.passed.contains_key(&key)
    }

    /// When the loop must pass again.
    pub(super) fn next(&self, now: Now) -> Option<Duration> {
        let review = (!self.passed.is_empty()).then_some(self.next_review);
        let first = self.ahead.first().map(|(at, _)| match now.wall.server() {
            Some(time) => now.mono + Duration::try_from(at.timestamp().duration_since(time)).unwrap_or_default(),
            None => now.mono + PULSE,
        });
        [review, first].into_iter().flatten().min()
    }

    /// Those that wait for a last word, each with the moment since when, if they are to be looked through now.
    fn due_reviews(&mut self, now: Duration) -> Vec<(EntryKey, Duration)> {
        if self.passed.is_empty() || now < self.next_review {
            return Vec::new();
        }
        self.next_review = now + PULSE;
        self.passed.iter().map(|(key, passed)| (*key, passed.found)).collect()
    }

    /// An entry that waits for its last word waits for this now. Returns whether the wait is over.
    fn waits_for(&mut self, key: EntryKey, what: Unheard) -> bool {
        let ran = self.ran.total;
        self.passed.get_mut(&key).is_some_and(|passed| {
            passed.waits_for(what, ran);
            passed.is_over(ran)
        })
    }

    /// An entry that waits for its last word is not asked for after all, and waits for its turn again.
    fn waits_for_its_turn(&mut self, key: EntryKey) {
        self.passed.get_mut(&key).into_iter().for_each(Passed::waits_for_its_turn);
    }

    /// How the deadline of an entry stands at a look; `definite`: which says something of its task.
    fn at_look(&self, key: EntryKey, begun: Duration, definite: bool) -> Deadline {
        match self.passed.get(&key) {
            Some(passed) if definite && begun >= passed.found => Deadline::LastWord,
            Some(passed) if passed.is_over(self.ran.total) => Deadline::Unheard(passed.why),
            Some(_) | None => Deadline::Open,
        }
    }
}

impl Index {
    /// Sees to it that the timeout of an entry falls, if it has one.
    pub(super) fn arm(&mut self, key: EntryKey) {
        let followed = self.entry(key).map(|entry| &entry.followed);
        let deadline = followed.and_then(|followed| followed.deadline(followed.spec.as_ref().ok()?));
        match deadline {
            Some(at) => self.deadlines.set(key, Second::of(at)),
            None => self.deadlines.clear(key),
        }
    }

    /// Has those asked at once whose deadlines have passed, and lets those fall that have waited long enough for an answer.
    pub(super) fn pass_deadlines(&mut self, now: Now) {
        for key in self.deadlines.pass(now) {
            self.ask_at_once(key, now.mono);
        }
        for (key, since) in self.deadlines.due_reviews(now.mono) {
            let what = self.waits_for(key, since);
            if self.deadlines.waits_for(key, what) {
                self.review(key, now);
            }
        }
    }

    /// These ids of a lane are being asked.
    pub(super) fn deadlines_asked(&mut self, lane: usize, subjects: &[u32]) {
        for key in self.waiting_for_last_word(lane, subjects) {
            self.deadlines.waits_for(key, Unheard::Cloud);
        }
    }

    /// The question about these ids of a lane was refused as a whole, which says nothing of any of them.
    pub(super) fn deadlines_not_answered(&mut self, lane: usize, subjects: &[u32]) {
        for key in self.waiting_for_last_word(lane, subjects) {
            self.deadlines.waits_for_its_turn(key);
        }
    }

    /// How the deadline of an entry stands at a look.
    pub(super) fn deadline_at(&self, key: EntryKey, look: &Look<'_>) -> Deadline {
        self.deadlines.at_look(key, look.begun.mono, look.seen.is_definite())
    }

    fn waiting_for_last_word(&self, lane: usize, subjects: &[u32]) -> Vec<EntryKey> {
        if self.deadlines.passed.is_empty() {
            return Vec::new();
        }
        subjects.iter().flat_map(|subject| self.lanes[lane].followers_of(*subject)).collect()
    }

    /// Has an entry asked ahead of the rest, and its credentials read anew where they are the trouble.
    fn ask_at_once(&mut self, key: EntryKey, now: Duration) {
        let Some(entry) = self.entry(key) else { return };
        match entry.seat {
            Seat::None => {}
            Seat::Waiting { source } => self.sources[source.get()].hurry(now),
            Seat::Taken { source, lane, subject } => {
                self.lanes[lane.get()].hurry(subject, now, now);
                if self.lanes[lane.get()].is_refused() {
                    self.sources[source.get()].hurry(now);
                }
            }
        }
    }

    /// What an entry waits for whose deadline has passed at a moment. What was known of its credentials before that moment
    /// does not count: they may have been corrected.
    fn waits_for(&self, key: EntryKey, since: Duration) -> Unheard {
        let Some(entry) = self.entry(key) else { return Unheard::Queue };
        let credentials = |source: usize| match self.sources[source].is_known_since(since) {
            true => Unheard::Credentials,
            false => Unheard::Queue,
        };
        match entry.seat {
            Seat::None => Unheard::Queue,
            Seat::Waiting { source } => credentials(source.get()),
            Seat::Taken { source, lane, .. } => match self.lanes[lane.get()].outage().map(|trouble| trouble.kind) {
                None => Unheard::Queue,
                Some(FailureKind::Throttled | FailureKind::Unavailable) => Unheard::Cloud,
                Some(
                    FailureKind::CredentialsNotFound
                    | FailureKind::CredentialsForbidden
                    | FailureKind::CredentialsInvalid
                    | FailureKind::AccessDenied
                    | FailureKind::Rejected,
                ) => credentials(source.get()),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::source::{SecretFault, SecretName, Unusable};
    use super::super::tests::{World, credentials, end, secs, timeout};
    use super::*;
    use crate::ecs::ErrorKind;
    use crate::index::{Index, Settings};

    /// When the task of a world ended, and what it says; `None` before.
    fn ended(world: &World) -> Option<(Duration, String)> {
        (world.phase("t-1") == "Failed").then(|| end(world, "t-1"))
    }

    /// A world whose task has a timeout of a minute, and a Secret.
    fn with_secret(
        secrets: fn(&str, Duration) -> Option<Result<crate::credentials::Credentials, SecretFault>>,
    ) -> World {
        let mut world = World::new();
        world.secrets = secrets;
        world.tasks.insert("t-1".into(), "Running");
        let spec = json!({"taskId": "t-1", "timeout": "1m", "credentialsRef": {"name": "keys"}});
        world.store("t-1", spec, Value::Null);
        world
    }

    #[test]
    fn a_process_that_stood_still_over_a_deadline_asks_before_the_timeout_falls() {
        for (status, told) in [("Succeeded", "TaskSucceeded"), ("Running", "DeadlineExceeded")] {
            for outage in [0, 30] {
                let mut world = timeout("1m");
                world.run(secs(15));
                world.tasks.insert("t-1".into(), status);
                world.now += secs(300);
                let resumed = world.now;
                // Its connections are dead at first.
                world.cloud = Box::new(move |call| match call.at < resumed + secs(outage) {
                    true => Err(ErrorKind::Unavailable),
                    false => Ok(()),
                });
                world.run(secs(60));
                assert_eq!(world.told("t-1"), ["TaskRunning", told], "{status}, {outage} s of outage");
                assert!(world.looked_at("t-1", resumed) - resumed < secs(1));
            }
        }
    }

    #[test]
    fn only_time_in_which_the_loop_ran_counts_while_an_answer_is_waited_for() {
        let mut world = timeout("50s");
        world.run(secs(45));
        world.cloud = Box::new(|_| Err(ErrorKind::Unavailable));
        // 25 s after the deadline, and again.
        for _ in 0..2 {
            world.run(secs(30));
            world.now += secs(300);
        }
        world.run(secs(1));
        assert_eq!(ended(&world), None);
        world.run(secs(10));
        let (at, words) = ended(&world).expect("60 s have run");
        assert!((secs(710)..=secs(712)).contains(&at), "{at:?}");
        assert_eq!(words, Unheard::Cloud.text());
    }

    #[test]
    fn time_in_which_another_led_does_not_count() {
        let mut world = timeout("50s");
        world.run(secs(45));
        world.cloud = Box::new(|_| Err(ErrorKind::Unavailable));
        world.run(secs(30));
        let now = world.moment();
        world.index.lead(now.mono, now);
        world.run(secs(40));
        world.lead();
        world.run(secs(30));
        assert_eq!(ended(&world), None);
        world.run(secs(10));
        let (at, _) = ended(&world).expect("60 s have run");
        assert!((secs(150)..=secs(152)).contains(&at), "{at:?}");
    }

    #[test]
    fn no_deadline_is_judged_before_the_api_servers_time_is_known() {
        let mut world = World::new();
        world.timeless = true;
        world.tasks.insert("t-1".into(), "Running");
        world.store("t-1", json!({"taskId": "t-1", "timeout": "1m"}), Value::Null);
        world.run(secs(200));
        assert_eq!(world.told("t-1"), ["TaskRunning"]);
        world.timeless = false;
        world.run(secs(2));
        assert_eq!(world.told("t-1"), ["TaskRunning", "DeadlineExceeded"]);
    }

    #[test]
    fn a_refusal_of_the_very_task_is_its_last_word_and_one_of_the_whole_lane_is_none() {
        for kind in [ErrorKind::Rejected, ErrorKind::AccessDenied] {
            let mut world = timeout("50s");
            world.run(secs(45));
            world.cloud = Box::new(move |call| match call.ids.iter().any(|id| id == "t-1") {
                true => Err(kind),
                false => Ok(()),
            });
            world.run(secs(10));
            let (at, words) = ended(&world).expect("it has its last word");
            assert!(at < secs(52) && words.contains("the cloud refuses to tell"), "{at:?}: {words}");

            let mut world = timeout("50s");
            (0..200).for_each(|n| world.create(&format!("t-other-{n}")));
            world.run(secs(20));
            world.cloud = Box::new(move |_| Err(kind));
            world.run(secs(100));
            let (at, words) = ended(&world).expect("a minute has passed");
            assert!((secs(110)..=secs(112)).contains(&at), "{at:?}");
            assert_eq!(words, Unheard::Credentials.text());
        }
    }

    #[test]
    fn a_task_that_is_not_found_after_its_deadline_has_its_own_words() {
        let mut world = timeout("50s");
        world.tasks.remove("t-1");
        world.run(secs(60));
        let (at, words) = ended(&world).expect("it has its last word");
        assert!(at < secs(51) && words.contains("the cloud does not know the task"), "{at:?}: {words}");
    }

    #[test]
    fn without_credentials_the_minute_counts_from_a_reading_after_the_deadline() {
        let mut world = with_secret(|_, _| Some(Err(SecretFault::Unusable(Unusable::NotFound))));
        world.run(secs(300));
        let (at, words) = ended(&world).expect("a minute has passed");
        assert!((secs(120)..=secs(123)).contains(&at), "{at:?}");
        assert_eq!(words, Unheard::Credentials.text());

        // It is there when it is read again.
        let mut world = with_secret(|name, now| match now < secs(59) {
            true => Some(Err(SecretFault::Unusable(Unusable::NotFound))),
            false => Some(Ok(credentials(name))),
        });
        world.tasks.insert("t-1".into(), "Succeeded");
        world.run(secs(70));
        assert_eq!(world.told("t-1").last(), Some(&"TaskSucceeded"));
    }

    #[test]
    fn keys_that_the_cloud_refuses_are_read_anew_before_the_timeout_falls() {
        let mut world = with_secret(|_, now| Some(Ok(credentials(if now < secs(50) { "wrong" } else { "right" }))));
        world.tasks.insert("t-1".into(), "Succeeded");
        world.cloud = Box::new(|call| if call.key == "wrong" { Err(ErrorKind::CredentialsInvalid) } else { Ok(()) });
        world.run(secs(70));
        assert_eq!(world.told("t-1"), ["CredentialsInvalid", "TaskSucceeded"]);
    }

    #[test]
    fn a_task_whose_deadline_has_passed_is_asked_at_once_when_its_credentials_come() {
        let mut world = World::with(Settings { poll_interval: secs(300), ..super::super::tests::settings() });
        // Reading it takes long.
        world.secrets = |_, _| None;
        for n in 0..20 {
            world.tasks.insert(format!("t-{n}"), "Running");
            let status = json!({"phase": "Running", "status": "Running", "observedGeneration": 1});
            let spec = json!({"taskId": format!("t-{n}"), "timeout": "1m", "credentialsRef": {"name": "keys"}});
            world.store(&format!("t-{n}"), spec, status);
        }
        world.run(secs(63));
        let (read, now) = (world.now, world.moment());
        let name = SecretName { namespace: "team".into(), name: "keys".into() };
        world.index.secret_read(name, Ok(credentials("keys")), now);
        world.run(secs(2));
        for n in 0..20 {
            world.looked_at(&format!("t-{n}"), read);
        }
    }

    #[test]
    fn waiting_for_a_turn_does_not_count_for_ten_minutes() {
        // Nobody comes to read the Secret.
        let mut world = with_secret(|_, _| None);
        world.run(secs(719));
        assert_eq!(ended(&world), None);
        world.run(secs(3));
        assert_eq!(ended(&world).expect("11 minutes have passed").1, Unheard::Queue.text());
    }

    #[test]
    fn whoever_just_asked_for_a_look_is_asked_at_once_all_the_same() {
        let mut world = timeout("50s");
        world.run(secs(41));
        world.ask_for_a_look("t-1", "now");
        world.run(secs(15));
        let asked = world.looked_at("t-1", secs(50));
        assert!(asked <= secs(50) + Duration::from_millis(100), "{asked:?}");
    }

    #[test]
    fn a_spec_that_changes_has_its_own_chance() {
        let mut world = timeout("50s");
        world.run(secs(45));
        world.cloud = Box::new(|_| Err(ErrorKind::Unavailable));
        world.run(secs(45));
        world.edit("t-1", json!({"taskId": "t-1", "timeout": "55s"}));
        world.run(secs(55));
        assert_eq!(ended(&world), None);
        world.run(secs(10));
        assert!(ended(&world).is_some());

        let mut world = timeout("50s");
        world.run(secs(45));
        world.edit("t-1", json!({"taskId": "t-1"}));
        world.run(secs(300));
        assert_eq!(world.phase("t-1"), "Running");
        assert!(world.index.deadlines.of.is_empty() && world.index.deadlines.passed.is_empty());
    }

    #[test]
    fn the_loop_is_to_pass_at_the_deadline_and_every_second_after_it() {
        let mut world = World::with(Settings { poll_interval: secs(3_600), ..super::super::tests::settings() });
        world.tasks.insert("t-1".into(), "Running");
        world.store("t-1", json!({"taskId": "t-1", "timeout": "50s"}), Value::Null);
        world.run(secs(1));
        let now = world.moment();
        assert_eq!(world.index.due(now).next, Some(secs(50)));
        world.cloud = Box::new(|_| Err(ErrorKind::Unavailable));
        world.run(secs(52));
        let now = world.moment();
        let next = world.index.due(now).next.expect("it waits for an answer");
        assert!(next <= now.mono + PULSE, "{next:?} after {:?}", now.mono);
    }

    #[test]
    fn a_timeout_falls_for_everyone_who_follows_a_task_and_leaves_nothing_behind() {
        let mut world = World::new();
        world.tasks.insert("t-1".into(), "Running");
        for n in 0..50 {
            world.store(&format!("x-{n}"), json!({"taskId": "t-1", "timeout": "50s"}), Value::Null);
        }
        world.run(secs(60));
        assert!((0..50).all(|n| world.phase(&format!("x-{n}")) == "Failed"));
        let Index { deadlines: Deadlines { of, ahead, passed, .. }, .. } = &world.index;
        assert_eq!((of.len(), ahead.len(), passed.len()), (0, 0, 0));
    }

    #[test]
    fn a_batch_that_others_spoil_is_no_chance() {
        let mut passed = Passed { found: Duration::ZERO, latest: QUEUED + PATIENCE, tried: None, why: Unheard::Queue };
        passed.waits_for(Unheard::Cloud, secs(10));
        passed.waits_for_its_turn();
        passed.waits_for(Unheard::Queue, secs(60));
        assert!(!passed.is_over(secs(659)) && passed.is_over(secs(660)));
        passed.waits_for(Unheard::Credentials, secs(100));
        passed.waits_for(Unheard::Cloud, secs(120));
        assert!(!passed.is_over(secs(159)) && passed.is_over(secs(160)));
        assert_eq!(passed.why, Unheard::Cloud);
    }
}
