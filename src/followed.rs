//! All that is known of one ImageTask, and all that a decision about it rests on.

use std::time::Duration;

use arcstr::ArcStr;
use k8s_openapi::jiff::Timestamp;

use crate::clock::{Moment, Second};
use crate::ecs::Region;
use crate::spec::{InvalidSpec, Spec, Target};
use crate::status::Status;

/// One ImageTask.
#[derive(Clone, Debug)]
pub struct Followed {
    /// What the user asks for.
    pub spec: Result<Spec, InvalidSpec>,
    /// Whether it may be asked with the credentials it would be asked with.
    pub permitted: bool,
    /// Where it is looked for.
    pub region: Option<Region>,
    /// Generation of the spec.
    pub generation: i64,
    /// When the ImageTask was created.
    pub created: Second,
    /// Since when it is followed in its present form: arrival, spec change, resumption. Graces count from here.
    pub fresh_since: Moment,
    /// The reconcile-requested annotation, and when it arrived.
    pub request: Option<Box<Request>>,
    /// What the last look brought that the next may take back; boxed, as few have any.
    pub trouble: Option<Box<Trouble>>,
    /// What the ImageTask says now.
    pub status: Status,
}

/// A wish for a look out of turn.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// The value of the annotation.
    pub value: ArcStr,
    /// When it arrived.
    pub arrived: Duration,
}

/// Trouble that concerns one task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// Its kind.
    pub kind: TroubleKind,
    /// Since when it lasts.
    pub since: Moment,
}

/// The kinds of trouble of one task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TroubleKind {
    /// The task is absent from complete answers.
    Missing,
    /// The question about the task is refused.
    Rejected,
    /// The question about the task gets no usable answer.
    Unanswered,
    /// The task's status is a word that is not known.
    UnknownStatus,
}

impl Followed {
    /// The name of the ImageTask, in the memory of its task's id where they are the same, as recommended.
    pub fn name_shared(&self, name: ArcStr) -> ArcStr {
        match &self.spec {
            Ok(Spec { target: Target::Task(id), .. }) if id.as_str() == &*name => id.text().clone(),
            Ok(_) | Err(_) => name,
        }
    }

    /// Keeps the id in the status in the memory of the one in the spec, where they are the same.
    pub fn share_id(&mut self) {
        if let (Ok(Spec { target: Target::Task(id), .. }), Some(reported)) = (&self.spec, &mut self.status.reported)
            && reported.id == *id
        {
            reported.id = id.clone();
        }
    }

    /// The moment at which the task counts as failed; `None` where no timeout is set, or none that a clock can show.
    pub fn deadline(&self, spec: &Spec) -> Option<Timestamp> {
        self.created.timestamp().checked_add(spec.timeout?.duration()).ok()
    }

    /// Until when a field that this version does not know is no lasting trouble, as a version that does may be about to
    /// take over; `None` where there is no such field, or nothing more to be decided.
    pub fn unknown_field_grace(&self, stuck_after: Duration) -> Option<Duration> {
        let unknown = matches!(self.spec, Err(InvalidSpec::UnknownField(_))) && !self.status.is_finished();
        unknown.then(|| Duration::from(self.fresh_since).saturating_add(stuck_after))
    }
}
