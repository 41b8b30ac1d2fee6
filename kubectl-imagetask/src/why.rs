//! `why`: reads an ImageTask and its Events, and tells its story.

use imagetask_operator::apiserver::{CallError, bounded};
use imagetask_operator::clock::Clock;
use kube::api::ListParams;

use crate::choose;
use crate::cli::{Chosen, Output};
use crate::cluster::Cluster;
use crate::exit::Exit;
use crate::name::Name;
use crate::printed;
use crate::story::Story;

/// Tells the story of one ImageTask.
pub async fn why(cluster: &Cluster, name: Name, output: Output, clock: Clock) -> anyhow::Result<Exit> {
    let chosen = Chosen { names: vec![name], selector: None, all: false };
    for object in choose::find(cluster, &chosen).await? {
        let uid = object.metadata.uid.as_deref().unwrap_or_default();
        let about = ListParams::default().fields(&format!("involvedObject.uid={uid}"));
        let events = match bounded(cluster.events().list(&about)).await {
            Ok(list) => list.items,
            // Events are a convenience; the conditions tell the same.
            Err(
                error @ (CallError::NotFound | CallError::Conflict | CallError::Forbidden(_) | CallError::Failed(_)),
            ) => {
                printed::complaint(&format!("its Events are left out: {error}"));
                Vec::new()
            }
        };
        let story = Story::of(&object, &events);
        match output {
            Output::Text => printed::line(&story.text(clock.now().wall.shown()))?,
            Output::Json => printed::json(&story)?,
        }
    }
    Ok(Exit::Success)
}
