//! What happens in a run, all of it made from the seed: who is there, what ails whom, and what befalls the program.

use std::collections::BTreeMap;
use std::time::Duration;

use k8s_openapi::jiff::SignedDuration;

use crate::cloud::Cloud;
use crate::profiles::Profile;

/// What the administrator has set.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    pub(crate) qps: f64,
    pub(crate) interval: Duration,
    pub(crate) stuck_after: Duration,
}

/// What an ImageTask follows.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Target {
    Task(String),
    Image(String),
}

/// An ImageTask of the run.
#[derive(Clone, Debug)]
pub(crate) struct Object {
    pub(crate) namespace: String,
    pub(crate) name: String,
    pub(crate) account: usize,
    pub(crate) region: &'static str,
    pub(crate) target: Target,
    pub(crate) secret: Option<String>,
    pub(crate) timeout: Option<Duration>,
    /// The cloud answers for its id all the time.
    pub(crate) honest: bool,
}

impl Object {
    pub(crate) fn id(&self) -> &str {
        match &self.target {
            Target::Task(id) | Target::Image(id) => id,
        }
    }
}

/// The namespace whose ImageTasks have a field in their spec that this version does not know.
pub(crate) const FUTURE: &str = "future";

/// Namespace and name of an ImageTask or a Secret.
pub(crate) type Name = (String, String);

/// What a Secret holds.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Secret {
    Key(String),
    Malformed,
    Missing,
    /// The API server does not give it.
    Unreadable,
}

/// What befalls the world.
#[derive(Clone, Debug)]
pub(crate) enum Act {
    Create(usize),
    Delete(usize),
    /// A new value of the annotation that asks for a look.
    Poke(usize),
    Suspend(usize, bool),
    /// A process is started; with an election it stands by first.
    Start,
    /// The leader is killed.
    Kill,
    /// The leader ends by itself and gives its Lease back.
    End,
    /// The leader's process is stopped for so long, its machine goes on.
    Stop(Duration),
    /// The leader's machine sleeps for so long.
    Sleep(Duration),
    /// The leader's virtual machine is paused for so long: none of its clocks goes on.
    Pause(Duration),
    /// The leader's clock on the wall is set, so much ahead of the true time.
    SetClock(SignedDuration),
}

/// One run.
pub(crate) struct Scenario {
    pub(crate) seed: u64,
    pub(crate) profile: Profile,
    pub(crate) limits: Limits,
    pub(crate) election: bool,
    pub(crate) false_dates: bool,
    pub(crate) cloud: Cloud,
    pub(crate) objects: Vec<Object>,
    /// The name of each object's place among the objects.
    pub(crate) by_name: BTreeMap<Name, usize>,
    /// What each Secret holds, from each moment on.
    pub(crate) secrets: BTreeMap<Name, Vec<(Duration, Secret)>>,
    pub(crate) acts: Vec<(Duration, Act)>,
    /// From when to when the API server stores nothing and gives nothing.
    pub(crate) outages: Vec<(Duration, Duration)>,
    /// All trouble is over by then.
    pub(crate) calm: Duration,
    pub(crate) end: Duration,
}

/// The operator's own key.
pub(crate) const OWN: &str = "own";

/// Where tasks are that name no region.
pub(crate) const REGION: &str = "cn-beijing";

impl Scenario {
    /// The keys that anybody has.
    pub(crate) fn keys(&self) -> Vec<String> {
        let in_secrets = self.secrets.values().flatten().filter_map(|(_, secret)| match secret {
            Secret::Key(key) => Some(key.clone()),
            Secret::Malformed | Secret::Missing | Secret::Unreadable => None,
        });
        self.cloud.keys.keys().cloned().chain(in_secrets).collect()
    }

    /// What a Secret holds at a moment.
    pub(crate) fn secret(&self, name: &Name, now: Duration) -> Secret {
        if self.is_out(now) {
            return Secret::Unreadable;
        }
        let contents = self.secrets.get(name).into_iter().flatten().take_while(|(from, _)| *from <= now);
        contents.last().map_or(Secret::Missing, |(_, secret)| secret.clone())
    }

    /// Whether the API server is out of order.
    pub(crate) fn is_out(&self, now: Duration) -> bool {
        self.outages.iter().any(|(from, to)| (*from..*to).contains(&now))
    }
}
