//! What goes to standard output.

use std::io::Write as _;

use anyhow::Context as _;
use imagetask_operator::usage::one_line;
use serde::Serialize;

/// Prints a line.
///
/// # Errors
///
/// When nobody reads on.
pub fn line(text: &str) -> anyhow::Result<()> {
    writeln!(std::io::stdout(), "{text}").context("the output cannot be written")
}

/// Prints a document.
///
/// # Errors
///
/// When nobody reads on.
pub fn json(document: &impl Serialize) -> anyhow::Result<()> {
    line(&serde_json::to_string_pretty(document).context("the document is not JSON")?)
}

/// Tells on one line why the program ends as it does; there is nobody to tell it to when that fails.
pub fn complaint(text: &str) {
    drop(writeln!(std::io::stderr(), "kubectl imagetask: {}", one_line(text)));
}
