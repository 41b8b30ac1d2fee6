//! What an ImageTask says once it is decided where it stands: as much of its status as is news, and nothing where
//! nothing is.

use arcstr::ArcStr;

use crate::api::conditions::{Course, Standing};
use crate::clock::{Now, Second};
use crate::followed::{Followed, Request};
use crate::message::Cause;
use crate::observation::{Look, Observation};
use crate::reason::Reason;
use crate::status::Status;

/// What a row of the status table tells.
pub enum Verdict<'a> {
    /// Nothing is told that is not told already.
    Keep,
    /// The conditions that are told.
    Stands(Course, Reason, Cause<'a>),
}

impl Verdict<'_> {
    /// The status that tells it; `None` where the present one does already.
    pub fn status(self, task: &Followed, look: &Look<'_>, now: Now) -> Option<Status> {
        match self {
            Self::Keep => echoed(task, look),
            Self::Stands(course, reason, cause) => stands(task, look, course, reason, cause, now),
        }
    }
}

/// The status with nothing but the annotation answered. There is no first status that tells nothing else.
fn echoed(task: &Followed, look: &Look<'_>) -> Option<Status> {
    task.status.standing.as_ref()?;
    let handled = handled(task, look)?;
    Some(Status { handled: Some(handled.clone()), ..task.status.clone() })
}

/// The annotation that this look answers, if that is news: the look must have begun after it came.
pub fn handled<'a>(task: &'a Followed, look: &Look<'_>) -> Option<&'a ArcStr> {
    let Request { value, arrived } = task.request.as_deref()?;
    let looked = match look.seen {
        Observation::Nothing => false,
        Observation::Found { .. } | Observation::Missing { .. } | Observation::Failed(_) => true,
    };
    let suspended = task.spec.as_ref().is_ok_and(|spec| spec.suspend);
    let news = task.status.handled.as_ref() != Some(value);
    (looked && !suspended && news && look.begun.mono >= *arrived).then_some(value)
}

fn stands(
    task: &Followed,
    look: &Look<'_>,
    course: Course,
    reason: Reason,
    cause: Cause<'_>,
    now: Now,
) -> Option<Status> {
    let status = &task.status;
    let found = match look.seen {
        Observation::Found { task, .. } => Some(task),
        Observation::Nothing | Observation::Missing { .. } | Observation::Failed(_) => None,
    };
    let news = found.filter(|found| !status.reported.as_ref().is_some_and(|told| found.is_no_news_after(told)));
    let told = status
        .standing
        .as_ref()
        .filter(|told| told.course == course && told.reason == reason && cause.is_told_by(&told.message));
    let handled = handled(task, look);
    // An answer fixes where the task is looked for.
    let answered = matches!(look.seen, Observation::Found { .. } | Observation::Missing { .. });
    let region = status.region.as_ref().or(task.region.as_ref().filter(|_| answered));
    let spec_revision = match &task.spec {
        Ok(spec) => spec.revision,
        Err(_) => status.spec_revision,
    };
    let settled = status.observed_generation == task.generation
        && status.region.as_ref() == region
        && status.spec_revision == spec_revision;
    if told.is_some() && news.is_none() && handled.is_none() && settled {
        return None;
    }
    let second = Second::of(now.wall.shown());
    let before = status.standing.as_ref();
    let message = match before.filter(|before| before.reason == reason && cause.is_told_by(&before.message)) {
        Some(before) => before.message.clone(),
        None => cause.message(),
    };
    Some(Status {
        observed_generation: task.generation,
        reported: news.cloned().or_else(|| status.reported.clone()),
        region: region.cloned(),
        spec_revision,
        completion: status.completion.or(course.is_end().then_some(second)),
        handled: handled.cloned().or_else(|| status.handled.clone()),
        standing: Some(Standing::next(before, course, reason, message, second)),
    })
}
