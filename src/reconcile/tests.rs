//! The status table, row by row, and what holds for every sequence of looks.

use std::collections::BTreeSet;
use std::time::Duration;

use proptest::prelude::*;

use k8s_openapi::jiff::Timestamp;

use super::*;
use crate::api::Phase;
use crate::clock::{Second, Wall};
use crate::deadline::Unheard;
use crate::ecs::{Region, ResourceId, TaskId, Words};
use crate::followed::Request;
use crate::spec::{InvalidSpec, Newest, Timeout};

const RULES: Rules = Rules { not_found_grace: Duration::from_secs(120), stuck_after: Duration::from_secs(300) };

/// When the ImageTask of these tests was created, in seconds since 1970.
const CREATED: i64 = 1_700_000_000;

/// `seconds` after the ImageTask was created, which is when the operator started.
fn at(seconds: u64) -> Now {
    let wall = Timestamp::from_second(CREATED + i64::try_from(seconds).unwrap()).unwrap();
    Now { mono: Duration::from_secs(seconds), wall: Wall::Server(wall) }
}

fn spec() -> Spec {
    Spec {
        target: Target::Task(TaskId::parse("t-1").unwrap()),
        region: None,
        credentials: None,
        revision: crate::api::SpecRevision::FIRST,
        suspend: false,
        timeout: None,
    }
}

fn new_task() -> Followed {
    Followed {
        spec: Ok(spec()),
        permitted: true,
        region: Region::parse("cn-beijing").ok(),
        generation: 1,
        created: Second::of(at(0).wall.shown()),
        fresh_since: Duration::ZERO.into(),
        request: None,
        trouble: None,
        status: Status::UNSEEN,
    }
}

fn cloud(status: &str, process: u8) -> Task {
    let words = Words {
        type_: Some("ExportImage"),
        status: Some(status),
        process: Some(process),
        resource_id: Some("image-1"),
        ..Words::default()
    };
    Task::new(TaskId::parse("t-1").unwrap(), words)
}

fn failure(kind: FailureKind, since: u64) -> Failure {
    Failure {
        kind,
        of_task: false,
        since: Duration::from_secs(since),
        text: "trouble".into(),
        code: None,
        request_id: None,
    }
}

impl Followed {
    /// The task after a look that began and ended at `seconds`.
    fn after(&self, seen: Observation<'_>, seconds: u64) -> Self {
        let passed = self.spec.as_ref().ok().and_then(|spec| self.deadline(spec));
        let passed = passed.is_some_and(|deadline| deadline <= at(seconds).wall.shown());
        self.judged(seen, if passed { Deadline::LastWord } else { Deadline::Open }, seconds)
    }

    fn judged(&self, seen: Observation<'_>, deadline: Deadline, seconds: u64) -> Self {
        let outcome = reconcile(self, &Look { begun: at(seconds), seen }, deadline, at(seconds), &RULES);
        Self {
            trouble: outcome.trouble.map(Box::new),
            status: outcome.status.unwrap_or_else(|| self.status.clone()),
            ..self.clone()
        }
    }

    fn seen(&self, status: &str, seconds: u64) -> Self {
        self.after(Observation::Found { task: &cloud(status, 40), request_id: Some("r") }, seconds)
    }

    fn missing(&self, seconds: u64) -> Self {
        self.after(Observation::Missing { alone: true, passed_over: false, request_id: Some("r") }, seconds)
    }

    fn failing(&self, kind: FailureKind, since: u64, seconds: u64) -> Self {
        self.after(Observation::Failed(&failure(kind, since)), seconds)
    }

    fn with(&self, change: impl FnOnce(&mut Spec), seconds: u64) -> Self {
        let mut changed = self.clone();
        change(changed.spec.as_mut().unwrap());
        changed.generation += 1;
        changed.fresh_since = Duration::from_secs(seconds).into();
        changed.trouble = None;
        changed.after(Observation::Nothing, seconds)
    }

    /// Phase and conditions, as in the table.
    fn row(&self) -> String {
        let status = self.status.render();
        let phase = status.phase.map_or("–", Phase::as_str);
        let conditions = status.conditions.iter().map(|it| format!("{}={}/{}", it.type_, it.status, it.reason));
        [phase.to_owned()].into_iter().chain(conditions).collect::<Vec<_>>().join(" ")
    }
}

fn progressing(phase: &str, reason: &str) -> String {
    format!("{phase} Ready=False/{reason} Reconciling=True/{reason} Finished=False/{reason}")
}

fn stuck(reason: &str) -> String {
    format!("Error Ready=False/{reason} Stalled=True/{reason} Finished=False/{reason}")
}

fn failed(reason: &str) -> String {
    format!("Failed Ready=False/{reason} Stalled=True/{reason} Finished=True/{reason}")
}

#[test]
fn every_row_of_the_table_is_told() {
    let new = new_task();
    let running = new.seen("Running", 1);
    assert_eq!(new.row(), "–");
    assert_eq!(new.seen("Pending", 1).row(), progressing("Pending", "TaskPending"));
    assert_eq!(running.row(), progressing("Running", "TaskRunning"));
    for word in ["UnknownStatus", "", "Paused"] {
        assert_eq!(new.seen(word, 1).row(), progressing("Running", "TaskStatusUnknown"));
    }
    let succeeded = "Succeeded Ready=True/TaskSucceeded Finished=True/TaskSucceeded";
    assert_eq!(new.seen("Succeeded", 1).row(), succeeded);
    assert_eq!(new.seen("Failed", 1).row(), failed("TaskFailed"));

    assert_eq!(new.missing(1).row(), progressing("Pending", "TaskNotFound"));
    assert_eq!(new.missing(1).missing(120).row(), progressing("Pending", "TaskNotFound"));
    assert_eq!(new.missing(1).missing(121).row(), stuck("TaskNotFound"));
    assert_eq!(running.missing(2).missing(3).row(), progressing("Running", "TaskLost"));
    assert_eq!(running.missing(2).missing(301).row(), progressing("Running", "TaskLost"));
    assert_eq!(running.missing(2).missing(302).row(), stuck("TaskLost"));

    for (kind, reason) in [
        (FailureKind::CredentialsNotFound, "CredentialsNotFound"),
        (FailureKind::CredentialsForbidden, "CredentialsForbidden"),
        (FailureKind::CredentialsInvalid, "CredentialsInvalid"),
        (FailureKind::AccessDenied, "AccessDenied"),
        (FailureKind::Rejected, "RequestRejected"),
    ] {
        let troubled = new.failing(kind, 1, 1);
        assert_eq!(troubled.row(), progressing("Pending", reason));
        assert_eq!(running.failing(kind, 2, 2).failing(kind, 2, 3).row(), progressing("Running", reason));
        assert_eq!(troubled.failing(kind, 1, 300).row(), progressing("Pending", reason));
        assert_eq!(troubled.failing(kind, 1, 301).row(), stuck(reason));
    }
    for (kind, reason) in [(FailureKind::Throttled, "Throttled"), (FailureKind::Unavailable, "CloudUnavailable")] {
        assert_eq!(running.failing(kind, 2, 61).row(), running.row());
        assert_eq!(running.failing(kind, 2, 62).row(), progressing("Running", reason));
        assert_eq!(new.failing(kind, 2, 9_000).row(), progressing("Pending", reason));
    }

    let suspended = "Running Ready=Unknown/Suspended Finished=False/Suspended";
    assert_eq!(running.with(|spec| spec.suspend = true, 2).row(), suspended);
    assert_eq!(new.seen("Succeeded", 1).with(|spec| spec.suspend = true, 2).row(), succeeded);
    let due = running.with(|spec| spec.timeout = Some(Timeout::parse("100s").unwrap()), 2);
    assert_eq!(due.seen("Running", 99).row(), progressing("Running", "TaskRunning"));
    assert_eq!(due.seen("Running", 100).row(), failed("DeadlineExceeded"));

    let denied = Followed { permitted: false, ..new_task() };
    assert_eq!(denied.after(Observation::Nothing, 1).row(), stuck("PolicyDenied"));
    let nowhere = Followed { region: None, ..new_task() };
    assert_eq!(nowhere.after(Observation::Nothing, 1).row(), stuck("RegionUnknown"));
    let invalid = Spec::parse(&crate::api::Lenient::Absent).unwrap_err();
    let invalid = Followed { spec: Err::<Spec, InvalidSpec>(invalid), ..new_task() };
    assert_eq!(invalid.after(Observation::Nothing, 1).row(), stuck("InvalidSpec"));
    let unknown = |task: &Followed| Followed { spec: Err(unknown_field()), ..task.clone() };
    for (task, phase) in [(&new, "Pending"), (&running, "Running")] {
        let told = unknown(task).after(Observation::Nothing, 1);
        assert_eq!(told.row(), progressing(phase, "InvalidSpec"));
        assert_eq!(told.after(Observation::Nothing, 299).status, told.status);
        assert_eq!(told.after(Observation::Nothing, 300).row(), stuck("InvalidSpec"));
    }
    assert_eq!(unknown(&new.seen("Succeeded", 1)).after(Observation::Nothing, 999).row(), succeeded);
}

fn unknown_field() -> InvalidSpec {
    InvalidSpec::UnknownField("spec.laterField".into())
}

#[test]
fn what_is_stalled_stays_so_when_a_version_takes_over_that_does_not_know_a_field() {
    let stalled = new_task().missing(1).missing(121);
    let fresh_since = Duration::from_secs(130).into();
    let rolled_back = Followed { spec: Err(unknown_field()), trouble: None, fresh_since, ..stalled.clone() };
    assert_eq!(rolled_back.after(Observation::Nothing, 429).status, stalled.status);
    let told = rolled_back.after(Observation::Nothing, 430);
    assert_eq!(told.row(), stuck("InvalidSpec"));
    let restarted = Followed { fresh_since: Duration::from_secs(440).into(), ..told.clone() };
    assert_eq!(restarted.after(Observation::Nothing, 441).status, told.status);
    let changed = Followed { generation: 2, ..restarted };
    assert_eq!(changed.after(Observation::Nothing, 441).row(), progressing("Pending", "InvalidSpec"));
}

#[test]
fn a_task_that_was_passed_over_is_told_as_not_found_with_what_to_do() {
    let since = |started_after| {
        let (resource, type_) = (ResourceId::parse("image-1").unwrap(), "ExportImage".into());
        Target::Newest(Box::new(Newest { resource, type_, started_after }))
    };
    let told = |target: Target, passed_over| {
        let task = Followed { spec: Ok(Spec { target, ..spec() }), ..new_task() };
        let told = task.after(Observation::Missing { alone: true, passed_over, request_id: None }, 1);
        assert_eq!(told.row(), progressing("Pending", "TaskNotFound"));
        told.status.standing.unwrap().message
    };
    let moment = Some(Second::of(at(0).wall.shown()));
    let by_image = [(None, false), (Some(moment), false), (None, true), (Some(moment), true)];
    let by_image = by_image.map(|(moment, passed_over)| told(since(moment.flatten()), passed_over));
    assert_eq!(by_image[0], by_image[1]);
    let words = ["knows no task of this type", "", "set spec.startedAfter", "were created before spec.startedAfter"];
    for (message, words) in by_image.iter().zip(words) {
        assert!(message.contains(words), "{message}");
    }
    assert!(told(spec().target, false).contains("does not know this task"));
}

#[test]
fn a_lost_task_is_asked_alone_before_it_counts_as_lost() {
    let running = new_task().seen("Running", 1).missing(2).missing(3);
    let look =
        |alone| Look { begun: at(400), seen: Observation::Missing { alone, passed_over: false, request_id: None } };
    let in_company = reconcile(&running, &look(false), Deadline::Open, at(400), &RULES);
    assert_eq!((in_company.status, in_company.next), (None, Next::Alone));
    let alone = reconcile(&running, &look(true), Deadline::Open, at(400), &RULES);
    assert_eq!((alone.status.unwrap().phase(), alone.next), (Some(Phase::Error), Next::Slowly));
}

#[test]
fn an_absence_a_refusal_or_an_unknown_word_is_told_when_two_looks_in_a_row_say_it() {
    type Looks = fn(&Followed, u64) -> Followed;
    let looks: [(Looks, &str); 5] = [
        (|task, at| task.missing(at), "TaskLost"),
        (|task, at| task.failing(FailureKind::AccessDenied, at, at), "AccessDenied"),
        (|task, at| task.failing(FailureKind::Rejected, at, at), "RequestRejected"),
        (|task, at| task.seen("UnknownStatus", at), "TaskStatusUnknown"),
        // Two words that are not known say the same.
        (|task, at| task.seen(if at % 2 == 0 { "Thawing" } else { "Defragmenting" }, at), "TaskStatusUnknown"),
    ];
    let running = new_task().seen("Running", 1);
    for (look, reason) in looks {
        let once = look(&running, 2);
        assert_eq!(once.status, running.status, "{reason}");
        assert_eq!(look(&once, 3).row(), progressing("Running", reason));
        // A look that was not answered says nothing of the task.
        let unanswered = once.failing(FailureKind::Unavailable, 3, 3);
        assert_eq!(look(&unanswered, 4).row(), progressing("Running", reason));
        // One that says otherwise does, and what is told already is not told anew.
        let healed = look(&once.seen("Running", 3), 4);
        assert_eq!(healed.status, running.status, "{reason}");
    }
    let in_turn = running.missing(2).seen("Odd", 3).failing(FailureKind::Rejected, 4, 4).missing(5).seen("Odd", 6);
    assert_eq!(in_turn.status, running.status);
    assert_eq!(new_task().missing(1).seen("Odd", 2).row(), progressing("Running", "TaskStatusUnknown"), "a first word");
}

#[test]
fn what_one_look_alone_says_is_looked_at_again_in_an_interval() {
    let running = new_task().seen("Running", 1);
    let (refusal, odd) = (failure(FailureKind::Rejected, 2), cloud("Odd", 40));
    let next = |seen| {
        let outcome = reconcile(&running, &Look { begun: at(2), seen }, Deadline::Open, at(2), &RULES);
        (outcome.status, outcome.next)
    };
    assert_eq!(next(Observation::Missing { alone: false, passed_over: false, request_id: None }), (None, Next::Beat));
    assert_eq!(next(Observation::Found { task: &odd, request_id: None }), (None, Next::Beat));
    // The first pause of what is asked alone is an interval.
    assert_eq!(next(Observation::Failed(&refusal)), (None, Next::SlowlyAlone));
}

#[test]
fn one_look_that_is_judged_twice_is_one_look() {
    let running = new_task().seen("Running", 1);
    let look = |task: &Followed, begun, seconds| {
        let look = Look {
            begun: at(begun),
            seen: Observation::Missing { alone: false, passed_over: false, request_id: None },
        };
        let outcome = reconcile(task, &look, Deadline::Open, at(seconds), &RULES);
        (outcome.status.is_some(), Followed { trouble: outcome.trouble.map(Box::new), ..task.clone() })
    };
    let (told, once) = look(&running, 10, 12);
    let (told_again, twice) = look(&once, 10, 12);
    // One that was begun before the first was answered may have gone the same way.
    let (told_beside, beside) = look(&twice, 11, 13);
    assert_eq!([told, told_again, told_beside, look(&beside, 14, 15).0], [false, false, false, true]);
}

#[test]
fn what_answers_a_new_spec_or_an_annotation_is_told_at_once() {
    let running = new_task().seen("Running", 1);
    let request = Request { value: "now".into(), arrived: Duration::from_secs(5) };
    let asking = Followed { request: Some(Box::new(request)), ..running.clone() };
    assert_eq!(asking.missing(4).row(), running.row(), "it began before somebody asked");
    let answered = asking.missing(6);
    assert_eq!(answered.row(), progressing("Running", "TaskLost"));
    assert_eq!(answered.status.handled.as_deref(), Some("now"));
    let changed = running.with(|spec| spec.suspend = true, 2).with(|spec| spec.suspend = false, 3);
    assert_eq!(changed.failing(FailureKind::Rejected, 4, 4).row(), progressing("Running", "RequestRejected"));
}

#[test]
fn what_leaves_stalled_is_told_at_once() {
    let refused = new_task().failing(FailureKind::Rejected, 1, 1).failing(FailureKind::Rejected, 1, 301);
    assert_eq!(refused.row(), stuck("RequestRejected"));
    assert_eq!(refused.missing(302).row(), progressing("Pending", "TaskNotFound"));
    assert_eq!(refused.seen("Odd", 302).row(), progressing("Running", "TaskStatusUnknown"));
}

#[test]
fn what_is_stalled_outlives_an_outage_a_restart_and_a_shorter_trouble() {
    let stalled = new_task().missing(1).missing(121);
    let restarted = Followed { trouble: None, fresh_since: Duration::from_secs(130).into(), ..stalled.clone() };
    for task in [&stalled, &restarted] {
        assert_eq!(task.missing(131).status, stalled.status);
        assert_eq!(task.failing(FailureKind::Unavailable, 130, 999).status, stalled.status);
        assert_eq!(task.failing(FailureKind::CredentialsNotFound, 130, 131).status, stalled.status);
    }
    assert_eq!(stalled.failing(FailureKind::CredentialsNotFound, 130, 430).row(), stuck("CredentialsNotFound"));
    assert_eq!(stalled.seen("Running", 131).row(), progressing("Running", "TaskRunning"));
    let suspended = stalled.with(|spec| spec.suspend = true, 131);
    assert_eq!(suspended.row(), "Pending Ready=Unknown/Suspended Finished=False/Suspended");
}

#[test]
fn a_complete_answer_heals_credentials_even_without_the_task() {
    let stalled =
        new_task().failing(FailureKind::CredentialsNotFound, 1, 1).failing(FailureKind::CredentialsNotFound, 1, 301);
    assert_eq!(stalled.missing(302).row(), progressing("Pending", "TaskNotFound"));
}

#[test]
fn the_last_word_on_a_task_decides_what_its_timeout_says() {
    let task = new_task().seen("Running", 1);
    let said = |seen: Observation<'_>, deadline| {
        let after = task.judged(seen, deadline, 101);
        (after.row(), after.status.standing.unwrap().message.to_string())
    };
    let [running, succeeded] = ["Running", "Succeeded"].map(|word| cloud(word, 40));
    let found = |task| Observation::Found { task, request_id: Some("r") };
    let missing = Observation::Missing { alone: false, passed_over: false, request_id: Some("r") };
    let refusal = Failure {
        code: Some("InvalidTaskId".into()),
        request_id: Some("r".into()),
        ..failure(FailureKind::Rejected, 9)
    };
    let unreached = failure(FailureKind::Unavailable, 9);
    for deadline in [Deadline::Open, Deadline::LastWord, Deadline::Unheard(Unheard::Cloud)] {
        assert_eq!(
            said(found(&succeeded), deadline).0,
            "Succeeded Ready=True/TaskSucceeded Finished=True/TaskSucceeded"
        );
    }
    for (seen, words) in [
        (
            found(&running),
            "the timeout passed before the task ended: look at the task in the console, or raise the timeout [request r]",
        ),
        (
            missing,
            "the timeout passed, and the cloud does not know the task: check its id, its region and the account in the console [request r]",
        ),
        (
            Observation::Failed(&refusal),
            "the timeout passed, and the cloud refuses to tell whether the task ended: look at the task in the console (InvalidTaskId) [request r]",
        ),
    ] {
        assert_eq!(said(seen, Deadline::LastWord), (failed("DeadlineExceeded"), words.into()));
        assert_ne!(said(seen, Deadline::Open).0, failed("DeadlineExceeded"));
    }
    for why in [Unheard::Cloud, Unheard::Credentials, Unheard::Queue] {
        for seen in [Observation::Nothing, Observation::Failed(&unreached), found(&running)] {
            assert_eq!(said(seen, Deadline::Unheard(why)), (failed("DeadlineExceeded"), why.text().into()));
        }
    }
    assert_eq!(said(Observation::Nothing, Deadline::LastWord).0, progressing("Running", "TaskRunning"));
    let suspended = task.with(|spec| spec.suspend = true, 3);
    assert_eq!(suspended.judged(missing, Deadline::LastWord, 999).status, suspended.status);
}

#[test]
fn the_message_keeps_the_request_id_of_the_look_that_brought_the_reason() {
    let look = |task: &Followed, request, seconds| {
        task.after(Observation::Found { task: &cloud("Running", 40), request_id: Some(request) }, seconds)
    };
    let first = look(&new_task(), "first", 1);
    assert_eq!(&*first.status.standing.clone().unwrap().message, "the task is running [request first]");
    assert_eq!(look(&first, "second", 2).status, first.status);
    let progressed = first.after(Observation::Found { task: &cloud("Running", 41), request_id: Some("third") }, 3);
    assert_eq!(progressed.status.standing, first.status.standing);
}

#[test]
fn a_request_is_echoed_by_a_look_that_began_after_it() {
    let asking = |task: Followed| {
        let request = Request { value: "now".into(), arrived: Duration::from_secs(5) };
        Followed { request: Some(Box::new(request)), ..task }
    };
    let running = asking(new_task().seen("Running", 1));
    assert_eq!(running.after(Observation::Nothing, 9).status.handled, None);
    let cloud = cloud("Running", 40);
    let early = Look { begun: at(4), seen: Observation::Found { task: &cloud, request_id: None } };
    assert_eq!(reconcile(&running, &early, Deadline::Open, at(6), &RULES).status, None);
    assert_eq!(running.seen("Running", 5).status.handled.as_deref(), Some("now"));
    let suspended = running.with(|spec| spec.suspend = true, 6);
    assert_eq!(suspended.status.handled, None);
    let finished = asking(new_task().seen("Succeeded", 1));
    assert_eq!(finished.after(Observation::Nothing, 9).status.handled.as_deref(), Some("now"));
    // The outage is too young to be told: nothing is, and the annotation waits for the first status.
    let unseen = asking(new_task());
    assert_eq!(unseen.failing(FailureKind::Unavailable, 6, 7).status, unseen.status);
}

#[derive(Clone, Debug)]
enum Event {
    Found(&'static str, u8),
    Missing(bool),
    Failed(FailureKind),
    Nothing,
    Suspend(bool),
    Timeout(u64),
    Restart,
    /// A version takes over that does not know a field of the spec.
    RollBack,
    /// A version takes over that knows every field.
    Upgrade,
}

fn event() -> impl Strategy<Value = Event> {
    let kind = prop::sample::select(vec![
        FailureKind::CredentialsNotFound,
        FailureKind::CredentialsForbidden,
        FailureKind::CredentialsInvalid,
        FailureKind::AccessDenied,
        FailureKind::Rejected,
        FailureKind::Throttled,
        FailureKind::Unavailable,
    ]);
    let word = prop::sample::select(vec!["Pending", "Running", "UnknownStatus", "", "Succeeded", "Failed"]);
    prop_oneof![
        4 => (word, 0..=100_u8).prop_map(|(word, process)| Event::Found(word, process)),
        3 => any::<bool>().prop_map(Event::Missing),
        4 => kind.prop_map(Event::Failed),
        1 => Just(Event::Nothing),
        1 => any::<bool>().prop_map(Event::Suspend),
        1 => (1..2_000_u64).prop_map(Event::Timeout),
        1 => Just(Event::Restart),
        1 => Just(Event::RollBack),
        1 => Just(Event::Upgrade),
    ]
}

/// One step: what happens, and what the same look says when it is judged a second time.
fn step(task: &Followed, event: &Event, since: u64, seconds: u64) -> (Followed, Followed) {
    let twice = |seen: Observation<'_>| {
        let once = task.after(seen, seconds);
        let again = once.after(seen, seconds);
        (once, again)
    };
    match *event {
        Event::Found(word, process) => twice(Observation::Found { task: &cloud(word, process), request_id: Some("r") }),
        Event::Missing(alone) => twice(Observation::Missing { alone, passed_over: false, request_id: Some("r") }),
        Event::Failed(kind) => twice(Observation::Failed(&failure(kind, since))),
        Event::Nothing => twice(Observation::Nothing),
        // The users of what this version does not know are not here.
        Event::Suspend(_) | Event::Timeout(_) if task.spec.is_err() => twice(Observation::Nothing),
        Event::Suspend(suspend) => {
            let changed = task.with(|spec| spec.suspend = suspend, seconds);
            (changed.clone(), changed.after(Observation::Nothing, seconds))
        }
        Event::Timeout(timeout) => {
            let changed =
                task.with(|spec| spec.timeout = Some(Timeout::parse(&format!("{timeout}s")).unwrap()), seconds);
            (changed.clone(), changed.after(Observation::Nothing, seconds))
        }
        Event::Restart | Event::RollBack | Event::Upgrade => {
            let spec = match (&task.spec, matches!(event, Event::RollBack), matches!(event, Event::Upgrade)) {
                (_, true, _) => Err(unknown_field()),
                (Err(_), _, true) => Ok(spec()),
                (known, ..) => known.clone(),
            };
            let fresh_since = Duration::from_secs(seconds).into();
            let restarted = Followed { spec, trouble: None, fresh_since, ..task.clone() };
            (restarted.clone(), restarted)
        }
    }
}

fn keeps_the_conditions_contract(status: &Status) -> Result<(), TestCaseError> {
    let told = status.render();
    let types: BTreeSet<&str> = told.conditions.iter().map(|it| it.type_.as_str()).collect();
    prop_assert_eq!(types.len(), told.conditions.len());
    prop_assert!(!(types.contains("Reconciling") && types.contains("Stalled")));
    let finished = told.conditions.iter().any(|it| it.type_ == "Finished" && it.status == "True");
    prop_assert_eq!(finished, told.phase.is_some_and(Phase::is_end));
    prop_assert_eq!(finished, told.completion_time.is_some());
    for condition in &told.conditions {
        prop_assert_eq!(condition.observed_generation, told.observed_generation);
        prop_assert!(!condition.reason.is_empty() && !condition.message.is_empty());
    }
    let stored = serde_json::from_value(serde_json::to_value(&told).unwrap()).unwrap();
    prop_assert_eq!(&Status::parse(&crate::api::Lenient::Valid(stored)), status);
    Ok(())
}

fn only_flips_move_transition_times(before: &Status, after: &Status) -> Result<(), TestCaseError> {
    for was in &before.render().conditions {
        for is in after.render().conditions.iter().filter(|is| is.type_ == was.type_ && is.status == was.status) {
            prop_assert_eq!(&is.last_transition_time, &was.last_transition_time);
        }
    }
    Ok(())
}

proptest! {
    #[test]
    fn whatever_happens_the_table_is_kept(
        events in prop::collection::vec((event(), 0..200_u64), 1..40),
    ) {
        let mut task = new_task();
        let mut seconds = 0;
        for (event, pause) in events {
            let since = seconds;
            seconds += pause;
            let (next, again) = step(&task, &event, since, seconds);
            prop_assert_eq!(&next.status, &again.status, "deciding twice changes nothing");
            keeps_the_conditions_contract(&next.status)?;
            only_flips_move_transition_times(&task.status, &next.status)?;
            if task.status.is_finished() {
                prop_assert_eq!(task.status.phase(), next.status.phase(), "an end is final");
                prop_assert_eq!(task.status.completion, next.status.completion);
            }
            let was_stuck = task.status.phase() == Some(Phase::Error);
            let left = next.status.phase() != Some(Phase::Error);
            if was_stuck && left {
                let heals = matches!(event, Event::Found(..) | Event::Missing(_) | Event::Suspend(_) | Event::Timeout(_));
                let timed_out = next.status.standing.as_ref().is_some_and(|it| it.reason == Reason::DeadlineExceeded);
                let new_spec = task.status.observed_generation != task.generation;
                prop_assert!(heals || timed_out || new_spec, "{:?} must not heal", event);
            }
            let ended = next.status.is_finished() && !task.status.is_finished();
            let told = matches!(event, Event::Found("Succeeded" | "Failed", _));
            let timed_out = next.status.standing.as_ref().is_some_and(|it| it.reason == Reason::DeadlineExceeded);
            prop_assert!(!ended || told || timed_out, "{:?} must not end a task", event);
            task = next;
        }
    }
}
