//! The plugin as a process in a pipe, and what it says.

use std::path::Path;
use std::process::Stdio;

use serde_json::Value;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, ChildStdout, Command};
use tokio::time::timeout;

use crate::it::world::{ControlPlane, PATIENCE, World};

pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_kubectl-imagetask");

/// What a run of the plugin came to.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Ended {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

/// A run of the plugin that goes on.
pub(crate) struct Running {
    child: Child,
    out: tokio::io::Lines<BufReader<ChildStdout>>,
    seen: Vec<String>,
}

/// The variables of the plugin's environment for an API server, and no settings of whoever runs the test.
pub(crate) fn environment(plane: &ControlPlane) -> [(&'static str, String); 3] {
    let home = Path::new(env!("CARGO_TARGET_TMPDIR")).join("home");
    let text = |path: &Path| path.to_str().expect("the path is UTF-8").to_owned();
    [("KUBECONFIG", text(&plane.kubeconfig)), ("HOME", text(&home)), ("TERM", "xterm-256color".to_owned())]
}

/// The words of a command line about a namespace.
pub(crate) fn words(world: &World, arguments: &str) -> Vec<String> {
    let own = ["--namespace", &world.namespace];
    arguments.split_whitespace().chain(own).map(str::to_owned).collect()
}

/// Runs the plugin against the shared API server.
pub(crate) async fn run(world: &World, arguments: &str) -> Ended {
    start(ControlPlane::shared().await, world, arguments).end().await
}

/// Starts the plugin against an API server.
pub(crate) fn start(plane: &ControlPlane, world: &World, arguments: &str) -> Running {
    let mut command = Command::new(PROGRAM);
    command.args(words(world, arguments)).env_clear().envs(environment(plane));
    Running::of(command)
}

impl Running {
    pub(crate) fn of(mut command: Command) -> Self {
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn().unwrap();
        let out = BufReader::new(child.stdout.take().expect("it is piped")).lines();
        Self { child, out, seen: Vec::new() }
    }

    /// Waits until it has printed a line with these words.
    pub(crate) async fn until(&mut self, words: &str) {
        let told = async {
            while !self.seen.last().is_some_and(|line| line.contains(words)) {
                let line = self.out.next_line().await.unwrap();
                self.seen.push(line.unwrap_or_else(|| panic!("it ended without {words:?}: {:#?}", self.seen)));
            }
        };
        timeout(PATIENCE, told).await.unwrap_or_else(|_| panic!("{words:?} is not told in time"));
    }

    /// Waits until it has ended.
    pub(crate) async fn end(mut self) -> Ended {
        let rest = async {
            while let Some(line) = self.out.next_line().await.unwrap() {
                self.seen.push(line);
            }
            self.child.wait_with_output().await.unwrap()
        };
        let output = timeout(PATIENCE, rest).await.expect("it ends in time");
        let err = String::from_utf8(output.stderr).unwrap();
        Ended { code: output.status.code().expect("it exits"), out: self.seen.join("\n"), err: err.trim_end().into() }
    }
}

impl Ended {
    /// The document that it printed.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// The lines that it printed, without what time alone changes.
    pub(crate) fn lines(&self) -> Vec<String> {
        self.out.lines().map(still).collect()
    }
}

/// A line with single blanks, and `_` for each span of time.
pub(crate) fn still(line: &str) -> String {
    let word = |word: &str| {
        let bare = word.trim_end_matches([',', ';', ':']);
        let is_span = bare.starts_with(|c: char| c.is_ascii_digit())
            && bare.ends_with(['s', 'm', 'h'])
            && bare.chars().all(|c| c.is_ascii_digit() || "hms".contains(c));
        if is_span { format!("_{}", &word[bare.len()..]) } else { word.to_owned() }
    };
    line.split_whitespace().map(word).collect::<Vec<_>>().join(" ")
}
