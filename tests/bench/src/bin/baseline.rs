//! The yardstick: what one writes after reading the kube-rs documentation, a `Controller` that asks for one task in each
//! reconcile and comes back after the interval. It shares with the operator the types of the resource and the client of
//! the cloud, writes the same conditions, and writes only what has changed; what differs is the shape.

use std::borrow::Cow;
use std::collections::HashMap;
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context as _;
use clap::Parser;
use futures::StreamExt;
use imagetask_operator::api::{ImageTask, ImageTaskStatus, Phase};
use imagetask_operator::clock::Clock;
use imagetask_operator::credentials::Credentials;
use imagetask_operator::ecs::{self, Batch, Endpoint, Ids, Region, Task, TaskId, TaskProgress, Word};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::api::{Patch, PatchParams};
use kube::runtime::controller::{self, Action, Controller};
use kube::runtime::watcher;
use kube::{Api, Client, Resource, ResourceExt};
use serde::Serialize;
use serde_json::json;
use simulator::Simulator;
use tokio::signal::unix::{SignalKind, signal};

/// Pause after a reconcile that failed.
const PAUSE: Duration = Duration::from_secs(1);

/// The textbook controller.
#[derive(Parser)]
struct Args {
    /// The simulated cloud
    #[arg(long)]
    endpoint: String,
    /// The namespace to watch
    #[arg(long)]
    namespace: String,
    /// Seconds between two looks at one task
    #[arg(long)]
    interval: u64,
    /// Reconciles at once; 0 is kube's default, without a bound
    #[arg(long)]
    concurrency: u16,
}

/// What every reconcile needs.
struct World {
    client: Client,
    cloud: ecs::Client,
    credentials: Credentials,
    region: Region,
    interval: Duration,
    clock: Clock,
    writes: Mutex<Writes>,
}

/// What it wrote, to be told at the end; the controller itself makes no use of it.
#[derive(Default)]
struct Writes {
    versions: HashMap<String, u64>,
    sent: u64,
    /// Sent although the version that it was decided on is older than what was written before.
    stale: u64,
    /// Of these, the ones that changed what is stored, and so make another event and another reconcile.
    stale_and_stored: u64,
}

/// What became of the writes; one line on standard output when it is told to stop.
#[derive(Serialize)]
struct Told {
    sent: u64,
    stale: u64,
    stale_and_stored: u64,
}

#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("cannot ask the cloud")]
    Cloud(#[from] ecs::Error),
    #[error("cannot write the status")]
    Write(#[from] kube::Error),
    #[error("{0} follows no task id")]
    Target(String),
}

fn main() -> ExitCode {
    let args = Args::parse();
    drop(rustls::crypto::ring::default_provider().install_default());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    match runtime.map_err(anyhow::Error::from).and_then(|runtime| runtime.block_on(run(args))) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(args: Args) -> anyhow::Result<()> {
    let client = Client::try_default().await.context("set KUBECONFIG")?;
    let keys = |name: &str| match name {
        "VOLCENGINE_ACCESS_KEY" => Some(Simulator::ACCESS_KEY.into()),
        "VOLCENGINE_SECRET_KEY" => Some(Simulator::SECRET_KEY.into()),
        _ => None,
    };
    let world = Arc::new(World {
        client: client.clone(),
        cloud: ecs::Client::new(Some(Endpoint::parse(&args.endpoint)?))?,
        credentials: Credentials::from_pairs(keys)?,
        region: Region::parse(Simulator::REGION)?,
        interval: Duration::from_secs(args.interval),
        clock: Clock::start(),
        writes: Mutex::default(),
    });
    let api: Api<ImageTask> = Api::namespaced(client, &args.namespace);
    let mut terminate = signal(SignalKind::terminate())?;
    let controller = Controller::new(api, watcher::Config::default())
        .with_config(controller::Config::default().concurrency(args.concurrency))
        .run(reconcile, error_policy, world.clone())
        .for_each(|_| futures::future::ready(()));
    // At once, not after the reconciles under way: without a bound of them that may take minutes.
    tokio::select! {
        () = controller => {}
        _ = terminate.recv() => {}
    }
    let Writes { sent, stale, stale_and_stored, .. } = &*world.writes.lock().unwrap_or_else(PoisonError::into_inner);
    let told = Told { sent: *sent, stale: *stale, stale_and_stored: *stale_and_stored };
    serde_json::to_writer(std::io::stdout(), &told)?;
    Ok(())
}

async fn reconcile(object: Arc<ImageTask>, world: Arc<World>) -> Result<Action, Failure> {
    let finished = |status: &ImageTaskStatus| status.phase.is_some_and(Phase::is_end);
    if object.status.as_ref().is_some_and(finished) {
        return Ok(Action::await_change());
    }
    let id = object.spec.task_id.as_deref().and_then(|id| TaskId::parse(id).ok());
    let id = id.ok_or_else(|| Failure::Target(object.name_any()))?;
    let batch = Batch::Tasks(Ids::new(vec![id]).expect("it is one"));
    let clock = world.clock;
    let now = move || clock.now().wall.shown();
    let answer = world.cloud.describe_tasks(&world.credentials, &world.region, &batch, &now).await?;
    let Some(task) = answer.tasks.first() else {
        return Ok(Action::requeue(world.interval));
    };
    let wanted = status(&object, task, &world);
    let over = finished(&wanted);
    if object.status.as_ref() != Some(&wanted) {
        write(&object, &wanted, &world).await?;
    }
    Ok(if over { Action::await_change() } else { Action::requeue(world.interval) })
}

fn error_policy(_: Arc<ImageTask>, _: &Failure, _: Arc<World>) -> Action {
    Action::requeue(PAUSE)
}

async fn write(object: &ImageTask, wanted: &ImageTaskStatus, world: &World) -> Result<(), Failure> {
    let namespace = object.namespace().unwrap_or_default();
    let api: Api<ImageTask> = Api::namespaced(world.client.clone(), &namespace);
    let patch = json!({
        "apiVersion": ImageTask::api_version(&()), "kind": ImageTask::kind(&()), "status": wanted,
    });
    let (name, decided_on) = (object.name_any(), version(object));
    let stored = api.patch_status(&name, &PatchParams::apply("baseline").force(), &Patch::Apply(patch)).await?;
    let mut writes = world.writes.lock().unwrap_or_else(PoisonError::into_inner);
    let before = writes.versions.insert(name, version(&stored)).unwrap_or(0);
    writes.sent += 1;
    if decided_on < before {
        writes.stale += 1;
        writes.stale_and_stored += u64::from(version(&stored) > before);
    }
    Ok(())
}

fn version(object: &ImageTask) -> u64 {
    object.resource_version().and_then(|version| version.parse().ok()).unwrap_or(0)
}

fn status(object: &ImageTask, task: &Task, world: &World) -> ImageTaskStatus {
    let word = |word: Word| task.word(word).map(Cow::into_owned);
    let (phase, reason) = match task.progress() {
        TaskProgress::Pending => (Phase::Pending, "TaskPending"),
        TaskProgress::Running => (Phase::Running, "TaskRunning"),
        TaskProgress::Unknown => (Phase::Running, "TaskStatusUnknown"),
        TaskProgress::Succeeded => (Phase::Succeeded, "TaskSucceeded"),
        TaskProgress::Failed => (Phase::Failed, "TaskFailed"),
    };
    let before = object.status.clone().unwrap_or_default();
    let now = Time(world.clock.now().wall.shown());
    ImageTaskStatus {
        observed_generation: object.metadata.generation,
        phase: Some(phase),
        process: task.process().map(i32::from),
        status: word(Word::Status),
        task_id: Some(task.id.as_str().to_owned()),
        type_: word(Word::Type),
        resource_id: word(Word::Resource),
        created_at: word(Word::Created),
        updated_at: word(Word::Updated),
        end_at: word(Word::Ended),
        region: Some(world.region.as_str().to_owned()),
        spec_revision: None,
        completion_time: before.completion_time.clone().or_else(|| phase.is_end().then(|| now.clone())),
        last_handled_reconcile_at: before.last_handled_reconcile_at.clone(),
        conditions: conditions(&before, object.metadata.generation, phase, reason, &now),
    }
}

/// The conditions of a phase; one that stood with the same status and reason stays as it was.
fn conditions(
    before: &ImageTaskStatus,
    generation: Option<i64>,
    phase: Phase,
    reason: &str,
    now: &Time,
) -> Vec<Condition> {
    let truth = |truth| if truth { "True" } else { "False" };
    let abnormal = match phase {
        Phase::Pending | Phase::Running | Phase::Error => Some("Reconciling"),
        Phase::Failed => Some("Stalled"),
        Phase::Succeeded => None,
    };
    let ready = ("Ready", truth(phase == Phase::Succeeded));
    let all = [Some(ready), abnormal.map(|type_| (type_, "True")), Some(("Finished", truth(phase.is_end())))];
    let condition = |(type_, status): (&str, &str)| {
        let old = before.conditions.iter().find(|old| old.type_ == type_ && old.status == status);
        let same_reason = old.filter(|old| old.reason == reason);
        Condition {
            type_: type_.to_owned(),
            status: status.to_owned(),
            reason: reason.to_owned(),
            message: same_reason.map_or_else(|| format!("the task is {}", phase.as_str()), |old| old.message.clone()),
            last_transition_time: old.map_or_else(|| now.clone(), |old| old.last_transition_time.clone()),
            observed_generation: generation,
        }
    };
    all.into_iter().flatten().map(condition).collect()
}
