//! The operator on a real API server against the simulated cloud, one behaviour a test.

mod world;

mod admission;
mod batching;
mod binary;
mod ends;
mod generated;
mod invariants;
mod trouble;
mod writes;
