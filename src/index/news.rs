//! What happened in the index that others care about.

use std::time::Duration;

use super::key::ObjectName;
use crate::message::Message;
use crate::reason::Reason;

/// What others than the index care about.
#[derive(Debug)]
pub enum News {
    /// A task is over.
    Ended(Reason),
    /// An ImageTask got its first status, this long after its creation.
    FirstStatus(Duration),
    /// An end or a lasting error is told in the status.
    Told(Announcement),
    /// Somebody else has written the status of an ImageTask.
    ForeignWrite {
        /// The ImageTask, where this has happened so often that somebody is to be told.
        told: Option<ObjectName>,
    },
}

/// An end or a lasting error, told once.
#[derive(Debug)]
pub struct Announcement {
    /// The ImageTask.
    pub object: ObjectName,
    /// Its uid.
    pub uid: Box<str>,
    /// Whether it is good news.
    pub good: bool,
    /// The reason in its conditions.
    pub reason: Reason,
    /// The message in its conditions.
    pub message: Message,
}
