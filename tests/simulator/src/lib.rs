//! A simulated Volcengine ECS that answers `DescribeTasks`, and its STS, for tests and the demo.
//!
//! A test starts a [`Simulator`], says what the cloud knows ([`Task`], [`Account`]) and how it
//! misbehaves ([`Fault`]), and afterwards reads what it was asked ([`Call`]). The binary gives the
//! same to other processes through a control port, in JSON made of the same types.
//!
//! ```text
//!   GET /?Action=DescribeTasks ─▶ net ─▶ gateway ─▶ authenticate ─▶ describe_tasks ─▶ answer
//!                                          │ fault?     │ key, clock       │ tasks, page
//!   POST /?Action=AssumeRoleWithOIDC ──────┼─▶ assume_role: a session, which is a key for a while
//!   tests, /control ─────────────▶ Cloud ──┴── state: accounts, tasks, faults, journal
//! ```
//!
//! What holds: nothing here shares code with the operator, so that a wrong signature cannot agree
//! with itself · no request can make it panic · the state changes under one lock, never across an
//! await · only `net` and `control` read sockets, only `api` knows the cloud's protocol.

mod account;
mod api;
mod call;
mod clock;
mod cloud;
mod control;
mod fault;
mod net;
mod role;
mod script;
mod simulator;
mod state;
mod task;

pub use account::Account;
pub use call::{Call, Counts, KeyCount};
pub use cloud::Cloud;
pub use fault::{Effect, Fault, FaultId, OrderedFault};
pub use role::Role;
pub use script::{Script, Settings};
pub use simulator::{Options, Simulator};
pub use task::{Stage, Task};
