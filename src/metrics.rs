//! What is counted. Labels are closed sets: no names, ids, keys or messages.

use std::fmt;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric};
use prometheus_client::metrics::counter::{ConstCounter, Counter};
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::{ConstGauge, Gauge};
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use crate::clock::Now;
use crate::ecs::ErrorKind;
use crate::index::{Change, Index, News, Written};
use crate::reason::Reason;

/// The metrics of one operator.
pub struct Metrics {
    registry: Registry,
    requests: Family<Code, Counter>,
    request_seconds: Histogram,
    ids_per_request: Histogram,
    poll_lag: Histogram,
    first_status: Histogram,
    tasks: Family<PhaseLabel, Gauge>,
    ends: Family<Ended, Counter>,
    writes: Family<WriteOutcome, Counter>,
    status_queue: Gauge,
    /// Errors after which a watch is begun anew, a missing CRD included.
    pub watch_restarts: Counter,
    invalid_objects: Gauge,
    lanes: Family<LaneState, Gauge>,
    leader: Gauge,
    clock_skew: Gauge<f64, AtomicU64>,
    foreign_writes: Counter,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Code {
    code: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct PhaseLabel {
    phase: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Ended {
    reason: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct WriteOutcome {
    kind: &'static str,
    outcome: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct LaneState {
    state: &'static str,
}

/// Seconds of one exchange with the cloud: from a fast answer to the 10 s at which a call is given up.
const REQUEST_SECONDS: [f64; 8] = [0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

/// Seconds behind the schedule: from on time, over the 30 s of the alert, to the 5 min of the slowest asking.
const LAG_SECONDS: [f64; 11] = [0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 300.0];

/// Ids in one question: from one to the API's limit of 100.
const IDS: [f64; 8] = [1.0, 2.0, 5.0, 10.0, 25.0, 50.0, 75.0, 100.0];

/// The reasons of ends.
const ENDS: [Reason; 3] = [Reason::TaskSucceeded, Reason::TaskFailed, Reason::DeadlineExceeded];

impl Metrics {
    /// All metrics at zero.
    pub fn new() -> Self {
        let mut metrics = Self {
            registry: Registry::default(),
            requests: Family::default(),
            request_seconds: Histogram::new(REQUEST_SECONDS),
            ids_per_request: Histogram::new(IDS),
            poll_lag: Histogram::new(LAG_SECONDS),
            first_status: Histogram::new(LAG_SECONDS),
            tasks: Family::default(),
            ends: Family::default(),
            writes: Family::default(),
            status_queue: Gauge::default(),
            watch_restarts: Counter::default(),
            invalid_objects: Gauge::default(),
            lanes: Family::default(),
            leader: Gauge::default(),
            clock_skew: Gauge::default(),
            foreign_writes: Counter::default(),
        };
        metrics.begin();
        metrics.register();
        metrics
    }

    /// Shows every counter from the start: one that appears at 1 has, for Prometheus, never grown.
    fn begin(&self) {
        for code in ["ok"].into_iter().chain(ErrorKind::ALL.map(ErrorKind::label)) {
            self.requests.get_or_create(&Code { code }).inc_by(0);
        }
        for reason in ENDS.map(Reason::as_str) {
            self.ends.get_or_create(&Ended { reason }).inc_by(0);
        }
        for kind in Change::ALL.map(Change::label) {
            for outcome in Written::LABELS {
                self.writes.get_or_create(&WriteOutcome { kind, outcome }).inc_by(0);
            }
        }
    }

    /// A question is put.
    pub fn asked(&self, ids: usize, lag: Option<Duration>) {
        self.ids_per_request.observe(ids as f64);
        lag.into_iter().for_each(|lag| self.poll_lag.observe(lag.as_secs_f64()));
    }

    /// A question came to its end after `calls` HTTP requests; all but the last were answered.
    pub fn answered(&self, code: &'static str, calls: u32, took: Duration) {
        if let Some(pages) = u64::from(calls).checked_sub(1).filter(|pages| *pages > 0) {
            self.requests.get_or_create(&Code { code: "ok" }).inc_by(pages);
        }
        self.requests.get_or_create(&Code { code }).inc();
        self.request_seconds.observe(took.as_secs_f64());
    }

    /// A write came to its end.
    pub fn written(&self, change: Change, written: &Written) {
        let labels = WriteOutcome { kind: change.label(), outcome: written.label() };
        self.writes.get_or_create(&labels).inc();
    }

    /// Something happened in the index.
    pub fn happened(&self, news: &News) {
        match *news {
            News::Ended(reason) => {
                self.ends.get_or_create(&Ended { reason: reason.as_str() }).inc();
            }
            News::FirstStatus(age) => self.first_status.observe(age.as_secs_f64()),
            News::Told(_) => {}
            News::ForeignWrite { .. } => {
                self.foreign_writes.inc();
            }
        }
    }

    /// The machine's own time of day is this many seconds ahead of the API server's.
    pub fn skewed(&self, seconds: f64) {
        self.clock_skew.set(seconds);
    }

    /// The OpenMetrics text, with the index as it is now.
    pub fn render(&self, index: &Index, now: Now) -> String {
        for (phase, count) in index.phases() {
            set(&self.tasks.get_or_create(&PhaseLabel { phase: phase.as_str() }), count);
        }
        for (state, count) in index.lane_states() {
            set(&self.lanes.get_or_create(&LaneState { state }), count);
        }
        set(&self.status_queue, index.status_queue());
        set(&self.invalid_objects, index.invalid_objects());
        set(&self.leader, usize::from(index.is_leading(now)));
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &self.registry).expect("a String takes any text");
        text
    }

    fn register(&mut self) {
        let mut registry = Registry::default();
        registry.register_collector(Box::new(Process));
        let own = registry.sub_registry_with_prefix("imagetask");
        own.register("cloud_requests", "Requests to the cloud by how they ended", self.requests.clone());
        own.register("cloud_request_seconds", "Seconds from question to answer", self.request_seconds.clone());
        own.register("cloud_ids_per_request", "Ids in one question", self.ids_per_request.clone());
        own.register("poll_lag_seconds", "Seconds behind the schedule", self.poll_lag.clone());
        own.register("first_status_seconds", "Seconds from creation to first status", self.first_status.clone());
        own.register("tasks", "Unfinished ImageTasks by phase", self.tasks.clone());
        own.register("ends", "Ends told, by reason", self.ends.clone());
        own.register("status_writes", "Status writes by what they told and outcome", self.writes.clone());
        own.register("status_queue", "Statuses that wait to be written", self.status_queue.clone());
        own.register("watch_restarts", "Watches begun anew", self.watch_restarts.clone());
        own.register("invalid_objects", "ImageTasks that break the CRD", self.invalid_objects.clone());
        own.register("lanes", "Lanes (credentials and region) by state", self.lanes.clone());
        own.register("leader", "Whether this replica leads", self.leader.clone());
        own.register("foreign_status_writes", "Statuses that somebody else has written", self.foreign_writes.clone());
        own.register("clock_skew_seconds", "Own clock ahead of the API server's", self.clock_skew.clone());
        self.registry = registry;
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

fn set(gauge: &Gauge, count: usize) {
    gauge.set(i64::try_from(count).unwrap_or(i64::MAX));
}

/// The process metrics that Prometheus clients of all languages share.
#[derive(Debug)]
struct Process;

impl Collector for Process {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        // Without /proc there is nothing to tell, which is no reason to tell nothing else.
        let Ok(stat) = procfs::process::Process::myself().and_then(|process| process.stat()) else { return Ok(()) };
        let ticks = procfs::ticks_per_second() as f64;
        let cpu = ConstCounter::new((stat.utime + stat.stime) as f64 / ticks);
        let resident = ConstGauge::new((stat.rss * procfs::page_size()) as f64);
        let virtual_memory = ConstGauge::new(stat.vsize as f64);
        let threads = ConstGauge::new(stat.num_threads as f64);
        let mut one = |name, help, metric: &dyn Encode| metric.encode_as(&mut encoder, name, help);
        one("process_cpu_seconds", "CPU seconds used", &cpu)?;
        one("process_resident_memory_bytes", "Resident memory", &resident)?;
        one("process_virtual_memory_bytes", "Virtual memory", &virtual_memory)?;
        one("process_threads", "Threads", &threads)
    }
}

trait Encode {
    fn encode_as(&self, encoder: &mut DescriptorEncoder<'_>, name: &str, help: &str) -> fmt::Result;
}

impl<T: EncodeMetric> Encode for T {
    fn encode_as(&self, encoder: &mut DescriptorEncoder<'_>, name: &str, help: &str) -> fmt::Result {
        let metric = encoder.encode_descriptor(name, help, None, self.metric_type())?;
        self.encode(metric)
    }
}
