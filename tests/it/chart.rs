//! The chart on a real API server, by helm: installed over an older one, tested, removed. How it is rendered is tested
//! by helm-unittest (`charts/imagetask-operator/tests`).
//!
//! Applied here: everything that the chart has, ServiceMonitor and PrometheusRule under the CRDs of the Prometheus Operator.
//! No controller and no kubelet runs, so no Pod comes of the Deployment and nobody scrapes; its operator is run by the
//! test, and so is the command of the Pod of `helm test`.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use imagetask_operator::api::{ImageTask, crd};
use k8s_openapi::api::core::v1::{Namespace, Pod};
use k8s_openapi::api::rbac::v1::PolicyRule;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams};
use kube::runtime::conditions::is_crd_established;
use kube::runtime::wait::await_condition;
use kube::{Api, Client, CustomResourceExt, ResourceExt};
use serde_json::{Value, json};
use simulator::Simulator;
use tokio::process::Command;

use crate::world::chart::{self, Account, create, helm, until_allowed};
use crate::world::{ControlPlane, PATIENCE, World, status, task};

const NAME: &str = "imagetask-operator";

/// A copy of the chart whose CRD lacks a field of the status.
fn older_chart() -> PathBuf {
    let copy = Path::new(env!("CARGO_TARGET_TMPDIR")).join("older-chart");
    let mut folders = vec![chart::path()];
    while let Some(folder) = folders.pop() {
        let to = copy.join(folder.strip_prefix(chart::path()).unwrap());
        fs::create_dir_all(&to).unwrap();
        for path in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
            if path.is_dir() {
                folders.push(path);
            } else {
                fs::copy(&path, to.join(path.file_name().unwrap())).unwrap();
            }
        }
    }
    let mut older = serde_json::to_value(crd()).unwrap();
    let root = older.pointer_mut("/spec/versions/0/schema/openAPIV3Schema/properties/status/properties").unwrap();
    root.as_object_mut().unwrap().remove("endAt").expect("the status has the field");
    fs::write(copy.join("files/imagetasks.yaml"), serde_saphyr::to_string(&older).unwrap()).unwrap();
    copy
}

async fn stored_crd(client: &Client) -> CustomResourceDefinition {
    Api::all(client.clone()).get(ImageTask::crd_name()).await.unwrap()
}

fn status_fields(crd: &CustomResourceDefinition) -> BTreeSet<String> {
    let schema = serde_json::to_value(crd).unwrap();
    let fields = schema.pointer("/spec/versions/0/schema/openAPIV3Schema/properties/status/properties").unwrap();
    fields.as_object().unwrap().keys().cloned().collect()
}

/// Does what a kubelet would with the Pod of `helm test`: runs its command as its account, and says how it ended.
pub(crate) async fn play_kubelet(plane: &ControlPlane, namespace: &str, name: &str) {
    let client = plane.client().await;
    let pods: Api<Pod> = Api::namespaced(client.clone(), namespace);
    let there = await_condition(pods.clone(), name, |pod: Option<&Pod>| pod.is_some());
    let pod = tokio::time::timeout(PATIENCE, there).await.expect("helm creates the Pod in time").unwrap().unwrap();
    let pod = pod.spec.unwrap();
    let account = pod.service_account_name.unwrap();
    let rule =
        json!([{"apiGroups": ["ecs.volcengine.com"], "resources": ["imagetasks"], "verbs": ["get", "list", "watch"]}]);
    let rules: Vec<PolicyRule> = serde_json::from_value(rule).unwrap();
    until_allowed(&client, (namespace, &account), Some(namespace), &rules).await;
    let account = Account::of(plane, namespace, &account).await;
    let [container] = &pod.containers[..] else { panic!("it has one container") };
    assert_eq!(container.command.as_deref(), Some(&["kubectl".to_owned()][..]));
    let mut kubectl = Command::new(&plane.kubectl);
    kubectl.args(container.args.as_deref().unwrap()).env_clear().env("KUBECONFIG", account.kubeconfig);
    kubectl.env("HOME", env!("CARGO_TARGET_TMPDIR")).kill_on_drop(true);
    let output = tokio::time::timeout(PATIENCE, kubectl.output()).await.expect("kubectl ends in time").unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let ended = Patch::Merge(json!({"status": {"phase": "Succeeded"}}));
    pods.patch_status(name, &PatchParams::default(), &ended).await.unwrap();
}

#[tokio::test]
async fn helm_upgrades_an_older_chart_with_its_crd_and_tests_it_and_removes_all_but_the_crd() {
    let plane = Box::leak(Box::new(ControlPlane::start().await));
    let world = World::on(plane, Simulator::start().await).await;
    let namespace = world.namespace.as_str();
    let (older, newer) = (older_chart(), chart::path());
    let helm = async |arguments: &[&str]| {
        let at = ["--namespace", namespace];
        helm(&plane.kubeconfig, &[arguments, &at].concat())
            .await
            .unwrap_or_else(|why| panic!("helm {arguments:?}: {why}"))
    };
    let values =
        ["--set-json", r#"credentials.lentTo=["elsewhere"]"#, "--set", "dashboard.enabled=true", "--set", chart::IMAGE];
    helm(&[&["install", NAME, older.to_str().unwrap()], &values[..]].concat()).await;
    assert!(!status_fields(&stored_crd(&world.client).await).contains("endAt"));
    let notes = helm(&[&["upgrade", NAME, newer.to_str().unwrap()], &values[..]].concat()).await;
    assert!(notes.contains("It has no credentials yet"), "{notes}");
    assert_eq!(status_fields(&stored_crd(&world.client).await), status_fields(&crd()));

    world.take(Account::of(plane, namespace, NAME).await, &chart::objects(&helm(&["get", "manifest", NAME]).await));
    let _operator = world.operator().await;
    let pod = format!("{NAME}-helm-test");
    let arguments = ["test", NAME, "--timeout", "1m"];
    let (tested, ()) = tokio::join!(helm(&arguments), play_kubelet(plane, namespace, &pod));
    assert!(tested.contains("Succeeded"), "{tested}");
    let left = world.tasks().list(&ListParams::default()).await.unwrap();
    assert_eq!(left.iter().map(ResourceExt::name_any).collect::<Vec<_>>(), [""; 0]);

    world.follow("t-1").await;
    world.until_all_seen().await;
    helm(&["uninstall", NAME]).await;
    assert!(stored_crd(&world.client).await.metadata.deletion_timestamp.is_none());
    world.tasks().get("t-1").await.unwrap();
    assert_eq!(world.kubectl(&["get", "deployments,serviceaccounts,roles,services", "--output", "name"]).await, "");
}

/// The CRDs of the Prometheus Operator that the chart has objects of.
async fn install_monitoring(client: &Client) {
    for kind in ["servicemonitors", "prometheusrules"] {
        let name = format!("{kind}.monitoring.coreos.com");
        let text = fs::read_to_string(chart::built(&format!("monitoring.coreos.com_{kind}.yaml"))).unwrap();
        let crds: Api<CustomResourceDefinition> = Api::all(client.clone());
        crds.create(&PostParams::default(), &serde_saphyr::from_str(&text).unwrap()).await.unwrap();
        let established = await_condition(crds, &name, is_crd_established());
        tokio::time::timeout(PATIENCE, established).await.expect("the CRD is established in time").unwrap();
    }
}

#[tokio::test]
async fn the_prometheus_operator_finds_what_to_scrape_and_the_alerts() {
    let world = World::new().await;
    install_monitoring(&world.client).await;
    let (namespace, path) = (world.namespace.as_str(), chart::path());
    let only_here = format!("watch.namespaces=[{namespace:?}]");
    let mut install = vec!["install", NAME, path.to_str().unwrap(), "--namespace", namespace, "--set-json", &only_here];
    let unlike_default = ["crds.install=false", "rbac.aggregate=false", "service.port=80"];
    for value in
        [&unlike_default[..], &[chart::IMAGE, "serviceMonitor.enabled=true", "prometheusRule.enabled=true"]].concat()
    {
        install.extend(["--set", value]);
    }
    // The API server refuses what the CRDs do not allow, and fields that they do not know.
    helm(&world.plane.kubeconfig, &install).await.unwrap();
    let read = async |arguments: &[&str]| -> Value {
        serde_json::from_str(&world.kubectl(&[&["get", "--output", "json"], arguments].concat()).await).unwrap()
    };

    let monitor = read(&["servicemonitor", NAME]).await;
    let labels = monitor["spec"]["selector"]["matchLabels"].as_object().unwrap().iter();
    let labels: Vec<_> = labels.map(|(label, value)| format!("{label}={}", value.as_str().unwrap())).collect();
    let services = read(&["services", "--selector", &labels.join(",")]).await;
    let [service] = &services["items"].as_array().unwrap()[..] else { panic!("one Service, not {services}") };
    assert_eq!(service["spec"]["ports"][0]["name"], monitor["spec"]["endpoints"][0]["port"]);
    let pod = &read(&["deployment", NAME]).await["spec"]["template"];
    let pod_labels = pod["metadata"]["labels"].as_object().unwrap();
    assert!(
        service["spec"]["selector"].as_object().unwrap().iter().all(|(label, at)| pod_labels.get(label) == Some(at))
    );
    assert_eq!(service["spec"]["ports"][0]["targetPort"], pod["spec"]["containers"][0]["ports"][0]["name"]);

    let alerts = fs::read_to_string(path.join("files/alerts.yaml")).unwrap();
    let alerts: Value = serde_saphyr::from_str(&alerts).unwrap();
    assert_eq!(read(&["prometheusrule", NAME]).await["spec"], alerts, "nothing is lost on the way");
}

#[tokio::test]
async fn the_pods_run_under_restricted_pod_security() {
    let world = World::new().await;
    let label = json!({"metadata": {"labels": {"pod-security.kubernetes.io/enforce": "restricted"}}});
    let namespaces: Api<Namespace> = Api::all(world.client.clone());
    namespaces.patch(&world.namespace, &PatchParams::default(), &Patch::Merge(label)).await.unwrap();
    let objects = chart::rendered(NAME, &world.namespace, &["credentials.oidc.roleTrn=\"trn:iam::1:role/x\""]).await;
    Account::create(ControlPlane::shared().await, &only(&objects, &["ServiceAccount"])).await;
    let template = &only(&objects, &["Deployment"])[0]["spec"]["template"];
    let pod =
        |spec: Value| -> Pod { serde_json::from_value(json!({"metadata": {"name": "p"}, "spec": spec})).unwrap() };
    let pods: Api<Pod> = Api::namespaced(world.client.clone(), &world.namespace);
    let dry = PostParams { dry_run: true, ..PostParams::default() };
    pods.create(&dry, &pod(template["spec"].clone())).await.unwrap();
    let mut loose = template["spec"].clone();
    loose.as_object_mut().unwrap().remove("securityContext");
    let refused = pods.create(&dry, &pod(loose)).await.unwrap_err().to_string();
    assert!(refused.contains("violates PodSecurity"), "{refused}");
}

fn only(objects: &[Value], kinds: &[&str]) -> Vec<Value> {
    objects.iter().filter(|object| kinds.iter().any(|kind| object["kind"] == *kind)).cloned().collect()
}

/// What an account may do in a world, by doing it.
async fn can(world: &World, account: &Account) -> Vec<&'static str> {
    let tasks: Api<ImageTask> = Api::namespaced(Client::try_from(account.config.clone()).unwrap(), &world.namespace);
    let merge = PatchParams::default();
    let (spec, told) = (json!({"spec": {"timeout": "1h"}}), json!({"status": {"phase": "Succeeded"}}));
    world.follow("t-1").await;
    let done = [
        ("get", tasks.get("t-1").await.is_ok()),
        ("list", tasks.list(&ListParams::default()).await.is_ok()),
        ("create", tasks.create(&PostParams::default(), &ImageTask::new("t-2", task("t-2"))).await.is_ok()),
        ("patch", tasks.patch("t-1", &merge, &Patch::Merge(spec)).await.is_ok()),
        ("patch status", tasks.patch_status("t-1", &merge, &Patch::Merge(told)).await.is_ok()),
        ("delete", tasks.delete("t-1", &DeleteParams::default()).await.is_ok()),
    ];
    done.into_iter().filter(|(_, may)| *may).map(|(what, _)| what).collect()
}

#[tokio::test]
async fn people_who_view_may_look_and_people_who_edit_may_write_all_but_the_status() {
    let shared = ControlPlane::shared().await;
    let aggregating = |role: &Value| {
        let labels = role["metadata"]["labels"].as_object().unwrap().iter();
        let to = labels.filter_map(|(label, _)| label.strip_prefix("rbac.authorization.k8s.io/aggregate-to-"));
        to.map(str::to_owned).collect::<Vec<_>>()
    };
    for (which, to, may) in [
        ("view", &["admin", "edit", "view"][..], &["get", "list"][..]),
        ("edit", &["admin", "edit"], &["create", "patch", "delete"]),
    ] {
        let world = World::new().await;
        let objects = chart::rendered(&world.namespace, &world.namespace, &[]).await;
        let name = format!("{0}:{0}-{NAME}-{which}", world.namespace);
        let role = objects.iter().find(|object| object["metadata"]["name"] == *name).expect("the chart has the role");
        assert_eq!(aggregating(role), to);
        let account = json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": which, "namespace": world.namespace}});
        let binding = json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding",
            "metadata": {"name": which, "namespace": world.namespace},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": name},
            "subjects": [{"kind": "ServiceAccount", "name": which, "namespace": world.namespace}],
        });
        for object in [role, &account, &binding] {
            create(&world.client, object).await;
        }
        let rules: Vec<PolicyRule> = serde_json::from_value(role["rules"].clone()).unwrap();
        until_allowed(&world.client, (&world.namespace, which), Some(&world.namespace), &rules).await;
        assert_eq!(can(&world, &Account::of(shared, &world.namespace, which).await).await, may);
        assert!(world.tasks().list(&ListParams::default()).await.unwrap().iter().all(|it| status(it).phase.is_none()));
    }
}

#[tokio::test]
async fn helm_lint_has_nothing_to_complain_of() {
    let told = helm(Path::new("/dev/null"), &["lint", "--strict", chart::path().to_str().unwrap()]).await.unwrap();
    assert!(told.contains("0 chart(s) failed"), "{told}");
}

/// The paths of all values; a map of any keys (`open`) is one value.
fn paths(values: &Value, at: &str, open: &BTreeSet<String>, found: &mut BTreeSet<String>) {
    match values.as_object() {
        Some(map) if !open.contains(at) => {
            for (key, value) in map {
                paths(value, &if at.is_empty() { key.clone() } else { format!("{at}.{key}") }, open, found);
            }
        }
        Some(_) | None => {
            found.insert(at.to_owned());
        }
    }
}

/// The values of the schema: the paths to what it does not close further, and those of them that are maps of any keys.
fn declared(schema: &Value, at: &str, all: &mut BTreeSet<String>, open: &mut BTreeSet<String>) {
    match schema["properties"].as_object() {
        Some(properties) => {
            // Helm gives `global` to every chart, with whatever the others read.
            assert!(at == "global" || schema["additionalProperties"] == false, "{at} of values.schema.json is closed");
            for (key, value) in properties {
                declared(value, &if at.is_empty() { key.clone() } else { format!("{at}.{key}") }, all, open);
            }
        }
        None => {
            if schema["type"] == "object" {
                open.insert(at.to_owned());
            }
            all.insert(at.to_owned());
        }
    }
}

/// The values that the templates read.
fn used() -> BTreeSet<String> {
    let mut texts = Vec::new();
    let mut folders = vec![chart::path().join("templates")];
    while let Some(folder) = folders.pop() {
        for path in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
            if path.is_dir() { folders.push(path) } else { texts.push(fs::read_to_string(path).unwrap()) }
        }
    }
    let mut used = BTreeSet::new();
    for rest in texts.iter().flat_map(|text| text.split(".Values.").skip(1)) {
        let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '.').unwrap_or(rest.len());
        used.insert(rest[..end].trim_end_matches('.').to_owned());
    }
    used
}

#[test]
fn every_value_is_declared_and_used_and_every_use_is_declared() {
    let text = fs::read_to_string(chart::path().join("values.yaml")).unwrap();
    assert!(text.lines().count() < 150, "values.yaml stays small");
    let values: Value = serde_saphyr::from_str(&text).unwrap();
    let schema = fs::read_to_string(chart::path().join("values.schema.json")).unwrap();
    let (mut all, mut open, mut written) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
    declared(&serde_json::from_str(&schema).unwrap(), "", &mut all, &mut open);
    paths(&values, "", &open, &mut written);
    assert_eq!(written, all, "values.yaml and values.schema.json name the same");
    assert_eq!(used(), all, "the templates read what there is");
}
