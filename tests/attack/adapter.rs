//! The one file of the suite that knows the insides of the operator. Another structure of them changes this file alone.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use imagetask_operator::clock::{Now, Wall};
use imagetask_operator::credentials::{ACCESS_KEY, Credentials, Fingerprint, SECRET_KEY};
use imagetask_operator::ecs::{Answer, Batch, Error, Region, Task, TaskId, Words};
use imagetask_operator::index::{self, Index, Question, SecretFault, SecretName, Unusable, WatchId, Write, Written};
use imagetask_operator::reconcile::Rules;
use imagetask_operator::server_clock::ServerClock;
use k8s_openapi::jiff::Timestamp;
use serde_json::Value;

use crate::clocks::{Clocks, secs};
use crate::cloud::{Asked, Row, Said};
use crate::cluster::Stored;
use crate::scenario::{Limits, Name, Secret};

/// The program under attack: what decides in one process of it.
pub(crate) struct Program {
    index: Index,
    server: ServerClock,
    keys: HashMap<Fingerprint, String>,
}

pub(crate) struct Ask(Question, pub(crate) Asked);

/// A status to be written.
pub(crate) struct Draft {
    write: Write,
    pub(crate) object: Name,
    pub(crate) version: u64,
    pub(crate) status: Value,
}

impl Program {
    pub(crate) fn start(limits: Limits, own: &str, keys: &[String]) -> Self {
        let index = Index::new(index::Settings {
            rules: Rules { not_found_grace: secs(300), stuck_after: limits.stuck_after },
            poll_interval: limits.interval,
            account_qps: limits.qps,
            total_qps: 100.0,
            progress_interval: secs(30),
            default_region: Region::parse("cn-beijing").ok(),
            own_credentials: Some(index::Own::Keys(Arc::new(credentials(own)))),
            lent_to: index::Namespaces::All,
            lease_duration: secs(15),
        });
        let keys = keys.iter().map(|key| (credentials(key).fingerprint(), key.clone()));
        Self { index, server: ServerClock::default(), keys: keys.collect() }
    }

    fn now(&self, clocks: Clocks) -> Now {
        let wall = self.server.now(clocks.boot).map_or(Wall::Local(clocks.wall), Wall::Server);
        Now { mono: clocks.boot, wall }
    }

    /// An answer of the API server had this date.
    pub(crate) fn heard_date(&mut self, date: Timestamp, clocks: Clocks) {
        self.server.heard(date, clocks.boot);
    }

    pub(crate) fn lead(&mut self, until: Duration, clocks: Clocks) {
        self.index.lead(until, self.now(clocks));
    }

    pub(crate) fn list(&mut self, objects: impl Iterator<Item = Value>, clocks: Clocks) {
        self.index.list_begins(WatchId(0));
        objects.for_each(|object| self.shown(object, false, clocks));
        self.index.list_ends(WatchId(0));
    }

    /// The watch shows an object as it is now, or as it was when it went.
    pub(crate) fn shown(&mut self, object: Value, is_gone: bool, clocks: Clocks) {
        let (view, now) = (serde_json::from_value(object).unwrap(), self.now(clocks));
        if is_gone { self.index.leaves(view) } else { _ = self.index.arrives(view, WatchId(0), now) }
    }

    pub(crate) fn secret_read(&mut self, (namespace, name): Name, secret: &Secret, clocks: Clocks) {
        let malformed = || Credentials::from_pairs(|_| None).unwrap_err();
        let read = match secret {
            Secret::Key(key) => Ok(credentials(key)),
            Secret::Malformed => Err(SecretFault::Unusable(Unusable::Malformed(malformed()))),
            Secret::Missing => Err(SecretFault::Unusable(Unusable::NotFound)),
            Secret::Unreadable => Err(SecretFault::Unreadable),
        };
        let name = SecretName { namespace: namespace.into(), name: name.into() };
        self.index.secret_read(name, read, self.now(clocks));
    }

    /// The questions to put, the Secrets to read, and when to ask anew what is due.
    pub(crate) fn due(&mut self, clocks: Clocks) -> (Vec<Ask>, Vec<Name>, Option<Duration>) {
        let due = self.index.due(self.now(clocks));
        self.index.take_news();
        let secrets = due.secrets.into_iter().map(|it| (it.namespace.to_string(), it.name.to_string())).collect();
        (due.questions.into_iter().map(|it| self.ask(it)).collect(), secrets, due.next)
    }

    fn ask(&self, question: Question) -> Ask {
        let ids = question.batch.parameters().into_iter().map(|(_, id)| id.to_owned()).collect();
        let (region, of_images) = (question.region.to_string(), matches!(question.batch, Batch::Resources(_)));
        let key = self.keys[&question.credentials.fingerprint()].clone();
        Ask(question, Asked { key, region, ids, of_images })
    }

    pub(crate) fn answered(&mut self, ask: Ask, said: Said, clocks: Clocks) {
        let task = |row: &Row| {
            let (type_, status, created_at) = (Some(row.type_), Some(row.word), Some(row.created));
            let words = Words { type_, status, created_at, resource_id: row.image.as_deref(), ..Words::default() };
            Task::new(TaskId::parse(&row.id).unwrap(), words)
        };
        let tasks = |rows: Vec<Row>| rows.iter().map(task).collect();
        let result = match said {
            Said::Tasks(rows, complete, calls) => Ok(Answer { tasks: tasks(rows), request_id: None, complete, calls }),
            Said::Refused(code, status, pause) => Err(Error::refused(Some(code.into()), status, pause)),
            Said::Unusable(status) => Err(Error::unusable(status, None)),
            Said::Unreachable => Err(Error::unreachable()),
        };
        self.index.answered(ask.0, result, self.now(clocks));
    }

    /// The statuses to write, and when to ask anew for them.
    pub(crate) fn writes(&mut self, clocks: Clocks) -> (Vec<Draft>, Option<Duration>) {
        let (writes, next) = self.index.due_writes(self.now(clocks));
        let object = |write: &Write| (write.object.namespace.to_string(), write.object.name.to_string());
        let status = |write: &Write| serde_json::to_value(&write.status).unwrap();
        let draft = |it: Write| Draft { object: object(&it), version: it.version, status: status(&it), write: it };
        (writes.into_iter().map(draft).collect(), next)
    }

    /// Asked right before a write is sent.
    pub(crate) fn may_send(&self, draft: &Draft, clocks: Clocks) -> bool {
        self.index.may_send(&draft.write, self.now(clocks))
    }

    pub(crate) fn written(&mut self, draft: &Draft, stored: Stored, clocks: Clocks) {
        let written = match stored {
            Stored::As(object) => Written::Stored(serde_json::from_value(object).unwrap()),
            Stored::Conflict => Written::Conflict,
            Stored::Gone => Written::Gone,
            Stored::Failed => Written::Failed,
        };
        self.index.written(draft.write.entry, draft.write.revision(), written, self.now(clocks));
    }
}

fn credentials(key: &str) -> Credentials {
    Credentials::from_pairs(|name| [ACCESS_KEY, SECRET_KEY].contains(&name).then(|| key.into())).unwrap()
}
