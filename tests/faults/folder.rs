//! What a run leaves when it is red: a folder with all that is known of it. A green run leaves nothing.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use imagetask_operator::clock::Now;
use serde_json::json;

use crate::checks::Evidence;
use crate::it::world::repository;
use crate::scenario::Scenario;

/// The folder of one run.
pub(crate) struct Folder(PathBuf);

impl Folder {
    /// A new one under `target/faults`, with what is to happen in the run.
    pub(crate) fn of(seed: u64, scenario: &Scenario, now: Now) -> Self {
        let time = now.wall.shown().strftime("%Y%m%dT%H%M%SZ");
        let folder = Self(repository().join("target/faults").join(format!("{seed}-{time}-{}", std::process::id())));
        fs::create_dir_all(&folder.0).unwrap();
        folder.write("acts.txt", scenario.acts.iter().map(|(at, act)| format!("{:.3} {act:?}", at.as_secs_f64())));
        folder.write("tasks.jsonl", scenario.tasks.iter().map(|task| json!(task).to_string()));
        folder
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    /// Adds what came of it, and says where that is.
    pub(crate) fn keep(self, verdict: &str, run: &Evidence, road: Vec<String>) -> String {
        let mut versions: Vec<_> = run.history.lives().flat_map(|life| &life.versions).collect();
        versions.sort_by_key(|version| version.at);
        let version = |at: f64, object| json!({"at": at, "object": object}).to_string();
        self.write("versions.jsonl", versions.into_iter().map(|it| version(it.at.as_secs_f64(), &it.object)));
        self.write("calls.jsonl", run.calls.iter().map(|call| json!(call).to_string()));
        self.write("processes.txt", [format!("started {:.3?}, stopped {:.3?}", run.starts, run.stops)]);
        self.write("road.txt", road);
        let verdict = format!("{verdict}\nwhat is known of the run is in {}", self.0.display());
        self.write("verdict.txt", [verdict.clone()]);
        verdict
    }

    /// Removes it.
    pub(crate) fn drop(self) {
        fs::remove_dir_all(&self.0).unwrap();
    }

    fn write(&self, name: &str, lines: impl IntoIterator<Item = String>) {
        let text = lines.into_iter().fold(String::new(), |mut text, line| {
            writeln!(text, "{line}").expect("a String takes it");
            text
        });
        fs::write(self.0.join(name), text).unwrap();
    }
}
