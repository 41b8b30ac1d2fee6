//! The one API server of a test run.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::Mutex;

use imagetask_operator::api::{ImageTask, crd};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::PostParams;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::runtime::conditions::is_crd_established;
use kube::runtime::wait::await_condition;
use kube::{Api, Client, Config, CustomResourceExt};
use serde_json::Value;
use tokio::sync::OnceCell;

use super::repository;

static SHARED: OnceCell<ControlPlane> = OnceCell::const_new();

/// A real API server with its etcd.
pub(crate) struct ControlPlane {
    /// The kubeconfig of an administrator.
    pub(crate) kubeconfig: PathBuf,
    /// The kubectl of the API server's version.
    pub(crate) kubectl: PathBuf,
    _process: Child,
    commands: Mutex<Commands>,
}

/// The supervisor's standard input and output.
struct Commands {
    /// Closes when this process ends, however it ends; the supervisor ends then, and leaves nothing behind.
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
}

impl Commands {
    fn answer(&mut self) -> Value {
        let mut line = String::new();
        self.stdout.read_line(&mut line).unwrap();
        serde_json::from_str(&line)
            .unwrap_or_else(|error| panic!("the control plane answers in JSON, not {line:?}: {error}"))
    }
}

impl ControlPlane {
    /// The one that all tests share, with the CRD.
    pub(crate) async fn shared() -> &'static Self {
        SHARED
            .get_or_init(async || {
                let plane = Self::start().await;
                plane.install_crd().await;
                plane
            })
            .await
    }

    /// One of the test's own, without the CRD.
    pub(crate) async fn start() -> Self {
        // The whole process shares one provider; another test may have been first.
        let _installed = rustls::crypto::ring::default_provider().install_default();
        let program = repository().join("target/controlplane/bin/controlplane");
        let mut process = Command::new(&program)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("cannot start {}: {error}: run `make controlplane`", program.display()));
        let stdin = process.stdin.take().expect("it is piped");
        let stdout = BufReader::new(process.stdout.take().expect("it is piped"));
        let mut commands = Commands { stdin, stdout };
        let ready = commands.answer();
        let path = |name: &str| PathBuf::from(ready[name].as_str().unwrap_or_else(|| panic!("it names a {name}")));
        Self {
            kubeconfig: path("kubeconfig"),
            kubectl: path("kubectl"),
            _process: process,
            commands: Mutex::new(commands),
        }
    }

    /// Restarts the API server with its data and port, and waits until it is ready.
    pub(crate) fn restart(&self) {
        let mut commands = self.commands.lock().unwrap();
        writeln!(commands.stdin, "restart-apiserver").unwrap();
        assert_eq!(commands.answer(), serde_json::json!({"restarted": true}));
    }

    /// Writes a kubeconfig that differs from the administrator's.
    pub(crate) fn kubeconfig_with(&self, name: &str, change: impl FnOnce(&mut Value)) -> PathBuf {
        changed_kubeconfig(&self.kubeconfig, name, change)
    }

    /// The configuration of an administrator.
    pub(crate) async fn config(&self) -> Config {
        let kubeconfig = Kubeconfig::read_from(&self.kubeconfig).unwrap();
        Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await.unwrap()
    }

    /// A client of an administrator.
    pub(crate) async fn client(&self) -> Client {
        Client::try_from(self.config().await).unwrap()
    }

    /// Installs the CRD and waits until it is served.
    pub(crate) async fn install_crd(&self) {
        self.install(&crd()).await;
    }

    /// Installs a CRD of ImageTask and waits until it is served.
    pub(crate) async fn install(&self, crd: &CustomResourceDefinition) {
        let crds: Api<CustomResourceDefinition> = Api::all(self.client().await);
        crds.create(&PostParams::default(), crd).await.unwrap();
        let established = await_condition(crds, ImageTask::crd_name(), is_crd_established());
        tokio::time::timeout(super::PATIENCE, established).await.expect("the CRD is established in time").unwrap();
    }
}

/// Writes a kubeconfig that differs from another, and beside it: in the directory that goes with the control plane.
pub(crate) fn changed_kubeconfig(from: &Path, name: &str, change: impl FnOnce(&mut Value)) -> PathBuf {
    let mut config = serde_saphyr::from_str(&std::fs::read_to_string(from).unwrap()).unwrap();
    change(&mut config);
    let path = from.with_file_name(format!("{name}.kubeconfig"));
    std::fs::write(&path, config.to_string()).unwrap();
    path
}
