//! The least rights that work: what the chart grants is enough, and nothing of it can be taken away. Every other test here
//! runs the operator with the same account.

use futures::future::join_all;
use imagetask_operator::api::{ImageTaskSpec, Phase};
use kube::ResourceExt;
use kube::api::PostParams;
use serde_json::{Value, json};
use simulator::{Simulator, Task};

use crate::PROGRAM;
use crate::world::{Process, World, chart, get, task};

/// A right that the chart grants: `get secrets`.
#[derive(Clone, Debug)]
struct Right {
    role: String,
    rule: usize,
    resource: String,
    verb: String,
}

fn rights(objects: &[Value]) -> Vec<Right> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let mut rights = Vec::new();
    for role in objects.iter().filter(|object| object["kind"] == "Role" || object["kind"] == "ClusterRole") {
        for (rule, words) in role["rules"].as_array().unwrap().iter().enumerate() {
            let resources = words["resources"].as_array().unwrap();
            assert_eq!(resources.len(), 1, "a rule names one resource, so that each right can be taken away: {words}");
            rights.extend(words["verbs"].as_array().unwrap().iter().map(|verb| Right {
                role: text(&role["metadata"]["name"]),
                rule,
                resource: text(&resources[0]),
                verb: text(verb),
            }));
        }
    }
    rights
}

/// The objects with all rights but one.
fn without(mut objects: Vec<Value>, right: &Right) -> Vec<Value> {
    let role = objects.iter_mut().find(|it| it["kind"] == "Role" && it["metadata"]["name"] == *right.role);
    let rules = role.expect("it has the role")["rules"].as_array_mut().unwrap();
    let verbs = rules[right.rule]["verbs"].as_array_mut().unwrap();
    verbs.retain(|verb| *verb != right.verb);
    // A rule without verbs is refused.
    if verbs.is_empty() {
        rules.remove(right.rule);
    }
    objects
}

/// A world whose operator has all to do that it may: an end to write and to announce, and a Secret to read.
async fn busy() -> World {
    let world = World::new().await;
    world.cloud.put(Task::export("t-1", "image-1").succeeded());
    let keys = json!({"VOLCENGINE_ACCESS_KEY": Simulator::ACCESS_KEY, "VOLCENGINE_SECRET_KEY": Simulator::SECRET_KEY});
    world.secret("own", keys).await;
    world.follow("t-1").await;
    let spec = json!({"taskId": "t-1", "region": Simulator::REGION, "credentialsRef": {"name": "own"}});
    world.create("with-secret", serde_json::from_value(spec).unwrap()).await;
    world
}

/// What stops when a right is taken away.
enum Loss {
    /// The operator logs these words.
    Logged(&'static str),
    /// The ImageTask with a Secret of its own gets this reason.
    Reason(&'static str),
}

fn loss(right: &Right) -> Loss {
    let logged = match (right.verb.as_str(), right.resource.as_str()) {
        ("get", "secrets") => return Loss::Reason("CredentialsForbidden"),
        ("list" | "watch", "imagetasks") => "the watch of ImageTasks is retried",
        ("update", "imagetasks/status") => "status not written",
        ("create", "events") => "event not created",
        ("create" | "get" | "update" | "watch", "leases") => "the Lease",
        (verb, resource) => panic!("nothing is known to need {verb} of {resource}: is it granted for nothing?"),
    };
    Loss::Logged(logged)
}

/// An operator that stands for election, as it does in a cluster.
async fn replica(world: &World) -> Process {
    let namespace = format!("--lease-namespace={}", world.namespace);
    let flags = ["--leader-elect", &namespace, "--lease-duration=3s", "--poll-interval=1s"];
    world.process(PROGRAM, &flags, &[]).await
}

async fn is_needed(right: &Right) {
    let loss = loss(right);
    let world = busy().await;
    world.install(&without(chart::for_namespace(&world.namespace).await, right)).await;
    let operator = replica(&world).await;
    match loss {
        Loss::Reason(reason) => drop(world.until_reason("with-secret", reason).await),
        Loss::Logged(words) => {
            let refusal = format!(r#"cannot {} resource \"{}\""#, right.verb, right.resource);
            let lines = operator.log_until(&refusal).await;
            assert!(lines.iter().all(|line| line.contains(words)), "{lines:?}");
        }
    }
}

#[tokio::test]
async fn the_rights_of_the_chart_are_enough() {
    let world = busy().await;
    let operator = replica(&world).await;
    for name in ["t-1", "with-secret"] {
        world.until_phase(name, Phase::Succeeded).await;
    }
    world.events_until(|events| events.len() == 2).await;
    assert_eq!(get(&operator.address, "/readyz").await, (200, "ok\n".into()));
    assert_eq!(operator.logged("forbidden"), [""; 0]);
}

#[tokio::test]
async fn every_right_of_the_chart_is_needed() {
    let rights = rights(&chart::for_namespace("any").await);
    assert!(rights.len() >= 5, "the chart grants rights");
    join_all(rights.iter().map(is_needed)).await;
}

#[tokio::test]
async fn a_chart_for_some_namespaces_needs_no_right_over_the_cluster() {
    let objects = chart::for_namespace("any").await;
    let kinds: Vec<_> = objects.iter().map(|object| object["kind"].as_str().unwrap()).collect();
    assert!(!kinds.iter().any(|kind| kind.starts_with("Cluster") || *kind == "CustomResourceDefinition"), "{kinds:?}");
    let outside = objects.iter().filter(|object| object["metadata"]["namespace"] != "any");
    assert_eq!(outside.count(), 0);
}

#[tokio::test]
async fn a_chart_for_the_whole_cluster_follows_image_tasks_in_every_namespace() {
    let (here, there) = (World::new().await, World::new().await);
    let selector = format!("watch.selector=\"world={}\"", here.namespace);
    let lent = r#"credentials.lentTo=["*"]"#;
    let values = ["crds.install=false", "rbac.aggregate=false", "rbac.secrets=\"cluster\"", &selector, lent];
    here.install(&chart::rendered(&here.namespace, &here.namespace, &values).await).await;
    here.cloud.put(Task::export("t-1", "image-1").succeeded());
    there.secret("own", json!({"VOLCENGINE_ACCESS_KEY": "AK", "VOLCENGINE_SECRET_KEY": "x"})).await;
    let _operator = here.operator().await;
    for (world, name, secret) in [(&here, "t-1", None), (&there, "t-1", None), (&there, "with-secret", Some("own"))] {
        let mut spec = serde_json::to_value(task("t-1")).unwrap();
        if let Some(secret) = secret {
            spec["credentialsRef"] = json!({"name": secret});
        }
        let spec: ImageTaskSpec = serde_json::from_value(spec).unwrap();
        let mut object = imagetask_operator::api::ImageTask::new(name, spec);
        object.labels_mut().insert("world".into(), here.namespace.clone());
        world.tasks().create(&PostParams::default(), &object).await.unwrap();
    }
    here.until_phase("t-1", Phase::Succeeded).await;
    there.until_phase("t-1", Phase::Succeeded).await;
    // It was read, and the cloud does not know its key.
    there.until_reason("with-secret", "CredentialsInvalid").await;
}
