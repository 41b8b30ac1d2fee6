//! The honest tenant beside the hostile one: how it fares.

use std::time::Duration;

use futures::future::join_all;
use imagetask_operator::api::Phase;
use serde_json::json;
use simulator::Task;

use crate::world::World;

/// Between two looks.
pub(super) const BEAT: Duration = Duration::from_secs(2);

/// Honest tasks at a time.
const TASKS: usize = 20;

/// How a round of honest tasks fared, by the clock of the cloud.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fared {
    /// Longest time from one look at a task to the next, in milliseconds.
    longest_pause: u64,
}

impl Fared {
    /// Nobody waits a beat longer than another round did.
    pub(super) fn is_as_good_as(self, other: Self) {
        let beat = u64::try_from(BEAT.as_millis()).unwrap();
        assert!(self.longest_pause <= other.longest_pause.max(beat) + beat, "{self:?} beside {other:?}");
    }
}

/// Honest tasks begin, run for three beats, and end, all of which their ImageTasks tell.
pub(super) async fn round(world: &World, name: &str) -> Fared {
    let ids: Vec<String> = (0..TASKS).map(|n| format!("t-{name}-{n}")).collect();
    world.cloud.put_all(ids.iter().map(|id| Task::export(id, "image-honest").running(10)));
    join_all(ids.iter().map(|id| world.follow(id))).await;
    join_all(ids.iter().map(|id| world.until_phase(id, Phase::Running))).await;
    let asked_often = |cloud: &simulator::Cloud| ids.iter().all(|id| cloud.asked(id) >= 4);
    world.cloud.until("every honest task was asked four times", asked_often).await;
    for id in &ids {
        world.cloud.change(id, &json!({"Status": "Succeeded", "Process": 100}));
    }
    join_all(ids.iter().map(|id| world.until_phase(id, Phase::Succeeded))).await;
    let calls = world.cloud.calls();
    let pauses = ids.iter().flat_map(|id| {
        let looks: Vec<_> = calls.iter().filter(|call| call.task_ids.contains(id)).map(|call| call.at_ms).collect();
        looks.windows(2).map(|pair| pair[1] - pair[0]).collect::<Vec<_>>()
    });
    Fared { longest_pause: pauses.max().unwrap_or_default() }
}
