//! A fault: how the cloud misbehaves, and towards which calls.

use std::time::Duration;

use hyper::StatusCode;
use serde::{Deserialize, Serialize};

/// The number under which an ordered fault can be cleared.
pub type FaultId = u64;

/// A fault strikes every call that its scope fits. Of several that fit the newest strikes, alone.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Fault {
    /// What happens to the call.
    pub effect: Effect,
    /// How long the answer is held back, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub latency_ms: Option<u64>,
    /// The value of a `Retry-After` header.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry_after: Option<String>,
    /// How many calls it strikes; without it every one until it is cleared.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub times: Option<u64>,
    /// Strikes only calls that ask for this task id or resource id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// Strikes only calls with this access key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub access_key: Option<String>,
    /// Strikes only calls of this action.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub action: Option<String>,
}

/// What a fault does to a call.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Effect {
    /// The usual answer (late, if the fault has a latency).
    #[default]
    None,
    /// The error `code` in the cloud's envelope.
    Code {
        /// The code, such as `FlowLimitExceeded`.
        code: String,
        /// The HTTP status; without it the documented one of the code, else 400.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        status: Option<u16>,
    },
    /// A body that is not JSON, as a proxy on the way would send.
    Text {
        /// The HTTP status.
        status: u16,
        /// The body.
        body: String,
    },
    /// No body at all.
    Empty {
        /// The HTTP status.
        status: u16,
    },
    /// The usual answer, padded with white space to this many bytes.
    Oversized {
        /// The length of the body.
        bytes: usize,
    },
    /// The usual answer with a byte in its middle that makes it no UTF-8.
    Garbled,
    /// Half of the usual body under the `Content-Length` of the whole, then the connection ends.
    Truncated,
    /// No answer until the fault is cleared.
    Hang,
    /// The connection is closed without an answer.
    Close,
    /// A `Result` whose `Tasks` is null.
    NullTasks,
    /// A `Result` that has no `Tasks`.
    AbsentTasks,
    /// The usual pages, then empty ones, each with a token that leads to another.
    EndlessPages,
}

/// A fault as it stands in the simulator.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct OrderedFault {
    /// The number to clear it by.
    pub id: FaultId,
    /// What was ordered.
    pub fault: Fault,
    /// How many calls it struck.
    pub struck: u64,
}

impl Fault {
    /// The error `code` with its documented HTTP status.
    pub fn code(code: &str) -> Self {
        Self::of(Effect::Code { code: code.to_owned(), status: None })
    }

    /// The error `code` under any HTTP status, 200 for instance.
    pub fn code_with_status(code: &str, status: u16) -> Self {
        Self::of(Effect::Code { code: code.to_owned(), status: Some(status) })
    }

    /// An HTTP status with its reason phrase as a plain-text body.
    pub fn status(status: u16) -> Self {
        let reason = StatusCode::from_u16(status).ok().and_then(|known| known.canonical_reason());
        Self::text(status, reason.unwrap_or("unknown status"))
    }

    /// A plain-text body.
    pub fn text(status: u16, body: &str) -> Self {
        Self::of(Effect::Text { status, body: body.to_owned() })
    }

    /// An answer without a body.
    pub fn empty(status: u16) -> Self {
        Self::of(Effect::Empty { status })
    }

    /// A body of `bytes` bytes that is the usual one but for white space.
    pub fn oversized(bytes: usize) -> Self {
        Self::of(Effect::Oversized { bytes })
    }

    /// A body that is no UTF-8.
    pub fn garbled() -> Self {
        Self::of(Effect::Garbled)
    }

    /// A body that ends before its `Content-Length`.
    pub fn truncated() -> Self {
        Self::of(Effect::Truncated)
    }

    /// No answer until the fault is cleared or the simulator dropped.
    pub fn hang() -> Self {
        Self::of(Effect::Hang)
    }

    /// The connection is closed without an answer.
    pub fn closed() -> Self {
        Self::of(Effect::Close)
    }

    /// `"Tasks": null`.
    pub fn null_tasks() -> Self {
        Self::of(Effect::NullTasks)
    }

    /// A `Result` without `Tasks`.
    pub fn absent_tasks() -> Self {
        Self::of(Effect::AbsentTasks)
    }

    /// Pages that never come to an end.
    pub fn endless_pages() -> Self {
        Self::of(Effect::EndlessPages)
    }

    /// The usual answer, `delay` late.
    pub fn latency(delay: Duration) -> Self {
        Self::of(Effect::None).slow(delay)
    }

    /// Holds the answer back for `delay`.
    pub fn slow(mut self, delay: Duration) -> Self {
        self.latency_ms = u64::try_from(delay.as_millis()).ok();
        self
    }

    /// Adds a `Retry-After` header.
    pub fn retry_after(mut self, value: &str) -> Self {
        self.retry_after = Some(value.to_owned());
        self
    }

    /// Strikes the next `count` calls only.
    pub fn times(mut self, count: u64) -> Self {
        self.times = Some(count);
        self
    }

    /// Strikes only calls that ask for this task id or resource id.
    pub fn only_id(mut self, id: &str) -> Self {
        self.id = Some(id.to_owned());
        self
    }

    /// Strikes only calls with this access key.
    pub fn only_key(mut self, access_key: &str) -> Self {
        self.access_key = Some(access_key.to_owned());
        self
    }

    /// Strikes only calls of this action.
    pub fn only_action(mut self, action: &str) -> Self {
        self.action = Some(action.to_owned());
        self
    }

    fn of(effect: Effect) -> Self {
        Self { effect, ..Self::default() }
    }
}
