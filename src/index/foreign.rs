//! Statuses that change though this operator did not write them: another one may follow the same ImageTasks.

use std::collections::VecDeque;
use std::time::Duration;

/// So many within [`WITHIN`] are told: one or two may be a person's, or restored from a backup.
const MANY: usize = 3;

const WITHIN: Duration = Duration::from_secs(10 * 60);

/// Writes of statuses by others.
pub(super) struct ForeignWrites {
    /// For so long the leader before may be heard of: writes that were on their way.
    grace: Duration,
    /// From when on they count; none while another one leads.
    counted_from: Option<Duration>,
    /// The newest, [`MANY`] at most.
    newest: VecDeque<Duration>,
    told_last: Option<Duration>,
}

/// What a write by somebody else is worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Worth {
    /// The leader before may have written it.
    Nothing,
    /// It counts.
    Counted,
    /// It is one of so many that somebody is to be told.
    Told,
}

impl ForeignWrites {
    /// None, of an index that does not lead. A replica that is silent is believed to lead for `lease_duration`.
    pub(super) fn new(lease_duration: Duration) -> Self {
        Self { grace: 2 * lease_duration, counted_from: None, newest: VecDeque::new(), told_last: None }
    }

    /// This index begins to lead.
    pub(super) fn begin(&mut self, now: Duration) {
        self.counted_from = Some(now + self.grace);
    }

    /// A status was written by somebody else.
    pub(super) fn seen(&mut self, now: Duration) -> Worth {
        if self.counted_from.is_none_or(|from| now < from) {
            return Worth::Nothing;
        }
        self.newest.push_back(now);
        if self.newest.len() > MANY {
            self.newest.pop_front();
        }
        let is_recent = |at: Duration| now - at <= WITHIN;
        let are_many = self.newest.len() == MANY && self.newest.front().copied().is_some_and(is_recent);
        if !are_many || self.told_last.is_some_and(is_recent) {
            return Worth::Counted;
        }
        self.told_last = Some(now);
        Worth::Told
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::tests::{World, secs};
    use super::super::{News, Written};
    use super::*;

    #[test]
    fn the_third_within_ten_minutes_is_told_and_again_after_ten_minutes() {
        use Worth::{Counted, Nothing, Told};
        let mut writes = ForeignWrites::new(secs(15));
        assert_eq!(writes.seen(secs(1)), Nothing, "another one leads");
        writes.begin(secs(10));
        let worth = [39, 40, 300, 640, 641, 700, 1_200, 1_242].map(|at| writes.seen(secs(at)));
        assert_eq!(worth, [Nothing, Counted, Counted, Told, Counted, Counted, Counted, Told]);
        assert_eq!([2_000, 2_400, 2_601, 2_700].map(|at| writes.seen(secs(at))), [Counted, Counted, Counted, Told]);
    }

    /// What the world has heard of others: how often they wrote, and how often that was told.
    fn heard(world: &mut World) -> (usize, usize) {
        let news = world.index.take_news();
        let told = |news: &&News| matches!(news, News::ForeignWrite { told: Some(_) });
        let all = news.iter().filter(|news| matches!(news, News::ForeignWrite { .. }));
        (all.clone().count(), all.filter(told).count())
    }

    /// Somebody else writes a status.
    fn overwrite(world: &mut World, process: u8) {
        let mut status = world.objects["t-1"]["status"].clone();
        status["process"] = json!(process);
        let spec = world.objects["t-1"]["spec"].clone();
        world.store("t-1", spec, status);
    }

    #[test]
    fn statuses_that_somebody_else_writes_are_heard_of_also_while_an_own_one_waits() {
        let mut world = World::new();
        world.create("t-1");
        // Progress with every look, of which most waits for its turn to be written.
        world.process = |at| Some((at.as_secs() / 10) as u8);
        world.run(secs(40));
        assert_eq!(heard(&mut world), (0, 0));
        for process in [90, 91, 92] {
            overwrite(&mut world, process);
            world.run(secs(20));
        }
        assert_eq!(heard(&mut world), (3, 1));
    }

    #[test]
    fn a_write_that_crosses_an_own_one_is_heard_of_whichever_the_api_server_took() {
        for is_refused in [true, false] {
            let mut world = World::new();
            world.create("t-1");
            world.run(secs(40));
            world.unanswered = Some(Vec::new());
            world.tasks.insert("t-1".into(), "Pending");
            world.run(secs(10));
            overwrite(&mut world, 50);
            let unanswered = world.unanswered.take().expect("nothing was answered");
            let now = world.moment();
            for (entry, revision, written) in unanswered {
                let written = if is_refused { Written::Conflict } else { written };
                world.index.written(entry, revision, written, now);
            }
            world.run(secs(30));
            assert_eq!(heard(&mut world).0, 1, "refused: {is_refused}");
        }
    }

    #[test]
    fn what_users_change_is_nobody_elses_write() {
        let mut world = World::new();
        world.create("t-1");
        world.run(secs(40));
        let spec = world.objects["t-1"]["spec"].clone();
        for n in 0..5 {
            world.ask_for_a_look("t-1", &n.to_string());
            world.run(secs(20));
            world.edit("t-1", json!({"taskId": "t-1", "timeout": format!("{}h", n + 1)}));
            world.run(secs(20));
        }
        world.edit("t-1", spec);
        world.tasks.insert("t-1".into(), "Succeeded");
        world.run(secs(60));
        assert_eq!(heard(&mut world), (0, 0));
    }
}
