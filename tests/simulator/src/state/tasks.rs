//! The tasks of every account and region, and what each shows at a given time.

use std::collections::HashMap;

use serde_json::{Map, Value};

use super::played::{Played, Shown};
use crate::Task;

/// Where a task lives: nobody sees it from another account or region.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Place {
    pub(crate) account: String,
    pub(crate) region: String,
}

#[derive(Default)]
pub(crate) struct Tasks {
    places: HashMap<Place, Region>,
}

#[derive(Default)]
struct Region {
    by_id: HashMap<String, Played>,
    /// Ids by the `ResourceId` of the first stage.
    by_resource: HashMap<String, Vec<String>>,
}

impl Tasks {
    /// Adds the task or replaces it, its script beginning anew.
    pub(crate) fn put(&mut self, task: Task, now_ms: u64) {
        let place = Place { account: task.account.clone(), region: task.region.clone() };
        let region = self.places.entry(place).or_default();
        region.remove(&task.id);
        if let Some(resource) = task.resource_id() {
            region.by_resource.entry(resource.to_owned()).or_default().push(task.id.clone());
        }
        region.by_id.insert(task.id.clone(), Played::new(task, now_ms));
    }

    /// Moves every task called `id` to its next stage; false when none is there.
    pub(crate) fn advance(&mut self, id: &str, now_ms: u64) -> bool {
        self.each(id, |played| played.advance(now_ms))
    }

    /// Changes fields of the present stage of every task called `id`; false when none is there.
    pub(crate) fn change(&mut self, id: &str, fields: &Map<String, Value>, now_ms: u64) -> bool {
        self.each(id, |played| played.change(fields, now_ms))
    }

    /// Forgets every task called `id`; false when none is there.
    pub(crate) fn remove(&mut self, id: &str) -> bool {
        let removed = self.places.values_mut().map(|region| region.remove(id));
        removed.fold(false, |any, one| any | one)
    }

    /// The tasks that answer a query, by `CreatedAt`, then id.
    ///
    /// The documentation does not say what task ids and resource ids together mean; here a task
    /// must then match both. Neither means all tasks of the place. The order is undocumented too.
    pub(crate) fn select(
        &self,
        place: &Place,
        task_ids: &[String],
        resource_ids: &[String],
        now_ms: u64,
    ) -> Vec<Shown<'_>> {
        let Some(region) = self.places.get(place) else {
            return Vec::new();
        };
        let candidates = region.candidates(task_ids, resource_ids).into_iter();
        let mut found: Vec<_> = candidates.filter_map(|played| played.shown(now_ms)).collect();
        found.sort_by_key(Shown::position);
        found.dedup_by_key(|shown| shown.position());
        found
    }

    fn each(&mut self, id: &str, mut change: impl FnMut(&mut Played)) -> bool {
        let there: Vec<_> = self.places.values_mut().filter_map(|region| region.by_id.get_mut(id)).collect();
        let any = !there.is_empty();
        there.into_iter().for_each(&mut change);
        any
    }
}

impl Region {
    fn remove(&mut self, id: &str) -> bool {
        let Some(old) = self.by_id.remove(id) else {
            return false;
        };
        if let Some(ids) = old.task.resource_id().and_then(|resource| self.by_resource.get_mut(resource)) {
            ids.retain(|other| other != id);
        }
        true
    }

    fn candidates(&self, task_ids: &[String], resource_ids: &[String]) -> Vec<&Played> {
        if task_ids.is_empty() && resource_ids.is_empty() {
            return self.by_id.values().collect();
        }
        if task_ids.is_empty() {
            let ids = resource_ids.iter().filter_map(|resource| self.by_resource.get(resource)).flatten();
            return ids.filter_map(|id| self.by_id.get(id)).collect();
        }
        let named = task_ids.iter().filter_map(|id| self.by_id.get(id));
        let fits = |played: &&Played| {
            let resource = played.task.resource_id();
            resource_ids.is_empty() || resource_ids.iter().any(|wanted| Some(wanted.as_str()) == resource)
        };
        named.filter(fits).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use jiff::Timestamp;
    use serde_json::json;

    use super::*;

    struct World(Tasks);

    fn place() -> Place {
        let task = Task::export("", "");
        Place { account: task.account, region: task.region }
    }

    impl World {
        fn with(tasks: impl IntoIterator<Item = Task>) -> Self {
            let mut world = Self(Tasks::default());
            tasks.into_iter().for_each(|task| world.0.put(task, 0));
            world
        }

        fn at(&self, now_ms: u64) -> Vec<Value> {
            let place = place();
            let shown = self.0.select(&place, &[], &[], now_ms).into_iter();
            let fields = shown.map(|task| task.fields(Timestamp::UNIX_EPOCH));
            fields.map(|fields| json!([fields["Id"], fields["Status"], fields["Process"]])).collect()
        }
    }

    #[test]
    fn a_script_goes_on_by_itself_where_it_has_times() {
        let second = Duration::from_secs(1);
        let world = World::with([Task::export("t-1", "i-1")
            .after(second)
            .running(40)
            .after(second * 2)
            .hidden()
            .after(second * 3)
            .succeeded()]);
        assert_eq!(
            [0, 999, 1000, 2000, 3000].map(|ms| world.at(ms)),
            [
                vec![json!(["t-1", "Pending", 0])],
                vec![json!(["t-1", "Pending", 0])],
                vec![json!(["t-1", "Running", 40])],
                vec![],
                vec![json!(["t-1", "Succeeded", 100])],
            ],
        );
    }

    #[test]
    fn a_stage_without_a_time_waits_for_an_advance_and_the_last_stays() {
        let mut world = World::with([Task::export("t-1", "i-1").then().running(40).then().failed()]);
        let mut seen = vec![world.at(1_000_000)];
        for _ in 0..3 {
            assert!(world.0.advance("t-1", 1_000_000));
            seen.push(world.at(1_000_000));
        }
        let failed = vec![json!(["t-1", "Failed", 40])];
        assert_eq!(
            seen,
            [vec![json!(["t-1", "Pending", 0])], vec![json!(["t-1", "Running", 40])], failed.clone(), failed]
        );
    }

    #[test]
    fn a_change_is_seen_at_once_and_only_by_the_tasks_named() {
        let mut world = World::with([Task::export("t-1", "i-1"), Task::export("t-2", "i-2")]);
        let fields = json!({"Process": "45%"});
        assert!(world.0.change("t-1", fields.as_object().unwrap(), 0));
        assert!(!world.0.change("t-3", fields.as_object().unwrap(), 0));
        assert_eq!(world.at(0), [json!(["t-1", "Pending", "45%"]), json!(["t-2", "Pending", 0])]);
    }

    #[test]
    fn tasks_come_by_creation_then_id_and_once_each() {
        let world = World::with([
            Task::export("t-b", "i-1"),
            Task::export("t-a", "i-1"),
            Task::export("t-c", "i-1").created_at("2021-01-01T00:00:00+08:00"),
        ]);
        let place = place();
        let ids = ["i-1".to_owned(), "i-1".to_owned()];
        let found = world.0.select(&place, &[], &ids, 0);
        let positions: Vec<_> = found.iter().map(Shown::position).collect();
        let created = "2022-05-06T00:01:00+08:00";
        assert_eq!(positions, [("2021-01-01T00:00:00+08:00", "t-c"), (created, "t-a"), (created, "t-b")]);
    }

    #[test]
    fn a_ticking_task_is_updated_at_the_time_of_the_answer() {
        let world = World::with([Task::export("t-1", "i-1").ticking().then().running(1)]);
        let place = place();
        let found = world.0.select(&place, &[], &[], 0);
        assert_eq!(found[0].fields(Timestamp::UNIX_EPOCH)["UpdatedAt"], "1970-01-01T08:00:00+08:00");
    }

    #[test]
    fn a_later_creation_time_is_the_one_that_counts() {
        let mut world = World::with([Task::export("t-1", "i-1").then().created_at("2023").then().without("CreatedAt")]);
        let place = place();
        let mut seen = Vec::new();
        for _ in 0..3 {
            seen.push(world.0.select(&place, &[], &[], 0)[0].position().0.to_owned());
            world.0.advance("t-1", 0);
        }
        assert_eq!(seen, ["2022-05-06T00:01:00+08:00", "2023", ""]);
    }
}
