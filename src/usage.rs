//! What is said of a command line or an environment that cannot be used: one line that names the flag and its variable,
//! what was given, and what is accepted.

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Command, Error};

use crate::telemetry::chain;

/// The complaint for a command line that clap refuses. `variable` reads the environment.
pub fn complaint(error: &Error, command: &Command, variable: impl Fn(&str) -> Option<Vec<u8>>) -> String {
    let text = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => Some(text.as_str()),
        Some(_) | None => None,
    };
    let refused = matches!(error.kind(), ErrorKind::InvalidValue | ErrorKind::ValueValidation);
    let complaint = match (text(ContextKind::InvalidArg), text(ContextKind::InvalidValue)) {
        (Some(flag), Some(value)) if refused => {
            let name = named(flag, command);
            match accepted(error) {
                Some(accepted) => format!("{name} does not take {}: {accepted}", shown(value)),
                None => format!("{name} needs a value: see --help"),
            }
        }
        _ if error.kind() == ErrorKind::InvalidUtf8 => {
            let name = unreadable(command, variable).unwrap_or_else(|| "an argument".to_owned());
            format!("{name} is not UTF-8: write it in plain characters")
        }
        _ => {
            let told = error.to_string();
            let first = told.lines().next().unwrap_or_default();
            format!("{}: see --help", first.trim_start_matches("error: "))
        }
    };
    one_line(&complaint)
}

/// A text as one line, whatever is in it.
pub fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// As many characters of a value as tell what it was.
const SHOWN: usize = 64;

/// `--region`, with the variable that it may have come from.
fn named(flag: &str, command: &Command) -> String {
    let flag = flag.split([' ', '[', '=']).next().unwrap_or_default();
    let is_meant = |argument: &&clap::Arg| argument.get_long() == flag.strip_prefix("--");
    let argument = command.get_arguments().find(is_meant);
    match argument.and_then(clap::Arg::get_env) {
        Some(variable) => format!("{flag} (or {})", variable.to_string_lossy()),
        None => flag.to_owned(),
    }
}

fn shown(value: &str) -> String {
    if value.contains('@') {
        return "a value with an @ in it, which may be a password and is not shown".to_owned();
    }
    match value.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{:?}...", &value[..end]),
        None => format!("{value:?}"),
    }
}

fn accepted(error: &Error) -> Option<String> {
    match error.get(ContextKind::ValidValue) {
        Some(ContextValue::Strings(words)) if !words.is_empty() => Some(format!("give {}", words.join(" or "))),
        Some(_) | None => std::error::Error::source(error).map(chain),
    }
}

fn unreadable(command: &Command, variable: impl Fn(&str) -> Option<Vec<u8>>) -> Option<String> {
    let names = command.get_arguments().filter_map(|argument| argument.get_env()?.to_str());
    let mut bad = names.filter(|name| variable(name).is_some_and(|value| String::from_utf8(value).is_err()));
    bad.next().map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory, Parser};

    use super::*;
    use crate::config::Cli;

    fn told(arguments: &[&str]) -> String {
        let error = Cli::try_parse_from([&["imagetask-operator"], arguments].concat()).unwrap_err();
        complaint(&error, &Cli::command(), |_| None)
    }

    #[test]
    fn a_value_is_told_with_its_flag_its_variable_and_what_is_accepted() {
        assert_eq!(
            told(&["--account-qps=fast"]),
            "--account-qps (or IMAGETASK_ACCOUNT_QPS) does not take \"fast\": give a number of calls a second"
        );
        assert_eq!(
            told(&["run", "--log-format=xml"]),
            "--log-format (or IMAGETASK_LOG_FORMAT) does not take \"xml\": give text or json"
        );
    }

    #[test]
    fn a_value_makes_one_short_line_and_no_password_is_repeated() {
        let line = told(&["--region=a\nb"]);
        assert!(line.contains(r#""a\nb""#) && line.lines().count() == 1, "{line}");
        assert!(told(&["--region", &"x".repeat(10_000)]).len() < 300);
        let line = told(&["--endpoint=https://user:hunter2@host"]);
        assert!(!line.contains("hunter2") && line.contains("VOLCENGINE_ENDPOINT"), "{line}");
    }

    #[test]
    fn what_is_no_flag_is_named() {
        assert_eq!(told(&["--region"]), "--region (or VOLCENGINE_REGION) needs a value: see --help");
        assert_eq!(told(&["--what=7"]), "unexpected argument '--what' found: see --help");
        assert_eq!(told(&["walk"]), "unrecognized subcommand 'walk': see --help");
        let error = Error::raw(ErrorKind::InvalidUtf8, "");
        let bad = |name: &str| (name == "VOLCENGINE_REGION").then(|| b"\xff".to_vec());
        assert_eq!(
            complaint(&error, &Cli::command(), bad),
            "VOLCENGINE_REGION is not UTF-8: write it in plain characters"
        );
    }
}
