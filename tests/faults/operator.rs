//! The operator as a process that is killed and started again.

use std::fs::{File, OpenOptions};
use std::path::{Path, PathBuf};
use std::time::Duration;

use imagetask_operator::clock::Clock;
use simulator::Simulator;
use tokio::process::{Child, Command};

use crate::it::world::signal;

const PROGRAM: &str = env!("CARGO_BIN_EXE_imagetask-operator");

/// Calls a second of one account in one region: more than are needed, so that nothing waits for its turn.
pub(crate) const QPS: f64 = 10.0;

/// Between two looks at one task.
pub(crate) const INTERVAL: Duration = Duration::from_secs(1);

/// The operator, whichever process it is; killed with the value that holds it.
pub(crate) struct Operator {
    /// When each process was started.
    pub(crate) starts: Vec<Duration>,
    /// When a process was stopped, and when it went on or was killed.
    pub(crate) stops: Vec<(Duration, Duration)>,
    /// Since when it is stopped.
    stopped: Option<Duration>,
    kubeconfig: PathBuf,
    log: PathBuf,
    flags: Vec<String>,
    clock: Clock,
    child: Option<Child>,
}

impl Operator {
    /// The operator of some namespaces, the first of which borrows its own keys; its log and kubeconfig are in a folder.
    pub(crate) fn of(folder: &Path, kubeconfig: &str, cloud: &str, namespaces: &[String], clock: Clock) -> Self {
        let file = |name: &str| folder.join(name);
        std::fs::write(file("kubeconfig"), kubeconfig).unwrap();
        File::create(file("operator.log")).unwrap();
        let flags = vec![
            format!("--endpoint={cloud}"),
            format!("--namespace={}", namespaces.join(",")),
            format!("--default-credentials-namespaces={}", namespaces[0]),
            format!("--account-qps={QPS}"),
            format!("--poll-interval={}s", INTERVAL.as_secs()),
            "--progress-interval=1s".to_owned(),
            // So that whatever is called stuck is so too early, however long a loaded machine takes.
            "--not-found-grace=1h".to_owned(),
            "--stuck-after=1h".to_owned(),
            "--listen=127.0.0.1:0".to_owned(),
            "--log-format=json".to_owned(),
        ];
        Self {
            starts: Vec::new(),
            stops: Vec::new(),
            stopped: None,
            kubeconfig: file("kubeconfig"),
            log: file("operator.log"),
            flags,
            clock,
            child: None,
        }
    }

    /// Stops the process; nothing that it has open ends.
    pub(crate) async fn stop(&mut self) {
        signal(self.child.as_ref().expect("it was started"), "STOP").await;
        self.stopped.get_or_insert(self.clock.now().mono);
    }

    /// Lets it go on, if it is stopped.
    pub(crate) async fn go_on(&mut self) {
        self.stops.extend(self.stopped.take().map(|since| (since, self.clock.now().mono)));
        signal(self.child.as_ref().expect("it was started"), "CONT").await;
    }

    /// Kills it, at whatever it is, and starts it again.
    pub(crate) async fn kill_and_start(&mut self) {
        let mut child = self.child.take().expect("it was started");
        let ended = child.try_wait().unwrap();
        assert_eq!(ended, None, "the operator has ended by itself: see {}", self.log.display());
        child.kill().await.unwrap();
        self.stops.extend(self.stopped.take().map(|since| (since, self.clock.now().mono)));
        self.start();
    }

    /// Starts it.
    pub(crate) fn start(&mut self) {
        self.starts.push(self.clock.now().mono);
        let log = OpenOptions::new().append(true).open(&self.log).unwrap();
        let mut command = Command::new(PROGRAM);
        command.args(&self.flags).env_clear().env("KUBECONFIG", &self.kubeconfig);
        command.env("RUST_LOG", "info,kube_client=off,kube_runtime=off,tower=off");
        command.env("VOLCENGINE_ACCESS_KEY", Simulator::ACCESS_KEY).env("VOLCENGINE_SECRET_KEY", Simulator::SECRET_KEY);
        self.child = Some(command.stderr(log).kill_on_drop(true).spawn().unwrap());
    }
}
