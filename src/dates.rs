//! The clients of the Kubernetes API server: each hears the time in every answer.

use std::sync::Arc;

use http::header::DATE;
use http::{Request, Response};
use kube::Client;
use kube::client::{Body, ClientBuilder, DynBody};
use tower::BoxError;
use tower::util::{BoxService, MapResponse, MapResponseLayer};

use crate::ecs::http_date;
use crate::shared::Shared;

/// A client to which no layer is added any more.
pub fn client(config: kube::Config, shared: &Arc<Shared>) -> kube::Result<Client> {
    Ok(builder(config, shared)?.build())
}

/// What every client is made of.
pub fn builder(config: kube::Config, shared: &Arc<Shared>) -> kube::Result<ClientBuilder<Hearing<impl Hear>>> {
    let shared = shared.clone();
    let hear = move |answer: Answer| {
        let date = answer.headers().get(DATE).and_then(|date| http_date(date.to_str().ok()?));
        date.into_iter().for_each(|date| shared.heard(date));
        answer
    };
    Ok(ClientBuilder::try_from(config)?.with_layer(&MapResponseLayer::new(hear)))
}

/// An answer as kube's own service gives it.
type Answer = Response<Box<DynBody>>;

/// The service of a client that hears the time.
pub type Hearing<F> = MapResponse<BoxService<Request<Body>, Answer, BoxError>, F>;

/// What is done with an answer.
pub trait Hear: FnOnce(Answer) -> Answer + Clone + Send + 'static {}

impl<F: FnOnce(Answer) -> Answer + Clone + Send + 'static> Hear for F {}
