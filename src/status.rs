//! What an ImageTask says, in the compact form that the index keeps: read from the stored status, rendered for a write.

use std::borrow::Cow;
use std::hash::{DefaultHasher, Hash, Hasher};

use arcstr::ArcStr;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use crate::api::conditions::{Course, Standing, course_of_later_version};
use crate::api::{ImageTaskStatus, Lenient, Phase, SpecRevision, StatusView};
use crate::clock::Second;
use crate::ecs::{Region, Task, TaskId, TaskProgress, Word, Words};
use crate::reason::Reason;

/// The status of one ImageTask.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Status {
    /// Generation of the spec it speaks of, the least over the status and its conditions; −1: never seen.
    pub observed_generation: i64,
    /// The task as the cloud last reported it; `None`: never seen in an answer.
    pub reported: Option<Task>,
    /// Where it is looked for.
    pub region: Option<Region>,
    /// The newest revision of the spec of which a field was used.
    pub spec_revision: SpecRevision,
    /// When the end was seen.
    pub completion: Option<Second>,
    /// The annotation that was answered last.
    pub handled: Option<ArcStr>,
    /// The conditions; `None` before the first write.
    pub standing: Option<Standing>,
}

impl Status {
    /// The status of an object that the operator has never seen.
    pub const UNSEEN: Self = Self {
        observed_generation: -1,
        reported: None,
        region: None,
        spec_revision: SpecRevision::FIRST,
        completion: None,
        handled: None,
        standing: None,
    };

    /// Reads a stored status; what nobody of ours can have written counts as not there, so the next look rewrites it.
    pub fn parse(stored: &Lenient<StatusView>) -> Self {
        let Lenient::Valid(stored) = stored else { return Self::UNSEEN };
        let own = stored.observed_generation.valid().copied().unwrap_or(-1);
        let conditions = stored.conditions.valid().map_or(&[][..], Vec::as_slice);
        let (standing, generation) = Standing::parse(conditions);
        let mut status = Self {
            observed_generation: generation.map_or(own, |least| least.min(own)),
            reported: reported(stored),
            region: stored.region.valid().and_then(|word| Region::parse(word).ok()),
            spec_revision: stored.spec_revision.valid().copied().map(SpecRevision::parse).unwrap_or_default(),
            completion: stored.completion_time.valid().and_then(|time| time.parse().ok()),
            handled: stored.last_handled_reconcile_at.valid().map(|value| ArcStr::from(&**value)),
            standing,
        };
        // The phase follows from the rest. Another one is not ours, and tools act on it: all is written anew.
        let foreign = stored.phase.valid().zip(status.phase()).is_some_and(|(told, own)| **told != *own.as_str());
        if foreign {
            status.observed_generation = Self::UNSEEN.observed_generation;
        }
        status
    }

    /// A number that tells this status from others, but for a chance of one in four billion.
    pub fn digest(&self) -> u32 {
        let mut hasher = DefaultHasher::new();
        self.hash(&mut hasher);
        hasher.finish() as u32
    }

    /// Whether a stored status tells an end for a reason that only a later version has. It is an end all the same, and
    /// stays word for word: we could not write its reason.
    pub fn is_end_of_later_version(stored: &Lenient<StatusView>) -> bool {
        let Lenient::Valid(stored) = stored else { return false };
        let course = stored.conditions.valid().and_then(|conditions| course_of_later_version(conditions));
        let end = course.filter(|course| course.is_end()).map(|course| course.phase(Phase::Pending).as_str());
        end.is_some() && stored.phase.valid().map(AsRef::as_ref) == end
    }

    /// The status as it is written.
    pub fn render(&self) -> ImageTaskStatus {
        let reported = self.reported.as_ref();
        let word = |word| reported.and_then(|task| task.word(word)).map(Cow::into_owned);
        ImageTaskStatus {
            observed_generation: Some(self.observed_generation),
            phase: self.phase(),
            process: reported.and_then(Task::process).map(i32::from),
            status: word(Word::Status),
            task_id: reported.map(|task| task.id.as_str().to_owned()),
            type_: word(Word::Type),
            resource_id: word(Word::Resource),
            created_at: word(Word::Created),
            updated_at: word(Word::Updated),
            end_at: word(Word::Ended),
            region: self.region.as_ref().map(|region| region.as_str().to_owned()),
            spec_revision: self.spec_revision.number(),
            completion_time: self.completion.map(|second| Time(second.timestamp())),
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
        match self.reported.as_ref().map(Task::progress) {
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

/// The task as a stored status tells it; a longer word than the CRD takes is nobody's of ours, and absent.
fn reported(stored: &StatusView) -> Option<Task> {
    let id = TaskId::parse(stored.task_id.valid()?).ok()?;
    let words = Words {
        process: stored.process.valid().and_then(|&percent| u8::try_from(percent).ok()),
        type_: word(&stored.type_),
        status: word(&stored.status),
        resource_id: word(&stored.resource_id),
        created_at: word(&stored.created_at),
        ended_at: word(&stored.end_at),
        updated_at: word(&stored.updated_at),
    };
    Some(Task::new(id, words))
}

fn word(stored: &Lenient<Box<str>>) -> Option<&str> {
    stored.valid().map(AsRef::as_ref).filter(|word: &&str| word.len() <= LONGEST)
}

/// Bytes of the longest word: 128 characters of four bytes each.
const LONGEST: usize = 512;

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn parse(phase: Value) -> Status {
        let condition = |type_: &str, status: &str| {
            json!({"type": type_, "status": status, "reason": "TaskRunning", "message": "m",
                "lastTransitionTime": "2026-01-01T00:00:00Z", "observedGeneration": 3})
        };
        let conditions =
            [("Ready", "False"), ("Reconciling", "True"), ("Finished", "False")].map(|(t, s)| condition(t, s));
        let stored = json!({"observedGeneration": 3, "taskId": "t-1", "status": "Running", "phase": phase,
            "conditions": conditions});
        Status::parse(&serde_json::from_value(stored).unwrap())
    }

    #[test]
    fn a_phase_that_does_not_follow_from_the_rest_is_written_over() {
        assert_eq!(parse(json!("Running")).observed_generation, 3);
        // An older CRD may lack it.
        assert_eq!(parse(Value::Null).observed_generation, 3);
        for forged in ["Succeeded", "Failed", "Pending", "Error", "running"] {
            let status = parse(json!(forged));
            assert_eq!((status.observed_generation, status.phase()), (-1, Some(Phase::Running)), "{forged}");
        }
    }
}
