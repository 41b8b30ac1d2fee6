//! What a Lease says, and how it is claimed, kept and given back.

use std::time::Duration;

use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use k8s_openapi::jiff::{SignedDuration, Timestamp};

/// Who holds it; an empty holder is none.
pub(super) fn holder(lease: &Lease) -> Option<&str> {
    lease.spec.as_ref()?.holder_identity.as_deref().filter(|holder| !holder.is_empty())
}

/// How long others are to wait for a holder that is silent; `None` where the record does not say so.
pub(super) fn promised(lease: &Lease) -> Option<Duration> {
    let seconds = u64::try_from(lease.spec.as_ref()?.lease_duration_seconds?).ok()?;
    Some(Duration::from_secs(seconds)).filter(|promised| !promised.is_zero())
}

/// As of ImageTasks: a decimal number that can be compared.
pub(super) fn version(lease: &Lease) -> u64 {
    lease.metadata.resource_version.as_ref().and_then(|version| version.parse().ok()).unwrap_or(u64::MAX)
}

/// The first Lease of this name.
pub(super) fn first(name: &str, identity: &str, duration: Duration, now: Timestamp) -> Lease {
    let metadata = ObjectMeta { name: Some(name.to_owned()), ..ObjectMeta::default() };
    let mut lease = claimed(&Lease { metadata, spec: None }, identity, duration, now);
    lease.spec.get_or_insert_default().lease_transitions = Some(0);
    lease
}

/// The Lease with a new holder, or with one that keeps it, and all else as it was.
pub(super) fn claimed(before: &Lease, identity: &str, duration: Duration, now: Timestamp) -> Lease {
    let mut lease = before.clone();
    let keeps = holder(before) == Some(identity);
    let spec = lease.spec.get_or_insert_default();
    if !keeps {
        spec.lease_transitions = Some(spec.lease_transitions.unwrap_or_default().saturating_add(1));
        spec.acquire_time = Some(MicroTime(now));
    }
    spec.holder_identity = Some(identity.to_owned());
    spec.lease_duration_seconds = i32::try_from(duration.as_secs()).ok();
    spec.renew_time = Some(MicroTime(moved_on(spec, now)));
    lease
}

/// The Lease without a holder, so that another takes it at once.
pub(super) fn released(before: &Lease, now: Timestamp) -> Lease {
    let mut lease = before.clone();
    let spec = lease.spec.get_or_insert_default();
    spec.holder_identity = None;
    // As client-go does, for candidates that look at the duration first.
    spec.lease_duration_seconds = Some(1);
    spec.renew_time = Some(MicroTime(now));
    lease
}

/// A record that does not change shows no life, so a clock that stands still must not keep it from changing.
fn moved_on(spec: &LeaseSpec, now: Timestamp) -> Timestamp {
    match &spec.renew_time {
        Some(MicroTime(before)) if before.as_microsecond() == now.as_microsecond() => {
            now.checked_add(SignedDuration::from_micros(1)).unwrap_or(now)
        }
        Some(_) | None => now,
    }
}
