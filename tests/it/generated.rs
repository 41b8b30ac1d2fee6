//! Files that are generated are fresh, and files that are shown work.

use std::fs;
use std::path::{Path, PathBuf};

use imagetask_operator::api::{self, ImageTask};
use imagetask_operator::reason::Reason;
use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use kube::api::{Patch, PatchParams};
use kube::core::DynamicObject;

use crate::world::World;

fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

#[test]
fn the_crd_in_the_repository_is_the_one_of_the_types() {
    for copy in ["crds/imagetasks.yaml", "charts/imagetask-operator/files/imagetasks.yaml"] {
        let stored = fs::read_to_string(repository(copy)).unwrap_or_default();
        assert!(stored == api::manifest(), "{copy} is stale: run `make crds` and commit the result");
    }
}

#[tokio::test]
async fn every_example_is_let_in() {
    let world = World::new().await;
    let mut applied = 0;
    for entry in fs::read_dir(repository("crds/examples")).unwrap() {
        let path = entry.unwrap().path();
        let text = fs::read_to_string(&path).unwrap();
        let objects: Vec<DynamicObject> = serde_saphyr::from_multiple(&text).unwrap();
        for object in objects {
            let kind = object.types.as_ref().map(|types| types.kind.as_str());
            let name = object.metadata.name.clone().unwrap();
            let params = PatchParams::apply("it").force();
            let patch = Patch::Apply(&object);
            let stored = match kind {
                Some("ImageTask") => world.tasks().patch(&name, &params, &patch).await.map(drop),
                Some("Secret") => {
                    let secrets: Api<Secret> = Api::namespaced(world.client.clone(), &world.namespace);
                    secrets.patch(&name, &params, &patch).await.map(drop)
                }
                other => panic!("{}: {other:?} is no kind of an example", path.display()),
            };
            stored.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            applied += 1;
        }
    }
    assert!(applied > 0, "crds/examples holds examples");
}

#[test]
fn every_flag_and_metric_is_in_the_readme() {
    use clap::CommandFactory;
    let readme = fs::read_to_string(repository("README.md")).unwrap();
    let command = imagetask_operator::config::Cli::command();
    for argument in command.get_arguments() {
        let flag = format!("--{}", argument.get_long().expect("every argument is a flag"));
        assert!(readme.contains(&flag), "{flag} is not in README.md");
    }
    let source = fs::read_to_string(repository("src/metrics.rs")).unwrap();
    for name in source.split("own.register(\"").skip(1).filter_map(|rest| rest.split('"').next()) {
        assert!(readme.contains(&format!("imagetask_{name}")), "imagetask_{name} is not in README.md");
    }
}

#[test]
fn every_test_that_the_threat_model_names_is_there() {
    let text = fs::read_to_string(repository("SECURITY.md")).unwrap();
    let threats: Vec<&str> = text.lines().filter(|line| line.starts_with("| T")).collect();
    assert_eq!(threats.len(), 20, "T1 to T20");
    let sources = [sources("src"), sources("tests")].concat();
    for threat in threats {
        let shown = threat.trim_end_matches(" |").rsplit(" | ").next().unwrap();
        let tests: Vec<&str> = shown.split('`').skip(1).step_by(2).collect();
        assert!(!tests.is_empty() || shown.starts_with("none"), "a test, or none: {threat}");
        for test in tests {
            assert!(sources.contains(&format!("fn {test}(")), "SECURITY.md names {test}, which is no test");
        }
    }
}

/// The text of every Rust file under a folder.
fn sources(folder: &str) -> String {
    let mut text = String::new();
    for path in fs::read_dir(repository(folder)).unwrap().map(|entry| entry.unwrap().path()) {
        if path.is_dir() {
            text += &sources(path.strip_prefix(env!("CARGO_MANIFEST_DIR")).unwrap().to_str().unwrap());
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            text += &fs::read_to_string(path).unwrap();
        }
    }
    text
}

#[test]
fn the_examples_follow_tasks_by_their_own_names() {
    for entry in fs::read_dir(repository("crds/examples")).unwrap() {
        let text = fs::read_to_string(entry.unwrap().path()).unwrap();
        let objects: Vec<serde_json::Value> = serde_saphyr::from_multiple(&text).unwrap();
        for object in objects.into_iter().filter(|object| object["kind"] == "ImageTask") {
            let task: ImageTask = serde_json::from_value(object).unwrap();
            let followed = task.spec.task_id.or(task.spec.resource_id).unwrap();
            let name = task.metadata.name.unwrap();
            assert!(name.contains(&followed), "{name} is not named after {followed}");
        }
    }
}

/// The headings of a page of the documentation, by level two.
fn headings(page: &str) -> Vec<String> {
    let text = fs::read_to_string(repository(page)).unwrap();
    text.lines().filter_map(|line| line.strip_prefix("## ")).map(str::to_owned).collect()
}

#[test]
fn every_reason_is_explained() {
    assert_eq!(headings("docs/reasons.md"), Reason::ALL.map(Reason::as_str));
}

#[test]
fn every_alert_is_in_the_runbook() {
    let text = fs::read_to_string(repository("charts/imagetask-operator/files/alerts.yaml")).unwrap();
    let alerts: serde_json::Value = serde_saphyr::from_str(&text).unwrap();
    let rules = alerts["groups"][0]["rules"].as_array().unwrap();
    assert_eq!(
        headings("docs/runbook.md"),
        rules.iter().map(|rule| rule["alert"].as_str().unwrap()).collect::<Vec<_>>()
    );
}

#[test]
fn every_link_in_the_documentation_leads_somewhere() {
    let mut pages = vec![repository("README.md"), repository("charts/imagetask-operator/README.md")];
    pages.extend(fs::read_dir(repository("docs")).unwrap().map(|entry| entry.unwrap().path()));
    for page in pages.iter().filter(|page| page.extension().is_some_and(|extension| extension == "md")) {
        let text = fs::read_to_string(page).unwrap();
        for link in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let (file, heading) = link.split_once('#').unwrap_or((link, ""));
            if file.starts_with("https://") {
                continue;
            }
            let target = if file.is_empty() { page.clone() } else { page.with_file_name(file) };
            assert!(target.exists(), "{}: there is no {link}", page.display());
            let headed = |line: &str| line.trim_start_matches('#').trim().to_lowercase().replace(' ', "-") == heading;
            let found = heading.is_empty() || fs::read_to_string(&target).unwrap().lines().any(headed);
            assert!(found, "{}: there is no heading for {link}", page.display());
        }
    }
}
