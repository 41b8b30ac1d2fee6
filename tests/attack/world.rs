//! The world in virtual time: processes of the program, the machine they run on, the API server, the cloud.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use serde_json::Value;

use crate::adapter::{Ask, Draft, Program};
use crate::clocks::{Clocks, Dates, Machine, Start, millis, secs};
use crate::cloud::{HANG, Said};
use crate::cluster::{Cluster, Stored};
use crate::record::{Call, DEAD, Record, Sent, Tenure, Told};
use crate::scenario::{Act, Name, OWN, Scenario, Secret};

/// A step of virtual time: nothing happens between two of them.
const STEP: Duration = millis(10);

/// A leader renews this often, leads for [`TERM`] from the beginning of each renewal, and others wait for [`LEASE`].
const RENEWAL: Duration = secs(2);
const TERM: Duration = secs(10);
const LEASE: Duration = secs(15);

/// Secrets that are read at once.
const READS: usize = 16;

/// A process of the program.
struct Process {
    program: Program,
    machine: usize,
    /// What the clocks of its machine were when it started.
    start: Start,
    alive: bool,
    listed: bool,
    /// It does not run before; what comes meanwhile waits.
    stopped_until: Option<Duration>,
    /// It stops for so long when it is about to send a status.
    stops_at_write: Option<(Duration, Rest)>,
    held: Vec<Event>,
    /// The connections that stood are dead: the first call finds that out.
    cut_off: bool,
    /// Since when it leads and runs.
    leads_since: Option<Duration>,
    renewed: Option<Duration>,
    /// What its machine's boot clock was then.
    renewed_boot: Duration,
    /// When its term ends, by its own clock.
    term_ends: Duration,
    /// When it has something to do.
    wake: Option<Duration>,
    reading: usize,
    to_read: VecDeque<Name>,
    /// The dates of the API server's answers to it.
    dates: Dates,
}

enum Event {
    Act(Act),
    /// An object is there, or has changed.
    Shown {
        process: usize,
        object: usize,
        view: Value,
    },
    Gone {
        process: usize,
        view: Value,
    },
    List {
        process: usize,
    },
    /// The cloud gets a question.
    Served {
        process: usize,
        call: usize,
        ask: Ask,
    },
    Answered {
        process: usize,
        ask: Ask,
        said: Said,
    },
    SecretRead {
        process: usize,
        name: Name,
        secret: Secret,
    },
    Write {
        process: usize,
        draft: Draft,
    },
    Written {
        process: usize,
        draft: Draft,
        stored: Stored,
    },
    /// Every process looks at the Lease, and hears of the API server's time.
    Lease,
    Heartbeat,
    /// After a stop, in which its machine may have slept.
    Continues {
        process: usize,
        rest: Rest,
    },
}

/// What a machine does while a process on it does not run.
#[derive(Clone, Copy)]
enum Rest {
    Nothing,
    Sleeps,
    IsPaused(Duration),
}

/// Who holds the Lease, and since when.
#[derive(Default)]
struct Lease {
    holder: Option<usize>,
    renewed: Duration,
}

pub(crate) struct World<'a> {
    scenario: &'a Scenario,
    now: Duration,
    /// Each process that is alive has one to itself.
    machines: Vec<Machine>,
    dice: fastrand::Rng,
    cluster: Cluster,
    lease: Lease,
    processes: Vec<Process>,
    events: BTreeMap<(Duration, u64), Event>,
    serial: u64,
    pub(crate) record: Record,
}

impl<'a> World<'a> {
    pub(crate) fn new(scenario: &'a Scenario) -> Self {
        let seed = scenario.seed;
        let mut world = Self {
            scenario,
            now: Duration::ZERO,
            machines: Vec::new(),
            dice: fastrand::Rng::with_seed(seed ^ 0x30),
            cluster: Cluster::new(seed),
            lease: Lease::default(),
            processes: Vec::new(),
            events: BTreeMap::new(),
            serial: 0,
            record: Record::default(),
        };
        for (at, act) in &scenario.acts {
            world.at(*at, Event::Act(act.clone()));
        }
        world.at(millis(500), Event::Lease);
        world.at(secs(1), Event::Heartbeat);
        world
    }

    /// Runs to the end, and gives what happened.
    pub(crate) fn run(mut self) -> Record {
        while let Some(next) = self.next() {
            self.now = next;
            while let Some(entry) = self.events.first_entry().filter(|entry| entry.key().0 <= next) {
                let event = entry.remove();
                self.happens(event);
            }
            (0..self.processes.len()).for_each(|process| self.turn(process));
        }
        self.now = self.scenario.end;
        (0..self.processes.len()).for_each(|process| self.closes_tenure(process));
        self.record
    }

    /// The next moment at which something happens.
    fn next(&self) -> Option<Duration> {
        let event = self.events.first_key_value().map(|((at, _), _)| *at);
        let running = self.processes.iter().filter(|it| it.runs() && it.listed);
        let wake = running.filter_map(|process| process.wake).min();
        let next = [event, wake].into_iter().flatten().min()?;
        Some(next.max(self.now)).filter(|next| *next < self.scenario.end)
    }

    /// Has something happen, at the next step from a moment on.
    fn at(&mut self, at: Duration, event: Event) {
        self.serial += 1;
        self.events.insert((to_step(at.max(self.now)), self.serial), event);
    }

    fn soon(&mut self, from: u64, to: u64) -> Duration {
        self.now + millis(self.dice.u64(from..to))
    }

    fn happens(&mut self, event: Event) {
        let event = match self.held_by(&event) {
            Some(process)
                if !self.processes[process].alive && !matches!(event, Event::Write { .. } | Event::Served { .. }) =>
            {
                return;
            }
            Some(process) if self.processes[process].stopped_until.is_some() && !event.is_the_worlds() => {
                return self.processes[process].held.push(event);
            }
            Some(_) | None => event,
        };
        match event {
            Event::Act(act) => self.act(act),
            Event::Shown { process, object, view } => self.shown(process, object, view),
            Event::Gone { process, view } => self.with(process, |program, clocks| program.shown(view, true, clocks)),
            Event::List { process } => self.list(process),
            Event::Served { process, call, ask } => self.served(process, call, ask),
            Event::Answered { process, ask, said } => {
                self.with(process, |program, clocks| program.answered(ask, said, clocks))
            }
            Event::SecretRead { process, name, secret } => {
                self.processes[process].reading -= 1;
                self.date(process);
                self.with(process, |program, clocks| program.secret_read(name, &secret, clocks));
            }
            Event::Write { process, draft } => self.write(process, draft),
            Event::Written { process, draft, stored } => {
                self.date(process);
                self.with(process, |program, clocks| program.written(&draft, stored, clocks));
            }
            Event::Lease => self.lease_turns(),
            Event::Heartbeat => {
                (0..self.processes.len())
                    .filter(|it| self.processes[*it].runs())
                    .collect::<Vec<_>>()
                    .into_iter()
                    .for_each(|it| self.date(it));
                self.at(self.now + secs(30), Event::Heartbeat);
            }
            Event::Continues { process, rest } => self.continues(process, rest),
        }
    }

    fn held_by(&self, event: &Event) -> Option<usize> {
        match event {
            Event::Act(_) | Event::Lease | Event::Heartbeat => None,
            Event::Shown { process, .. }
            | Event::Gone { process, .. }
            | Event::List { process }
            | Event::Served { process, .. }
            | Event::Answered { process, .. }
            | Event::SecretRead { process, .. }
            | Event::Write { process, .. }
            | Event::Written { process, .. }
            | Event::Continues { process, .. } => Some(*process),
        }
    }

    /// Lets a process act, and look for what is due next.
    fn with<T>(&mut self, process: usize, act: impl FnOnce(&mut Program, Clocks) -> T) -> T {
        let clocks = self.clocks(process);
        let process = &mut self.processes[process];
        process.wake = Some(Duration::ZERO);
        act(&mut process.program, clocks)
    }

    fn clocks(&self, process: usize) -> Clocks {
        let process = &self.processes[process];
        self.machines[process.machine].read(self.now, process.start)
    }

    /// An answer of the API server tells its time.
    fn date(&mut self, process: usize) {
        if !self.scenario.is_out(self.now) {
            let (date, is_right) = self.processes[process].dates.give(self.now);
            self.record.dates.push((self.now, process, is_right));
            self.with(process, |program, clocks| program.heard_date(date, clocks));
        }
    }

    /// Does what is due.
    fn turn(&mut self, number: usize) {
        let process = &self.processes[number];
        if !process.runs() || !process.listed || process.wake.is_none_or(|wake| wake > self.now) {
            return;
        }
        let (asks, secrets, next_ask) = self.with(number, Program::due);
        self.processes[number].to_read.extend(secrets);
        asks.into_iter().for_each(|ask| self.put(number, ask));
        self.read_secrets(number);
        let (drafts, next) = self.with(number, Program::writes);
        if !drafts.is_empty()
            && let Some((time, rest)) = self.processes[number].stops_at_write.take()
        {
            self.stops(number, time, rest);
        }
        for draft in drafts {
            let at = self.soon(0, 30);
            self.at(at, Event::Write { process: number, draft });
        }
        let clock = self.clocks(number).boot;
        let next = [next_ask, next].into_iter().flatten().min();
        self.processes[number].wake =
            next.map(|next| to_step(self.now + next.saturating_sub(clock)).max(self.now + STEP));
    }

    fn put(&mut self, process: usize, ask: Ask) {
        let call = self.record.calls.len();
        self.record.calls.push(Call {
            process,
            begun: self.now,
            asked: ask.1.clone(),
            pages: Vec::new(),
            said: "…".to_owned(),
            answered: false,
            was_refused: false,
        });
        if std::mem::take(&mut self.processes[process].cut_off) {
            self.record.calls[call].said = DEAD.to_owned();
            let said = Said::Unusable(None);
            let at = self.soon(20, 60);
            return self.at(at, Event::Answered { process, ask, said });
        }
        let latency = self.scenario.cloud.latency(&ask.1, self.now);
        self.at(self.now + latency, Event::Served { process, call, ask });
    }

    fn served(&mut self, process: usize, call: usize, ask: Ask) {
        let said = self.scenario.cloud.say(&ask.1, self.now);
        let latency = self.now - self.record.calls[call].begun;
        let page = |n: u32| self.now + (latency * n).min(HANG * n);
        let call = &mut self.record.calls[call];
        call.pages = (0..said.calls()).map(page).collect();
        call.said = said.label();
        call.answered = matches!(said, Said::Tasks(_, true, _));
        call.was_refused = matches!(said, Said::Refused(..));
        let at = page(said.calls() - 1);
        self.at(at, Event::Answered { process, ask, said });
    }

    fn read_secrets(&mut self, process: usize) {
        while self.processes[process].reading < READS {
            let Some(name) = self.processes[process].to_read.pop_front() else { return };
            self.processes[process].reading += 1;
            self.record.reads.push((self.now, name.clone()));
            let secret = self.scenario.secret(&name, self.now);
            let at = self.soon(5, 50);
            self.at(at, Event::SecretRead { process, name, secret });
        }
    }

    /// A write is sent, and arrives at once.
    fn write(&mut self, process: usize, draft: Draft) {
        let is_there = self.processes[process].alive;
        let stopped = self.processes[process].stopped_until.is_some();
        let clocks = self.clocks(process);
        let place = self.scenario.by_name[&draft.object];
        if !is_there || stopped || !self.processes[process].program.may_send(&draft, clocks) {
            // It is never sent; one that is held back by a stop is sent after it.
            if stopped && is_there {
                self.processes[process].held.push(Event::Write { process, draft });
            } else if is_there {
                self.with(process, |program, clocks| program.written(&draft, Stored::Failed, clocks));
            }
            return;
        }
        // A machine that is paused from outside has no clock that could tell it.
        let machine = &self.machines[self.processes[process].machine];
        let led = machine.boot(self.now).saturating_sub(self.processes[process].renewed_boot);
        let term = self.scenario.election.then(|| (self.now + TERM).saturating_sub(led));
        self.record.sent.push(Sent { at: self.now, process, object: place, term });
        let stored = if self.scenario.is_out(self.now) {
            Stored::Failed
        } else {
            self.cluster.store(place, &self.scenario.objects[place], draft.version, &draft.status)
        };
        if let Stored::As(_) = &stored {
            self.record.told.push(Told::new(self.now, process, place, &draft.status));
            self.shows(place);
        }
        let at = self.soon(5, 40);
        self.at(at, Event::Written { process, draft, stored });
    }

    /// The watches tell of an object, mostly soon.
    fn shows(&mut self, object: usize) {
        let Some(stored) = self.cluster.objects.get(&object) else { return };
        let view = stored.view(&self.scenario.objects[object]);
        for process in 0..self.processes.len() {
            if self.processes[process].alive && self.processes[process].listed {
                let at = self.watch_moment();
                self.at(at, Event::Shown { process, object, view: view.clone() });
            }
        }
    }

    fn watch_moment(&mut self) -> Duration {
        // Later events of a watch never overtake earlier ones: those of one moment come as they were.
        self.now + millis(50)
    }

    fn shown(&mut self, process: usize, object: usize, view: Value) {
        self.record.arrivals.entry((process, object)).or_insert(self.now);
        self.with(process, |program, clocks| program.shown(view, false, clocks));
    }

    fn list(&mut self, process: usize) {
        if self.scenario.is_out(self.now) {
            return self.at(self.now + secs(1), Event::List { process });
        }
        let objects: Vec<_> = self
            .cluster
            .objects
            .iter()
            .map(|(place, stored)| (*place, stored.view(&self.scenario.objects[*place])))
            .collect();
        for (place, _) in &objects {
            self.record.arrivals.entry((process, *place)).or_insert(self.now);
        }
        self.processes[process].listed = true;
        self.date(process);
        self.with(process, |program, clocks| program.list(objects.into_iter().map(|(_, view)| view), clocks));
        if !self.scenario.election {
            self.leads(process, Duration::MAX);
        }
    }

    fn leads(&mut self, process: usize, until: Duration) {
        self.processes[process].leads_since.get_or_insert(self.now);
        self.with(process, |program, clocks| program.lead(until, clocks));
    }

    fn act(&mut self, act: Act) {
        self.record.note(self.now, format!("{act:?}"));
        match act {
            Act::Create(object) => {
                self.cluster.create(object, self.now);
                self.record.created.insert(object, self.now);
                self.shows(object);
            }
            Act::Delete(object) => self.delete(object),
            Act::Poke(object) => {
                self.cluster.poke(object);
                self.shows(object);
            }
            Act::Suspend(object, suspended) => {
                self.cluster.suspend(object, suspended);
                let times = self.record.suspended.entry(object).or_default();
                match times.last_mut() {
                    Some(last) if !suspended && last.1 == Duration::MAX => last.1 = self.now,
                    Some(_) | None if suspended => times.push((self.now, Duration::MAX)),
                    Some(_) | None => {}
                }
                self.shows(object);
            }
            Act::Start => self.start(),
            Act::Kill => drop(self.leader().map(|process| self.dies(process))),
            Act::End => {
                if let Some(process) = self.leader() {
                    self.dies(process);
                    self.lease.holder = None;
                }
            }
            Act::Stop(time) => self.leader_stops(time, Rest::Nothing),
            Act::Sleep(time) => self.leader_stops(time, Rest::Sleeps),
            Act::Pause(time) => self.leader_stops(time, Rest::IsPaused(time)),
            Act::SetClock(ahead) => {
                let machine = self.leader().map_or(0, |process| self.processes[process].machine);
                self.machines.get_mut(machine).into_iter().for_each(|machine| machine.set(ahead));
            }
        }
    }

    fn delete(&mut self, object: usize) {
        let Some(stored) = self.cluster.objects.remove(&object) else { return };
        self.record.deleted.insert(object, self.now);
        let view = stored.view(&self.scenario.objects[object]);
        for process in 0..self.processes.len() {
            let at = self.watch_moment();
            self.at(at, Event::Gone { process, view: view.clone() });
        }
    }

    fn start(&mut self) {
        let process = self.processes.len();
        let is_taken = |machine: &usize| self.processes.iter().any(|it| it.alive && it.machine == *machine);
        let machine = (0..self.machines.len()).find(|it| !is_taken(it)).unwrap_or(self.machines.len());
        if machine == self.machines.len() {
            self.machines.push(Machine::default());
        }
        self.processes.push(Process {
            program: Program::start(self.scenario.limits, OWN, &self.scenario.keys()),
            machine,
            start: self.machines[machine].start(self.now),
            alive: true,
            listed: false,
            stopped_until: None,
            stops_at_write: None,
            held: Vec::new(),
            cut_off: false,
            leads_since: None,
            renewed: None,
            renewed_boot: Duration::ZERO,
            term_ends: Duration::MAX,
            wake: None,
            reading: 0,
            to_read: VecDeque::new(),
            dates: Dates::new(self.scenario.seed ^ 0xDA ^ process as u64, self.scenario.false_dates),
        });
        self.record.starts.push(self.now);
        let at = self.soon(50, 500);
        self.at(at, Event::List { process });
    }

    /// The process that leads.
    fn leader(&self) -> Option<usize> {
        let holder = self.lease.holder;
        let leads = |it: &usize| self.processes[*it].alive && self.processes[*it].leads_since.is_some();
        holder.filter(leads).or_else(|| (0..self.processes.len()).rfind(leads))
    }

    fn dies(&mut self, process: usize) {
        self.closes_tenure(process);
        self.processes[process].alive = false;
        self.processes[process].held.clear();
    }

    fn closes_tenure(&mut self, process: usize) {
        if let Some(from) = self.processes[process].leads_since.take() {
            self.record.tenures.push(Tenure { process, from, to: self.now });
        }
    }

    /// The leader does not run for a time, from now on or from its next write on.
    fn leader_stops(&mut self, time: Duration, rest: Rest) {
        let Some(process) = self.leader() else { return };
        match self.dice.bool() {
            true => self.processes[process].stops_at_write = Some((time, rest)),
            false => self.stops(process, time, rest),
        }
    }

    fn stops(&mut self, process: usize, time: Duration, rest: Rest) {
        if let Rest::IsPaused(time) = rest {
            self.record.pauses.push((self.now, time));
        }
        self.closes_tenure(process);
        self.processes[process].stopped_until = Some(self.now + time);
        self.at(self.now + time, Event::Continues { process, rest });
    }

    fn continues(&mut self, number: usize, rest: Rest) {
        let process = &mut self.processes[number];
        match rest {
            Rest::Nothing | Rest::Sleeps => {}
            Rest::IsPaused(time) => self.machines[process.machine].pause(time),
        }
        process.cut_off = !matches!(rest, Rest::Nothing);
        process.stopped_until = None;
        process.wake = Some(Duration::ZERO);
        // With an election it leads on only if it can renew in time.
        if !self.scenario.election {
            process.leads_since = Some(self.now);
        }
        for event in std::mem::take(&mut process.held) {
            self.happens(event);
        }
    }

    /// Every process looks at the Lease: the holder renews it, others take it when it has long been old.
    fn lease_turns(&mut self) {
        self.at(self.now + millis(500), Event::Lease);
        for number in 0..self.processes.len() {
            if self.scenario.election && self.processes[number].runs() && self.processes[number].listed {
                self.lease_turn(number);
            }
        }
    }

    fn lease_turn(&mut self, number: usize) {
        let process = &self.processes[number];
        let has_led = process.renewed.is_some();
        if self.clocks(number).boot >= process.term_ends {
            self.retires(number, "could not renew its Lease");
        } else if self.scenario.is_out(self.now) {
        } else if self.lease.holder == Some(number) {
            if process.renewed.is_none_or(|renewed| self.now >= renewed + RENEWAL) {
                self.renew(number);
            }
        } else if has_led {
            self.retires(number, "finds its Lease taken");
        } else if self.lease.holder.is_none() || self.now >= self.lease.renewed + LEASE {
            self.record.note(self.now, format!("process {number} takes the Lease"));
            self.lease.holder = Some(number);
            self.renew(number);
        }
    }

    /// A process that may lead no more ends, and is started anew.
    fn retires(&mut self, process: usize, why: &str) {
        self.record.note(self.now, format!("process {process} {why}, and ends"));
        self.dies(process);
        self.at(self.now + secs(2), Event::Act(Act::Start));
    }

    fn renew(&mut self, process: usize) {
        let ends = self.clocks(process).boot + TERM;
        self.lease.renewed = self.now;
        self.processes[process].renewed = Some(self.now);
        self.processes[process].renewed_boot = self.machines[self.processes[process].machine].boot(self.now);
        self.processes[process].term_ends = ends;
        self.date(process);
        self.leads(process, ends);
    }
}

impl Process {
    fn runs(&self) -> bool {
        self.alive && self.stopped_until.is_none()
    }
}

impl Event {
    /// Whether it happens outside of the process that it is about.
    fn is_the_worlds(&self) -> bool {
        matches!(self, Self::Served { .. } | Self::Continues { .. } | Self::Write { .. })
    }
}

fn to_step(at: Duration) -> Duration {
    let step = STEP.as_nanos();
    let steps = at.as_nanos().div_ceil(step);
    Duration::from_nanos(u64::try_from(steps * step).unwrap_or(u64::MAX))
}
