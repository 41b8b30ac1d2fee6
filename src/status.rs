//! What an ImageTask says, in the compact form that the index keeps: read from the stored status, rendered for a write.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;

use crate::api::conditions::{Course, Standing};
use crate::api::{ImageTaskStatus, Lenient, Phase, StatusView};
use crate::ecs::{Region, Task, TaskProgress};
use crate::reason::Reason;

/// The status of one ImageTask.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// Generation of the spec it speaks of, the least over the status and its conditions; −1: never seen.
    pub observed_generation: i64,
    /// The task as the cloud last reported it; `None`: never seen in an answer.
    pub reported: Option<Reported>,
    /// Where it is looked for.
    pub region: Option<Region>,
    /// When the end was seen.
    pub completion: Option<Timestamp>,
    /// The annotation that was answered last.
    pub handled: Option<Box<str>>,
    /// The conditions; `None` before the first write.
    pub standing: Option<Standing>,
}

/// A task in the cloud's own words.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the fields of ImageTaskStatus, documented there")]
pub struct Reported {
    pub id: Box<str>,
    pub type_: Option<Box<str>>,
    pub status: Option<Box<str>>,
    pub process: Option<u8>,
    pub resource: Option<Box<str>>,
    pub created: Option<Box<str>>,
    pub updated: Option<Box<str>>,
    pub ended: Option<Box<str>>,
}

impl Status {
    /// The status of an object that the operator has never seen.
    pub const UNSEEN: Self =
        Self { observed_generation: -1, reported: None, region: None, completion: None, handled: None, standing: None };

    /// Reads a stored status; what nobody of ours can have written counts as not there, so the next look rewrites it.
    pub fn parse(stored: &Lenient<StatusView>) -> Self {
        let Lenient::Valid(stored) = stored else { return Self::UNSEEN };
        let own = stored.observed_generation.valid().copied().unwrap_or(-1);
        let conditions = stored.conditions.valid().map_or(&[][..], Vec::as_slice);
        let (standing, generation) = Standing::parse(conditions);
        Self {
            observed_generation: generation.map_or(own, |least| least.min(own)),
            reported: Reported::parse(stored),
            region: stored.region.valid().and_then(|word| Region::parse(word).ok()),
            completion: stored.completion_time.valid().and_then(|time| time.parse().ok()),
            handled: stored.last_handled_reconcile_at.valid().cloned(),
            standing,
        }
    }

    /// The status as it is written.
    pub fn render(&self) -> ImageTaskStatus {
        let reported = self.reported.as_ref();
        let word = |field: fn(&Reported) -> &Option<Box<str>>| {
            reported.and_then(|task| field(task).as_deref()).map(str::to_owned)
        };
        ImageTaskStatus {
            observed_generation: Some(self.observed_generation),
            phase: self.phase(),
            process: reported.and_then(|task| task.process).map(i32::from),
            status: word(|task| &task.status),
            task_id: reported.map(|task| task.id.to_string()),
            type_: word(|task| &task.type_),
            resource_id: word(|task| &task.resource),
            created_at: word(|task| &task.created),
            updated_at: word(|task| &task.updated),
            end_at: word(|task| &task.ended),
            region: self.region.as_ref().map(|region| region.as_str().to_owned()),
            completion_time: self.completion.map(Time),
            last_handled_reconcile_at: self.handled.as_deref().map(str::to_owned),
            conditions: self.standing.as_ref().map_or_else(Vec::new, |it| it.conditions(self.observed_generation)),
        }
    }

    /// The one word for tools; `None` before the first write.
    pub fn phase(&self) -> Option<Phase> {
        self.standing.as_ref().map(|standing| standing.course.phase(self.last_phase()))
    }

    /// The phase that the task itself was last seen in, whatever trouble came since: `Pending` before the first look.
    pub fn last_phase(&self) -> Phase {
        match self.reported.as_ref().map(|task| TaskProgress::of(task.status.as_deref())) {
            None | Some(TaskProgress::Pending) => Phase::Pending,
            // An end is told by the conditions; between, the task is on its way.
            Some(TaskProgress::Running | TaskProgress::Unknown | TaskProgress::Succeeded | TaskProgress::Failed) => {
                Phase::Running
            }
        }
    }

    /// The end or the lasting error that is told, if one is.
    pub fn lasting(&self) -> Option<(Course, Reason)> {
        let standing = self.standing.as_ref()?;
        match standing.course {
            Course::Stuck | Course::Succeeded | Course::Failed => Some((standing.course, standing.reason)),
            Course::Progressing | Course::Suspended => None,
        }
    }

    /// Whether the end is told.
    pub fn is_finished(&self) -> bool {
        self.standing.as_ref().is_some_and(|standing| standing.course.is_end())
    }
}

impl Reported {
    /// The task as it came in an answer.
    pub fn of(task: &Task) -> Self {
        Self {
            id: task.id.as_str().into(),
            type_: task.type_.clone(),
            status: task.status.clone(),
            process: task.process,
            resource: task.resource_id.clone(),
            created: task.created_at.clone(),
            updated: task.updated_at.clone(),
            ended: task.ended_at.clone(),
        }
    }

    /// Whether an answer tells what is known already; `updatedAt` alone is no news (contract §1).
    pub fn tells_no_news(&self, task: &Task) -> bool {
        self.process == task.process
            && self.status == task.status
            && *self.id == *task.id.as_str()
            && self.type_ == task.type_
            && self.resource == task.resource_id
            && self.created == task.created_at
            && self.ended == task.ended_at
    }

    fn parse(stored: &StatusView) -> Option<Self> {
        let word = |field: &Lenient<Box<str>>| field.valid().cloned();
        Some(Self {
            id: word(&stored.task_id)?,
            type_: word(&stored.type_),
            status: word(&stored.status),
            process: stored.process.valid().and_then(|&percent| u8::try_from(percent).ok()),
            resource: word(&stored.resource_id),
            created: word(&stored.created_at),
            updated: word(&stored.updated_at),
            ended: word(&stored.end_at),
        })
    }
}
