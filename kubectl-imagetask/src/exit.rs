//! How the program ends, for scripts: its exit codes.

use std::process::ExitCode;

/// The exit codes; whatever else goes wrong is [`Exit::Unusable`], so that 1 always speaks of an ImageTask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// Everything asked for is so.
    Success,
    /// An ImageTask failed, is stuck, or was deleted while it was waited for.
    Failed,
    /// The command could not begin: bad usage, nothing of that name, no access to the cluster.
    Unusable,
    /// `--timeout` passed first.
    Timeout,
    /// Ctrl-C.
    Interrupted,
}

impl Exit {
    /// The number.
    pub fn code(self) -> u8 {
        match self {
            Self::Success => 0,
            Self::Failed => 1,
            Self::Unusable => 2,
            Self::Timeout => 3,
            Self::Interrupted => 130,
        }
    }

    /// The word in `-o json`.
    pub fn word(self) -> &'static str {
        match self {
            Self::Success => "Succeeded",
            Self::Failed => "Failed",
            Self::Unusable => "Unusable",
            Self::Timeout => "Timeout",
            Self::Interrupted => "Interrupted",
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}
