//! The operator on a real API server against the simulated cloud, one behaviour a test.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod world;

mod admission;
mod batching;
mod binary;
mod chart;
mod crd;
mod docs;
mod ends;
mod generated;
mod image;
mod invariants;
mod rbac;
mod schema;
mod trouble;
mod waiting;
mod writes;
