//! One leader after another is struck down, and never do two of them write.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use imagetask_operator::api::ImageTask;
use imagetask_operator::clock::Clock;
use k8s_openapi::api::coordination::v1::Lease;
use kube::ResourceExt;
use serde_json::json;
use simulator::{Simulator, Task};
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval};

use crate::leases::{Replica, holder, leases, version};
use crate::world::{History, PATIENCE, Record, World, status};

/// What happens to a leader.
#[derive(Clone, Copy, Debug)]
enum Blow {
    Terminate,
    Kill,
    Cut,
    Hold,
    Pause,
}

const BLOWS: [Blow; 5] = [Blow::Terminate, Blow::Kill, Blow::Cut, Blow::Hold, Blow::Pause];

/// Two places for replicas. Each has a cloud of its own, so that what is written tells who wrote it.
struct Arena {
    world: World,
    clouds: Arc<[Simulator; 2]>,
    leases: Record<Lease>,
    tasks: Record<ImageTask>,
    /// Who was in which place.
    places: HashMap<String, usize>,
}

const FOLLOWED: [&str; 8] = ["t-0", "t-1", "t-2", "t-3", "t-4", "t-5", "t-6", "t-7"];

impl Arena {
    async fn new() -> Self {
        let (world, clock) = (World::new().await, Clock::start());
        let clouds = Arc::new([Simulator::start().await, Simulator::start().await]);
        for (place, cloud) in clouds.iter().enumerate() {
            cloud.put_all(FOLLOWED.map(|id| Task::export(id, &format!("place-{place}")).running(0)));
        }
        let (leases, tasks) = (leases(&world, clock).await, Record::begin(world.tasks(), clock).await);
        for id in FOLLOWED {
            world.follow(id).await;
        }
        Self { world, clouds, leases, tasks, places: HashMap::new() }
    }

    async fn replica(&mut self, place: usize) -> Replica {
        let endpoint = format!("--endpoint={}", self.clouds[place].url());
        let replica = Replica::start(&self.world, &[&endpoint]).await;
        self.places.insert(replica.identity.clone(), place);
        replica
    }

    /// Waits until the leader is as described; its place.
    async fn until_leader(&self, what: &str, is: impl Fn(usize, &str) -> bool) -> usize {
        let mut found = None;
        let leader = |history: &History<Lease>| {
            found = history.present().find_map(|lease| {
                let place = *self.places.get(holder(lease)?)?;
                Some(place).filter(|place| is(*place, holder(lease).unwrap()))
            });
            found.is_some()
        };
        self.leases.until(PATIENCE, leader).await.unwrap_or_else(|| panic!("no leader {what}"));
        found.expect("it was found")
    }

    /// Waits until whoever is in a place has written something that is newer than a version.
    async fn until_written(&self, place: usize, since: u64) {
        let written = |object: &ImageTask| version(object) > since && writer(object) == Some(place);
        self.tasks.until(PATIENCE, |history| history.present().any(written)).await.expect("it writes in time");
    }

    /// Every status of another writer than the holder of the Lease at that time, and how many statuses there were.
    fn check(&self) -> (Vec<String>, usize) {
        let (leases, tasks) = (self.leases.history(), self.tasks.history());
        assert_eq!((leases.lists, tasks.lists), (1, 1), "a second list may hide versions");
        let mut terms: Vec<(u64, Option<usize>)> = leases
            .lives()
            .flat_map(|life| &life.versions)
            .map(|seen| (version(&seen.object), holder(&seen.object).and_then(|name| self.places.get(name)).copied()))
            .collect();
        terms.sort_unstable();
        let holder_at = |at: u64| terms.iter().rev().find(|(from, _)| *from < at).and_then(|(_, place)| *place);
        let writes: Vec<_> = tasks
            .lives()
            .flat_map(|life| life.steps())
            .filter(|(before, after)| before.status != after.status)
            .map(|(_, after)| (after.name_any(), version(after), writer(after)))
            .collect();
        let wrong = writes.iter().filter(|(_, at, writer)| *writer != holder_at(*at));
        let wrong = wrong.map(|(name, at, writer)| format!("{name}@{at} by {writer:?}, led by {:?}", holder_at(*at)));
        (wrong.collect(), writes.len())
    }
}

/// Every look brings progress, and so a write.
async fn move_on(clouds: Arc<[Simulator; 2]>) {
    let mut beat = interval(Duration::from_millis(200));
    beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    for percent in (0..100).cycle() {
        beat.tick().await;
        for (cloud, id) in clouds.iter().flat_map(|cloud| FOLLOWED.map(|id| (cloud, id))) {
            cloud.change(id, &json!({"Process": percent}));
        }
    }
}

/// The place of whoever wrote a status.
fn writer(object: &ImageTask) -> Option<usize> {
    status(object).resource_id.as_ref()?.strip_prefix("place-")?.parse().ok()
}

/// Ends one leader after another, by the blow that comes next.
async fn strike(arena: &mut Arena, takeovers: usize) {
    let mut replicas = [arena.replica(0).await, arena.replica(1).await];
    for (number, blow) in BLOWS.iter().cycle().take(takeovers).enumerate() {
        for place in [0, 1] {
            // On a machine that stands still for seconds a leader may have ended by itself.
            if replicas[place].process.child.try_wait().unwrap().is_some() {
                replicas[place] = arena.replica(place).await;
            }
        }
        let alive = replicas.each_ref().map(|replica| replica.identity.clone());
        let place = arena.until_leader("at first", |place, holder| alive[place] == holder).await;
        let newest = arena.leases.history().present().map(version).max().expect("there is a Lease");
        arena.until_written(place, newest).await;
        let leader = &mut replicas[place];
        let expected = match blow {
            Blow::Terminate => {
                leader.process.signal("TERM").await;
                Some(0)
            }
            Blow::Kill => {
                leader.process.child.start_kill().unwrap();
                None
            }
            Blow::Cut => {
                leader.wire.cut();
                Some(1)
            }
            Blow::Hold => {
                leader.wire.hold();
                Some(1)
            }
            Blow::Pause => {
                leader.process.signal("STOP").await;
                Some(1)
            }
        };
        arena.until_leader("after it", |other, holder| other != place && holder != alive[place]).await;
        if let Blow::Pause = blow {
            leader.process.signal("CONT").await;
        }
        assert_eq!(leader.process.ended().await, expected, "{blow:?}, blow {number}");
        replicas[place] = arena.replica(place).await;
    }
}

#[expect(clippy::disallowed_methods, reason = "the number is chosen by whoever runs the tests")]
fn takeovers() -> usize {
    std::env::var("IMAGETASK_TAKEOVERS").map_or(10, |number| number.parse().expect("it is a number"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn there_are_never_two_writers() {
    let takeovers = takeovers();
    let mut arena = Arena::new().await;
    let mut moving = JoinSet::new();
    moving.spawn(move_on(arena.clouds.clone()));
    strike(&mut arena, takeovers).await;
    moving.shutdown().await;
    let (wrong, writes) = arena.check();
    assert_eq!(wrong, Vec::<String>::new());
    assert!(writes >= takeovers * FOLLOWED.len() / 2, "{writes} statuses in {takeovers} take-overs");
    eprintln!("{writes} statuses in {takeovers} take-overs, each by the leader of its time");
}
