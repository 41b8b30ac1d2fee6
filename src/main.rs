//! The program: arguments to configuration, configuration to a running operator, its end to an exit code.

use std::io::Write as _;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::Parser;
use clap::error::ErrorKind;
use imagetask_operator::config::{Cli, Command, Config, RunArgs};
use imagetask_operator::{api, operator, telemetry};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing::{error, info};

/// Exit code of a command line or environment that cannot be used.
const USAGE: u8 = 2;

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return complain(&error),
    };
    match cli.command {
        Some(Command::Crd) => print_crd(),
        Some(Command::Run(args)) => run(*args),
        None => run(cli.run),
    }
}

fn run(args: RunArgs) -> ExitCode {
    let directives = variable("RUST_LOG").and_then(|value| String::from_utf8(value).ok());
    telemetry::start(args.log_format(), directives.as_deref());
    let config = match args.into_config(variable) {
        Ok(config) => config,
        Err(error) => return usage(&telemetry::chain(&error)),
    };
    rustls::crypto::ring::default_provider().install_default().expect("nothing has installed a TLS provider before");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let outcome = runtime.map_err(anyhow::Error::from).and_then(|runtime| runtime.block_on(operate(config)));
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            error!(error = telemetry::chain(error.as_ref()), "the operator ends");
            ExitCode::FAILURE
        }
    }
}

async fn operate(config: Config) -> anyhow::Result<()> {
    // From here on a signal stops the operator cleanly.
    let mut signals = [signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?];
    let kubernetes =
        kube::Config::infer().await.context("no cluster is configured: set KUBECONFIG, or run inside a cluster")?;
    let listener = TcpListener::bind(config.listen)
        .await
        .with_context(|| format!("--listen {}: choose a free address", config.listen))?;
    info!(listen = %listener.local_addr()?, version = env!("CARGO_PKG_VERSION"), "started");
    let stop = CancellationToken::new();
    let stopped = stop.clone();
    tokio::spawn(async move {
        let [terminate, interrupt] = &mut signals;
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        info!("stopping");
        stopped.cancel();
    });
    Ok(operator::run(config, kubernetes, listener, stop).await?)
}

fn print_crd() -> ExitCode {
    // A closed pipe, as of `| head`, is nothing to complain of.
    match std::io::stdout().write_all(api::manifest().as_bytes()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

fn complain(error: &clap::Error) -> ExitCode {
    if matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) {
        error.exit();
    }
    usage(error.to_string().lines().next().unwrap_or_default().trim_start_matches("error: "))
}

fn usage(complaint: &str) -> ExitCode {
    // Standard error is all there is to complain to.
    let _told = writeln!(std::io::stderr(), "error: {complaint}");
    ExitCode::from(USAGE)
}

#[expect(clippy::disallowed_methods, reason = "the one place")]
fn variable(name: &str) -> Option<Vec<u8>> {
    use std::os::unix::ffi::OsStringExt;
    std::env::var_os(name).map(OsStringExt::into_vec)
}
