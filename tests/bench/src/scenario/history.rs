//! Finished ImageTasks beside the unfinished: the same operator with and, by a label selector, without them in its view.

use super::{Plan, steady, told};
use crate::report::{Figures, Runs};
use crate::subject::Subject;
use crate::until;
use crate::world::{LABEL, Population, World};

pub(crate) async fn history(plan: &Plan, world: &World) -> anyhow::Result<Runs> {
    let [running, finished] = told(plan, world).await?;
    let namespace = format!("history-{}", plan.tasks);
    let unfinished = Population::of(&namespace, "unfinished", plan.tasks);
    let past = Population::of(&namespace, "finished", plan.finished);
    world.create_namespace(&namespace).await?;
    world.run_in_cloud(&unfinished);
    world.store_as(&unfinished, &running).await?;
    world.store_as(&past, &finished).await?;
    let mut runs = Runs::default();
    for repeat in 0..plan.repeats {
        eprintln!("  history, {} tasks and {} finished, repeat {repeat}", plan.tasks, plan.finished);
        // The columns of the table are the operator without and with the history.
        let selector = format!("--selector={LABEL}={}", unfinished.label);
        runs.add(Subject::Operator, run(plan, world, &unfinished, &[selector]).await?);
        let mut with = run(plan, world, &unfinished, &[]).await?;
        with.add("raw list of everything in pages, nothing read but bytes, s", world.list(&namespace).await?);
        runs.add(Subject::Baseline, with);
    }
    Ok(runs)
}

async fn run(plan: &Plan, world: &World, unfinished: &Population, selector: &[String]) -> anyhow::Result<Figures> {
    let mut figures = Figures::default();
    world.cloud.forget_calls();
    let flags = [&plan.rates(), selector].concat();
    let running = Subject::Operator.start(world, &plan.programs, &unfinished.namespace, &flags).await?;
    until(plan.patience, || running.is_ready()).await;
    figures.add("start to the end of the first list, s", world.seconds() - running.started);
    figures.add("start to first look at every task, s", plan.settle(world, &running, unfinished).await?);
    steady(plan, world, &running, &mut figures).await?;
    running.stop().await?;
    Ok(figures)
}
