//! The operator on a real API server against the simulated cloud, one behaviour a test.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod world;

mod admission;
mod batching;
mod binary;
mod chart;
mod crd;
mod dashboard;
mod deadlines;
mod docs;
mod ends;
mod flags;
mod generated;
mod hostile;
mod identity;
mod image;
mod invariants;
mod leases;
mod listen;
mod lists;
mod misdated;
mod proxies;
mod rbac;
mod releases;
mod schema;
mod secrets;
mod takeovers;
mod trouble;
mod waiting;
mod writes;

/// The operator as it was built for these tests.
const PROGRAM: &str = env!("CARGO_BIN_EXE_imagetask-operator");
