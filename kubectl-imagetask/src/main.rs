//! `kubectl imagetask`: waits for ImageTasks, creates and changes them, and tells what became of them.
//!
//! ```text
//!   API server ─ watch ─▶ watched ─▶ verdict ─▶ exit code         what an ImageTask says: told
//!                            │                                    how long it may take: pace
//!                            └─▶ words ─▶ screen ─▶ bars or lines
//! ```
//!
//! What is decided is pure and takes the moment as an argument: `told`, `pace`, `watched`, `verdict`, `outage`, `words`,
//! `name`, `message`, `story`. `wait`, `track`, `change` and `why` do it. It reads ImageTasks by their conditions, so it
//! understands an operator of another version; what to do about a reason is the text of docs/reasons.md (`advice`).

mod cli;
mod refusal;
mod exit;
mod cluster;
mod name;
mod choose;
mod completion;

mod wait;
mod told;
mod pace;
mod watched;
mod verdict;
mod outage;

mod words;
mod span;
mod screen;
mod bars;
mod printed;

mod track;
mod change;
mod why;
mod story;
mod message;
mod advice;

#[cfg(test)]
mod samples;

use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use clap::error::ErrorKind;
use clap::{CommandFactory as _, Parser as _};
use imagetask_operator::clock::Clock;

use cli::{Chosen, Cli, Command, Output, Place, Track, Wait};
use cluster::Cluster;
use exit::Exit;
use track::{Met, Wish};
use verdict::Patience;
use wait::Limits;

fn main() -> ExitCode {
    match Cli::try_parse() {
        Ok(cli) => carry_out(cli).into(),
        Err(error) => refuse(&error).into(),
    }
}

/// What asks for help gets it; anything else a line.
fn refuse(error: &clap::Error) -> Exit {
    let exit = if error.use_stderr() { Exit::Unusable } else { Exit::Success };
    if exit == Exit::Success || error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
        // With nobody to read it the exit code still tells.
        drop(error.print());
    } else {
        printed::complaint(&refusal::refusal(error));
    }
    exit
}

fn carry_out(cli: Cli) -> Exit {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let ended = runtime.context("no runtime").and_then(|runtime| runtime.block_on(run(cli)));
    ended.unwrap_or_else(|error| {
        printed::complaint(&imagetask_operator::telemetry::chain(error.as_ref()));
        Exit::Unusable
    })
}

async fn run(cli: Cli) -> anyhow::Result<Exit> {
    let Cli { command, place, output } = cli;
    let clock = Clock::start();
    match command {
        Command::Wait(flags) => wait_for(&find(place).await?, &flags, output, clock).await,
        Command::Track(flags) => track_task(&find(place).await?, flags, output, clock).await,
        Command::Suspend(chosen) => change::suspend(&find(place).await?, &chosen, true, output).await,
        Command::Resume(chosen) => change::suspend(&find(place).await?, &chosen, false, output).await,
        Command::Refresh(flags) => {
            change::refresh(&find(place).await?, &flags, &clock.now().wall.shown().to_string(), output).await
        }
        Command::Why { name } => why::why(&find(place).await?, name, output, clock).await,
        Command::Completion { completer } => {
            printed::line(completion::script(completer, Cli::command()).trim_end()).map(|()| Exit::Success)
        }
        Command::Complete { typed } => {
            printed::line(&completion::answer(Cli::command(), &typed)).map(|()| Exit::Success)
        }
    }
}

async fn find(place: Place) -> anyhow::Result<Cluster> {
    rustls::crypto::ring::default_provider().install_default().expect("nothing has installed a TLS provider before");
    Cluster::find(place).await
}

async fn wait_for(cluster: &Cluster, flags: &Wait, output: Output, clock: Clock) -> anyhow::Result<Exit> {
    let objects = choose::find(cluster, &flags.chosen).await?;
    let limits = Limits { patience: flags.patience(), timeout: flags.timeout };
    wait::wait(cluster, &objects, limits, output, clock).await
}

/// The operator's verdict on a timeout falls within a minute after it (contract of `spec.timeout`), so nothing comes
/// from an operator that is silent for longer.
const VERDICT: Duration = Duration::from_secs(120);

async fn track_task(cluster: &Cluster, flags: Track, output: Output, clock: Clock) -> anyhow::Result<Exit> {
    let (waits, timeout) = (flags.wait, flags.timeout);
    let wish = Wish::of(flags)?;
    let name = wish.name().clone();
    let met = wish.meet(cluster).await?;
    match (output, &met) {
        (Output::Text, Met::Created(_)) => printed::line(&format!("{} created", name.as_str()))?,
        (Output::Text, Met::Present(_)) => printed::line(&format!("{} is there already", name.as_str()))?,
        (Output::Json, _) if waits => {}
        (Output::Json, Met::Created(object) | Met::Present(object)) => printed::json(object)?,
    }
    if !waits {
        return Ok(Exit::Success);
    }
    let chosen = Chosen { names: vec![name], selector: None, all: false };
    let objects = choose::find(cluster, &chosen).await?;
    let limits = Limits { patience: Patience::FirstFailure, timeout: timeout.map(|timeout| timeout + VERDICT) };
    wait::wait(cluster, &objects, limits, output, clock).await
}
