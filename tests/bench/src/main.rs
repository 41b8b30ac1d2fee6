//! Measures the operator as it is released, as a process, on a real API server against the simulated cloud, and beside
//! it, in turn, the textbook kube-rs `Controller` or another build of the operator. What it prints is Markdown; what it
//! does meanwhile is on standard error. Exit codes: 0; 1 when the operator is worse than the other build; 2 when it could
//! not measure.

mod compare;
mod looks;
mod plane;
mod proc;
mod report;
mod sample;
mod scenario;
mod sighted;
mod subject;
mod world;

use std::fs;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use clap::{Parser, ValueEnum};
use procfs::Current as _;
use tokio::time::timeout;

use compare::Comparison;
use report::Runs;
use scenario::{Plan, burst, ends, history, quiet};
use subject::{Programs, Subject};
use world::World;

/// How long what takes a moment may take on a loaded machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// Measures the operator; run it at the root of the repository.
#[derive(Parser)]
struct Args {
    /// What to measure
    #[arg(long, value_delimiter = ',', default_value = "quiet,burst,ends,history")]
    scenarios: Vec<Scenario>,
    /// Numbers of unfinished ImageTasks
    #[arg(long, value_delimiter = ',', default_value = "1000,10000")]
    tasks: Vec<usize>,
    /// Runs of each subject, in turn
    #[arg(long, default_value_t = 3)]
    repeats: usize,
    /// What to measure it on
    #[arg(long, value_delimiter = ',', default_value = "operator,baseline")]
    subjects: Vec<Subject>,
    /// Another build of the operator, to compare with instead: of `quiet` and `burst`, by at least 4 runs of each
    #[arg(long, conflicts_with = "subjects")]
    previous: Option<PathBuf>,
    /// Seconds between two looks at one task
    #[arg(long, default_value_t = 10)]
    interval: u64,
    /// Seconds for which a steady state is measured
    #[arg(long, default_value_t = 60)]
    window: u64,
    /// Seconds after which a subject that has not come to its end is given up
    #[arg(long, default_value_t = 600)]
    patience: u64,
    /// Finished ImageTasks of `history`
    #[arg(long, default_value_t = 100_000)]
    finished: usize,
    /// Reconciles at once of the baseline; 0 is kube's default, without a bound
    #[arg(long, default_value_t = 32)]
    concurrency: u16,
    /// The operator
    #[arg(long, default_value = "target/release/imagetask-operator")]
    operator: PathBuf,
    /// The baseline
    #[arg(long, default_value = "target/release/baseline")]
    baseline: PathBuf,
    /// Where tables and logs go
    #[arg(long, default_value = "target/bench")]
    output: PathBuf,
}

#[derive(Clone, Copy, ValueEnum)]
enum Scenario {
    /// All tasks run and nothing is new; then some new ones come, one by one
    Quiet,
    /// New ImageTasks, all there when the subject starts
    Burst,
    /// All tasks end at once
    Ends,
    /// Finished ImageTasks beside the unfinished
    History,
}

fn main() -> ExitCode {
    let args = Args::parse();
    drop(rustls::crypto::ring::default_provider().install_default());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    match runtime.map_err(Into::into).and_then(|runtime| runtime.block_on(bench(&args))) {
        Ok(is_worse) => u8::from(is_worse).into(),
        Err(error) => {
            eprintln!("bench: could not measure: {error:#}");
            ExitCode::from(2)
        }
    }
}

/// Measures everything; whether the operator is worse than the build that it is compared with.
async fn bench(args: &Args) -> anyhow::Result<bool> {
    if args.previous.is_some() {
        compare::check(args.repeats)?;
        args.scenarios.iter().try_for_each(|scenario| scenario.compared().map(drop))?;
    }
    fs::create_dir_all(&args.output)?;
    let mut is_worse = false;
    for tasks in &args.tasks {
        let plan = args.plan(*tasks);
        for scenario in &args.scenarios {
            // Each on an API server of its own, so that none finds what another has left.
            let world = World::start().await?;
            let runs = measure(*scenario, &plan, &world).await?;
            let table = match args.previous {
                Some(_) => {
                    let comparison = Comparison::of(&runs, scenario.compared()?, args.repeats)?;
                    is_worse |= comparison.is_worse();
                    comparison.table()
                }
                None => runs.table(scenario.columns()),
            };
            let name = scenario.to_possible_value().context("every scenario has a name")?;
            let text = format!("### {}, {tasks} ImageTasks\n\n{}\n{table}\n", name.get_name(), args.circumstances());
            std::io::stdout().write_all(text.as_bytes())?;
            fs::write(args.output.join(format!("{}-{tasks}.md", name.get_name())), text)?;
        }
    }
    Ok(is_worse)
}

async fn measure(scenario: Scenario, plan: &Plan, world: &World) -> anyhow::Result<Runs> {
    match scenario {
        Scenario::Burst => burst(plan, world).await,
        Scenario::Quiet => quiet(plan, world).await,
        Scenario::Ends => ends(plan, world).await,
        Scenario::History => history(plan, world).await,
    }
}

impl Scenario {
    fn columns(self) -> [&'static str; 2] {
        match self {
            Self::Quiet | Self::Burst | Self::Ends => ["operator", "baseline"],
            Self::History => ["without", "with the finished"],
        }
    }

    /// The figures by which two builds are compared; of each, less is better.
    fn compared(self) -> anyhow::Result<&'static [&'static str]> {
        match self {
            Self::Quiet => Ok(&quiet::COMPARED),
            Self::Burst => Ok(&burst::COMPARED),
            Self::Ends | Self::History => anyhow::bail!("two builds are compared by quiet and burst only"),
        }
    }
}

impl Args {
    fn plan(&self, tasks: usize) -> Plan {
        Plan {
            programs: Programs {
                operator: self.operator.clone(),
                previous: self.previous.clone(),
                baseline: self.baseline.clone(),
                logs: self.output.clone(),
                interval: Duration::from_secs(self.interval),
                concurrency: self.concurrency,
            },
            tasks,
            finished: self.finished,
            repeats: self.repeats,
            subjects: match self.previous {
                Some(_) => vec![Subject::Previous, Subject::Operator],
                None => self.subjects.clone(),
            },
            window: Duration::from_secs(self.window),
            patience: Duration::from_secs(self.patience),
        }
    }

    /// What whoever reads a table must know.
    fn circumstances(&self) -> String {
        let cpus = procfs::CpuInfo::current();
        let cpu = cpus.ok().and_then(|all| Some(format!("{} × {}", all.num_cores(), all.model_name(0)?)));
        format!(
            "{}; interval {} s, window {} s, {} repeats in turn; median (least–most), {}.\n",
            cpu.unwrap_or_else(|| "unknown CPU".to_owned()),
            self.interval,
            self.window,
            self.repeats,
            match self.previous {
                Some(_) => "ratios of medians",
                None => "ratios of runs that followed each other",
            }
        )
    }
}

/// Waits until something holds, looking ten times a second; false when patience ends before.
async fn until<F: Future<Output = bool>>(patience: Duration, holds: impl Fn() -> F) -> bool {
    let reached = async {
        while !holds().await {
            pause(Duration::from_millis(100)).await;
        }
    };
    timeout(patience, reached).await.is_ok()
}

/// Lets time pass.
#[expect(clippy::disallowed_methods, reason = "what is measured takes its time")]
async fn pause(duration: Duration) {
    tokio::time::sleep(duration).await;
}
