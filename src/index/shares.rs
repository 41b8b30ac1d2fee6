//! Who has had how many turns of the operator's total rate: where it does not suffice for all lanes, tenants share it
//! evenly, however many lanes one of them has opened with invented keys or regions.

use std::collections::HashMap;
use std::time::Duration;

use super::directory::Tenant;
use super::lane::Asked;
use super::{Index, Question};
use crate::clock::Now;

/// Turns by tenant.
#[derive(Default)]
pub(super) struct Shares {
    turns: HashMap<Tenant, u64>,
    /// Turns that everyone is taken to have had, lest one who was idle comes back with a claim to all of them.
    level: u64,
}

/// Tenants remembered before those are forgotten who have no more turns than everyone.
const REMEMBERED: usize = 1_024;

impl Shares {
    /// Turns of the one with the fewest of these tenants, and who that is.
    pub(super) fn fewest(&self, tenants: impl Iterator<Item = Tenant>) -> Option<(u64, Tenant)> {
        tenants.map(|tenant| (self.turns_of(tenant), tenant)).min()
    }

    /// Gives a turn to the tenant that has had the fewest of those who wanted one.
    pub(super) fn charge(&mut self, tenant: Tenant) {
        self.level = self.turns_of(tenant);
        if self.turns.len() >= REMEMBERED {
            self.turns.retain(|_, turns| *turns > self.level);
        }
        self.turns.insert(tenant, self.level + 1);
    }

    /// A turn took as many calls more.
    pub(super) fn charge_more(&mut self, tenant: Tenant, calls: u32) {
        if calls > 0 {
            self.turns.insert(tenant, self.turns_of(tenant) + u64::from(calls));
        }
    }

    fn turns_of(&self, tenant: Tenant) -> u64 {
        self.turns.get(&tenant).map_or(self.level, |turns| self.level.max(*turns))
    }
}

impl Index {
    /// Gives every lane its turns, as far as the total ceiling allows; beyond it tenants share evenly, and the lanes of
    /// one tenant too.
    pub(super) fn take_turns(&mut self, questions: &mut Vec<Question>, now: Now) -> Option<Duration> {
        if self.total.ready_at() > now.mono {
            return Some(self.total.ready_at());
        }
        let mut ready = self.lanes.ready(now.mono);
        while let Some((position, tenant)) = self.next_in_turn(&ready) {
            let key = ready[position];
            let question = self.ask(key, tenant, now);
            if question.is_none() {
                self.lanes.close_if_empty(key);
            }
            questions.extend(question);
            self.shares.charge(tenant);
            if self.lanes.plan(key, now.mono).is_none_or(|at| at > now.mono) {
                ready.swap_remove(position);
            }
            if self.total.ready_at() > now.mono {
                return Some(self.total.ready_at());
            }
        }
        self.lanes.next()
    }

    /// Which of these lanes is in turn, and on behalf of whom.
    fn next_in_turn(&self, ready: &[usize]) -> Option<(usize, Tenant)> {
        let in_turn = |&key: &usize| {
            let lane = &self.lanes[key];
            self.shares.fewest(lane.tenants()).map(|(turns, tenant)| (turns, lane.last_turn, tenant))
        };
        let turns = ready.iter().enumerate().filter_map(|(position, key)| Some((in_turn(key)?, position)));
        turns.min().map(|((.., tenant), position)| (position, tenant))
    }

    fn ask(&mut self, key: usize, tenant: Tenant, now: Now) -> Option<Question> {
        let lane = &mut self.lanes[key];
        self.turns += 1;
        lane.last_turn = self.turns;
        let Asked { subjects, sent, batch, lag } = lane.ask(now.mono)?;
        self.total.take(now.mono);
        let (credentials, region) = (lane.credentials.clone(), lane.region.clone());
        self.deadlines_asked(key, &subjects);
        Some(Question { credentials, region, batch, begun: now, lag, lane: key, tenant, sent, subjects })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn turns(shares: &mut Shares, wanting: &[u32], rounds: usize) -> Vec<u32> {
        let mut had = Vec::new();
        for _ in 0..rounds {
            let (_, tenant) = shares.fewest(wanting.iter().copied().map(Tenant)).unwrap();
            shares.charge(tenant);
            had.push(tenant.0);
        }
        had
    }

    #[test]
    fn tenants_take_turns_and_idling_saves_none_up() {
        let mut shares = Shares::default();
        assert_eq!(turns(&mut shares, &[0, 1, 2], 6), [0, 1, 2, 0, 1, 2]);
        assert_eq!(turns(&mut shares, &[1, 2], 4), [1, 2, 1, 2]);
        assert_eq!(turns(&mut shares, &[0, 1, 2], 6).iter().filter(|tenant| **tenant == 0).count(), 3);
    }

    #[test]
    fn those_who_have_had_no_more_than_everyone_are_forgotten() {
        let mut shares = Shares::default();
        for tenant in 0..10_000 {
            shares.charge(Tenant(tenant));
            shares.charge(Tenant(tenant));
        }
        assert!(shares.turns.len() <= REMEMBERED, "{}", shares.turns.len());
    }
}
