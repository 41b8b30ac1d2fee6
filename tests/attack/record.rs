//! What happened in a run, as the world saw it: the statements are about nothing else. Every moment is true time.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::Value;

use crate::cloud::Asked;
use crate::scenario::Name;

/// What is said of a call on a connection that had died unnoticed.
pub(crate) const DEAD: &str = "a dead connection";

/// A question that was put to the cloud.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub(crate) process: usize,
    pub(crate) begun: Duration,
    pub(crate) asked: Asked,
    /// When each of its pages was served.
    pub(crate) pages: Vec<Duration>,
    /// What the cloud said; nothing yet where it is under way at the end.
    pub(crate) said: String,
    /// Whether it told of tasks, and all of them.
    pub(crate) answered: bool,
    pub(crate) was_refused: bool,
}

/// A status that was stored.
#[derive(Clone, Debug)]
pub(crate) struct Told {
    pub(crate) at: Duration,
    pub(crate) process: usize,
    pub(crate) object: usize,
    pub(crate) reason: String,
    pub(crate) phase: String,
    pub(crate) stalled: bool,
    pub(crate) status: Value,
}

/// A time in which a process led and ran.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tenure {
    pub(crate) process: usize,
    pub(crate) from: Duration,
    pub(crate) to: Duration,
}

/// A status that was sent to be stored.
#[derive(Clone, Debug)]
pub(crate) struct Sent {
    pub(crate) at: Duration,
    pub(crate) process: usize,
    pub(crate) object: usize,
    /// Until when its process might write then, where there is an election.
    pub(crate) term: Option<Duration>,
}

/// Everything that happened.
#[derive(Default)]
pub(crate) struct Record {
    pub(crate) calls: Vec<Call>,
    pub(crate) told: Vec<Told>,
    pub(crate) tenures: Vec<Tenure>,
    /// When the machine of a leader was paused from outside, and for how long.
    pub(crate) pauses: Vec<(Duration, Duration)>,
    /// When each process heard the API server's time, and whether it was right.
    pub(crate) dates: Vec<(Duration, usize, bool)>,
    pub(crate) sent: Vec<Sent>,
    /// When a process first saw an object: by process and object.
    pub(crate) arrivals: BTreeMap<(usize, usize), Duration>,
    pub(crate) created: BTreeMap<usize, Duration>,
    pub(crate) deleted: BTreeMap<usize, Duration>,
    /// From when to when each object was suspended.
    pub(crate) suspended: BTreeMap<usize, Vec<(Duration, Duration)>>,
    /// When which Secret was read.
    pub(crate) reads: Vec<(Duration, Name)>,
    /// When each process was started.
    pub(crate) starts: Vec<Duration>,
    /// What befell the world, in words.
    pub(crate) log: Vec<(Duration, String)>,
}

impl Told {
    pub(crate) fn new(at: Duration, process: usize, object: usize, status: &Value) -> Self {
        let conditions = status["conditions"].as_array().cloned().unwrap_or_default();
        let condition = |type_: &str| conditions.iter().find(|it| it["type"] == type_);
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        Self {
            at,
            process,
            object,
            reason: condition("Ready").map(|ready| text(&ready["reason"])).unwrap_or_default(),
            phase: text(&status["phase"]),
            stalled: condition("Stalled").is_some(),
            status: status.clone(),
        }
    }

    pub(crate) fn is_end(&self) -> bool {
        matches!(self.phase.as_str(), "Succeeded" | "Failed")
    }
}

impl Record {
    pub(crate) fn note(&mut self, at: Duration, what: String) {
        self.log.push((at, what));
    }
}
