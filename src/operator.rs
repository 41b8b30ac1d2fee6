//! The wiring: every loop, from the first list to the last drained write.

use std::sync::Arc;
use std::time::Duration;

use kube::Client;
use tokio::net::TcpListener;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::config::Config;
use crate::health::Health;
use crate::index::WatchId;
use crate::metrics::Metrics;
use crate::schema::Schema;
use crate::shared::Shared;
use crate::{ecs, events};
use crate::{poll, schema, server, watch, write};

/// How long a clean stop waits for writes, well under the 30 s after which a kubelet kills.
const DRAIN: Duration = Duration::from_secs(10);

/// How long it waits for Events after that.
const LAST_EVENTS: Duration = Duration::from_secs(2);

/// Why the operator could not go on.
#[derive(Debug, thiserror::Error)]
pub enum OperatorError {
    /// The client of the cloud could not be built.
    #[error("cannot build the HTTP client of the cloud: are CA certificates installed?")]
    Cloud(#[from] ecs::BuildError),
    /// The client of the API server could not be built.
    #[error("cannot build the client of the Kubernetes API server")]
    Kubernetes(#[source] kube::Error),
    /// The HTTP server ended.
    #[error("cannot serve /livez, /readyz and /metrics")]
    Server(#[source] std::io::Error),
    /// A loop ended that never does.
    #[error("the {0} loop has ended")]
    Ended(&'static str),
    /// A loop panicked.
    #[error("a loop has panicked")]
    Panicked(#[from] tokio::task::JoinError),
}

/// Runs the operator until `stop`, with the clients for watching and for writing kept apart, so that neither queues
/// behind the other.
pub async fn run(
    config: Config,
    kubernetes: kube::Config,
    listener: TcpListener,
    stop: CancellationToken,
) -> Result<(), OperatorError> {
    let cloud = ecs::Client::new(config.endpoint)?;
    let sts = config.role.map(ecs::Sts::new).transpose()?;
    let client = || Client::try_from(kubernetes.clone()).map_err(OperatorError::Kubernetes);
    let (events, announcements) = events::queue();
    let shared = Arc::new(Shared::new(config.settings, Metrics::new(), events));
    let crd = Arc::new(Schema::default());
    let health = Health::new(shared.clock);
    let mut watching = kubernetes.clone();
    // Bounds what kube leaves unbounded: a list, or a watch whose answer never begins.
    watching.read_timeout = Some(Duration::from_secs(u64::from(watch::WATCH_SECONDS) + 20));
    watching.reset_reader_on_write = true;
    let watch_client = || Client::try_from(watching.clone()).map_err(OperatorError::Kubernetes);
    let mut loops = tokio::task::JoinSet::new();
    for (id, scope) in config.scopes.into_iter().enumerate() {
        let watching =
            watch::run(watch_client()?, scope, WatchId(id), shared.clone(), health.register_unready("watch"));
        loops.spawn(async {
            watching.await;
            OperatorError::Ended("watch")
        });
    }
    let polling = poll::run(cloud, sts, client()?, shared.clone(), health.register("poll"));
    loops.spawn(async {
        polling.await;
        OperatorError::Ended("poll")
    });
    let reading = schema::run(client()?, crd.clone(), shared.clock, health.register("schema"));
    loops.spawn(async {
        reading.await;
        OperatorError::Ended("schema")
    });
    let serving = server::serve(listener, health.clone(), shared.clone());
    loops.spawn(async { serving.await.map_or_else(OperatorError::Server, |()| OperatorError::Ended("server")) });
    let announcing = tokio::spawn(events::run(client()?, announcements, shared.clock, health.register("events")));
    let writes_stop = CancellationToken::new();
    let writing = write::run(client()?, shared, crd, writes_stop.clone(), health.register("write"));
    let mut writing = tokio::spawn(writing);
    let ended = tokio::select! {
        () = stop.cancelled() => None,
        ended = loops.join_next() => ended,
        ended = &mut writing => Some(ended.map(|()| OperatorError::Ended("write"))),
    };
    loops.shutdown().await;
    writes_stop.cancel();
    if !writing.is_finished() && timeout(DRAIN, &mut writing).await.is_err() {
        warn!("stopped with statuses unwritten: they are found anew after the next start");
        writing.abort();
    }
    // With the loops and the writes gone nobody announces any more, and the Events that wait come to their end.
    if timeout(LAST_EVENTS, announcing).await.is_err() {
        warn!("stopped with events uncreated");
    }
    info!("stopped");
    match ended {
        None => Ok(()),
        Some(Ok(error)) => Err(error),
        Some(Err(panicked)) => Err(panicked.into()),
    }
}
