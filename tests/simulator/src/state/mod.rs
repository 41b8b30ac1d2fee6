//! What the cloud knows: accounts, tasks, ordered faults, and the calls it has seen.

mod faults;
mod journal;
mod played;
mod rate;
mod tasks;

use std::collections::HashMap;

use crate::clock::Clock;
use crate::{Account, Role};

pub(crate) use faults::{Faults, Strike};
pub(crate) use journal::{Journal, Ticket};
pub(crate) use played::Shown;
pub(crate) use rate::RateLimit;
pub(crate) use tasks::{Place, Tasks};

pub(crate) struct State {
    pub(crate) clock: Clock,
    /// By access key.
    pub(crate) accounts: HashMap<String, Account>,
    /// By TRN.
    pub(crate) roles: HashMap<String, Role>,
    /// How many sessions were opened.
    pub(crate) sessions: u64,
    pub(crate) tasks: Tasks,
    pub(crate) faults: Faults,
    pub(crate) rate: RateLimit,
    pub(crate) journal: Journal,
}

impl State {
    pub(crate) fn new() -> Self {
        Self {
            clock: Clock::start(),
            accounts: HashMap::new(),
            roles: HashMap::new(),
            sessions: 0,
            tasks: Tasks::default(),
            faults: Faults::default(),
            rate: RateLimit::default(),
            journal: Journal::default(),
        }
    }
}
