//! A call as the cloud remembers it.

use std::collections::BTreeMap;

use serde::Serialize;

/// One call, whoever made it and however it ended.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Call {
    /// Milliseconds since the simulator started.
    pub at_ms: u64,
    /// The access key it claimed, valid or not; empty for a call without one.
    pub access_key: String,
    /// The region of its credential scope.
    pub region: String,
    /// `Action`.
    pub action: String,
    /// `TaskIds.N`, in order of N.
    pub task_ids: Vec<String>,
    /// `ResourceIds.N` in order of N, then the legacy `ResourceId`.
    pub resource_ids: Vec<String>,
    /// `MaxResults` as sent.
    pub max_results: Option<String>,
    /// Whether it came with a `NextToken`.
    pub next_token: bool,
    /// `OK`, the error code, or the fault's name; none while unanswered.
    pub outcome: Option<String>,
}

/// How often a key called, and how that ended.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct KeyCount {
    /// All calls.
    pub calls: u64,
    /// Answered calls by outcome.
    pub outcomes: BTreeMap<String, u64>,
}

/// The counts of everything since the start or the last forgetting.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// All calls.
    pub calls: u64,
    /// By access key.
    pub keys: BTreeMap<String, KeyCount>,
}
