//! What must hold after any run. Each statement is a function; it gives how often it had something to check, or the first
//! thing that speaks against it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::clocks::{millis, secs};
use crate::cloud::{Ill, Stage, Trouble};
use crate::record::Told;
use crate::scenario::{FUTURE, Name, Object, Secret};
use crate::truth::{Run, SLACK};

/// How often something was checked and held, or what speaks against it.
type Verdict = Result<usize, String>;

/// What became of a statement in a run.
#[derive(Debug)]
pub(crate) struct Finding {
    pub(crate) statement: &'static str,
    pub(crate) checked: usize,
    pub(crate) against: Option<String>,
}

type Statement = (&'static str, fn(&Run<'_>) -> Verdict);

macro_rules! statements {
    ($($statement:ident)*) => { &[$((stringify!($statement), $statement)),*] };
}

pub(crate) const STATEMENTS: &[Statement] = statements![
    no_gap_was_too_long
    nobody_was_told_what_was_not_its_own
    nobody_honest_was_stalled
    no_end_was_made_up
    no_end_was_missed_or_taken_back
    no_timeout_fell_late
    calls_stayed_within_the_accounts_rate
    a_permission_that_came_back_healed_within_a_minute
    a_corrected_secret_was_used_in_time
    refused_ids_got_at_most_one_call_in_four_while_others_were_due
    every_image_task_shows_the_truth_in_the_end
    what_is_refused_or_breaks_answers_is_told_so
    nobody_wrote_after_its_term
    what_has_a_field_of_the_future_was_not_asked_for
];

/// Checks all statements.
pub(crate) fn check(run: &Run<'_>) -> Vec<Finding> {
    let find = |(statement, holds): &Statement| match holds(run) {
        Ok(checked) => Finding { statement, checked, against: None },
        Err(against) => Finding { statement, checked: 1, against: Some(against) },
    };
    STATEMENTS.iter().map(find).collect()
}

/// Whatever comes between the decision and the stored status: a write that is on its way or waits for its turn.
const WRITE: Duration = secs(5);

/// What brought a reason may be so old when the reason is stored: a call that is given up after 10 s, and its write.
const OLD_NEWS: Duration = secs(20);

/// A reading of a Secret takes so long at most.
const READING: Duration = millis(60);

/// Every honest ImageTask is looked at again and again, from its arrival until it is known to be over.
fn no_gap_was_too_long(run: &Run<'_>) -> Verdict {
    let mut worst: Option<(Duration, String)> = None;
    let mut checked = 0;
    for (place, object) in run.honest() {
        let looks: Vec<_> = run.looks(object).iter().map(|call| call.begun).collect();
        for (from, to) in run.eligible(place) {
            let within = looks.iter().copied().filter(|at| (from..to).contains(at));
            let moments: Vec<_> = [from].into_iter().chain(within).chain([to]).collect();
            for pair in moments.windows(2) {
                checked += 1;
                let (gap, most) = (pair[1] - pair[0], run.longest_gap(object, (pair[0], pair[1])));
                if gap > most && worst.as_ref().is_none_or(|(before, _)| gap - most > *before) {
                    let what = format!(
                        "{} was not looked at from {:?} to {:?}, {gap:?}; at most {most:?}",
                        run.name(place),
                        pair[0],
                        pair[1]
                    );
                    worst = Some((gap - most, what));
                }
            }
        }
    }
    worst.map_or(Ok(checked), |(_, what)| Err(what))
}

/// A reason is only ever told to whom it is true of, or was until just before.
fn nobody_was_told_what_was_not_its_own(run: &Run<'_>) -> Verdict {
    each_told(run, |place, object, before, told| {
        let news = before.is_none_or(|before| before.reason != told.reason);
        let is_true = !news || is_its_own(run, place, object, told);
        holds(is_true, || shown(run, told))
    })
}

fn is_its_own(run: &Run<'_>, place: usize, object: &Object, told: &Told) -> bool {
    let since = news_since(run, told);
    let ail = |kind: fn(Ill) -> bool| {
        let mut all = run.scenario.cloud.troubles.iter();
        let known = |it: &Trouble| run.first_word(it, object).unwrap_or(Duration::MAX);
        all.any(|it| it.account == object.account && it.from <= told.at && known(it) >= since && kind(it.ill))
    };
    let said = |word: &str| run.task(object).said(word, told.at);
    match told.reason.as_str() {
        "TaskPending" => said("Pending"),
        "TaskRunning" => said("Running"),
        "TaskSucceeded" => said("Succeeded"),
        "TaskFailed" => said("Failed"),
        "Throttled" => ail(|ill| matches!(ill, Ill::Throttled(_))),
        "CloudUnavailable" => ail(|ill| matches!(ill, Ill::Hangs | Ill::Unreachable | Ill::Page(_))),
        "AccessDenied" => ail(|ill| ill == Ill::Denied),
        "CredentialsNotFound" => held(run, object, since, told.at, |it| *it == Secret::Missing),
        "CredentialsForbidden" => run.scenario.outages.iter().any(|(from, to)| *from <= told.at && *to >= since),
        "CredentialsInvalid" => {
            held(run, object, since, told.at, |it| *it == Secret::Malformed) || has_refused(run, object, told.at)
        }
        "Suspended" => run.record.suspended.contains_key(&place),
        // Whether it fell at its time is another statement.
        "DeadlineExceeded" => object.timeout.is_some(),
        _ => false,
    }
}

/// How old the news may be that a status tells: time in which its process did not run, or nothing could be stored, does
/// not count. Nor does time in which its machine was paused from outside: no clock of it can tell, and what was decided
/// before is written after it.
fn news_since(run: &Run<'_>, told: &Told) -> Duration {
    let mut since = told.at.saturating_sub(OLD_NEWS + run.pause_before(told.at));
    let tenures: Vec<_> = run.record.tenures.iter().filter(|it| it.process == told.process).collect();
    let rests = tenures.windows(2).map(|pair| (pair[0].to, pair[1].from));
    let mut gaps: Vec<_> = rests.chain(run.scenario.outages.iter().copied()).collect();
    gaps.sort_unstable();
    for (from, to) in gaps.into_iter().rev() {
        if from <= told.at && to >= since {
            since = since.min(from.saturating_sub(OLD_NEWS));
        }
    }
    since
}

/// Whether its Secret held something of a kind within a time, or when it was read last before that.
fn held(run: &Run<'_>, object: &Object, since: Duration, until: Duration, kind: impl Fn(&Secret) -> bool) -> bool {
    let is_its = |(namespace, name): &Name| *namespace == object.namespace && Some(name) == object.secret.as_ref();
    let mut reads = run.record.reads.iter().rev().filter(|(at, name)| *at + READING <= until && is_its(name));
    let since = reads.next().map_or(since, |(at, _)| since.min(*at));
    run.contents(object).any(|(from, to, secret)| from <= until && to >= since && kind(secret))
}

/// Whether the cloud has refused a key by then that its Secret held.
fn has_refused(run: &Run<'_>, object: &Object, by: Duration) -> bool {
    run.contents(object).any(|(from, _, secret)| match secret {
        Secret::Key(key) => from <= by && run.scenario.cloud.keys[key].2 <= by,
        Secret::Malformed | Secret::Missing | Secret::Unreadable => false,
    })
}

/// An honest ImageTask is Stalled only by its own end, or by trouble of its own account that has lasted for the grace.
fn nobody_honest_was_stalled(run: &Run<'_>) -> Verdict {
    each_told(run, |place, object, _, told| {
        let stuck_after = run.scenario.limits.stuck_after;
        let without_keys = run.without_keys(place).iter().any(|(from, _)| told.at >= *from + stuck_after);
        let lasted = run
            .scenario
            .cloud
            .troubles
            .iter()
            .any(|it| it.account == object.account && it.ill == Ill::Denied && told.at >= it.from + stuck_after);
        holds(!told.stalled || told.is_end() || lasted || without_keys, || shown(run, told))
    })
}

/// An ImageTask ends by the cloud's word, said by then, or by its own timeout, truly past, after which the cloud was asked
/// and named no end, or gave no answer for a minute in which the program could ask.
fn no_end_was_made_up(run: &Run<'_>) -> Verdict {
    each_told(run, |place, object, before, told| {
        if !told.is_end() || before.is_some_and(Told::is_end) {
            return Ok(());
        }
        let said = |word: &str| run.task(object).said(word, told.at);
        let is_true = match told.reason.as_str() {
            "TaskSucceeded" => said("Succeeded"),
            "TaskFailed" => said("Failed"),
            "DeadlineExceeded" => run.deadline(place).is_some_and(|deadline| has_missed(run, place, deadline, told.at)),
            _ => false,
        };
        holds(is_true, || {
            format!(
                "{}; the cloud's own end is at {:?}, the deadline at {:?}",
                shown(run, told),
                run.end(object),
                run.deadline(place)
            )
        })
    })
}

/// Whether a timeout was right to fall by then: an answer to a question put after it told no end; or nothing could be
/// learnt for a minute.
fn has_missed(run: &Run<'_>, place: usize, deadline: Duration, at: Duration) -> bool {
    let object = &run.scenario.objects[place];
    let asked = run.looks(object).iter().any(|call| {
        // The API server's dates are whole seconds, so that the deadline may seem a second nearer or farther.
        call.begun + SLACK >= deadline && call.begun <= at && run.end(object).is_none_or(|end| call.begun < end)
    });
    // That it is refused alone says that the cloud tells nothing of it.
    let refused = run.record.calls.iter().any(|call| {
        call.begun + SLACK >= deadline && call.begun <= at && call.asked.ids == [object.id()] && call.was_refused
    });
    // A pause of up to 5 s counts as time in which the process ran; it leads again with the next look at the Lease.
    let tenures = &run.record.tenures;
    let pauses = tenures.windows(2).filter(|pair| pair[0].process == pair[1].process);
    let pauses = pauses.map(|pair| (pair[0].to, pair[1].from)).filter(|(from, to)| *to - *from <= secs(6));
    let ran = tenures.iter().map(|it| (it.from, it.to)).chain(pauses);
    let running: Duration = ran.map(|(from, to)| to.min(at).saturating_sub(from.max(deadline))).sum();
    let mut ill = run.ill(object.account).into_iter().chain(run.without_keys(place));
    let ill = ill.any(|(from, to)| from <= at && to >= deadline);
    at + SLACK >= deadline && (asked || refused || ill && running + SLACK >= secs(60))
}

/// A timeout ends an ImageTask soon after its deadline, where a process runs and leads all the while.
fn no_timeout_fell_late(run: &Run<'_>) -> Verdict {
    let mut checked = 0;
    for (place, object) in run.honest() {
        let Some(deadline) = run.deadline(place) else { continue };
        for (from, to) in run.well(place, Duration::MAX) {
            let from = from.max(deadline);
            // The time is known for certain with the second right date in a row.
            let Some(known) = run.two_right_dates(from) else { continue };
            let by = known + run.longest_gap(object, (from, known)) + WRITE;
            if by <= to {
                checked += 1;
                let told = run.told_end(place);
                holds(told.is_some_and(|at| at <= by), || {
                    let name = run.name(place);
                    format!("the deadline of {name} was {deadline:?}; it ended at {told:?}, but was to by {by:?}")
                })?;
                break;
            }
        }
    }
    Ok(checked)
}

/// What the cloud tells as over is stored as over soon, and stays so.
fn no_end_was_missed_or_taken_back(run: &Run<'_>) -> Verdict {
    let mut checked = each_told(run, |_, _, before, told| {
        let kept =
            before.is_none_or(|before| !before.is_end() || before.phase == told.phase && before.reason == told.reason);
        holds(kept, || format!("after an end: {}", shown(run, told)))
    })?;
    for (place, object) in run.honest() {
        let Some(end) = run.end(object) else { continue };
        let looks = run.looks(object);
        let Some(look) = looks.iter().find(|call| call.begun >= end) else { continue };
        let answered = look.pages.last().copied().unwrap_or(look.begun);
        let mut tenures = run.record.tenures.iter();
        let goes_on = tenures.any(|it| it.process == look.process && it.from <= look.begun && it.to > answered + WRITE);
        let touches = |from: Duration, to: Duration| from <= answered + WRITE && to >= answered;
        let out = run.scenario.outages.iter().any(|(from, to)| touches(*from, run.running(*to, secs(30))));
        // An answer to keys that its Secret has no more is not used.
        let rekeyed = run.bad_keys(place).iter().any(|(from, to)| *from <= answered && *to >= look.begun);
        let mut suspended = run.suspended(place).into_iter();
        let suspended = suspended.any(|(from, to)| touches(from, to));
        if goes_on && !out && !rekeyed && !suspended && !run.record.deleted.contains_key(&place) {
            checked += 1;
            let told = run.told_end(place);
            holds(told.is_some_and(|at| at <= answered + WRITE), || {
                format!("{} is over, which was answered at {answered:?} and told at {told:?}", run.name(place))
            })?;
        }
    }
    Ok(checked)
}

/// Any stretch of time holds no more calls of a lane than its rate allows, and a burst of two; a page is a call, and the
/// pages of one question come one after the other. A process that is started anew knows nothing of the calls before.
fn calls_stayed_within_the_accounts_rate(run: &Run<'_>) -> Verdict {
    let mut lanes: BTreeMap<(usize, &str, &str), (Vec<Duration>, usize)> = BTreeMap::new();
    for call in &run.record.calls {
        let (pages, most) = lanes.entry((call.process, &call.asked.key, &call.asked.region)).or_default();
        // The first page is asked for when the question is put.
        pages.push(call.begun);
        pages.extend(call.pages.iter().skip(1));
        *most = (*most).max(call.pages.len());
    }
    let mut checked = 0;
    for (lane, (mut calls, pages)) in lanes {
        calls.sort_unstable();
        let allowed = 2.0 + pages.saturating_sub(1) as f64 + 0.01;
        let (mut level, mut last) = (0.0_f64, Duration::ZERO);
        for at in calls {
            level = (level - run.scenario.limits.qps * (at - last).as_secs_f64()).max(0.0) + 1.0;
            last = at;
            checked += 1;
            holds(level <= allowed, || format!("lane {lane:?} is {level:.2} calls ahead of its rate at {at:?}"))?;
        }
    }
    Ok(checked)
}

/// Once an answer shows that an account has its permission back, each of its ImageTasks is looked at within a minute in
/// which a process led, unless the next trouble comes before.
fn a_permission_that_came_back_healed_within_a_minute(run: &Run<'_>) -> Verdict {
    let mut checked = 0;
    let lost = run.scenario.cloud.troubles.iter().filter(|it| it.ill == Ill::Denied);
    for (trouble, (place, object)) in lost.flat_map(|it| run.honest().map(move |honest| (it, honest))) {
        let Some(back) = run.first_answer(trouble) else { continue };
        let by = back + run.healing(object.account);
        let mut troubles = run.scenario.cloud.troubles.iter();
        let is_well = !troubles.any(|it| it.account == object.account && it.from > trouble.to && it.from < by)
            && !run.record.suspended.contains_key(&place)
            && run.record.deleted.get(&place).is_none_or(|at| *at > by)
            && object.secret.is_none();
        let led = is_well && run.record.tenures.iter().any(|it| it.from <= back && it.to >= by);
        let goes_on = run.told_end(place).is_none_or(|at| at > by) && run.record.created[&place] < trouble.to;
        if object.account == trouble.account && led && goes_on {
            checked += 1;
            let looked = run.looks(object).iter().any(|call| (back..by).contains(&call.begun));
            holds(looked, || format!("{} was not looked at from {back:?} to {by:?}", run.name(place)))?;
        }
    }
    Ok(checked)
}

/// A Secret that was bad is used soon after it is good again.
fn a_corrected_secret_was_used_in_time(run: &Run<'_>) -> Verdict {
    let mut checked = 0;
    for (place, object) in run.honest().filter(|(_, object)| object.secret.is_some()) {
        for (from, by) in run.without_keys(place) {
            let until = run.well(place, Duration::MAX).into_iter().find(|(start, end)| *start == by && *end > by);
            let is_over =
                run.end(object).is_some_and(|end| end <= by) || run.told_end(place).is_some_and(|at| at <= by);
            let led = run.record.tenures.iter().any(|it| it.from <= from && it.to > by);
            if until.is_none() || is_over || !led {
                continue;
            }
            checked += 1;
            // Whatever key it was asked with was good; a bad one that was gone before it was read did no harm.
            let looked = run.looks(object).iter().any(|call| call.begun >= from && call.begun <= by + SLACK);
            holds(looked, || format!("{} was not asked for with its corrected Secret by {by:?}", run.name(place)))?;
        }
    }
    Ok(checked)
}

/// While an honest ImageTask has waited for two intervals, calls for nothing but refused ids are one in four at most, and
/// those that find such ids.
fn refused_ids_got_at_most_one_call_in_four_while_others_were_due(run: &Run<'_>) -> Verdict {
    let honest: BTreeSet<_> = run.honest().map(|(_, object)| (object.account, object.id())).collect();
    let mut checked = 0;
    for (from, to, account) in waits(run) {
        let of_account = |key: &str| run.scenario.cloud.keys.get(key).is_some_and(|(of, ..)| *of == account);
        let (mut all, mut refused) = (0, 0);
        for call in run.record.calls.iter().filter(|call| of_account(&call.asked.key)) {
            let within = |at: Duration| (from..to).contains(&at);
            let count = usize::from(within(call.begun)) + call.pages.iter().skip(1).filter(|at| within(**at)).count();
            all += count;
            let is_honest = call.asked.ids.iter().any(|id| honest.contains(&(account, id.as_str())));
            refused += if is_honest { 0 } else { count };
        }
        checked += 1;
        let most = all / 4 + run.searches((from, to)) + 3;
        holds(refused <= most, || {
            format!("from {from:?} to {to:?} an honest id waited, and {refused} of {all} calls were for refused ids")
        })?;
    }
    Ok(checked)
}

/// The times in which an ImageTask has waited for two intervals, and its account.
fn waits(run: &Run<'_>) -> Vec<(Duration, Duration, usize)> {
    let mut waits: Vec<(usize, Duration, Duration)> = Vec::new();
    for (place, object) in run.honest() {
        let looks: Vec<_> = run.looks(object).iter().map(|call| call.begun).collect();
        for (from, to) in run.eligible(place) {
            let within = looks.iter().copied().filter(|at| (from..to).contains(at));
            let moments: Vec<_> = [from].into_iter().chain(within).chain([to]).collect();
            let overdue = moments.windows(2).map(|pair| (pair[0] + 2 * run.scenario.limits.interval, pair[1]));
            waits.extend(overdue.filter(|(from, to)| from < to).map(|(from, to)| (object.account, from, to)));
        }
    }
    waits.sort_unstable();
    let mut merged: Vec<(Duration, Duration, usize)> = Vec::new();
    for (account, from, to) in waits {
        match merged.last_mut().filter(|last| last.2 == account && last.1 >= from) {
            Some(last) => last.1 = last.1.max(to),
            None => merged.push((from, to, account)),
        }
    }
    merged
}

/// A while after all trouble every honest ImageTask shows what the cloud says of its task, and its own end.
fn every_image_task_shows_the_truth_in_the_end(run: &Run<'_>) -> Verdict {
    let mut checked = 0;
    for (place, object) in run.honest().filter(|(place, _)| !run.record.deleted.contains_key(place)) {
        let told = run.told_of(place).last();
        let reason = told.map(|told| told.reason.as_str());
        let end = run.scenario.end;
        let Stage::Word(word) = run.task(object).at(end) else { continue };
        let before_the_last_look = end.saturating_sub(run.longest_gap(object, (end, end)) + WRITE);
        if run.task(object).at(before_the_last_look) != Stage::Word(word) {
            continue;
        }
        let expected = format!("Task{word}");
        checked += 1;
        let is_true = reason == Some(&expected) || reason == Some("DeadlineExceeded") && run.deadline(place).is_some();
        let observed = told.is_some_and(|told| told.status["observedGeneration"].as_i64() >= Some(1));
        holds(is_true && observed, || format!("{} tells {reason:?}, but the cloud says {word}", run.name(place)))?;
    }
    Ok(checked)
}

/// What the cloud refuses is told so, and what breaks its answers is told that, and is never Stalled.
fn what_is_refused_or_breaks_answers_is_told_so(run: &Run<'_>) -> Verdict {
    let mut checked = 0;
    for (place, object) in run.scenario.objects.iter().enumerate().filter(|(_, object)| !object.honest) {
        let mut stages = run.thing(object).script.iter().map(|(_, stage)| *stage);
        let breaks_always = stages.all(|stage| matches!(stage, Stage::Breaks(_)));
        for told in run.told_of(place).filter(|_| breaks_always) {
            checked += 1;
            let of_lane =
                |it: &Trouble| matches!(it.ill, Ill::Denied | Ill::Throttled(_)) && it.account == object.account;
            let of_lane = run.scenario.cloud.troubles.iter().any(of_lane);
            holds(of_lane || !told.stalled && told.reason == "CloudUnavailable", || shown(run, told))?;
        }
        let expected = match run.thing(object).at(run.scenario.end) {
            Stage::Refused(_, 403) => "AccessDenied",
            Stage::Refused(..) | Stage::Endless => "RequestRejected",
            Stage::Breaks(_) => "CloudUnavailable",
            Stage::Word(_) => continue,
        };
        if run.thing(object).script.last().is_some_and(|(from, _)| *from > run.scenario.calm)
            || run.record.deleted.contains_key(&place)
            || !run.has_time_for_refused_ids()
        {
            continue;
        }
        checked += 1;
        let told = run.told_of(place).last().map(|told| told.reason.as_str());
        holds(told == Some(expected), || format!("{} tells {told:?}, but {expected} is true", run.name(place)))?;
    }
    Ok(checked)
}

/// What has a field in its spec that this version does not know is told so, and the cloud is not asked for it.
fn what_has_a_field_of_the_future_was_not_asked_for(run: &Run<'_>) -> Verdict {
    let mut checked = 0;
    let of_future = run.scenario.objects.iter().enumerate().filter(|(_, object)| object.namespace == FUTURE);
    for (place, object) in of_future {
        checked += 1;
        let asked = run.record.calls.iter().any(|call| call.asked.ids.iter().any(|id| id == object.id()));
        let told = run.told_of(place).all(|told| told.reason == "InvalidSpec") && run.told_of(place).next().is_some();
        holds(!asked && told, || format!("{} was asked for: {asked}, and told so: {told}", run.name(place)))?;
    }
    Ok(checked)
}

/// With an election nobody sends a status when its term is over, by the true time.
fn nobody_wrote_after_its_term(run: &Run<'_>) -> Verdict {
    let mut checked = 0;
    for sent in &run.record.sent {
        if let Some(term) = sent.term {
            checked += 1;
            holds(sent.at <= term, || {
                format!(
                    "process {} wrote to {} at {:?}, its term was over at {term:?}",
                    sent.process,
                    run.name(sent.object),
                    sent.at
                )
            })?;
        }
    }
    Ok(checked)
}

/// Checks each status of each honest ImageTask, beside the one before.
fn each_told(run: &Run<'_>, check: impl Fn(usize, &Object, Option<&Told>, &Told) -> Result<(), String>) -> Verdict {
    let mut before: BTreeMap<usize, &Told> = BTreeMap::new();
    let mut checked = 0;
    for told in &run.record.told {
        let object = &run.scenario.objects[told.object];
        if object.honest {
            checked += 1;
            check(told.object, object, before.insert(told.object, told), told)?;
        }
    }
    Ok(checked)
}

fn holds(holds: bool, against: impl FnOnce() -> String) -> Result<(), String> {
    if holds { Ok(()) } else { Err(against()) }
}

fn shown(run: &Run<'_>, told: &Told) -> String {
    format!(
        "{} was told {} {} at {:?}, Stalled: {}",
        run.name(told.object),
        told.phase,
        told.reason,
        told.at,
        told.stalled
    )
}
