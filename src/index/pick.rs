//! Which task of an answer about an image an ImageTask follows.

use std::cmp::Ordering;
use std::time::Duration;

use crate::clock::Second;
use crate::ecs::{Task, TaskId, TaskProgress, Word};
use crate::spec::Newest;

/// What an answer holds for one ImageTask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pick<'a> {
    /// The task that it follows.
    Task(&'a Task),
    /// No task that it may follow.
    Absent {
        /// One of the type that it looks for is there, but is of before.
        passed_over: bool,
    },
    /// Nothing: it follows a task already, and an answer about the image need not hold that one.
    Unsaid,
}

/// How far the cloud's clock and the API server's may be apart.
const SLACK: Duration = Duration::from_secs(5);

/// What an answer that holds `tasks` of the image says to an ImageTask that was `created` then: once a task was
/// `reported` only its id counts; before that the newest of the type does, of those that are not of before.
pub(super) fn pick<'a>(
    newest: &Newest,
    created: Second,
    reported: Option<&TaskId>,
    tasks: impl Iterator<Item = &'a Task>,
) -> Pick<'a> {
    if let Some(id) = reported {
        let mut tasks = tasks;
        return tasks.find(|task| task.id == *id).map_or(Pick::Unsaid, Pick::Task);
    }
    let of_type = tasks.filter(|task| task.word(Word::Type).is_some_and(|word| word == *newest.type_));
    let (mut picked, mut passed_over) = (None, false);
    for task in of_type {
        match is_of_before(task, newest, created) {
            true => passed_over = true,
            false => picked = [picked, Some(task)].into_iter().flatten().max_by(|a, b| newer(a, b)),
        }
    }
    picked.map_or(Pick::Absent { passed_over }, Pick::Task)
}

/// Whether a task is not meant because something else was asked for when it began or ended. What is in doubt is of
/// before: a success of long ago must open no gate.
fn is_of_before(task: &Task, newest: &Newest, created: Second) -> bool {
    match newest.started_after {
        Some(since) => task.created().map(Second::of).is_none_or(|at| at.saturating_add(SLACK) < since),
        // The image is what it has made: there is no other task that could be meant.
        None if matches!(&*newest.type_, "CopyImage" | "ImportImage" | "CreateImage") => false,
        None => earliest_end(task).is_some_and(|end| end < created.saturating_add(SLACK)),
    }
}

/// The earliest moment at which a task can have ended; `None` while it may still go on.
///
/// `EndAt` tells it, unless that is earlier than `CreatedAt`, as the zero of a clock is: then all that is known is that
/// the task did not end before it was created. `UpdatedAt` tells nothing: it may move long after the end.
fn earliest_end(task: &Task) -> Option<Second> {
    let end = task.ended().filter(|end| task.created().is_none_or(|created| created <= *end)).map(Second::of);
    match task.progress() {
        TaskProgress::Pending | TaskProgress::Running => None,
        TaskProgress::Unknown => end,
        TaskProgress::Succeeded | TaskProgress::Failed => {
            Some(end.or_else(|| task.created().map(Second::of)).unwrap_or(Second::FIRST))
        }
    }
}

/// By `CreatedAt`, unreadable ones last; of the same moment the greater id is the newer.
fn newer(a: &Task, b: &Task) -> Ordering {
    a.created().cmp(&b.created()).then_with(|| a.id.cmp(&b.id))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::tests::{World, secs, task};
    use super::*;
    use crate::ecs::{ResourceId, Words};

    /// When the ImageTask of these tests was created.
    const CREATED: &str = "2026-01-31T09:00:00Z";

    fn wanted(type_: &str, started_after: Option<&str>) -> Newest {
        Newest {
            resource: ResourceId::parse("image-1").unwrap(),
            type_: type_.into(),
            started_after: started_after.map(|time| time.parse().unwrap()),
        }
    }

    fn running<'a>(created_at: &'a str) -> Words<'a> {
        Words { type_: Some("ExportImage"), status: Some("Running"), created_at: Some(created_at), ..Words::default() }
    }

    fn succeeded<'a>(created_at: &'a str, ended_at: &'a str) -> Words<'a> {
        Words { status: Some("Succeeded"), ended_at: Some(ended_at), ..running(created_at) }
    }

    /// The id that is picked of these tasks, or why none is.
    fn picked(newest: &Newest, reported: Option<&str>, tasks: &[Task]) -> String {
        let reported = reported.map(|id| TaskId::parse(id).unwrap());
        match pick(newest, CREATED.parse().unwrap(), reported.as_ref(), tasks.iter()) {
            Pick::Task(task) => task.id.to_string(),
            Pick::Absent { passed_over: true } => "passed over".into(),
            Pick::Absent { passed_over: false } => "absent".into(),
            Pick::Unsaid => "unsaid".into(),
        }
    }

    fn picked_alone(newest: &Newest, words: Words<'_>) -> bool {
        match picked(newest, None, &[task("t-1", words)]).as_str() {
            "t-1" => true,
            "passed over" => false,
            other => panic!("{other}"),
        }
    }

    #[test]
    fn once_a_task_is_reported_only_its_id_counts() {
        let export = wanted("ExportImage", None);
        let copy = Words { type_: Some("CopyImage"), ..succeeded("2020-01-01T00:00:00Z", "2020-01-01T00:01:00Z") };
        let tasks = [task("t-1", copy), task("t-5", copy), task("t-9", running("2026-01-31T09:00:01Z"))];
        assert_eq!(picked(&export, Some("t-5"), &tasks), "t-5");
        assert_eq!(picked(&export, Some("t-7"), &tasks), "unsaid");
        assert_eq!(picked(&export, None, &tasks), "t-9");
        assert_eq!(picked(&wanted("ImportImage", None), None, &tasks), "absent");
    }

    #[test]
    fn the_newest_is_picked_whatever_zone_it_tells_and_an_unreadable_time_comes_last() {
        let export = wanted("ExportImage", None);
        let of = |times: &[&str]| {
            let tasks: Vec<_> = (0..).zip(times).map(|(n, time)| task(&format!("t-{n}"), running(time))).collect();
            picked(&export, None, &tasks)
        };
        assert_eq!(of(&["2026-01-31T10:00:00Z", "2026-01-31T17:59:59", "2026-01-31 17:59:58"]), "t-0");
        assert_eq!(of(&["2026-01-31T10:00:00Z", "2026-01-31T18:00:01", "2026-01-31 18:00:02"]), "t-2");
        assert_eq!(of(&["2020-01-01T00:00:00Z", "soon", ""]), "t-0");
        assert_eq!(of(&["2026-01-31T10:00:00Z", "2026-01-31 18:00:00", "2026-01-31T09:00:00Z"]), "t-1");
        assert_eq!(of(&["soon", "", "later"]), "t-2");
    }

    #[test]
    fn what_had_ended_before_the_image_task_was_created_is_passed_over_unless_it_made_the_image() {
        let old = succeeded("2026-01-31T08:00:00Z", "2026-01-31T08:30:00Z");
        for type_ in ["ExportImage", "PreheatImage", "LaterImage", "copyImage"] {
            for status in ["Succeeded", "Failed"] {
                let words = Words { type_: Some(type_), status: Some(status), ..old };
                assert!(!picked_alone(&wanted(type_, None), words), "{type_} {status}");
            }
        }
        for type_ in ["CopyImage", "ImportImage", "CreateImage"] {
            assert!(picked_alone(&wanted(type_, None), Words { type_: Some(type_), ..old }), "{type_}");
        }
        let export = wanted("ExportImage", None);
        let tasks = [task("t-1", old), task("t-0", running("2026-01-31T08:10:00Z"))];
        assert_eq!(picked(&export, None, &tasks), "t-0");
    }

    #[test]
    fn an_end_counts_from_the_earliest_moment_that_it_can_have_had() {
        let export = wanted("ExportImage", None);
        let ended = |created_at, ended_at| succeeded(created_at, ended_at);
        // The clocks may be 5 s apart.
        assert!(!picked_alone(&export, ended("2026-01-31T08:00:00Z", "2026-01-31T09:00:04Z")));
        assert!(picked_alone(&export, ended("2026-01-31T08:00:00Z", "2026-01-31T09:00:05Z")));
        assert!(!picked_alone(&export, ended("2026-01-31T16:00:00", "2026-01-31 17:00:04")));
        assert!(picked_alone(&export, ended("2026-01-31T16:00:00", "2026-01-31 17:00:05")));
        // Without a time of its end: not before it was created, however late it was updated.
        for no_end in ["", "soon", "0001-01-01T00:00:00Z"] {
            let updated = Words { updated_at: Some("2026-01-31T10:00:00Z"), ..ended("2026-01-31T08:59:00Z", no_end) };
            assert!(!picked_alone(&export, updated), "{no_end:?}");
            assert!(picked_alone(&export, ended("2026-01-31T09:00:05Z", no_end)), "{no_end:?}");
            assert!(!picked_alone(&export, ended("soon", no_end)), "{no_end:?}");
        }
        assert!(picked_alone(&export, ended("soon", "2026-01-31T09:00:05Z")));
    }

    #[test]
    fn what_still_goes_on_is_picked_however_old_it_is() {
        let export = wanted("ExportImage", None);
        for status in ["Pending", "Running", "UnknownStatus", "Defragmenting"] {
            for ended_at in ["", "0001-01-01T00:00:00Z"] {
                let words = Words { status: Some(status), ..succeeded("2026-01-31T08:00:00Z", ended_at) };
                assert!(picked_alone(&export, words), "{status} {ended_at:?}");
            }
        }
        // A word that is not known yet, beside an end.
        let old = succeeded("2026-01-31T08:00:00Z", "2026-01-31T08:30:00Z");
        assert!(!picked_alone(&export, Words { status: Some("Cancelled"), ..old }));
        assert!(picked_alone(&export, Words { status: Some("Running"), ..old }));
    }

    #[test]
    fn what_began_after_the_moment_that_the_user_names_is_picked_and_nothing_else() {
        for type_ in ["ExportImage", "CopyImage", "LaterImage"] {
            let since = wanted(type_, Some("2026-01-31T08:00:00Z"));
            let of_type = |words| Words { type_: Some(type_), ..words };
            let ended = |created_at| picked_alone(&since, of_type(succeeded(created_at, "2026-01-31T08:30:00Z")));
            let goes_on = |created_at| picked_alone(&since, of_type(running(created_at)));
            for (created_at, picked) in [
                ("2026-01-31T07:59:55Z", true),
                ("2026-01-31T15:59:55.001", true),
                ("2026-01-31T07:59:54.999Z", false),
                ("2026-01-31 15:59:54", false),
                ("soon", false),
                ("", false),
            ] {
                assert_eq!((ended(created_at), goes_on(created_at)), (picked, picked), "{type_} {created_at:?}");
            }
        }
    }
    /// A task of the image of these tests as the cloud tells it.
    fn of_image(id: &str, words: Words<'_>) -> Task {
        task(id, Words { resource_id: Some("image-1"), ..words })
    }

    #[test]
    fn a_task_id_that_a_former_leader_writes_late_is_the_one_that_is_followed() {
        let old = succeeded("2020-01-01T00:00:00Z", "2020-01-01T00:01:00Z");
        let copy = Words { type_: Some("CopyImage"), ..old };
        for holds in [true, false] {
            let mut world = World::new();
            let spec = json!({"resourceId": "image-1", "type": "ExportImage"});
            world.store("export", spec.clone(), Value::Null);
            world.store("export", spec, json!({"observedGeneration": 1, "taskId": "t-5", "status": "Running"}));
            world.of_images = vec![of_image("t-1", copy), of_image("t-7", running("2023-11-14T22:13:30Z"))];
            if holds {
                world.of_images.push(of_image("t-5", running("2023-11-14T22:13:20Z")));
            } else {
                // The answer about the image does not hold it, the answer about its id does.
                world.tasks.insert("t-5".into(), "Running");
            }
            world.run(secs(30));
            assert_eq!(world.told("export"), ["TaskRunning"], "{holds}");
            assert_eq!((world.objects["export"]["status"]["taskId"].as_str(), world.asked("t-7")), (Some("t-5"), 0));
        }
    }

    #[test]
    fn an_old_success_opens_no_gate_and_the_task_that_comes_does() {
        let mut world = World::new();
        let message = |world: &World| world.objects["export"]["status"]["conditions"][0]["message"].to_string();
        world.of_images = vec![of_image("t-old", succeeded("2023-11-14T20:00:00Z", "2023-11-14T22:13:00Z"))];
        world.store("export", json!({"resourceId": "image-1", "type": "ExportImage"}), Value::Null);
        world.run(secs(130));
        assert_eq!((world.told("export"), world.phase("export")), (vec!["TaskNotFound", "TaskNotFound"], "Error"));
        assert!(message(&world).contains("had ended before") && message(&world).contains("spec.startedAfter"));
        world.of_images.push(of_image("t-new", succeeded("2023-11-14T22:13:40Z", "2023-11-14T22:15:40Z")));
        world.run(secs(310));
        assert_eq!((world.told("export").last(), world.phase("export")), (Some(&"TaskSucceeded"), "Succeeded"));
        assert_eq!(world.objects["export"]["status"]["taskId"], "t-new");
    }

    #[test]
    fn a_moment_that_the_user_names_says_which_tasks_are_meant() {
        let mut world = World::new();
        world.of_images = vec![of_image("t-old", succeeded("2023-11-14T20:00:00Z", "2023-11-14T22:13:00Z"))];
        for (name, since) in [("meant", "2023-11-14T19:59:00Z"), ("other", "2023-11-15T04:01:00+08:00")] {
            let spec = json!({"resourceId": "image-1", "type": "ExportImage", "startedAfter": since});
            world.store(name, spec, Value::Null);
        }
        world.run(secs(15));
        assert_eq!((world.told("meant"), world.told("other")), (vec!["TaskSucceeded"], vec!["TaskNotFound"]));
        let message = world.objects["other"]["status"]["conditions"][0]["message"].to_string();
        assert!(message.contains("created before spec.startedAfter"), "{message}");
    }
}
