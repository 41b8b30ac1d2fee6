//! How the timeout of an ImageTask stands when a look at its task is judged.

/// The timeout at a look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deadline {
    /// Nothing falls with this look: the deadline is ahead, there is none, or the last word is still waited for.
    Open,
    /// This look began after the deadline: what it says of the task is the last word, an end or none.
    LastWord,
    /// It has passed, and nobody has said the last word for as long as it is waited for.
    Unheard(Unheard),
}

/// Why nobody has said what became of a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unheard {
    /// The cloud gave no answer.
    Cloud,
    /// There were no credentials to ask with, or the cloud refused them.
    Credentials,
    /// It was not its turn to be asked.
    Queue,
}

impl Unheard {
    /// What happened and what the user can do.
    pub fn text(self) -> &'static str {
        match self {
            Self::Cloud => CLOUD,
            Self::Credentials => CREDENTIALS,
            Self::Queue => QUEUE,
        }
    }
}

const CLOUD: &str = "the timeout passed, and the cloud gave no answer for a minute to tell whether the task ended: look \
    at the task in the console";
const CREDENTIALS: &str = "the timeout passed, and whether the task ended could not be asked: its credentials could not \
    be read, or were refused; correct them, and create the ImageTask anew";
const QUEUE: &str = "the timeout passed, and it was not the task's turn to be asked for ten minutes: look at the task in \
    the console, and see with the administrator what keeps its account busy";
