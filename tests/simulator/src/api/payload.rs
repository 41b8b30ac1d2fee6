//! The body of an answer, which may break off before its end.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use hyper::body::{Body, Bytes, Frame, SizeHint};

#[derive(Debug)]
pub(crate) struct Payload {
    rest: Bytes,
    /// The length that is announced, when it is not the real one.
    announced: Option<usize>,
    flushed: bool,
}

impl Payload {
    pub(crate) fn whole(bytes: impl Into<Bytes>) -> Self {
        Self { rest: bytes.into(), announced: None, flushed: false }
    }

    /// Trailing white space up to a length; JSON stays the same JSON.
    pub(crate) fn padded(self, length: usize) -> Self {
        let mut bytes = self.rest.to_vec();
        bytes.resize(length.max(bytes.len()), b' ');
        Self::whole(bytes)
    }

    /// The same but for one byte that no UTF-8 has.
    pub(crate) fn garbled(self) -> Self {
        let mut bytes = self.rest.to_vec();
        let middle = bytes.len() / 2;
        bytes.splice(middle..middle, [0xff]);
        Self::whole(bytes)
    }

    /// The first half of it, announced as the whole.
    pub(crate) fn truncated(self) -> Self {
        let length = self.rest.len();
        Self { rest: self.rest.slice(..length / 2), announced: Some(length), flushed: false }
    }

    /// The `Content-Length` to send where hyper would not send the right wrong one.
    pub(crate) fn announced(&self) -> Option<usize> {
        self.announced
    }
}

impl Body for Payload {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let bytes = std::mem::take(&mut self.rest);
        if !bytes.is_empty() {
            return Poll::Ready(Some(Ok(Frame::data(bytes))));
        }
        // hyper drops what it has not flushed when a body ends short, and flushes when it waits.
        if self.announced.is_some() && !self.flushed {
            self.flushed = true;
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        Poll::Ready(None)
    }

    fn is_end_stream(&self) -> bool {
        self.announced.is_none() && self.rest.is_empty()
    }

    /// An exact size would make hyper refuse to announce another.
    fn size_hint(&self) -> SizeHint {
        match self.announced {
            None => SizeHint::with_exact(self.rest.len() as u64),
            Some(_) => SizeHint::default(),
        }
    }
}
