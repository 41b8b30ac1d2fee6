//! Completion of words: scripts for shells, and answers to kubectl, which completes `kubectl imagetask` by asking a
//! program `kubectl_complete-imagetask` (its convention for plugins) and reads candidates as cobra prints them.

use clap::{Command, ValueEnum};
use clap_complete::{Generator, aot};

/// The file that kubectl completes; the other half of `kubectl imagetask`.
const PROGRAM: &str = "kubectl-imagetask";

/// What `kubectl_complete-imagetask` is.
const FOR_KUBECTL: &str = "#!/bin/sh\nexec kubectl-imagetask __complete -- \"$@\"\n";

/// cobra's directive `NoFileComp`: what is not listed is no file either.
const NO_FILES: &str = ":4";

/// Who completes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Completer {
    /// bash, of kubectl-imagetask.
    Bash,
    /// Fish, of kubectl-imagetask.
    Fish,
    /// Zsh, of kubectl-imagetask.
    Zsh,
    /// kubectl, of `kubectl imagetask`: an executable to be put into the PATH as kubectl_complete-imagetask.
    Kubectl,
}

/// The script for a completer.
pub fn script(completer: Completer, command: Command) -> String {
    match completer {
        Completer::Bash => generated(aot::Bash, command),
        Completer::Fish => generated(aot::Fish, command),
        Completer::Zsh => generated(aot::Zsh, command),
        Completer::Kubectl => FOR_KUBECTL.to_owned(),
    }
}

/// The answer to kubectl: the words that the last of `typed` may become, each with what it means.
pub fn answer(mut command: Command, typed: &[String]) -> String {
    command.build();
    let (begun, before) = typed.split_last().map_or(("", typed), |(last, before)| (last.as_str(), before));
    let at = before.iter().fold(&command, |at, word| at.find_subcommand(word).unwrap_or(at));
    let words = match before.last().and_then(|flag| values(at, flag)) {
        Some(values) => values,
        None if begun.starts_with('-') => flags(at),
        None => subcommands(at),
    };
    let fitting = words.into_iter().filter(|(word, _)| word.starts_with(begun));
    let mut lines: Vec<String> = fitting.map(|(word, help)| format!("{word}\t{help}")).collect();
    lines.push(NO_FILES.to_owned());
    lines.join("\n")
}

fn generated(shell: impl Generator, mut command: Command) -> String {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut command, PROGRAM, &mut script);
    String::from_utf8(script).expect("a script is text")
}

/// What may follow a flag; `None` where the word before is not one that takes a value.
fn values(at: &Command, flag: &str) -> Option<Vec<(String, String)>> {
    let is_it = |argument: &&clap::Arg| {
        let long = argument.get_long().is_some_and(|long| flag.strip_prefix("--") == Some(long));
        let short = argument.get_short().is_some_and(|short| flag.strip_prefix('-') == Some(&short.to_string()));
        (long || short) && argument.get_action().takes_values()
    };
    let argument = at.get_arguments().find(is_it)?;
    let help = |value: &clap::builder::PossibleValue| value.get_help().map(ToString::to_string).unwrap_or_default();
    Some(argument.get_possible_values().iter().map(|value| (value.get_name().to_owned(), help(value))).collect())
}

fn flags(at: &Command) -> Vec<(String, String)> {
    let help = |argument: &clap::Arg| argument.get_help().map(ToString::to_string).unwrap_or_default();
    at.get_arguments().filter_map(|it| Some((format!("--{}", it.get_long()?), help(it)))).collect()
}

fn subcommands(at: &Command) -> Vec<(String, String)> {
    let shown = at.get_subcommands().filter(|it| !it.is_hide_set());
    let help = |command: &Command| command.get_about().map(ToString::to_string).unwrap_or_default();
    shown.map(|it| (it.get_name().to_owned(), help(it))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::Cli;
    use clap::CommandFactory;

    fn completed(typed: &str) -> Vec<String> {
        let typed: Vec<String> = typed.split(' ').map(str::to_owned).collect();
        let answer = answer(Cli::command(), &typed);
        answer.lines().map(|line| line.split('\t').next().unwrap_or_default().to_owned()).collect()
    }

    #[test]
    fn commands_flags_and_values_are_completed() {
        assert_eq!(completed("wa"), ["wait", ":4"]);
        assert_eq!(completed("re"), ["resume", "refresh", ":4"]);
        assert_eq!(completed("wait --wait"), ["--wait-all", ":4"]);
        assert_eq!(completed("wait --namesp"), ["--namespace", ":4"]);
        assert_eq!(completed("wait -o j"), ["json", ":4"]);
        assert_eq!(completed("wait --output "), ["text", "json", ":4"]);
        assert_eq!(completed("wait --timeout "), [":4"]);
        assert_eq!(completed("wait t-"), [":4"]);
        assert!(!completed("").contains(&"__complete".to_owned()));
    }
}
