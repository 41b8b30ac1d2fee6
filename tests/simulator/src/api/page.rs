//! Pages of a result, and the tokens that lead from one to the next.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256};

use super::error::ApiError;
use crate::state::{Place, Shown};

/// What a token is bound to: it continues the query it was returned for, no other.
pub(crate) struct Binding<'a> {
    pub(crate) place: &'a Place,
    pub(crate) task_ids: &'a [String],
    pub(crate) resource_ids: &'a [String],
}

/// One page, and the token of the next: empty on the last.
pub(crate) struct Page<'a> {
    pub(crate) tasks: Vec<Shown<'a>>,
    pub(crate) next_token: String,
}

impl<'a> Page<'a> {
    /// The page of up to `size` tasks that `token` leads to. `sorted` is the whole result.
    ///
    /// A token holds the last task that was shown, so a task that vanishes between two pages
    /// moves no other.
    pub(crate) fn cut(
        mut sorted: Vec<Shown<'a>>,
        binding: &Binding<'_>,
        token: &str,
        size: usize,
    ) -> Result<Self, ApiError> {
        if !token.is_empty() {
            let (created_at, id) = binding.open(token).ok_or_else(|| ApiError::of("InvalidNextToken.Malformed"))?;
            let start = sorted.partition_point(|task| task.position() <= (&created_at, &id));
            sorted.drain(..start);
        }
        let more = sorted.len() > size;
        sorted.truncate(size);
        let next_token = sorted.last().filter(|_| more).map(|last| binding.seal(last)).unwrap_or_default();
        Ok(Self { tasks: sorted, next_token })
    }
}

impl Binding<'_> {
    /// Standard base64, whose `+`, `/` and `=` a client has to encode in its query.
    fn seal(&self, last: &Shown<'_>) -> String {
        let (created_at, id) = last.position();
        let position = format!("{created_at}\n{id}");
        STANDARD.encode([self.mark(&position).as_slice(), position.as_bytes()].concat())
    }

    fn open(&self, token: &str) -> Option<(String, String)> {
        let bytes = STANDARD.decode(token).ok()?;
        let (mark, position) = bytes.split_at_checked(MARK_BYTES)?;
        let position = std::str::from_utf8(position).ok()?;
        let (created_at, id) = position.split_once('\n')?;
        (mark == self.mark(position)).then(|| (created_at.to_owned(), id.to_owned()))
    }

    fn mark(&self, position: &str) -> Vec<u8> {
        let query = format!("{:?}{:?}{:?}", self.place, self.task_ids, self.resource_ids);
        let mut mark = Sha256::digest(format!("{query}{position}")).to_vec();
        mark.truncate(MARK_BYTES);
        mark
    }
}

/// Enough to tell queries apart; nobody attacks a simulator.
const MARK_BYTES: usize = 8;
