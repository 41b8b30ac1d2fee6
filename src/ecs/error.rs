//! What goes wrong between the operator and the cloud, one kind per next step.
//!
//! The code that the cloud names decides first, the HTTP status second: flow limits also come with
//! status 400 and inside a 200 (Volcengine docs 6369/68677, 6440/71573, read 2026-11).
//! The body of an answer is never kept and never printed.

use std::fmt;
use std::time::Duration;

/// A question that got no usable answer.
#[derive(Debug, thiserror::Error)]
pub struct Error {
    /// What happens next.
    pub kind: ErrorKind,
    /// The cloud's code, at most 64 characters of `[A-Za-z0-9._-]`; absent when it named none.
    pub code: Option<Box<str>>,
    /// The HTTP status, or the one that a gateway wrote into its body; absent when nothing arrived.
    pub http_status: Option<u16>,
    /// What the cloud's support asks for, in the same characters as `code`.
    pub request_id: Option<Box<str>>,
    /// HTTP requests made for this question, the failed one included.
    pub calls: u32,
    #[source]
    pub(super) source: Option<Cause>,
}

/// What happens next, and who has to act.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorKind {
    /// Too many calls. Nobody has to act, the operator slows down.
    Throttled {
        /// How long the cloud asked to be left alone, at most five minutes.
        retry_after: Option<Duration>,
    },
    /// No connection stands: DNS, TCP, TLS or a proxy. Nobody has to act.
    Unreachable,
    /// The connection stands, but no usable answer comes: 5xx, a redirect, a timeout, a page of a proxy, an answer that
    /// cannot be read. Nobody has to act. One of the ids that were asked for may be the cause.
    Unavailable,
    /// The key, the token or the signature is refused. The user corrects the credentials.
    CredentialsInvalid,
    /// The cloud calls our time wrong, even after it was corrected once. The administrator sets the clock.
    Clock,
    /// The key is good but may not do this. The user's cloud administrator grants `ecs:DescribeTasks`.
    AccessDenied,
    /// The cloud refuses this very request. The user checks the ids and the region.
    Rejected,
}

/// How far an error reaches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// Every request of these credentials in this region fares the same.
    Lane,
    /// The API refuses this very request: one of its ids may be the cause, or the account lacks a permission.
    Refusal,
    /// Something went wrong on the way: one of the ids may be the cause, or the cloud as a whole.
    Failure,
}

impl ErrorKind {
    /// Every kind.
    pub const ALL: [Self; 7] = [
        Self::Throttled { retry_after: None },
        Self::Unreachable,
        Self::Unavailable,
        Self::CredentialsInvalid,
        Self::Clock,
        Self::AccessDenied,
        Self::Rejected,
    ];

    /// How far it reaches.
    pub fn scope(self) -> Scope {
        match self {
            Self::Throttled { .. } | Self::Unreachable | Self::CredentialsInvalid | Self::Clock => Scope::Lane,
            Self::AccessDenied | Self::Rejected => Scope::Refusal,
            Self::Unavailable => Scope::Failure,
        }
    }

    /// How long the cloud asked to be left alone.
    pub fn retry_after(self) -> Option<Duration> {
        match self {
            Self::Throttled { retry_after } => retry_after,
            Self::Unreachable
            | Self::Unavailable
            | Self::CredentialsInvalid
            | Self::Clock
            | Self::AccessDenied
            | Self::Rejected => None,
        }
    }

    /// The metric label, one of a closed set that also knows `ok`.
    pub fn label(self) -> &'static str {
        match self {
            Self::Throttled { .. } => "throttled",
            Self::Unreachable | Self::Unavailable => "unavailable",
            Self::CredentialsInvalid => "credentials_invalid",
            Self::Clock => "clock",
            Self::AccessDenied => "access_denied",
            Self::Rejected => "rejected",
        }
    }

    /// What happened and what the user can do, for a status.
    pub fn advice(self) -> String {
        self.words().join(": ")
    }

    /// What happened, and what the reader of the message does next.
    fn words(self) -> [&'static str; 2] {
        match self {
            Self::Throttled { .. } => ["the cloud limits the rate of calls", "nothing to do, the operator slows down"],
            Self::Unreachable => ["the cloud cannot be reached", "nothing to do, the operator tries again"],
            Self::Unavailable => ["the cloud gives no usable answer", "nothing to do, the operator tries again"],
            Self::CredentialsInvalid => {
                ["the cloud refuses the credentials", "correct the access key, secret key or session token"]
            }
            Self::Clock => ["the cloud refuses the time of the request", "set the clock of the operator's node"],
            Self::AccessDenied => ["the credentials lack a permission", "allow ecs:DescribeTasks for this key"],
            Self::Rejected => ["the cloud refuses this request", "check the id and the region"],
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let facts: Vec<String> = [
            self.code.as_ref().map(ToString::to_string),
            self.http_status.map(|status| format!("HTTP {status}")),
            self.request_id.as_ref().map(|id| format!("request {id}")),
        ]
        .into_iter()
        .flatten()
        .collect();
        let [what, next_step] = self.kind.words();
        match facts.is_empty() {
            true => write!(f, "{what}: {next_step}"),
            false => write!(f, "{what} ({}): {next_step}", facts.join(", ")),
        }
    }
}

/// Why there is no readable answer. Holds nothing of the answer itself.
#[derive(Debug, thiserror::Error)]
pub(super) enum Cause {
    #[error("the exchange with the cloud broke off")]
    Transport(#[from] reqwest::Error),
    #[error("the answer is larger than {limit} bytes")]
    Oversized { limit: usize },
    #[error("the answer is not JSON")]
    NotJson(#[from] serde_json::Error),
    #[error("the answer is not shaped as documented")]
    Misshapen,
}

impl Error {
    /// An error of which nothing but its kind matters, for tests in virtual time.
    #[cfg(test)]
    pub(crate) fn of_kind(kind: ErrorKind) -> Self {
        Self { kind, code: None, http_status: None, request_id: None, calls: 1, source: None }
    }

    /// No connection stands.
    pub fn unreachable() -> Self {
        Self { kind: ErrorKind::Unreachable, code: None, http_status: None, request_id: None, calls: 1, source: None }
    }

    /// The connection stands, but no answer of the API came: none at all within the bounds, or, with an HTTP status, one
    /// that the API cannot have sent. Whatever its status, it refuses nothing; only 429 says that calls are too many.
    pub fn unusable(http_status: Option<u16>, retry_after: Option<Duration>) -> Self {
        let kind = match http_status {
            Some(429) => ErrorKind::Throttled { retry_after },
            Some(_) | None => ErrorKind::Unavailable,
        };
        Self { kind, http_status, ..Self::unreachable() }
    }

    /// The exchange broke off before an answer was there.
    pub(super) fn transport(source: reqwest::Error) -> Self {
        let error = if source.is_connect() { Self::unreachable() } else { Self::unusable(None, None) };
        Self { source: Some(Cause::Transport(source.without_url())), ..error }
    }

    /// A page that was promised is none.
    pub(super) fn broken_off(request_id: Option<Box<str>>, calls: u32) -> Self {
        Self { request_id, calls, source: Some(Cause::Misshapen), ..Self::unusable(None, None) }
    }

    /// The API answered, and not with tasks. The code decides what it means, the HTTP status where the code is unknown.
    pub fn refused(code: Option<Box<str>>, http_status: u16, retry_after: Option<Duration>) -> Self {
        Self {
            kind: classify(code.as_deref(), http_status, retry_after),
            code,
            http_status: Some(http_status),
            request_id: None,
            calls: 1,
            source: None,
        }
    }
}

/// Longest code or request id that is kept: the documented ones have at most 40 characters.
const MAX_LABEL: usize = 64;

/// Keeps what is safe in logs, messages and events; `None` when nothing is left.
pub(super) fn sanitise(text: &str) -> Option<Box<str>> {
    let kept: String =
        text.chars().filter(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-')).take(MAX_LABEL).collect();
    (!kept.is_empty()).then(|| kept.into_boxed_str())
}

fn classify(code: Option<&str>, http_status: u16, retry_after: Option<Duration>) -> ErrorKind {
    code.and_then(|code| by_code(code, retry_after)).unwrap_or_else(|| match http_status {
        429 => ErrorKind::Throttled { retry_after },
        401 => ErrorKind::CredentialsInvalid,
        403 => ErrorKind::AccessDenied,
        400..=499 => ErrorKind::Rejected,
        200..=299 if code.is_some() => ErrorKind::Rejected,
        _ => ErrorKind::Unavailable,
    })
}

/// The public codes whose meaning does not depend on the status they come with.
fn by_code(code: &str, retry_after: Option<Duration>) -> Option<ErrorKind> {
    match code {
        "FlowLimitExceeded" | "AccountFlowLimitExceeded" => Some(ErrorKind::Throttled { retry_after }),
        "InternalError"
        | "UndefinedError"
        | "FailToConnect"
        | "InternalServiceError"
        | "InternalServiceTimeout"
        | "ServiceUnavailableTemp" => Some(ErrorKind::Unavailable),
        "MissingAuthenticationToken"
        | "MissingSignature"
        | "InvalidAccessKey"
        | "SignatureDoesNotMatch"
        | "InvalidAuthorization"
        | "InvalidCredential"
        | "InvalidSecretToken" => Some(ErrorKind::CredentialsInvalid),
        "InvalidTimestamp" => Some(ErrorKind::Clock),
        "AccessDenied" | "LackPolicy" | "LackProjectPolicy" => Some(ErrorKind::AccessDenied),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::error::Error as _;

    use proptest::prelude::{any, prop_assert, proptest};

    use super::*;

    const THROTTLED: ErrorKind = ErrorKind::Throttled { retry_after: None };

    #[track_caller]
    fn check(code: Option<&str>, statuses: &[u16], kind: ErrorKind) {
        for &status in statuses {
            assert_eq!(Error::refused(code.map(Into::into), status, None).kind, kind, "{code:?} with {status}");
        }
    }

    #[test]
    fn the_code_decides_whatever_the_status() {
        const ANY: [u16; 6] = [200, 400, 401, 403, 429, 500];
        for code in ["FlowLimitExceeded", "AccountFlowLimitExceeded"] {
            check(Some(code), &ANY, THROTTLED);
        }
        for code in [
            "InternalError",
            "UndefinedError",
            "FailToConnect",
            "InternalServiceError",
            "InternalServiceTimeout",
            "ServiceUnavailableTemp",
        ] {
            check(Some(code), &ANY, ErrorKind::Unavailable);
        }
        for code in [
            "MissingAuthenticationToken",
            "MissingSignature",
            "InvalidAccessKey",
            "SignatureDoesNotMatch",
            "InvalidAuthorization",
            "InvalidCredential",
            "InvalidSecretToken",
        ] {
            check(Some(code), &ANY, ErrorKind::CredentialsInvalid);
        }
        check(Some("InvalidTimestamp"), &ANY, ErrorKind::Clock);
        for code in ["AccessDenied", "LackPolicy", "LackProjectPolicy"] {
            check(Some(code), &ANY, ErrorKind::AccessDenied);
        }
    }

    #[test]
    fn without_a_known_code_the_status_decides() {
        for code in [None, Some("LimitExceeded.MaximumTaskIds")] {
            check(code, &[400, 404, 405, 414, 418, 499], ErrorKind::Rejected);
            check(code, &[401], ErrorKind::CredentialsInvalid);
            check(code, &[403], ErrorKind::AccessDenied);
            check(code, &[429], THROTTLED);
            check(code, &[301, 302, 308, 500, 502, 503, 504], ErrorKind::Unavailable);
        }
        check(Some("LimitExceeded.MaximumTaskIds"), &[200], ErrorKind::Rejected);
        check(None, &[200, 204], ErrorKind::Unavailable);
    }

    #[test]
    fn every_kind_says_how_far_it_reaches() {
        let seen = |kind: ErrorKind| (kind.label(), kind.scope());
        assert_eq!(seen(THROTTLED), ("throttled", Scope::Lane));
        assert_eq!(seen(ErrorKind::Unreachable), ("unavailable", Scope::Lane));
        assert_eq!(seen(ErrorKind::Unavailable), ("unavailable", Scope::Failure));
        assert_eq!(seen(ErrorKind::CredentialsInvalid), ("credentials_invalid", Scope::Lane));
        assert_eq!(seen(ErrorKind::Clock), ("clock", Scope::Lane));
        assert_eq!(seen(ErrorKind::AccessDenied), ("access_denied", Scope::Refusal));
        assert_eq!(seen(ErrorKind::Rejected), ("rejected", Scope::Refusal));
    }

    #[test]
    fn what_the_api_did_not_say_refuses_nothing() {
        for status in [200, 302, 400, 401, 403, 404, 500, 502] {
            assert_eq!(Error::unusable(Some(status), None).kind, ErrorKind::Unavailable, "{status}");
        }
        assert_eq!(Error::unusable(Some(429), None).kind, THROTTLED);
        assert_eq!(Error::unusable(None, None).kind, ErrorKind::Unavailable);
    }

    #[test]
    fn a_message_says_what_happened_and_what_to_do() {
        let bare = Error::refused(None, 404, None);
        assert_eq!(bare.to_string(), "the cloud refuses this request (HTTP 404): check the id and the region");
        let full =
            Error { request_id: Some("20220506".into()), ..Error::refused(Some("LackPolicy".into()), 403, None) };
        assert_eq!(
            full.to_string(),
            "the credentials lack a permission (LackPolicy, HTTP 403, request 20220506): \
             allow ecs:DescribeTasks for this key"
        );
    }

    #[test]
    fn a_cause_is_told_by_the_chain_and_not_twice() {
        let error = Error { source: Some(Cause::Misshapen), ..Error::refused(None, 200, None) };
        assert_eq!(
            error.to_string(),
            "the cloud gives no usable answer (HTTP 200): nothing to do, the operator tries again"
        );
        let source = error.source().map(ToString::to_string);
        assert_eq!(source.as_deref(), Some("the answer is not shaped as documented"));
    }

    #[test]
    fn what_the_cloud_names_is_kept_without_anything_unsafe() {
        assert_eq!(sanitise("LimitExceeded.MaximumTaskIds").as_deref(), Some("LimitExceeded.MaximumTaskIds"));
        assert_eq!(sanitise("<b>\n20_2-6\u{202e}").as_deref(), Some("b20_2-6"));
        assert_eq!(sanitise("\r\n "), None);
    }

    proptest! {
        #[test]
        fn a_label_is_short_and_safe(text in any::<String>(), tail in "[a-z]{0,100}") {
            let kept = sanitise(&(text + &tail)).unwrap_or_default();
            let safe = |b: u8| b.is_ascii_alphanumeric() || b"._-".contains(&b);
            prop_assert!(kept.len() <= 64 && kept.bytes().all(safe), "{kept}");
        }
    }
}
