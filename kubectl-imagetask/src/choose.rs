//! Finds the ImageTasks that a command is about.

use std::collections::BTreeSet;

use anyhow::bail;
use imagetask_operator::api::ImageTaskView;
use kube::api::ListParams;

use crate::cli::Chosen;
use crate::cluster::Cluster;

/// Objects a page, about 1 MB of JSON.
const PAGE: u32 = 500;

/// The ImageTasks that are there; at least one, and every one that is named.
///
/// # Errors
///
/// When one is missing or the cluster does not tell.
pub async fn find(cluster: &Cluster, chosen: &Chosen) -> anyhow::Result<Vec<ImageTaskView>> {
    let names: BTreeSet<&str> = chosen.names.iter().map(|name| name.as_str()).collect();
    let mut found = list(cluster, &names, chosen.selector.as_deref()).await?;
    if !names.is_empty() {
        found.retain(|object| names.contains(name(object)));
    }
    let there: BTreeSet<&str> = found.iter().map(name).collect();
    let missing: Vec<&str> = names.difference(&there).copied().collect();
    let namespace = &cluster.namespace;
    if !missing.is_empty() {
        let missing = missing.join(", ");
        bail!("no ImageTask {missing} in namespace {namespace}: `kubectl get imagetasks -n {namespace}` lists them");
    }
    if found.is_empty() {
        let which = chosen.selector.as_ref().map(|labels| format!(" matches {labels}")).unwrap_or_default();
        bail!("no ImageTask{which} in namespace {namespace}: name one, or choose another namespace with -n");
    }
    Ok(found)
}

/// The name of an object.
pub fn name(object: &ImageTaskView) -> &str {
    object.metadata.name.as_deref().unwrap_or_default()
}

/// The field selector of a single name, which people may be allowed to read that may not list.
pub fn field<'a>(names: impl IntoIterator<Item = &'a str>) -> Option<String> {
    let mut names = names.into_iter();
    let only = names.next().filter(|_| names.next().is_none());
    only.map(|name| format!("metadata.name={name}"))
}

async fn list(cluster: &Cluster, names: &BTreeSet<&str>, selector: Option<&str>) -> anyhow::Result<Vec<ImageTaskView>> {
    let params = ListParams {
        label_selector: selector.map(str::to_owned),
        field_selector: field(names.iter().copied()),
        ..ListParams::default()
    };
    let mut params = params.limit(PAGE);
    let mut found = Vec::new();
    loop {
        let page = cluster.ask(cluster.tasks().list(&params)).await?;
        found.extend(page.items);
        match page.metadata.continue_.filter(|token| !token.is_empty()) {
            Some(token) => params.continue_token = Some(token),
            None => return Ok(found),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_single_name_is_a_field_selector() {
        assert_eq!(field(["t-1"]).as_deref(), Some("metadata.name=t-1"));
        assert_eq!((field([]), field(["t-1", "t-2"])), (None, None));
    }
}
