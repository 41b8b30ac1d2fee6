//! Takes the operator's role when the index asks for it: reads the token file, asks STS, tells the index.

use std::fs::File;
use std::io::{self, Read};
use std::path::PathBuf;
use std::sync::Arc;

use tracing::{debug, warn};

use crate::clock;
use crate::ecs::{Session, Sts};
use crate::role::{OidcToken, RenewalFault, TokenError};
use crate::shared::Shared;
use crate::telemetry::chain;

/// Takes the role once; a failure is tried again when the index says so.
pub async fn renew(sts: Sts, shared: Arc<Shared>) {
    let renewed = session(&sts, &shared).await;
    match &renewed {
        Ok(session) => debug!(seconds = session.lifetime.as_secs(), "took the role"),
        Err(fault) => warn!(error = chain(fault), "the operator's own credentials are not renewed"),
    }
    shared.change(|index, now| index.renewed(renewed, now));
}

async fn session(sts: &Sts, shared: &Shared) -> Result<Session, RenewalFault> {
    let file = sts.role().token_file.clone();
    // A file may lie on a disk that hangs; the other loops go on.
    let content = tokio::task::spawn_blocking(|| read(file)).await;
    let content = content.unwrap_or_else(|error| Err(io::Error::other(error)));
    let token = OidcToken::parse(content.map_err(|error| TokenError::of(&error))?)?;
    let begun = shared.clock.mono();
    let answer = sts.assume_role(&token, clock::local()).await;
    let took = shared.clock.mono().saturating_sub(begun);
    shared.metrics.answered(answer.as_ref().map_or_else(|error| error.kind.label(), |_| "ok"), 1, took);
    Ok(answer?)
}

/// No more than shows that it is too long.
fn read(file: PathBuf) -> io::Result<Vec<u8>> {
    let mut content = Vec::new();
    File::open(file)?.take(OidcToken::MAX as u64 + 1).read_to_end(&mut content)?;
    Ok(content)
}
