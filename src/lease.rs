//! Holds the Lease: the only one that writes it. What to do is decided in [`election`]; here it is done, each call
//! bounded, so that a hanging one does not outlive the term.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures::{Stream, StreamExt, TryFutureExt};
use k8s_openapi::api::coordination::v1::Lease;
use kube::api::{PostParams, WatchEvent, WatchParams};
use kube::{Api, Client};
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::apiserver::{CallError, bounded_by};
use crate::clock::Now;
use crate::election::{Draft, Election, Lost, Step, Terms};
use crate::health::Loop;
use crate::shared::Shared;
use crate::watch::WATCH_SECONDS;
use crate::write::FIELD_MANAGER;

/// Who stands for election, and for which Lease.
#[derive(Clone, Debug, PartialEq)]
pub struct Candidacy {
    /// The namespace of the Lease.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// What the Lease says of its holder; nobody else's.
    pub identity: String,
    /// Its times.
    pub terms: Terms,
}

/// Stands for election, and leads the index while elected. Ends when leadership is lost, or after `stop`, with the Lease
/// given back.
pub async fn run(
    client: Client,
    candidacy: Candidacy,
    shared: Arc<Shared>,
    stop: CancellationToken,
    health: Loop,
) -> Result<(), Lost> {
    let Candidacy { namespace, name, identity, terms } = candidacy;
    let mut candidate = Candidate {
        api: Api::namespaced(client, &namespace),
        election: Election::new(&name, &identity, terms),
        namespace,
        name,
        terms,
        shared,
        watching: None,
        watch_from: Duration::ZERO,
        term: None,
        told: None,
        complaint: None,
    };
    info!(namespace = candidate.namespace, lease = candidate.name, identity, "stands for election");
    while !stop.is_cancelled() {
        let now = candidate.now();
        match candidate.election.step(now) {
            Step::Read => health.turning(candidate.read(now)).await,
            Step::Write(draft) => health.turning(candidate.write(draft, now)).await,
            Step::Wait(until) => {
                tokio::select! {
                    () = health.turning(candidate.wait(until)) => {}
                    () = stop.cancelled() => {}
                }
            }
            Step::Over(lost) => return Err(lost),
        }
        candidate.tell();
    }
    health.turning(candidate.release()).await;
    Ok(())
}

type Watch = Pin<Box<dyn Stream<Item = kube::Result<WatchEvent<Lease>>> + Send>>;

struct Candidate {
    api: Api<Lease>,
    election: Election,
    namespace: String,
    name: String,
    terms: Terms,
    shared: Arc<Shared>,
    watching: Option<Watch>,
    /// No watch before: one that breaks off at once is not begun over and over.
    watch_from: Duration,
    /// The term that the index knows of.
    term: Option<Duration>,
    /// Of whom the log says that it leads.
    told: Option<String>,
    /// What cannot be done, and why: the log complains of it once as long as it lasts.
    complaint: Option<(&'static str, String)>,
}

impl Candidate {
    fn now(&self) -> Now {
        self.shared.now()
    }

    async fn read(&mut self, begun: Now) {
        let call = bounded_by(self.election.patience(begun), self.api.get(&self.name)).await;
        let now = self.now();
        match call {
            Ok(lease) => {
                self.works("get");
                self.election.read(Some(lease), now);
            }
            Err(CallError::NotFound) => self.election.read(None, now),
            Err(error @ (CallError::Conflict | CallError::Forbidden(_) | CallError::Failed(_))) => {
                self.failed("get", &error, begun);
            }
        }
    }

    async fn write(&mut self, draft: Draft, begun: Now) {
        let patience = self.election.patience(begun);
        let params = PostParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PostParams::default() };
        let (verb, call) = match &draft {
            Draft::Create(lease) => ("create", bounded_by(patience, self.api.create(&params, lease)).await),
            Draft::Replace(lease) => {
                ("update", bounded_by(patience, self.api.replace(&self.name, &params, lease)).await)
            }
        };
        match call {
            Ok(lease) => {
                self.works(verb);
                self.election.wrote(lease, begun, self.now());
            }
            Err(CallError::Conflict) => self.election.doubt(),
            // It was deleted; a namespace that is not there is told when it cannot be created.
            Err(CallError::NotFound) if matches!(draft, Draft::Replace(_)) => self.election.doubt(),
            Err(error @ (CallError::NotFound | CallError::Forbidden(_) | CallError::Failed(_))) => {
                self.failed(verb, &error, begun);
            }
        }
    }

    /// Waits for the next thing that the watch tells, or until a moment.
    async fn wait(&mut self, until: Duration) {
        self.begin_to_watch();
        let may_watch_later = self.watching.is_none() && self.election.version().is_some();
        let until = if may_watch_later { until.min(self.watch_from) } else { until };
        let wake = sleep_until(Instant::from_std(self.shared.clock.instant(until)));
        let event = async {
            match &mut self.watching {
                Some(watch) => watch.next().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            event = event => self.hear(event),
            () = wake => {}
        }
    }

    fn begin_to_watch(&mut self) {
        let now = self.now().mono;
        let Some(version) = self.election.version().filter(|_| self.watching.is_none() && now >= self.watch_from)
        else {
            return;
        };
        let (api, version) = (self.api.clone(), version.to_owned());
        // By its name, so that a Role that names the Lease suffices.
        let params = WatchParams::default().fields(&format!("metadata.name={}", self.name)).timeout(WATCH_SECONDS);
        let stream = async move { api.watch(&params, &version).await };
        self.watching = Some(Box::pin(stream.try_flatten_stream()));
        self.watch_from = now + self.terms.retry();
    }

    fn hear(&mut self, event: Option<kube::Result<WatchEvent<Lease>>>) {
        let now = self.now();
        match event {
            Some(Ok(WatchEvent::Added(lease) | WatchEvent::Modified(lease))) => self.election.saw(lease, now),
            Some(Ok(WatchEvent::Deleted(lease))) => self.election.deleted(&lease, now),
            Some(Ok(WatchEvent::Bookmark(_))) => {}
            Some(Ok(WatchEvent::Error(status))) => self.watch_broke(&kube::Error::Api(status).into()),
            Some(Err(error)) => self.watch_broke(&error.into()),
            None => self.watching = None,
        }
    }

    /// What a watch that broke may have missed is read.
    fn watch_broke(&mut self, error: &CallError) {
        self.watching = None;
        self.election.doubt();
        self.complain("watch", error);
    }

    fn failed(&mut self, verb: &'static str, error: &CallError, begun: Now) {
        self.election.failed(begun, self.now());
        self.complain(verb, error);
    }

    fn works(&mut self, verb: &str) {
        self.complaint.take_if(|(failing, _)| *failing == verb);
    }

    fn complain(&mut self, verb: &'static str, error: &CallError) {
        let complaint = (verb, error.to_string());
        if self.complaint.as_ref() == Some(&complaint) {
            return;
        }
        let advice = match error {
            CallError::NotFound => ": create its namespace, or name another with --lease-namespace",
            CallError::Forbidden(_) => ": allow the ServiceAccount to get, create, update and watch leases there",
            CallError::Conflict | CallError::Failed(_) => "",
        };
        warn!(namespace = self.namespace, lease = self.name, "cannot {verb} the Lease: {error}{advice}");
        self.complaint = Some(complaint);
    }

    /// Tells the index how long it leads, and the log who does.
    fn tell(&mut self) {
        if let Some(term) = self.election.term().filter(|term| self.term != Some(*term)) {
            self.term = Some(term);
            self.shared.change(|index, now| index.lead(term, now));
        }
        let holder = self.election.holder();
        if self.told.as_deref() != holder {
            let leads = self.election.term().is_some();
            match holder {
                Some(_) if leads => info!(lease = self.name, "leads"),
                Some(holder) => info!(lease = self.name, holder, "stands by"),
                None => {}
            }
            self.told = holder.map(str::to_owned);
        }
    }

    /// Gives the Lease back if it is held; if that fails, others wait until it expires.
    async fn release(&mut self) {
        let params = PostParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PostParams::default() };
        loop {
            let now = self.now();
            if let Step::Over(_) = self.election.step(now) {
                return;
            }
            let Some(lease) = self.election.release(now) else { return };
            match bounded_by(self.election.patience(now), self.api.replace(&self.name, &params, &lease)).await {
                Ok(_) => return info!(lease = self.name, "released the Lease"),
                Err(CallError::Conflict) => self.read(now).await,
                Err(error @ (CallError::NotFound | CallError::Forbidden(_) | CallError::Failed(_))) => {
                    return warn!(lease = self.name, %error, "the Lease is not released: others wait until it expires");
                }
            }
        }
    }
}
