//! All tasks end at once: how long until each ImageTask says so, and who is the bottleneck.

use super::{Plan, machine, quantiles, told, writes};
use crate::report::{Figures, Runs};
use crate::sample::Sample;
use crate::sighted::{Seen, Sighted};
use crate::subject::Subject;
use crate::world::{Population, World};
use crate::{looks, proc, until};

pub(crate) async fn ends(plan: &Plan, world: &World) -> anyhow::Result<Runs> {
    let [running, _] = told(plan, world).await?;
    let mut runs = Runs::default();
    for repeat in 0..plan.repeats {
        for subject in &plan.subjects {
            eprintln!("  ends, {} tasks, repeat {repeat}: {}", plan.tasks, subject.name());
            let namespace = format!("ends-{}-{}-{repeat}", plan.tasks, subject.name());
            let population = Population::of(&namespace, "ends", plan.tasks);
            world.create_namespace(&namespace).await?;
            world.run_in_cloud(&population);
            world.store_as(&population, &running).await?;
            runs.add(*subject, run(plan, world, &population, *subject).await?);
        }
    }
    Ok(runs)
}

async fn run(plan: &Plan, world: &World, population: &Population, subject: Subject) -> anyhow::Result<Figures> {
    let mut figures = Figures::default();
    let sighted = Sighted::watch(world, &population.namespace, &population.label).await?;
    let running = plan.start(subject, world, &population.namespace).await?;
    plan.settle(world, &running, population).await?;
    world.cloud.forget_calls();
    let before = Sample::take(world, &running).await?;
    let (_, ended) = world.end_in_cloud(population);
    let over = |seen: &Seen| seen.ended.is_some();
    until(plan.patience, || async { sighted.count(over) == population.names.len() }).await;
    let after = Sample::take(world, &running).await?;
    let (calls, seen, used) = (world.calls(), sighted.all(), before.until(&after));
    let detected = looks::first(&calls, ended);
    figures.add("ImageTasks not over in the end", (population.names.len() - sighted.count(over)) as f64);
    let names = ["detected p50, s from the end", "detected p99, s", "detected, the last, s"];
    quantiles(&mut figures, names, detected.values().map(|at| at - ended));
    let names = ["detection to status p50, s", "detection to status p99, s", "detection to status, the slowest, s"];
    let waited = detected.iter().filter_map(|(id, at)| Some((seen.get(*id)?.ended? - at).max(0.0)));
    quantiles(&mut figures, names, waited);
    let names = ["end to status p50, s", "end to status p99, s", "end to status, the last, s"];
    quantiles(&mut figures, names, seen.values().filter_map(|seen| Some(seen.ended? - ended)));
    writes(&used, &mut figures);
    figures.add("calls", calls.len() as f64);
    figures.add("CPU meanwhile, % of a core", used.subject * 100.0);
    machine(&used, &mut figures);
    figures.add("API server, % of all CPU used", used.apiserver_share() * 100.0);
    figures.add("RSS peak, MiB", proc::memory(running.pid)?.peak);
    running.stop().await?;
    Ok(figures)
}
