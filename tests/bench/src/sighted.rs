//! A watch of the bench's own, which notes when each ImageTask says something: independent of whoever writes.

use std::collections::HashMap;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::Context as _;
use futures::StreamExt;
use imagetask_operator::api::ImageTaskView;
use kube::runtime::watcher::{Config, Event, watcher};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::PATIENCE;
use crate::world::{LABEL, World};

/// What one ImageTask has said, in seconds of the world.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Seen {
    /// When it first had a status that somebody wrote.
    pub(crate) told: Option<f64>,
    /// When it first said that the task is over.
    pub(crate) ended: Option<f64>,
    /// How often its stored status changed.
    pub(crate) changes: u32,
}

/// The record of a watch, which ends with it.
pub(crate) struct Sighted {
    seen: Arc<Mutex<HashMap<String, Seen>>>,
    watch: JoinHandle<()>,
}

impl Sighted {
    /// Watches the ImageTasks of one namespace and label; returns when those that are there have been read.
    pub(crate) async fn watch(world: &World, namespace: &str, label: &str) -> anyhow::Result<Self> {
        let seen = Arc::<Mutex<HashMap<String, Seen>>>::default();
        let (api, clock, kept) = (world.tasks(namespace), world.clock, seen.clone());
        let config = Config::default().labels(&format!("{LABEL}={label}"));
        let (listed, list) = oneshot::channel();
        let watch = tokio::spawn(async move {
            let (mut events, mut listed) = (pin!(watcher(api, config)), Some(listed));
            while let Some(event) = events.next().await {
                let now = clock.now().mono.as_secs_f64();
                match event {
                    Ok(Event::InitApply(view)) if listed.is_some() => note(&kept, &view, None),
                    Ok(Event::InitApply(view) | Event::Apply(view)) => note(&kept, &view, Some(now)),
                    Ok(Event::InitDone) => drop(listed.take().map(|listed| listed.send(()))),
                    Ok(Event::Init | Event::Delete(_)) => {}
                    Err(error) => eprintln!("  the watch of the bench begins anew: {error}"),
                }
            }
        });
        timeout(PATIENCE, list).await.context("the list of the bench's watch does not end")??;
        Ok(Self { seen, watch })
    }

    /// How many ImageTasks fit.
    pub(crate) fn count(&self, fits: impl Fn(&Seen) -> bool) -> usize {
        self.lock().values().filter(|seen| fits(seen)).count()
    }

    /// What each ImageTask has said.
    pub(crate) fn all(&self) -> HashMap<String, Seen> {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Seen>> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Sighted {
    fn drop(&mut self) {
        self.watch.abort();
    }
}

/// Notes what an ImageTask says, at a moment or before the watch began.
fn note(seen: &Mutex<HashMap<String, Seen>>, view: &ImageTaskView, now: Option<f64>) {
    let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
    let seen = seen.entry(view.metadata.name.clone().unwrap_or_default()).or_default();
    let (Some(now), Some(status)) = (now, view.status.valid()) else { return };
    let Some(phase) = status.phase.valid() else { return };
    seen.changes += 1;
    seen.told.get_or_insert(now);
    if ["Succeeded", "Failed"].contains(&&**phase) {
        seen.ended.get_or_insert(now);
    }
}
