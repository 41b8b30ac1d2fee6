//! The recipes of docs/: every object in them is one that the API server takes, and every script does what the page says.
//! Objects of tools that do not run here are only read. The commands of the README and of docs/install.md are run by
//! releases.rs.

use std::path::Path;

use imagetask_operator::api::Phase;
use k8s_openapi::api::rbac::v1::PolicyRule;
use kube::Api;
use kube::api::{Patch, PatchParams};
use kube::core::{ApiResource, DynamicObject, GroupVersionKind};
use serde_json::{Value, json};
use simulator::Task;
use tokio::process::Command;

use crate::world::chart::{Account, create, objects, until_allowed};
use crate::world::{ControlPlane, PATIENCE, World};

/// Kinds whose CRDs are not here.
const FOREIGN: [&str; 3] = ["Kustomization", "Task", "Workflow"];

/// The id that the recipes follow.
pub(crate) const ID: &str = "t-2zf8q1c7kxyd9ro3wmvb";

pub(crate) fn page(name: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs").join(name)).unwrap()
}

/// The commands in a part of a page, block by block.
pub(crate) fn commands(page: &str, from: &str, to: &str) -> Vec<String> {
    let begins = page.find(from).expect("the page has the first heading");
    let part = &page[begins..begins + page[begins..].find(to).expect("the page has the last heading")];
    part.split("```sh\n").skip(1).map(|rest| rest.split("```").next().unwrap_or_default().to_owned()).collect()
}

/// The objects in the YAML of a page, as they are in a namespace.
fn in_yaml(page: &str, namespace: &str) -> Vec<Value> {
    let blocks = page.split("```yaml\n").skip(1).map(|rest| rest.split("```").next().unwrap_or_default());
    let mut all = Vec::new();
    for mut object in blocks.flat_map(|block| objects(&block.replace("{{ .Release.Namespace }}", namespace))) {
        object["metadata"]["namespace"] = json!(namespace);
        all.push(object);
    }
    all
}

fn of_kind<'a>(objects: &'a [Value], kind: &str) -> &'a Value {
    objects.iter().find(|object| object["kind"] == *kind).unwrap_or_else(|| panic!("the page shows a {kind}"))
}

#[tokio::test]
async fn every_object_in_the_recipes_is_let_in() {
    let world = World::new().await;
    let mut pages = 0;
    for entry in std::fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs")).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        if !name.ends_with(".md") {
            continue;
        }
        for object in in_yaml(&page(&name), &world.namespace) {
            pages += 1;
            let object: DynamicObject = serde_json::from_value(object).unwrap();
            let types = object.types.as_ref().unwrap();
            if FOREIGN.contains(&types.kind.as_str()) {
                continue;
            }
            let resource = ApiResource::from_gvk(&GroupVersionKind::try_from(types).unwrap());
            let api: Api<DynamicObject> = Api::namespaced_with(world.client.clone(), &world.namespace, &resource);
            let params = PatchParams { dry_run: true, ..PatchParams::apply("it").force() }.validation_strict();
            let stored = api.patch(object.metadata.name.as_deref().unwrap(), &params, &Patch::Apply(&object)).await;
            stored.unwrap_or_else(|error| panic!("{name}: {}: {error}", types.kind));
        }
    }
    assert!(pages >= 8, "the recipes show objects");
}

/// A world where the task of the recipes runs, and the account that the page for Helm 3 gives to its Job.
async fn with_account() -> (World, Account) {
    let world = World::new().await;
    world.cloud.put(Task::export(ID, "image-1").running(10));
    world.follow(ID).await;
    let all = in_yaml(&page("helm3.md"), &world.namespace);
    for kind in ["ServiceAccount", "Role", "RoleBinding"] {
        create(&world.client, of_kind(&all, kind)).await;
    }
    let rules: Vec<PolicyRule> = serde_json::from_value(of_kind(&all, "Role")["rules"].clone()).unwrap();
    let account = (world.namespace.as_str(), "wait-for-image");
    until_allowed(&world.client, account, Some(&world.namespace), &rules).await;
    let account = Account::of(ControlPlane::shared().await, &world.namespace, "wait-for-image").await;
    (world, account)
}

/// Whether a command of a recipe succeeds, run as its account, and what it says.
async fn run(account: &Account, command: &mut Command) -> (bool, String) {
    let plane = ControlPlane::shared().await;
    let path = format!("{}:/usr/bin:/bin", plane.kubectl.parent().unwrap().display());
    command.env_clear().env("PATH", path).env("KUBECONFIG", &account.kubeconfig).env("IMAGETASK", ID);
    command.env("HOME", env!("CARGO_TARGET_TMPDIR")).kill_on_drop(true);
    let output = tokio::time::timeout(PATIENCE, command.output()).await.expect("it ends in time").unwrap();
    (output.status.success(), String::from_utf8([output.stdout, output.stderr].concat()).unwrap())
}

#[tokio::test]
async fn the_job_for_helm_3_waits_for_success() {
    let (world, account) = with_account().await;
    let job = of_kind(&in_yaml(&page("helm3.md"), &world.namespace), "Job").clone();
    let words = &job["spec"]["template"]["spec"]["containers"][0]["command"];
    let words: Vec<&str> = words.as_array().unwrap().iter().map(|word| word.as_str().unwrap()).collect();
    let _operator = world.operator().await;
    let mut kubectl = Command::new(words[0]);
    let ((success, told), ()) = tokio::join!(run(&account, kubectl.args(&words[1..])), async {
        world.until_phase(ID, Phase::Running).await;
        world.cloud.put(Task::export(ID, "image-1").succeeded());
    });
    assert!(success, "{told}");
}

#[tokio::test]
async fn the_script_for_tekton_tells_success_from_failure() {
    let task = in_yaml(&page("tekton.md"), "any");
    let script = of_kind(&task, "Task")["spec"]["steps"][0]["script"].as_str().unwrap().to_owned();
    for (end, succeeds, says) in [
        (Task::export(ID, "image-1").succeeded(), true, "the task succeeded"),
        (Task::export(ID, "image-1").failed(), false, "the task failed"),
    ] {
        let (world, account) = with_account().await;
        let _operator = world.operator().await;
        let mut shell = Command::new("sh");
        let ((success, told), ()) = tokio::join!(run(&account, shell.args(["-c", &script])), async {
            world.until_phase(ID, Phase::Running).await;
            world.cloud.put(end);
        });
        assert!(success == succeeds && told.contains(says), "{told}");
    }
}
