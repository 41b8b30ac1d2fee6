//! One task as the cloud reports it, cut to what a status may hold.

use std::borrow::Cow;
use std::cmp::Ordering;

use k8s_openapi::jiff::Timestamp;

use super::TaskId;
use super::packed::{Packed, Packing};

/// Characters kept of `Type`; the longest known word has 12.
pub const MAX_TYPE: usize = 64;
/// Characters kept of `Status`; the longest known word has 13.
pub const MAX_STATUS: usize = 64;
/// Characters kept of each time; RFC 3339 with nanoseconds and an offset has 35.
pub const MAX_TIME: usize = 64;

/// A task as the cloud reported it, packed: there are many, each with six words.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Task {
    /// `Id`. A task without a usable one is not reported at all.
    pub id: TaskId,
    /// The progress, or [`NO_PROCESS`], then the words in the order of [`Word`].
    packed: Box<[u8]>,
}

/// What a task says of itself. Words are the cloud's own; empty ones are absent.
#[derive(Debug, Clone, Copy, Default)]
pub struct Words<'a> {
    /// `Process`, percent, 0 to 100; absent when unreadable.
    pub process: Option<u8>,
    /// `Type`, for example `ExportImage`, or a word that does not exist yet.
    pub type_: Option<&'a str>,
    /// `Status`, verbatim; [`TaskProgress::of`] reads it.
    pub status: Option<&'a str>,
    /// `ResourceId`, the image.
    pub resource_id: Option<&'a str>,
    /// `CreatedAt`, usually RFC 3339 with `+08:00`.
    pub created_at: Option<&'a str>,
    /// `EndAt`. What the cloud sends before the end is not documented.
    pub ended_at: Option<&'a str>,
    /// `UpdatedAt`.
    pub updated_at: Option<&'a str>,
}

/// The words of a task, in the order in which they are packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the fields of Words, documented there")]
pub enum Word {
    Type,
    Status,
    Resource,
    Created,
    Ended,
    Updated,
}

/// How far a task is, as far as its status word is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TaskProgress {
    /// Not begun.
    Pending,
    /// Under way.
    Running,
    /// Over, with success.
    Succeeded,
    /// Over, without success; the cloud gives no reason.
    Failed,
    /// `UnknownStatus`, nothing, or a word that did not exist when this was written. Not an end.
    Unknown,
}

impl TaskProgress {
    /// What a status word means. Words are compared exactly, as the SDKs do.
    pub fn of(status: Option<&str>) -> Self {
        match status {
            Some("Pending") => Self::Pending,
            Some("Running") => Self::Running,
            Some("Succeeded") => Self::Succeeded,
            Some("Failed") => Self::Failed,
            Some(_) | None => Self::Unknown,
        }
    }
}

impl Task {
    /// A task that says this of itself, in words of at most 64 KiB.
    pub fn new(id: TaskId, words: Words<'_>) -> Self {
        let Words { process, type_, status, resource_id, created_at, ended_at, updated_at } = words;
        let mut packed = Packing::new();
        packed.push(process.unwrap_or(NO_PROCESS));
        for word in [type_, status, resource_id, created_at, ended_at, updated_at] {
            Packed::of(word).write(&mut packed);
        }
        Self { id, packed: packed.as_slice().into() }
    }

    /// The progress in percent.
    pub fn process(&self) -> Option<u8> {
        self.packed.first().copied().filter(|process| *process != NO_PROCESS)
    }

    /// A word as the cloud wrote it.
    pub fn word(&self, word: Word) -> Option<Cow<'_, str>> {
        self.packed(word).told()
    }

    /// How far it is.
    pub fn progress(&self) -> TaskProgress {
        TaskProgress::of(self.word(Word::Status).as_deref())
    }

    /// `CreatedAt` as an instant; absent when unreadable. A time without a zone is read as +08:00.
    pub fn created(&self) -> Option<Timestamp> {
        self.packed(Word::Created).instant()
    }

    /// `EndAt` as an instant; absent when unreadable. A time without a zone is read as +08:00.
    pub fn ended(&self) -> Option<Timestamp> {
        self.packed(Word::Ended).instant()
    }

    /// Whether it says the same as another report of it; `UpdatedAt` alone is no news.
    pub fn is_no_news_after(&self, before: &Self) -> bool {
        self == before || (self.process() == before.process() && self.differs_in_progress_only(before))
    }

    /// Whether it differs from another report of it in nothing but progress.
    pub fn differs_in_progress_only(&self, other: &Self) -> bool {
        self.id == other.id && self.lasting() == other.lasting()
    }

    /// Which of two reports of one task is the newer by `UpdatedAt`; an unreadable time is the oldest.
    pub(super) fn compare_age(&self, other: &Self) -> Ordering {
        self.packed(Word::Updated).instant().cmp(&other.packed(Word::Updated).instant())
    }

    fn packed(&self, word: Word) -> Packed<'_> {
        Packed::read(&mut self.from(word))
    }

    /// The words that are news when they change, packed.
    fn lasting(&self) -> &[u8] {
        &self.packed[1..self.packed.len() - self.from(Word::Updated).len()]
    }

    /// A word and what follows it, packed.
    fn from(&self, word: Word) -> &[u8] {
        let mut rest = &self.packed[1..];
        for _ in 0..word as usize {
            Packed::read(&mut rest);
        }
        rest
    }
}

/// No percentage.
const NO_PROCESS: u8 = u8::MAX;

/// The first `max` characters of what the cloud wrote; `None` when it wrote nothing.
///
/// Counts characters, as `maxLength` in a CRD does.
pub(super) fn cut(text: &str, max: usize) -> Option<&str> {
    let fits = text.len() <= max;
    let end = if fits { text.len() } else { text.char_indices().nth(max).map_or(text.len(), |(at, _)| at) };
    (end > 0).then(|| &text[..end])
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, prop_assert, prop_assert_eq, proptest};

    use super::*;

    fn task(created_at: Option<&str>, updated_at: Option<&str>) -> Task {
        Task::new(TaskId::parse("t-1").unwrap(), Words { created_at, updated_at, ..Words::default() })
    }

    #[test]
    fn only_the_clouds_own_four_words_mean_something() {
        let of = |word| TaskProgress::of(Some(word));
        assert_eq!(of("Pending"), TaskProgress::Pending);
        assert_eq!(of("Running"), TaskProgress::Running);
        assert_eq!(of("Succeeded"), TaskProgress::Succeeded);
        assert_eq!(of("Failed"), TaskProgress::Failed);
        for unknown in ["UnknownStatus", "", "failed", "Succeeded ", "Cancelled"] {
            assert_eq!(of(unknown), TaskProgress::Unknown, "{unknown:?}");
        }
        assert_eq!(TaskProgress::of(None), TaskProgress::Unknown);
    }

    #[test]
    fn a_creation_time_is_an_instant_whatever_its_offset_and_beijings_without_one() {
        let created = |time| task(time, None).created();
        let instant: Timestamp = "2022-05-05T16:01:00Z".parse().unwrap();
        assert_eq!(created(Some("2022-05-06T00:01:00+08:00")), Some(instant));
        for in_beijing in ["2022-05-06T00:01:00", "2022-05-06 00:01:00", "2022-05-06T00:01:00.000"] {
            assert_eq!(created(Some(in_beijing)), Some(instant), "{in_beijing}");
            assert_eq!(task(Some(in_beijing), None).word(Word::Created).as_deref(), Some(in_beijing));
        }
        let unreadable = [
            "yesterday",
            "2022-05-06",
            "2022-05-06 00:01",
            "0000-00-00T00:00:00Z",
            "0000-00-00 00:00:00",
            "2022-05-06T00:01:00[Asia/Shanghai]",
            "2022-05-06T00:01:00+99:00",
        ];
        for unreadable in unreadable {
            assert_eq!(created(Some(unreadable)), None, "{unreadable:?}");
        }
        assert_eq!(created(None), None);
    }

    #[test]
    fn of_two_reports_the_later_update_is_the_newer() {
        let report = |updated_at| task(None, updated_at);
        let compare = |a, b| report(a).compare_age(&report(b));
        let east = Some("2022-05-06T00:01:00+08:00");
        let same_in_utc = Some("2022-05-05T16:01:00Z");
        let later = Some("2022-05-05T16:01:01Z");
        assert_eq!(compare(east, same_in_utc), Ordering::Equal);
        assert_eq!(compare(east, later), Ordering::Less);
        assert_eq!(compare(east, Some("?")), Ordering::Greater);
    }

    proptest! {
        #[test]
        fn a_word_is_the_longest_beginning_that_fits(text in any::<String>(), max in 1..80_usize) {
            let kept = cut(&text, max);
            prop_assert_eq!(kept.is_none(), text.is_empty());
            let kept = kept.unwrap_or_default();
            prop_assert!(text.starts_with(kept));
            prop_assert_eq!(kept.chars().count(), text.chars().count().min(max));
        }
    }
}
