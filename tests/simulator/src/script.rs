//! A script: everything that can be told to the simulator, in one JSON document.

use serde::{Deserialize, Serialize};

use crate::{Account, Fault, Role, Task};

/// What to add to the cloud. The binary's `--script` file and `POST /control/script` take it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Script {
    /// Access keys to know.
    pub accounts: Vec<Account>,
    /// Roles that tokens may take on.
    pub roles: Vec<Role>,
    /// Tasks to show.
    pub tasks: Vec<Task>,
    /// Faults to order, oldest first.
    pub faults: Vec<Fault>,
    /// The settings to hold from now on; absent leaves them as they are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub settings: Option<Settings>,
}

/// What holds for the cloud as a whole.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// Calls that one account may make in any second; the rest get `FlowLimitExceeded`.
    pub calls_per_second: Option<u32>,
    /// How far the cloud's clock is ahead of the real one.
    pub clock_skew_seconds: i64,
}
