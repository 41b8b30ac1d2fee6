//! What is measured: the operator and the baseline, each as a process.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::Context as _;
use simulator::Simulator;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::time::timeout;

use crate::PATIENCE;
use crate::world::World;

/// The programs, and how they are to run.
#[derive(Clone, Debug)]
pub(crate) struct Programs {
    pub(crate) operator: PathBuf,
    pub(crate) previous: Option<PathBuf>,
    pub(crate) baseline: PathBuf,
    /// Where their logs go.
    pub(crate) logs: PathBuf,
    pub(crate) interval: Duration,
    /// Reconciles at once of the baseline.
    pub(crate) concurrency: u16,
}

/// One of the three; their names have the same length, as they are part of what an ImageTask takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Subject {
    /// The operator
    Operator,
    /// Another build of the operator, which it is compared with
    #[value(skip)]
    Previous,
    /// The textbook controller
    Baseline,
}

/// A subject that runs; killed with the value that holds it.
pub(crate) struct Running {
    pub(crate) subject: Subject,
    pub(crate) pid: i32,
    /// When it was started, in seconds of the world.
    pub(crate) started: f64,
    /// Where the operator tells its metrics.
    pub(crate) address: Option<String>,
    child: Child,
}

impl Subject {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Operator => "operator",
            Self::Previous => "previous",
            Self::Baseline => "baseline",
        }
    }

    /// Starts it on one namespace, with more flags for the operator.
    pub(crate) async fn start(
        self,
        world: &World,
        programs: &Programs,
        namespace: &str,
        flags: &[String],
    ) -> anyhow::Result<Running> {
        let program = match self {
            Self::Operator => &programs.operator,
            Self::Previous => programs.previous.as_ref().context("no previous build was named")?,
            Self::Baseline => &programs.baseline,
        };
        let mut command = Command::new(program);
        command.args([format!("--endpoint={}", world.cloud.url()), format!("--namespace={namespace}")]);
        command.env_clear().env("KUBECONFIG", &world.plane.kubeconfig);
        let log = File::create(programs.logs.join(format!("{}.log", self.name())))?;
        match self {
            Self::Operator | Self::Previous => {
                command.args(flags).args([
                    format!("--default-credentials-namespaces={namespace}"),
                    format!("--poll-interval={}s", programs.interval.as_secs()),
                    "--listen=127.0.0.1:0".to_owned(),
                    "--log-format=json".to_owned(),
                ]);
                command.env("VOLCENGINE_ACCESS_KEY", Simulator::ACCESS_KEY);
                command.env("VOLCENGINE_SECRET_KEY", Simulator::SECRET_KEY);
                command.stderr(Stdio::piped());
            }
            Self::Baseline => {
                let Programs { interval, concurrency, .. } = programs;
                command.args([format!("--interval={}", interval.as_secs()), format!("--concurrency={concurrency}")]);
                command.stderr(log.try_clone()?).stdout(Stdio::piped());
            }
        }
        let started = world.seconds();
        let mut child = command.kill_on_drop(true).spawn().with_context(|| missing(program))?;
        let pid = child.id().and_then(|pid| i32::try_from(pid).ok()).context("it has ended at once")?;
        let address = match self {
            Self::Operator | Self::Previous => Some(address(&mut child, log).await?),
            Self::Baseline => None,
        };
        Ok(Running { subject: self, pid, started, address, child })
    }
}

impl Running {
    /// The metrics of the operator; empty for the baseline, which has none.
    pub(crate) async fn metrics(&self) -> anyhow::Result<String> {
        let Some(address) = &self.address else { return Ok(String::new()) };
        Ok(reqwest::get(format!("http://{address}/metrics")).await?.text().await?)
    }

    /// Whether the operator has read its first list.
    pub(crate) async fn is_ready(&self) -> bool {
        let Some(address) = &self.address else { return true };
        reqwest::get(format!("http://{address}/readyz")).await.is_ok_and(|answer| answer.status().is_success())
    }

    /// Stops it; what it told on standard output.
    pub(crate) async fn stop(mut self) -> anyhow::Result<String> {
        let kill = Command::new("kill").arg(self.pid.to_string()).status().await?;
        anyhow::ensure!(kill.success(), "the {} has ended before it was stopped: see its log", self.subject.name());
        let mut told = String::new();
        let stopped = async {
            if let Some(mut stdout) = self.child.stdout.take() {
                stdout.read_to_string(&mut told).await?;
            }
            self.child.wait().await
        };
        match timeout(PATIENCE, stopped).await {
            Ok(stopped) => drop(stopped?),
            // One that drowns in its own work is killed, and has told nothing; its figures have been taken.
            Err(_) => self.child.kill().await?,
        }
        Ok(told)
    }
}

/// Reads where the operator listens, and lets its log go to a file: a full pipe would stop it.
async fn address(child: &mut Child, mut log: File) -> anyhow::Result<String> {
    let mut lines = BufReader::new(child.stderr.take().context("it is piped")?).lines();
    loop {
        let line = lines.next_line().await?.context("the operator ended before it listened")?;
        writeln!(log, "{line}")?;
        let told: serde_json::Value = serde_json::from_str(&line).with_context(|| line.clone())?;
        let Some(address) = told["listen"].as_str() else { continue };
        tokio::spawn(async move {
            while let Ok(Some(line)) = lines.next_line().await {
                // A log that cannot be written is missed by nobody but whoever looks for it.
                drop(writeln!(log, "{line}"));
            }
        });
        return Ok(address.to_owned());
    }
}

fn missing(program: &Path) -> String {
    format!("cannot start {}: build it with `cargo build --release`", program.display())
}
