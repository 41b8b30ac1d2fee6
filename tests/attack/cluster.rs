//! The API server: it stores ImageTasks and their statuses, and guards them by their version.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};

use crate::clocks::wall;
use crate::scenario::{FUTURE, Object, Target};

/// An ImageTask as it is stored.
#[derive(Clone, Debug)]
pub(crate) struct StoredObject {
    pub(crate) version: u64,
    pub(crate) generation: i64,
    created: String,
    uid: String,
    suspended: bool,
    poke: Option<String>,
    pub(crate) status: Value,
}

/// What became of a write.
pub(crate) enum Stored {
    As(Value),
    Conflict,
    Gone,
    Failed,
}

/// The ImageTasks by their place in the scenario.
pub(crate) struct Cluster {
    version: u64,
    dice: fastrand::Rng,
    pub(crate) objects: BTreeMap<usize, StoredObject>,
}

impl Cluster {
    pub(crate) fn new(seed: u64) -> Self {
        Self { version: 100, dice: fastrand::Rng::with_seed(seed ^ 0xC1), objects: BTreeMap::new() }
    }

    pub(crate) fn create(&mut self, place: usize, now: Duration) {
        let version = self.next_version();
        let created = wall(Duration::from_secs(now.as_secs())).to_string();
        let digits =
            |dice: &mut fastrand::Rng, count: u32| format!("{:0w$x}", dice.u64(..1 << (4 * count)), w = count as usize);
        let uid = [8, 4, 4, 4, 12].map(|count| digits(&mut self.dice, count)).join("-");
        let status = json!({"observedGeneration": -1});
        let stored = StoredObject { version, generation: 1, created, uid, suspended: false, poke: None, status };
        self.objects.insert(place, stored);
    }

    pub(crate) fn poke(&mut self, place: usize) {
        let version = self.next_version();
        if let Some(object) = self.objects.get_mut(&place) {
            (object.version, object.poke) = (version, Some(format!("poke-{version}")));
        }
    }

    pub(crate) fn suspend(&mut self, place: usize, suspended: bool) {
        let version = self.next_version();
        if let Some(object) = self.objects.get_mut(&place).filter(|object| object.suspended != suspended) {
            (object.version, object.suspended) = (version, suspended);
            object.generation += 1;
        }
    }

    /// Stores a status if it was decided on the stored version.
    pub(crate) fn store(&mut self, place: usize, object: &Object, version: u64, status: &Value) -> Stored {
        let next = self.next_version();
        match self.objects.get_mut(&place) {
            None => Stored::Gone,
            Some(stored) if stored.version != version => Stored::Conflict,
            Some(stored) => {
                (stored.version, stored.status) = (next, status.clone());
                Stored::As(stored.view(object))
            }
        }
    }

    fn next_version(&mut self) -> u64 {
        self.version += 1;
        self.version
    }
}

impl StoredObject {
    /// As the watch shows it.
    pub(crate) fn view(&self, object: &Object) -> Value {
        let mut spec = match &object.target {
            Target::Task(id) => json!({"taskId": id}),
            Target::Image(id) => json!({"resourceId": id, "type": "CopyImage"}),
        };
        spec["region"] = json!(object.region);
        if let Some(secret) = &object.secret {
            spec["credentialsRef"] = json!({"name": secret});
        }
        if object.namespace == FUTURE {
            spec["keysOf"] = json!("somebody else");
        }
        if let Some(timeout) = object.timeout {
            spec["timeout"] = json!(format!("{}s", timeout.as_secs()));
        }
        if self.suspended {
            spec["suspend"] = json!(true);
        }
        let pokes = self.poke.iter().map(|poke| ("imagetasks.ecs.volcengine.com/reconcile-requested-at", poke));
        let annotations: BTreeMap<_, _> = pokes.collect();
        json!({
            "metadata": {
                "name": object.name, "namespace": object.namespace, "uid": self.uid,
                "resourceVersion": self.version.to_string(), "generation": self.generation,
                "creationTimestamp": self.created, "annotations": annotations,
            },
            "spec": spec, "status": self.status,
        })
    }
}
