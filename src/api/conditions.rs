//! The conditions contract: four conditions that move together, told by one course, one reason and one message.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};

use super::view::ConditionView;
use super::{Lenient, Phase};
use crate::clock::Second;
use crate::message::Message;
use crate::reason::Reason;

/// Where an ImageTask stands: all its conditions at once.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Standing {
    /// Which conditions are there, and with which status.
    pub course: Course,
    /// Their reason.
    pub reason: Reason,
    /// Their message.
    pub message: Message,
    /// Since when `Ready` has its status.
    pub ready_since: Second,
    /// Since when `Reconciling` or `Stalled` is there; without either, as `ready_since`.
    pub course_since: Second,
    /// Since when `Finished` has its status.
    pub finished_since: Second,
}

/// The five combinations of conditions that the status table knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Course {
    /// On the way: `Ready=False`, `Reconciling=True`, `Finished=False`.
    Progressing,
    /// Following is stuck: `Ready=False`, `Stalled=True`, `Finished=False`.
    Stuck,
    /// Paused by the user: `Ready=Unknown`, `Finished=False`.
    Suspended,
    /// Over, with success: `Ready=True`, `Finished=True`.
    Succeeded,
    /// Over, without success: `Ready=False`, `Stalled=True`, `Finished=True`.
    Failed,
}

impl Course {
    /// Every course.
    pub const ALL: [Self; 5] = [Self::Progressing, Self::Stuck, Self::Suspended, Self::Succeeded, Self::Failed];

    /// The phase that goes with the course, for a task that was last seen in `last`.
    pub fn phase(self, last: Phase) -> Phase {
        match self {
            Self::Progressing | Self::Suspended => last,
            Self::Stuck => Phase::Error,
            Self::Succeeded => Phase::Succeeded,
            Self::Failed => Phase::Failed,
        }
    }

    /// Whether the task is over for good.
    pub fn is_end(self) -> bool {
        self.finished() == "True"
    }

    fn ready(self) -> &'static str {
        match self {
            Self::Succeeded => "True",
            Self::Progressing | Self::Stuck | Self::Failed => "False",
            Self::Suspended => "Unknown",
        }
    }

    fn finished(self) -> &'static str {
        match self {
            Self::Succeeded | Self::Failed => "True",
            Self::Progressing | Self::Stuck | Self::Suspended => "False",
        }
    }

    /// The condition that is there only while True.
    fn abnormal(self) -> Option<&'static str> {
        match self {
            Self::Progressing => Some("Reconciling"),
            Self::Stuck | Self::Failed => Some("Stalled"),
            Self::Suspended | Self::Succeeded => None,
        }
    }
}

impl Standing {
    /// The standing that follows `before` at `now`: a transition time moves only when its condition's status flips.
    pub fn next(before: Option<&Self>, course: Course, reason: Reason, message: Message, now: Second) -> Self {
        let since = |word: fn(Course) -> Option<&'static str>, then: fn(&Self) -> Second| match before {
            Some(before) if word(before.course) == word(course) => then(before),
            Some(_) | None => now,
        };
        let ready_since = since(|course| Some(course.ready()), |it| it.ready_since);
        let course_since = match course.abnormal() {
            Some(_) => since(Course::abnormal, |it| it.course_since),
            None => ready_since,
        };
        let finished_since = since(|course| Some(course.finished()), |it| it.finished_since);
        Self { course, reason, message, ready_since, course_since, finished_since }
    }

    /// The conditions, in the order in which they are listed.
    pub fn conditions(&self, generation: i64) -> Vec<Condition> {
        let condition = |type_: &str, status: &str, since: Second| Condition {
            type_: type_.into(),
            status: status.into(),
            reason: self.reason.as_str().into(),
            message: self.message.to_string(),
            last_transition_time: Time(since.timestamp()),
            observed_generation: Some(generation),
        };
        let ready = condition("Ready", self.course.ready(), self.ready_since);
        let abnormal = self.course.abnormal().map(|type_| condition(type_, "True", self.course_since));
        let finished = condition("Finished", self.course.finished(), self.finished_since);
        [Some(ready), abnormal, Some(finished)].into_iter().flatten().collect()
    }

    /// Reads stored conditions, with the least generation among them; `None` unless they are a set that the operator
    /// may have written.
    pub fn parse(stored: &[Lenient<ConditionView>]) -> (Option<Self>, Option<i64>) {
        let generations = stored.iter().map(|it| it.valid().and_then(|it| it.observed_generation.valid().copied()));
        let least = generations.map(|generation| generation.unwrap_or(-1)).min();
        let standing = Shown::of(stored).and_then(|Shown { course, ready, abnormal, finished }| {
            Some(Self {
                course,
                reason: Reason::parse(ready.reason.valid()?)?,
                message: ready.message.valid()?.as_ref().into(),
                ready_since: time(ready)?,
                course_since: time(abnormal.unwrap_or(ready))?,
                finished_since: time(finished)?,
            })
        });
        (standing, least)
    }
}

/// The course of stored conditions whose reason is none of ours: a later version has told it.
pub fn course_of_later_version(stored: &[Lenient<ConditionView>]) -> Option<Course> {
    let Shown { course, ready, .. } = Shown::of(stored)?;
    let reason = ready.reason.valid().filter(|reason| !reason.is_empty())?;
    Reason::parse(reason).is_none().then_some(course)
}

/// Stored conditions whose statuses are a combination of the table.
struct Shown<'a> {
    course: Course,
    ready: &'a ConditionView,
    abnormal: Option<&'a ConditionView>,
    finished: &'a ConditionView,
}

impl<'a> Shown<'a> {
    fn of(stored: &'a [Lenient<ConditionView>]) -> Option<Self> {
        let find = |type_: &str| {
            let mut conditions = stored.iter().filter_map(Lenient::valid);
            conditions.find(|condition| condition.type_.valid().is_some_and(|found| **found == *type_))
        };
        let (ready, finished) = find("Ready").zip(find("Finished"))?;
        let abnormal = find("Reconciling").or_else(|| find("Stalled"));
        let course = Course::ALL.into_iter().find(|course| {
            is(&ready.status, course.ready())
                && is(&finished.status, course.finished())
                && abnormal.and_then(|it| it.type_.valid()).map(AsRef::as_ref) == course.abnormal()
        })?;
        Some(Self { course, ready, abnormal, finished })
    }
}

fn is(stored: &Lenient<Box<str>>, word: &str) -> bool {
    stored.valid().is_some_and(|found| **found == *word)
}

fn time(condition: &ConditionView) -> Option<Second> {
    condition.last_transition_time.valid()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Second {
        Second::of(k8s_openapi::jiff::Timestamp::from_second(seconds).unwrap())
    }

    fn standing(course: Course) -> Standing {
        Standing {
            course,
            reason: Reason::TaskRunning,
            message: "m".into(),
            ready_since: at(1),
            course_since: at(2),
            finished_since: at(3),
        }
    }

    #[test]
    fn every_course_shows_the_conditions_of_the_table() {
        let shown = Course::ALL.map(|course| {
            let conditions = standing(course).conditions(4);
            let words = conditions.iter().map(|it| format!("{}={}", it.type_, it.status));
            words.collect::<Vec<_>>().join(" ")
        });
        let table = [
            "Ready=False Reconciling=True Finished=False",
            "Ready=False Stalled=True Finished=False",
            "Ready=Unknown Finished=False",
            "Ready=True Finished=True",
            "Ready=False Stalled=True Finished=True",
        ];
        assert_eq!(shown, table);
    }

    #[test]
    fn what_is_written_is_read_back() {
        for course in Course::ALL {
            let written =
                Standing { course_since: at(if course.abnormal().is_some() { 2 } else { 1 }), ..standing(course) };
            let stored = serde_json::to_value(written.conditions(4)).unwrap();
            let stored: Vec<Lenient<ConditionView>> = serde_json::from_value(stored).unwrap();
            assert_eq!(Standing::parse(&stored), (Some(written), Some(4)));
        }
    }

    #[test]
    fn a_transition_time_moves_only_when_its_status_flips() {
        let next = |before: Course, course: Course| {
            let next = Standing::next(Some(&standing(before)), course, Reason::TaskRunning, "m".into(), at(9));
            [next.ready_since, next.course_since, next.finished_since].map(|it| it.timestamp().as_second())
        };
        assert_eq!(next(Course::Progressing, Course::Progressing), [1, 2, 3]);
        assert_eq!(next(Course::Progressing, Course::Stuck), [1, 9, 3]);
        assert_eq!(next(Course::Stuck, Course::Failed), [1, 2, 9]);
        assert_eq!(next(Course::Progressing, Course::Succeeded), [9, 9, 9]);
        assert_eq!(next(Course::Progressing, Course::Suspended), [9, 9, 3]);
    }

    #[test]
    fn conditions_that_contradict_each_other_are_nobodys() {
        let mut conditions = standing(Course::Succeeded).conditions(4);
        conditions[1].status = "False".into();
        let stored: Vec<Lenient<ConditionView>> =
            serde_json::from_value(serde_json::to_value(conditions).unwrap()).unwrap();
        assert_eq!(Standing::parse(&stored), (None, Some(4)));
    }
}
