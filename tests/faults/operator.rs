//! The operator as a process that is killed and started again.

use std::fs::{File, OpenOptions};
use std::path::{Path, PathBuf};
use std::time::Duration;

use imagetask_operator::clock::Clock;
use simulator::Simulator;
use tokio::process::{Child, Command};

const PROGRAM: &str = env!("CARGO_BIN_EXE_imagetask-operator");

/// Calls a second of one account in one region: more than are needed, so that nothing waits for its turn.
pub(crate) const QPS: f64 = 10.0;

/// Between two looks at one task.
pub(crate) const INTERVAL: Duration = Duration::from_secs(1);

/// The operator, whichever process it is; killed with the value that holds it.
pub(crate) struct Operator {
    /// When each process was started.
    pub(crate) starts: Vec<Duration>,
    kubeconfig: PathBuf,
    log: PathBuf,
    flags: Vec<String>,
    clock: Clock,
    child: Option<Child>,
}

impl Operator {
    /// Starts the operator for one namespace; its log and its kubeconfig are in a folder.
    pub(crate) fn start(folder: &Path, kubeconfig: &str, cloud: &str, namespace: &str, clock: Clock) -> Self {
        let file = |name: &str| folder.join(name);
        std::fs::write(file("kubeconfig"), kubeconfig).unwrap();
        File::create(file("operator.log")).unwrap();
        let flags = vec![
            format!("--endpoint={cloud}"),
            format!("--namespace={namespace}"),
            format!("--default-credentials-namespaces={namespace}"),
            format!("--account-qps={QPS}"),
            format!("--poll-interval={}s", INTERVAL.as_secs()),
            "--progress-interval=1s".to_owned(),
            // So that whatever is called stuck is so too early, however long a loaded machine takes.
            "--not-found-grace=1h".to_owned(),
            "--stuck-after=1h".to_owned(),
            "--listen=127.0.0.1:0".to_owned(),
            "--log-format=json".to_owned(),
        ];
        let (kubeconfig, log) = (file("kubeconfig"), file("operator.log"));
        let mut operator = Self { starts: Vec::new(), kubeconfig, log, flags, clock, child: None };
        operator.spawn();
        operator
    }

    /// Kills it, at whatever it is, and starts it again.
    pub(crate) async fn kill_and_start(&mut self) {
        let mut child = self.child.take().expect("it was started");
        let ended = child.try_wait().unwrap();
        assert_eq!(ended, None, "the operator has ended by itself: see {}", self.log.display());
        child.kill().await.unwrap();
        self.spawn();
    }

    fn spawn(&mut self) {
        self.starts.push(self.clock.now().mono);
        let log = OpenOptions::new().append(true).open(&self.log).unwrap();
        let mut command = Command::new(PROGRAM);
        command.args(&self.flags).env_clear().env("KUBECONFIG", &self.kubeconfig);
        command.env("RUST_LOG", "info,kube_client=off,kube_runtime=off,tower=off");
        command.env("VOLCENGINE_ACCESS_KEY", Simulator::ACCESS_KEY).env("VOLCENGINE_SECRET_KEY", Simulator::SECRET_KEY);
        self.child = Some(command.stderr(log).kill_on_drop(true).spawn().unwrap());
    }
}
