//! What was true in a run, and what follows from it: when an ImageTask was to be looked at, and what the rate left to it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::clocks::secs;
use crate::cloud::{HANG, Ill, MOST_PAGES, Stage, Thing, Trouble};
use crate::record::{Call, DEAD, Record, Told};
use crate::scenario::{OWN, Object, Scenario, Secret, Target};

/// From when to when.
pub(crate) type Window = (Duration, Duration);

/// A question is answered within this where nothing is wrong: two pages of 300 ms, and the steps of the watch.
pub(crate) const SLACK: Duration = secs(1);

/// A run, and what is known of it.
pub(crate) struct Run<'a> {
    pub(crate) scenario: &'a Scenario,
    pub(crate) record: &'a Record,
    /// The answered calls that told of an id, by account and id.
    looks: BTreeMap<usize, BTreeMap<&'a str, Vec<&'a Call>>>,
    /// What was told of each ImageTask, in order.
    told: BTreeMap<usize, Vec<&'a Told>>,
    /// Calls that it takes to ask once for everything that is followed in a lane.
    rounds: BTreeMap<(usize, &'a str), usize>,
    /// How many ids each account has, and whether some spoil calls.
    accounts: BTreeMap<usize, (usize, bool)>,
    /// When ids came to spoil calls that nothing stored spoke of: namespace, and the calls that finding one takes.
    unseen: Vec<(Duration, &'a str, usize)>,
}

impl<'a> Run<'a> {
    pub(crate) fn new(scenario: &'a Scenario, record: &'a Record) -> Self {
        let mut looks: BTreeMap<_, BTreeMap<_, Vec<&Call>>> = BTreeMap::new();
        for call in record.calls.iter().filter(|call| call.answered) {
            let Some((account, ..)) = scenario.cloud.keys.get(&call.asked.key) else { continue };
            let of_account = looks.entry(*account).or_default();
            call.asked.ids.iter().for_each(|id| of_account.entry(id.as_str()).or_default().push(call));
        }
        let mut told: BTreeMap<_, Vec<&Told>> = BTreeMap::new();
        record.told.iter().for_each(|one| told.entry(one.object).or_default().push(one));
        let mut run = Self {
            scenario,
            record,
            looks,
            told,
            rounds: BTreeMap::new(),
            accounts: BTreeMap::new(),
            unseen: Vec::new(),
        };
        run.count();
        run.unseen = run.unseen();
        run
    }

    pub(crate) fn honest(&self) -> impl Iterator<Item = (usize, &'a Object)> + use<'a> {
        let created = &self.record.created;
        self.scenario.objects.iter().enumerate().filter(|(place, object)| object.honest && created.contains_key(place))
    }

    pub(crate) fn name(&self, object: usize) -> String {
        format!("{}/{}", self.scenario.objects[object].namespace, self.scenario.objects[object].name)
    }

    pub(crate) fn thing(&self, object: &Object) -> &'a Thing {
        &self.scenario.cloud.things[&(object.account, object.id().to_owned())]
    }

    /// The task that an ImageTask follows, whose words are its truth.
    pub(crate) fn task(&self, object: &Object) -> &'a Thing {
        match (&object.target, &self.thing(object).newest) {
            (Target::Image(_), Some(task)) => &self.scenario.cloud.things[&(object.account, task.clone())],
            (Target::Task(_) | Target::Image(_), _) => self.thing(object),
        }
    }

    /// What was told of an ImageTask, in order.
    pub(crate) fn told_of(&self, object: usize) -> impl DoubleEndedIterator<Item = &'a Told> {
        self.told.get(&object).into_iter().flatten().copied()
    }

    /// The answered calls that told of an ImageTask's task or image, in order.
    pub(crate) fn looks(&self, object: &Object) -> Vec<&'a Call> {
        let of_account = self.looks.get(&object.account);
        let of = |id: &str| of_account.and_then(|all| all.get(id)).into_iter().flatten().copied();
        let mut looks: Vec<_> =
            of(object.id()).chain(self.thing(object).newest.iter().flat_map(|task| of(task))).collect();
        looks.sort_by_key(|call| call.begun);
        looks
    }

    /// When the task is over, if it ever is.
    pub(crate) fn end(&self, object: &Object) -> Option<Duration> {
        self.task(object).script.iter().find(|(_, stage)| stage.is_end()).map(|(from, _)| *from)
    }

    /// When a stored status said first that an ImageTask is over.
    pub(crate) fn told_end(&self, object: usize) -> Option<Duration> {
        self.told_of(object).find(|told| told.is_end()).map(|told| told.at)
    }

    /// The times in which an ImageTask was to be looked at: a process led and ran, and had seen it; it was neither
    /// suspended nor known to be over; nothing was wrong with its whole account or its Secret, nor had it been until so
    /// shortly before that the program could not know yet.
    pub(crate) fn eligible(&self, place: usize) -> Vec<Window> {
        let object = &self.scenario.objects[place];
        let deadline = self.deadline(place).unwrap_or(Duration::MAX);
        let end = self.end(object).unwrap_or(Duration::MAX);
        // A question that was put before the end may be served after it, and tells of it then.
        let served = |call: &Call| call.pages.first().copied().unwrap_or(call.begun);
        let looks = self.looks(object);
        let known = looks.iter().find(|call| call.begun >= deadline || served(call) >= end).map(|call| call.begun);
        let until = [known, self.told_end(place)];
        self.well(place, until.into_iter().flatten().min().unwrap_or(Duration::MAX))
    }

    /// The same times, whether it is known to be over or not.
    pub(crate) fn well(&self, place: usize, until: Duration) -> Vec<Window> {
        let object = &self.scenario.objects[place];
        let until = self.record.deleted.get(&place).map_or(until, |deleted| until.min(*deleted));
        let seen = self.record.tenures.iter().filter_map(|tenure| {
            let arrival = self.record.arrivals.get(&(tenure.process, place))?;
            Some((tenure.from.max(*arrival), tenure.to.min(until)))
        });
        let mut windows: Vec<_> = seen.collect();
        for ill in self.ill(object.account).into_iter().chain(self.without_keys(place)).chain(self.suspended(place)) {
            windows = windows.into_iter().flat_map(|window| without(window, ill)).collect();
        }
        windows.retain(|(from, to)| from < to);
        windows
    }

    /// When an ImageTask's timeout falls, by the true time; counted from the whole second of its creation.
    pub(crate) fn deadline(&self, place: usize) -> Option<Duration> {
        let created = secs(self.record.created.get(&place)?.as_secs());
        Some(created + self.scenario.objects[place].timeout?)
    }

    /// When whichever process led at a moment had heard two right dates in a row since.
    pub(crate) fn two_right_dates(&self, from: Duration) -> Option<Duration> {
        let leader = self.record.tenures.iter().find(|it| it.from <= from && it.to > from)?.process;
        let mut row = 0;
        let mut heard = self.record.dates.iter().filter(|(at, process, _)| *at >= from && *process == leader);
        heard.find_map(|(at, _, is_right)| {
            row = if *is_right { row + 1 } else { 0 };
            (row == 2).then_some(*at)
        })
    }

    /// The times in which it was suspended, and until its resumption had arrived.
    pub(crate) fn suspended(&self, place: usize) -> Vec<Window> {
        let times = self.record.suspended.get(&place).into_iter().flatten();
        times.map(|(from, to)| (*from, to.saturating_add(SLACK))).collect()
    }

    /// The times in which its Secret gave no good key, and until the good one had to be in use.
    ///
    /// A Secret whose key was refused, or that gave none, is read again after pauses that double from the interval to a
    /// minute, so the pause in which it becomes good is no longer than all before it; what was read then is used in the
    /// next interval. Where it was good for a shorter time than that, nobody may have seen it.
    pub(crate) fn without_keys(&self, place: usize) -> Vec<Window> {
        let mut windows: Vec<Window> = Vec::new();
        for (from, to) in self.bad_keys(place) {
            let last = windows.pop_if(|(_, end)| *end >= from);
            let (from, end) = last.unwrap_or((from, to));
            windows.push((from, end.max(self.running(to, self.correction(from, to)))));
        }
        windows
    }

    /// How long it may take until a Secret is used that was bad from when to when.
    pub(crate) fn correction(&self, from: Duration, to: Duration) -> Duration {
        let interval = self.scenario.limits.interval;
        (to.saturating_sub(from)).min(secs(60).max(interval)) + 2 * interval + SLACK
    }

    /// What its Secret held, from when to when.
    pub(crate) fn contents(&self, object: &Object) -> impl Iterator<Item = (Duration, Duration, &'a Secret)> + use<'a> {
        let name = object.secret.clone().map(|secret| (object.namespace.clone(), secret));
        let all = name.and_then(|name| self.scenario.secrets.get(&name)).map(Vec::as_slice).unwrap_or_default();
        let ends = all.iter().skip(1).map(|(from, _)| *from).chain([Duration::MAX]);
        all.iter().zip(ends).map(|((from, secret), to)| (*from, to, secret))
    }

    /// From when to when its Secret gave no good key, or a key was taken away that may still be in use.
    pub(crate) fn bad_keys(&self, place: usize) -> Vec<Window> {
        let object = &self.scenario.objects[place];
        if object.secret.is_none() {
            return Vec::new();
        }
        let mut windows = self.scenario.outages.clone();
        for (from, until, content) in self.contents(object) {
            match content {
                Secret::Key(key) => {
                    let (.., to) = self.scenario.cloud.keys[key];
                    if to < Duration::MAX {
                        windows.push((to.max(from), until.max(to)));
                    }
                }
                Secret::Malformed | Secret::Missing | Secret::Unreadable => windows.push((from, until)),
            }
        }
        windows.sort_unstable();
        windows
    }

    /// The times in which nothing could be learnt in an account, and those in which a failing lane is not asked.
    ///
    /// Single probes take the place of calls while a lane fails, at pauses that double from the interval. The pause in
    /// which the trouble ends is as long at most as all before it and an interval, and never over 5 min; a call that is
    /// never answered is given up after 10 s. A throttled lane has halved its rate for each answer that throttled it
    /// besides, and gets back a fiftieth of its ceiling with each answer: the time for 50 calls from the lowest rate.
    pub(crate) fn ill(&self, account: usize) -> Vec<Window> {
        let all = self.scenario.cloud.troubles.iter().filter(|it| it.account == account);
        let until = |it: &Trouble| self.over(it).max(self.running(it.to, self.recovery(it, it.to)));
        all.map(|it| (it.from, until(it))).collect()
    }

    /// When failing lanes are asked again at the latest whose first call after a trouble met a dead connection.
    fn over(&self, trouble: &Trouble) -> Duration {
        let calls = self.record.calls.iter().filter(|call| call.begun >= trouble.to);
        let mut first: BTreeMap<_, &Call> = BTreeMap::new();
        calls.for_each(|call| _ = first.entry(&call.asked.key).or_insert(call));
        let dead = first.values().filter(|call| call.said == DEAD && self.account(call) == Some(trouble.account));
        dead.map(|call| self.running(call.begun, self.recovery(trouble, call.begun))).max().unwrap_or_default()
    }

    /// When the first question was put after a trouble that was answered, before the next trouble.
    pub(crate) fn first_answer(&self, trouble: &Trouble) -> Option<Duration> {
        let mut calls =
            self.record.calls.iter().filter(|call| call.answered && self.account(call) == Some(trouble.account));
        calls.find(|call| call.begun >= trouble.to).map(|call| call.begun)
    }

    fn account(&self, call: &Call) -> Option<usize> {
        self.scenario.cloud.keys.get(&call.asked.key).map(|(account, ..)| *account)
    }

    /// When a trouble of its lane is known to be over for an ImageTask: a question was put after it that the cloud said
    /// something to.
    pub(crate) fn first_word(&self, trouble: &Trouble, object: &Object) -> Option<Duration> {
        let is_its = |key: &str| match object.secret {
            None => key == OWN,
            Some(_) => self.contents(object).any(|(.., secret)| matches!(secret, Secret::Key(its) if its == key)),
        };
        let mut calls = self.record.calls.iter().filter(|call| call.answered || call.was_refused);
        calls.find(|call| call.begun >= trouble.to && is_its(&call.asked.key)).map(|call| call.begun)
    }

    /// The longest pause of a machine that ended shortly before a moment.
    pub(crate) fn pause_before(&self, at: Duration) -> Duration {
        let is_near = |(from, time): &&Window| *from <= at && at <= *from + *time + secs(30);
        let pauses = self.record.pauses.iter().filter(is_near).map(|(_, time)| *time);
        pauses.max().unwrap_or_default()
    }

    /// The moment until which a machine has run for so long since `from`: none of its clocks tells of a pause from outside.
    pub(crate) fn running(&self, from: Duration, time: Duration) -> Duration {
        let pauses = self.record.pauses.iter().copied();
        pauses.fold(from.saturating_add(time), |until, (at, pause)| {
            match at < until && at.saturating_add(pause) > from {
                true => until.saturating_add(pause - from.saturating_sub(at)),
                false => until,
            }
        })
    }

    fn recovery(&self, trouble: &Trouble, to: Duration) -> Duration {
        let interval = self.scenario.limits.interval;
        let pause = (to - self.began(trouble) + interval).min(secs(300).max(interval)) + HANG;
        match trouble.ill {
            Ill::Throttled(seconds) => {
                pause + secs(seconds.unwrap_or(0)) + secs(60).mul_f64(4.0 / self.scenario.limits.qps)
            }
            Ill::Hangs | Ill::Unreachable | Ill::Page(_) => pause,
            // Where canaries are refused too the lane is probed every half a minute; else, and after a restart, all ids are
            // asked alone, one after the other. Either way they come back by doubling once the first was answered.
            Ill::Denied => pause.min(secs(30).max(interval)) + self.healing(trouble.account),
        }
    }

    /// When the program was in trouble first that has met no answer since.
    fn began(&self, trouble: &Trouble) -> Duration {
        let before =
            self.scenario.cloud.troubles.iter().rfind(|it| it.account == trouble.account && it.to < trouble.from);
        let unanswered = before.filter(|it| self.first_answer(it).is_none_or(|at| at >= trouble.from));
        unanswered.map_or(trouble.from, |it| self.began(it))
    }

    /// How long the ids of an account may take to come back after the first answer that shows its permission: a minute for
    /// 4,000 ids at four calls a second, in proportion for more of them or a lower rate.
    pub(crate) fn healing(&self, account: usize) -> Duration {
        let (ids, _) = self.accounts[&account];
        let share = (4.0 / self.scenario.limits.qps).max(1.0) * (ids as f64 / 4_000.0).max(1.0);
        secs(60).mul_f64(share)
    }

    /// The longest that an ImageTask may go without a look within a window: two intervals, one call for each hundred
    /// answered ids of its lane (of each kind: they share no call), and what it takes to find the ids that spoil calls:
    /// all at the rate that is left, of which what the cloud refuses gets a quarter where there is such.
    pub(crate) fn longest_gap(&self, object: &Object, (from, to): Window) -> Duration {
        let calls = self.rounds[&(object.account, object.region)] + self.searches((from, to));
        let (_, is_hostile) = self.accounts[&object.account];
        let left = self.scenario.limits.qps * if is_hostile { 0.75 } else { 1.0 };
        2 * self.scenario.limits.interval + Duration::from_secs_f64(calls as f64 / left) + SLACK
    }

    fn count(&mut self) {
        let mut lanes: BTreeMap<_, (BTreeSet<&str>, usize)> = BTreeMap::new();
        for object in &self.scenario.objects {
            let (tasks, of_images) = lanes.entry((object.account, object.region)).or_default();
            match &object.target {
                Target::Task(id) => _ = tasks.insert(id),
                Target::Image(_) => *of_images += 1 + self.thing(object).others,
            }
            let (ids, is_hostile) = self.accounts.entry(object.account).or_default();
            *ids += 1;
            *is_hostile |= !object.honest;
        }
        let round = |(tasks, of_images): (BTreeSet<_>, usize)| tasks.len().div_ceil(100) + of_images.div_ceil(100);
        self.rounds = lanes.into_iter().map(|(lane, ids)| (lane, round(ids))).collect();
    }

    /// Calls for the ids that were not known to spoil calls: for each namespace that has such. A search goes on for as long
    /// as its own calls and those of all others take that began shortly before, a minute at least.
    pub(crate) fn searches(&self, window: Window) -> usize {
        let calls = self.searches_begun(window, secs(300));
        let time = Duration::from_secs_f64(calls as f64 / (self.scenario.limits.qps * 0.75));
        self.searches_begun(window, time.clamp(secs(60), secs(300)))
    }

    /// Whether the last process had time to find all ids that spoil calls, one after the other, at a quarter of the rate: no
    /// interval is promised for them.
    pub(crate) fn has_time_for_refused_ids(&self) -> bool {
        let calls = |object| self.thing(object).script.iter().filter_map(|(_, stage)| search(*stage)).max();
        let calls: usize = self.scenario.objects.iter().filter_map(calls).sum();
        let start = self.record.starts.last().copied().unwrap_or_default();
        Duration::from_secs_f64(calls as f64 / (self.scenario.limits.qps / 4.0)) < self.scenario.end - start
    }

    fn searches_begun(&self, (from, to): Window, before: Duration) -> usize {
        let mut namespaces: BTreeMap<&str, usize> = BTreeMap::new();
        for (at, namespace, calls) in &self.unseen {
            if *at + before >= from && *at <= to {
                let most = namespaces.entry(namespace).or_default();
                *most = (*most).max(*calls);
            }
        }
        namespaces.values().sum()
    }

    /// When ids came to spoil calls, or were met by a process that could not know.
    fn unseen(&self) -> Vec<(Duration, &'a str, usize)> {
        // A dead connection fails like an id that breaks its answer.
        let dead = self.record.calls.iter().filter(|call| call.said == DEAD);
        let mut all: Vec<_> = dead.map(|call| (call.begun, DEAD, BROKEN)).collect();
        for (place, object) in self.scenario.objects.iter().enumerate() {
            let Some(created) = self.record.created.get(&place) else { continue };
            let turns = self.thing(object).script.iter().map(|(from, _)| *from).chain([*created]);
            let turns = turns.map(|at| (at, false));
            let starts = self.record.tenures.iter().map(|it| (it.from, true));
            for (at, is_start) in turns.chain(starts).filter(|(at, _)| at >= created) {
                let Some(calls) = search(self.thing(object).at(at)) else { continue };
                let told = self.told_of(place).take_while(|told| told.at < at).last();
                let is_told = told.is_some_and(|told| match told.reason.as_str() {
                    "RequestRejected" | "AccessDenied" => true,
                    // A process that starts cannot tell it from an outage of its whole account.
                    "CloudUnavailable" => !is_start,
                    _ => false,
                });
                if !is_told {
                    all.push((at, object.namespace.as_str(), calls));
                }
            }
        }
        all
    }
}

/// The calls that it takes to find one id among a hundred that breaks answers.
const BROKEN: usize = 14;

/// The calls that it takes to find one id among a hundred that spoils calls: 7 halvings. After each answer that fails it
/// is found out besides whether the lane is at fault, and an image without an end takes all pages that are ever read.
fn search(stage: Stage) -> Option<usize> {
    match stage {
        Stage::Word(_) => None,
        Stage::Refused(..) => Some(7),
        Stage::Breaks(_) => Some(BROKEN),
        Stage::Endless => Some(7 * MOST_PAGES as usize),
    }
}

/// What is left of a window.
fn without((from, to): Window, (start, end): Window) -> Vec<Window> {
    [(from, to.min(start)), (from.max(end), to)].into_iter().filter(|(from, to)| from < to).collect()
}
