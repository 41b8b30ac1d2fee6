//! What is said of a command line that cannot be used: one line, of the many that clap would print.

use clap::Error;

/// The complaint and its tips, on one line.
pub fn refusal(error: &Error) -> String {
    let text = error.to_string();
    let paragraphs =
        text.split("\n\n").map(str::trim).filter(|it| !it.starts_with("Usage:") && !it.starts_with("For more"));
    let words: Vec<String> = paragraphs.map(|it| it.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
    format!("{}: see --help", words.join("; ").trim_start_matches("error: "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::Cli;
    use clap::Parser;

    #[test]
    fn a_refusal_is_one_line() {
        let table = [
            (
                "wait",
                "the following required arguments were not provided: <NAME|--selector <LABELS>|--all>: see --help",
            ),
            ("wait a --all", "the argument '[NAME]...' cannot be used with '--all': see --help"),
            ("wat", "unrecognized subcommand 'wat'; tip: a similar subcommand exists: 'wait': see --help"),
            (
                "track t-1 --timeout 5",
                "invalid value '5' for '--timeout <TIME>': give a time such as 90s, 30m or 2h: see --help",
            ),
            ("wait a -o yaml", "invalid value 'yaml' for '--output <FORM>' [possible values: text, json]: see --help"),
        ];
        for (arguments, told) in table {
            let words = std::iter::once("kubectl-imagetask").chain(arguments.split_whitespace());
            assert_eq!(refusal(&Cli::try_parse_from(words).unwrap_err()), told);
        }
    }
}
