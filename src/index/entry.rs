//! One unfinished ImageTask in the index: what identifies it, what is known of it, and where it waits.

use std::time::Duration;

use arcstr::ArcStr;

use super::Announcement;
use super::directory::Tenant;
use super::key::{ObjectName, Uid, WatchId};
use super::pending::Pending;
use crate::api::conditions::Course;
use crate::api::{ImageTaskView, Lenient, MAX_RECONCILE_REQUEST, RECONCILE_REQUESTED_AT, SpecView, StatusView};
use crate::clock::Second;
use crate::followed::Followed;

/// An unfinished ImageTask.
pub(super) struct Entry {
    pub(super) serial: u32,
    pub(super) tenant: Tenant,
    pub(super) name: ArcStr,
    pub(super) uid: Uid,
    /// Newest resourceVersion seen, from a watch or from the answer to a write.
    pub(super) version: u64,
    /// Newest resourceVersion seen from a watch.
    pub(super) watched: u64,
    pub(super) watch: WatchId,
    /// Count of the list that saw it last.
    pub(super) list: u32,
    pub(super) followed: Followed,
    pub(super) seat: Seat,
    pub(super) pending: Pending,
    /// Digest of the status as it is stored, as far as is known.
    pub(super) stored: u32,
}

/// Where an entry waits for its next look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Seat {
    /// It is not looked at.
    None,
    /// Its credentials are not known.
    Waiting { source: Spot },
    /// Among the followers of an id.
    Taken { source: Spot, lane: Spot, subject: u32 },
}

/// Where a source or a lane is kept, packed: there are as many seats as entries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Spot(u32);

impl From<usize> for Spot {
    fn from(place: usize) -> Self {
        Self(u32::try_from(place).expect("memory ends before 4 billion lanes"))
    }
}

impl Spot {
    pub(super) fn get(self) -> usize {
        self.0 as usize
    }
}

/// A stored ImageTask, its identity and versions parsed.
pub(super) struct Sighting {
    pub(super) object: ObjectName,
    pub(super) uid: Uid,
    pub(super) version: u64,
    pub(super) generation: i64,
    pub(super) created: Second,
    pub(super) request: Option<ArcStr>,
    pub(super) spec: Lenient<SpecView>,
    pub(super) status: Lenient<StatusView>,
}

impl Sighting {
    /// Reads what every stored object has; `None` for one that no API server sends. Since Kubernetes 1.35
    /// resourceVersions of all resources are decimal numbers that can be compared (KEP-5504), and etcd's always were.
    pub(super) fn of(view: ImageTaskView) -> Option<Self> {
        let metadata = view.metadata;
        let request = metadata.annotations.and_then(|mut all| all.remove(RECONCILE_REQUESTED_AT));
        let request = request.filter(|value| !value.is_empty() && value.chars().count() <= MAX_RECONCILE_REQUEST);
        Some(Self {
            object: ObjectName { namespace: metadata.namespace?.into(), name: metadata.name?.into() },
            uid: Uid::of(&metadata.uid?),
            version: metadata.resource_version?.parse().ok()?,
            generation: metadata.generation?,
            created: Second::of(metadata.creation_timestamp?.0),
            request: request.map(Into::into),
            spec: view.spec,
            status: view.status,
        })
    }
}

impl Entry {
    /// What is told of the standing of an entry.
    pub(super) fn announcement(&self, object: ObjectName) -> Option<Announcement> {
        let standing = self.followed.status.standing.as_ref()?;
        Some(Announcement {
            object,
            uid: self.uid.to_string().into(),
            good: standing.course == Course::Succeeded,
            reason: standing.reason,
            message: standing.message.clone(),
        })
    }

    /// Whether it must be looked at soon: it was never seen in its present form, or somebody asks.
    pub(super) fn is_urgent(&self) -> bool {
        let followed = &self.followed;
        let asked = followed.request.as_ref().map(|request| &request.value);
        followed.status.observed_generation != followed.generation
            || asked.is_some_and(|asked| followed.status.handled.as_ref() != Some(asked))
    }

    /// A moment within `interval` that tells this object from others: after a restart looks spread evenly.
    pub(super) fn spread(&self, interval: Duration) -> Duration {
        // FNV-1a: the uid is random already, its bits only need folding.
        let fold = |hash: u32, byte: u8| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193);
        let hash = self.uid.to_string().bytes().fold(0x811c_9dc5, fold);
        interval.mul_f64(f64::from(hash) / f64::from(u32::MAX))
    }
}
