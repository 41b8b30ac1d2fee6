//! What an ImageTask says, in the compact form that the index keeps: read from the stored status, rendered for a write.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use crate::api::conditions::{Course, Standing};
use crate::api::{ImageTaskStatus, Lenient, Phase, StatusView};
use crate::clock::Second;
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
    pub completion: Option<Second>,
    /// The annotation that was answered last.
    pub handled: Option<Box<str>>,
    /// The conditions; `None` before the first write.
    pub standing: Option<Standing>,
}

/// A task in the cloud's own words, packed: there are many tasks, each with seven of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reported {
    /// Percent, 0 to 100.
    pub process: Option<u8>,
    /// Where each word ends in the text; one that is absent is empty.
    ends: [u16; WORDS],
    text: Box<str>,
}

/// The words of a task, in the order in which they are packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the fields of ImageTaskStatus, documented there")]
pub enum Word {
    Id,
    Type,
    Status,
    Resource,
    Created,
    Updated,
    Ended,
}

const WORDS: usize = 7;

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
        let mut status = Self {
            observed_generation: generation.map_or(own, |least| least.min(own)),
            reported: Reported::parse(stored),
            region: stored.region.valid().and_then(|word| Region::parse(word).ok()),
            completion: stored.completion_time.valid().and_then(|time| time.parse().ok()),
            handled: stored.last_handled_reconcile_at.valid().cloned(),
            standing,
        };
        // The phase follows from the rest. Another one is not ours, and tools act on it: all is written anew.
        let foreign = stored.phase.valid().zip(status.phase()).is_some_and(|(told, own)| **told != *own.as_str());
        if foreign {
            status.observed_generation = Self::UNSEEN.observed_generation;
        }
        status
    }

    /// The status as it is written.
    pub fn render(&self) -> ImageTaskStatus {
        let reported = self.reported.as_ref();
        let word = |word| reported.and_then(|task| task.word(word)).map(str::to_owned);
        ImageTaskStatus {
            observed_generation: Some(self.observed_generation),
            phase: self.phase(),
            process: reported.and_then(|task| task.process).map(i32::from),
            status: word(Word::Status),
            task_id: word(Word::Id),
            type_: word(Word::Type),
            resource_id: word(Word::Resource),
            created_at: word(Word::Created),
            updated_at: word(Word::Updated),
            end_at: word(Word::Ended),
            region: self.region.as_ref().map(|region| region.as_str().to_owned()),
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
        match self.reported.as_ref().map(|task| TaskProgress::of(task.word(Word::Status))) {
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

impl Word {
    const ALL: [Self; WORDS] =
        [Self::Id, Self::Type, Self::Status, Self::Resource, Self::Created, Self::Updated, Self::Ended];
}

impl Reported {
    /// Packs the words, in the order of [`Word`]. An empty one is absent.
    pub fn new(process: Option<u8>, words: [Option<&str>; WORDS]) -> Self {
        let words = words.map(Option::unwrap_or_default);
        let mut end = 0;
        let ends = words.map(|word| {
            end += word.len();
            u16::try_from(end).expect("seven words of at most 128 characters, four bytes each, are 3.5 KB")
        });
        Self { process, ends, text: words.concat().into() }
    }

    /// The task as it came in an answer.
    pub fn of(task: &Task) -> Self {
        Self::new(task.process, Word::ALL.map(|word| told(task, word)))
    }

    /// What the cloud said.
    pub fn word(&self, word: Word) -> Option<&str> {
        let position = word as usize;
        let start = position.checked_sub(1).map_or(0, |before| self.ends[before]);
        let text = &self.text[usize::from(start)..usize::from(self.ends[position])];
        (!text.is_empty()).then_some(text)
    }

    /// Whether an answer tells what is known already; `updatedAt` alone is no news (contract §1).
    pub fn tells_no_news(&self, task: &Task) -> bool {
        self.process == task.process && Self::news().all(|word| self.word(word) == told(task, word))
    }

    /// Whether another report of the task differs in nothing but progress.
    pub fn differs_in_progress_only(&self, other: &Self) -> bool {
        Self::news().all(|word| self.word(word) == other.word(word))
    }

    /// The words that are news when they change.
    fn news() -> impl Iterator<Item = Word> {
        Word::ALL.into_iter().filter(|word| *word != Word::Updated)
    }

    fn parse(stored: &StatusView) -> Option<Self> {
        let fields = [
            &stored.task_id,
            &stored.type_,
            &stored.status,
            &stored.resource_id,
            &stored.created_at,
            &stored.updated_at,
            &stored.end_at,
        ];
        stored.task_id.valid()?;
        let process = stored.process.valid().and_then(|&percent| u8::try_from(percent).ok());
        // A longer word than the CRD takes is nobody's of ours; the next look replaces it.
        Some(Self::new(
            process,
            fields.map(|field| field.valid().map(AsRef::as_ref).filter(|word| word.len() <= LONGEST)),
        ))
    }
}

/// Bytes of the longest word: 128 characters of four bytes each.
const LONGEST: usize = 512;

/// A word of an answer.
fn told(task: &Task, word: Word) -> Option<&str> {
    match word {
        Word::Id => Some(task.id.as_str()),
        Word::Type => task.type_.as_deref(),
        Word::Status => task.status.as_deref(),
        Word::Resource => task.resource_id.as_deref(),
        Word::Created => task.created_at.as_deref(),
        Word::Updated => task.updated_at.as_deref(),
        Word::Ended => task.ended_at.as_deref(),
    }
}

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
