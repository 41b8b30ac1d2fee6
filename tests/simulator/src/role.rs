//! A role that whoever holds a trusted token may take on, without any key.

use serde::{Deserialize, Serialize};

/// What `AssumeRoleWithOIDC` knows of one role.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Role {
    /// Its name, such as `trn:iam::2100000001:role/imagetask-operator`.
    pub trn: String,
    /// The one token that it trusts; a cluster's issuer is beyond this simulator.
    pub oidc_token: String,
    /// The account that its sessions belong to.
    pub account: String,
    /// The longest session it grants, in seconds; the cloud knows 900 to 43,200, tests cannot wait that long.
    #[serde(default = "hour")]
    pub max_session_seconds: u32,
}

impl Role {
    /// A role that trusts `oidc_token` and grants sessions of an hour.
    pub fn new(trn: &str, oidc_token: &str, account: &str) -> Self {
        let [trn, oidc_token, account] = [trn, oidc_token, account].map(str::to_owned);
        Self { trn, oidc_token, account, max_session_seconds: hour() }
    }

    /// Makes its sessions end after so many seconds, whatever is asked for.
    pub fn max_session_seconds(mut self, seconds: u32) -> Self {
        self.max_session_seconds = seconds;
        self
    }
}

fn hour() -> u32 {
    3_600
}
