//! The plugin on a real API server, with the operator and the simulated cloud: in a terminal, in a pipe, and run by
//! kubectl.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod program;
mod terminal;
#[path = "../../../tests/it"]
mod it {
    #[expect(dead_code, unused_imports, reason = "the tests of the operator need the rest")]
    pub(crate) mod world;
}

mod bars;
mod changes;
mod lines;
mod tracking;
mod trouble;
mod usage;
