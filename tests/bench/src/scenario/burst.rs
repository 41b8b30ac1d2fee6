//! New ImageTasks, all there when the subject starts: how soon each is looked at and told, and with how many writes.

use std::time::Duration;

use super::{Plan, machine, quantiles, writes};
use crate::looks::{self, Looks};
use crate::report::{Figures, Runs};
use crate::sample::Sample;
use crate::sighted::{Seen, Sighted};
use crate::subject::Subject;
use crate::world::{Population, World};
use crate::{pause, proc, until};

/// By these two builds are compared.
pub(crate) const COMPARED: [&str; 5] = [
    "ImageTasks without a status in the end",
    "first look, the last, s",
    "calls",
    "CPU meanwhile, % of a core",
    "RSS peak, MiB",
];

pub(crate) async fn burst(plan: &Plan, world: &World) -> anyhow::Result<Runs> {
    let mut runs = Runs::default();
    for repeat in 0..plan.repeats {
        for subject in &plan.subjects {
            eprintln!("  burst, {} tasks, repeat {repeat}: {}", plan.tasks, subject.name());
            let namespace = format!("burst-{}-{}-{repeat}", plan.tasks, subject.name());
            let population = Population::of(&namespace, "new", plan.tasks);
            world.create_namespace(&namespace).await?;
            world.run_in_cloud(&population);
            world.store(&population).await?;
            runs.add(*subject, run(plan, world, &population, *subject).await?);
        }
    }
    Ok(runs)
}

async fn run(plan: &Plan, world: &World, population: &Population, subject: Subject) -> anyhow::Result<Figures> {
    let mut figures = Figures::default();
    let sighted = Sighted::watch(world, &population.namespace, &population.label).await?;
    let running = plan.start(subject, world, &population.namespace).await?;
    let before = Sample::take(world, &running).await?;
    let told = |seen: &Seen| seen.told.is_some();
    until(plan.patience, || async { sighted.count(told) == population.names.len() }).await;
    let drained = Sample::take(world, &running).await?;
    let calls = world.calls();
    let seen = sighted.all();
    let used = before.until(&drained);
    figures.add("ImageTasks without a status in the end", (population.names.len() - sighted.count(told)) as f64);
    let names = ["first look p50, s from the start", "first look p99, s", "first look, the last, s"];
    let first = looks::first(&calls, running.started);
    quantiles(&mut figures, names, first.values().map(|at| at - running.started));
    let names = ["first status p50, s from the start", "first status p99, s", "first status, the last, s"];
    quantiles(&mut figures, names, seen.values().filter_map(|seen| seen.told).map(|at| at - running.started));
    let looks = Looks::between(&calls, before.at, drained.at);
    figures.add("calls", looks.calls as f64);
    writes(&used, &mut figures);
    figures.add("CPU meanwhile, % of a core", used.subject * 100.0);
    machine(&used, &mut figures);
    // Back to the quiet figures within a beat after: what came later than that.
    pause(plan.programs.interval).await;
    let calm = Sample::take(world, &running).await?;
    pause(plan.programs.interval * 2).await;
    let later = Sample::take(world, &running).await?;
    let used = calm.until(&later);
    let looks = Looks::between(&world.calls(), calm.at, later.at);
    figures.add("a beat later: status writes a second", used.writes.all / used.seconds);
    figures.add("a beat later: CPU, % of a core", used.subject * 100.0);
    figures.add("a beat later: calls / floor", looks.calls as f64 / used.seconds / plan.floor());
    figures.add("a beat later: lag p99, s", looks.lag(0.99, plan.interval()));
    let memory = proc::memory(running.pid)?;
    figures.add("a beat later: RSS, MiB", memory.resident);
    figures.add("RSS peak, MiB", memory.peak);
    figures.add(
        "most status changes of one ImageTask",
        sighted.all().values().map(|it| f64::from(it.changes)).reduce(f64::max),
    );
    stale(&running.stop().await?, &mut figures);
    pause(Duration::from_secs(1)).await;
    Ok(figures)
}

/// What the baseline tells of its writes.
fn stale(told: &str, figures: &mut Figures) {
    let Ok(told) = serde_json::from_str::<serde_json::Value>(told) else { return };
    for (name, field) in [
        ("status writes in all", "sent"),
        ("of them decided on a version older than the subject's own last write", "stale"),
        ("of those, stored as a change", "stale_and_stored"),
    ] {
        figures.add(name, told[field].as_f64());
    }
}
