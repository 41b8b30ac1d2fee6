//! How large a page of a list may be: as many objects as one can hold, of any size, in bounded memory.

use std::error::Error;
use std::iter;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures::future::{MapOk, TryFutureExt};
use http::{Request, Response};
use http_body_util::{Either, LengthLimitError, Limited};
use kube::Client;
use kube::client::Body;
use tower::{Service, layer};

use crate::dates;
use crate::shared::Shared;

/// Objects a page, as with client-go. A page costs the API server the same again whatever it holds: 110,000 ImageTasks
/// took it 20 s in pages of 500, and 77 s in pages of 50.
pub const USUAL: u32 = 500;

/// Objects a page where the usual one is too large: some 70 MB where each is as large as an API server takes (120 of
/// 0.93 MB took 153 MB in a page of 500).
pub const SMALL: u32 = 50;

/// 16 MiB a usual page, 32 KiB an object; they have 1 to 3 KB. A page is held in memory as bytes, as text and parsed.
const MAX_USUAL: usize = 16 * 1024 * 1024;

/// A client that breaks off a usual page that is too large.
pub fn bounded_client(config: kube::Config, shared: &Arc<Shared>) -> kube::Result<Client> {
    Ok(dates::builder(config, shared)?.with_layer(&layer::layer_fn(Bounded)).build())
}

/// Whether a list was broken off because its pages are too large.
pub fn is_too_large(error: &kube::Error) -> bool {
    let first: &(dyn Error + 'static) = error;
    iter::successors(Some(first), |&error| error.source()).any(|error| error.is::<LengthLimitError>())
}

#[derive(Clone)]
struct Bounded<S>(S);

impl<S, B> Service<Request<Body>> for Bounded<S>
where
    S: Service<Request<Body>, Response = Response<B>>,
{
    type Response = Response<Either<Limited<B>, B>>;
    type Error = S::Error;
    type Future = MapOk<S::Future, fn(S::Response) -> Self::Response>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.0.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let answer: fn(S::Response) -> Self::Response = if is_usual_page(&request) {
            |answer| answer.map(|body| Either::Left(Limited::new(body, MAX_USUAL)))
        } else {
            |answer| answer.map(Either::Right)
        };
        self.0.call(request).map_ok(answer)
    }
}

/// A watch has no limit of objects, and goes on for as long as it likes.
fn is_usual_page(request: &Request<Body>) -> bool {
    let limit = format!("limit={USUAL}");
    request.uri().query().is_some_and(|query| query.split('&').any(|pair| pair == limit))
}
