//! Follows asynchronous image tasks of Volcengine ECS and writes their progress into the status of `ImageTask` objects.
//!
//! The unit of work is a *look*: one question to the cloud about up to 100 tasks, most of which have no news. An index
//! in memory holds every unfinished ImageTask; those that are due are asked for in full batches; a pure function
//! decides what each is to say; a status is written only where that differs from what it says. What is finished leaves
//! the index and costs nothing.
//!
//! ```text
//!              ┌──────────────────────── Kubernetes API server ◀───────────────────────┐
//!              │ watch (lenient view)                              status (only if new) │
//!              ▼                                                                        │
//!  watch ─▶ index ─▶ poll ─▶ ecs::Client ─▶ DescribeTasks          reconcile ─▶ write ──┘
//!          (unfinished  (due → ≤100 ids,      (one signed GET)       (task, look, now)
//!           tasks)      one lane an account)        │                  → Outcome   PURE
//!                          ▲                        └── Observation per task ──▲
//!                          └───────────── next look ───────────────────────────┘
//! ```
//!
//! # Invariants
//!
//! - Only [`ecs`] speaks to the cloud.
//! - Only [`write`] changes ImageTasks, only [`events`] creates Events, and only [`lease`] writes the Lease.
//! - [`reconcile`], [`election`], the conditions, the index, the signature and the schedule never await, and take the
//!   moment as an argument; the clock is read in [`clock`] alone, the environment in `main`.
//! - A task's facts live in one place, the [`index`]; everything else refers to them by key.
//! - One account's trouble never delays another's tasks: each has a lane of its own.
//! - Nothing but the cloud's word or the user's own timeout ends a task.
//! - Of several replicas one asks, decides and writes, the leader; one that may lead no more ends.
//!
//! The first four are held by the tests in `tests/it/invariants.rs` over the source text and by `clippy.toml`, the others
//! by the tests of the behaviour.

pub mod api;
pub mod spec;
pub mod status;
pub mod followed;
pub mod deadline;

pub mod watch;
pub mod page;
pub mod index;
pub mod poll;
pub mod ecs;
pub mod observation;
pub mod reconcile;
pub mod verdict;
pub mod reason;
pub mod message;
pub mod schema;
pub mod write;
pub mod events;

pub mod election;
pub mod lease;

pub mod schedule;
pub mod credentials;
pub mod role;
pub mod renew;
pub mod apiserver;
pub mod dates;
pub mod shared;
pub mod clock;
pub mod server_clock;

pub mod config;
pub mod usage;
pub mod cluster;
pub mod operator;
pub mod health;
pub mod metrics;
pub mod server;
pub mod telemetry;
