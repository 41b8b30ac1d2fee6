//! All tasks run and nothing is new: what following them costs. Then some new ones come, one after the other.

use std::time::Duration;

use super::{Plan, quantiles, steady, told};
use crate::pause;
use crate::report::{Figures, Runs};
use crate::sample::Writes;
use crate::sighted::Sighted;
use crate::subject::{Running, Subject};
use crate::world::{Population, World};

/// New ImageTasks: enough for a 99th percentile.
const ARRIVALS: usize = 100;

/// Between two of them: so slow that each is met alone, and at every moment of the beat.
const SPACING: Duration = Duration::from_millis(170);

/// By these two builds are compared.
pub(crate) const COMPARED: [&str; 6] = [
    "start to first look at every task, s",
    "RSS steady, MiB",
    "RSS peak so far, MiB",
    "CPU, % of a core",
    "calls a second",
    "calls that failed",
];

pub(crate) async fn quiet(plan: &Plan, world: &World) -> anyhow::Result<Runs> {
    let [running, _] = told(plan, world).await?;
    let population = Population::of(&format!("quiet-{}", plan.tasks), "quiet", plan.tasks);
    world.create_namespace(&population.namespace).await?;
    world.run_in_cloud(&population);
    world.store_as(&population, &running).await?;
    let mut runs = Runs::default();
    for repeat in 0..plan.repeats {
        for subject in &plan.subjects {
            eprintln!("  quiet, {} tasks, repeat {repeat}: {}", plan.tasks, subject.name());
            runs.add(*subject, run(plan, world, &population, *subject, repeat).await?);
        }
    }
    Ok(runs)
}

async fn run(
    plan: &Plan,
    world: &World,
    population: &Population,
    subject: Subject,
    repeat: usize,
) -> anyhow::Result<Figures> {
    let mut figures = Figures::default();
    let running = plan.start(subject, world, &population.namespace).await?;
    let started = plan.settle(world, &running, population).await?;
    figures.add("start to first look at every task, s", started);
    let compares = plan.programs.previous.is_some();
    if compares {
        // Where two builds do not tell the same, each begins with telling all anew.
        Writes::until_still(world, plan.patience).await?;
    }
    steady(plan, world, &running, &mut figures).await?;
    if !compares {
        arrive(world, &running, population, repeat, &mut figures).await?;
    }
    running.stop().await?;
    Ok(figures)
}

/// Creates ImageTasks one by one, and measures until each has its first status.
async fn arrive(
    world: &World,
    running: &Running,
    population: &Population,
    repeat: usize,
    figures: &mut Figures,
) -> anyhow::Result<()> {
    let label = format!("new-{}-{repeat}", running.subject.name());
    let arrivals = Population::of(&population.namespace, &label, ARRIVALS);
    world.run_in_cloud(&arrivals);
    let sighted = Sighted::watch(world, &population.namespace, &label).await?;
    let mut created = Vec::new();
    for name in &arrivals.names {
        world.store_one(&arrivals, name).await?;
        created.push((name, world.seconds()));
        pause(SPACING).await;
    }
    crate::until(crate::PATIENCE, || async { sighted.count(|seen| seen.told.is_some()) == ARRIVALS }).await;
    let seen = sighted.all();
    let waited = created.iter().filter_map(|(name, at)| Some((seen.get(*name)?.told? - at).max(0.0)));
    let names = [
        "first status of a new ImageTask p50, s (from the answer to its creation)",
        "first status p99, s (same)",
        "first status, the slowest, s (same)",
    ];
    quantiles(figures, names, waited);
    for name in &arrivals.names {
        world.delete(&arrivals.namespace, name).await?;
        world.cloud.remove(name);
    }
    Ok(())
}
