//! One source of credentials: a Secret, or the operator itself; what is known of it, and when it is read next.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use arcstr::ArcStr;

use super::key::EntryKey;
use super::read_schedule::ReadSchedule;
use crate::credentials::{Credentials, CredentialsError, Fingerprint};
use crate::observation::{Failure, FailureKind};

/// A good Secret is read again after this.
pub(super) const REFRESH: Duration = Duration::from_secs(300);

/// Trouble of the API server with a Secret that is shorter than this is not told: it mostly heals by itself.
pub(super) const UNREADABLE_GRACE: Duration = Duration::from_secs(60);

/// The operator's own credentials.
#[derive(Clone, Debug)]
pub enum Own {
    /// Keys, which stay as they are.
    Keys(Arc<Credentials>),
    /// A role, whose sessions are renewed.
    Role,
}

/// Whose calls a lane makes: every session of the operator's role is the same, and no other keys are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Identity {
    Keys(Fingerprint),
    Role,
}

/// Namespace and name of a Secret.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SecretName {
    /// The namespace of the ImageTasks that name it.
    pub namespace: ArcStr,
    /// Its name.
    pub name: ArcStr,
}

/// What reading a Secret brought instead of credentials.
#[derive(Debug)]
pub enum SecretFault {
    /// Nothing: the API server did not answer, so nothing is known of the Secret.
    Unreadable,
    /// No credentials.
    Unusable(Unusable),
}

/// Why a Secret gives no credentials.
#[derive(Debug)]
pub enum Unusable {
    /// There is no such Secret.
    NotFound,
    /// The operator may not read it.
    Forbidden,
    /// The API server has not given it for a while.
    Unreadable,
    /// What is in it cannot be used.
    Malformed(CredentialsError),
}

/// One source of credentials: a Secret, or the operator itself (`secret: None`).
pub(super) struct Source {
    pub(super) secret: Option<SecretName>,
    pub(super) users: usize,
    pub(super) waiting: HashSet<EntryKey>,
    pub(super) state: State,
    pub(super) reads: ReadSchedule,
    /// Since when the API server does not give it.
    pub(super) unread_since: Option<Duration>,
    /// When the last session of the operator's role expires; none for what does not.
    pub(super) good_until: Option<Duration>,
}

/// What is known of it.
pub(super) enum State {
    Unread,
    Known(Arc<Credentials>),
    Failed(Failure),
}

impl Source {
    /// The operator itself.
    pub(super) fn own(credentials: Arc<Credentials>) -> Self {
        Self { state: State::Known(credentials), ..Self::of(None, ReadSchedule::never()) }
    }

    /// One that was never read.
    pub(super) fn of(secret: Option<SecretName>, reads: ReadSchedule) -> Self {
        Self {
            secret,
            users: 0,
            waiting: HashSet::new(),
            state: State::Unread,
            reads,
            unread_since: None,
            good_until: None,
        }
    }

    /// Whose calls are made with its credentials.
    pub(super) fn identity(&self, credentials: &Credentials) -> Identity {
        match self.good_until {
            Some(_) => Identity::Role,
            None => Identity::Keys(credentials.fingerprint()),
        }
    }

    /// Whether what is known of it was found out since a moment. The operator's own keys are never read.
    pub(super) fn is_known_since(&self, moment: Duration) -> bool {
        match (&self.state, &self.secret) {
            (State::Known(_), None) => true,
            (State::Unread | State::Failed(_), None) | (_, Some(_)) => {
                self.reads.next().is_some() && self.reads.begun().is_some_and(|last| last >= moment)
            }
        }
    }

    /// Reads it as soon as it may be read again. A session that is good is not renewed for a wish: all share it.
    pub(super) fn hurry(&mut self, now: Duration) {
        let is_good_session = self.good_until.is_some_and(|until| now < until) && self.reads.is_routine();
        if !is_good_session {
            self.reads.hurry(now);
        }
    }
}

/// Which row of the status table a fault is, and what the user can do.
pub(super) fn explain(secret: Option<&SecretName>, fault: &Unusable) -> (FailureKind, String) {
    let name = secret.map_or("", |secret| &secret.name);
    match fault {
        Unusable::NotFound => (
            FailureKind::CredentialsNotFound,
            format!("there is no Secret {name} in this namespace: create it, or correct credentialsRef"),
        ),
        Unusable::Forbidden => (
            FailureKind::CredentialsForbidden,
            format!(
                "the operator may not read the Secret {name}: allow its ServiceAccount to get it in this namespace"
            ),
        ),
        Unusable::Unreadable => (
            FailureKind::CredentialsForbidden,
            format!("the API server does not give the Secret {name}: its administrator finds the reason in its log"),
        ),
        Unusable::Malformed(error) => {
            (FailureKind::CredentialsInvalid, format!("the Secret {name} cannot be used: {error}"))
        }
    }
}
