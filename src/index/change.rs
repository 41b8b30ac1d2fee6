//! What a write of a status tells, and what became of it.

use crate::api::{ImageTaskView, Phase};
use crate::status::Status;

/// What a write tells that was not told before, the most urgent first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Change {
    /// The task is over.
    End,
    /// Phase, reason, or anything else but progress.
    State,
    /// Only `process` and `updatedAt`.
    Progress,
}

impl Change {
    /// Every change.
    pub const ALL: [Self; 3] = [Self::End, Self::State, Self::Progress];

    /// What `after` tells that `before` did not.
    pub fn between(before: &Status, after: &Status) -> Self {
        if after.is_finished() && !before.is_finished() {
            return Self::End;
        }
        let mut same = before.clone();
        if let (Some(same), Some(after)) = (&mut same.reported, &after.reported)
            && same.differs_in_progress_only(after)
        {
            same.clone_from(after);
        }
        if same == *after { Self::Progress } else { Self::State }
    }

    /// Whether `after` is to be told without delay, however often the status has changed: a first status, an end,
    /// entering or leaving Stalled, and what answers a new generation or annotation.
    pub fn is_exempt(before: &Status, after: &Status) -> bool {
        let is_stalled = |status: &Status| status.phase() == Some(Phase::Error);
        before.standing.is_none()
            || before.observed_generation != after.observed_generation
            || before.handled != after.handled
            || is_stalled(before) != is_stalled(after)
            || before.is_finished() != after.is_finished()
    }

    /// The metric label.
    pub fn label(self) -> &'static str {
        match self {
            Self::End => "end",
            Self::State => "state",
            Self::Progress => "progress",
        }
    }
}

/// What became of a write.
#[derive(Debug)]
pub enum Written {
    /// It is stored; the object as it is now.
    Stored(Box<ImageTaskView>),
    /// The object has changed since; the watch will tell.
    Conflict,
    /// The object is gone; the watch will tell.
    Gone,
    /// It was not stored; worth trying again.
    Failed,
}

impl Written {
    /// Every metric label.
    pub const LABELS: [&'static str; 4] = ["stored", "conflict", "gone", "failed"];

    /// The metric label.
    pub fn label(&self) -> &'static str {
        match self {
            Self::Stored(_) => "stored",
            Self::Conflict => "conflict",
            Self::Gone => "gone",
            Self::Failed => "failed",
        }
    }
}
