//! The one file of the suite that knows the insides of the operator. Another structure of them changes this file alone.

use std::sync::Arc;
use std::time::Duration;

use imagetask_operator::clock::Now;
use imagetask_operator::credentials::{ACCESS_KEY, Credentials, Fingerprint, SECRET_KEY};
use imagetask_operator::ecs::{Answer, Batch, Error, Region, Task, TaskId, Words};
use imagetask_operator::index::{Index, Namespaces, Own, Question, SecretFault, SecretName, Settings, Unusable};
use imagetask_operator::index::{WatchId, Write, Written};
use imagetask_operator::reconcile::Rules;
use k8s_openapi::jiff::Timestamp;
use serde_json::Value;

use crate::clocks::{Clocks, secs};
use crate::cloud::{Row, Said};
use crate::cluster::Stored;
use crate::scenario::{Limits, Name, Secret};

const WATCH: WatchId = WatchId(0);

/// The program under attack: what decides in one process of it.
pub(crate) struct Program {
    index: Index,
    /// The names of all keys that there are.
    keys: Vec<(String, Fingerprint)>,
}

/// A question to the cloud.
pub(crate) struct Ask {
    question: Question,
    pub(crate) ids: Vec<String>,
    pub(crate) of_images: bool,
    pub(crate) region: String,
    pub(crate) key: String,
}

/// A status to be written.
pub(crate) struct Draft {
    write: Write,
    pub(crate) object: Name,
    pub(crate) version: u64,
    pub(crate) status: Value,
}

/// The moment as the program has it.
fn now(clocks: Clocks) -> Now {
    Now { mono: clocks.mono, wall: clocks.wall }
}

/// The clock on which the moments count that the program names.
pub(crate) fn clock(clocks: Clocks) -> Duration {
    now(clocks).mono
}

impl Program {
    pub(crate) fn start(limits: Limits, own: &str, keys: &[String]) -> Self {
        let index = Index::new(Settings {
            rules: Rules { not_found_grace: secs(300), stuck_after: limits.stuck_after },
            poll_interval: limits.interval,
            account_qps: limits.qps,
            total_qps: 100.0,
            progress_interval: secs(30),
            default_region: Region::parse("cn-beijing").ok(),
            own_credentials: Some(Own::Keys(Arc::new(credentials(own)))),
            lent_to: Namespaces::All,
        });
        Self { index, keys: keys.iter().map(|key| (key.clone(), credentials(key).fingerprint())).collect() }
    }

    /// An answer of the API server had this date.
    pub(crate) fn heard_date(&mut self, _date: Timestamp, _clocks: Clocks) {}

    pub(crate) fn lead(&mut self, until: Duration, clocks: Clocks) {
        self.index.lead(until, now(clocks));
    }

    pub(crate) fn list(&mut self, objects: impl Iterator<Item = Value>, clocks: Clocks) {
        self.index.list_begins(WATCH);
        objects.for_each(|object| self.arrives(object, clocks));
        self.index.list_ends(WATCH);
    }

    pub(crate) fn arrives(&mut self, object: Value, clocks: Clocks) {
        self.index.arrives(serde_json::from_value(object).unwrap(), WATCH, now(clocks));
    }

    pub(crate) fn leaves(&mut self, object: Value) {
        self.index.leaves(serde_json::from_value(object).unwrap());
    }

    pub(crate) fn secret_read(&mut self, (namespace, name): Name, secret: &Secret, clocks: Clocks) {
        let read = match secret {
            Secret::Key(key) => Ok(credentials(key)),
            Secret::Malformed => {
                Credentials::from_pairs(|_| None).map_err(|it| SecretFault::Unusable(Unusable::Malformed(it)))
            }
            Secret::Missing => Err(SecretFault::Unusable(Unusable::NotFound)),
            Secret::Unreadable => Err(SecretFault::Unreadable),
        };
        let name = SecretName { namespace: namespace.into(), name: name.into() };
        self.index.secret_read(name, read, now(clocks));
    }

    /// The questions to put, the Secrets to read, and when to ask anew what is due.
    pub(crate) fn due(&mut self, clocks: Clocks) -> (Vec<Ask>, Vec<Name>, Option<Duration>) {
        let due = self.index.due(now(clocks));
        self.index.take_news();
        let secrets = due.secrets.into_iter().map(|it| (it.namespace.to_string(), it.name.to_string())).collect();
        (due.questions.into_iter().map(|it| self.ask(it)).collect(), secrets, due.next)
    }

    fn ask(&self, question: Question) -> Ask {
        let print = question.credentials.fingerprint();
        let key = self.keys.iter().find(|(_, known)| *known == print).map(|(key, _)| key.clone());
        Ask {
            ids: question.batch.parameters().into_iter().map(|(_, id)| id.to_owned()).collect(),
            of_images: matches!(question.batch, Batch::Resources(_)),
            region: question.region.as_str().to_owned(),
            key: key.expect("it asks with keys that it was given"),
            question,
        }
    }

    pub(crate) fn answered(&mut self, ask: Ask, said: Said, clocks: Clocks) {
        let result = match said {
            Said::Tasks { rows, complete, pages } => {
                Ok(Answer { tasks: rows.iter().map(task).collect(), request_id: None, complete, calls: pages })
            }
            Said::Refused { code, status, retry_after } => {
                Err(Error::refused(code.map(Into::into), status, retry_after))
            }
            Said::Unusable(status) => Err(Error::unusable(status, None)),
            Said::Unreachable => Err(Error::unreachable()),
        };
        self.index.answered(ask.question, result, now(clocks));
    }

    pub(crate) fn writes(&mut self, clocks: Clocks) -> (Vec<Draft>, Option<Duration>) {
        let (writes, next) = self.index.due_writes(now(clocks));
        (writes.into_iter().map(draft).collect(), next)
    }

    /// Asked right before a write is sent.
    pub(crate) fn may_send(&self, _draft: &Draft, _clocks: Clocks) -> bool {
        true
    }

    pub(crate) fn written(&mut self, draft: &Draft, stored: Stored, clocks: Clocks) {
        let written = match stored {
            Stored::As(object) => Written::Stored(serde_json::from_value(object).unwrap()),
            Stored::Conflict => Written::Conflict,
            Stored::Gone => Written::Gone,
            Stored::Failed => Written::Failed,
        };
        self.index.written(draft.write.entry, draft.write.revision(), written, now(clocks));
    }
}

fn credentials(key: &str) -> Credentials {
    Credentials::from_pairs(|name| [ACCESS_KEY, SECRET_KEY].contains(&name).then(|| key.into())).unwrap()
}

fn task(row: &Row) -> Task {
    let (type_, status, created_at) = (Some(row.type_), Some(row.word), Some(row.created));
    let words = Words { type_, status, created_at, resource_id: row.image.as_deref(), ..Words::default() };
    Task::new(TaskId::parse(&row.id).unwrap(), words)
}

fn draft(write: Write) -> Draft {
    let object = (write.object.namespace.to_string(), write.object.name.to_string());
    Draft { object, version: write.version, status: serde_json::to_value(&write.status).unwrap(), write }
}
