//! Feeds the index from a watch of ImageTasks.

use std::pin::pin;
use std::sync::Arc;

use futures::StreamExt;
use kube::runtime::watcher::{self, Event, watcher};
use kube::runtime::{WatchStreamExt, watcher::Config};
use kube::{Api, Client};
use tracing::{info, warn};

use crate::api::ImageTaskView;
use crate::apiserver::is_not_found;
use crate::health::Loop;
use crate::index::WatchId;
use crate::page;
use crate::shared::Shared;
use crate::telemetry::chain;

/// Seconds after which the API server ends a watch: below the 240 s at which cloud load balancers drop idle
/// connections.
pub const WATCH_SECONDS: u32 = 220;

/// What one watch sees.
#[derive(Clone, Debug)]
pub struct Scope {
    /// One namespace, or all.
    pub namespace: Option<String>,
    /// A label selector, or everything.
    pub selector: Option<String>,
}

/// Follows the ImageTasks of one scope, for ever.
pub async fn run(client: Client, scope: Scope, id: WatchId, shared: Arc<Shared>, health: Loop) {
    let api: Api<ImageTaskView> = match &scope.namespace {
        Some(namespace) => Api::namespaced(client, namespace),
        None => Api::all(client),
    };
    let mut config = Config::default().page_size(page::USUAL).timeout(WATCH_SECONDS);
    config.label_selector = scope.selector;
    let mut events = pin!(watcher(api.clone(), config.clone()).default_backoff());
    while let Some(event) = health.turning(events.next()).await {
        match event {
            Ok(event) => apply(event, id, &shared, &health),
            Err(watcher::Error::InitialListFailed(error)) if page::is_too_large(&error) => {
                info!("the ImageTasks are too large for pages of {}: listing {} at a time", page::USUAL, page::SMALL);
                events.set(watcher(api.clone(), config.clone().page_size(page::SMALL)).default_backoff());
            }
            Err(error) => report(&error, &shared, &health),
        }
    }
}

fn apply(event: Event<ImageTaskView>, id: WatchId, shared: &Shared, health: &Loop) {
    match event {
        Event::Init => shared.with(|index, _| index.list_begins(id)),
        Event::InitApply(view) | Event::Apply(view) => {
            let name = view.metadata.name.clone();
            if !shared.change(|index, now| index.arrives(view, id, now)) {
                warn!(name, "ignored an object without identity or version");
            }
        }
        Event::Delete(view) => shared.change(|index, _| index.leaves(view)),
        Event::InitDone => {
            shared.change(|index, _| index.list_ends(id));
            if health.ready() {
                info!("the first list of ImageTasks is done");
            }
        }
    }
}

/// A missing CRD is waited for: GitOps may apply the parts of an installation in any order.
fn report(error: &watcher::Error, shared: &Shared, health: &Loop) {
    shared.metrics.watch_restarts.inc();
    let missing = match error {
        watcher::Error::InitialListFailed(kube::Error::Api(status))
        | watcher::Error::WatchStartFailed(kube::Error::Api(status)) => is_not_found(status),
        watcher::Error::WatchError(status) => is_not_found(status),
        watcher::Error::InitialListFailed(_)
        | watcher::Error::WatchStartFailed(_)
        | watcher::Error::WatchFailed(_)
        | watcher::Error::NoResourceVersion => false,
    };
    if missing {
        health.unready();
        warn!(
            "the CRD imagetasks.ecs.volcengine.com is not installed: waiting for it (imagetask-operator crd prints it)"
        );
    } else {
        warn!(error = chain(error), "the watch of ImageTasks is retried");
    }
}
