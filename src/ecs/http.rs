//! One HTTP exchange with the cloud: to one host, bounded in time and size, never redirected, never repeated.

use std::time::Duration;

use k8s_openapi::jiff::Timestamp;

use super::Endpoint;
use super::error::{Cause, sanitise};
use super::wire::{self, Head};

/// Bounds of one HTTP request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeouts {
    /// Until the connection stands, TLS included.
    pub connect: Duration,
    /// From the start until the last byte of the answer.
    pub request: Duration,
}

impl Timeouts {
    /// 5 s: a handshake takes 3 round trips of 0.3 s between continents, with room for one lost packet (3 s).
    /// 10 s: the default poll interval; a later answer is as good as the next one.
    pub const DEFAULT: Self = Self { connect: Duration::from_secs(5), request: Duration::from_secs(10) };
}

/// The HTTP client cannot be built.
#[derive(Debug, thiserror::Error)]
#[error("the HTTP client cannot be built: check that the system has CA certificates")]
pub struct BuildError(#[source] reqwest::Error);

/// A body, or why there is none.
pub(super) type Body = Result<Vec<u8>, Cause>;

pub(super) const USER_AGENT: &str = concat!("imagetask-operator/", env!("CARGO_PKG_VERSION"));

/// 8: at 100 calls a second in total and 50 ms each, some 5 are under way at a time.
const MAX_IDLE: usize = 8;

/// 1 MiB: 100 tasks of 8 fields of at most 128 characters of 4 bytes are 0.4 MiB; the rest is for names and envelope.
pub(super) const MAX_BODY: usize = 1024 * 1024;

/// A client for the administrator's endpoint, or for the cloud's own hosts.
pub(super) fn client(endpoint: Option<&Endpoint>, timeouts: Timeouts) -> Result<reqwest::Client, BuildError> {
    let clear = endpoint.is_some_and(Endpoint::is_clear);
    let builder = reqwest::Client::builder()
        .user_agent(USER_AGENT)
        .connect_timeout(timeouts.connect)
        .timeout(timeouts.request)
        .https_only(!clear)
        // A signature counts for one host and one attempt.
        .redirect(reqwest::redirect::Policy::none())
        .retry(reqwest::retry::never())
        .pool_max_idle_per_host(MAX_IDLE)
        // A connection that died unnoticed would fail every call for as long as TCP retransmits.
        .http2_keep_alive_while_idle(true)
        .http2_keep_alive_interval(timeouts.connect)
        .http2_keep_alive_timeout(timeouts.connect);
    // No proxy leads to this machine's own loopback, and what goes in clear must not leave it.
    let local = endpoint.is_some_and(Endpoint::is_loopback);
    let builder = if local { builder.no_proxy() } else { builder };
    builder.build().map_err(BuildError)
}

/// The variables that name a proxy, for [`client`] and for whoever checks them: what is no proxy would be passed over in
/// silence.
pub const PROXY_VARIABLES: [&str; 4] = ["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"];

/// Whether a text names a proxy.
pub fn is_proxy(text: &str) -> bool {
    reqwest::Proxy::all(text).is_ok()
}

/// What an answer says beside its body; `at` is when it was asked for.
pub(super) fn head(response: &reqwest::Response, at: Timestamp) -> Head {
    let header = |name: &str| response.headers().get(name)?.to_str().ok();
    Head {
        status: response.status().as_u16(),
        date: header("date").and_then(wire::http_date),
        retry_after: header("retry-after").and_then(|value| wire::retry_after(value, at)),
        request_id: header("x-top-request-id").and_then(sanitise),
    }
}

/// Stops at [`MAX_BODY`], so that no answer can fill the memory.
pub(super) async fn body(mut response: reqwest::Response) -> Body {
    let length = response.content_length().and_then(|length| usize::try_from(length).ok());
    let mut body = Vec::with_capacity(length.unwrap_or_default().min(MAX_BODY));
    while let Some(chunk) = response.chunk().await.map_err(reqwest::Error::without_url)? {
        if body.len() + chunk.len() > MAX_BODY {
            return Err(Cause::Oversized { limit: MAX_BODY });
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}
