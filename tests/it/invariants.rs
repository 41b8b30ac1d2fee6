//! The invariants of `lib.rs` that the source text can show; the clock and the environment are lints (clippy.toml).

use std::fs;
use std::path::{Path, PathBuf};

/// The sources of the operator, and of the plugin of kubectl.
const OPERATOR: &str = "src";
const PLUGIN: &str = "kubectl-imagetask/src";

/// Every source file under a folder, by its path there, without its tests.
fn sources(folder: &str) -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let mut files = Vec::new();
    let mut folders = vec![root.clone()];
    while let Some(folder) = folders.pop() {
        for path in fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()) {
            if path.file_name().is_some_and(|name| name == "tests.rs") {
                continue;
            }
            if path.is_dir() {
                folders.push(path);
            } else {
                files.push((name(&root, &path), code(&path)));
            }
        }
    }
    assert!(files.len() > 20, "the sources are where this test looks for them");
    files
}

fn name(root: &Path, path: &Path) -> String {
    let relative: PathBuf = path.strip_prefix(root).unwrap().to_owned();
    relative.to_str().unwrap().to_owned()
}

fn code(path: &Path) -> String {
    let text = fs::read_to_string(path).unwrap();
    text.split("#[cfg(test)]\nmod tests").next().unwrap_or_default().to_owned()
}

/// Asserts that none of the words is in the code of any file of the operator but those `allowed`.
fn only(allowed: &[&str], words: &[&str]) {
    only_in(OPERATOR, allowed, words);
}

fn only_in(folder: &str, allowed: &[&str], words: &[&str]) {
    for (name, code) in sources(folder) {
        if allowed.iter().any(|prefix| name.starts_with(prefix)) {
            continue;
        }
        let lines = code.lines().filter(|line| !line.trim_start().starts_with("//"));
        for line in lines {
            for word in words {
                assert!(!line.contains(word), "{folder}/{name} must not contain {word:?}: {line}");
            }
        }
    }
}

#[test]
fn only_ecs_speaks_to_the_cloud() {
    only(&["ecs/"], &["reqwest", "volcengineapi"]);
}

#[test]
fn only_write_changes_image_tasks_only_events_creates_events_and_only_lease_writes_the_lease() {
    only(&["write.rs"], &["Request::put"]);
    only(&["events.rs", "lease.rs"], &[".create("]);
    only(&["events.rs"], &["Api<Event>"]);
    only(&["lease.rs"], &["Api<Lease>", ".replace("]);
    only(
        &[],
        &[
            "Request::post",
            "Request::patch",
            "Request::delete",
            ".patch(",
            ".patch_status(",
            ".replace_status(",
            ".delete(",
        ],
    );
}

#[test]
fn a_tasks_facts_live_in_the_index_alone() {
    only(&["index/", "shared.rs"], &["Mutex<Index>", "Slab<"]);
    only(&["index/", "followed.rs"], &["Followed {"]);
}

#[test]
fn deciding_never_awaits() {
    let doing = [
        "main.rs",
        "cluster.rs",
        "operator.rs",
        "watch.rs",
        "poll.rs",
        "write.rs",
        "events.rs",
        "lease.rs",
        "schema.rs",
        "server.rs",
        "health.rs",
        "apiserver.rs",
        "shared.rs",
        "renew.rs",
        "ecs/client.rs",
        "ecs/http.rs",
        "ecs/sts.rs",
    ];
    only(&doing, &["async ", ".await"]);
    let doing = ["main.rs", "cluster.rs", "choose.rs", "wait.rs", "track.rs", "change.rs", "why.rs"];
    only_in(PLUGIN, &doing, &["async ", ".await"]);
}

#[test]
fn every_file_says_what_it_is_and_stays_small() {
    for folder in [OPERATOR, PLUGIN] {
        for (name, code) in sources(folder) {
            assert!(code.starts_with("//! "), "{folder}/{name} begins with a sentence that says what it is");
            let lines = code.lines().count();
            assert!(lines <= 330, "{folder}/{name} has {lines} lines without its tests: split it by concept");
        }
    }
}
