//! What the cloud's scripts say: the truth that every ImageTask is measured by.

use std::collections::HashMap;
use std::time::Duration;

use imagetask_operator::api::{ImageTask, ImageTaskSpec, Phase};
use serde_json::{Map, Value};
use simulator::{Simulator, Stage, Task};

/// All tasks of the cloud, by id and by image.
pub(crate) struct Truth {
    tasks: HashMap<String, Task>,
    images: HashMap<String, Vec<String>>,
}

/// What an ImageTask tells of its task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Told {
    pub(crate) reason: String,
    pub(crate) phase: Option<Phase>,
    pub(crate) task: Option<String>,
    pub(crate) word: Option<String>,
    pub(crate) process: Option<i64>,
    /// `type`, `resourceId`, `createdAt`, `endAt`.
    pub(crate) rest: [Option<String>; 4],
}

impl Truth {
    pub(crate) fn of(tasks: &[Task]) -> Self {
        let mut images: HashMap<String, Vec<String>> = HashMap::new();
        for task in tasks {
            let image = text(&task.stages[0].set, "ResourceId").expect("every task works on an image");
            images.entry(image).or_default().push(task.id.clone());
        }
        Self { tasks: tasks.iter().map(|task| (task.id.clone(), task.clone())).collect(), images }
    }

    /// The task that an ImageTask is to follow.
    pub(crate) fn followed(&self, spec: &ImageTaskSpec) -> String {
        let Some(image) = &spec.resource_id else { return spec.task_id.clone().expect("it names a task or an image") };
        let of_type = |id: &&String| text(&self.first(id).set, "Type") == spec.type_;
        let age = |id: &&String| (text(&self.first(id).set, "CreatedAt"), (*id).clone());
        self.images[image].iter().filter(of_type).max_by_key(age).expect("the image has tasks of this type").clone()
    }

    fn first(&self, id: &str) -> &Stage {
        &self.tasks[id].stages[0]
    }

    /// Whether the cloud has said a status word of a task by then.
    pub(crate) fn said(&self, id: &str, word: Option<&str>, by: Duration) -> bool {
        self.tellings(id).any(|(since, told)| since <= by && told.word.as_deref() == word)
    }

    /// What the cloud says of a task in the end; `None` where it does not show it.
    pub(crate) fn last(&self, id: &str) -> Option<Told> {
        let hidden = self.tasks.get(id).and_then(|task| task.stages.last()).is_none_or(|stage| stage.hidden);
        self.tellings(id).last().filter(|_| !hidden).map(|(_, told)| told)
    }

    /// When the cloud says that a task is over.
    pub(crate) fn ended(&self, id: &str) -> Option<Duration> {
        let end = self.tellings(id).find(|(_, told)| told.phase.is_some_and(Phase::is_end));
        end.map(|(since, _)| since)
    }

    /// What the cloud has said of a task, where that is what is told but for the reason.
    pub(crate) fn seen_before(&self, id: &str, told: &Told) -> Option<Told> {
        self.tellings(id)
            .map(|(_, said)| said)
            .find(|said| Told { reason: said.reason.clone(), ..told.clone() } == *said)
    }

    /// Everything that the cloud says of a task, each with the moment from which it says it.
    fn tellings(&self, id: &str) -> impl Iterator<Item = (Duration, Told)> {
        let stages = self.tasks.get(id).map_or(&[][..], |task| &task.stages);
        let mut fields = Map::new();
        stages.iter().filter_map(move |stage| {
            fields.extend(stage.set.clone());
            let since = Duration::from_millis(stage.after_ms.unwrap_or(0));
            (!stage.hidden).then(|| (since, Told::of_task(&fields)))
        })
    }
}

impl Told {
    fn of_task(fields: &Map<String, Value>) -> Self {
        let word = text(fields, "Status");
        let (phase, reason) = match word.as_deref() {
            Some("Pending") => (Phase::Pending, "TaskPending"),
            Some("Running") => (Phase::Running, "TaskRunning"),
            Some("Succeeded") => (Phase::Succeeded, "TaskSucceeded"),
            Some("Failed") => (Phase::Failed, "TaskFailed"),
            Some(_) | None => (Phase::Running, "TaskStatusUnknown"),
        };
        Self {
            reason: reason.to_owned(),
            phase: Some(phase),
            task: text(fields, "Id"),
            word,
            process: fields["Process"].as_i64().map(|percent| percent.clamp(0, 100)),
            rest: ["Type", "ResourceId", "CreatedAt", "EndAt"].map(|name| text(fields, name)),
        }
    }

    /// What an ImageTask says whose task was never seen.
    pub(crate) fn not_found() -> Self {
        Self {
            reason: "TaskNotFound".to_owned(),
            phase: Some(Phase::Pending),
            task: None,
            word: None,
            process: None,
            rest: [const { None }; 4],
        }
    }

    /// What an ImageTask says.
    pub(crate) fn by(object: &ImageTask) -> Self {
        let status = object.status.clone().unwrap_or_default();
        let ready = status.conditions.iter().find(|condition| condition.type_ == "Ready");
        Self {
            reason: ready.map(|condition| condition.reason.clone()).unwrap_or_default(),
            phase: status.phase,
            task: status.task_id,
            word: status.status,
            process: status.process.map(i64::from),
            rest: [status.type_, status.resource_id, status.created_at, status.end_at],
        }
    }
}

/// A word of the cloud; an empty one is as good as none.
fn text(fields: &Map<String, Value>, name: &str) -> Option<String> {
    fields.get(name)?.as_str().filter(|word| !word.is_empty()).map(str::to_owned)
}

/// The access key with which an ImageTask's task is asked for.
pub(crate) fn access_key(spec: &ImageTaskSpec) -> &str {
    spec.credentials_ref.as_ref().map_or(Simulator::ACCESS_KEY, |secret| &secret.name)
}
