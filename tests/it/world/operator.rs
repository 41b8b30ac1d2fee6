//! The operator of a test, in this process or as a process of its own.

use std::path::Path;
use std::process::Stdio;

use clap::Parser;
use imagetask_operator::config::Cli;
use imagetask_operator::operator;
use simulator::Simulator;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::chart::{self, Account};
use super::{PATIENCE, World};

/// What the chart gives to every operator of a world.
pub(super) struct Installed {
    account: Account,
    flags: Vec<String>,
}

/// The operator in this process; ends with the value that holds it.
pub(crate) struct InProcess {
    address: String,
    stop: CancellationToken,
    run: Option<JoinHandle<()>>,
}

/// The operator as a process; killed with the value that holds it.
pub(crate) struct Process {
    pub(crate) address: String,
    pub(crate) child: tokio::process::Child,
    log: watch::Sender<Vec<String>>,
}

impl World {
    /// Starts the operator on this world, looking every second.
    pub(crate) async fn operator(&self) -> InProcess {
        self.operator_with(&["--poll-interval=1s", "--progress-interval=1s"]).await
    }

    /// Starts the operator with more flags; it watches this world's namespace only.
    pub(crate) async fn operator_with(&self, flags: &[&str]) -> InProcess {
        let installed = self.installed().await;
        let flags = self.flags(installed, flags);
        let cli = Cli::try_parse_from(["imagetask-operator".to_owned()].into_iter().chain(flags)).unwrap();
        let config = cli.run.into_config(|name| own_key(name).map(Into::into)).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let stop = CancellationToken::new();
        let running = operator::run(config, None, installed.account.config.clone(), listener, stop.clone());
        let run = tokio::spawn(async { running.await.expect("the operator runs until it is stopped") });
        InProcess { address, stop, run: Some(run) }
    }

    /// Starts a program of the operator as a process, with more flags and variables of the environment.
    pub(crate) async fn process(&self, program: &str, flags: &[&str], variables: &[(&str, &str)]) -> Process {
        let keys = ["VOLCENGINE_ACCESS_KEY", "VOLCENGINE_SECRET_KEY"].map(|name| (name, own_key(name)));
        let keys = keys.map(|(name, key)| (name, key.expect("it is named here")));
        self.process_without_keys(program, flags, &[&keys, variables].concat()).await
    }

    /// As [`World::process`], with no keys but those that the variables name.
    pub(crate) async fn process_without_keys(
        &self,
        program: &str,
        flags: &[&str],
        variables: &[(&str, &str)],
    ) -> Process {
        let mut command = tokio::process::Command::new(program);
        let installed = self.installed().await;
        command.args(self.flags(installed, &[flags, &["--listen=127.0.0.1:0"]].concat()));
        command.env("KUBECONFIG", &installed.account.kubeconfig).env("RUST_LOG", "info");
        command.envs(variables.iter().copied()).kill_on_drop(true).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap_or_else(|error| panic!("cannot start {program}: {error}"));
        let mut lines = BufReader::new(child.stderr.take().expect("it is piped")).lines();
        let (mut address, mut first) = (None, Vec::new());
        while address.is_none() {
            let line = lines.next_line().await.unwrap().expect("the operator says where it listens before it ends");
            let said: serde_json::Value = serde_json::from_str(&line).unwrap();
            address = said["listen"].as_str().map(str::to_owned);
            first.push(line);
        }
        // A full pipe would stop the operator.
        let log = watch::Sender::new(first);
        let kept = log.clone();
        tokio::spawn(async move {
            while let Ok(Some(line)) = lines.next_line().await {
                kept.send_modify(|log| log.push(line));
            }
        });
        Process { address: address.expect("the loop ends with one"), child, log }
    }

    /// Installs of these objects what an operator needs: its account and its flags.
    pub(crate) async fn install(&self, objects: &[serde_json::Value]) {
        self.take(Account::create(self.plane, objects).await, objects);
    }

    /// Lets the operators of this world act as an account that is there, with the flags of these objects.
    pub(crate) fn take(&self, account: Account, objects: &[serde_json::Value]) {
        let installed = Installed { account, flags: chart::flags(objects) };
        assert!(self.installed.set(installed).is_ok(), "the account is given before the first operator starts");
    }

    /// The chart is installed with the first operator of a world.
    async fn installed(&self) -> &Installed {
        if self.installed.get().is_none() {
            self.install(&chart::for_namespace(&self.namespace).await).await;
        }
        self.installed.get().expect("it is installed by now")
    }

    /// The configuration of the account that the operators of this world act as.
    pub(crate) async fn kubeconfig(&self) -> &Path {
        &self.installed().await.account.kubeconfig
    }

    /// What is given, then the flags of the chart and this world's cloud, but for what is given.
    fn flags(&self, installed: &Installed, given: &[&str]) -> Vec<String> {
        let name = |flag: &str| flag.split('=').next().unwrap_or_default().to_owned();
        let endpoint = format!("--endpoint={}", self.cloud.url());
        let own = installed.flags.iter().chain([&endpoint]);
        let own = own.filter(|flag| !given.iter().any(|given| name(given) == name(flag)));
        given.iter().map(|flag| (*flag).to_owned()).chain(own.cloned()).collect()
    }
}

impl Process {
    /// Everything that it has logged by now.
    pub(crate) fn log(&self) -> Vec<String> {
        self.log.borrow().clone()
    }

    /// Waits until it has logged a line with these words; all such lines by then.
    pub(crate) async fn log_until(&self, words: &str) -> Vec<String> {
        let mut log = self.log.subscribe();
        let told = |lines: &Vec<String>| lines.iter().any(|line| line.contains(words));
        tokio::time::timeout(PATIENCE, log.wait_for(told)).await.expect("it is logged in time").unwrap();
        self.logged(words)
    }

    /// All lines with these words that it has logged by now.
    pub(crate) fn logged(&self, words: &str) -> Vec<String> {
        self.log.borrow().iter().filter(|line| line.contains(words)).cloned().collect()
    }

    /// Sends it a signal, such as TERM.
    pub(crate) async fn signal(&self, name: &str) {
        signal(&self.child, name).await;
    }

    /// Waits until it has ended; its exit code, if it was not killed.
    pub(crate) async fn ended(&mut self) -> Option<i32> {
        tokio::time::timeout(PATIENCE, self.child.wait()).await.expect("it ends in time").unwrap().code()
    }
}

impl InProcess {
    /// Stops the operator cleanly and waits until it has ended.
    pub(crate) async fn stop(mut self) {
        self.stop.cancel();
        self.run.take().expect("it is taken here only").await.unwrap();
    }

    /// Answer of one of its HTTP endpoints: status and body.
    pub(crate) async fn get(&self, path: &str) -> (u16, String) {
        get(&self.address, path).await
    }
}

impl Drop for InProcess {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// Sends a process a signal, such as TERM.
pub(crate) async fn signal(process: &tokio::process::Child, name: &str) {
    let pid = process.id().expect("it runs").to_string();
    let kill = tokio::process::Command::new("sh").args(["-c", &format!("kill -{name} {pid}")]).status().await;
    assert!(kill.unwrap().success());
}

/// Answer of an HTTP endpoint of an operator: status and body.
pub(crate) async fn get(address: &str, path: &str) -> (u16, String) {
    let answer = reqwest::get(format!("http://{address}{path}")).await.unwrap();
    (answer.status().as_u16(), answer.text().await.unwrap())
}

fn own_key(name: &str) -> Option<&'static str> {
    match name {
        "VOLCENGINE_ACCESS_KEY" => Some(Simulator::ACCESS_KEY),
        "VOLCENGINE_SECRET_KEY" => Some(Simulator::SECRET_KEY),
        _ => None,
    }
}
