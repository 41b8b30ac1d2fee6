//! An access key that the cloud knows, and the account it belongs to.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// One access key. Several keys may name the same account and then see the same tasks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Account {
    /// The access key id, sent in clear.
    pub access_key: String,
    /// The secret that signatures are made with.
    pub secret_key: String,
    /// The STS token that must accompany a temporary key; a permanent key has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session_token: Option<String>,
    /// Whether the session token has run out.
    #[serde(default)]
    pub expired: bool,
    /// When it runs out: for keys of a session that STS opened.
    #[serde(skip)]
    pub(crate) expires: Option<Timestamp>,
    /// The account the key belongs to; without it the key is an account of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

impl Account {
    /// A permanent key that is an account of its own.
    pub fn new(access_key: &str, secret_key: &str) -> Self {
        Self {
            access_key: access_key.to_owned(),
            secret_key: secret_key.to_owned(),
            session_token: None,
            expired: false,
            expires: None,
            name: None,
        }
    }

    /// Makes the key a temporary one that is valid with `token` only.
    pub fn session_token(mut self, token: &str) -> Self {
        self.session_token = Some(token.to_owned());
        self
    }

    /// Makes the key's session one that has run out.
    pub fn expired(mut self) -> Self {
        self.expired = true;
        self
    }

    /// Makes the key belong to the account called `name`.
    pub fn of_account(mut self, name: &str) -> Self {
        self.name = Some(name.to_owned());
        self
    }

    pub(crate) fn expires(mut self, at: Timestamp) -> Self {
        self.expires = Some(at);
        self
    }

    pub(crate) fn is_expired(&self, now: Timestamp) -> bool {
        self.expired || self.expires.is_some_and(|at| at <= now)
    }

    pub(crate) fn owner(&self) -> &str {
        self.name.as_deref().unwrap_or(&self.access_key)
    }
}
