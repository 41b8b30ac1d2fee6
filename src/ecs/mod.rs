//! The client of ECS `DescribeTasks`: one question about up to 100 tasks, one signed GET a page.
//!
//! Nothing here decides, schedules or retries; an [`Error`] says what the next step is.
//! The call is docs 6396/120437, the signature docs 6369/67268 to 67270 (read 2026-11).

mod client;
mod endpoint;
mod error;
mod ids;
mod sign;
mod task;
mod wire;

pub use client::{Answer, BuildError, Client, Timeouts};
pub use endpoint::{Endpoint, EndpointError, Region, RegionError};
pub use error::{Error, ErrorKind};
pub use ids::{Batch, IdError, Ids, MAX_ID, ResourceId, TaskId};
pub use task::{MAX_STATUS, MAX_TIME, MAX_TYPE, Task, TaskProgress};
