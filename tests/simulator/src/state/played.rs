//! A task whose script is being played, and what it shows at a given time.

use jiff::Timestamp;
use serde_json::{Map, Value};

use crate::{Task, clock};

pub(crate) struct Played {
    pub(crate) task: Task,
    put_ms: u64,
    /// The stage that was reached by an explicit advance.
    floor: usize,
}

/// A task that is not hidden. Its fields are only put together for the page that needs them.
pub(crate) struct Shown<'a> {
    played: &'a Played,
    present: usize,
}

impl Played {
    pub(crate) fn new(task: Task, now_ms: u64) -> Self {
        Self { task, put_ms: now_ms, floor: 0 }
    }

    /// Goes to the next stage; the last one stays.
    pub(crate) fn advance(&mut self, now_ms: u64) {
        let last = self.task.stages.len().saturating_sub(1);
        self.floor = (self.stage_at(now_ms) + 1).min(last);
    }

    /// Changes fields of the present stage.
    pub(crate) fn change(&mut self, fields: &Map<String, Value>, now_ms: u64) {
        let present = self.stage_at(now_ms);
        if let Some(stage) = self.task.stages.get_mut(present) {
            stage.without.retain(|absent| !fields.contains_key(absent));
            stage.set.extend(fields.clone());
        }
    }

    pub(crate) fn shown(&self, now_ms: u64) -> Option<Shown<'_>> {
        let present = self.stage_at(now_ms);
        let stage = self.task.stages.get(present)?;
        (!stage.hidden).then_some(Shown { played: self, present })
    }

    /// The stage at a time: from the explicitly reached one on through those that are due.
    fn stage_at(&self, now_ms: u64) -> usize {
        let age = now_ms.saturating_sub(self.put_ms);
        let later = self.task.stages.iter().skip(self.floor + 1);
        let due = later.take_while(|stage| stage.after_ms.is_some_and(|after| after <= age));
        self.floor + due.count()
    }
}

impl<'a> Shown<'a> {
    /// What results are ordered by: `CreatedAt` (empty where it is no string), then id.
    pub(crate) fn position(&self) -> (&'a str, &'a str) {
        let stages = self.played.task.stages.iter().take(self.present + 1).rev();
        let mut words = stages.filter_map(|stage| {
            let absent = stage.without.iter().any(|name| name == "CreatedAt");
            if absent { Some("") } else { stage.set.get("CreatedAt").map(|value| value.as_str().unwrap_or_default()) }
        });
        (words.next().unwrap_or_default(), &self.played.task.id)
    }

    /// What the answer says of the task.
    pub(crate) fn fields(&self, now: Timestamp) -> Map<String, Value> {
        let task = &self.played.task;
        let mut fields = Map::new();
        fields.insert("Id".to_owned(), Value::String(task.id.clone()));
        for stage in task.stages.iter().take(self.present + 1) {
            fields.extend(stage.set.clone());
            for absent in &stage.without {
                fields.remove(absent);
            }
        }
        if task.stages[self.present].ticking {
            fields.insert("UpdatedAt".to_owned(), Value::String(clock::task_time(now)));
        }
        fields
    }
}
