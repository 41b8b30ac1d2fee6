//! What an ImageTask says of itself: read from its conditions by their words, as every waiting tool reads them, so an
//! operator that knows more reasons than this program is understood all the same.

use imagetask_operator::api::{ImageTaskView, Lenient, StatusView};
use imagetask_operator::usage::one_line;
use k8s_openapi::jiff::Timestamp;

/// Where an ImageTask stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Standing {
    /// The operator has not spoken of this generation yet.
    Unseen,
    /// On the way.
    UnderWay,
    /// Paused by the user.
    Suspended,
    /// Over, with success.
    Succeeded,
    /// Over, without success.
    Failed,
    /// Following it is stuck; the task itself may be fine.
    Stuck,
}

/// What one ImageTask says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    /// Which object of its name it is.
    pub uid: String,
    /// When it was created.
    pub created: Option<Timestamp>,
    /// When its end was seen.
    pub completed: Option<Timestamp>,
    /// Where it stands.
    pub standing: Standing,
    /// The word in the column `STATUS`.
    pub phase: Option<String>,
    /// Progress, 0 to 100.
    pub percent: Option<u8>,
    /// Reason and message of Ready.
    pub cause: Option<Cause>,
}

/// Why an ImageTask stands where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cause {
    /// The reason's word.
    pub reason: String,
    /// What happened, and what to do.
    pub message: String,
}

/// One condition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Condition {
    /// `Ready`, `Reconciling`, `Stalled` or `Finished`.
    pub type_: String,
    /// `True`, `False` or `Unknown`.
    pub status: String,
    /// Its reason and message.
    pub cause: Cause,
    /// Since when it has its status.
    pub since: Option<Timestamp>,
    /// The generation that it speaks of.
    pub generation: Option<i64>,
}

impl Standing {
    /// Whether it is over, whatever comes.
    pub fn is_end(self) -> bool {
        match self {
            Self::Succeeded | Self::Failed => true,
            Self::Unseen | Self::UnderWay | Self::Suspended | Self::Stuck => false,
        }
    }

    /// The word in `-o json`.
    pub fn word(self) -> &'static str {
        match self {
            Self::Unseen => "Unseen",
            Self::UnderWay => "UnderWay",
            Self::Suspended => "Suspended",
            Self::Succeeded => "Succeeded",
            Self::Failed => "Failed",
            Self::Stuck => "Stuck",
        }
    }
}

impl Told {
    /// Reads an object.
    pub fn of(object: &ImageTaskView) -> Self {
        let nothing = StatusView::default();
        let status = object.status.valid().unwrap_or(&nothing);
        let conditions = conditions(status);
        let ready = conditions.iter().find(|it| it.type_ == "Ready");
        let time = |field: &Lenient<Box<str>>| field.valid().and_then(|text| text.parse().ok());
        Self {
            uid: object.metadata.uid.clone().unwrap_or_default(),
            created: object.metadata.creation_timestamp.as_ref().map(|time| time.0),
            completed: time(&status.completion_time),
            standing: standing(status, &conditions, object.metadata.generation),
            phase: word(&status.phase),
            percent: status.process.valid().and_then(|&percent| u8::try_from(percent).ok()).map(|it| it.min(100)),
            cause: ready.map(|ready| ready.cause.clone()),
        }
    }
}

/// The conditions that are stored, in their order; what is none is left out.
pub fn conditions(status: &StatusView) -> Vec<Condition> {
    let stored = status.conditions.valid().map_or(&[][..], Vec::as_slice);
    let read = stored.iter().filter_map(Lenient::valid).filter_map(|it| {
        let cause = Cause { reason: word(&it.reason)?, message: word(&it.message).unwrap_or_default() };
        let since = it.last_transition_time.valid().and_then(|text| text.parse().ok());
        let generation = it.observed_generation.valid().copied();
        Some(Condition { type_: word(&it.type_)?, status: word(&it.status)?, cause, since, generation })
    });
    read.collect()
}

/// A stored text on one line: whatever can write a status must not write to the terminal of whoever reads it.
pub fn word(field: &Lenient<Box<str>>) -> Option<String> {
    field.valid().map(|text| one_line(text))
}

/// What speaks of an older generation does not count: a change of the spec is answered by the next look.
fn standing(status: &StatusView, conditions: &[Condition], generation: Option<i64>) -> Standing {
    let speaks = |of: Option<i64>| of.is_some_and(|of| generation.is_some_and(|now| of >= now));
    if !speaks(status.observed_generation.valid().copied()) {
        return Standing::Unseen;
    }
    let is = |type_: &str, status: &str| {
        conditions.iter().any(|it| it.type_ == type_ && it.status == status && speaks(it.generation))
    };
    match (is("Ready", "True"), is("Finished", "True"), is("Stalled", "True"), is("Ready", "Unknown")) {
        (true, _, _, _) => Standing::Succeeded,
        (false, true, _, _) => Standing::Failed,
        (false, false, true, _) => Standing::Stuck,
        (false, false, false, true) => Standing::Suspended,
        (false, false, false, false) => Standing::UnderWay,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples::{object, written};
    use imagetask_operator::api::Phase;
    use imagetask_operator::api::conditions::Course;
    use imagetask_operator::reason::Reason;
    use proptest::prelude::*;
    use serde_json::json;

    #[test]
    fn every_course_of_the_operator_is_understood() {
        let understood = Course::ALL.map(|course| {
            let told = Told::of(&object("t-1", 1, &written(course, Reason::TaskRunning, Some(40))));
            (course, told.standing)
        });
        let table = [
            (Course::Progressing, Standing::UnderWay),
            (Course::Stuck, Standing::Stuck),
            (Course::Suspended, Standing::Suspended),
            (Course::Succeeded, Standing::Succeeded),
            (Course::Failed, Standing::Failed),
        ];
        assert_eq!(understood, table);
    }

    #[test]
    fn a_status_of_an_older_generation_does_not_count() {
        for course in Course::ALL {
            let told = Told::of(&object("t-1", 2, &written(course, Reason::TaskRunning, None)));
            assert_eq!(told.standing, Standing::Unseen);
        }
    }

    #[test]
    fn a_condition_of_an_older_generation_does_not_count() {
        let mut status = written(Course::Succeeded, Reason::TaskSucceeded, None);
        status["observedGeneration"] = json!(2);
        assert_eq!(Told::of(&object("t-1", 2, &status)).standing, Standing::UnderWay);
    }

    #[test]
    fn a_reason_that_is_not_known_is_told_as_it_is() {
        let mut status = written(Course::Progressing, Reason::TaskRunning, Some(40));
        status["conditions"][0]["reason"] = json!("OfALaterVersion");
        let told = Told::of(&object("t-1", 1, &status));
        let expected = Told {
            uid: "t-1".into(),
            created: Some("2026-01-05T01:00:00Z".parse().unwrap()),
            completed: None,
            standing: Standing::UnderWay,
            phase: Some(Phase::Pending.as_str().into()),
            percent: Some(40),
            cause: Some(Cause { reason: "OfALaterVersion".into(), message: "what happened".into() }),
        };
        assert_eq!(told, expected);
    }

    #[test]
    fn a_text_cannot_steer_the_terminal() {
        let mut status = written(Course::Failed, Reason::TaskFailed, None);
        status["conditions"][0]["message"] = json!("gone\u{1b}[2J\r\nforged: line");
        let told = Told::of(&object("t-1", 1, &status));
        assert_eq!(told.cause.unwrap().message, "gone [2J  forged: line");
    }

    proptest! {
        #[test]
        fn a_status_of_any_shape_is_read(percent in any::<i64>(), generation in any::<i64>(), word in ".{0,9}") {
            let status = json!({
                "observedGeneration": generation, "process": percent, "phase": word,
                "conditions": [word, {"type": word, "status": percent}, {"type": "Ready", "status": "True"}],
            });
            let told = Told::of(&object("t-1", 1, &status));
            prop_assert!(!told.standing.is_end(), "a condition without a reason is none: {:?}", told);
        }
    }
}
