//! A task and its script: what the cloud says about it, stage after stage.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::Simulator;

// The sample task of docs 6396/120437.
const CREATED_AT: &str = "2022-05-06T00:01:00+08:00";
const ENDED_AT: &str = "2022-05-06T00:07:12+08:00";

/// A task in one account and region. Its stages lie over one another: a later one changes only
/// the fields that it names.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Task {
    /// The id it is looked up by, and the value of `Id` unless a stage sets another.
    pub id: String,
    /// The account that owns it.
    #[serde(default = "Task::default_account")]
    pub account: String,
    /// The region it is in.
    #[serde(default = "Task::default_region")]
    pub region: String,
    /// What the cloud says, in order of time; the first begins when the task is put.
    pub stages: Vec<Stage>,
}

/// A stretch of a task's life.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Stage {
    /// Milliseconds after the task was put; without it the stage waits for an explicit advance.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after_ms: Option<u64>,
    /// Fields of the answer, in the cloud's spelling and of any JSON type.
    #[serde(skip_serializing_if = "Map::is_empty")]
    pub set: Map<String, Value>,
    /// Fields that are left out of the answer from here on.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub without: Vec<String>,
    /// Whether the task is missing from every answer during this stage.
    #[serde(skip_serializing_if = "is_false")]
    pub hidden: bool,
    /// Whether `UpdatedAt` is the time of the answer during this stage.
    #[serde(skip_serializing_if = "is_false")]
    pub ticking: bool,
}

impl Task {
    /// An `ExportImage` task that is pending.
    pub fn export(id: &str, image: &str) -> Self {
        Self::of_type("ExportImage", id, image)
    }

    /// A `CopyImage` task that is pending.
    pub fn copy(id: &str, image: &str) -> Self {
        Self::of_type("CopyImage", id, image)
    }

    /// A task of any type that is pending.
    pub fn of_type(word: &str, id: &str, image: &str) -> Self {
        let task = Self {
            id: id.to_owned(),
            account: Self::default_account(),
            region: Self::default_region(),
            stages: vec![Stage::default()],
        };
        task.field("Id", json!(id))
            .field("Type", json!(word))
            .field("ResourceId", json!(image))
            .field("CreatedAt", json!(CREATED_AT))
            .field("UpdatedAt", json!(CREATED_AT))
            // Undocumented for an unfinished task; the Go SDK's zero value of the field.
            .field("EndAt", json!(""))
            .pending()
    }

    /// Puts the task into `region`.
    pub fn region(mut self, region: &str) -> Self {
        self.region = region.to_owned();
        self
    }

    /// Gives the task to the account called `name` (an access key, unless the key names another).
    pub fn account(mut self, name: &str) -> Self {
        self.account = name.to_owned();
        self
    }

    /// `Pending`, nothing done yet.
    pub fn pending(self) -> Self {
        self.status("Pending").process(json!(0))
    }

    /// `Running`, `percent` of it done.
    pub fn running(self, percent: i64) -> Self {
        self.status("Running").process(json!(percent))
    }

    /// `Succeeded`, ended as in the documentation's sample.
    pub fn succeeded(self) -> Self {
        self.status("Succeeded").process(json!(100)).ended()
    }

    /// `Failed` at whatever `Process` it had reached.
    pub fn failed(self) -> Self {
        self.status("Failed").ended()
    }

    /// Any word as `Status`.
    pub fn status(self, word: &str) -> Self {
        self.field("Status", json!(word))
    }

    /// Any JSON as `Process`.
    pub fn process(self, value: Value) -> Self {
        self.field("Process", value)
    }

    /// The time the task was created, which results are ordered by.
    pub fn created_at(self, time: &str) -> Self {
        self.field("CreatedAt", json!(time))
    }

    /// The time of the last change.
    pub fn updated_at(self, time: &str) -> Self {
        self.field("UpdatedAt", json!(time))
    }

    /// Makes `UpdatedAt` the time of each answer in this stage.
    pub fn ticking(mut self) -> Self {
        self.last_stage().ticking = true;
        self
    }

    /// Any JSON as the field `name`.
    pub fn field(mut self, name: &str, value: Value) -> Self {
        let stage = self.last_stage();
        stage.without.retain(|absent| absent != name);
        stage.set.insert(name.to_owned(), value);
        self
    }

    /// Leaves the field `name` out.
    pub fn without(mut self, name: &str) -> Self {
        let stage = self.last_stage();
        stage.set.remove(name);
        stage.without.push(name.to_owned());
        self
    }

    /// Makes the task absent from every answer in this stage.
    pub fn hidden(mut self) -> Self {
        self.last_stage().hidden = true;
        self
    }

    /// Begins a stage that starts `delay` after the task was put; what follows describes it.
    pub fn after(mut self, delay: Duration) -> Self {
        let after_ms = u64::try_from(delay.as_millis()).ok();
        self.stages.push(Stage { after_ms, ..Stage::default() });
        self
    }

    /// Begins a stage that starts with [`Cloud::advance`](crate::Cloud::advance).
    pub fn then(mut self) -> Self {
        self.stages.push(Stage::default());
        self
    }

    pub(crate) fn resource_id(&self) -> Option<&str> {
        self.stages.first()?.set.get("ResourceId")?.as_str()
    }

    fn ended(self) -> Self {
        self.updated_at(ENDED_AT).field("EndAt", json!(ENDED_AT))
    }

    fn last_stage(&mut self) -> &mut Stage {
        if self.stages.is_empty() {
            self.stages.push(Stage::default());
        }
        self.stages.last_mut().expect("a stage was just added to an empty script")
    }

    fn default_account() -> String {
        Simulator::ACCESS_KEY.to_owned()
    }

    fn default_region() -> String {
        Simulator::REGION.to_owned()
    }
}

fn is_false(flag: &bool) -> bool {
    !flag
}
