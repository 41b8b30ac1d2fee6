//! Logs: text for people, JSON for machines, each error with its whole chain, once.

use std::error::Error;
use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    /// For people.
    Text,
    /// For machines, one object a line.
    Json,
}

impl LogFormat {
    /// Text on a terminal, else JSON.
    pub fn detect() -> Self {
        if std::io::stderr().is_terminal() { Self::Text } else { Self::Json }
    }
}

/// Starts logging to standard error. `directives` is `RUST_LOG`; without it, `info`.
pub fn start(format: LogFormat, directives: Option<&str>) {
    // kube logs every 5xx and every transport failure as an error of its own; ours say the same with more context.
    // It also logs bodies that it cannot read, a Secret's among them, so it speaks only when it is named.
    let directives = match directives {
        None => "info,kube_client=off,kube_runtime=off,tower=off".to_owned(),
        Some(given) if given.contains("kube_client") => given.to_owned(),
        Some(given) => format!("{given},kube_client=off"),
    };
    let logs = tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::new(directives))
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr);
    match format {
        LogFormat::Text => logs.init(),
        LogFormat::Json => logs.json().flatten_event(true).init(),
    }
}

/// An error and all its causes, as one line; a cause that its effect has spelled out already is not said again.
pub fn chain(error: &dyn Error) -> String {
    let mut line = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let text = error.to_string();
        if !line.contains(&text) {
            line.push_str(": ");
            line.push_str(&text);
        }
        cause = error.source();
    }
    line
}
