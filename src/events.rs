//! Creates a Kubernetes Event for each end and each lasting error.
//!
//! Events are a convenience for people: when more come than may be written they are dropped, never the statuses. kube's
//! own recorder keeps a cache that every Event walks, 0.7 ms each at 50,000, so it is not used.

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::{Event, EventSource, ObjectReference};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use k8s_openapi::jiff::Timestamp;
use kube::api::PostParams;
use kube::{Api, Client, Resource};
use tokio::sync::mpsc;
use tokio::time::{Interval, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use crate::api::ImageTask;
use crate::apiserver::bounded_until;
use crate::health::Loop;
use crate::index::Announcement;
use crate::shared::Shared;
use crate::telemetry::chain;

/// Announcements that wait; at [`PACE`] those of the last 100 s.
const WAITING: usize = 1_000;

/// Between two Events: 10 a second, a fifth of what is allowed for statuses.
const PACE: Duration = Duration::from_millis(100);

/// Longest note that the API server takes, in bytes.
const MAX_NOTE: usize = 1_024;

/// The writing end of the queue.
pub struct Queue(mpsc::Sender<Announcement>);

impl Queue {
    /// Offers an announcement; with a full queue it is dropped.
    pub fn offer(&self, announcement: Announcement) {
        if let Err(full) = self.0.try_send(announcement) {
            debug!(error = chain(&full), "event dropped");
        }
    }
}

/// A queue and its reading end.
pub fn queue() -> (Queue, mpsc::Receiver<Announcement>) {
    let (sender, receiver) = mpsc::channel(WAITING);
    (Queue(sender), receiver)
}

/// Creates Events until `last`, and then those that wait.
pub async fn run(
    client: Client,
    mut announcements: mpsc::Receiver<Announcement>,
    shared: Arc<Shared>,
    last: CancellationToken,
    health: Loop,
) {
    let mut pace = interval(PACE);
    pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while let Some(announcement) = health.turning(next(&mut announcements, &last)).await {
        let end = health.turning(turn(&mut pace, &shared)).await;
        let api: Api<Event> = Api::namespaced(client.clone(), &announcement.object.namespace);
        let event = event(&announcement, shared.now().wall.shown());
        if let Err(error) = bounded_until(shared.clock, end, api.create(&PostParams::default(), &event)).await {
            let object = &announcement.object;
            warn!(namespace = &*object.namespace, name = &*object.name, %error, "event not created");
        }
    }
}

async fn next(announcements: &mut mpsc::Receiver<Announcement>, last: &CancellationToken) -> Option<Announcement> {
    tokio::select! {
        biased;
        announcement = announcements.recv() => announcement,
        () = last.cancelled() => {
            announcements.close();
            announcements.recv().await
        }
    }
}

/// Waits until an Event may be created: its turn has come, and this replica leads. Until when it may be.
async fn turn(pace: &mut Interval, shared: &Shared) -> Duration {
    loop {
        pace.tick().await;
        let (left, now) = shared.with(|index, now| (index.term_left(now), now));
        if !left.is_zero() {
            return now.mono.saturating_add(left);
        }
    }
}

fn event(announcement: &Announcement, now: Timestamp) -> Event {
    let Announcement { object, uid, good, reason, message } = announcement;
    let end = message.floor_char_boundary(MAX_NOTE);
    Event {
        metadata: ObjectMeta {
            generate_name: Some(format!("{}.", object.name)),
            namespace: Some(object.namespace.to_string()),
            ..ObjectMeta::default()
        },
        involved_object: ObjectReference {
            api_version: Some(ImageTask::api_version(&()).into_owned()),
            kind: Some(ImageTask::kind(&()).into_owned()),
            name: Some(object.name.to_string()),
            namespace: Some(object.namespace.to_string()),
            uid: Some(uid.to_string()),
            ..ObjectReference::default()
        },
        type_: Some(if *good { "Normal" } else { "Warning" }.into()),
        reason: Some(reason.as_str().into()),
        message: Some(message[..end].into()),
        source: Some(EventSource { component: Some("imagetask-operator".into()), host: None }),
        first_timestamp: Some(Time(now)),
        last_timestamp: Some(Time(now)),
        count: Some(1),
        ..Event::default()
    }
}
