//! What the messages of the conditions say.

pub(super) const TOO_LATE: &str =
    "the timeout passed before the task ended: look at the task in the console, or raise the timeout";
pub(super) const LATE_AND_MISSING: &str = "the timeout passed, and the cloud does not know the task: check its id, its region and \
    the account in the console";
pub(super) const LATE_AND_REFUSED: &str = "the timeout passed, and the cloud refuses to tell whether the task ended: look at the \
    task in the console";
pub(super) const POLICY_DENIED: &str = "this namespace may not use the operator's own credentials: name a Secret in \
    credentialsRef, or ask the administrator to add the namespace to --default-credentials-namespaces";
pub(super) const REGION_UNKNOWN: &str = "no region is named: create the ImageTask anew with spec.region, or ask the administrator \
    to set --region";
pub(super) const SUSPENDED: &str = "not polled while spec.suspend is true";
pub(super) const STATUS_UNKNOWN: &str = "the task reports a status that is not known: it is followed on";
pub(super) const TASK_FAILED: &str =
    "the task failed: the cloud tells no reason, look at the task and its image in the console";
pub(super) const TASK_NOT_FOUND: &str = "the cloud does not know this task: check its id, its region and the account; it is \
    looked for on";
pub(super) const NO_TASK_OF_TYPE: &str = "the cloud knows no task of this type for this image: check the image id, the type, the \
    region and the account; it is looked for on";
pub(super) const ONLY_ENDED_TASKS: &str = "an older task of this type had ended before this ImageTask was created, and no other is \
    there: polling continues; to pick one that has ended, create the ImageTask anew and set spec.startedAfter to a time \
    before the call that started it";
pub(super) const ONLY_OLDER_TASKS: &str = "the tasks of this type for this image were created before spec.startedAfter, or at a time \
    that cannot be read: polling continues; if one of them is meant, create the ImageTask anew with an earlier time";
pub(super) const TASK_LOST: &str = "the task was seen before and is now missing: it may have been deleted, or its record has \
    expired; it is looked for on";
