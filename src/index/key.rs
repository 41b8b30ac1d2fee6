//! What entries are called, inside and outside of the index.

use std::sync::Arc;

/// Refers to an entry; a key outlives its entry without ever meaning another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EntryKey {
    pub(super) slot: u32,
    pub(super) serial: u32,
}

/// Namespace and name of an ImageTask.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ObjectName {
    /// Its namespace.
    pub namespace: Arc<str>,
    /// Its name.
    pub name: Box<str>,
}

/// Which of the operator's watches saw an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct WatchId(pub usize);
