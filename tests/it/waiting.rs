//! The tools that wait for an ImageTask, for real: the kstatus library, Flux's wait and Argo CD's health script over every
//! version of an object, `kubectl wait`, and Helm 4.
//!
//! A row is a line of the status table: phase, Ready, Reconciling, Stalled, Finished, and what kstatus makes of them; Flux
//! and Argo CD must make the same of them, and are named in the row only where their word is another. Four
//! states take a minute or an API server of their own to bring about: Throttled and CloudUnavailable, CredentialsForbidden,
//! and InvalidSpec. They differ from rows shown here by a word that kstatus does not read; `conditions.rs` holds that there
//! are no other combinations of conditions.

use std::path::Path;
use std::process::Stdio;

use futures::StreamExt;
use futures::future::join_all;
use futures::stream::BoxStream;
use imagetask_operator::api::{ImageTaskSpec, Phase};
use kube::api::{ListParams, PostParams, WatchEvent, WatchParams};
use kube::core::DynamicObject;
use kube::{Api, ResourceExt};
use serde_json::{Value, json};
use simulator::{Fault, Simulator, Task};
use tokio::io::AsyncWriteExt;
use tokio::process::{Child, Command};

use crate::world::chart::built;
use crate::world::{ControlPlane, PATIENCE, World, status, task};

/// What every ImageTask is before the operator has seen it.
const FRESH: &str = "- | - | - | - | - | InProgress";
const RUNNING: &str = "Running | False/TaskRunning | True/TaskRunning | - | False | InProgress";

/// Every version of the ImageTasks of a world, in order: one watch that begins before they are created.
struct Story {
    tasks: Api<DynamicObject>,
    changes: BoxStream<'static, kube::Result<WatchEvent<DynamicObject>>>,
    versions: Vec<DynamicObject>,
}

impl Story {
    async fn begin(world: &World) -> Self {
        let tasks = world.dynamic();
        let now = tasks.list(&ListParams::default()).await.unwrap().metadata.resource_version.unwrap();
        let changes = tasks.watch(&WatchParams::default(), &now).await.unwrap().boxed();
        Self { tasks, changes, versions: Vec::new() }
    }

    /// The rows that an ImageTask has been in up to now.
    async fn of(&mut self, name: &str) -> Vec<String> {
        let now = self.tasks.get(name).await.unwrap().resource_version();
        while !self.versions.iter().any(|version| version.name_any() == name && version.resource_version() == now) {
            let change = tokio::time::timeout(PATIENCE, self.changes.next()).await;
            let change = change.expect("the watch catches up in time").expect("the watch lasts as long as the test");
            let (WatchEvent::Added(version) | WatchEvent::Modified(version)) = change.unwrap() else {
                panic!("nothing is deleted in the story of {name}");
            };
            self.versions.push(version);
        }
        let versions: Vec<_> = self.versions.iter().filter(|version| version.name_any() == name).collect();
        let words = verdicts(&versions).await;
        let mut rows: Vec<_> = versions.iter().zip(&words).map(|(version, word)| row(&version.data, word)).collect();
        rows.dedup();
        rows
    }
}

fn row(object: &Value, kstatus: &str) -> String {
    let condition = |type_: &str| {
        let conditions = object["status"]["conditions"].as_array()?;
        let found = conditions.iter().find(|condition| condition["type"] == *type_)?;
        let word = |field: &str| found[field].as_str().unwrap_or("?").to_owned();
        Some((word("status"), word("reason")))
    };
    let with_reason = |type_: &str| condition(type_).map(|(status, reason)| format!("{status}/{reason}"));
    let finished = condition("Finished").map(|(status, reason)| match status.as_str() {
        "False" => status,
        _ => format!("{status}/{reason}"),
    });
    let phase = object["status"]["phase"].as_str().map(str::to_owned);
    let columns = [phase, with_reason("Ready"), with_reason("Reconciling"), with_reason("Stalled"), finished];
    let shown = columns.map(|column| column.unwrap_or_else(|| "-".to_owned()));
    format!("{} | {kstatus}", shown.join(" | "))
}

/// What the tools make of objects: the word of kstatus, and of the others where it does not follow from that.
async fn verdicts(objects: &[&DynamicObject]) -> Vec<String> {
    let input: Vec<u8> = objects.iter().flat_map(|object| serde_json::to_vec(object).unwrap()).collect();
    let told = read_by_verdicts(&[], &input).await;
    let words: Vec<_> = told.lines().map(verdict).collect();
    assert_eq!(words.len(), objects.len(), "{told}");
    words
}

fn verdict(line: &str) -> String {
    let words: Vec<_> = line.split(' ').collect();
    match words[..] {
        ["InProgress", "waits", "Progressing"] | ["Current", "ready", "Healthy"] | ["Failed", "failed", "Degraded"] => {
            words[0].to_owned()
        }
        [kstatus, flux, argocd] => format!("{kstatus}, Flux {flux}, Argo CD {argocd}"),
        _ => panic!("three words are told of an object, not {line:?}"),
    }
}

/// What the program with kstatus, Flux's wait and Argo CD's scripts makes of its input.
async fn read_by_verdicts(arguments: &[&str], input: &[u8]) -> String {
    let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/argocd/resource_customizations");
    let mut command = Command::new(built("verdicts"));
    command.arg(scripts).args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
    let mut child = command.spawn().unwrap();
    child.stdin.take().expect("it is piped").write_all(input).await.unwrap();
    let (success, told) = Waiting(child).end().await;
    assert!(success, "{told}");
    told
}

/// A tool at work.
struct Waiting(Child);

impl Waiting {
    /// Starts a tool on the shared API server, with no settings of whoever runs the test: caches and all are in HOME.
    async fn begin(program: &Path, arguments: &[&str]) -> Self {
        let mut command = Command::new(program);
        command.args(arguments).env_clear();
        command.env("KUBECONFIG", &ControlPlane::shared().await.kubeconfig);
        command.env("HOME", Path::new(env!("CARGO_TARGET_TMPDIR")).join("waiting"));
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        Self(command.spawn().unwrap_or_else(|error| panic!("cannot start {}: {error}", program.display())))
    }

    fn must_go_on(&mut self) {
        assert_eq!(self.0.try_wait().unwrap(), None, "the tool waits no longer");
    }

    /// Whether it succeeded, and what it said.
    async fn end(self) -> (bool, String) {
        let end = tokio::time::timeout(PATIENCE, self.0.wait_with_output()).await;
        let output = end.expect("the tool ends in time").unwrap();
        (output.status.success(), String::from_utf8([output.stdout, output.stderr].concat()).unwrap())
    }
}

#[tokio::test]
async fn a_task_is_in_progress_until_it_succeeds_and_current_ever_after() {
    let world = World::new().await;
    let mut story = Story::begin(&world).await;
    world.cloud.put(Task::export("t-1", "image-1").pending());
    world.follow("t-1").await;
    let _operator = world.operator().await;
    world.until_reason("t-1", "TaskPending").await;
    world.cloud.change("t-1", &json!({"Status": "Running"}));
    world.until_reason("t-1", "TaskRunning").await;
    world.cloud.change("t-1", &json!({"Status": "Defragmenting"}));
    world.until_reason("t-1", "TaskStatusUnknown").await;
    world.cloud.change("t-1", &json!({"Status": "Succeeded"}));
    world.until_phase("t-1", Phase::Succeeded).await;
    world.change("t-1", json!({"spec": {"suspend": true}})).await;
    world.until("t-1", "observed", |object| status(object).observed_generation == Some(2)).await;
    assert_eq!(
        story.of("t-1").await,
        [
            FRESH,
            "Pending | False/TaskPending | True/TaskPending | - | False | InProgress",
            RUNNING,
            "Running | False/TaskStatusUnknown | True/TaskStatusUnknown | - | False | InProgress",
            "Succeeded | True/TaskSucceeded | - | - | True/TaskSucceeded | Current",
            // The spec has changed and is not yet seen.
            "Succeeded | True/TaskSucceeded | - | - | True/TaskSucceeded | InProgress",
            "Succeeded | True/TaskSucceeded | - | - | True/TaskSucceeded | Current",
        ]
    );
}

#[tokio::test]
async fn a_task_that_ends_without_success_is_failed() {
    let world = World::new().await;
    let mut story = Story::begin(&world).await;
    world.cloud.put(Task::export("t-breaks", "image-1").failed());
    world.cloud.put(Task::export("t-endless", "image-2").running(10));
    let _operator = world.operator().await;
    world.follow("t-breaks").await;
    world.create("t-endless", ImageTaskSpec { timeout: Some("5s".into()), ..task("t-endless") }).await;
    world.until_phase("t-breaks", Phase::Failed).await;
    assert_eq!(
        story.of("t-breaks").await,
        [FRESH, "Failed | False/TaskFailed | - | True/TaskFailed | True/TaskFailed | Failed",]
    );
    world.until_phase("t-endless", Phase::Failed).await;
    assert_eq!(
        story.of("t-endless").await,
        [
            FRESH,
            RUNNING,
            "Failed | False/DeadlineExceeded | - | True/DeadlineExceeded | True/DeadlineExceeded | Failed",
        ]
    );
}

/// The rows of trouble that befalls an ImageTask in a phase, within its grace and after it.
fn trouble(phase: &str, reason: &str) -> [String; 2] {
    [
        format!("{phase} | False/{reason} | True/{reason} | - | False | InProgress"),
        format!("Error | False/{reason} | - | True/{reason} | False | Failed"),
    ]
}

#[tokio::test]
async fn an_absent_task_is_in_progress_within_its_grace_and_failed_until_it_heals() {
    let world = World::new().await;
    let mut story = Story::begin(&world).await;
    world.cloud.put(Task::export("t-lost", "image-1").running(10));
    let _operator = world.operator_with(&["--poll-interval=1s", "--not-found-grace=2s", "--stuck-after=2s"]).await;
    world.follow("t-lost").await;
    world.until_phase("t-lost", Phase::Running).await;
    world.cloud.remove("t-lost");
    world.follow("t-unknown").await;
    for (name, before, last, reason) in
        [("t-lost", &[FRESH, RUNNING][..], "Running", "TaskLost"), ("t-unknown", &[FRESH], "Pending", "TaskNotFound")]
    {
        world.until_phase(name, Phase::Error).await;
        world.cloud.put(Task::export(name, "image-1").running(10));
        world.until_phase(name, Phase::Running).await;
        let [within, after] = trouble(last, reason);
        assert_eq!(story.of(name).await, [before, &[&within, &after, RUNNING]].concat());
    }
}

#[tokio::test]
async fn trouble_with_credentials_is_in_progress_within_its_grace_and_failed_until_it_heals() {
    let world = World::new().await;
    let mut story = Story::begin(&world).await;
    world.cloud.put(Task::export("t-1", "image-1").running(10));
    let keys = json!({"VOLCENGINE_ACCESS_KEY": Simulator::ACCESS_KEY, "VOLCENGINE_SECRET_KEY": Simulator::SECRET_KEY});
    world.secret("malformed", json!({"VOLCENGINE_ACCESS_KEY": Simulator::ACCESS_KEY})).await;
    let _operator = world.operator_with(&["--poll-interval=1s", "--stuck-after=2s"]).await;
    let names = [("missing", "CredentialsNotFound"), ("malformed", "CredentialsInvalid")];
    for (name, _) in names {
        let spec = json!({"taskId": "t-1", "region": Simulator::REGION, "credentialsRef": {"name": name}});
        world.create(name, serde_json::from_value(spec).unwrap()).await;
    }
    for (name, reason) in names {
        world.until_phase(name, Phase::Error).await;
        let [within, after] = trouble("Pending", reason);
        assert_eq!(story.of(name).await, [FRESH, &within, &after]);
    }
    world.secret("missing", keys).await;
    world.until_phase("missing", Phase::Running).await;
    assert_eq!(story.of("missing").await.last().map(String::as_str), Some(RUNNING));
}

#[tokio::test]
async fn a_refused_request_is_in_progress_within_its_grace_and_failed_after_it() {
    let world = World::new().await;
    let mut story = Story::begin(&world).await;
    let cases = [("t-denied", "AccessDenied", "AccessDenied"), ("t-odd", "InvalidParameter.Odd", "RequestRejected")];
    for (id, code, _) in cases {
        world.cloud.put(Task::export(id, "image-1").running(10));
        world.cloud.order(Fault::code(code).only_id(id));
    }
    // Without one that is answered, the account would be at fault and not the task.
    world.cloud.put(Task::export("t-good", "image-1").running(10));
    let _operator = world.operator_with(&["--poll-interval=1s", "--stuck-after=2s"]).await;
    for id in ["t-good", "t-denied", "t-odd"] {
        world.follow(id).await;
    }
    for (id, _, reason) in cases {
        world.until_phase(id, Phase::Error).await;
        let [within, after] = trouble("Pending", reason);
        assert_eq!(story.of(id).await, [FRESH, &within, &after]);
    }
    assert_eq!(story.of("t-good").await, [FRESH, RUNNING]);
}

#[tokio::test]
async fn trouble_of_the_cloud_short_of_a_minute_leaves_an_image_task_in_progress() {
    let faults = [Fault::code("FlowLimitExceeded"), Fault::status(503), Fault::closed()];
    let outages = faults.map(async |fault| {
        let world = World::new().await;
        let mut story = Story::begin(&world).await;
        world.cloud.put(Task::export("t-1", "image-1").running(10));
        world.cloud.order(fault);
        let _operator = world.operator().await;
        world.follow("t-1").await;
        world.cloud.until("two calls were in vain", |cloud| cloud.call_count() >= 2).await;
        assert_eq!(story.of("t-1").await, [FRESH]);
        world.cloud.clear_faults();
        world.until_phase("t-1", Phase::Running).await;
        assert_eq!(story.of("t-1").await, [FRESH, RUNNING]);
    });
    join_all(outages).await;
}

#[tokio::test]
async fn a_suspended_image_task_is_in_progress() {
    let world = World::new().await;
    let mut story = Story::begin(&world).await;
    world.cloud.put(Task::export("t-1", "image-1").running(10));
    let _operator = world.operator().await;
    world.follow("t-1").await;
    world.until_phase("t-1", Phase::Running).await;
    world.change("t-1", json!({"spec": {"suspend": true}})).await;
    world.until_reason("t-1", "Suspended").await;
    assert_eq!(
        story.of("t-1").await,
        [FRESH, RUNNING, "Running | Unknown/Suspended | - | - | False | InProgress, Flux waits, Argo CD Suspended",]
    );
}

#[tokio::test]
async fn what_only_a_user_can_repair_is_failed_at_once() {
    let world = World::new().await;
    let mut story = Story::begin(&world).await;
    let row = |reason: &str| format!("Error | False/{reason} | - | True/{reason} | False | Failed");
    let unlent = world.operator_with(&["--default-credentials-namespaces=elsewhere"]).await;
    world.follow("t-denied").await;
    world.until_reason("t-denied", "PolicyDenied").await;
    assert_eq!(story.of("t-denied").await, [FRESH.to_owned(), row("PolicyDenied")]);
    unlent.stop().await;
    let _operator = world.operator().await;
    world.create("t-nowhere", ImageTaskSpec { region: None, ..task("t-nowhere") }).await;
    world.until_reason("t-nowhere", "RegionUnknown").await;
    assert_eq!(story.of("t-nowhere").await, [FRESH.to_owned(), row("RegionUnknown")]);
}

const READY: &str = "condition=Ready";
const FINISHED: &str = "condition=Finished";
const STALLED: &str = "condition=Stalled";
const SUCCEEDED: &str = "jsonpath={.status.phase}=Succeeded";

async fn kubectl_wait(world: &World, name: &str, what: &str, timeout: &str) -> Waiting {
    let (object, what) = (format!("imagetask/{name}"), format!("--for={what}"));
    let arguments = ["wait", "--namespace", &world.namespace, &object, &what, "--timeout", timeout];
    Waiting::begin(&ControlPlane::shared().await.kubectl, &arguments).await
}

/// What `kubectl wait` sees met by an ImageTask that stays as it is.
async fn met(world: &World, name: &str) -> Vec<&'static str> {
    let waits = [READY, FINISHED, STALLED, SUCCEEDED].map(async |what| {
        let (success, told) = kubectl_wait(world, name, what, "3s").await.end().await;
        assert!(success || told.contains("timed out waiting for the condition"), "{told}");
        success.then_some(what)
    });
    join_all(waits).await.into_iter().flatten().collect()
}

#[tokio::test]
async fn kubectl_wait_returns_when_the_task_succeeds_and_not_before() {
    let world = World::new().await;
    world.cloud.put(Task::export("t-1", "image-1").running(10));
    world.follow("t-1").await;
    assert_eq!(met(&world, "t-1").await, [""; 0]);
    let _operator = world.operator().await;
    world.until_phase("t-1", Phase::Running).await;
    let mut waits = join_all([READY, FINISHED, SUCCEEDED].map(|what| kubectl_wait(&world, "t-1", what, "1h"))).await;
    assert_eq!(met(&world, "t-1").await, [""; 0]);
    waits.iter_mut().for_each(Waiting::must_go_on);
    world.cloud.put(Task::export("t-1", "image-1").succeeded());
    for wait in waits {
        let (success, told) = wait.end().await;
        assert!(success, "{told}");
    }
    assert_eq!(met(&world, "t-1").await, [READY, FINISHED, SUCCEEDED]);
}

#[tokio::test]
async fn kubectl_wait_tells_a_failed_task_from_one_that_cannot_be_followed() {
    let world = World::new().await;
    world.cloud.put(Task::export("t-breaks", "image-1").failed());
    let _operator = world.operator_with(&["--poll-interval=1s", "--not-found-grace=1s"]).await;
    world.follow("t-breaks").await;
    world.follow("t-unknown").await;
    world.until_phase("t-breaks", Phase::Failed).await;
    world.until_phase("t-unknown", Phase::Error).await;
    let (breaks, unknown) = tokio::join!(met(&world, "t-breaks"), met(&world, "t-unknown"));
    assert_eq!((&breaks[..], &unknown[..]), (&[FINISHED, STALLED][..], &[STALLED][..]));
}

#[tokio::test]
async fn kubectl_wait_takes_no_end_of_an_old_generation() {
    let world = World::new().await;
    world.cloud.put(Task::export("t-1", "image-1").succeeded());
    let operator = world.operator().await;
    world.follow("t-1").await;
    world.until_phase("t-1", Phase::Succeeded).await;
    operator.stop().await;
    world.change("t-1", json!({"spec": {"suspend": true}})).await;
    // A jsonpath knows no generation; that does no harm, for the task that is followed cannot be changed.
    assert_eq!(met(&world, "t-1").await, [SUCCEEDED]);
    let mut waits = join_all([READY, FINISHED].map(|what| kubectl_wait(&world, "t-1", what, "1h"))).await;
    waits.iter_mut().for_each(Waiting::must_go_on);
    let _operator = world.operator().await;
    for wait in waits {
        let (success, told) = wait.end().await;
        assert!(success, "{told}");
    }
}

/// `helm upgrade --install --wait` with the chart that follows one task.
async fn helm(world: &World, id: &str, timeout: &str) -> Waiting {
    let chart = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/waiting/chart");
    let values = format!("taskId={id},region={}", Simulator::REGION);
    let mut arguments = vec!["upgrade", "--install", "--wait", "--timeout", timeout, "--namespace", &world.namespace];
    arguments.extend(["--set", &values, "follow", chart.to_str().unwrap()]);
    Waiting::begin(&built("helm"), &arguments).await
}

#[tokio::test]
async fn helm_returns_when_the_task_succeeds_and_not_before() {
    let world = World::new().await;
    world.cloud.put(Task::export("t-1", "image-1").running(10));
    let _operator = world.operator().await;
    let mut install = helm(&world, "t-1", "1h").await;
    world.until_phase("t-1", Phase::Running).await;
    world.cloud.until("three more beats have passed", |cloud| cloud.asked("t-1") >= 4).await;
    install.must_go_on();
    world.cloud.put(Task::export("t-1", "image-1").succeeded());
    let (success, told) = install.end().await;
    assert!(success, "{told}");
}

#[tokio::test]
async fn helm_reports_a_failed_task_at_once() {
    let world = World::new().await;
    world.cloud.put(Task::export("t-1", "image-1").running(10));
    let _operator = world.operator().await;
    let mut install = helm(&world, "t-1", "1h").await;
    world.until_phase("t-1", Phase::Running).await;
    install.must_go_on();
    world.cloud.put(Task::export("t-1", "image-1").failed());
    let (success, told) = install.end().await;
    let complaint = format!("ImageTask/{}/t-1 not ready. status: Failed, message: the task failed", world.namespace);
    assert!(!success && told.contains(&complaint), "{told}");
}

#[tokio::test]
async fn helm_waits_for_an_image_task_that_nobody_has_seen_yet() {
    let world = World::new().await;
    let (success, told) = helm(&world, "t-1", "3s").await.end().await;
    let complaint = format!("ImageTask/{}/t-1 not ready. status: InProgress", world.namespace);
    assert!(!success && told.contains(&complaint), "{told}");
}

async fn flux_wait(world: &World, id: &str, timeout: &str) -> Waiting {
    Waiting::begin(&built("verdicts"), &["flux-wait", &world.namespace, id, timeout]).await
}

#[tokio::test]
async fn flux_waits_for_success_and_fails_fast() {
    let world = World::new().await;
    world.cloud.put(Task::export("t-1", "image-1").running(10));
    world.cloud.put(Task::export("t-2", "image-2").running(10));
    let _operator = world.operator().await;
    for id in ["t-1", "t-2"] {
        world.follow(id).await;
    }
    let (mut works, mut breaks) = tokio::join!(flux_wait(&world, "t-1", "1h"), flux_wait(&world, "t-2", "1h"));
    for id in ["t-1", "t-2"] {
        world.until_phase(id, Phase::Running).await;
    }
    [&mut works, &mut breaks].into_iter().for_each(Waiting::must_go_on);
    world.cloud.put(Task::export("t-1", "image-1").succeeded());
    world.cloud.put(Task::export("t-2", "image-2").failed());
    let ((success, _), (failure, told)) = tokio::join!(works.end(), breaks.end());
    assert_eq!((success, failure), (true, false));
    assert!(told.contains("failed early due to stalled resources") && told.contains("status: 'Failed'"), "{told}");
}

/// Lets an action of Argo CD change an ImageTask; Argo CD patches the object with what the action has changed.
async fn act(world: &World, name: &str, action: &str) {
    let object = world.dynamic().get(name).await.unwrap();
    let after = read_by_verdicts(&[action], &serde_json::to_vec(&object).unwrap()).await;
    let after: DynamicObject = serde_json::from_str(&after).unwrap();
    world.dynamic().replace(name, &PostParams::default(), &after).await.unwrap();
}

#[tokio::test]
async fn argo_cd_suspends_resumes_and_refreshes() {
    let world = World::new().await;
    world.cloud.put(Task::export("t-1", "image-1").running(10));
    let _operator = world.operator().await;
    world.follow("t-1").await;
    world.until_phase("t-1", Phase::Running).await;
    act(&world, "t-1", "suspend").await;
    world.until_reason("t-1", "Suspended").await;
    act(&world, "t-1", "resume").await;
    world.until_reason("t-1", "TaskRunning").await;
    act(&world, "t-1", "refresh").await;
    world.until("t-1", "refreshed", |object| status(object).last_handled_reconcile_at.is_some()).await;
}
