//! The simulated cloud: what it knows of each id and at what time, and what it says to a call.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::clocks::{millis, secs};

/// What the cloud makes of an id at a time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Stage {
    /// It tells of the task, in this word.
    Word(&'static str),
    /// It refuses every call in which the id is: its code and HTTP status.
    Refused(&'static str, u16),
    /// It spoils every answer in which the id is: the HTTP status of what arrives.
    Breaks(u16),
    /// It never comes to the end of the image's tasks.
    Endless,
}

impl Stage {
    /// Whether an answer tells of the id.
    pub(crate) fn is_answered(self) -> bool {
        matches!(self, Self::Word(_))
    }

    /// Whether it is told of in this word.
    pub(crate) fn says(self, word: &str) -> bool {
        matches!(self, Self::Word(said) if said == word)
    }

    /// Whether the task is over.
    pub(crate) fn is_end(self) -> bool {
        matches!(self, Self::Word("Succeeded" | "Failed"))
    }
}

/// What the cloud makes of an id, from each moment on.
pub(crate) type Script = Vec<(Duration, Stage)>;

/// What is followed by an id.
#[derive(Clone, Debug)]
pub(crate) struct Thing {
    pub(crate) script: Script,
    /// Of an image: its newest task, of the type that is asked for.
    pub(crate) newest: Option<String>,
    /// Of an image: how many tasks of other types it has.
    pub(crate) others: usize,
}

impl Thing {
    /// A task that goes on for ever, or whatever else stays as it is.
    pub(crate) fn always(stage: Stage) -> Self {
        Self::scripted(vec![(Duration::ZERO, stage)])
    }

    pub(crate) fn scripted(script: Script) -> Self {
        Self { script, newest: None, others: 0 }
    }

    /// Whether the cloud has told of it in this word by then.
    pub(crate) fn said(&self, word: &str, by: Duration) -> bool {
        self.script.iter().any(|(from, stage)| *from <= by && stage.says(word))
    }

    pub(crate) fn at(&self, now: Duration) -> Stage {
        let past = self.script.iter().take_while(|(from, _)| *from <= now);
        past.last().map_or(Stage::Word("Pending"), |(_, stage)| *stage)
    }
}

/// What all calls of a lane fare alike, for a time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Ill {
    Throttled(Option<u64>),
    /// No answer comes.
    Hangs,
    /// No connection stands.
    Unreachable,
    /// Every answer is one that the API cannot have sent, of this HTTP status.
    Page(u16),
    /// The permission is taken away.
    Denied,
}

/// An illness of the lanes of an account.
#[derive(Clone, Debug)]
pub(crate) struct Trouble {
    pub(crate) account: usize,
    pub(crate) from: Duration,
    pub(crate) to: Duration,
    pub(crate) ill: Ill,
}

/// Everything that the cloud knows.
#[derive(Clone, Default)]
pub(crate) struct Cloud {
    pub(crate) seed: u64,
    /// The account of each key, and from when to when it is good.
    pub(crate) keys: BTreeMap<String, (usize, Duration, Duration)>,
    pub(crate) things: BTreeMap<(usize, String), Thing>,
    pub(crate) troubles: Vec<Trouble>,
}

/// A call as it is made.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) key: String,
    pub(crate) region: String,
    pub(crate) ids: Vec<String>,
    pub(crate) of_images: bool,
}

/// What the cloud says.
#[derive(Clone, Debug)]
pub(crate) enum Said {
    /// Tasks, whether they are all, and the calls that it took, one for each page.
    Tasks(Vec<Row>, bool, u32),
    /// A code, an HTTP status, and how long the cloud asks to be left alone.
    Refused(&'static str, u16, Option<Duration>),
    /// An answer that is none of the API's: its HTTP status; nothing where none came.
    Unusable(Option<u16>),
    Unreachable,
}

/// A task in an answer.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    pub(crate) id: String,
    pub(crate) image: Option<String>,
    pub(crate) type_: &'static str,
    pub(crate) word: &'static str,
    pub(crate) created: &'static str,
}

/// Tasks on a page.
const PAGE: usize = 100;

/// Pages that the client reads at most.
pub(crate) const MOST_PAGES: u32 = 20;

/// After this the client gives up a call.
pub(crate) const HANG: Duration = Duration::from_secs(10);

impl Said {
    /// The HTTP calls that it took.
    pub(crate) fn calls(&self) -> u32 {
        match self {
            Self::Tasks(.., calls) => *calls,
            Self::Refused(..) | Self::Unusable(_) | Self::Unreachable => 1,
        }
    }

    /// In a word, for the records.
    pub(crate) fn label(&self) -> String {
        match self {
            Self::Tasks(rows, complete, _) => format!("{} tasks, complete: {complete}", rows.len()),
            Self::Refused(code, status, _) => format!("{status} {code}"),
            Self::Unusable(status) => format!("unusable {status:?}"),
            Self::Unreachable => "unreachable".to_owned(),
        }
    }
}

impl Cloud {
    /// The account of a key, if it is good.
    pub(crate) fn account(&self, key: &str, now: Duration) -> Option<usize> {
        let (account, from, to) = self.keys.get(key)?;
        (*from <= now && now < *to).then_some(*account)
    }

    /// What ails all lanes of an account.
    pub(crate) fn ill(&self, account: usize, now: Duration) -> Option<Ill> {
        let mut all = self.troubles.iter().filter(|it| it.account == account && it.from <= now && now < it.to);
        all.next().map(|it| it.ill)
    }

    /// How long a page takes; from the call alone, so that the same calls take the same time in every run.
    pub(crate) fn latency(&self, asked: &Asked, now: Duration) -> Duration {
        let account = self.keys.get(&asked.key).map_or(0, |(account, ..)| *account);
        if self.ill(account, now) == Some(Ill::Hangs) {
            return HANG;
        }
        let first =
            asked.ids.first().map_or(0, |id| id.bytes().fold(7_u64, |sum, byte| sum * 31 % 65_537 + u64::from(byte)));
        let moment = u64::try_from(now.as_millis()).unwrap_or(0);
        let mut dice = fastrand::Rng::with_seed(self.seed ^ first << 32 ^ moment);
        millis(10 * dice.u64(5..30))
    }

    /// What it says at a moment. The key is looked at first, then the ids: one that is refused refuses the call.
    pub(crate) fn say(&self, asked: &Asked, now: Duration) -> Said {
        let refused = |code, status| Said::Refused(code, status, None);
        let Some(account) = self.account(&asked.key, now) else { return refused("InvalidAccessKey", 401) };
        match self.ill(account, now) {
            Some(Ill::Throttled(seconds)) => return Said::Refused("AccountFlowLimitExceeded", 429, seconds.map(secs)),
            Some(Ill::Hangs) => return Said::Unusable(None),
            Some(Ill::Unreachable) => return Said::Unreachable,
            Some(Ill::Page(status)) => return Said::Unusable(Some(status)),
            Some(Ill::Denied) => return refused("AccessDenied", 403),
            None => {}
        }
        let thing = |id: &String| self.things.get(&(account, id.clone()));
        let stages = || asked.ids.iter().filter_map(|id| Some(thing(id)?.at(now)));
        for stage in stages() {
            if let Stage::Refused(code, status) = stage {
                return refused(code, status);
            }
        }
        for stage in stages() {
            if let Stage::Breaks(status) = stage {
                return Said::Unusable(Some(status));
            }
        }
        let complete = stages().all(|stage| stage != Stage::Endless);
        let rows: Vec<_> = asked.ids.iter().flat_map(|id| self.rows(account, id, asked.of_images, now)).collect();
        let calls = u32::try_from(rows.len().div_ceil(PAGE).max(1)).unwrap_or(MOST_PAGES);
        let calls = if complete { calls } else { MOST_PAGES };
        Said::Tasks(rows, complete, calls)
    }

    fn rows(&self, account: usize, id: &str, of_images: bool, now: Duration) -> Vec<Row> {
        let Some(thing) = self.things.get(&(account, id.to_owned())) else { return Vec::new() };
        let row = |id: &str, image: Option<&str>, type_, word, created| Row {
            id: id.to_owned(),
            image: image.map(str::to_owned),
            type_,
            word,
            created,
        };
        if !of_images {
            return match thing.at(now) {
                Stage::Word(word) => vec![row(id, None, "ExportImage", word, "2023-11-14T00:00:00Z")],
                Stage::Refused(..) | Stage::Breaks(_) | Stage::Endless => Vec::new(),
            };
        }
        let newest = thing.newest.as_ref().filter(|_| thing.at(now) != Stage::Endless);
        let newest = newest.and_then(|task| {
            let Stage::Word(word) = self.things.get(&(account, task.clone()))?.at(now) else { return None };
            Some(row(task, Some(id), "CopyImage", word, "2023-11-14T01:00:00Z"))
        });
        let old = |n| row(&format!("t-old-{n}-of-{id}"), Some(id), "CreateImage", "Succeeded", "2021-05-06T00:00:00Z");
        (0..thing.others).map(old).chain(newest).collect()
    }
}
