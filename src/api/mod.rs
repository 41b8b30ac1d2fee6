//! The `ImageTask` resource as users see it: these types generate the CRD, and their field docs are `kubectl explain`.
#![expect(clippy::duplicated_attributes, reason = "the derives of kube take keys that repeat")]

pub mod conditions;
mod crd;
mod unknown;
mod view;

pub use crd::{crd, manifest};
pub use unknown::{FieldName, Noticed, SpecRevision};
pub use view::{ImageTaskView, Lenient, SpecView, StatusView};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Annotation that asks for one extra look; any new value does.
pub const RECONCILE_REQUESTED_AT: &str = "imagetasks.ecs.volcengine.com/reconcile-requested-at";

/// Longest value of [`RECONCILE_REQUESTED_AT`] that is heeded, in characters; longer ones are ignored.
pub const MAX_RECONCILE_REQUEST: usize = 128;

/// Which task to follow, and how.
#[derive(CustomResource, KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[kube(
    group = "ecs.volcengine.com",
    version = "v1alpha1",
    kind = "ImageTask",
    plural = "imagetasks",
    shortname = "imgtask",
    category = "volcengine",
    namespaced,
    status = "ImageTaskStatus",
    derive = "PartialEq",
    doc = "Follows one asynchronous image task (export, copy, import, create, preheat) of Volcengine ECS until it is over. It only reads the cloud: deleting it touches nothing there.",
    selectable = ".status.phase",
    printcolumn(name = "TYPE", type_ = "string", json_path = ".status.type"),
    printcolumn(name = "STATUS", type_ = "string", json_path = ".status.phase"),
    printcolumn(name = "PROCESS", type_ = "integer", json_path = ".status.process"),
    printcolumn(name = "AGE", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(name = "TASK", type_ = "string", json_path = ".status.taskId", priority = 1),
    printcolumn(name = "RESOURCE", type_ = "string", json_path = ".status.resourceId", priority = 1),
    printcolumn(
        name = "REASON",
        type_ = "string",
        json_path = r#".status.conditions[?(@.type=="Ready")].reason"#,
        priority = 1
    ),
    printcolumn(
        name = "MESSAGE",
        type_ = "string",
        json_path = r#".status.conditions[?(@.type=="Ready")].message"#,
        priority = 1
    )
)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = ("has(self.taskId) != has(self.resourceId)", "exactly one of taskId and resourceId must be set"),
    validation = ("has(self.type) == has(self.resourceId)", "type is required with resourceId and not allowed without it"),
    validation = (
        "has(self.taskId) == has(oldSelf.taskId) && (!has(self.taskId) || self.taskId == oldSelf.taskId)",
        "taskId is immutable: create a new ImageTask"
    ),
    validation = (
        "has(self.resourceId) == has(oldSelf.resourceId) && (!has(self.resourceId) || self.resourceId == oldSelf.resourceId)",
        "resourceId is immutable: create a new ImageTask"
    ),
    validation = (
        "has(self.type) == has(oldSelf.type) && (!has(self.type) || self.type == oldSelf.type)",
        "type is immutable: create a new ImageTask"
    ),
    validation = (
        "has(self.region) == has(oldSelf.region) && (!has(self.region) || self.region == oldSelf.region)",
        "region is immutable: create a new ImageTask"
    ),
    validation = ("!has(self.startedAfter) || has(self.resourceId)", "startedAfter is not allowed without resourceId"),
    validation = (
        "has(self.startedAfter) == has(oldSelf.startedAfter) && (!has(self.startedAfter) || self.startedAfter == oldSelf.startedAfter)",
        "startedAfter is immutable: create a new ImageTask"
    )
)]
pub struct ImageTaskSpec {
    /// Id of the task to follow, as ExportImage returned it. Exactly one of taskId and resourceId must be set. Immutable.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 128), regex(pattern = r"^[A-Za-z0-9][A-Za-z0-9_-]{0,127}$"))]
    pub task_id: Option<String>,

    /// Id of the image whose task is followed, for tasks whose id nobody was told (CopyImage, ImportImage, CreateImage). The first look that finds tasks of the given type picks the newest and writes its id to status.taskId; only that one counts from then on. See startedAfter for tasks that have ended. Immutable.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 128), regex(pattern = r"^[A-Za-z0-9][A-Za-z0-9_-]{0,127}$"))]
    pub resource_id: Option<String>,

    /// Type of the task to look for on the image: ExportImage, CopyImage, ImportImage, CreateImage, PreheatImage or a later word of the API. Required with resourceId, not allowed without. Immutable.
    #[serde(default, rename = "type", skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64), regex(pattern = r"^[A-Za-z][A-Za-z0-9]{0,63}$"))]
    pub type_: Option<String>,

    /// Only with resourceId: tasks created before this moment are not picked; later ones are, whether they have ended or not. Take the time before the call that starts the task, such as 2026-01-31T09:00:00Z. Without it a task that had ended before this ImageTask was created is picked only if its type is CopyImage, ImportImage or CreateImage. Immutable.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(
        length(max = 64),
        regex(
            pattern = r"^[0-9]{4}(-[0-9]{2}){2}T[0-9]{2}(:[0-9]{2}){2}([.][0-9]{1,9})?(Z|[+-]([01][0-9]|2[0-3]):[0-5][0-9])$"
        )
    )]
    pub started_after: Option<Time>,

    /// Region in which the task is looked for, such as cn-beijing; absent means the operator's default region at the first look. A copy is looked for in its destination region. Immutable.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 32), regex(pattern = r"^[a-z0-9-]{1,32}$"))]
    pub region: Option<String>,

    /// Secret in the same namespace whose keys are used to ask the cloud; absent means the operator's own credentials, if the administrator lent them to this namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credentials_ref: Option<CredentialsRef>,

    /// While true the task is not polled and timeout does not fire; nothing else changes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub suspend: Option<bool>,

    /// Time after the creation of this ImageTask at which it counts as failed, such as 90m or 1h30m, not zero. Only a timeout makes an end certain. Has no effect after the end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 32), regex(pattern = r"^([0-9]+[hms])+$"))]
    #[x_kube(validation = ("self.matches('[1-9]')", "timeout must not be zero"))]
    pub timeout: Option<String>,
}

/// Names a Secret in the namespace of the ImageTask.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, Default, PartialEq, Eq)]
pub struct CredentialsRef {
    /// Name of the Secret, with keys VOLCENGINE_ACCESS_KEY, VOLCENGINE_SECRET_KEY and optionally VOLCENGINE_SESSION_TOKEN.
    #[schemars(length(max = 253), regex(pattern = r"^[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?$"))]
    pub name: String,
}

/// What is known of the task. Written by the operator only.
#[derive(Serialize, Deserialize, KubeSchema, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct ImageTaskStatus {
    /// Generation of the spec that this status speaks of; -1 means not yet seen by the operator.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,

    /// One word for tools: Pending, Running, Succeeded, Failed (over without success) or Error (following the task is stuck; the task itself may be fine).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phase: Option<Phase>,

    /// Progress of the task in percent, as the cloud reports it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 100))]
    pub process: Option<i32>,

    /// Status of the task, verbatim from the cloud: Pending, Running, Succeeded, Failed, UnknownStatus, or a word that does not exist yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub status: Option<String>,

    /// Id of the task that is followed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 128))]
    pub task_id: Option<String>,

    /// Type of the task, verbatim from the cloud.
    #[serde(default, rename = "type", skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub type_: Option<String>,

    /// Id of the image that the task works on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 128))]
    pub resource_id: Option<String>,

    /// When the task was created, verbatim from the cloud.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub created_at: Option<String>,

    /// When the task last changed, verbatim from the cloud.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub updated_at: Option<String>,

    /// When the task ended, verbatim from the cloud.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub end_at: Option<String>,

    /// Region in which the task is looked for, fixed at the first look.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 32))]
    pub region: Option<String>,

    /// Number of the newest revision of the spec whose fields this ImageTask uses, if that is not the first. An operator that does not know it leaves the task alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 2, max = 256))]
    pub spec_revision: Option<i32>,

    /// When the operator saw the end; set once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub completion_time: Option<Time>,

    /// Last value of the annotation imagetasks.ecs.volcengine.com/reconcile-requested-at that was answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 128))]
    pub last_handled_reconcile_at: Option<String>,

    /// Ready (True: the task succeeded), Finished (True: it is over, whatever the result), and while True only: Reconciling (it is being followed) or Stalled (it failed, or following it is stuck).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    pub conditions: Vec<Condition>,
}

/// One word for tools: Pending, Running, Succeeded, Failed (over without success) or Error (following the task is stuck; the task itself may be fine).
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Phase {
    /// Not started, or not yet looked at.
    Pending,
    /// Under way.
    Running,
    /// Over, with success.
    Succeeded,
    /// Over, without success.
    Failed,
    /// Following it is stuck.
    Error,
}

impl Phase {
    /// Every phase, in the order of a task's life.
    pub const ALL: [Self; 5] = [Self::Pending, Self::Running, Self::Succeeded, Self::Failed, Self::Error];

    /// The word in the status.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "Pending",
            Self::Running => "Running",
            Self::Succeeded => "Succeeded",
            Self::Failed => "Failed",
            Self::Error => "Error",
        }
    }

    /// Whether the task is over for good.
    pub fn is_end(self) -> bool {
        match self {
            Self::Succeeded | Self::Failed => true,
            Self::Pending | Self::Running | Self::Error => false,
        }
    }
}
