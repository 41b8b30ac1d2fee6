//! The ImageTasks that are waited for, kept up to date by what the watch tells: in whatever order, twice, or only by a
//! new list after a gap.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use imagetask_operator::api::ImageTaskView;
use kube::runtime::watcher::Event;

use crate::pace::Pace;
use crate::told::{Standing, Told};
use crate::verdict::Outlook;

/// The ImageTasks that are waited for, by name.
#[derive(Clone, Debug)]
pub struct Watched {
    tasks: BTreeMap<String, Task>,
    /// Names that the list that is being read has not brought yet.
    missing: BTreeSet<String>,
}

/// One ImageTask that is waited for.
#[derive(Clone, Debug)]
pub struct Task {
    /// What it said last.
    pub told: Told,
    /// Whether it was deleted before its end.
    pub deleted: bool,
    /// How fast it goes.
    pub pace: Pace,
}

impl Watched {
    /// Waits for these objects, and no others.
    pub fn new(objects: &[ImageTaskView], now: Duration) -> Self {
        let task = |object: &ImageTaskView| {
            let mut task = Task { told: Told::of(object), deleted: false, pace: Pace::default() };
            task.keep_pace(now);
            (object.metadata.name.clone().unwrap_or_default(), task)
        };
        Self { tasks: objects.iter().map(task).collect(), missing: BTreeSet::new() }
    }

    /// Takes in an event; the names of those that now tell something else.
    pub fn apply(&mut self, event: &Event<ImageTaskView>, now: Duration) -> Vec<String> {
        match event {
            Event::Init => self.missing = self.tasks.keys().cloned().collect(),
            Event::InitApply(object) | Event::Apply(object) => return self.arrives(object, now),
            Event::InitDone => {
                let missing = std::mem::take(&mut self.missing);
                return missing.into_iter().filter(|name| self.leaves(name, None)).collect();
            }
            Event::Delete(object) => {
                let name = object.metadata.name.clone().unwrap_or_default();
                if self.leaves(&name, object.metadata.uid.as_deref()) {
                    return vec![name];
                }
            }
        }
        Vec::new()
    }

    /// Each with its name, in order.
    pub fn tasks(&self) -> impl Iterator<Item = (&str, &Task)> {
        self.tasks.iter().map(|(name, task)| (name.as_str(), task))
    }

    /// One of them.
    pub fn task(&self, name: &str) -> Option<&Task> {
        self.tasks.get(name)
    }

    fn arrives(&mut self, object: &ImageTaskView, now: Duration) -> Vec<String> {
        let name = object.metadata.name.clone().unwrap_or_default();
        self.missing.remove(&name);
        let told = Told::of(object);
        let Some(task) = self.tasks.get_mut(&name).filter(|task| !task.is_settled()) else { return Vec::new() };
        // Another object under the same name: the one that is waited for is no more.
        if task.told.uid != told.uid {
            task.deleted = true;
            return vec![name];
        }
        let news = task.told != told;
        task.told = told;
        task.keep_pace(now);
        if news { vec![name] } else { Vec::new() }
    }

    /// Notes that an object is gone; whether that is news.
    fn leaves(&mut self, name: &str, uid: Option<&str>) -> bool {
        let Some(task) = self.tasks.get_mut(name).filter(|task| !task.is_settled()) else { return false };
        let is_it = uid.is_none_or(|uid| uid == task.told.uid);
        task.deleted |= is_it;
        is_it
    }
}

impl Task {
    /// What it means for whoever waits.
    pub fn outlook(&self) -> Outlook {
        match self.told.standing {
            _ if self.deleted => Outlook::Bad,
            Standing::Succeeded => Outlook::Good,
            Standing::Failed | Standing::Stuck => Outlook::Bad,
            Standing::Unseen | Standing::UnderWay | Standing::Suspended => Outlook::Open,
        }
    }

    /// Nothing that comes later changes an end, not even that the object is deleted.
    fn is_settled(&self) -> bool {
        self.deleted || self.told.standing.is_end()
    }

    fn keep_pace(&mut self, now: Duration) {
        if let (Standing::UnderWay, Some(percent)) = (self.told.standing, self.told.percent) {
            self.pace.sees(percent, now);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples::{at, running};
    use imagetask_operator::api::conditions::Course;
    use proptest::prelude::*;

    fn second(mut object: ImageTaskView) -> ImageTaskView {
        object.metadata.uid = Some("another".into());
        object
    }

    const NOW: Duration = Duration::ZERO;

    fn watched() -> Watched {
        Watched::new(&[running("a", 10), running("b", 10)], NOW)
    }

    fn outlooks(watched: &Watched) -> Vec<Outlook> {
        watched.tasks().map(|(_, task)| task.outlook()).collect()
    }

    #[test]
    fn only_news_is_news() {
        let mut watched = watched();
        assert_eq!(watched.apply(&Event::Apply(running("a", 10)), NOW), Vec::<String>::new());
        assert_eq!(watched.apply(&Event::Apply(running("a", 20)), NOW), ["a"]);
        assert_eq!(watched.apply(&Event::Apply(running("stranger", 20)), NOW), Vec::<String>::new());
        assert_eq!(watched.task("a").unwrap().told.percent, Some(20));
    }

    #[test]
    fn a_deleted_one_is_told_once_and_is_bad() {
        let mut watched = watched();
        assert_eq!(watched.apply(&Event::Delete(running("a", 10)), NOW), ["a"]);
        assert_eq!(watched.apply(&Event::Delete(running("a", 10)), NOW), Vec::<String>::new());
        assert_eq!(outlooks(&watched), [Outlook::Bad, Outlook::Open]);
    }

    #[test]
    fn what_a_new_list_lacks_was_deleted_in_the_gap() {
        let mut watched = watched();
        let list = [Event::Init, Event::InitApply(running("b", 10)), Event::InitDone];
        let news: Vec<_> = list.iter().flat_map(|event| watched.apply(event, NOW)).collect();
        assert_eq!((news, outlooks(&watched)), (vec!["a".to_owned()], vec![Outlook::Bad, Outlook::Open]));
    }

    #[test]
    fn one_that_was_created_anew_is_not_the_one_that_is_waited_for() {
        let mut watched = watched();
        assert_eq!(watched.apply(&Event::Apply(second(at("a", Course::Succeeded))), NOW), ["a"]);
        assert_eq!(outlooks(&watched), [Outlook::Bad, Outlook::Open]);
        let mut watched = self::watched();
        watched.apply(&Event::Delete(second(running("a", 10))), NOW);
        assert_eq!(outlooks(&watched), [Outlook::Open, Outlook::Open]);
    }

    #[test]
    fn an_end_stays_even_when_the_object_is_cleaned_up() {
        let mut watched = watched();
        watched.apply(&Event::Apply(at("a", Course::Succeeded)), NOW);
        assert_eq!(watched.apply(&Event::Delete(at("a", Course::Succeeded)), NOW), Vec::<String>::new());
        assert_eq!(outlooks(&watched), [Outlook::Good, Outlook::Open]);
    }

    #[test]
    fn one_that_is_stuck_may_heal() {
        let mut watched = watched();
        watched.apply(&Event::Apply(at("a", Course::Stuck)), NOW);
        assert_eq!(outlooks(&watched), [Outlook::Bad, Outlook::Open]);
        watched.apply(&Event::Apply(running("a", 20)), NOW);
        assert_eq!(outlooks(&watched), [Outlook::Open, Outlook::Open]);
    }

    fn any_event() -> impl Strategy<Value = Event<ImageTaskView>> {
        let name = prop_oneof![Just("a"), Just("b"), Just("stranger")];
        let object = (name, 0_u8..=100, 0..7_usize, any::<bool>()).prop_map(|(name, percent, course, anew)| {
            let object = Course::ALL.get(course).map_or_else(|| running(name, percent), |&course| at(name, course));
            if anew { second(object) } else { object }
        });
        prop_oneof![
            Just(Event::Init),
            Just(Event::InitDone),
            object.clone().prop_map(Event::InitApply),
            object.clone().prop_map(Event::Apply),
            object.prop_map(Event::Delete),
        ]
    }

    proptest! {
        #[test]
        fn whatever_the_watch_tells_the_same_are_waited_for_and_what_is_settled_stays(
            events in prop::collection::vec(any_event(), 0..40),
        ) {
            let mut watched = watched();
            for event in &events {
                let before: Vec<_> = watched.tasks().map(|(_, task)| (task.is_settled(), task.outlook())).collect();
                let news = watched.apply(event, NOW);
                let after: Vec<_> = watched.tasks().map(|(_, task)| (task.is_settled(), task.outlook())).collect();
                prop_assert_eq!(before.len(), after.len());
                for ((was_settled, was), (_, is)) in before.iter().zip(&after) {
                    prop_assert!(!was_settled || was == is);
                }
                prop_assert!(news.iter().all(|name| watched.task(name).is_some()));
                prop_assert!(before == after || !news.is_empty(), "a change of outlook is told");
            }
        }

        #[test]
        fn a_repeated_event_is_no_news(event in any_event()) {
            let mut watched = watched();
            watched.apply(&event, NOW);
            let settled = matches!(event, Event::Init | Event::InitDone);
            prop_assert!(settled || watched.apply(&event, NOW).is_empty());
        }
    }
}
