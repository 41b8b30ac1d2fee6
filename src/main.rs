//! The program: arguments to configuration, configuration to a running operator, its end to an exit code.

use std::error::Error;
use std::io::Write as _;
use std::net::SocketAddr;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::error::ErrorKind;
use clap::{CommandFactory, Parser};
use imagetask_operator::config::{Cli, Command, Config, RunArgs, Surroundings};
use imagetask_operator::lease::Candidacy;
use imagetask_operator::usage::{complaint, one_line};
use imagetask_operator::{api, cluster, operator, telemetry};
use kube::config::Kubeconfig;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing::{error, info};

/// Exit code of flags or variables that cannot be used, or name what cannot be used.
const USAGE: u8 = 2;

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) if matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) => error.exit(),
        Err(error) => return usage(&complaint(&error, &Cli::command(), variable)),
    };
    match cli.command {
        Some(Command::Crd) => print_crd(),
        Some(Command::Run(args)) => run(*args),
        None => run(cli.run),
    }
}

fn run(args: RunArgs) -> ExitCode {
    if let Err(error) = telemetry::start(args.log_format(), variable(telemetry::RUST_LOG)) {
        return usage(&telemetry::chain(&error));
    }
    rustls::crypto::ring::default_provider().install_default().expect("nothing has installed a TLS provider before");
    let candidacy = args.candidacy(&surroundings());
    let (candidacy, config) = match candidacy.and_then(|candidacy| Ok((candidacy, args.into_config(variable)?))) {
        Ok(told) => told,
        Err(error) => return usage(&telemetry::chain(&error)),
    };
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fatal(&error),
    };
    let code = match runtime.block_on(prepare(config.listen)) {
        Ok((kubernetes, listener)) => match runtime.block_on(operate(config, candidacy, kubernetes, listener)) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => fatal(error.as_ref()),
        },
        Err(error) => usage(&telemetry::chain(error.as_ref())),
    };
    // A name that is still being resolved must not hold up an end that others wait for.
    runtime.shutdown_background();
    code
}

/// What flags and variables name outside of the process: the cluster, and the address to listen on.
async fn prepare(listen: SocketAddr) -> anyhow::Result<(kube::Config, TcpListener)> {
    let named = variable(cluster::KUBECONFIG).is_some_and(|value| !value.is_empty());
    let kubernetes = cluster::find(named).await?;
    let listener = TcpListener::bind(listen);
    let listener = listener.await.with_context(|| format!("--listen {listen}: give an address that is free"))?;
    Ok((kubernetes, listener))
}

async fn operate(
    config: Config,
    candidacy: Option<Candidacy>,
    kubernetes: kube::Config,
    listener: TcpListener,
) -> anyhow::Result<()> {
    // From here on a signal stops the operator cleanly.
    let mut signals = [signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?];
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
    Ok(operator::run(config, candidacy, kubernetes, listener, stop).await?)
}

/// Every pod has this file, whoever its service account is.
const POD_NAMESPACE: &str = "/var/run/secrets/kubernetes.io/serviceaccount/namespace";

fn surroundings() -> Surroundings {
    let line = |path| std::fs::read_to_string(path).ok().map(|text| text.trim().to_owned());
    let kubeconfig = Kubeconfig::read().ok();
    let mut random = [0; 10];
    rustls::crypto::ring::default_provider().secure_random.fill(&mut random).expect("the kernel gives random bytes");
    Surroundings {
        // A kubeconfig comes first, and may name another cluster than the pod's.
        pod_namespace: line(POD_NAMESPACE).filter(|namespace| !namespace.is_empty() && kubeconfig.is_none()),
        context_namespace: kubeconfig.and_then(context_namespace),
        host: line("/proc/sys/kernel/hostname").unwrap_or_else(|| "unknown".to_owned()),
        random,
    }
}

fn context_namespace(kubeconfig: Kubeconfig) -> Option<String> {
    let current = kubeconfig.current_context?;
    kubeconfig.contexts.into_iter().find(|named| named.name == current)?.context?.namespace
}

fn print_crd() -> ExitCode {
    // A closed pipe, as of `| head`, is nothing to complain of.
    match std::io::stdout().write_all(api::manifest().as_bytes()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

fn usage(complaint: &str) -> ExitCode {
    // Standard error is all there is to complain to.
    let _told = writeln!(std::io::stderr(), "error: {}", one_line(complaint));
    ExitCode::from(USAGE)
}

fn fatal(error: &(dyn Error + 'static)) -> ExitCode {
    error!(error = telemetry::chain(error), "the operator ends");
    ExitCode::FAILURE
}

#[expect(clippy::disallowed_methods, reason = "the one place")]
fn variable(name: &str) -> Option<Vec<u8>> {
    use std::os::unix::ffi::OsStringExt;
    std::env::var_os(name).map(OsStringExt::into_vec)
}
