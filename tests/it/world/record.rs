//! What was seen during a run, by an administrator who goes another way than the operator.

use std::collections::HashMap;
use std::fmt::Debug;
use std::pin::pin;
use std::time::Duration;

use futures::StreamExt;
use imagetask_operator::api::ImageTask;
use imagetask_operator::clock::Clock;
use kube::runtime::watcher::{Config, Event, watcher};
use kube::{Api, Resource};
use serde::de::DeserializeOwned;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// A watch that records every version of every object of a kind.
pub(crate) struct Record<K = ImageTask> {
    history: watch::Sender<History<K>>,
    watching: JoinHandle<()>,
}

/// Everything that was seen so far.
#[derive(Clone)]
pub(crate) struct History<K = ImageTask> {
    lives: HashMap<String, Life<K>>,
    /// Lists; one that is not the first may have hidden versions.
    pub(crate) lists: usize,
    ready: bool,
}

/// All that was seen of one object, from its creation on.
#[derive(Clone)]
pub(crate) struct Life<K = ImageTask> {
    pub(crate) versions: Vec<Version<K>>,
    pub(crate) deleted: bool,
}

/// One stored version.
#[derive(Clone)]
pub(crate) struct Version<K = ImageTask> {
    /// When it was seen.
    pub(crate) at: Duration,
    pub(crate) object: K,
}

/// What can be recorded.
pub(crate) trait Recordable: Resource + Clone + DeserializeOwned + Debug + Send + Sync + 'static {}

impl<K: Resource + Clone + DeserializeOwned + Debug + Send + Sync + 'static> Recordable for K {}

impl<K: Recordable> Record<K> {
    /// Begins; nothing that is created from now on is missed.
    pub(crate) async fn begin(api: Api<K>, clock: Clock) -> Self {
        Self::begin_with(api, Config::default(), clock).await
    }

    /// As [`Record::begin`], of some objects.
    pub(crate) async fn begin_with(api: Api<K>, config: Config, clock: Clock) -> Self {
        let history = watch::Sender::new(History { lives: HashMap::new(), lists: 0, ready: false });
        let watching = tokio::spawn(follow(api, config, clock, history.clone()));
        let record = Self { history, watching };
        record.until(Duration::from_secs(30), |history| history.ready).await.expect("the watch begins");
        record
    }

    /// Waits until the history is as described; gives it up after `patience`.
    pub(crate) async fn until(&self, patience: Duration, is: impl FnMut(&History<K>) -> bool) -> Option<()> {
        let mut history = self.history.subscribe();
        timeout(patience, history.wait_for(is)).await.ok().map(|seen| drop(seen.unwrap()))
    }

    /// What was seen so far.
    pub(crate) fn history(&self) -> History<K> {
        self.history.borrow().clone()
    }
}

impl<K> Drop for Record<K> {
    fn drop(&mut self) {
        self.watching.abort();
    }
}

impl<K: Recordable> History<K> {
    /// Every object that there ever was.
    pub(crate) fn lives(&self) -> impl Iterator<Item = &Life<K>> {
        self.lives.values()
    }

    /// Every object that is there now.
    pub(crate) fn present(&self) -> impl Iterator<Item = &K> {
        self.lives().filter(|life| !life.deleted).map(Life::last)
    }

    fn note(&mut self, object: K, at: Duration, deleted: bool) {
        let uid = object.meta().uid.clone().unwrap();
        let life = self.lives.entry(uid).or_insert_with(|| Life { versions: Vec::new(), deleted: false });
        life.versions.push(Version { at, object });
        life.deleted = deleted;
    }
}

impl<K> Life<K> {
    /// The newest version.
    pub(crate) fn last(&self) -> &K {
        &self.versions.last().expect("a life begins with a version").object
    }

    /// Each version with the one that follows.
    pub(crate) fn steps(&self) -> impl Iterator<Item = (&K, &K)> {
        self.versions.iter().zip(&self.versions[1..]).map(|(before, after)| (&before.object, &after.object))
    }

    /// When it first was as described.
    pub(crate) fn first(&self, is: impl Fn(&K) -> bool) -> Option<Duration> {
        self.versions.iter().find(|version| is(&version.object)).map(|version| version.at)
    }
}

async fn follow<K: Recordable>(api: Api<K>, config: Config, clock: Clock, history: watch::Sender<History<K>>) {
    let mut events = pin!(watcher(api, config));
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
