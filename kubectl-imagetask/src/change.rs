//! `suspend`, `resume` and `refresh`: small changes of ImageTasks that are there.

use std::pin::pin;

use futures::StreamExt;
use imagetask_operator::api::{ImageTaskView, RECONCILE_REQUESTED_AT};
use imagetask_operator::spec::Spec;
use kube::api::{Patch, PatchParams};
use kube::core::DynamicObject;
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::watch_object;
use serde_json::{Value, json};
use tokio::time::timeout;

use crate::choose;
use crate::cli::{Chosen, Output, Refresh};
use crate::cluster::Cluster;
use crate::exit::Exit;
use crate::printed;
use crate::span::span;

/// Sets `spec.suspend`, or takes it away.
pub async fn suspend(cluster: &Cluster, chosen: &Chosen, suspend: bool, output: Output) -> anyhow::Result<Exit> {
    // Taken away, not false: the object is again what it was before.
    let (value, word) = if suspend { (json!(true), "suspended") } else { (Value::Null, "resumed") };
    let names = names(cluster, chosen).await?;
    let changed = change(cluster, &names, &json!({"spec": {"suspend": value}})).await?;
    tell(&changed, word, output).map(|()| Exit::Success)
}

/// Asks for a look at once, by the annotation, of which `value` is new.
pub async fn refresh(cluster: &Cluster, flags: &Refresh, value: &str, output: Output) -> anyhow::Result<Exit> {
    let names = names(cluster, &flags.chosen).await?;
    let request = json!({"metadata": {"annotations": {RECONCILE_REQUESTED_AT: value}}});
    let changed = change(cluster, &names, &request).await?;
    if !flags.wait {
        return tell(&changed, "will be looked at", output).map(|()| Exit::Success);
    }
    match timeout(flags.timeout, all_answered(cluster, &names)).await {
        Ok(Ok(())) => tell(&changed, "was looked at", output).map(|()| Exit::Success),
        Ok(Err(problem)) => {
            printed::complaint(&problem);
            Ok(Exit::Failed)
        }
        Err(_) => {
            let waited = span(flags.timeout);
            printed::complaint(&format!("not looked at within {waited}: `kubectl imagetask why NAME` may tell why"));
            Ok(Exit::Timeout)
        }
    }
}

async fn names(cluster: &Cluster, chosen: &Chosen) -> anyhow::Result<Vec<String>> {
    let objects = choose::find(cluster, chosen).await?;
    Ok(objects.iter().map(|object| choose::name(object).to_owned()).collect())
}

async fn change(cluster: &Cluster, names: &[String], change: &Value) -> anyhow::Result<Vec<DynamicObject>> {
    let tasks = cluster.whole_tasks();
    let mut changed = Vec::new();
    for name in names {
        let patch = Patch::Merge(change);
        changed.push(cluster.ask(tasks.patch(name, &PatchParams::default(), &patch)).await?);
    }
    Ok(changed)
}

fn tell(changed: &[DynamicObject], word: &str, output: Output) -> anyhow::Result<()> {
    match (output, changed) {
        (Output::Text, _) => {
            let mut names = changed.iter().filter_map(|object| object.metadata.name.as_deref());
            names.try_for_each(|name| printed::line(&format!("{name} {word}")))
        }
        (Output::Json, [object]) => printed::json(object),
        (Output::Json, _) => printed::json(&json!({"apiVersion": "v1", "kind": "List", "items": changed})),
    }
}

async fn all_answered(cluster: &Cluster, names: &[String]) -> Result<(), String> {
    for name in names {
        let mut states = pin!(watch_object(cluster.tasks(), name).default_backoff());
        let mut answer = Answer::Open;
        while answer == Answer::Open {
            answer = match states.next().await.expect("kube's watcher goes on for ever") {
                Ok(Some(object)) => self::answer(&object),
                Ok(None) => return Err(format!("{name} was deleted before it was looked at")),
                Err(_) => Answer::Open,
            };
        }
        if answer == Answer::Suspended {
            return Err(format!("{name} is suspended: `kubectl imagetask resume {name}` has it looked at"));
        }
    }
    Ok(())
}

/// What has become of the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answer {
    /// No look yet.
    Open,
    /// The operator has looked, and repeats the annotation.
    Given,
    /// There will be none until it is resumed.
    Suspended,
}

/// A request that came later, of somebody else, takes the place of ours; its answer is as good.
fn answer(object: &ImageTaskView) -> Answer {
    let annotations = object.metadata.annotations.as_ref();
    let requested = annotations.and_then(|it| it.get(RECONCILE_REQUESTED_AT)).map(String::as_str);
    let handled = object.status.valid().and_then(|status| status.last_handled_reconcile_at.valid());
    let suspended = Spec::parse(&object.spec).is_ok_and(|spec| spec.suspend);
    match handled.is_some_and(|handled| requested == Some(handled)) {
        true => Answer::Given,
        false if suspended => Answer::Suspended,
        false => Answer::Open,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(requested: &str, handled: Option<&str>, suspend: bool) -> ImageTaskView {
        let object = json!({
            "metadata": {"name": "t-1", "annotations": {RECONCILE_REQUESTED_AT: requested}},
            "spec": {"taskId": "t-1", "suspend": suspend},
            "status": {"lastHandledReconcileAt": handled},
        });
        serde_json::from_value(object).unwrap()
    }

    #[test]
    fn a_request_is_answered_when_it_is_repeated() {
        let table = [
            (object("2", None, false), Answer::Open),
            (object("2", Some("1"), false), Answer::Open),
            (object("2", Some("2"), false), Answer::Given),
            (object("2", Some("1"), true), Answer::Suspended),
            (object("2", Some("2"), true), Answer::Given),
        ];
        for (object, expected) in table {
            assert_eq!(answer(&object), expected, "{object:?}");
        }
    }
}
