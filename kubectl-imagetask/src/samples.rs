//! ImageTasks for the tests of this program.

use imagetask_operator::api::ImageTaskView;
use imagetask_operator::api::conditions::{Course, Standing};
use imagetask_operator::clock::Second;
use imagetask_operator::reason::Reason;
use imagetask_operator::status::Status;
use serde_json::{Value, json};

/// An object as it comes from the API server.
pub fn object(name: &str, generation: i64, status: &Value) -> ImageTaskView {
    let metadata = json!({
        "name": name, "uid": name, "generation": generation, "creationTimestamp": "2026-01-05T01:00:00Z",
    });
    serde_json::from_value(json!({"metadata": metadata, "spec": {"taskId": name}, "status": status})).unwrap()
}

/// A status as the operator writes it.
pub fn written(course: Course, reason: Reason, percent: Option<u8>) -> Value {
    let at: Second = "2026-01-05T01:00:01Z".parse().unwrap();
    let standing = Standing {
        course,
        reason,
        message: "what happened".into(),
        ready_since: at,
        course_since: at,
        finished_since: at,
    };
    let status = Status { observed_generation: 1, standing: Some(standing), ..Status::UNSEEN };
    let mut status = serde_json::to_value(status.render()).unwrap();
    if let Some(percent) = percent {
        status["process"] = percent.into();
    }
    status
}

/// An object on the way, at a percentage.
pub fn running(name: &str, percent: u8) -> ImageTaskView {
    object(name, 1, &written(Course::Progressing, Reason::TaskRunning, Some(percent)))
}

/// An object that has got as far as `course`.
pub fn at(name: &str, course: Course) -> ImageTaskView {
    object(name, 1, &written(course, Reason::TaskFailed, Some(60)))
}
