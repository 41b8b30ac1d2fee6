//! Calls to the API server: each bounded in time, and its failure told by what comes next.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use kube::core::Status;
use tokio::time::timeout;

use crate::clock::Clock;
use crate::telemetry::chain;

/// A call that takes longer has failed: kube sets no read timeout, and retries for minutes.
const LONGEST: Duration = Duration::from_secs(10);

/// Why a call brought nothing.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// What it was about is not there.
    #[error("not found")]
    NotFound,
    /// It has changed since it was read, or is there already.
    #[error("it has changed meanwhile")]
    Conflict,
    /// The operator may not do this.
    #[error("forbidden: {0}")]
    Forbidden(String),
    /// Anything else; worth trying again.
    #[error("{0}")]
    Failed(String),
}

/// Waits for a call, but not for ever.
pub async fn bounded<T>(call: impl Future<Output = kube::Result<T>>) -> Result<T, CallError> {
    bounded_by(LONGEST, call).await
}

/// Waits for a call no longer than `patience`.
pub async fn bounded_by<T>(patience: Duration, call: impl Future<Output = kube::Result<T>>) -> Result<T, CallError> {
    match timeout(patience, call).await {
        Ok(answer) => answer.map_err(CallError::from),
        Err(_) => Err(CallError::Failed(format!("the API server did not answer within {patience:?}"))),
    }
}

/// Waits for a call that must not go on from a moment on, not even if this process or its machine stood still meanwhile:
/// a timer that is late would let it.
pub async fn bounded_until<T>(
    clock: Clock,
    end: Duration,
    call: impl Future<Output = kube::Result<T>>,
) -> Result<T, CallError> {
    let mut call = pin!(call);
    let in_time = poll_fn(|context| match clock.mono() < end {
        true => call.as_mut().poll(context).map_err(CallError::from),
        false => Poll::Ready(Err(CallError::Failed("it was no longer time for it".to_owned()))),
    });
    let patience = LONGEST.min(end.saturating_sub(clock.mono()));
    match timeout(patience, in_time).await {
        Ok(answer) => answer,
        Err(_) => Err(CallError::Failed(format!("the API server did not answer within {patience:?}"))),
    }
}

impl From<kube::Error> for CallError {
    fn from(error: kube::Error) -> Self {
        // The parser repeats the value that it stumbles over, which may be a key of a Secret.
        if let kube::Error::SerdeError(error) = &error {
            let place = (error.line(), error.column());
            return Self::Failed(format!("the answer of the API server cannot be read (line, column: {place:?})"));
        }
        let kube::Error::Api(status) = error else { return Self::Failed(chain(&error)) };
        if is_not_found(&status) {
            Self::NotFound
        } else if status.is_conflict() || status.is_already_exists() {
            Self::Conflict
        } else if status.is_forbidden() {
            Self::Forbidden(status.message)
        } else {
            Self::Failed(format!("{} ({})", status.message, status.code))
        }
    }
}

/// Whether what was asked for is not there; for a kind that is not installed the API server sends plain text, in which
/// kube finds no reason, so the code decides.
pub fn is_not_found(status: &Status) -> bool {
    status.code == 404
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_call_does_not_go_on_after_its_time_although_its_timer_is_late() {
        let clock = Clock::start();
        let end = clock.mono() + Duration::from_millis(20);
        let mut polls = 0;
        let call = poll_fn(|context| {
            polls += 1;
            // The process stands still.
            while clock.mono() < end {}
            context.waker().wake_by_ref();
            Poll::<kube::Result<()>>::Pending
        });
        let answer = bounded_until(clock, end, call).await;
        assert!(matches!(answer, Err(CallError::Failed(_))), "{answer:?}");
        assert_eq!(polls, 1);
    }

    #[tokio::test]
    async fn a_call_in_time_is_answered_and_one_past_its_time_is_not_begun() {
        let clock = Clock::start();
        let call = async || Ok::<_, kube::Error>("answer");
        assert_eq!(bounded_until(clock, Duration::MAX, call()).await.ok(), Some("answer"));
        assert!(bounded_until(clock, clock.mono(), call()).await.is_err());
    }
}
