//! The command line, as typed: every rule on one word is checked here.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use imagetask_operator::clock::Second;
use imagetask_operator::ecs::{Region, ResourceId, TaskId};

use crate::completion::Completer;
use crate::name::Name;
use crate::verdict::Patience;

/// Waits for image tasks of Volcengine ECS that ImageTasks follow, and tells what became of them.
#[derive(Debug, Parser)]
#[command(name = "kubectl-imagetask", bin_name = "kubectl imagetask", version, after_help = EXIT_CODES)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
    /// Where.
    #[command(flatten)]
    pub place: Place,
    /// Form of what is printed: text for people, json for scripts.
    #[arg(long, short, global = true, value_name = "FORM", default_value = "text")]
    pub output: Output,
}

const EXIT_CODES: &str = "\
Exit codes: 0 all succeeded, 1 one failed, is stuck or was deleted, 2 the command cannot be carried out,
3 --timeout passed, 130 interrupted.

Examples:
  kubectl imagetask track t-2zf8q1c7kxyd9ro3wmvb --region cn-beijing --wait
  kubectl imagetask track --image image-ye7k2mz4hd5c1xqp8r3t --type CopyImage --region cn-shanghai
  kubectl imagetask wait --all --timeout 2h
  kubectl imagetask why t-2zf8q1c7kxyd9ro3wmvb";

/// Which cluster and namespace, as kubectl takes it.
#[derive(Debug, Args)]
pub struct Place {
    /// Namespace of the ImageTasks. Default: that of the kubeconfig's context.
    #[arg(long, short, global = true, value_name = "NAME")]
    pub namespace: Option<String>,
    /// Context of the kubeconfig. Default: its current one.
    #[arg(long, global = true, value_name = "NAME")]
    pub context: Option<String>,
    /// Kubeconfig file. Default: as kubectl finds it.
    #[arg(long, global = true, value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,
}

/// Form of what is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// For people.
    Text,
    /// For scripts.
    Json,
}

/// What the program can do: in a cluster, and without one.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Waits until ImageTasks have succeeded; ends at once when one fails or is stuck.
    ///
    /// On a terminal each ImageTask has a bar, with the time left estimated from its pace; elsewhere each change is a
    /// line. What is waited for is settled at the beginning: ImageTasks that come later are not. With -o json one
    /// document is printed at the end, and the progress goes to standard error.
    Wait(Wait),
    /// Creates an ImageTask that follows a task, and names it after the task.
    ///
    /// Nothing is changed when that ImageTask is there already, so it may be repeated.
    Track(Track),
    /// Stops the polling of ImageTasks until they are resumed.
    Suspend(Chosen),
    /// Polls suspended ImageTasks again.
    Resume(Chosen),
    /// Asks the operator to look at ImageTasks now.
    Refresh(Refresh),
    /// Tells what happened to an ImageTask when, and what to do next.
    Why {
        /// Name of the ImageTask.
        #[arg(value_parser = Name::parse)]
        name: Name,
    },
    /// Prints a script that completes this program's words in a shell, or lets kubectl complete them.
    Completion {
        /// Who completes.
        #[arg(value_name = "SHELL")]
        completer: Completer,
    },
    /// Answers kubectl, which completes the words of a plugin by asking it.
    #[command(name = "__complete", hide = true)]
    Complete {
        /// What was typed after `kubectl imagetask`.
        #[arg(last = true)]
        typed: Vec<String>,
    },
}

/// Which ImageTasks.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub struct Chosen {
    /// Names of ImageTasks, also as imagetask/NAME.
    #[arg(value_name = "NAME", value_parser = Name::parse)]
    pub names: Vec<Name>,
    /// Those that this label selector matches.
    #[arg(long, short = 'l', value_name = "LABELS")]
    pub selector: Option<String>,
    /// All of the namespace.
    #[arg(long)]
    pub all: bool,
}

/// The flags of `wait`.
#[derive(Debug, Args)]
pub struct Wait {
    /// Which.
    #[command(flatten)]
    pub chosen: Chosen,
    /// Longest time to wait, such as 90s, 30m or 2h. Default: until it is over.
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub timeout: Option<Duration>,
    /// Goes on after a failure until none can succeed any more. One that is stuck is not waited for.
    #[arg(long)]
    wait_all: bool,
}

impl Wait {
    /// How long a failure is borne.
    pub fn patience(&self) -> Patience {
        if self.wait_all { Patience::All } else { Patience::FirstFailure }
    }
}

/// The flags of `track`.
#[derive(Debug, Args)]
pub struct Track {
    /// Id of the task, as ExportImage returned it.
    #[arg(value_name = "TASK_ID", value_parser = task_id, required_unless_present = "image", conflicts_with = "image")]
    pub task: Option<TaskId>,
    /// Id of the image whose newest task of --type is followed, where nobody was told the task's id.
    #[arg(long, value_name = "IMAGE_ID", value_parser = image_id, requires = "type_")]
    pub image: Option<ResourceId>,
    /// Type of the task on the image: ExportImage, CopyImage, ImportImage, CreateImage or PreheatImage.
    #[arg(long = "type", value_name = "TYPE", value_parser = task_type, requires = "image", conflicts_with = "task")]
    pub type_: Option<String>,
    /// Time before the call that started the task, such as 2026-01-31T09:00:00Z (spec.startedAfter): older tasks on the
    /// image are not meant.
    #[arg(long, value_name = "MOMENT", value_parser = moment, requires = "image", conflicts_with = "task")]
    pub started_after: Option<Second>,
    /// Name of the ImageTask. Default: made from the id.
    #[arg(long, value_parser = Name::parse)]
    pub name: Option<Name>,
    /// Region of the task, such as cn-beijing; of a copy, where it goes to. Default: the operator's.
    #[arg(long, value_parser = region)]
    pub region: Option<Region>,
    /// Secret in the same namespace with the keys to ask with. Default: the operator's own keys, where it lends them.
    #[arg(long, value_name = "SECRET", value_parser = secret)]
    pub credentials: Option<String>,
    /// Time after which the ImageTask counts as failed (spec.timeout), such as 90m or 2h.
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub timeout: Option<Duration>,
    /// Waits for its end, as `kubectl imagetask wait` does.
    #[arg(long)]
    pub wait: bool,
}

/// The flags of `refresh`.
#[derive(Debug, Args)]
pub struct Refresh {
    /// Which.
    #[command(flatten)]
    pub chosen: Chosen,
    /// Waits until the operator has looked.
    #[arg(long)]
    pub wait: bool,
    /// Longest time to wait with --wait.
    #[arg(long, value_name = "TIME", default_value = "1m", value_parser = duration)]
    pub timeout: Duration,
}

fn duration(text: &str) -> Result<Duration, String> {
    let expected = "give a time such as 90s, 30m or 2h";
    let parsed: kube::core::Duration = text.parse().map_err(|_| expected)?;
    // More than a year is a slip of the keyboard.
    let accepted = Duration::from_secs(1)..=Duration::from_secs(365 * 24 * 3600);
    let good = !text.starts_with('-') && accepted.contains(&Duration::from(parsed));
    if good { Ok(parsed.into()) } else { Err(expected.to_owned()) }
}

fn task_id(text: &str) -> Result<TaskId, String> {
    TaskId::parse(text).map_err(|error| error.to_string())
}

fn image_id(text: &str) -> Result<ResourceId, String> {
    ResourceId::parse(text).map_err(|error| error.to_string())
}

fn region(text: &str) -> Result<Region, String> {
    Region::parse(text).map_err(|error| error.to_string())
}

/// As the CRD has it: `^[A-Za-z][A-Za-z0-9]{0,63}$`.
fn task_type(text: &str) -> Result<String, String> {
    let good = text.len() <= 64
        && text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.chars().all(|c| c.is_ascii_alphanumeric());
    if good { Ok(text.to_owned()) } else { Err("give a word of the API such as CopyImage".to_owned()) }
}

fn moment(text: &str) -> Result<Second, String> {
    text.parse().map_err(|_| "give a moment such as 2026-01-31T09:00:00Z".to_owned())
}

fn secret(text: &str) -> Result<String, String> {
    let name = Name::parse(text).ok().filter(|name| name.as_str() == text);
    name.map(|name| name.as_str().to_owned()).ok_or_else(|| "give the name of a Secret".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;
    use clap::error::ErrorKind;

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }

    fn refused(arguments: &str) -> ErrorKind {
        let words = std::iter::once("kubectl-imagetask").chain(arguments.split_whitespace());
        Cli::try_parse_from(words).map(|cli| format!("{cli:?}")).unwrap_err().kind()
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        let table = [
            ("wait", ErrorKind::MissingRequiredArgument),
            ("wait t-1 --all", ErrorKind::ArgumentConflict),
            ("wait --all -l a=b", ErrorKind::ArgumentConflict),
            ("wait T_1", ErrorKind::ValueValidation),
            ("wait t-1 --timeout 0s", ErrorKind::ValueValidation),
            ("wait t-1 --timeout -5m", ErrorKind::UnknownArgument),
            ("wait t-1 --timeout 5", ErrorKind::ValueValidation),
            ("track", ErrorKind::MissingRequiredArgument),
            ("track t-1 --image image-1 --type CopyImage", ErrorKind::ArgumentConflict),
            ("track --image image-1", ErrorKind::MissingRequiredArgument),
            ("track t-1 --type CopyImage", ErrorKind::ArgumentConflict),
            ("track t-1 --started-after 2026-01-31T09:00:00Z", ErrorKind::ArgumentConflict),
            ("track --image image-1 --type CopyImage --started-after 9:00", ErrorKind::ValueValidation),
            ("track t-2zf8q1****", ErrorKind::ValueValidation),
            ("track t-1 --credentials imagetask/keys", ErrorKind::ValueValidation),
            ("wait t-1 -o yaml", ErrorKind::InvalidValue),
        ];
        for (arguments, kind) in table {
            assert_eq!(refused(arguments), kind, "{arguments}");
        }
    }

    #[test]
    fn every_command_and_flag_is_in_the_readme() {
        let readme = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../README.md");
        let readme = std::fs::read_to_string(readme).unwrap();
        let (_, section) = readme.split_once("\n## kubectl imagetask\n").unwrap();
        let section = section.split("\n## ").next().unwrap();
        let command = Cli::command();
        let commands = command.get_subcommands().filter(|it| !it.is_hide_set());
        for command in commands.chain([&command]) {
            let flags = command.get_arguments().filter_map(|it| Some(format!("--{}", it.get_long()?)));
            let name = (command.get_name() != "kubectl-imagetask").then(|| format!("`{}", command.get_name()));
            for word in flags.chain(name) {
                assert!(section.contains(&word), "{word} is not in README.md");
            }
        }
    }
}
