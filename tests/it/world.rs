//! The small world of a test: a namespace of one shared API server, a simulated cloud of its own, an operator.

pub(crate) mod chart;
mod controlplane;
mod operator;
pub(crate) mod record;
mod wire;

pub(crate) use controlplane::ControlPlane;
pub(crate) use operator::{Process, get, signal};
pub(crate) use record::{History, Record};
pub(crate) use wire::Wire;

use std::path::Path;
use std::pin::pin;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use futures::StreamExt;
use imagetask_operator::api::{ImageTask, ImageTaskSpec, ImageTaskStatus, Phase};
use k8s_openapi::api::core::v1::{Event, Namespace, Secret};
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams};
use kube::core::{ApiResource, DynamicObject};
use kube::runtime::wait::{Condition, await_condition};
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, Client};
use serde_json::{Value, json};
use simulator::Simulator;
use tokio::process::Command;
use tokio::sync::OnceCell;

use operator::Installed;

/// How long a test waits for a state before it fails; a loaded machine is slow, a hung one is found all the same.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// The folder of the repository; the package whose tests these are may be a member of the workspace.
pub(crate) fn repository() -> &'static Path {
    let mut folders = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors();
    folders.find(|folder| folder.join("Cargo.lock").exists()).expect("the workspace has a lock file")
}

/// A namespace and a cloud.
pub(crate) struct World {
    pub(crate) cloud: Simulator,
    pub(crate) namespace: String,
    pub(crate) client: Client,
    pub(crate) plane: &'static ControlPlane,
    installed: OnceCell<Installed>,
}

impl World {
    /// A fresh namespace and a cloud that knows no task.
    pub(crate) async fn new() -> Self {
        Self::with(Simulator::start().await).await
    }

    /// A fresh namespace beside a cloud that is there.
    pub(crate) async fn with(cloud: Simulator) -> Self {
        Self::on(ControlPlane::shared().await, cloud).await
    }

    /// A fresh namespace of a given API server.
    pub(crate) async fn on(plane: &'static ControlPlane, cloud: Simulator) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let client = plane.client().await;
        let namespace = format!("it-{}", COUNT.fetch_add(1, Ordering::Relaxed));
        let world = Self { cloud, namespace, client, plane, installed: OnceCell::new() };
        world.create_namespace(&world.namespace).await;
        world
    }

    /// Whether the API server takes a status for an object whose stored spec breaks a rule of the CRD: 1.34 does, 1.31 not.
    pub(crate) async fn forgives_broken_rules(&self) -> bool {
        let version = self.client.apiserver_version().await.unwrap();
        version.minor.parse::<u32>().unwrap() >= 34
    }

    /// Creates a namespace beside the own one.
    pub(crate) async fn create_namespace(&self, name: &str) {
        let object = serde_json::from_value(json!({"metadata": {"name": name}})).unwrap();
        Api::<Namespace>::all(self.client.clone()).create(&PostParams::default(), &object).await.unwrap();
    }

    /// The ImageTasks of this world.
    pub(crate) fn tasks(&self) -> Api<ImageTask> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    /// The ImageTasks of this world as they are stored, valid or not.
    pub(crate) fn dynamic(&self) -> Api<DynamicObject> {
        Api::namespaced_with(self.client.clone(), &self.namespace, &ApiResource::erase::<ImageTask>(&()))
    }

    /// Waits until an ImageTask that need not be valid tells a reason.
    pub(crate) async fn until_told(&self, name: &str, reason: &str) -> Value {
        let told = |object: Option<&DynamicObject>| {
            object.is_some_and(|it| it.data["status"]["conditions"][0]["reason"] == *reason)
        };
        let reached = await_condition(self.dynamic(), name, told);
        let object = tokio::time::timeout(PATIENCE, reached).await.expect("it is told in time");
        object.unwrap().unwrap().data
    }

    /// Creates an ImageTask.
    pub(crate) async fn create(&self, name: &str, spec: ImageTaskSpec) -> ImageTask {
        self.tasks().create(&PostParams::default(), &ImageTask::new(name, spec)).await.unwrap()
    }

    /// Creates an ImageTask named after the task that it follows.
    pub(crate) async fn follow(&self, id: &str) -> ImageTask {
        self.create(id, task(id)).await
    }

    /// Tries to store an ImageTask as it is; the complaint of the API server if it refuses.
    pub(crate) async fn admit(&self, name: &str, spec: Value) -> Result<(), String> {
        let object = json!({
            "apiVersion": "ecs.volcengine.com/v1alpha1", "kind": "ImageTask",
            "metadata": {"name": name}, "spec": spec,
        });
        let params = PatchParams::apply("it").force();
        let stored = self.tasks().patch(name, &params, &Patch::Apply(object)).await;
        stored.map(drop).map_err(|error| error.to_string())
    }

    /// Merges a change into an ImageTask.
    pub(crate) async fn change(&self, name: &str, change: Value) -> ImageTask {
        self.tasks().patch(name, &PatchParams::default(), &Patch::Merge(change)).await.unwrap()
    }

    /// Deletes an ImageTask and waits until it is gone.
    pub(crate) async fn delete(&self, name: &str) {
        self.tasks().delete(name, &DeleteParams::default()).await.unwrap();
    }

    /// Creates a Secret.
    pub(crate) async fn secret(&self, name: &str, data: Value) {
        let object = serde_json::from_value(json!({"metadata": {"name": name}, "stringData": data})).unwrap();
        let api: Api<Secret> = Api::namespaced(self.client.clone(), &self.namespace);
        api.create(&PostParams::default(), &object).await.unwrap();
    }

    /// What kubectl prints in this namespace, with no settings of whoever runs the test.
    pub(crate) async fn kubectl(&self, arguments: &[&str]) -> String {
        let mut command = Command::new(&self.plane.kubectl);
        command.args(["--namespace", &self.namespace]).args(arguments).env_clear().kill_on_drop(true);
        command.env("KUBECONFIG", &self.plane.kubeconfig);
        command.env("HOME", Path::new(env!("CARGO_TARGET_TMPDIR")).join("kubectl"));
        let output = tokio::time::timeout(PATIENCE, command.output()).await.expect("kubectl ends in time").unwrap();
        assert!(output.status.success(), "kubectl {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    /// Waits until an ImageTask is as described.
    pub(crate) async fn until(&self, name: &str, what: &str, is: impl Fn(&ImageTask) -> bool) -> ImageTask {
        self.until_within(PATIENCE, name, what, is).await
    }

    /// As [`World::until`], for what takes its time by contract.
    pub(crate) async fn until_within(
        &self,
        patience: Duration,
        name: &str,
        what: &str,
        is: impl Fn(&ImageTask) -> bool,
    ) -> ImageTask {
        let condition = move |object: Option<&ImageTask>| object.is_some_and(&is);
        let reached = await_condition(self.tasks(), name, condition.and(present()));
        match tokio::time::timeout(patience, reached).await {
            Ok(object) => object.unwrap().unwrap(),
            Err(_) => panic!("{name} was not {what} in time, but {:#?}", self.tasks().get(name).await.unwrap().status),
        }
    }

    /// Waits until an ImageTask is in a phase that was told by the operator.
    pub(crate) async fn until_phase(&self, name: &str, phase: Phase) -> ImageTask {
        self.until(name, phase.as_str(), |object| status(object).phase == Some(phase)).await
    }

    /// Waits until the condition Ready has a reason.
    pub(crate) async fn until_reason(&self, name: &str, reason: &str) -> ImageTask {
        self.until(name, reason, |object| self::reason(object) == Some(reason)).await
    }

    /// Waits until the Events of this world are as described; each is `type reason name`, sorted.
    pub(crate) async fn events_until(&self, are: impl Fn(&[String]) -> bool) -> Vec<String> {
        let api: Api<Event> = Api::namespaced(self.client.clone(), &self.namespace);
        let mut changes = pin!(watcher(api, watcher::Config::default()).applied_objects());
        let mut seen = Vec::new();
        let enough = async {
            while !are(&seen) {
                let event = changes.next().await.unwrap().unwrap();
                let word = |word: Option<String>| word.unwrap_or_default();
                seen.push(format!("{} {} {}", word(event.type_), word(event.reason), word(event.involved_object.name)));
                seen.sort();
            }
        };
        tokio::time::timeout(PATIENCE, enough).await.expect("the events come in time");
        seen
    }

    /// Waits until every ImageTask has been written at least once.
    pub(crate) async fn until_all_seen(&self) {
        for object in self.tasks().list(&ListParams::default()).await.unwrap() {
            let name = object.metadata.name.unwrap();
            self.until(&name, "seen", |object| status(object).observed_generation != Some(-1)).await;
        }
    }
}

fn present() -> impl Condition<ImageTask> {
    |object: Option<&ImageTask>| object.is_some()
}

/// A spec that follows a task of the simulator's region.
pub(crate) fn task(id: &str) -> ImageTaskSpec {
    ImageTaskSpec { task_id: Some(id.into()), region: Some(Simulator::REGION.into()), ..ImageTaskSpec::default() }
}

/// A spec that follows the newest task of a type on an image.
pub(crate) fn newest(type_: &str, image: &str) -> ImageTaskSpec {
    ImageTaskSpec {
        resource_id: Some(image.into()),
        type_: Some(type_.into()),
        region: Some(Simulator::REGION.into()),
        ..ImageTaskSpec::default()
    }
}

/// The status, which every stored object has by default.
pub(crate) fn status(object: &ImageTask) -> &ImageTaskStatus {
    object.status.as_ref().expect("the CRD gives every object a status")
}

/// The reason of the condition Ready.
pub(crate) fn reason(object: &ImageTask) -> Option<&str> {
    status(object).conditions.iter().find(|it| it.type_ == "Ready").map(|it| it.reason.as_str())
}

/// The conditions as words, in order: `Ready=False/TaskRunning@1`.
pub(crate) fn conditions(object: &ImageTask) -> Vec<String> {
    let words = status(object)
        .conditions
        .iter()
        .map(|it| format!("{}={}/{}@{}", it.type_, it.status, it.reason, it.observed_generation.unwrap_or_default()));
    words.collect()
}
