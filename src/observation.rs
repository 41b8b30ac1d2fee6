//! What a look at the cloud tells about one task.

use std::time::Duration;

use crate::clock::Now;
use crate::ecs::Task;

/// One look at a task.
#[derive(Clone, Copy, Debug)]
pub struct Look<'a> {
    /// When the question was put.
    pub begun: Now,
    /// What came of it.
    pub seen: Observation<'a>,
}

/// What a look told about one task.
#[derive(Clone, Copy, Debug)]
pub enum Observation<'a> {
    /// Nothing was asked: time has passed, or the object has changed.
    Nothing,
    /// The task as an answer told it.
    Found {
        /// The task.
        task: &'a Task,
        /// The answer's request id.
        request_id: Option<&'a str>,
    },
    /// It is absent from a complete answer.
    Missing {
        /// Whether nothing else was asked for in that question.
        alone: bool,
        /// Whether the answer holds a task of the type that is looked for, but one of before.
        passed_over: bool,
        /// The answer's request id.
        request_id: Option<&'a str>,
    },
    /// There was no answer.
    Failed(&'a Failure),
}

impl Observation<'_> {
    /// Whether it says something of this very task; a refusal does so unless it is one of the whole account.
    pub fn is_definite(&self) -> bool {
        match self {
            Self::Found { .. } | Self::Missing { .. } => true,
            Self::Failed(failure) => match failure.kind {
                FailureKind::AccessDenied | FailureKind::Rejected => failure.of_task,
                FailureKind::CredentialsNotFound
                | FailureKind::CredentialsForbidden
                | FailureKind::CredentialsInvalid
                | FailureKind::Throttled
                | FailureKind::Unavailable => false,
            },
            Self::Nothing => false,
        }
    }
}

/// Why there was no answer.
#[derive(Clone, Debug)]
pub struct Failure {
    /// Which row of the table it is.
    pub kind: FailureKind,
    /// Whether it is the fault of this task's id, and not of the lane.
    pub of_task: bool,
    /// Since when it lasts.
    pub since: Duration,
    /// What happened and what the user can do.
    pub text: Box<str>,
    /// The cloud's error code.
    pub code: Option<Box<str>>,
    /// The request id of the look.
    pub request_id: Option<Box<str>>,
}

/// The rows of the table that tell of a missing answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "named for their reasons")]
pub enum FailureKind {
    CredentialsNotFound,
    CredentialsForbidden,
    CredentialsInvalid,
    AccessDenied,
    Rejected,
    Throttled,
    Unavailable,
}
