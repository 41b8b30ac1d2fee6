//! Puts the questions that are due, and feeds the answers to the index.

use std::sync::Arc;

use k8s_openapi::api::core::v1::Secret;
use kube::{Api, Client};
use tokio::sync::Semaphore;
use tokio_util::task::TaskTracker;
use tracing::{debug, info, warn};

use crate::apiserver::{CallError, bounded};
use crate::clock;
use crate::credentials::Credentials;
use crate::ecs;
use crate::health::Loop;
use crate::index::{Question, SecretFault, SecretName, Unusable};
use crate::renew::renew;
use crate::shared::Shared;
use crate::telemetry::chain;

/// Secrets that are read at once: each is a connection, and an answer of up to 1 MiB; 16 of 5 ms are 3,000 a second.
const READS: usize = 16;

/// Asks whatever is due, for ever.
pub async fn run(cloud: ecs::Client, sts: Option<ecs::Sts>, client: Client, shared: Arc<Shared>, health: Loop) {
    let calls = TaskTracker::new();
    let reads = Arc::new(Semaphore::new(READS));
    let mut behind = 0;
    loop {
        let due = shared.due();
        let now_behind = shared.with(|index, _| index.lanes_behind());
        tell_of_lanes_behind(std::mem::replace(&mut behind, now_behind), now_behind);
        for question in due.questions {
            calls.spawn(ask(cloud.clone(), question, shared.clone()));
        }
        for secret in due.secrets {
            calls.spawn(read_secret(client.clone(), reads.clone(), secret, shared.clone()));
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
    // The cloud judges a signature by its own clock, and tells where this one is wrong.
    let answer = cloud.describe_tasks(&question.credentials, &question.region, &question.batch, &clock::local).await;
    let took = shared.clock.mono().saturating_sub(question.begun.mono);
    match &answer {
        Ok(answer) => metrics.answered("ok", answer.calls, took),
        Err(error) => {
            metrics.answered(error.kind.label(), error.calls, took);
            warn!(region = question.region.as_str(), ids = question.batch.size(), error = chain(error), "no answer");
        }
    }
    shared.change(|index, now| index.answered(question, answer, now));
}

async fn read_secret(client: Client, reads: Arc<Semaphore>, name: SecretName, shared: Arc<Shared>) {
    let read = read(client, &reads, &name).await;
    debug!(namespace = &*name.namespace, secret = &*name.name, usable = read.is_ok(), "secret read");
    shared.change(|index, now| index.secret_read(name, read, now));
}

async fn read(client: Client, reads: &Semaphore, name: &SecretName) -> Result<Credentials, SecretFault> {
    let _turn = reads.acquire().await.expect("nobody closes it");
    let api: Api<Secret> = Api::namespaced(client, &name.namespace);
    match bounded(api.get(&name.name)).await {
        Ok(secret) => credentials(secret),
        Err(CallError::NotFound) => Err(SecretFault::Unusable(Unusable::NotFound)),
        Err(CallError::Forbidden(_)) => Err(SecretFault::Unusable(Unusable::Forbidden)),
        Err(error @ (CallError::Conflict | CallError::Failed(_))) => {
            warn!(namespace = &*name.namespace, secret = &*name.name, %error, "secret not read");
            Err(SecretFault::Unreadable)
        }
    }
}

fn credentials(secret: Secret) -> Result<Credentials, SecretFault> {
    let data = secret.data.unwrap_or_default();
    Credentials::from_pairs(|key| data.get(key).map(|value| value.0.clone()))
        .map_err(|error| SecretFault::Unusable(Unusable::Malformed(error)))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use futures::future::join_all;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::{TcpListener, TcpStream};
    use tokio::time::timeout;

    use super::*;

    /// An API server that answers once nobody else comes, and that no Secret is there; how many it had at a time.
    async fn patient(listener: TcpListener) -> Vec<usize> {
        let (mut crowds, mut crowd) = (Vec::new(), Vec::<TcpStream>::new());
        loop {
            match timeout(Duration::from_millis(100), listener.accept()).await {
                Ok(accepted) => crowd.push(accepted.unwrap().0),
                Err(_) if crowd.is_empty() => return crowds,
                Err(_) => {
                    crowds.push(crowd.len());
                    for mut stream in crowd.drain(..) {
                        stream.read_buf(&mut Vec::with_capacity(4096)).await.unwrap();
                        stream
                            .write_all(b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
                            .await
                            .unwrap();
                    }
                }
            }
        }
    }

    #[tokio::test]
    async fn a_hundred_secrets_are_read_sixteen_at_a_time() {
        // Another test may have installed it already.
        drop(rustls::crypto::ring::default_provider().install_default());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let client = Client::try_from(kube::Config::new(address.parse().unwrap())).unwrap();
        let reads = Semaphore::new(READS);
        let name = |n: usize| SecretName { namespace: "team".into(), name: format!("keys-{n}").into() };
        let names: Vec<_> = (0..100).map(name).collect();
        let reading = join_all(names.iter().map(|name| read(client.clone(), &reads, name)));
        let (read, crowds) = tokio::join!(reading, patient(listener));
        assert!(read.iter().all(|it| matches!(it, Err(SecretFault::Unusable(Unusable::NotFound)))), "{read:?}");
        assert_eq!(crowds, [16, 16, 16, 16, 16, 16, 4]);
    }
}
