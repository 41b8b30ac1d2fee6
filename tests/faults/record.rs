//! What was seen during a run, by an administrator who goes another way than the operator.

use std::collections::HashMap;
use std::pin::pin;
use std::time::Duration;

use futures::StreamExt;
use imagetask_operator::api::ImageTask;
use imagetask_operator::clock::Clock;
use kube::Api;
use kube::runtime::watcher::{Config, Event, watcher};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// A watch that records every version of every ImageTask.
pub(crate) struct Record {
    history: watch::Sender<History>,
    watching: JoinHandle<()>,
}

/// Everything that was seen so far.
#[derive(Clone, Default)]
pub(crate) struct History {
    lives: HashMap<String, Life>,
    /// Lists; one that is not the first may have hidden versions.
    pub(crate) lists: usize,
    ready: bool,
}

/// All that was seen of one ImageTask, from its creation on.
#[derive(Clone, Default)]
pub(crate) struct Life {
    pub(crate) versions: Vec<Version>,
    pub(crate) deleted: bool,
}

/// One stored version.
#[derive(Clone)]
pub(crate) struct Version {
    /// When it was seen.
    pub(crate) at: Duration,
    pub(crate) object: ImageTask,
}

impl Record {
    /// Begins; nothing that is created from now on is missed.
    pub(crate) async fn begin(api: Api<ImageTask>, clock: Clock) -> Self {
        let history = watch::Sender::new(History::default());
        let watching = tokio::spawn(follow(api, clock, history.clone()));
        let record = Self { history, watching };
        record.until(Duration::from_secs(30), |history| history.ready).await.expect("the watch begins");
        record
    }

    /// Waits until the history is as described; gives it up after `patience`.
    pub(crate) async fn until(&self, patience: Duration, is: impl FnMut(&History) -> bool) -> Option<()> {
        let mut history = self.history.subscribe();
        timeout(patience, history.wait_for(is)).await.ok().map(|seen| drop(seen.unwrap()))
    }

    /// What was seen so far.
    pub(crate) fn history(&self) -> History {
        self.history.borrow().clone()
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        self.watching.abort();
    }
}

impl History {
    /// Every ImageTask that there ever was.
    pub(crate) fn lives(&self) -> impl Iterator<Item = &Life> {
        self.lives.values()
    }

    /// Every ImageTask that is there now.
    pub(crate) fn present(&self) -> impl Iterator<Item = &ImageTask> {
        self.lives().filter(|life| !life.deleted).map(Life::last)
    }

    fn note(&mut self, object: ImageTask, at: Duration, deleted: bool) {
        let life = self.lives.entry(object.metadata.uid.clone().unwrap()).or_default();
        life.versions.push(Version { at, object });
        life.deleted = deleted;
    }
}

impl Life {
    /// The newest version.
    pub(crate) fn last(&self) -> &ImageTask {
        &self.versions.last().expect("a life begins with a version").object
    }

    /// Each version with the one that follows.
    pub(crate) fn steps(&self) -> impl Iterator<Item = (&ImageTask, &ImageTask)> {
        self.versions.iter().zip(&self.versions[1..]).map(|(before, after)| (&before.object, &after.object))
    }

    /// When it first was as described.
    pub(crate) fn first(&self, is: impl Fn(&ImageTask) -> bool) -> Option<Duration> {
        self.versions.iter().find(|version| is(&version.object)).map(|version| version.at)
    }
}

async fn follow(api: Api<ImageTask>, clock: Clock, history: watch::Sender<History>) {
    let mut events = pin!(watcher(api, Config::default()));
    while let Some(event) = events.next().await {
        let at = clock.now().mono;
        history.send_modify(|history| match event {
            Ok(Event::Init) => history.lists += 1,
            Ok(Event::InitDone) => history.ready = true,
            Ok(Event::InitApply(object) | Event::Apply(object)) => history.note(object, at, false),
            Ok(Event::Delete(object)) => history.note(object, at, true),
            // What may have been missed shows as another list.
            Err(_) => {}
        });
    }
}
