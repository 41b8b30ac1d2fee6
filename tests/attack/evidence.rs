//! What a red run leaves to be looked at.

use std::fmt::Write;
use std::fs;
use std::path::PathBuf;

use crate::checks::Finding;
use crate::truth::Run;

/// Where all red runs leave their folders.
pub(crate) fn root() -> PathBuf {
    let target = PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
    target.parent().unwrap_or(&target).join("attack")
}

/// The folder of a seed.
pub(crate) fn folder(seed: u64) -> PathBuf {
    root().join(seed.to_string())
}

/// Writes everything down that is known of a run.
pub(crate) fn write(run: &Run<'_>, findings: &[Finding]) {
    let folder = folder(run.scenario.seed);
    fs::create_dir_all(&folder).unwrap();
    let keep = |name: &str, lines: String| fs::write(folder.join(name), lines).unwrap();
    keep("findings", findings.iter().map(|it| format!("{it:?}\n")).collect());
    keep("log", run.record.log.iter().map(|(at, what)| format!("{at:?} {what}\n")).collect());
    keep("tenures", run.record.tenures.iter().map(|it| format!("{it:?}\n")).collect());
    keep("reads", run.record.reads.iter().map(|(at, name)| format!("{at:?} {name:?}\n")).collect());
    let mut calls = String::new();
    for call in &run.record.calls {
        let (begun, ids) = (call.begun, call.asked.ids.len());
        writeln!(
            calls,
            "{begun:?} process {} {} {}: {ids} ids, {} pages: {} {:?}",
            call.process,
            call.asked.key,
            call.asked.region,
            call.pages.len(),
            call.said,
            call.asked.ids
        )
        .unwrap();
    }
    keep("calls", calls);
    let name =
        |object: usize| format!("{}/{}", run.scenario.objects[object].namespace, run.scenario.objects[object].name);
    let told = run.record.told.iter();
    keep(
        "told",
        told.map(|it| {
            format!(
                "{:?} process {} {}: {} {} {}\n",
                it.at,
                it.process,
                name(it.object),
                it.phase,
                it.reason,
                it.status
            )
        })
        .collect(),
    );
    keep("objects", run.scenario.objects.iter().map(|it| format!("{it:?} {:?}\n", run.thing(it))).collect());
    keep("troubles", format!("{:#?}\n{:#?}\n", run.scenario.cloud.troubles, run.scenario.outages));
    keep("secrets", format!("{:#?}\n{:#?}\n", run.scenario.secrets, run.scenario.cloud.keys));
}
