//! What must hold for whoever shares an account with attackers.

use std::time::Duration;

use imagetask_operator::api::ImageTask;
use kube::ResourceExt;
use simulator::Call;

use crate::checks::{Evidence, Verdict, holds, shown};
use crate::it::world::record::Life;
use crate::operator::INTERVAL;
use crate::siege::{ACCOUNT, LOUD, is_honest};
use crate::truth::Told;

/// How much longer than promised it may take, where the machine does something else too.
const LOADED: u32 = 3;

/// The reasons that the cloud gives for a task which it shows all the time.
const OWN: [&str; 5] = ["TaskPending", "TaskRunning", "TaskStatusUnknown", "TaskSucceeded", "TaskFailed"];

/// Their Secrets are good and their tasks are shown all the time.
fn honest(run: &Evidence) -> impl Iterator<Item = &Life> {
    run.history.lives().filter(|life| is_honest(&life.last().namespace().unwrap_or_default()))
}

pub(crate) fn nobody_was_told_what_was_not_its_own(run: &Evidence) -> Verdict {
    honest(run).flat_map(|life| &life.versions).try_for_each(|version| {
        let reason = Told::by(&version.object).reason;
        let is_own = reason.is_empty() || OWN.contains(&&*reason);
        holds(is_own, || format!("{} at {:?}", shown(&version.object), version.at))
    })
}

/// Each was answered within two intervals, and the calls that the account needs for all ids and for finding out about
/// each attacker (seven part a namespace from the rest).
pub(crate) fn no_gap_was_too_long(run: &Evidence) -> Verdict {
    let calls = honest(run).count().div_ceil(100) + 7 * LOUD.len();
    let longest = LOADED * (2 * INTERVAL + Duration::from_secs_f64(calls as f64 / run.qps));
    let calls: Vec<_> = run.calls.iter().filter(|call| call.access_key == ACCOUNT).collect();
    let ends = run.starts.iter().skip(1).chain([&run.end]);
    run.starts.iter().zip(ends).try_for_each(|(start, end)| {
        let calls: Vec<_> = calls.iter().copied().filter(|call| (*start..*end).contains(&at(call))).collect();
        honest(run).try_for_each(|life| {
            let moments = moments(run, life, *start, *end, &calls);
            moments.windows(2).try_for_each(|gap| {
                let took = run.awake(gap[0], gap[1]);
                let what =
                    || format!("{}: {took:?} from {:?} to {:?}, not {longest:?}", shown(life.last()), gap[0], gap[1]);
                holds(took <= longest, what)
            })
        })
    })
}

/// When a process is known to know of an ImageTask, when it looked at it, and when it need not look at it any more.
fn moments(run: &Evidence, life: &Life, start: Duration, end: Duration, calls: &[&Call]) -> Vec<Duration> {
    let object = life.last();
    let was_listed = life.versions.first().is_some_and(|version| version.at < start);
    // The road to the API server may be long, for a list, an event or the namespace's Secret.
    let is_known_by = |call: &Call| match was_listed {
        true => {
            honest(run).any(|other| other.last().namespace() == object.namespace() && is_about(run, call, other.last()))
        }
        false => is_about(run, call, object),
    };
    let Some(known) = calls.iter().find(|call| is_known_by(call)) else { return Vec::new() };
    let end = run.truth.ended(&run.truth.followed(&object.spec)).map_or(end, |ended| ended.min(end));
    let looks = calls.iter().filter(|call| is_about(run, call, object) && call.outcome.as_deref() == Some("OK"));
    let moments = [at(known)].into_iter().chain(looks.map(|call| at(call))).filter(|at| *at < end);
    moments.chain([end]).collect()
}

fn is_about(run: &Evidence, call: &Call, object: &ImageTask) -> bool {
    let asks_for_image = object.spec.resource_id.as_ref().is_some_and(|image| call.resource_ids.contains(image));
    asks_for_image || call.task_ids.contains(&run.truth.followed(&object.spec))
}

fn at(call: &Call) -> Duration {
    Duration::from_millis(call.at_ms)
}
