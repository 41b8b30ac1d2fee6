//! What all processes of the bench have used up to a moment, and what that is a second between two moments.

use std::time::Duration;

use anyhow::Context as _;

use crate::subject::Running;
use crate::world::World;
use crate::{pause, proc};

/// Attempts to read the metrics of the API server; each lasts up to kube's 30 s for a connection.
const SCRAPES: usize = 5;

/// Without a write for so long there are none to come.
const STILL: Duration = Duration::from_secs(2);

/// CPU seconds and counts up to a moment.
pub(crate) struct Sample {
    pub(crate) at: f64,
    subject: f64,
    apiserver: f64,
    etcd: f64,
    simulator: f64,
    bench: f64,
    busy: f64,
    writes: Writes,
    metrics: String,
}

/// Requests that write the status of an ImageTask, as the API server counts them.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Writes {
    pub(crate) all: f64,
    /// Answered 409: decided on a version that is not the stored one.
    pub(crate) conflicts: f64,
    /// Answered 429: more requests at once than the API server lets wait; kube's client sends them again.
    pub(crate) throttled: f64,
    /// Answered 5xx.
    pub(crate) failed: f64,
}

/// What a stretch of time took; CPU in cores.
pub(crate) struct Used {
    pub(crate) seconds: f64,
    pub(crate) subject: f64,
    pub(crate) apiserver: f64,
    pub(crate) etcd: f64,
    pub(crate) simulator: f64,
    pub(crate) bench: f64,
    /// What has nothing to do with the bench; above some per cent the figures are not to be trusted.
    pub(crate) strangers: f64,
    pub(crate) writes: Writes,
}

impl Used {
    /// The API server's part of all CPU time that was used.
    pub(crate) fn apiserver_share(&self) -> f64 {
        let Self { subject, apiserver, etcd, simulator, bench, strangers, .. } = self;
        apiserver / (subject + apiserver + etcd + simulator + bench + strangers)
    }
}

impl Sample {
    pub(crate) async fn take(world: &World, running: &Running) -> anyhow::Result<Self> {
        let simulator = proc::cpu_of_threads("simulator")?;
        let own = i32::try_from(std::process::id()).context("process ids are small")?;
        Ok(Self {
            at: world.seconds(),
            subject: proc::cpu(running.pid)?,
            apiserver: proc::cpu(world.plane.apiserver)?,
            etcd: proc::cpu(world.plane.etcd)?,
            simulator,
            bench: proc::cpu(own)? - simulator,
            busy: proc::busy()?,
            writes: Writes::so_far(world).await?,
            metrics: running.metrics().await?,
        })
    }

    /// What was used from this moment to a later one.
    pub(crate) fn until(&self, later: &Self) -> Used {
        let seconds = later.at - self.at;
        let cores = |of: fn(&Self) -> f64| (of(later) - of(self)) / seconds;
        let own = |sample: &Self| sample.subject + sample.apiserver + sample.etcd + sample.simulator + sample.bench;
        Used {
            seconds,
            subject: cores(|it| it.subject),
            apiserver: cores(|it| it.apiserver),
            etcd: cores(|it| it.etcd),
            simulator: cores(|it| it.simulator),
            bench: cores(|it| it.bench),
            strangers: ((later.busy - self.busy - own(later) + own(self)) / seconds).max(0.0),
            writes: Writes {
                all: later.writes.all - self.writes.all,
                conflicts: later.writes.conflicts - self.writes.conflicts,
                throttled: later.writes.throttled - self.writes.throttled,
                failed: later.writes.failed - self.writes.failed,
            },
        }
    }

    /// The bound of the operator's own histogram under which a share of what came until `later` lies.
    pub(crate) fn bound_until(&self, later: &Self, histogram: &str, share: f64) -> Option<f64> {
        let before: Vec<_> = buckets(&self.metrics, histogram).collect();
        let counts =
            buckets(&later.metrics, histogram).zip(before).map(|((le, after), (_, before))| (le, after - before));
        let counts: Vec<_> = counts.collect();
        let total = counts.last().map(|(_, count)| *count).filter(|total| *total > 0.0)?;
        counts.iter().find(|(_, count)| *count >= share * total).map(|(le, _)| *le)
    }
}

impl Writes {
    /// Waits until there are no more of them.
    pub(crate) async fn until_still(world: &World, patience: Duration) -> anyhow::Result<()> {
        let (end, mut before) = (world.seconds() + patience.as_secs_f64(), Self::so_far(world).await?.all);
        loop {
            pause(STILL).await;
            let after = Self::so_far(world).await?.all;
            if after == before {
                return Ok(());
            }
            anyhow::ensure!(world.seconds() < end, "statuses are written without an end: see the log");
            before = after;
        }
    }

    async fn so_far(world: &World) -> anyhow::Result<Self> {
        let text = scrape(world).await?;
        let mut writes = Self::default();
        for line in text.lines().filter(|line| line.starts_with("apiserver_request_total{")) {
            let has = |label: &str| line.contains(label);
            if has("resource=\"imagetasks\"") && has("subresource=\"status\"") && !has("verb=\"GET\"") {
                let count: f64 = line.rsplit(' ').next().unwrap_or_default().parse()?;
                writes.all += count;
                let coded = |code: &str| if has(code) { count } else { 0.0 };
                writes.conflicts += coded("code=\"409\"");
                writes.throttled += coded("code=\"429\"");
                writes.failed += coded("code=\"5");
            }
        }
        Ok(writes)
    }
}

/// The metrics of the API server, which may be too busy to answer at once.
async fn scrape(world: &World) -> anyhow::Result<String> {
    let mut failure = None;
    for _ in 0..SCRAPES {
        match world.plane.client.request_text(http::Request::get("/metrics").body(Vec::new())?).await {
            Ok(text) => return Ok(text),
            Err(error) => failure = Some(error),
        }
    }
    Err(failure.context("it was tried")?).context("the API server does not tell its metrics")
}

/// The cumulated buckets of a histogram: upper bound and count.
fn buckets<'a>(metrics: &'a str, histogram: &str) -> impl Iterator<Item = (f64, f64)> + use<'a> {
    let start = format!("{histogram}_bucket{{le=\"");
    metrics.lines().filter_map(move |line| {
        let (bound, count) = line.strip_prefix(&start)?.split_once("\"} ")?;
        Some((bound.replace("+Inf", "inf").parse().ok()?, count.parse().ok()?))
    })
}
