//! The cluster: found as kubectl finds it, and its refusals in words that say what to do.

use std::time::Duration;

use anyhow::{Context as _, anyhow};
use imagetask_operator::api::{ImageTask, ImageTaskView};
use imagetask_operator::apiserver::{CallError, bounded};
use imagetask_operator::cluster::what;
use k8s_openapi::api::core::v1::Event;
use kube::config::{KubeConfigOptions, Kubeconfig, KubeconfigError};
use kube::core::{ApiResource, DynamicObject};
use kube::{Api, Client, Config};

use crate::cli::Place;

/// Seconds after which the API server ends a watch, and another begins: a connection that died unnoticed costs no more.
pub const WATCH_SECONDS: u32 = 60;

/// Longer than a watch is silent that lives.
const SILENCE: Duration = Duration::from_secs(WATCH_SECONDS as u64 + 15);

/// A host that does not answer is not waited for: it is mostly a wrong kubeconfig.
const CONNECT: Duration = Duration::from_secs(10);

/// One namespace of a cluster.
pub struct Cluster {
    /// Its name.
    pub namespace: String,
    client: Client,
}

impl Cluster {
    /// Reads the kubeconfig; speaks to nobody yet.
    pub async fn find(place: Place) -> anyhow::Result<Self> {
        let mut config = config(&place).await.map_err(|fault| {
            anyhow!("the kubeconfig cannot be used: {}: see `kubectl config get-contexts`", what(&fault))
        })?;
        config.connect_timeout = Some(CONNECT);
        config.read_timeout = Some(SILENCE);
        let namespace = place.namespace.unwrap_or_else(|| config.default_namespace.clone());
        let client = Client::try_from(config).context("the kubeconfig cannot be used")?;
        Ok(Self { namespace, client })
    }

    /// Its ImageTasks, whatever is stored.
    pub fn tasks(&self) -> Api<ImageTaskView> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    /// Its ImageTasks as they are, to create, change and print them.
    pub fn whole_tasks(&self) -> Api<DynamicObject> {
        Api::namespaced_with(self.client.clone(), &self.namespace, &ApiResource::erase::<ImageTask>(&()))
    }

    /// Its Events.
    pub fn events(&self) -> Api<Event> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    /// Waits for a call about its ImageTasks, but not for ever.
    pub async fn ask<T>(&self, call: impl Future<Output = kube::Result<T>>) -> anyhow::Result<T> {
        bounded(call).await.map_err(|error| match error {
            CallError::NotFound => anyhow!(
                "the cluster knows no ImageTasks: apply crds/imagetasks.yaml of the operator, or choose another --context"
            ),
            error @ (CallError::Conflict | CallError::Forbidden(_) | CallError::Failed(_)) => {
                anyhow!(error).context(format!("ImageTasks of namespace {}", self.namespace))
            }
        })
    }
}

async fn config(place: &Place) -> Result<Config, KubeconfigError> {
    let options = KubeConfigOptions { context: place.context.clone(), ..KubeConfigOptions::default() };
    if let Some(path) = &place.kubeconfig {
        return Config::from_custom_kubeconfig(Kubeconfig::read_from(path)?, &options).await;
    }
    match Config::from_kubeconfig(&options).await {
        // Inside a cluster there is none; whoever names a context means a kubeconfig.
        Err(fault) if place.context.is_none() => Config::incluster().map_err(|_| fault),
        found => found,
    }
}
