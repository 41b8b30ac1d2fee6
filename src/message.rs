//! The messages of conditions: what happened, the cloud's code, and the request id of the look that brought it.

use std::borrow::Cow;

use arcstr::ArcStr;

/// A message; those that one look brings to many ImageTasks may share it.
pub type Message = ArcStr;

/// What a message is made of: rewritten only when reason, text or code change, so the request id is that of the look
/// that brought them.
pub struct Cause<'a> {
    /// What happened and what the user can do.
    pub text: Cow<'a, str>,
    /// The cloud's error code.
    pub code: Option<&'a str>,
    /// The request id of the look.
    pub request_id: Option<&'a str>,
}

impl<'a> Cause<'a> {
    /// A text alone.
    pub fn of(text: impl Into<Cow<'a, str>>) -> Self {
        Self { text: text.into(), code: None, request_id: None }
    }

    /// The message as it is told.
    pub fn message(&self) -> Message {
        let code = self.code.map(|code| format!(" ({code})")).unwrap_or_default();
        let request = self.request_id.map(|id| format!("{REQUEST}{id}]")).unwrap_or_default();
        format!("{}{code}{request}", self.text).into()
    }

    /// Whether a message tells this, whatever its request id. Compares without building the message: most looks bring the same cause again.
    pub fn is_told_by(&self, message: &str) -> bool {
        let rest = message.strip_prefix(&*self.text);
        let rest = match self.code {
            None => rest,
            Some(code) => rest
                .and_then(|rest| rest.strip_prefix(" ("))
                .and_then(|rest| rest.strip_prefix(code))
                .and_then(|rest| rest.strip_prefix(')')),
        };
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(REQUEST))
    }
}

/// Whether two messages tell the same, whatever their request ids.
pub fn tell_the_same(one: &str, other: &str) -> bool {
    let cause = |message| str::rsplit_once(message, REQUEST).map_or(message, |(cause, _)| cause);
    cause(one) == cause(other)
}

/// What stands before a request id.
const REQUEST: &str = " [request ";

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_message_carries_code_and_request_id() {
        let cause = Cause { code: Some("AccessDenied"), request_id: Some("2022"), ..Cause::of("no permission") };
        assert_eq!(&*cause.message(), "no permission (AccessDenied) [request 2022]");
    }

    proptest! {
        #[test]
        fn a_cause_is_told_again_by_any_request_but_not_by_another_code_or_text(
            text in "[a-z :]{1,20}",
            codes in prop::collection::vec(prop::option::of("[A-Za-z.]{1,8}"), 2),
            ids in prop::collection::vec(prop::option::of("[0-9]{1,8}"), 2),
        ) {
            let cause = |n: usize| Cause {
                code: codes[n].as_deref(),
                request_id: ids[n].as_deref(),
                ..Cause::of(text.as_str())
            };
            prop_assert_eq!(cause(0).is_told_by(&cause(1).message()), codes[0] == codes[1]);
            prop_assert_eq!(tell_the_same(&cause(0).message(), &cause(1).message()), codes[0] == codes[1]);
            let other = Cause { text: format!("{text}!").into(), ..cause(0) };
            prop_assert!(!cause(0).is_told_by(&other.message()));
            prop_assert!(!other.is_told_by(&cause(0).message()));
        }
    }
}
