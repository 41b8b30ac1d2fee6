//! The reasons that a status tells, one word each; docs/reasons.md says what each means.

/// Why an ImageTask stands where it stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "each is a row of the status table; `message` says what it means")]
pub enum Reason {
    TaskPending,
    TaskRunning,
    TaskStatusUnknown,
    TaskSucceeded,
    TaskFailed,
    TaskNotFound,
    TaskLost,
    CredentialsNotFound,
    CredentialsForbidden,
    CredentialsInvalid,
    AccessDenied,
    RequestRejected,
    Throttled,
    CloudUnavailable,
    Suspended,
    DeadlineExceeded,
    PolicyDenied,
    RegionUnknown,
    InvalidSpec,
}

impl Reason {
    /// Every reason, in the order of the table.
    pub const ALL: [Self; 19] = [
        Self::TaskPending,
        Self::TaskRunning,
        Self::TaskStatusUnknown,
        Self::TaskSucceeded,
        Self::TaskFailed,
        Self::TaskNotFound,
        Self::TaskLost,
        Self::CredentialsNotFound,
        Self::CredentialsForbidden,
        Self::CredentialsInvalid,
        Self::AccessDenied,
        Self::RequestRejected,
        Self::Throttled,
        Self::CloudUnavailable,
        Self::Suspended,
        Self::DeadlineExceeded,
        Self::PolicyDenied,
        Self::RegionUnknown,
        Self::InvalidSpec,
    ];

    /// The word in a condition.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::TaskPending => "TaskPending",
            Self::TaskRunning => "TaskRunning",
            Self::TaskStatusUnknown => "TaskStatusUnknown",
            Self::TaskSucceeded => "TaskSucceeded",
            Self::TaskFailed => "TaskFailed",
            Self::TaskNotFound => "TaskNotFound",
            Self::TaskLost => "TaskLost",
            Self::CredentialsNotFound => "CredentialsNotFound",
            Self::CredentialsForbidden => "CredentialsForbidden",
            Self::CredentialsInvalid => "CredentialsInvalid",
            Self::AccessDenied => "AccessDenied",
            Self::RequestRejected => "RequestRejected",
            Self::Throttled => "Throttled",
            Self::CloudUnavailable => "CloudUnavailable",
            Self::Suspended => "Suspended",
            Self::DeadlineExceeded => "DeadlineExceeded",
            Self::PolicyDenied => "PolicyDenied",
            Self::RegionUnknown => "RegionUnknown",
            Self::InvalidSpec => "InvalidSpec",
        }
    }

    /// The reason that a condition's word names, if it is one of ours.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.as_str() == word)
    }
}
