//! Puts the questions that are due, and feeds the answers to the index.

use std::sync::Arc;

use k8s_openapi::api::core::v1::Secret;
use kube::{Api, Client};
use tokio_util::task::TaskTracker;
use tracing::{debug, info, warn};

use crate::apiserver::{CallError, bounded};
use crate::credentials::Credentials;
use crate::ecs;
use crate::health::Loop;
use crate::index::{Question, SecretFault, SecretName, Unusable};
use crate::renew::renew;
use crate::shared::Shared;
use crate::telemetry::chain;

/// Asks whatever is due, for ever.
pub async fn run(cloud: ecs::Client, sts: Option<ecs::Sts>, client: Client, shared: Arc<Shared>, health: Loop) {
    let calls = TaskTracker::new();
    let mut behind = 0;
    loop {
        let due = shared.due();
        let now_behind = shared.with(|index, _| index.lanes_behind());
        tell_of_lanes_behind(std::mem::replace(&mut behind, now_behind), now_behind);
        for question in due.questions {
            calls.spawn(ask(cloud.clone(), question, shared.clone()));
        }
        for secret in due.secrets {
            calls.spawn(read_secret(client.clone(), secret, shared.clone()));
        }
        if let Some(sts) = sts.as_ref().filter(|_| due.renew) {
            calls.spawn(renew(sts.clone(), shared.clone()));
        }
        health.turning(shared.wait(&shared.looks, due.next)).await;
    }
}

/// More tasks than the rate can serve in one interval are no fault, but the administrator should know.
fn tell_of_lanes_behind(before: usize, now: usize) {
    if now > before {
        warn!(
            lanes = now,
            "more tasks than --account-qps x --poll-interval x 100: they are looked at evenly, but more slowly"
        );
    } else if now == 0 && before > 0 {
        info!("every task is looked at in its interval again");
    }
}

async fn ask(cloud: ecs::Client, question: Question, shared: Arc<Shared>) {
    let metrics = &shared.metrics;
    metrics.asked(question.batch.size(), question.lag);
    let clock = shared.clock;
    let now = move || clock.now().wall;
    let answer = cloud.describe_tasks(&question.credentials, &question.region, &question.batch, &now).await;
    let took = clock.now().mono.saturating_sub(question.begun.mono);
    match &answer {
        Ok(answer) => metrics.answered("ok", answer.calls, took),
        Err(error) => {
            metrics.answered(error.kind.label(), error.calls, took);
            warn!(region = question.region.as_str(), ids = question.batch.size(), error = chain(error), "no answer");
        }
    }
    shared.change(|index, now| index.answered(question, answer, now));
}

async fn read_secret(client: Client, name: SecretName, shared: Arc<Shared>) {
    let api: Api<Secret> = Api::namespaced(client, &name.namespace);
    let read = match bounded(api.get(&name.name)).await {
        Ok(secret) => credentials(secret),
        Err(CallError::NotFound) => Err(SecretFault::Unusable(Unusable::NotFound)),
        Err(CallError::Forbidden(_)) => Err(SecretFault::Unusable(Unusable::Forbidden)),
        Err(error @ (CallError::Conflict | CallError::Failed(_))) => {
            warn!(namespace = &*name.namespace, secret = &*name.name, %error, "secret not read");
            Err(SecretFault::Unreadable)
        }
    };
    debug!(namespace = &*name.namespace, secret = &*name.name, usable = read.is_ok(), "secret read");
    shared.change(|index, now| index.secret_read(name, read, now));
}

fn credentials(secret: Secret) -> Result<Credentials, SecretFault> {
    let data = secret.data.unwrap_or_default();
    Credentials::from_pairs(|key| data.get(key).map(|value| value.0.clone()))
        .map_err(|error| SecretFault::Unusable(Unusable::Malformed(error)))
}
