//! What a lane asks for next: canaries first, then what is well, and what may make requests fail with what is left.

use std::time::Duration;

use super::lane::{Asked, Lane, SHARED_PER_SPECIAL};
use super::ring::{Picked, Place, Ring};
use super::subject::SubjectId;
use crate::ecs::{Batch, Ids};

impl Lane {
    /// When the next question may be put; `None`: not before an answer or a new id comes.
    pub(super) fn next_at(&mut self, now: Duration) -> Option<Duration> {
        self.wake(now);
        let most = if self.is_probing() { 1 } else { self.most_in_flight };
        if self.in_flight >= most {
            return None;
        }
        let ready = |at: Duration| at.max(self.rate.ready_at());
        if self.breaker.probes_single_ids() {
            return (!self.is_empty()).then(|| ready(self.breaker.next_probe()));
        }
        let shared = [self.tasks.shared_at(), self.images_at()].into_iter().flatten();
        let later = self.askable().filter_map(Ring::later_at);
        let ready = shared.chain(later).chain(self.canary_at()).min().map(ready);
        let next = [ready, self.special_at()].into_iter().flatten().min();
        next.map(|at| at.max(self.breaker.next_probe()))
    }

    /// The next question; `None` where nothing is due.
    pub(super) fn ask(&mut self, now: Duration) -> Option<Asked> {
        let Picked { subjects, sent, due } = self.pick(now)?;
        let batch = self.batch(&subjects)?;
        for &key in &subjects {
            self.subjects[key as usize].place = Place::Flying { again: None };
        }
        self.rate.take(now);
        self.load.take(now);
        self.in_flight += 1;
        self.special_in_flight += usize::from(sent.is_special());
        self.images_in_flight += usize::from(batch.is_of_images());
        let lag = due.filter(|_| !self.is_probing()).map(|due| now.saturating_sub(due));
        Some(Asked { subjects, sent, batch, lag })
    }

    /// The ids of the next question.
    pub(super) fn pick(&mut self, now: Duration) -> Option<Picked> {
        if self.breaker.probes_single_ids() {
            return self.pick_probe();
        }
        if self.canary_at().is_some_and(|at| at <= now) {
            return self.pick_canary(now);
        }
        let is_due = |at: Option<Duration>| at.is_some_and(|at| at <= now);
        let tasks = is_due(self.tasks.shared_at());
        let resources = is_due(self.images_at());
        let shared = tasks || resources;
        let special = is_due(self.special_at()) && (!shared || self.credit >= SHARED_PER_SPECIAL);
        if special {
            let picked = self.pick_special(now);
            self.credit -= if self.credit >= SHARED_PER_SPECIAL { SHARED_PER_SPECIAL } else { 0 };
            return picked;
        }
        // With both kinds in need they take turns, so neither keeps the other waiting.
        self.last_were_tasks = tasks && !(self.last_were_tasks && resources);
        self.credit = (self.credit + u32::from(shared)).min(SHARED_PER_SPECIAL);
        if self.credit == SHARED_PER_SPECIAL && self.owes_pages() {
            // A page that was asked for takes the turn of a special call.
            self.rate.take(now);
            self.credit = 0;
        }
        let tempo = self.tempo();
        let ring = if self.last_were_tasks { &mut self.tasks } else { &mut self.resources };
        ring.pick_shared(now, &tempo)
    }

    pub(super) fn pick_special(&mut self, now: Duration) -> Option<Picked> {
        let images = self.may_ask_images();
        let images_first = images && self.last_were_tasks;
        let first = if images_first { self.resources.pick_special(now) } else { self.tasks.pick_special(now) };
        let is_first = first.is_some();
        let picked = match is_first {
            true => first,
            false if images_first => self.tasks.pick_special(now),
            false if images => self.resources.pick_special(now),
            false => None,
        };
        self.last_were_tasks = images_first != is_first;
        picked
    }

    /// When the next image is to be asked for that is well. Nobody knows how many pages its answer has, so it waits while pages
    /// are owed: what may fail waits too then, or gives its turns for them.
    pub(super) fn images_at(&self) -> Option<Duration> {
        let at = self.resources.shared_at().filter(|_| self.may_ask_images())?;
        Some(at.max(self.load.ready_at()))
    }

    /// The queues that may be asked from now.
    pub(super) fn askable(&self) -> impl Iterator<Item = &Ring> {
        [&self.tasks].into_iter().chain(Some(&self.resources).filter(|_| self.may_ask_images()))
    }

    pub(super) fn may_ask_images(&self) -> bool {
        self.images_in_flight == 0
    }

    /// When there is something to ask for that may make requests fail. Unless it has waited for its share it takes no call
    /// of the burst, so that a new id need not wait for it; nor more than half of the calls that may be under way, as
    /// they may hang.
    pub(super) fn special_at(&self) -> Option<Duration> {
        if self.special_in_flight >= (self.most_in_flight / 2).max(1) {
            return None;
        }
        let images = Some(&self.resources).filter(|_| self.may_ask_images()).and_then(Ring::special_at);
        let at = [self.tasks.special_at(), images].into_iter().flatten().min()?;
        let has_turn = self.credit >= SHARED_PER_SPECIAL && !self.owes_pages();
        Some(at.max(if has_turn { self.rate.ready_at() } else { self.load.idle_at() }))
    }

    /// Whether pages were asked for that no special call has waited for yet.
    fn owes_pages(&self) -> bool {
        self.load.idle_at() > self.rate.idle_at()
    }

    pub(super) fn batch(&self, subjects: &[u32]) -> Option<Batch> {
        let mut tasks = Vec::new();
        let mut resources = Vec::new();
        for &key in subjects {
            match self.id_of(key) {
                SubjectId::Task(id) => tasks.push(id.clone()),
                SubjectId::Resource(id) => resources.push(id.clone()),
            }
        }
        Ids::new(tasks).map(Batch::Tasks).or_else(|| Ids::new(resources).map(Batch::Resources))
    }

    /// Moves what was asked slowly to where it is asked now.
    pub(super) fn wake(&mut self, now: Duration) {
        while let Some(key) = self.tasks.next_woken(now).or_else(|| self.resources.next_woken(now)) {
            let place = match self.subjects[key as usize].place {
                Place::Later(due) => Place::Express(due),
                place @ (Place::Express(_)
                | Place::Round(_)
                | Place::Isolated(_)
                | Place::Alone(_)
                | Place::Part
                | Place::Flying { .. }) => place,
            };
            self.place(key, place);
        }
    }
}
