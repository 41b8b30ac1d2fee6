//! The reasons of the status table (contract §1), one word each.

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

    /// What the user does next, as a sentence without its full stop.
    pub fn next_step(self) -> &'static str {
        match self {
            Self::TaskPending => "wait: the cloud has not begun yet",
            Self::TaskRunning => "wait: the cloud is at it",
            Self::TaskStatusUnknown => "wait; if it lasts, look at the task in the console",
            Self::TaskSucceeded => "use the image",
            Self::TaskFailed => {
                "look at the task and its image in the console, start it again, and follow the new task with a new \
                 ImageTask"
            }
            Self::TaskNotFound => {
                "check the id, the region and the account; none of them can be changed: create it anew"
            }
            Self::TaskLost => "look in the console whether the task is still there; if not, delete the ImageTask",
            Self::CredentialsNotFound => {
                "create the Secret that credentialsRef names, in the namespace of the ImageTask"
            }
            Self::CredentialsForbidden => "let the operator's service account get that Secret",
            Self::CredentialsInvalid => "put valid keys into the Secret, then `kubectl imagetask refresh`",
            Self::AccessDenied => "allow ecs:DescribeTasks to the owner of the keys, then `kubectl imagetask refresh`",
            Self::RequestRejected => "look up the cloud's code; mostly an id or the region is wrong: create it anew",
            Self::Throttled => "wait: it heals by itself; if it lasts, something else uses up the account's rate",
            Self::CloudUnavailable => {
                "wait: it heals by itself; if it lasts, look at the operator's way to the cloud: network, proxy, \
                 --endpoint"
            }
            Self::Suspended => "`kubectl imagetask resume` has it polled again",
            Self::DeadlineExceeded => {
                "look at the task in the console; to follow it further, create an ImageTask with a longer timeout"
            }
            Self::PolicyDenied => {
                "name a Secret in credentialsRef, or ask the administrator to lend the operator's own keys to this \
                 namespace"
            }
            Self::RegionUnknown => "create it anew with spec.region, or ask the administrator to set --region",
            Self::InvalidSpec => "delete it and create it anew",
        }
    }

    /// The reason that a condition's word names, if it is one of ours.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.as_str() == word)
    }
}
