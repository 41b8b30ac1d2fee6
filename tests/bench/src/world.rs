//! What a run happens in: an API server, a simulated cloud, the ImageTasks and their tasks, one clock for all.

use std::time::Duration;

use anyhow::Context as _;
use futures::{StreamExt, TryStreamExt, stream};
use imagetask_operator::api::{ImageTask, ImageTaskView};
use imagetask_operator::clock::Clock;
use k8s_openapi::api::core::v1::Namespace;
use kube::api::PostParams;
use kube::core::{ApiResource, DynamicObject};
use kube::runtime::wait::await_condition;
use kube::{Api, Resource};
use serde_json::{Value, json};
use simulator::{Call, Simulator, Task};
use tokio::time::timeout;

use crate::plane::Plane;
use crate::{PATIENCE, pause};

/// Creations under way at once: as many as keep two cores of an API server busy.
const CREATIONS: usize = 32;

/// Objects a page of a list, as the operator asks.
const PAGE: u32 = 500;

/// Label by which ImageTasks of one namespace are told apart.
pub(crate) const LABEL: &str = "bench";

/// The API server, the cloud and the clock.
pub(crate) struct World {
    pub(crate) plane: Plane,
    pub(crate) cloud: Simulator,
    /// Reads as the simulator's, to a millisecond.
    pub(crate) clock: Clock,
}

/// ImageTasks of one namespace, each named after its task.
pub(crate) struct Population {
    pub(crate) namespace: String,
    pub(crate) label: String,
    pub(crate) names: Vec<String>,
}

impl Population {
    /// `count` ImageTasks, named so that no two populations share a task.
    pub(crate) fn of(namespace: &str, label: &str, count: usize) -> Self {
        let names = (0..count).map(|number| format!("t-{namespace}-{label}-{number:06}")).collect();
        Self { namespace: namespace.to_owned(), label: label.to_owned(), names }
    }
}

impl World {
    pub(crate) async fn start() -> anyhow::Result<Self> {
        let plane = Plane::start().await?;
        let clock = Clock::start();
        Ok(Self { plane, cloud: Simulator::start().await, clock })
    }

    /// Seconds since the start.
    pub(crate) fn seconds(&self) -> f64 {
        self.clock.now().mono.as_secs_f64()
    }

    pub(crate) fn tasks(&self, namespace: &str) -> Api<ImageTaskView> {
        Api::namespaced(self.plane.client.clone(), namespace)
    }

    pub(crate) async fn create_namespace(&self, name: &str) -> anyhow::Result<()> {
        let object = serde_json::from_value(json!({"metadata": {"name": name}}))?;
        Api::<Namespace>::all(self.plane.client.clone()).create(&PostParams::default(), &object).await?;
        Ok(())
    }

    /// Puts running tasks into the cloud.
    pub(crate) fn run_in_cloud(&self, population: &Population) {
        self.cloud.put_all(population.names.iter().map(|name| Task::export(name, &image(name)).running(40)));
    }

    /// Ends tasks in the cloud, all at once; the moments before and after.
    pub(crate) fn end_in_cloud(&self, population: &Population) -> (f64, f64) {
        let begin = self.seconds();
        let end = json!({
            "Status": "Succeeded", "Process": 100, "UpdatedAt": "2022-05-06T00:07:12+08:00",
            "EndAt": "2022-05-06T00:07:12+08:00",
        });
        for name in &population.names {
            self.cloud.change(name, &end);
        }
        (begin, self.seconds())
    }

    /// Stores ImageTasks that nobody has looked at.
    pub(crate) async fn store(&self, population: &Population) -> anyhow::Result<()> {
        self.store_all(population, None).await
    }

    /// Stores ImageTasks with the status that the operator has given another one in the same state.
    pub(crate) async fn store_as(&self, population: &Population, status: &Value) -> anyhow::Result<()> {
        self.plane.take_status_at_creation(true).await?;
        self.until_status_is_stored(&population.namespace, status, true).await?;
        self.store_all(population, Some(status)).await?;
        self.plane.take_status_at_creation(false).await?;
        self.until_status_is_stored(&population.namespace, status, false).await?;
        // The API server fills its cache anew after a change of the CRD; who starts next must not pay for that.
        self.list(&population.namespace).await.map(drop)
    }

    /// How long it takes to read all ImageTasks of a namespace in pages, without making anything of them.
    pub(crate) async fn list(&self, namespace: &str) -> anyhow::Result<f64> {
        let begin = self.seconds();
        let mut token = String::new();
        loop {
            let collection = ImageTask::url_path(&(), Some(namespace));
            let request = http::Request::get(format!("{collection}?limit={PAGE}&continue={token}")).body(Vec::new())?;
            let page = self.plane.client.request_text(request).await?;
            let rest = page.split_once("\"continue\":\"").map(|(_, rest)| rest);
            match rest.and_then(|rest| rest.split_once('"')) {
                Some((next, _)) if !next.is_empty() => token = next.to_owned(),
                Some(_) | None => return Ok(self.seconds() - begin),
            }
        }
    }

    /// Stores one ImageTask of a population.
    pub(crate) async fn store_one(&self, population: &Population, name: &str) -> anyhow::Result<()> {
        self.post(&population.namespace, &population.label, name, None).await.map(drop)
    }

    /// The status of the only one of a population, as soon as it is in a phase.
    pub(crate) async fn status_in_phase(&self, population: &Population, phase: &str) -> anyhow::Result<Value> {
        let resource = ApiResource::erase::<ImageTask>(&());
        let api: Api<DynamicObject> = Api::namespaced_with(self.plane.client.clone(), &population.namespace, &resource);
        let name = population.names.first().context("it has one")?;
        let reached = |object: Option<&DynamicObject>| object.is_some_and(|it| it.data["status"]["phase"] == *phase);
        let object = timeout(PATIENCE, await_condition(api, name, reached)).await;
        let object = object.with_context(|| format!("the sample is not {phase} in time: see the operator's log"))??;
        Ok(object.context("it is there")?.data["status"].take())
    }

    /// The calls since the last forgetting.
    pub(crate) fn calls(&self) -> Vec<Call> {
        self.cloud.calls()
    }

    async fn store_all(&self, population: &Population, status: Option<&Value>) -> anyhow::Result<()> {
        let begin = self.seconds();
        stream::iter(&population.names)
            .map(|name| self.post(&population.namespace, &population.label, name, status))
            .buffer_unordered(CREATIONS)
            .try_for_each(|_| async { Ok(()) })
            .await?;
        let (count, took) = (population.names.len(), self.seconds() - begin);
        eprintln!("  {count} ImageTasks stored in {took:.0} s, {:.0} a second", count as f64 / took);
        Ok(())
    }

    /// Stores one ImageTask; the answer.
    async fn post(
        &self,
        namespace: &str,
        label: &str,
        name: &str,
        status: Option<&Value>,
    ) -> anyhow::Result<ImageTaskView> {
        let mut object = json!({
            "apiVersion": ImageTask::api_version(&()), "kind": ImageTask::kind(&()),
            "metadata": {"name": name, "namespace": namespace, "labels": {LABEL: label}},
            "spec": {"taskId": name, "region": Simulator::REGION},
        });
        if let Some(status) = status {
            object["status"] = status.clone();
            object["status"]["taskId"] = json!(name);
            object["status"]["resourceId"] = json!(image(name));
        }
        let request = http::Request::post(ImageTask::url_path(&(), Some(namespace)))
            .header(http::header::CONTENT_TYPE, "application/json")
            .body(serde_json::to_vec(&object)?)?;
        self.plane.client.request(request).await.with_context(|| format!("cannot create {name}"))
    }

    /// Waits until the API server has heard of a change of the CRD: each probe is a creation.
    async fn until_status_is_stored(&self, namespace: &str, status: &Value, stored: bool) -> anyhow::Result<()> {
        let end = self.clock.now().mono + PATIENCE;
        for number in 0.. {
            let name = format!("probe-{stored}-{number}");
            if let Ok(view) = self.post(namespace, "probe", &name, Some(status)).await {
                let phase = view.status.valid().and_then(|status| status.phase.valid()).is_some();
                self.delete(namespace, &name).await?;
                if phase == stored {
                    break;
                }
            }
            anyhow::ensure!(self.clock.now().mono < end, "the API server has not heard of the change of the CRD");
            pause(Duration::from_millis(200)).await;
        }
        Ok(())
    }

    pub(crate) async fn delete(&self, namespace: &str, name: &str) -> anyhow::Result<()> {
        let request = http::Request::delete(format!("{}/{name}", ImageTask::url_path(&(), Some(namespace))));
        self.plane.client.request_text(request.body(Vec::new())?).await?;
        Ok(())
    }
}

fn image(task: &str) -> String {
    format!("image-{task}")
}
