//! What a request is sent for.

use super::directory::Tenant;

/// What a request is sent for, and with it which share of the lane's rate it takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sent {
    /// A full batch of several namespaces, or a part of one that failed.
    Shared,
    /// One id that was answered before, to tell whether the lane is at fault.
    Canary,
    /// One id of a lane whose breaker is open.
    Probe,
    /// Ids of one namespace, of which one or more make requests fail.
    Unsettled(Tenant),
    /// Ids that were refused.
    Isolated,
    /// Ids that were refused, of namespaces of which several were just answered again.
    Healing,
    /// One id whose answer means more if nothing else was asked for.
    Alone,
}

impl Sent {
    /// The unsettled namespace that it is sent for.
    pub(super) fn unsettled(self) -> Option<Tenant> {
        match self {
            Self::Unsettled(tenant) => Some(tenant),
            Self::Shared | Self::Canary | Self::Probe | Self::Isolated | Self::Healing | Self::Alone => None,
        }
    }

    /// Whether it takes from the share of what makes requests fail: at most one call in four while others are due.
    pub(super) fn is_special(self) -> bool {
        match self {
            Self::Shared | Self::Canary | Self::Probe | Self::Healing => false,
            Self::Unsettled(_) | Self::Isolated | Self::Alone => true,
        }
    }

    /// Whether its failure is no evidence against the lane, as its ids have made requests fail before.
    pub(super) fn is_of_suspects(self) -> bool {
        self.is_special() || self == Self::Healing
    }
}
