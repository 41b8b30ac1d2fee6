//! The API server and its etcd: real ones, from `make controlplane`, for one run of the bench.

use std::path::PathBuf;
use std::process::Stdio;

use anyhow::Context as _;
use imagetask_operator::api::{ImageTask, crd};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{Patch, PatchParams, PostParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::runtime::conditions::is_crd_established;
use kube::runtime::wait::await_condition;
use kube::{Api, Client, Config, CustomResourceExt};
use serde_json::json;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

use crate::{PATIENCE, proc};

const SUPERVISOR: &str = "target/controlplane/bin/controlplane";

/// A real API server with its etcd, and with the CRD.
pub(crate) struct Plane {
    pub(crate) client: Client,
    pub(crate) kubeconfig: PathBuf,
    pub(crate) apiserver: i32,
    pub(crate) etcd: i32,
    /// Ends with this process, for it reads from a pipe that only this process holds.
    _supervisor: Child,
}

impl Plane {
    pub(crate) async fn start() -> anyhow::Result<Self> {
        let mut supervisor =
            Command::new(SUPERVISOR).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().with_context(|| {
                format!("cannot start {SUPERVISOR}: run `make controlplane`, and this at the root of the repository")
            })?;
        let stdout = supervisor.stdout.take().context("it is piped")?;
        let ready = BufReader::new(stdout).lines().next_line().await?.context("the control plane has not started")?;
        let ready: serde_json::Value = serde_json::from_str(&ready)?;
        let kubeconfig = PathBuf::from(ready["kubeconfig"].as_str().context("the supervisor names a kubeconfig")?);
        let options = KubeConfigOptions::default();
        let config = Config::from_custom_kubeconfig(Kubeconfig::read_from(&kubeconfig)?, &options).await?;
        let pid = supervisor.id().and_then(|pid| i32::try_from(pid).ok()).context("the supervisor has ended")?;
        let plane = Self {
            client: Client::try_from(config)?,
            kubeconfig,
            apiserver: proc::child(pid, "kube-apiserver")?,
            etcd: proc::child(pid, "etcd")?,
            _supervisor: supervisor,
        };
        plane.install_crd().await?;
        Ok(plane)
    }

    /// Lets a POST store the status too, which saves one write for each object that is to have one, or not any more.
    pub(crate) async fn take_status_at_creation(&self, take: bool) -> anyhow::Result<()> {
        let mut versions = crd().spec.versions;
        if take {
            versions.iter_mut().for_each(|version| version.subresources = None);
        }
        let patch = Patch::Merge(json!({"spec": {"versions": versions}}));
        self.crds().patch(ImageTask::crd_name(), &PatchParams::default(), &patch).await?;
        Ok(())
    }

    async fn install_crd(&self) -> anyhow::Result<()> {
        self.crds().create(&PostParams::default(), &crd()).await?;
        let established = await_condition(self.crds(), ImageTask::crd_name(), is_crd_established());
        tokio::time::timeout(PATIENCE, established).await.context("the CRD is not served in time")??;
        Ok(())
    }

    fn crds(&self) -> Api<CustomResourceDefinition> {
        Api::all(self.client.clone())
    }
}
