//! The clocks of the world, all in one place: the true time, and what a machine and the API server make of it.

use std::time::Duration;

use k8s_openapi::jiff::{SignedDuration, Timestamp};

/// What a process can read at a moment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clocks {
    /// Since the process started, the time in which the machine slept included.
    pub(crate) boot: Duration,
    /// The time of day as the machine has it.
    pub(crate) wall: Timestamp,
}

/// A machine, whose clock on the wall may be wrong. The clock that the program counts on goes on while the machine
/// sleeps; one that is paused from outside does not notice: all of its clocks stand still.
#[derive(Debug, Default)]
pub(crate) struct Machine {
    paused: Duration,
    shift: SignedDuration,
}

/// What the clocks of a machine were when a process started.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Start {
    boot: Duration,
}

impl Machine {
    /// What a process reads that started then.
    pub(crate) fn read(&self, now: Duration, start: Start) -> Clocks {
        let Start { boot } = self.start(now);
        Clocks { boot: boot.saturating_sub(start.boot), wall: wall(boot) + self.shift }
    }

    /// What a process keeps that starts now.
    pub(crate) fn start(&self, now: Duration) -> Start {
        Start { boot: self.boot(now) }
    }

    /// The clock that goes on while the machine sleeps.
    pub(crate) fn boot(&self, now: Duration) -> Duration {
        now.saturating_sub(self.paused)
    }

    /// It was paused this long, from outside.
    pub(crate) fn pause(&mut self, time: Duration) {
        self.paused += time;
    }

    /// Its clock on the wall is set, so much ahead of the true time.
    pub(crate) fn set(&mut self, ahead: SignedDuration) {
        self.shift = ahead;
    }
}

/// The true time of day.
pub(crate) fn wall(now: Duration) -> Timestamp {
    Timestamp::from_second(1_700_000_000).expect("it is in range") + now
}

/// The `Date` of the API server's answers to one process, in whole seconds; single ones are wrong by two hours, never two
/// in a row: no clock could be told from two that agree.
pub(crate) struct Dates {
    dice: fastrand::Rng,
    may_be_false: bool,
    last_was_false: bool,
}

impl Dates {
    pub(crate) fn new(seed: u64, may_be_false: bool) -> Self {
        Self { dice: fastrand::Rng::with_seed(seed), may_be_false, last_was_false: false }
    }

    /// The date of an answer that is given now, and whether it is right.
    pub(crate) fn give(&mut self, now: Duration) -> (Timestamp, bool) {
        let is_false = self.may_be_false && !self.last_was_false && self.dice.u8(..4) == 0;
        self.last_was_false = is_false;
        let true_date = Timestamp::from_second(wall(now).as_second()).expect("it is in range");
        let off = SignedDuration::from_hours(if self.dice.bool() { 2 } else { -2 });
        (if is_false { true_date + off } else { true_date }, !is_false)
    }
}

pub(crate) const fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

pub(crate) const fn millis(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}
