//! Which questions are due, and what their answers mean for the entries.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::Index;
use super::blame::Finding;
use super::canary::FailedRequest;
use super::directory::Tenant;
use super::entry::Seat;
use super::key::EntryKey;
use super::pick::{Pick, pick};
use super::sent::Sent;
use super::source::SecretName;
use super::subject::SubjectId;
use crate::clock::Now;
use crate::credentials::Credentials;
use crate::ecs::{Answer, Batch, Error, ErrorKind, Region, Scope, Task, Word};
use crate::followed::Followed;
use crate::observation::{Failure, FailureKind, Look, Observation};
use crate::reconcile::Next;
use crate::spec::Target;

/// One question to the cloud.
#[derive(Debug)]
pub struct Question {
    /// What to sign with.
    pub credentials: Arc<Credentials>,
    /// Where to ask.
    pub region: Region,
    /// What to ask.
    pub batch: Batch,
    /// When it is put.
    pub begun: Now,
    /// How late it is against the schedule, which a probe of a lane that fails has none of.
    pub lag: Option<Duration>,
    pub(super) lane: usize,
    /// In whose turn of the total rate it is put.
    pub(super) tenant: Tenant,
    pub(super) sent: Sent,
    pub(super) subjects: Vec<u32>,
}

/// What is due now.
#[derive(Debug, Default)]
pub struct Due {
    /// Questions to put.
    pub questions: Vec<Question>,
    /// Secrets to read.
    pub secrets: Vec<SecretName>,
    /// Whether the operator's role is to be taken anew.
    pub renew: bool,
    /// When to ask again what is due; `None`: when something has changed.
    pub next: Option<Duration>,
}

impl Index {
    /// What is due now.
    pub fn due(&mut self, now: Now) -> Due {
        if !self.is_leading(now) {
            self.deadlines.idle();
            return Due::default();
        }
        self.pass_deadlines(now);
        self.pass_rechecks(now);
        let mut due = self.due_reads(now.mono);
        let next_turn = self.take_turns(&mut due.questions, now);
        due.next = [due.next, next_turn, self.deadlines.next(now), self.rechecks.next()].into_iter().flatten().min();
        due
    }

    /// A question was answered, or failed.
    pub fn answered(&mut self, question: Question, result: Result<Answer, Error>, now: Now) {
        let Question { lane, tenant, sent, .. } = question;
        let asked_tasks = !question.batch.is_of_images();
        let calls = result.as_ref().map_or_else(|error| error.calls, |answer| answer.calls);
        let more = calls.saturating_sub(1);
        self.lanes[lane].landed(&question.subjects, sent);
        self.lanes[lane].charge(more, sent, now.mono);
        (0..more).for_each(|_| self.total.take(now.mono));
        self.shares.charge_more(tenant, more);
        let findings = match result {
            Ok(answer) => self.observe_answer(question, &answer, now),
            Err(error) => self.failed(question, &error, now),
        };
        let mut tenants: Vec<_> = findings.into_iter().filter_map(|it| self.observe_finding(lane, it, now)).collect();
        tenants.extend(sent.unsettled());
        tenants.into_iter().for_each(|tenant| self.lanes[lane].settle_namespace(tenant, asked_tasks, now.mono));
        self.lanes.close_if_empty(lane);
    }

    /// Lanes whose ids need more calls than the rate serves in an interval.
    pub fn lanes_behind(&self) -> usize {
        self.lanes.iter().filter(|lane| lane.is_behind(self.settings.account_qps)).count()
    }

    /// Lanes by state: steady, behind (more ids than the rate serves in an interval), probing (failing as a whole).
    pub fn lane_states(&self) -> [(&'static str, usize); 3] {
        let qps = self.settings.account_qps;
        let count = |state: fn(bool, bool) -> bool| {
            self.lanes.iter().filter(|lane| state(lane.is_probing(), lane.is_behind(qps))).count()
        };
        [
            ("steady", count(|probing, behind| !probing && !behind)),
            ("behind", count(|probing, behind| !probing && behind)),
            ("probing", count(|probing, _| probing)),
        ]
    }

    fn observe_answer(&mut self, question: Question, answer: &Answer, now: Now) -> Vec<Finding> {
        let Question { lane, subjects, sent, batch, begun, .. } = question;
        let is_of_use = answer.complete || !batch.is_of_images();
        let (recovered, mut findings) = self.lanes[lane].succeeded(&subjects, sent, is_of_use, begun.mono, now.mono);
        if recovered {
            self.credentials_accepted(lane);
        }
        let tasks = by_subject(&batch, &answer.tasks);
        if !is_of_use {
            let told = |&image: &u32| {
                (self.lanes[lane].tenant_of(image), tasks_of(&tasks, self.lanes[lane].text_of(image)).len())
            };
            let told = sum_by_tenant(subjects.iter().map(told));
            let request =
                FailedRequest { ids: subjects, sent, begun, kind: ErrorKind::Rejected, failure: endless(answer) };
            findings.extend(self.lanes[lane].endless(request, &told, now.mono));
            return findings;
        }
        let alone = subjects.len() == 1;
        let request_id = answer.request_id.as_deref();
        for subject in subjects {
            let tasks = tasks_of(&tasks, self.lanes[lane].text_of(subject));
            self.observe_each(lane, subject, begun, now, |index, key| match index.pick(key, &batch, tasks) {
                Pick::Task(task) => Observation::Found { task, request_id },
                Pick::Absent { passed_over } if answer.complete => {
                    Observation::Missing { alone, passed_over, request_id }
                }
                Pick::Absent { .. } | Pick::Unsaid => Observation::Nothing,
            });
        }
        findings
    }

    fn failed(&mut self, question: Question, error: &Error, now: Now) -> Vec<Finding> {
        let Question { lane, subjects: ids, sent, begun, .. } = question;
        if error.kind.scope() != Scope::Lane && self.lanes[lane].is_refused() {
            self.credentials_accepted(lane);
        }
        if error.kind.scope() == Scope::Refusal && !self.lanes[lane].is_probing() {
            self.deadlines_not_answered(lane, &ids);
        }
        let request = FailedRequest { ids, sent, begun, kind: error.kind, failure: failure(error, now.mono) };
        self.lanes[lane].failed(request, now.mono)
    }

    /// Tells those whom it concerns. Returns whose id is at fault, if one is.
    fn observe_finding(&mut self, lane: usize, finding: Finding, now: Now) -> Option<Tenant> {
        match finding {
            Finding::Poison(FailedRequest { ids, begun, failure, .. }) => {
                let failure = Failure { of_task: true, ..failure };
                let tenant = self.lanes[lane].tenant_of(ids[0]);
                self.observe(lane, ids[0], Look { begun, seen: Observation::Failed(&failure) }, now);
                Some(tenant)
            }
            Finding::Outage { begun, since, kind, failure } => {
                if kind == ErrorKind::CredentialsInvalid {
                    self.credentials_refused(lane, now.mono);
                }
                let failure = Failure { since, ..failure };
                self.lanes[lane].tell(failure.clone());
                for key in self.lanes[lane].followers() {
                    self.look_at(key, Look { begun, seen: Observation::Failed(&failure) }, now);
                }
                None
            }
        }
    }

    fn observe(&mut self, lane: usize, subject: u32, look: Look<'_>, now: Now) {
        self.observe_each(lane, subject, look.begun, now, |_, _| look.seen);
    }

    /// Judges all who follow an id after a look, and places the id where its next look is due.
    fn observe_each<'a>(
        &mut self,
        lane: usize,
        subject: u32,
        begun: Now,
        now: Now,
        seen: impl Fn(&Self, EntryKey) -> Observation<'a>,
    ) {
        let mut soonest: Option<Next> = None;
        for key in self.lanes[lane].followers_of(subject) {
            let seen = seen(self, key);
            let next = self.look_at(key, Look { begun, seen }, now);
            soonest = [soonest, next].into_iter().flatten().min();
        }
        self.lanes[lane].settle(subject, soonest.unwrap_or(Next::Never), begun.mono, now.mono);
    }

    /// Judges one entry after a look, and moves it where its next look is due.
    fn look_at(&mut self, key: EntryKey, look: Look<'_>, now: Now) -> Option<Next> {
        let next = self.judge(key, &look, now)?;
        if next == Next::Never {
            self.vacate(key);
            return None;
        }
        let entry = &self.entries[key.slot as usize];
        let by_image = matches!(&entry.followed.spec, Ok(spec) if matches!(spec.target, Target::Newest { .. }));
        let at_image = match entry.seat {
            Seat::Taken { lane, subject, .. } => {
                matches!(self.lanes[lane.get()].id_of(subject), SubjectId::Resource(_))
            }
            Seat::Waiting { .. } | Seat::None => false,
        };
        if by_image && at_image && entry.followed.status.reported.is_some() {
            // The newest task of the image is known now, and followed by its own id from here on.
            let left = self.rise(key);
            self.take_seat(key, Some(look.begun.mono + self.settings.poll_interval), now);
            self.leave(left);
            return None;
        }
        Some(next)
    }

    /// What the tasks that an answer tells of an entry's id, or of its image, are to it.
    fn pick<'a>(&self, key: EntryKey, batch: &Batch, tasks: &[(Cow<'a, str>, &'a Task)]) -> Pick<'a> {
        let mut tasks = tasks.iter().map(|(_, task)| *task);
        let Some(Followed { spec: Ok(spec), created, status, .. }) = self.entry(key).map(|entry| &entry.followed)
        else {
            return Pick::Unsaid;
        };
        match (batch, &spec.target) {
            (Batch::Tasks(_), _) => tasks.next().map_or(Pick::Absent { passed_over: false }, Pick::Task),
            (Batch::Resources(_), Target::Newest(newest)) => {
                pick(newest, *created, status.reported.as_ref().map(|task| &task.id), tasks)
            }
            (Batch::Resources(_), Target::Task(_)) => Pick::Unsaid,
        }
    }
}

/// Tasks that were told of, by whose image they are of.
fn sum_by_tenant(told: impl Iterator<Item = (Tenant, usize)>) -> Vec<(Tenant, usize)> {
    let mut sums = BTreeMap::new();
    told.for_each(|(tenant, tasks)| *sums.entry(tenant).or_default() += tasks);
    sums.into_iter().collect()
}

fn endless(answer: &Answer) -> Failure {
    Failure {
        kind: FailureKind::Rejected,
        of_task: true,
        since: Duration::ZERO,
        text: ENDLESS_ANSWER.into(),
        code: None,
        request_id: answer.request_id.clone(),
    }
}

const ENDLESS_ANSWER: &str = "the cloud's answer about this image does not come to an end: create the ImageTask anew \
    with the taskId instead of the image";

/// The tasks of an answer by the id that was asked for, in ascending order.
fn by_subject<'a>(batch: &Batch, tasks: &'a [Task]) -> Vec<(Cow<'a, str>, &'a Task)> {
    let id = |task: &'a Task| match batch {
        Batch::Tasks(_) => task.id.as_str().into(),
        Batch::Resources(_) => task.word(Word::Resource).unwrap_or_default(),
    };
    let mut by_subject: Vec<_> = tasks.iter().map(|task| (id(task), task)).collect();
    by_subject.sort_by(|(a, _), (b, _)| a.cmp(b));
    by_subject
}

/// Those of one id.
fn tasks_of<'a, 'b>(by_subject: &'b [(Cow<'a, str>, &'a Task)], id: &str) -> &'b [(Cow<'a, str>, &'a Task)] {
    let (_, from) = by_subject.split_at(by_subject.partition_point(|(other, _)| **other < *id));
    &from[..from.partition_point(|(other, _)| other == id)]
}

fn failure(error: &Error, since: Duration) -> Failure {
    let kind = match error.kind {
        ErrorKind::Throttled { .. } => FailureKind::Throttled,
        ErrorKind::Unreachable | ErrorKind::Unavailable | ErrorKind::Clock => FailureKind::Unavailable,
        ErrorKind::CredentialsInvalid => FailureKind::CredentialsInvalid,
        ErrorKind::AccessDenied => FailureKind::AccessDenied,
        ErrorKind::Rejected => FailureKind::Rejected,
    };
    Failure {
        kind,
        of_task: false,
        since,
        text: error.kind.advice().into(),
        code: error.code.clone(),
        request_id: error.request_id.clone(),
    }
}
