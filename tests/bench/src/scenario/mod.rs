//! What is measured, one situation a file.

pub(crate) mod burst;
mod ends;
mod history;
pub(crate) mod quiet;

pub(crate) use burst::burst;
pub(crate) use ends::ends;
pub(crate) use history::history;
pub(crate) use quiet::quiet;

use std::time::Duration;

use serde_json::Value;

use crate::looks::{self, Looks};
use crate::proc;
use crate::report::{Figures, ascending, quantile};
use crate::sample::{Sample, Used};
use crate::subject::{Programs, Running, Subject};
use crate::world::{Population, World};
use crate::{pause, until};

/// How a scenario is run.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) programs: Programs,
    /// Unfinished ImageTasks.
    pub(crate) tasks: usize,
    /// Finished ones beside them, for `history`.
    pub(crate) finished: usize,
    pub(crate) repeats: usize,
    pub(crate) subjects: Vec<Subject>,
    /// How long a steady state is measured.
    pub(crate) window: Duration,
    /// How long a subject may take to come to its end.
    pub(crate) patience: Duration,
}

impl Plan {
    /// Seconds between two looks.
    fn interval(&self) -> f64 {
        self.programs.interval.as_secs_f64()
    }

    /// The least calls a second that look at every task once in an interval.
    fn floor(&self) -> f64 {
        self.tasks.div_ceil(100) as f64 / self.interval()
    }

    /// Flags of the operator: rates of four times the floor, so that no ceiling is measured.
    fn rates(&self) -> [String; 2] {
        let rate = (self.floor() * 4.0).ceil().max(4.0);
        [format!("--account-qps={rate}"), format!("--total-qps={}", rate.max(100.0))]
    }

    async fn start(&self, subject: Subject, world: &World, namespace: &str) -> anyhow::Result<Running> {
        world.cloud.forget_calls();
        subject.start(world, &self.programs, namespace, &self.rates()).await
    }

    /// Waits until every task has been looked at, and one interval more for the pace to become steady; how long the
    /// first looks took, or `None` when patience ended before.
    async fn settle(&self, world: &World, running: &Running, population: &Population) -> anyhow::Result<Option<f64>> {
        let looked = || async { world.cloud.ids_asked() >= population.names.len() };
        let in_time = until(self.patience, looked).await;
        let calls = world.calls();
        let last = looks::first(&calls, running.started).into_values().max_by(f64::total_cmp);
        pause(self.programs.interval + Duration::from_secs(2)).await;
        Ok(last.filter(|_| in_time).map(|last| last - running.started))
    }
}

/// The statuses that the operator gives an ImageTask whose task runs, and after it has ended.
async fn told(plan: &Plan, world: &World) -> anyhow::Result<[Value; 2]> {
    let sample = Population::of("sample", "sample", 1);
    world.create_namespace(&sample.namespace).await?;
    world.run_in_cloud(&sample);
    world.store(&sample).await?;
    let running = Subject::Operator.start(world, &plan.programs, &sample.namespace, &[]).await?;
    let status = |phase| world.status_in_phase(&sample, phase);
    let told = status("Running").await?;
    world.end_in_cloud(&sample);
    let told = [told, status("Succeeded").await?];
    running.stop().await?;
    Ok(told)
}

/// The steady state of a subject over the window of the plan.
async fn steady(plan: &Plan, world: &World, running: &Running, figures: &mut Figures) -> anyhow::Result<()> {
    let before = Sample::take(world, running).await?;
    pause(plan.window).await;
    let memory = proc::memory(running.pid)?;
    let after = Sample::take(world, running).await?;
    let used = before.until(&after);
    let calls = world.calls();
    let looks = Looks::between(&calls, before.at, after.at);
    figures.add("RSS steady, MiB", memory.resident);
    figures.add("of it heap and stacks, MiB", memory.anonymous);
    figures.add("RSS peak so far, MiB", memory.peak);
    figures.add("CPU, % of a core", used.subject * 100.0);
    figures.add("calls a second", looks.calls as f64 / used.seconds);
    figures.add("calls / floor", looks.calls as f64 / used.seconds / plan.floor());
    figures.add("calls that failed", looks.failed as f64);
    figures.add("ids a call", looks.ids as f64 / looks.calls as f64);
    figures.add("lag p50, s (gap between two looks at a task, beyond the interval)", looks.lag(0.5, plan.interval()));
    figures.add("lag p99, s (same)", looks.lag(0.99, plan.interval()));
    figures.add("lag p50, s, ≤ (own metric)", before.bound_until(&after, "imagetask_poll_lag_seconds", 0.5));
    figures.add("lag p99, s, ≤ (own metric)", before.bound_until(&after, "imagetask_poll_lag_seconds", 0.99));
    figures.add("status writes a second", used.writes.all / used.seconds);
    machine(&used, figures);
    Ok(())
}

/// What the API server was asked to write.
fn writes(used: &Used, figures: &mut Figures) {
    figures.add("status writes, as the API server counts the requests", used.writes.all);
    figures.add("of them conflicts (409)", used.writes.conflicts);
    figures.add("of them throttled (429)", used.writes.throttled);
    figures.add("of them failed (5xx)", used.writes.failed);
    figures.add("status writes a second", used.writes.all / used.seconds);
}

/// What everything else on the machine used meanwhile.
fn machine(used: &Used, figures: &mut Figures) {
    figures.add("API server, cores", used.apiserver);
    figures.add("etcd, cores", used.etcd);
    figures.add("simulated cloud, cores", used.simulator);
    figures.add("the bench itself, cores", used.bench);
    figures.add("strangers on the machine, cores", used.strangers);
}

/// Adds median, 99th percentile and maximum of some durations under three names.
fn quantiles(figures: &mut Figures, names: [&'static str; 3], values: impl Iterator<Item = f64>) {
    let values = ascending(values);
    for (name, share) in names.into_iter().zip([0.5, 0.99, 1.0]) {
        figures.add(name, quantile(&values, share));
    }
}
