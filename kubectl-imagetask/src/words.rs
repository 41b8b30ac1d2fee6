//! What is said of an ImageTask while it is waited for: a line for each change, or a row under a bar.

use std::time::Duration;

use imagetask_operator::clock::Now;
use imagetask_operator::reason::Reason;
use k8s_openapi::jiff::Timestamp;

use crate::exit::Exit;
use crate::span::span;
use crate::told::{Standing, Told};
use crate::verdict::Outlook;
use crate::watched::{Task, Watched};

/// One line that tells where an ImageTask stands.
pub fn line(name: &str, task: &Task, now: Now) -> String {
    let told = &task.told;
    let elapsed = span(elapsed(told, now.wall.shown()));
    let percent = |before: &str| told.percent.map(|percent| format!("{before}{percent}%")).unwrap_or_default();
    let state = state(task);
    match told.standing {
        _ if task.deleted => format!("{name}: deleted while it was waited for"),
        Standing::Unseen => format!("{name}: {UNSEEN}"),
        Standing::UnderWay => {
            let left = left(task, now).map(|left| format!(", {left}")).unwrap_or_default();
            let trouble = trouble(told).map(|trouble| format!("; {trouble}")).unwrap_or_default();
            format!("{name}: {state}{}, {elapsed}{left}{trouble}", percent(" "))
        }
        Standing::Suspended => format!("{name}: Suspended{}; {}", percent(" at "), resume(name)),
        Standing::Succeeded => format!("{name}: {state} after {elapsed}"),
        Standing::Failed | Standing::Stuck => {
            format!("{name}: {state}{} after {elapsed}: {}", percent(" at "), cause(told))
        }
    }
}

/// What stands beside the bar of an ImageTask.
pub fn row(name: &str, task: &Task, now: Now) -> String {
    let told = &task.told;
    let percent = told.percent.map(|percent| format!("{percent}%")).unwrap_or_default();
    let elapsed = span(elapsed(told, now.wall.shown()));
    let rest = match told.standing {
        _ if task.deleted => "while it was waited for".to_owned(),
        Standing::Unseen => UNSEEN.to_owned(),
        Standing::UnderWay => trouble(told).or_else(|| left(task, now)).unwrap_or_default(),
        Standing::Suspended => resume(name),
        Standing::Succeeded => String::new(),
        Standing::Failed | Standing::Stuck => cause(told),
    };
    format!("{percent:>4}  {:<9} {elapsed:>7}  {rest}", state(task)).trim_end().to_owned()
}

/// How many have got how far: `1 of 3 succeeded, 1 failed`.
pub fn summary(watched: &Watched) -> String {
    let count = |is: &dyn Fn(&Task) -> bool| watched.tasks().filter(|(_, task)| is(task)).count();
    let standing = |standing| move |task: &Task| !task.deleted && task.told.standing == standing;
    let all = watched.tasks().count();
    let rest = [
        (count(&standing(Standing::Failed)), "failed"),
        (count(&standing(Standing::Stuck)), "stuck"),
        (count(&|task| task.deleted), "deleted"),
        (count(&standing(Standing::Suspended)), "suspended"),
    ];
    let rest = rest.iter().filter(|(count, _)| *count > 0).map(|(count, word)| format!(", {count} {word}"));
    format!("{} of {all} succeeded{}", count(&standing(Standing::Succeeded)), rest.collect::<String>())
}

/// The last word: how the waiting ended.
pub fn last(watched: &Watched, exit: Exit, timeout: Option<Duration>) -> String {
    let summary = summary(watched);
    let bad = watched.tasks().find(|(_, task)| task.outlook() == Outlook::Bad && !task.deleted);
    let why = bad.map(|(name, _)| format!("; `kubectl imagetask why {name}` tells more")).unwrap_or_default();
    match exit {
        Exit::Success | Exit::Failed | Exit::Unusable => format!("{summary}{why}"),
        Exit::Timeout => format!("not over after {}: {summary}{why}", span(timeout.unwrap_or_default())),
        Exit::Interrupted => format!("interrupted: {summary}; the operator follows them on"),
    }
}

/// The word for where it stands: the column `STATUS` where there is one.
pub fn state(task: &Task) -> &str {
    match task.told.standing {
        _ if task.deleted => "Deleted",
        Standing::Unseen => "Unseen",
        Standing::Suspended => "Suspended",
        Standing::UnderWay | Standing::Succeeded | Standing::Failed | Standing::Stuck => {
            task.told.phase.as_deref().unwrap_or(task.told.standing.word())
        }
    }
}

/// From the creation of the ImageTask to its end, or to now.
pub fn elapsed(told: &Told, now: Timestamp) -> Duration {
    let end = told.completed.unwrap_or(now);
    // The two clocks may differ by more than has passed.
    told.created.and_then(|created| end.duration_since(created).try_into().ok()).unwrap_or_default()
}

const UNSEEN: &str = "the operator has not looked at it yet";

fn resume(name: &str) -> String {
    format!("`kubectl imagetask resume {name}` goes on")
}

fn left(task: &Task, now: Now) -> Option<String> {
    task.pace.left(now.mono).map(|left| match left.as_secs() {
        0 => "due now".to_owned(),
        _ => format!("about {} left", span(left)),
    })
}

/// What is out of the ordinary on the way.
fn trouble(told: &Told) -> Option<String> {
    let ordinary = [Reason::TaskPending, Reason::TaskRunning].map(Reason::as_str);
    let out_of_it = told.cause.as_ref().is_some_and(|cause| !ordinary.contains(&cause.reason.as_str()));
    out_of_it.then(|| cause(told))
}

fn cause(told: &Told) -> String {
    told.cause.as_ref().map(|cause| format!("{}: {}", cause.reason, cause.message)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples::{at, object, running, written};
    use imagetask_operator::api::ImageTaskView;
    use imagetask_operator::api::conditions::Course;
    use imagetask_operator::clock::Wall;
    use kube::runtime::watcher::Event;
    use serde_json::json;

    fn now(seconds: i64) -> Now {
        let created: Timestamp = "2026-01-05T01:00:00Z".parse().unwrap();
        let mono = Duration::from_secs(seconds.try_into().unwrap());
        Now { mono, wall: Wall::Local(Timestamp::from_second(created.as_second() + seconds).unwrap()) }
    }

    fn watched(objects: &[ImageTaskView]) -> Watched {
        Watched::new(objects, Duration::ZERO)
    }

    fn of(object: &ImageTaskView) -> [String; 2] {
        let watched = watched(std::slice::from_ref(object));
        let task = watched.task("t-1").unwrap();
        [line("t-1", task, now(90)), row("t-1", task, now(90))]
    }

    #[test]
    fn each_standing_has_a_line_and_a_row() {
        let mut ended = at("t-1", Course::Succeeded);
        let mut status = written(Course::Succeeded, Reason::TaskSucceeded, Some(100));
        status["completionTime"] = json!("2026-01-05T01:00:25Z");
        ended.status = object("t-1", 1, &status).status;
        let throttled = written(Course::Progressing, Reason::Throttled, Some(40));
        let table = [
            (
                object("t-1", 1, &json!({"observedGeneration": -1})),
                "t-1: the operator has not looked at it yet",
                "      Unseen      1m30s  the operator has not looked at it yet",
            ),
            (running("t-1", 40), "t-1: Pending 40%, 1m30s", " 40%  Pending     1m30s"),
            (
                object("t-1", 1, &throttled),
                "t-1: Pending 40%, 1m30s; Throttled: what happened",
                " 40%  Pending     1m30s  Throttled: what happened",
            ),
            (
                at("t-1", Course::Suspended),
                "t-1: Suspended at 60%; `kubectl imagetask resume t-1` goes on",
                " 60%  Suspended   1m30s  `kubectl imagetask resume t-1` goes on",
            ),
            (ended, "t-1: Succeeded after 25s", "100%  Succeeded     25s"),
            (
                at("t-1", Course::Failed),
                "t-1: Failed at 60% after 1m30s: TaskFailed: what happened",
                " 60%  Failed      1m30s  TaskFailed: what happened",
            ),
            (
                at("t-1", Course::Stuck),
                "t-1: Error at 60% after 1m30s: TaskFailed: what happened",
                " 60%  Error       1m30s  TaskFailed: what happened",
            ),
        ];
        for (object, line, row) in table {
            assert_eq!(of(&object), [line, row]);
        }
    }

    #[test]
    fn a_pace_tells_what_is_left() {
        let mut watched = watched(&[running("t-1", 10)]);
        watched.apply(&Event::Apply(running("t-1", 20)), Duration::from_secs(60));
        let task = watched.task("t-1").unwrap();
        assert_eq!(line("t-1", task, now(60)), "t-1: Pending 20%, 1m00s, about 8m00s left");
        assert_eq!(row("t-1", task, now(60)), " 20%  Pending     1m00s  about 8m00s left");
        watched.apply(&Event::Apply(running("t-1", 99)), Duration::from_secs(60));
        assert_eq!(row("t-1", watched.task("t-1").unwrap(), now(80)), " 99%  Pending     1m20s  due now");
    }

    #[test]
    fn a_clock_that_is_behind_counts_from_nothing() {
        let told = Told::of(&running("t-1", 10));
        let early = "2026-01-05T00:00:00Z".parse().unwrap();
        assert_eq!(elapsed(&told, early), Duration::ZERO);
    }

    #[test]
    fn a_summary_counts_everything_that_is_not_simply_on_its_way() {
        let courses = [Course::Succeeded, Course::Failed, Course::Stuck, Course::Suspended];
        let mut objects: Vec<_> = courses.iter().zip('a'..).map(|(&it, name)| at(&name.to_string(), it)).collect();
        objects.extend([running("gone", 10), running("on", 10)]);
        let mut watched = watched(&objects);
        watched.apply(&Event::Delete(running("gone", 10)), Duration::ZERO);
        assert_eq!(summary(&watched), "1 of 6 succeeded, 1 failed, 1 stuck, 1 deleted, 1 suspended");
        let ends = [Exit::Failed, Exit::Timeout, Exit::Interrupted];
        let counted = summary(&watched);
        let told = [
            format!("{counted}; `kubectl imagetask why b` tells more"),
            format!("not over after 2h00m: {counted}; `kubectl imagetask why b` tells more"),
            format!("interrupted: {counted}; the operator follows them on"),
        ];
        assert_eq!(ends.map(|exit| last(&watched, exit, Some(Duration::from_secs(7200)))), told);
        let task = watched.task("gone").unwrap();
        assert_eq!(line("gone", task, now(9)), "gone: deleted while it was waited for");
    }
}
