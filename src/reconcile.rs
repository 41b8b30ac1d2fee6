//! Decides what an ImageTask says after a look: pure, and to be read beside docs/reasons.md.
//!
//! The rows come in the order of their precedence: finished · not valid, policy · suspended · timeout · credentials ·
//! rejected · cloud trouble · not found, lost · the task's own status.

use std::time::Duration;

use crate::api::conditions::Course;
use crate::clock::Now;
use crate::deadline::Deadline;
use crate::ecs::{Task, TaskProgress};
use crate::followed::{Followed, Trouble, TroubleKind};
use crate::message::Cause;
use crate::observation::{Failure, FailureKind, Look, Observation};
use crate::reason::Reason;
use crate::spec::{InvalidSpec, Spec, Target};
use crate::status::Status;
use crate::verdict::{Verdict, handled};
use texts::{
    LATE_AND_MISSING, LATE_AND_REFUSED, NO_TASK_OF_TYPE, ONLY_ENDED_TASKS, ONLY_OLDER_TASKS, POLICY_DENIED,
    REGION_UNKNOWN, STATUS_UNKNOWN, SUSPENDED, TASK_FAILED, TASK_LOST, TASK_NOT_FOUND, TOO_LATE,
};

/// The graces of the status table.
#[derive(Clone, Copy, Debug)]
pub struct Rules {
    /// `--not-found-grace`: how long a task may be missing that was never seen.
    pub not_found_grace: Duration,
    /// `--stuck-after`: how long any other trouble may last before following counts as stuck.
    pub stuck_after: Duration,
}

/// Cloud trouble shorter than this is not told: it mostly heals by itself.
const CLOUD_GRACE: Duration = Duration::from_secs(60);

/// What is to be done.
#[derive(Debug, PartialEq, Eq)]
pub struct Outcome {
    /// What the ImageTask is to say; `None`: what it says already.
    pub status: Option<Status>,
    /// The trouble to remember.
    pub trouble: Option<Trouble>,
    /// When to look next.
    pub next: Next,
}

/// When to look at a task next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Next {
    /// At once, and asking for nothing else in the same question.
    Alone,
    /// With the next beat.
    Beat,
    /// Ever more rarely, from the beat to 5 min.
    Slowly,
    /// As `Slowly`, asking for nothing else in the same question.
    SlowlyAlone,
    /// Not before the object changes.
    Never,
}

/// Decides what `task` says after `look`.
pub fn reconcile(task: &Followed, look: &Look<'_>, deadline: Deadline, now: Now, rules: &Rules) -> Outcome {
    if task.status.is_finished() {
        return finished(task);
    }
    let trouble = trouble_after(task, look, now);
    let row = row(task, trouble, look, deadline, now, rules);
    Outcome { status: row.verdict.status(task, look, now), trouble, next: row.next }
}

/// A row of the table as it applies.
struct Row<'a> {
    verdict: Verdict<'a>,
    next: Next,
}

fn row<'a>(
    task: &'a Followed,
    trouble: Option<Trouble>,
    look: &Look<'a>,
    deadline: Deadline,
    now: Now,
    rules: &Rules,
) -> Row<'a> {
    let stands = |course, reason, cause, next| Row { verdict: Verdict::Stands(course, reason, cause), next };
    let never = |course, reason, cause| stands(course, reason, cause, Next::Never);
    let spec = match &task.spec {
        Ok(spec) => spec,
        Err(broken) => return invalid(task, broken, now, rules),
    };
    if !task.permitted {
        return never(Course::Stuck, Reason::PolicyDenied, Cause::of(POLICY_DENIED));
    }
    if task.region.is_none() {
        return never(Course::Stuck, Reason::RegionUnknown, Cause::of(REGION_UNKNOWN));
    }
    if spec.suspend {
        return never(Course::Suspended, Reason::Suspended, Cause::of(SUSPENDED));
    }
    if let Some(cause) = deadline_missed(look.seen, deadline) {
        return never(Course::Failed, Reason::DeadlineExceeded, cause);
    }
    let row = match look.seen {
        Observation::Nothing => Row { verdict: Verdict::Keep, next: Next::Beat },
        Observation::Failed(failure) => failed(task, trouble, failure, now, rules),
        Observation::Missing { alone, passed_over, request_id } => {
            let cause = |text| Cause { request_id, ..Cause::of(text) };
            missing(task, absence(spec, passed_over), trouble, alone, now, rules, cause)
        }
        Observation::Found { task, request_id } => {
            let (course, reason, text) = own_status(task);
            let next = if course.is_end() { Next::Never } else { Next::Beat };
            stands(course, reason, Cause { request_id, ..Cause::of(text) }, next)
        }
    };
    if is_unconfirmed(task, &row.verdict, look) { Row { verdict: Verdict::Keep, ..row } } else { row }
}

/// Whether this look alone says that the task is absent, refused or in an unknown state: that is told when two looks in a
/// row say so. At once are told a first status, what leaves Stalled, and what answers a new spec or annotation.
fn is_unconfirmed(task: &Followed, verdict: &Verdict<'_>, look: &Look<'_>) -> bool {
    let (Verdict::Stands(course, reason, _), Some(kind)) = (verdict, doubtful(look)) else { return false };
    let Some(told) = &task.status.standing else { return false };
    let is_awaited = task.status.observed_generation != task.generation || handled(task, look).is_some();
    let leaves_stalled = is_held(task) && *course != Course::Stuck;
    let is_told = told.reason == *reason;
    // A word is unknown after a known one; the first that a task is seen in is told.
    let is_first = kind == TroubleKind::UnknownStatus && !has_known_word(task);
    let is_repeated = |before: &Trouble| before.kind == kind && look.begun.mono > Duration::from(before.since);
    let is_confirmed = task.trouble.as_deref().is_some_and(is_repeated);
    !(is_awaited || leaves_stalled || is_told || is_first || is_confirmed)
}

fn has_known_word(task: &Followed) -> bool {
    task.status.reported.as_ref().is_some_and(|reported| reported.progress() != TaskProgress::Unknown)
}

/// The row not valid. A field that this version does not know is trouble that may pass: in an upgrade, or after a
/// rollback, a version that knows it may be about to take over.
fn invalid<'a>(task: &Followed, spec: &InvalidSpec, now: Now, rules: &Rules) -> Row<'a> {
    let grace = task.unknown_field_grace(rules.stuck_after);
    let course = stuck_when(grace.is_none_or(|end| now.mono >= end));
    if course == Course::Progressing && is_held(task) {
        return Row { verdict: Verdict::Keep, next: Next::Never };
    }
    let verdict = Verdict::Stands(course, Reason::InvalidSpec, Cause::of(spec.to_string()));
    Row { verdict, next: Next::Never }
}

/// The rows credentials, rejected, cloud trouble.
fn failed<'a>(task: &'a Followed, trouble: Option<Trouble>, failure: &'a Failure, now: Now, rules: &Rules) -> Row<'a> {
    let lasts = |since: Duration| now.mono.saturating_sub(since.max(task.fresh_since.into()));
    let overdue = lasts(failure.since) >= rules.stuck_after;
    let (reason, course, next) = match failure.kind {
        FailureKind::CredentialsNotFound => (Reason::CredentialsNotFound, stuck_when(overdue), Next::Beat),
        FailureKind::CredentialsForbidden => (Reason::CredentialsForbidden, stuck_when(overdue), Next::Beat),
        FailureKind::CredentialsInvalid => (Reason::CredentialsInvalid, stuck_when(overdue), Next::Beat),
        FailureKind::AccessDenied => {
            let overdue = lasts(since(trouble, now)) >= rules.stuck_after;
            (Reason::AccessDenied, stuck_when(overdue), Next::SlowlyAlone)
        }
        FailureKind::Rejected => {
            let overdue = lasts(since(trouble, now)) >= rules.stuck_after;
            (Reason::RequestRejected, stuck_when(overdue), Next::SlowlyAlone)
        }
        FailureKind::Throttled | FailureKind::Unavailable => {
            let (since, next) = match failure.of_task {
                true => (since(trouble, now), Next::SlowlyAlone),
                false => (failure.since, Next::Beat),
            };
            // A refusal goes before trouble of the cloud, which is told to everyone.
            if lasts(since) < CLOUD_GRACE || !failure.of_task && is_refusal(task) {
                return Row { verdict: Verdict::Keep, next };
            }
            let throttled = failure.kind == FailureKind::Throttled;
            let reason = if throttled { Reason::Throttled } else { Reason::CloudUnavailable };
            (reason, Course::Progressing, next)
        }
    };
    if course == Course::Progressing && is_held(task) {
        return Row { verdict: Verdict::Keep, next };
    }
    let cause = Cause {
        text: failure.text.as_ref().into(),
        code: failure.code.as_deref(),
        request_id: failure.request_id.as_deref(),
    };
    Row { verdict: Verdict::Stands(course, reason, cause), next }
}

/// The rows not found, lost.
fn missing<'a>(
    task: &Followed,
    never_seen: &'static str,
    trouble: Option<Trouble>,
    alone: bool,
    now: Now,
    rules: &Rules,
    cause: impl FnOnce(&'static str) -> Cause<'a>,
) -> Row<'a> {
    let lasts = now.mono.saturating_sub(since(trouble, now));
    let held = is_held(task) && is_absence(task);
    let stands = |course, reason, text, next| Row { verdict: Verdict::Stands(course, reason, cause(text)), next };
    if task.status.reported.is_some() {
        return match lasts >= rules.stuck_after {
            true if alone || held => stands(Course::Stuck, Reason::TaskLost, TASK_LOST, Next::Slowly),
            true => stands(Course::Progressing, Reason::TaskLost, TASK_LOST, Next::Alone),
            false if held => Row { verdict: Verdict::Keep, next: Next::Slowly },
            false => stands(Course::Progressing, Reason::TaskLost, TASK_LOST, Next::Beat),
        };
    }
    match lasts >= rules.not_found_grace {
        true => stands(Course::Stuck, Reason::TaskNotFound, never_seen, Next::Slowly),
        false if held => Row { verdict: Verdict::Keep, next: Next::Slowly },
        false => stands(Course::Progressing, Reason::TaskNotFound, never_seen, Next::Beat),
    }
}

/// What is told of a task that was never seen.
fn absence(spec: &Spec, passed_over: bool) -> &'static str {
    match &spec.target {
        Target::Task(_) => TASK_NOT_FOUND,
        Target::Newest(_) if !passed_over => NO_TASK_OF_TYPE,
        Target::Newest(newest) if newest.started_after.is_some() => ONLY_OLDER_TASKS,
        Target::Newest(_) => ONLY_ENDED_TASKS,
    }
}

/// The task's own status.
fn own_status(task: &Task) -> (Course, Reason, &'static str) {
    match task.progress() {
        TaskProgress::Pending => (Course::Progressing, Reason::TaskPending, "the task waits to be started"),
        TaskProgress::Running => (Course::Progressing, Reason::TaskRunning, "the task is running"),
        TaskProgress::Unknown => (Course::Progressing, Reason::TaskStatusUnknown, STATUS_UNKNOWN),
        TaskProgress::Succeeded => (Course::Succeeded, Reason::TaskSucceeded, "the task succeeded"),
        TaskProgress::Failed => (Course::Failed, Reason::TaskFailed, TASK_FAILED),
    }
}

/// The timeout's verdict. An end is told whenever it is seen.
fn deadline_missed(seen: Observation<'_>, deadline: Deadline) -> Option<Cause<'_>> {
    match (seen, deadline) {
        (Observation::Found { task, .. }, _) if own_status(task).0.is_end() => None,
        (_, Deadline::Open) | (Observation::Nothing, Deadline::LastWord) => None,
        (_, Deadline::Unheard(unheard)) => Some(Cause::of(unheard.text())),
        (Observation::Found { request_id, .. }, Deadline::LastWord) => {
            Some(Cause { request_id, ..Cause::of(TOO_LATE) })
        }
        (Observation::Missing { request_id, .. }, Deadline::LastWord) => {
            Some(Cause { request_id, ..Cause::of(LATE_AND_MISSING) })
        }
        (Observation::Failed(failure), Deadline::LastWord) => Some(Cause {
            code: failure.code.as_deref(),
            request_id: failure.request_id.as_deref(),
            ..Cause::of(LATE_AND_REFUSED)
        }),
    }
}

fn stuck_when(overdue: bool) -> Course {
    if overdue { Course::Stuck } else { Course::Progressing }
}

/// What is Stalled leaves that only by an answer that heals it, a spec change or a suspend.
fn is_held(task: &Followed) -> bool {
    let stuck = task.status.standing.as_ref().is_some_and(|standing| standing.course == Course::Stuck);
    stuck && task.status.observed_generation == task.generation
}

/// Whether what is told is that the cloud refuses to tell of the task.
fn is_refusal(task: &Followed) -> bool {
    let told = task.status.standing.as_ref().map(|standing| standing.reason);
    matches!(told, Some(Reason::AccessDenied | Reason::RequestRejected))
}

/// Whether what is told is that the task is absent; any other trouble is healed by a complete answer.
fn is_absence(task: &Followed) -> bool {
    let told = task.status.standing.as_ref().map(|standing| standing.reason);
    matches!(told, Some(Reason::TaskNotFound | Reason::TaskLost))
}

fn trouble_after(task: &Followed, look: &Look<'_>, now: Now) -> Option<Trouble> {
    let before = task.trouble.as_deref().copied();
    match (doubtful(look), look.seen) {
        (Some(kind), _) => {
            before.filter(|before| before.kind == kind).or(Some(Trouble { kind, since: now.mono.into() }))
        }
        (None, Observation::Found { .. }) => None,
        // Of the task itself this tells nothing.
        (None, Observation::Nothing | Observation::Missing { .. } | Observation::Failed(_)) => before,
    }
}

/// What a look says of the task itself that the next one may take back.
fn doubtful(look: &Look<'_>) -> Option<TroubleKind> {
    match look.seen {
        Observation::Nothing => None,
        Observation::Missing { .. } => Some(TroubleKind::Missing),
        Observation::Found { task, .. } => match task.progress() {
            TaskProgress::Unknown => Some(TroubleKind::UnknownStatus),
            TaskProgress::Pending | TaskProgress::Running | TaskProgress::Succeeded | TaskProgress::Failed => None,
        },
        Observation::Failed(failure) => match failure.kind {
            FailureKind::AccessDenied | FailureKind::Rejected => Some(TroubleKind::Rejected),
            FailureKind::Unavailable if failure.of_task => Some(TroubleKind::Unanswered),
            FailureKind::CredentialsNotFound
            | FailureKind::CredentialsForbidden
            | FailureKind::CredentialsInvalid
            | FailureKind::Throttled
            | FailureKind::Unavailable => None,
        },
    }
}

fn since(trouble: Option<Trouble>, now: Now) -> Duration {
    trouble.map_or(now.mono, |trouble| trouble.since.into())
}

/// One write brings a finished object up to date with its spec and annotation; nothing else of it ever changes.
fn finished(task: &Followed) -> Outcome {
    let request = task.request.as_ref().map(|request| &request.value);
    let handled = request.or(task.status.handled.as_ref()).cloned();
    let news = task.status.observed_generation != task.generation || task.status.handled != handled;
    let status = news.then(|| Status { observed_generation: task.generation, handled, ..task.status.clone() });
    Outcome { status, trouble: None, next: Next::Never }
}

mod texts;

#[cfg(test)]
mod tests;
