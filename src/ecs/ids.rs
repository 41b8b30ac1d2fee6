//! The names of tasks and images, and the set of them that fits into one call.

use std::fmt;
use std::sync::LazyLock;

use arcstr::ArcStr;

use super::{Task, Word};

/// Characters of the longest id that is accepted; real ones have 22 (docs 6396/120437).
pub const MAX_ID: usize = 128;

/// A text is not an id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an id is 1 to 128 letters, digits, _ and -, and starts with a letter or digit: copy it whole")]
pub struct IdError;

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(ArcStr);

        impl $name {
            /// Reads `^[A-Za-z0-9][A-Za-z0-9_-]{0,127}$`, so nothing that needs escaping passes.
            pub fn parse(text: &str) -> Result<Self, IdError> {
                is_id(text).then(|| Self(text.into())).ok_or(IdError)
            }

            /// The text, to be shared.
            pub fn text(&self) -> &ArcStr {
                &self.0
            }

            /// The id as the cloud spells it.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

id! {
    /// The id of a task, such as `t-ybnz9qci2sahiqdl0001`.
    TaskId
}

id! {
    /// The id of an image, such as `image-ybnz9qci2sahiqdl0001`.
    ResourceId
}

/// 1 to 100 distinct ids, in ascending order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ids<T>(Box<[T]>);

impl<T: Ord> Ids<T> {
    /// 100: limit of `TaskIds.N` and of `ResourceIds.N` in one call (docs 6396/120437).
    pub const MAX: usize = 100;

    /// Sorts the ids and drops repetitions; `None` when none or more than [`Self::MAX`] are left.
    pub fn new(mut ids: Vec<T>) -> Option<Self> {
        ids.sort_unstable();
        ids.dedup();
        (1..=Self::MAX).contains(&ids.len()).then(|| Self(ids.into_boxed_slice()))
    }
}

/// What one call asks for. Task ids and image ids never share a call: whether the cloud would
/// take both as "and" or as "or" is not documented.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Batch {
    /// Tasks by their own ids.
    Tasks(Ids<TaskId>),
    /// All tasks of these images.
    Resources(Ids<ResourceId>),
}

impl Batch {
    /// The number of ids, 1 to 100.
    pub fn size(&self) -> usize {
        match self {
            Self::Tasks(ids) => ids.0.len(),
            Self::Resources(ids) => ids.0.len(),
        }
    }

    /// The id of a task in the answer, shared with the question where it was asked for; `None` for a task that was not.
    pub(super) fn task_id(&self, text: &str) -> Option<TaskId> {
        match self {
            Self::Tasks(ids) => {
                let place = ids.0.binary_search_by(|id| id.as_str().cmp(text)).ok()?;
                Some(ids.0[place].clone())
            }
            Self::Resources(_) => TaskId::parse(text).ok(),
        }
    }

    /// Whether a task of the answer, which has a [`Self::task_id`], is one of those asked for.
    pub(super) fn asks_for(&self, task: &Task) -> bool {
        match self {
            Self::Tasks(_) => true,
            Self::Resources(ids) => task
                .word(Word::Resource)
                .is_some_and(|resource| ids.0.binary_search_by(|id| id.as_str().cmp(&resource)).is_ok()),
        }
    }

    /// Whether it asks for the tasks of images.
    pub fn is_of_images(&self) -> bool {
        match self {
            Self::Tasks(_) => false,
            Self::Resources(_) => true,
        }
    }

    /// The numbered parameters of the call, counted from 1.
    pub fn parameters(&self) -> Vec<(&str, &str)> {
        match self {
            Self::Tasks(ids) => numbered(&TASK_IDS, ids.0.iter().map(TaskId::as_str)),
            Self::Resources(ids) => numbered(&RESOURCE_IDS, ids.0.iter().map(ResourceId::as_str)),
        }
    }
}

fn is_id(text: &str) -> bool {
    text.len() <= MAX_ID
        && text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-'))
}

fn numbered<'a>(names: &'static [String], values: impl Iterator<Item = &'a str>) -> Vec<(&'a str, &'a str)> {
    names.iter().map(String::as_str).zip(values).collect()
}

/// `TaskIds.1` to `TaskIds.100`: every call has them.
static TASK_IDS: LazyLock<Vec<String>> = LazyLock::new(|| names("TaskIds"));
static RESOURCE_IDS: LazyLock<Vec<String>> = LazyLock::new(|| names("ResourceIds"));

fn names(name: &str) -> Vec<String> {
    (1..=Ids::<TaskId>::MAX).map(|n| format!("{name}.{n}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tasks(ids: &[&str]) -> Vec<TaskId> {
        ids.iter().map(|id| TaskId::parse(id).unwrap()).collect()
    }

    #[test]
    fn an_id_is_taken_as_the_cloud_spells_it_and_the_documentations_stars_are_refused() {
        let longest = "a".repeat(128);
        for good in ["t-ybnz9qci2sahiqdl0001", "A_b-9", "7", &longest] {
            assert_eq!(TaskId::parse(good).map(|id| id.to_string()), Ok(good.to_owned()));
            assert_eq!(ResourceId::parse(good).map(|id| id.to_string()), Ok(good.to_owned()));
        }
        let too_long = "a".repeat(129);
        for bad in ["", "-t", "_t", "t-ybnz9qci2sahiqdl****", "t 1", "t-1\n", "t-é", "t&x=1", &too_long] {
            assert_eq!(TaskId::parse(bad), Err(IdError), "{bad:?}");
            assert_eq!(ResourceId::parse(bad), Err(IdError), "{bad:?}");
        }
    }

    #[test]
    fn a_batch_holds_one_to_a_hundred_distinct_ids() {
        let numbered = |n: usize| (0..n).map(|i| TaskId::parse(&format!("t-{i:03}")).unwrap()).collect();
        assert_eq!(Ids::<TaskId>::new(Vec::new()), None);
        assert_eq!(Ids::<TaskId>::new(numbered(101)), None);
        assert_eq!(Ids::<TaskId>::new(numbered(100)).map(|ids| Batch::Tasks(ids).size()), Some(100));
        let repeated = Ids::new(tasks(&["t-2", "t-1", "t-2"])).unwrap();
        assert_eq!(*repeated.0, tasks(&["t-1", "t-2"]));
    }

    #[test]
    fn ids_become_parameters_counted_from_one() {
        let of_tasks = Batch::Tasks(Ids::new(tasks(&["t-b", "t-a"])).unwrap());
        let of_images = Batch::Resources(Ids::new(vec![ResourceId::parse("image-a").unwrap()]).unwrap());
        assert_eq!(of_tasks.parameters(), [("TaskIds.1", "t-a"), ("TaskIds.2", "t-b")]);
        assert_eq!(of_images.parameters(), [("ResourceIds.1", "image-a")]);
    }
}
