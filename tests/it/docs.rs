//! The commands of the README from install to uninstall, and the recipes of docs/: every object in them is one that the API server takes, and every script does what the page says.
//! Objects of tools that do not run here are only read.

use std::path::Path;

use imagetask_operator::api::{ImageTask, Phase};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::rbac::v1::PolicyRule;
use kube::Api;
use kube::api::{Patch, PatchParams};
use kube::core::{ApiResource, DynamicObject, GroupVersionKind};
use kube::runtime::wait::await_condition;
use serde_json::{Value, json};
use simulator::{Simulator, Task};
use tokio::process::Command;

use crate::chart::play_kubelet;
use crate::world::chart::{Account, built, create, objects, until_allowed};
use crate::world::{ControlPlane, PATIENCE, World, reason};

/// Kinds whose CRDs are not here.
const FOREIGN: [&str; 3] = ["Kustomization", "Task", "Workflow"];

/// The id that the recipes follow.
const ID: &str = "t-2zf8q1c7kxyd9ro3wmvb";

fn page(name: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs").join(name)).unwrap()
}

/// The commands in a part of a page, block by block.
fn commands(page: &str, from: &str, to: &str) -> Vec<String> {
    let begins = page.find(from).expect("the page has the first heading");
    let part = &page[begins..begins + page[begins..].find(to).expect("the page has the last heading")];
    part.split("```sh\n").skip(1).map(|rest| rest.split("```").next().unwrap_or_default().to_owned()).collect()
}

/// Runs a block of commands in the repository, as somebody who has followed the page so far.
async fn type_in(plane: &ControlPlane, block: &str) -> String {
    let bin = plane.kubectl.parent().unwrap();
    let helm = built("helm");
    let path = format!("{}:{}:/usr/bin:/bin", bin.display(), helm.parent().unwrap().display());
    let mut shell = Command::new("bash");
    shell.args(["-euo", "pipefail", "-c", block]).current_dir(env!("CARGO_MANIFEST_DIR")).env_clear();
    shell.env("PATH", path).env("KUBECONFIG", &plane.kubeconfig).env("HOME", env!("CARGO_TARGET_TMPDIR"));
    let ended = tokio::time::timeout(PATIENCE, shell.kill_on_drop(true).output()).await;
    let output = ended.unwrap_or_else(|_| panic!("it takes too long: {block}")).unwrap();
    assert!(output.status.success(), "{block}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// Says of a Deployment what its controller would, once its pods run.
async fn play_controller(plane: &ControlPlane, namespace: &str, name: &str) {
    let deployments: Api<Deployment> = Api::namespaced(plane.client().await, namespace);
    let status = json!({"observedGeneration": 1, "replicas": 2, "updatedReplicas": 2, "readyReplicas": 2, "availableReplicas": 2});
    let patch = Patch::Merge(json!({"status": status}));
    deployments.patch_status(name, &PatchParams::default(), &patch).await.unwrap();
}

#[tokio::test]
async fn the_commands_of_the_readme_work_from_install_to_uninstall() {
    let readme = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).unwrap();
    let blocks = commands(&readme, "## Install\n", "## Status at a glance\n");
    let [install, check, first, operate, uninstall] = &blocks[..] else { panic!("{blocks:?}") };
    let plane = Box::leak(Box::new(ControlPlane::start().await));
    let world = World::on(plane, Simulator::start().await).await;
    world.cloud.put(Task::export(ID, "image-1").running(10));
    let (namespace, name) = ("imagetask-system", "imagetask-operator");

    type_in(plane, install).await;
    let manifest = type_in(plane, &format!("helm get manifest {name} --namespace {namespace}")).await;
    world.take(Account::of(plane, namespace, name).await, &objects(&manifest));
    let _operator = world.operator().await;
    play_controller(plane, namespace, name).await;
    let pod = format!("{name}-helm-test");
    let (tested, ()) = tokio::join!(type_in(plane, check), play_kubelet(plane, namespace, &pod));
    assert!(tested.contains("successfully rolled out") && tested.contains("Succeeded"), "{tested}");

    let tasks: Api<ImageTask> = Api::namespaced(world.client.clone(), "default");
    let (listed, ()) = tokio::join!(type_in(plane, first), async {
        let running = |task: Option<&ImageTask>| task.is_some_and(|task| reason(task) == Some("TaskRunning"));
        let seen = await_condition(tasks.clone(), ID, running);
        tokio::time::timeout(PATIENCE, seen).await.expect("it is followed in time").unwrap();
        world.cloud.put(Task::export(ID, "image-1").succeeded());
    });
    assert!(listed.contains("TaskSucceeded"), "{listed}");
    type_in(plane, operate).await;
    type_in(plane, uninstall).await;
    let gone = await_condition(tasks, ID, |task: Option<&ImageTask>| task.is_none());
    // The API server no longer knows the kind.
    drop(tokio::time::timeout(PATIENCE, gone).await.expect("it goes with its CRD in time"));
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
