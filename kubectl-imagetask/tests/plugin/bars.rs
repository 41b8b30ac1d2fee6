//! What is to be seen on a terminal.

use serde_json::json;
use simulator::Task;

use crate::it::world::{ControlPlane, PATIENCE, World};
use crate::program::{PROGRAM, environment, still, words};
use crate::terminal::Terminal;

async fn terminal(world: &World, arguments: &str, rows: u16) -> Terminal {
    let command = pty_process::Command::new(PROGRAM).args(words(world, arguments)).env_clear();
    Terminal::start(command.envs(environment(ControlPlane::shared().await)), rows, 100)
}

/// The lines that are to be seen, without what time alone changes.
fn lines(screen: &str) -> Vec<String> {
    screen.lines().map(still).collect()
}

/// A bar of so many full columns.
fn bar(full: usize) -> String {
    format!("{}{}", "█".repeat(full), "░".repeat(24 - full))
}

#[tokio::test]
async fn bars_grow_until_all_have_succeeded() {
    let world = World::new().await;
    world.cloud.put(Task::export("t-1", "image-1").running(25));
    world.cloud.put(Task::export("t-long-name", "image-2").pending());
    let _operator = world.operator().await;
    world.follow("t-1").await;
    world.follow("t-long-name").await;
    world.until_reason("t-1", "TaskRunning").await;
    world.until_reason("t-long-name", "TaskPending").await;

    let mut terminal = terminal(&world, "wait --all", 24).await;
    let shown = terminal.until(PATIENCE, "bars", |screen| screen.contains("succeeded")).await;
    let first = format!("t-1 {} 25% Running _", bar(6));
    let second = format!("t-long-name {} 0% Pending _", bar(0));
    assert_eq!(lines(&shown), [&first, &second, "0 of 2 succeeded"], "{shown}");

    world.cloud.change("t-1", &json!({"Process": 30}));
    let shown = terminal.until(PATIENCE, "an estimate", |screen| screen.contains("left")).await;
    assert_eq!(lines(&shown)[0], format!("t-1 {} 30% Running _ about _ left", bar(7)), "{shown}");

    world.cloud.put(Task::export("t-1", "image-1").succeeded());
    world.cloud.put(Task::export("t-long-name", "image-2").succeeded());
    let (code, shown) = terminal.end(PATIENCE).await;
    let first = format!("t-1 {} 100% Succeeded _", bar(24));
    let second = format!("t-long-name {} 100% Succeeded _", bar(24));
    assert_eq!((code, lines(&shown)), (0, vec![first, second, "2 of 2 succeeded".to_owned()]), "{shown}");
}

#[tokio::test]
async fn a_failure_ends_the_bars_at_once_and_is_told_in_full_below_them() {
    let world = World::new().await;
    world.cloud.put(Task::export("t-1", "image-1").running(25));
    world.cloud.put(Task::export("t-2", "image-2").running(60));
    let _operator = world.operator().await;
    world.follow("t-1").await;
    world.follow("t-2").await;
    world.until_reason("t-1", "TaskRunning").await;
    world.until_reason("t-2", "TaskRunning").await;

    let mut terminal = terminal(&world, "wait t-1 t-2", 24).await;
    terminal.until(PATIENCE, "bars", |screen| screen.contains("succeeded")).await;
    world.cloud.change("t-2", &json!({"Status": "Failed"}));
    let (code, shown) = terminal.end(PATIENCE).await;
    let found = lines(&shown);
    assert_eq!(code, 1);
    assert_eq!(found[0], format!("t-1 {} 25% Running _", bar(6)), "{shown}");
    assert!(found[1].starts_with(&format!("t-2 {} 60% Failed _ TaskFailed: the task failed", bar(14))), "{shown}");
    assert!(found[2].starts_with("t-2: Failed at 60% after _: TaskFailed: the task failed"), "{shown}");
    let last = "0 of 2 succeeded, 1 failed; `kubectl imagetask why t-2` tells more";
    assert_eq!(found.last().map(String::as_str), Some(last), "{shown}");
}

#[tokio::test]
async fn on_a_small_terminal_those_that_are_not_over_are_shown() {
    let world = World::new().await;
    for n in 0..9 {
        let task = Task::export(&format!("t-{n}"), "image-1");
        world.cloud.put(if n < 5 { task.succeeded() } else { task.running(10 * n) });
    }
    let _operator = world.operator().await;
    for n in 0..9 {
        world.follow(&format!("t-{n}")).await;
    }
    for n in 0..9 {
        world.until_reason(&format!("t-{n}"), if n < 5 { "TaskSucceeded" } else { "TaskRunning" }).await;
    }
    let mut terminal = terminal(&world, "wait --all", 7).await;
    let shown = terminal.until(PATIENCE, "bars", |screen| screen.contains("not shown")).await;
    let names: Vec<String> =
        lines(&shown).iter().filter_map(|line| line.split(' ').next().map(str::to_owned)).collect();
    assert_eq!(names, ["t-0", "t-5", "t-6", "t-7", "t-8", "5"], "{shown}");
    assert!(shown.contains("5 of 9 succeeded, 4 not shown"), "{shown}");
    terminal.press("\u{3}").await;
    let (code, shown) = terminal.end(PATIENCE).await;
    assert_eq!(code, 130);
    assert!(shown.contains("interrupted: 5 of 9 succeeded; the operator follows them on"), "{shown}");
}
