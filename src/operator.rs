//! The wiring: every loop, from the first list to the last drained write.

use std::sync::Arc;
use std::time::Duration;

use kube::Client;
use tokio::net::TcpListener;
use tokio::task::{JoinError, JoinHandle, JoinSet};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::config::Config;
use crate::election::Lost;
use crate::health::Health;
use crate::index::WatchId;
use crate::lease::Candidacy;
use crate::metrics::Metrics;
use crate::schema::Schema;
use crate::shared::Shared;
use crate::{dates, ecs, events};
use crate::{lease, page, poll, schema, server, watch, write};

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
    /// Another replica may lead now.
    #[error(transparent)]
    Lost(#[from] Lost),
    /// A loop ended that never does.
    #[error("the {0} loop has ended")]
    Ended(&'static str),
    /// A loop panicked.
    #[error("a loop has panicked")]
    Panicked(#[from] JoinError),
}

/// Runs the operator until `stop`; the leader of several where it stands for election. The clients for watching, for
/// writing and for the Lease are kept apart, so that none queues behind another.
pub async fn run(
    config: Config,
    candidacy: Option<Candidacy>,
    kubernetes: kube::Config,
    listener: TcpListener,
    stop: CancellationToken,
) -> Result<(), OperatorError> {
    let cloud = ecs::Client::new(config.endpoint)?;
    let sts = config.role.map(ecs::Sts::new).transpose()?;
    let (events, announcements) = events::queue();
    let shared = Arc::new(Shared::new(config.settings, Metrics::new(), events));
    let client = || dates::client(kubernetes.clone(), &shared).map_err(OperatorError::Kubernetes);
    let mut changing = kubernetes.clone();
    // A retry of kube's own may outlive the term; Events, which nothing makes anew, bound theirs by it.
    changing.default_retry = false;
    let changing_client = || dates::client(changing.clone(), &shared).map_err(OperatorError::Kubernetes);
    let crd = Arc::new(Schema::default());
    let health = Health::new(shared.clock);
    let mut watching = kubernetes.clone();
    // Bounds what kube leaves unbounded: a list, or a watch whose answer never begins.
    watching.read_timeout = Some(Duration::from_secs(u64::from(watch::WATCH_SECONDS) + 20));
    watching.reset_reader_on_write = true;
    let watch_client = || page::bounded_client(watching.clone(), &shared).map_err(OperatorError::Kubernetes);
    let mut loops = JoinSet::new();
    for (id, scope) in (0..).zip(config.scopes) {
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
    loops.spawn(async {
        serving.await;
        OperatorError::Ended("server")
    });
    let release = CancellationToken::new();
    let electing = elect(candidacy, changing_client()?, &shared, &release, &health);
    let last = CancellationToken::new();
    let announcing = events::run(client()?, announcements, shared.clone(), last.clone(), health.register("events"));
    let announcing = tokio::spawn(announcing);
    let writes_stop = CancellationToken::new();
    let writing = write::run(changing_client()?, shared.clone(), crd, writes_stop.clone(), health.register("write"));
    let writing = tokio::spawn(writing);
    Running { loops, writing, writes_stop, announcing, last, electing, release }.until(stop).await
}

/// Leads at once where there is no other replica.
fn elect(
    candidacy: Option<Candidacy>,
    client: Client,
    shared: &Arc<Shared>,
    release: &CancellationToken,
    health: &Health,
) -> JoinHandle<Result<(), Lost>> {
    let Some(candidacy) = candidacy else {
        shared.change(|index, now| index.lead(Duration::MAX, now));
        let release = release.clone();
        return tokio::spawn(async move {
            release.cancelled().await;
            Ok(())
        });
    };
    tokio::spawn(lease::run(client, candidacy, shared.clone(), release.clone(), health.register("lease")))
}

/// What runs, in the order in which it is stopped.
struct Running {
    loops: JoinSet<OperatorError>,
    writing: JoinHandle<()>,
    writes_stop: CancellationToken,
    announcing: JoinHandle<()>,
    last: CancellationToken,
    electing: JoinHandle<Result<(), Lost>>,
    release: CancellationToken,
}

impl Running {
    /// Runs until `stop`, or until something ends that must not.
    async fn until(mut self, stop: CancellationToken) -> Result<(), OperatorError> {
        let ended = tokio::select! {
            () = stop.cancelled() => Ok(()),
            Some(ended) = self.loops.join_next() => Err(ended.unwrap_or_else(OperatorError::Panicked)),
            ended = &mut self.writing => Err(ended.map_or_else(OperatorError::Panicked, |()| OperatorError::Ended("write"))),
            // Another may lead now: whatever is still to be done is no more ours to do.
            lost = &mut self.electing => return Err(unelected(lost)),
        };
        self.loops.shutdown().await;
        self.drain().await?;
        info!("stopped");
        ended
    }

    /// Lets what is decided come to its end, and gives the Lease back after it. Where writes are still under way the Lease
    /// is not given back: they end with this process, and others wait for as long as they would after a crash.
    async fn drain(&mut self) -> Result<(), OperatorError> {
        self.writes_stop.cancel();
        let last = async {
            let written =
                !self.writing.is_finished() && timeout(DRAIN, &mut self.writing).await.is_ok_and(|it| it.is_ok());
            if !written {
                warn!("stopped with statuses unwritten: they are found anew after the next start");
                return false;
            }
            // With the loops and the writes gone nobody announces any more: the Events that wait are the last.
            self.last.cancel();
            if timeout(LAST_EVENTS, &mut self.announcing).await.is_err() {
                warn!("stopped with events uncreated");
                self.announcing.abort();
            }
            true
        };
        let done = tokio::select! {
            done = last => done,
            lost = &mut self.electing => return Err(unelected(lost)),
        };
        if done {
            self.release.cancel();
            return (&mut self.electing).await?.map_err(OperatorError::Lost);
        }
        Ok(())
    }
}

fn unelected(ended: Result<Result<(), Lost>, JoinError>) -> OperatorError {
    match ended {
        Ok(Ok(())) => OperatorError::Ended("lease"),
        Ok(Err(lost)) => OperatorError::Lost(lost),
        Err(panicked) => OperatorError::Panicked(panicked),
    }
}
