//! The cloud as tests and the control port see it: what can be told to it and asked of it.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use serde_json::Value;
use tokio::sync::watch;

use crate::state::{State, Strike, Ticket};
use crate::{Account, Call, Counts, Fault, FaultId, KeyCount, OrderedFault, Role, Script, Settings, Task};

/// Long enough for a test to say that something will not happen any more.
const PATIENCE: Duration = Duration::from_secs(30);

/// The simulated cloud. Every method takes effect at once.
pub struct Cloud {
    state: Mutex<State>,
    /// Bumped by every call that arrives or ends.
    news: watch::Sender<()>,
}

impl Cloud {
    pub(crate) fn new() -> Self {
        Self { state: Mutex::new(State::new()), news: watch::Sender::new(()) }
    }

    /// Adds a permanent access key that is an account of its own, or replaces the key.
    pub fn add_account(&self, access_key: &str, secret_key: &str) {
        self.add(Account::new(access_key, secret_key));
    }

    /// Adds an access key, or replaces it.
    pub fn add(&self, account: Account) {
        self.state(|state| state.accounts.insert(account.access_key.clone(), account));
    }

    /// Forgets an access key, not the tasks of its account; false when it is not there.
    pub fn remove_account(&self, access_key: &str) -> bool {
        self.state(|state| state.accounts.remove(access_key).is_some())
    }

    /// Adds a role that a token may take on, or replaces it: the token that it trusts may change.
    pub fn trust(&self, role: Role) {
        self.state(|state| state.roles.insert(role.trn.clone(), role));
    }

    /// Forgets a role, not the sessions that it has opened; false when it is not there.
    pub fn distrust(&self, trn: &str) -> bool {
        self.state(|state| state.roles.remove(trn).is_some())
    }

    /// Adds a task or replaces it; its script begins now.
    pub fn put(&self, task: Task) {
        self.put_all([task]);
    }

    /// Adds or replaces many tasks.
    pub fn put_all(&self, tasks: impl IntoIterator<Item = Task>) {
        self.state(|state| {
            let now_ms = state.clock.elapsed_ms();
            tasks.into_iter().for_each(|task| state.tasks.put(task, now_ms));
        });
    }

    /// Moves a task, wherever it is, to its next stage; false when no task has this id.
    pub fn advance(&self, id: &str) -> bool {
        self.state(|state| state.tasks.advance(id, state.clock.elapsed_ms()))
    }

    /// Changes fields of a task from now on; false when no task has this id, or `fields` is
    /// not a JSON object.
    pub fn change(&self, id: &str, fields: &Value) -> bool {
        let Some(fields) = fields.as_object() else {
            return false;
        };
        self.state(|state| state.tasks.change(id, fields, state.clock.elapsed_ms()))
    }

    /// Forgets a task; false when no task has this id.
    pub fn remove(&self, id: &str) -> bool {
        self.state(|state| state.tasks.remove(id))
    }

    /// Orders a fault, from the next call on.
    pub fn order(&self, fault: Fault) -> FaultId {
        self.state(|state| state.faults.order(fault))
    }

    /// Clears one fault and releases the calls that hang on it; false when it is not there.
    pub fn clear(&self, id: FaultId) -> bool {
        self.state(|state| state.faults.clear(id))
    }

    /// Clears all faults and releases every call that hangs.
    pub fn clear_faults(&self) {
        self.state(|state| state.faults.clear_all());
    }

    /// The faults that stand, those included that have no times left.
    pub fn faults(&self) -> Vec<OrderedFault> {
        self.state(|state| state.faults.list())
    }

    /// Limits the calls that one account may make in any second.
    pub fn limit_rate(&self, calls_per_second: Option<u32>) {
        self.state(|state| state.rate.set(calls_per_second));
    }

    /// Sets the cloud's clock ahead, or back when negative.
    pub fn skew_clock(&self, seconds: i64) {
        self.state(|state| state.clock.set_skew(seconds));
    }

    /// Does all that a script says; gives the numbers of its faults.
    pub fn play(&self, script: Script) -> Vec<FaultId> {
        script.accounts.into_iter().for_each(|account| self.add(account));
        script.roles.into_iter().for_each(|role| self.trust(role));
        self.put_all(script.tasks);
        if let Some(Settings { calls_per_second, clock_skew_seconds }) = script.settings {
            self.limit_rate(calls_per_second);
            self.skew_clock(clock_skew_seconds);
        }
        script.faults.into_iter().map(|fault| self.order(fault)).collect()
    }

    /// The calls in order of arrival: the last 100,000, or fewer when they asked for many ids.
    pub fn calls(&self) -> Vec<Call> {
        self.state(|state| state.journal.calls())
    }

    /// How many calls there were.
    pub fn call_count(&self) -> u64 {
        self.counts().calls
    }

    /// How often this key called, and how that ended.
    pub fn calls_of(&self, access_key: &str) -> KeyCount {
        self.counts().keys.remove(access_key).unwrap_or_default()
    }

    /// The counts of all keys.
    pub fn counts(&self) -> Counts {
        self.state(|state| state.journal.counts())
    }

    /// How often this task id or resource id was asked for.
    pub fn asked(&self, id: &str) -> u64 {
        self.state(|state| state.journal.asked(id))
    }

    /// How many different ids were asked for.
    pub fn ids_asked(&self) -> usize {
        self.state(|state| state.journal.ids_asked())
    }

    /// Forgets all calls and counts.
    pub fn forget_calls(&self) {
        self.state(|state| state.journal.forget());
    }

    /// Waits until `reached` holds, looking again whenever a call arrives or ends.
    ///
    /// # Panics
    ///
    /// When it does not hold within 30 s (of tokio's clock: do not pause it here); `what` says what was waited for.
    pub async fn until(&self, what: &str, reached: impl Fn(&Self) -> bool) {
        let mut news = self.news.subscribe();
        let holds = async {
            while !reached(self) {
                news.changed().await.expect("the cloud that is borrowed holds the sender");
            }
        };
        let in_time = tokio::time::timeout(PATIENCE, holds).await;
        assert!(in_time.is_ok(), "the simulator waited {PATIENCE:?} in vain until {what}");
    }

    /// Lets a call arrive: writes it down and finds the fault that strikes it.
    pub(crate) fn arrived(&self, call: impl FnOnce(u64) -> Call) -> (Ticket, Option<Strike>) {
        let arrived = self.state(|state| {
            let call = call(state.clock.elapsed_ms());
            let strike = state.faults.strike(&call);
            (state.journal.arrived(call), strike)
        });
        self.news.send_replace(());
        arrived
    }

    /// Lets a call end as `decide` decides, and writes down how.
    pub(crate) fn ended<T>(&self, ticket: Ticket, decide: impl FnOnce(&mut State) -> (T, String)) -> T {
        let answer = self.state(|state| {
            let (answer, outcome) = decide(state);
            state.journal.ended(ticket, &outcome);
            answer
        });
        self.news.send_replace(());
        answer
    }

    /// A test that panicked with the lock held left nothing half done that the next would mind.
    fn state<T>(&self, work: impl FnOnce(&mut State) -> T) -> T {
        work(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
