//! What must hold after any run. Each statement is a function; it gives the first thing that speaks against it.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt::Debug;
use std::time::Duration;

use imagetask_operator::api::{ImageTask, ImageTaskStatus, Phase, RECONCILE_REQUESTED_AT};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::ResourceExt;
use simulator::Call;

use crate::it::world::record::{History, Life};
use crate::neighbours::{no_gap_was_too_long, nobody_was_told_what_was_not_its_own};
use crate::siege::{ACCOUNT, is_loud};
use crate::truth::{Told, Truth, access_key};

/// All that is known of a run; every moment is counted from the beginning of the scripts.
pub(crate) struct Evidence {
    pub(crate) truth: Truth,
    pub(crate) history: History,
    pub(crate) calls: Vec<Call>,
    /// When each process of the operator was started; it was killed right before the next.
    pub(crate) starts: Vec<Duration>,
    /// When it was stopped, and when it went on.
    pub(crate) stops: Vec<(Duration, Duration)>,
    /// When all was over.
    pub(crate) end: Duration,
    /// Tasks that are not over, and were not asked for again by the last process.
    pub(crate) forgotten: Vec<String>,
    pub(crate) qps: f64,
}

impl Evidence {
    /// How much of a stretch of time the process ran.
    pub(crate) fn awake(&self, from: Duration, to: Duration) -> Duration {
        let stopped = self.stops.iter().map(|(begun, ended)| (*ended).min(to).saturating_sub((*begun).max(from)));
        to.saturating_sub(from).saturating_sub(stopped.sum())
    }
}

/// What holds, or what speaks against it.
pub(crate) type Verdict = Result<(), String>;

/// Checks all statements; each that does not hold, with what speaks against it.
pub(crate) fn check(run: &Evidence) -> Vec<String> {
    macro_rules! statements {
        ($($statement:ident)*) => { [$((stringify!($statement), $statement as fn(&Evidence) -> Verdict)),*] };
    }
    let statements = statements![
        every_version_was_recorded
        no_end_was_ever_wrong
        nobody_was_told_what_was_not_its_own
        no_gap_was_too_long
        no_end_was_ever_taken_back
        nothing_was_ever_made_up
        no_task_was_ever_exchanged_for_another
        nothing_was_called_stuck_within_its_grace
        observed_generation_never_went_back
        conditions_always_kept_their_contract
        transition_times_moved_only_when_a_status_flipped
        no_task_was_asked_once_every_image_task_of_it_showed_its_end
        no_image_was_asked_once_every_image_task_of_it_knew_its_task
        calls_stayed_within_the_budget
        every_image_task_shows_what_the_cloud_says
        nothing_that_is_not_over_was_forgotten
    ];
    let judged = statements.into_iter().map(|(name, statement)| (name.replace('_', " "), statement(run)));
    judged.filter_map(|(name, verdict)| Some(format!("{name}: {}", verdict.err()?))).collect()
}

/// Clocks of the test and the simulator agree to this.
pub(crate) const SLACK: Duration = Duration::from_millis(100);

/// A beat, and a call that is under way.
const LAST_LOOK: Duration = Duration::from_secs(2);

/// What was sent may arrive so much later, all at once, where the machine has no time for the cloud.
const HELD_UP: Duration = Duration::from_secs(3);

/// What a killed process had sent may arrive until then.
const LAST_WRITE: Duration = Duration::from_secs(3);

fn every_version_was_recorded(run: &Evidence) -> Verdict {
    holds(run.history.lists == 1, || format!("the test itself listed {} times", run.history.lists))
}

fn every_image_task_shows_what_the_cloud_says(run: &Evidence) -> Verdict {
    let mut honest = run.history.present().filter(|object| !is_loud(&object.namespace().unwrap_or_default()));
    honest.try_for_each(|object| shows_what_the_cloud_says(&run.truth, object))
}

/// Whether an ImageTask shows what the cloud says in the end, and answers the user's last wish.
pub(crate) fn shows_what_the_cloud_says(truth: &Truth, object: &ImageTask) -> Verdict {
    let id = truth.followed(&object.spec);
    let told = Told::by(object);
    let expected = truth.last(&id).unwrap_or_else(|| match truth.seen_before(&id, &told) {
        Some(seen) => Told { reason: "TaskLost".to_owned(), ..seen },
        None => Told::not_found(),
    });
    same(object, &told, &expected)?;
    let status = status(object);
    same(object, &status.observed_generation, &object.metadata.generation)?;
    let asked = object.metadata.annotations.as_ref().and_then(|all| all.get(RECONCILE_REQUESTED_AT));
    same(object, &status.last_handled_reconcile_at.as_ref(), &asked)
}

fn nothing_that_is_not_over_was_forgotten(run: &Evidence) -> Verdict {
    holds(run.forgotten.is_empty(), || format!("{:?}", run.forgotten))
}

fn no_end_was_ever_wrong(run: &Evidence) -> Verdict {
    each_version(run, |object, at| {
        let ended = phase(object).filter(|phase| phase.is_end());
        let id = run.truth.followed(&object.spec);
        let is_true = ended.is_none_or(|end| run.truth.said(&id, Some(end.as_str()), at + SLACK));
        holds(is_true, || format!("{} at {at:?}, but the cloud had not said so of {id}", shown(object)))
    })
}

fn no_end_was_ever_taken_back(run: &Evidence) -> Verdict {
    let timeless = |object: &ImageTask| {
        let mut status = status(object);
        status.observed_generation = None;
        status.last_handled_reconcile_at = None;
        status.conditions.iter_mut().for_each(|condition| condition.observed_generation = None);
        status
    };
    each_step(run, |before, after| {
        let kept = !has_ended(before) || timeless(before) == timeless(after);
        holds(kept, || format!("{} became {}", shown(before), shown(after)))
    })
}

fn nothing_was_ever_made_up(run: &Evidence) -> Verdict {
    each_version(run, |object, at| {
        let told = Told::by(object);
        let id = run.truth.followed(&object.spec);
        let is_true = told.task.is_none() || run.truth.said(&id, told.word.as_deref(), at + SLACK);
        holds(is_true, || format!("{} at {at:?}, but the cloud had not said so of {id}", shown(object)))
    })
}

fn no_task_was_ever_exchanged_for_another(run: &Evidence) -> Verdict {
    each_version(run, |object, _| {
        let id = run.truth.followed(&object.spec);
        let kept = status(object).task_id.is_none_or(|told| told == id);
        holds(kept, || format!("{}, but it follows {id}", shown(object)))
    })
}

fn nothing_was_called_stuck_within_its_grace(run: &Evidence) -> Verdict {
    each_version(run, |object, at| {
        holds(phase(object) != Some(Phase::Error), || format!("{} at {at:?}", shown(object)))
    })
}

fn observed_generation_never_went_back(run: &Evidence) -> Verdict {
    each_version(run, |object, _| {
        let seen = status(object).observed_generation;
        holds(seen <= object.metadata.generation, || format!("{} is ahead of its spec", shown(object)))
    })?;
    each_step(run, |before, after| {
        let forward = status(before).observed_generation <= status(after).observed_generation;
        holds(forward, || format!("{} became {}", shown(before), shown(after)))
    })
}

fn conditions_always_kept_their_contract(run: &Evidence) -> Verdict {
    each_version(run, |object, _| {
        let status = status(object);
        let is = |type_: &str| condition(&status, type_).map(|it| it.status.as_str());
        if status.observed_generation == Some(-1) {
            return holds(status == unseen(&status), || format!("{} before it was seen", shown(object)));
        }
        let types: BTreeSet<_> = status.conditions.iter().map(|it| &it.type_).collect();
        let ended = has_ended(object);
        let kept = types.len() == status.conditions.len()
            && status.conditions.iter().all(|it| it.observed_generation == status.observed_generation)
            && status.conditions.iter().all(|it| !it.reason.is_empty() && !it.message.is_empty())
            && is("Finished") == Some(if ended { "True" } else { "False" })
            && (is("Ready") == Some("True")) == (status.phase == Some(Phase::Succeeded))
            && is("Reconciling").is_none_or(|it| it == "True" && !ended)
            && is("Stalled").is_none_or(|it| it == "True")
            && is("Stalled").is_some() == (status.phase == Some(Phase::Failed))
            && ended == status.completion_time.is_some();
        holds(kept, || format!("{status:#?}"))
    })
}

/// The status of what nothing is known of; a look that failed answers the user's wish for one all the same.
fn unseen(status: &ImageTaskStatus) -> ImageTaskStatus {
    let last_handled_reconcile_at = status.last_handled_reconcile_at.clone();
    ImageTaskStatus { observed_generation: Some(-1), last_handled_reconcile_at, ..ImageTaskStatus::default() }
}

fn transition_times_moved_only_when_a_status_flipped(run: &Evidence) -> Verdict {
    each_step(run, |before, after| {
        // A suspension that was over before it could be written has flipped Ready unseen.
        if status(after).observed_generation >= status(before).observed_generation.map(|seen| seen + 2) {
            return Ok(());
        }
        let (before_status, after_status) = (status(before), status(after));
        before_status.conditions.iter().try_for_each(|old| {
            let kept = condition(&after_status, &old.type_)
                .is_none_or(|new| new.status != old.status || new.last_transition_time == old.last_transition_time);
            holds(kept, || format!("{} of {} became {}", old.type_, shown(before), shown(after)))
        })
    })
}

fn no_task_was_asked_once_every_image_task_of_it_showed_its_end(run: &Evidence) -> Verdict {
    let needless = |life: &Life| {
        let object = life.last();
        let asked = (access_key(&object.spec).to_owned(), run.truth.followed(&object.spec));
        Some((asked, life.first(has_ended)))
    };
    not_asked_after(run, needless, |call| &call.task_ids)
}

fn no_image_was_asked_once_every_image_task_of_it_knew_its_task(run: &Evidence) -> Verdict {
    let needless = |life: &Life| {
        let object = life.last();
        let asked = (access_key(&object.spec).to_owned(), object.spec.resource_id.clone()?);
        Some((asked, life.first(|object| status(object).task_id.is_some())))
    };
    not_asked_after(run, needless, |call| &call.resource_ids)
}

/// That nothing was asked for once all its ImageTasks had shown what makes it needless.
fn not_asked_after(
    run: &Evidence,
    needless: impl Fn(&Life) -> Option<((String, String), Option<Duration>)>,
    ids: impl Fn(&Call) -> &Vec<String>,
) -> Verdict {
    let mut needless_since: HashMap<(String, String), Option<Duration>> = HashMap::new();
    for (asked, since) in run.history.lives().filter_map(needless) {
        let all = needless_since.entry(asked).or_insert(since);
        *all = (*all).zip(since).map(|(one, other)| one.max(other));
    }
    run.calls.iter().try_for_each(|call| {
        let at = Duration::from_millis(call.at_ms);
        let started = run.starts.iter().rev().find(|start| **start <= at).copied().unwrap_or_default();
        ids(call).iter().try_for_each(|id| {
            let since = needless_since.get(&(call.access_key.clone(), id.clone())).copied().flatten();
            let is_late = since.is_some_and(|since| {
                let wrote_it = started + LAST_WRITE < since;
                let listed_it = since < started;
                at > since && (listed_it || wrote_it && run.awake(since, at) > LAST_LOOK)
            });
            holds(!is_late, || format!("{id} at {at:?}, needless since {since:?}; the process started at {started:?}"))
        })
    })
}

/// Any stretch of time holds no more calls than the rate allows, two more at its start (a burst), and as many again for
/// each process started in it; some may have been held up on their way. Further pages, and a call
/// that is signed again for the cloud's own clock, belong to the call before. A key with a wrong secret is another lane.
fn calls_stayed_within_the_budget(run: &Evidence) -> Verdict {
    let mut lanes: BTreeMap<(&str, &str, bool), Vec<Duration>> = BTreeMap::new();
    let counted = |call: &&Call| !call.next_token && call.outcome.as_deref() != Some("InvalidTimestamp");
    for call in run.calls.iter().filter(counted) {
        let is_wrong = call.access_key == ACCOUNT && call.outcome.as_deref() == Some("SignatureDoesNotMatch");
        lanes.entry((&call.access_key, &call.region, is_wrong)).or_default().push(Duration::from_millis(call.at_ms));
    }
    lanes.iter().try_for_each(|(lane, calls)| {
        (0..calls.len()).try_for_each(|first| {
            (first..calls.len()).try_for_each(|last| {
                let (from, to) = (calls[first], calls[last]);
                let fresh = run.starts.iter().filter(|&&start| from <= start && start <= to).count();
                let most = run.qps * (to - from + HELD_UP).as_secs_f64() + 2.0 * (fresh + 1) as f64;
                let number = last - first + 1;
                holds(number as f64 <= most, || format!("{number} calls of {lane:?} between {from:?} and {to:?}"))
            })
        })
    })
}

fn each_version(run: &Evidence, check: impl Fn(&ImageTask, Duration) -> Verdict) -> Verdict {
    run.history.lives().flat_map(|life| &life.versions).try_for_each(|version| check(&version.object, version.at))
}

fn each_step(run: &Evidence, check: impl Fn(&ImageTask, &ImageTask) -> Verdict) -> Verdict {
    run.history.lives().flat_map(Life::steps).try_for_each(|(before, after)| check(before, after))
}

pub(crate) fn holds(holds: bool, evidence: impl FnOnce() -> String) -> Verdict {
    if holds { Ok(()) } else { Err(evidence()) }
}

fn same<T: PartialEq + Debug>(object: &ImageTask, told: &T, expected: &T) -> Verdict {
    holds(told == expected, || format!("{} tells\n  {told:?}, expected\n  {expected:?}", name(object)))
}

fn status(object: &ImageTask) -> ImageTaskStatus {
    object.status.clone().unwrap_or_default()
}

fn condition<'a>(status: &'a ImageTaskStatus, type_: &str) -> Option<&'a Condition> {
    status.conditions.iter().find(|condition| condition.type_ == type_)
}

fn phase(object: &ImageTask) -> Option<Phase> {
    status(object).phase
}

/// Whether an ImageTask says that its task is over.
pub(crate) fn has_ended(object: &ImageTask) -> bool {
    phase(object).is_some_and(Phase::is_end)
}

fn name(object: &ImageTask) -> &str {
    object.metadata.name.as_deref().unwrap_or_default()
}

/// An ImageTask in one line.
pub(crate) fn shown(object: &ImageTask) -> String {
    let version = object.metadata.resource_version.as_deref().unwrap_or_default();
    let completed = status(object).completion_time;
    let generation = status(object).observed_generation;
    format!(
        "{} (version {version}, generation {generation:?}, completed {completed:?}) {:?}",
        name(object),
        Told::by(object)
    )
}
