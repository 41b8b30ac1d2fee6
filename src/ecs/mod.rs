//! The client of ECS `DescribeTasks`: one question about up to 100 tasks, one signed GET a page; and of the one call of
//! STS that gives the operator its own credentials.
//!
//! Nothing here decides, schedules or retries; an [`Error`] says what the next step is.
//! The call is docs 6396/120437, the signature docs 6369/67268 to 67270 (read 2026-11).

mod client;
mod endpoint;
mod error;
mod http;
mod ids;
mod packed;
mod sign;
mod sts;
mod task;
mod wire;

pub use client::{Answer, Client};
pub use endpoint::{Endpoint, EndpointError, Region, RegionError};
pub use error::{Error, ErrorKind, Scope};
pub use http::{BuildError, PROXY_VARIABLES, Timeouts, is_proxy};
pub use ids::{Batch, IdError, Ids, MAX_ID, ResourceId, TaskId};
pub use sts::{Session, Sts};
pub use task::{MAX_STATUS, MAX_TIME, MAX_TYPE, Task, TaskProgress, Word, Words};
pub(crate) use wire::http_date;

/// The two ends of the wire for fuzz targets and benches, which know no other inside of this module.
#[cfg(any(fuzzing, feature = "bench"))]
pub mod inside {
    use super::wire::{Head, decode as decode_page};
    use super::{Batch, Client, Error, Region, Task, TaskId};
    use crate::credentials::Credentials;
    use k8s_openapi::jiff::Timestamp;

    /// Decodes an answer of an HTTP status and a body.
    pub fn decode(status: u16, body: &[u8]) -> Result<Vec<Task>, Error> {
        let head = Head { status, date: None, retry_after: None, request_id: None };
        decode_page(&head, Ok(body.to_vec()), |id| TaskId::parse(id).ok()).map(|page| page.tasks)
    }

    /// Signs a question for the first page of its answer; the number of headers.
    pub fn sign(client: &Client, credentials: &Credentials, region: &Region, batch: &Batch, at: Timestamp) -> usize {
        client.signed(credentials, region, batch, at).len()
    }
}
