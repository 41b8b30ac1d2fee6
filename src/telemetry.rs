//! Logs: text for people, JSON for machines, each error with its whole chain, once.

use std::error::Error;
use std::io::IsTerminal;

use tracing::level_filters::LevelFilter;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

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

/// The variable that says what is logged.
pub const RUST_LOG: &str = "RUST_LOG";

/// The directives of `RUST_LOG` are none.
#[derive(Debug, thiserror::Error)]
#[error("{RUST_LOG} is not usable{0}: give levels such as info, or by crate as in info,imagetask_operator=debug")]
pub struct LogError(String);

/// Starts logging to standard error. `directives` is `RUST_LOG`; without it, `info`.
pub fn start(format: LogFormat, directives: Option<Vec<u8>>) -> Result<(), LogError> {
    let filter = filter(directives)?;
    let logs = tracing_subscriber::registry().with(filter).with(cap());
    let lines =
        tracing_subscriber::fmt::layer().with_ansi(std::io::stderr().is_terminal()).with_writer(std::io::stderr);
    match format {
        LogFormat::Text => logs.with(lines).init(),
        LogFormat::Json => logs.with(lines.json().flatten_event(true)).init(),
    }
    Ok(())
}

fn filter(directives: Option<Vec<u8>>) -> Result<EnvFilter, LogError> {
    let given = String::from_utf8(directives.unwrap_or_default()).map_err(|_| LogError(String::new()))?;
    // kube logs every 5xx and every transport failure as an error of its own; ours say the same with more context.
    let all = match given.as_str() {
        "" => "info,kube_client=off,kube_runtime=off,tower=off".to_owned(),
        named if named.contains("kube_client") => named.to_owned(),
        other => format!("{other},kube_client=off"),
    };
    EnvFilter::builder().parse(all).map_err(|error| LogError(format!(" ({error})")))
}

/// What other crates may say at most, whatever `RUST_LOG` says: kube warns with the body of what it cannot read, a
/// Secret's among them, and traces of HTTP crates show what is sent.
fn cap() -> Targets {
    Targets::new()
        .with_default(LevelFilter::DEBUG)
        .with_target("kube_client", LevelFilter::ERROR)
        .with_target("imagetask_operator", LevelFilter::TRACE)
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

#[cfg(test)]
mod tests {
    use super::*;

    fn told(directives: &[u8]) -> Option<String> {
        filter(Some(directives.to_vec())).err().map(|error| error.to_string())
    }

    #[test]
    fn directives_that_are_none_are_told() {
        for good in ["", "info", "debug,hyper=warn", "kube_client=trace,info", "imagetask_operator::poll=trace"] {
            assert_eq!(told(good.as_bytes()), None, "{good}");
        }
        for bad in [&b"info,a=b=c"[..], b"imagetask_operator=loud", b"\xff"] {
            let told = told(bad).expect("it is refused");
            assert!(told.starts_with("RUST_LOG is not usable") && told.contains("give levels such as info"), "{told}");
        }
    }

    #[test]
    fn other_crates_never_trace_and_kube_never_shows_what_it_could_not_read() {
        let cap = cap();
        let allowed = |target, level| cap.would_enable(target, &level);
        assert!(allowed("imagetask_operator::poll", tracing::Level::TRACE));
        assert!(allowed("h2::client", tracing::Level::DEBUG) && !allowed("h2::client", tracing::Level::TRACE));
        assert!(!allowed("kube_client::client", tracing::Level::WARN));
    }
}
