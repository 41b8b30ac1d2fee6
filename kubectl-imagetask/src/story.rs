//! What happened to an ImageTask when, and what to do next: told by its conditions, its Events, and the reason.

use std::collections::BTreeMap;

use imagetask_operator::api::{ImageTaskView, StatusView};
use imagetask_operator::spec::{InvalidSpec, Spec, Target};
use imagetask_operator::usage::one_line;
use k8s_openapi::api::core::v1::Event;
use k8s_openapi::jiff::Timestamp;
use serde::Serialize;

use crate::advice::advice;
use crate::message::Parts;
use crate::span::span;
use crate::told::{Standing, Told, conditions, word};

/// The story of one ImageTask.
#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Story {
    namespace: String,
    name: String,
    follows: String,
    standing: &'static str,
    phase: Option<String>,
    process: Option<u8>,
    reason: Option<String>,
    what: String,
    code: Option<String>,
    request_id: Option<String>,
    next: Option<String>,
    history: Vec<Step>,
}

/// Something that happened.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
struct Step {
    at: Timestamp,
    what: String,
}

impl Story {
    /// Puts the story of an ImageTask together.
    pub fn of(object: &ImageTaskView, events: &[Event]) -> Self {
        let told = Told::of(object);
        let cause = told.cause.as_ref();
        let parts = cause.map(|cause| Parts::of(&cause.message));
        let owned = |word: Option<&str>| word.map(str::to_owned);
        Self {
            namespace: object.metadata.namespace.clone().unwrap_or_default(),
            name: object.metadata.name.clone().unwrap_or_default(),
            follows: follows(object),
            standing: told.standing.word(),
            phase: told.phase.clone(),
            process: told.percent,
            reason: cause.map(|cause| cause.reason.clone()),
            what: what(&told, parts.map(|parts| parts.text)),
            code: owned(parts.and_then(|parts| parts.code)),
            request_id: owned(parts.and_then(|parts| parts.request_id)),
            next: next(&told),
            history: history(object, &told, events),
        }
    }

    /// The story as text.
    pub fn text(&self, now: Timestamp) -> String {
        let Self { namespace, name, follows, what, .. } = self;
        let phase = self.phase.as_deref().unwrap_or(self.standing);
        let percent = self.process.map(|percent| format!(" at {percent}%")).unwrap_or_default();
        let reason = self.reason.as_ref().map(|reason| format!(" ({reason})")).unwrap_or_default();
        let mut lines = vec![format!("{name} in namespace {namespace} follows {follows}."), String::new()];
        lines.push(format!("Now:      {phase}{percent}{reason}: {what}"));
        lines.extend(self.code.as_ref().map(|code| format!("Code:     {code}, the cloud's error code")));
        let request = self.request_id.as_ref();
        lines.extend(request.map(|id| format!("Request:  {id}, to be named to the cloud's support")));
        lines.extend(self.next.as_ref().map(|next| format!("Next:     {next}")));
        lines.extend([String::new(), "What happened:".to_owned()]);
        let history = self.history.iter().map(|Step { at, what }| {
            let ago = span(now.duration_since(*at).try_into().unwrap_or_default());
            format!("  {at}  {ago:>7} ago  {what}")
        });
        lines.extend(history);
        lines.join("\n")
    }
}

fn follows(object: &ImageTaskView) -> String {
    let nothing = StatusView::default();
    let status = object.status.valid().unwrap_or(&nothing);
    let region = word(&status.region);
    let place = region.map(|region| format!(" in {region}")).unwrap_or_default();
    match Spec::parse(&object.spec).map(|spec| spec.target) {
        Ok(Target::Task(id)) => {
            let is = word(&status.type_).zip(word(&status.resource_id));
            let is = is.map(|(type_, image)| format!(" ({type_} of {image})")).unwrap_or_default();
            format!("task {id}{is}{place}")
        }
        Ok(Target::Newest(newest)) => {
            let found = word(&status.task_id).map_or(", not found yet".into(), |id| format!(", which is {id}"));
            format!("the newest {} of {}{place}{found}", newest.type_, newest.resource)
        }
        Err(InvalidSpec::BrokenRule(_)) => "nothing".to_owned(),
        Err(InvalidSpec::UnknownField(field)) => format!("something by {field}, which this version does not know"),
    }
}

/// In words where it stands; a status that speaks of an older generation tells nothing of now.
fn what(told: &Told, message: Option<&str>) -> String {
    match (told.standing, message) {
        (Standing::Unseen, None) => "the operator has not looked at it yet".to_owned(),
        (Standing::Unseen, Some(_)) => "its spec was changed, and the operator has not looked at it since".to_owned(),
        (_, Some(message)) => message.to_owned(),
        (_, None) => "the operator gave no reason".to_owned(),
    }
}

fn next(told: &Told) -> Option<String> {
    match told.standing {
        Standing::Unseen => Some(UNSEEN.to_owned()),
        Standing::UnderWay | Standing::Suspended | Standing::Succeeded | Standing::Failed | Standing::Stuck => {
            told.cause.as_ref().and_then(|cause| advice(&cause.reason))
        }
    }
}

const UNSEEN: &str = "Wait some seconds. If nothing changes, see whether the operator runs and watches this namespace.";

/// Everything that has a time, in its order.
fn history(object: &ImageTaskView, told: &Told, events: &[Event]) -> Vec<Step> {
    let own = [(told.created, "the ImageTask was created"), (told.completed, "the operator saw the end")];
    let own = own.into_iter().filter_map(|(at, what)| Some(Step { at: at?, what: what.to_owned() }));
    let mut steps: Vec<Step> = own.chain(transitions(object)).chain(events.iter().filter_map(event)).collect();
    steps.sort_by_key(|step| step.at);
    steps
}

/// Conditions that turned in the same second turned together.
fn transitions(object: &ImageTaskView) -> impl Iterator<Item = Step> {
    let mut turned: BTreeMap<Timestamp, Vec<String>> = BTreeMap::new();
    for condition in object.status.valid().map(conditions).unwrap_or_default() {
        if let Some(since) = condition.since {
            turned.entry(since).or_default().push(format!("{} became {}", condition.type_, condition.status));
        }
    }
    turned.into_iter().map(|(at, words)| Step { at, what: words.join(", ") })
}

fn event(event: &Event) -> Option<Step> {
    let times = [event.last_timestamp.as_ref(), event.first_timestamp.as_ref()];
    let at = times.into_iter().flatten().next().map(|time| time.0)?;
    let word = |word: &Option<String>| one_line(word.as_deref().unwrap_or_default());
    let (type_, reason, message) = (word(&event.type_), word(&event.reason), word(&event.message));
    Some(Step { at, what: format!("Event {type_} {reason}: {message}") })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples::{object, written};
    use imagetask_operator::api::conditions::Course;
    use imagetask_operator::reason::Reason;
    use serde_json::json;

    fn failed() -> ImageTaskView {
        let condition = |type_: &str, status: &str, since: &str| {
            json!({
                "type": type_, "status": status, "reason": "AccessDenied", "observedGeneration": 1,
                "message": "no permission (AccessDenied) [request 2022]", "lastTransitionTime": since,
            })
        };
        let mut object = object(
            "t-1",
            1,
            &json!({
                "observedGeneration": 1, "phase": "Error", "process": 40, "region": "cn-beijing",
                "type": "ExportImage", "resourceId": "image-1",
                "conditions": [
                    condition("Ready", "False", "2026-01-05T01:00:01Z"),
                    condition("Stalled", "True", "2026-01-05T01:05:01Z"),
                    condition("Finished", "False", "2026-01-05T01:00:01Z"),
                ],
            }),
        );
        object.metadata.namespace = Some("team".into());
        object
    }

    fn events() -> Vec<Event> {
        let event = json!({
            "metadata": {}, "involvedObject": {}, "type": "Warning", "reason": "AccessDenied",
            "message": "no\npermission", "lastTimestamp": "2026-01-05T01:04:00Z",
        });
        vec![serde_json::from_value(event).unwrap()]
    }

    #[test]
    fn a_story_tells_where_it_stands_what_to_do_and_what_happened_in_order() {
        let story = Story::of(&failed(), &events()).text("2026-01-05T01:10:00Z".parse().unwrap());
        let expected = format!(
            "\
t-1 in namespace team follows task t-1 (ExportImage of image-1) in cn-beijing.

Now:      Error at 40% (AccessDenied): no permission
Code:     AccessDenied, the cloud's error code
Request:  2022, to be named to the cloud's support
Next:     {}

What happened:
  2026-01-05T01:00:00Z   10m00s ago  the ImageTask was created
  2026-01-05T01:00:01Z    9m59s ago  Ready became False, Finished became False
  2026-01-05T01:04:00Z    6m00s ago  Event Warning AccessDenied: no permission
  2026-01-05T01:05:01Z    4m59s ago  Stalled became True",
            advice("AccessDenied").unwrap()
        );
        assert_eq!(story, expected);
    }

    #[test]
    fn one_that_was_never_seen_has_a_next_step_too() {
        let story = Story::of(&object("t-1", 1, &json!({"observedGeneration": -1})), &[]);
        assert_eq!(
            (story.what.as_str(), story.follows.as_str()),
            ("the operator has not looked at it yet", "task t-1")
        );
        assert!(story.next.is_some());
        let mut changed = failed();
        changed.metadata.generation = Some(2);
        let story = Story::of(&changed, &[]);
        assert_eq!(story.what, "its spec was changed, and the operator has not looked at it since");
    }

    #[test]
    fn a_reason_of_a_later_operator_is_told_without_a_next_step() {
        let mut status = written(Course::Stuck, Reason::TaskLost, None);
        status["conditions"][0]["reason"] = json!("OfALaterVersion");
        let story = Story::of(&object("t-1", 1, &status), &[]);
        assert_eq!((story.reason.as_deref(), story.next.as_deref()), (Some("OfALaterVersion"), None));
        assert_eq!(story.what, "what happened");
    }
}
