//! Takes a message of the operator apart: what happened, the cloud's code, and the request id to name to its support.

/// The parts of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parts<'a> {
    /// What happened, and what to do.
    pub text: &'a str,
    /// The cloud's error code.
    pub code: Option<&'a str>,
    /// The request id of the look that brought it.
    pub request_id: Option<&'a str>,
}

impl<'a> Parts<'a> {
    /// Reads `text (Code) [request id]`, of which code and request may be absent.
    pub fn of(message: &'a str) -> Self {
        let (rest, request_id) = tail(message, " [request ", ']');
        let (text, code) = tail(rest, " (", ')');
        Self { text, code, request_id }
    }
}

/// Splits off a last word between brackets; words in brackets are part of the text.
fn tail<'a>(message: &'a str, open: &str, close: char) -> (&'a str, Option<&'a str>) {
    let parts = message.strip_suffix(close).and_then(|message| message.rsplit_once(open));
    match parts.filter(|(_, word)| !word.is_empty() && !word.contains(char::is_whitespace)) {
        Some((rest, word)) => (rest, Some(word)),
        None => (message, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use imagetask_operator::message::Cause;
    use proptest::prelude::*;

    #[test]
    fn words_in_brackets_are_text() {
        let message = "it is waited for (see the console)";
        assert_eq!(Parts::of(message), Parts { text: message, code: None, request_id: None });
    }

    proptest! {
        #[test]
        fn what_the_operator_puts_together_is_taken_apart(
            text in "[a-z :]{0,20}[a-z]",
            code in prop::option::of("[A-Za-z.]{1,20}"),
            request_id in prop::option::of("[0-9A-F]{1,30}"),
        ) {
            let cause = Cause { code: code.as_deref(), request_id: request_id.as_deref(), ..Cause::of(text.as_str()) };
            let message = cause.message();
            let parts = Parts { text: &text, code: code.as_deref(), request_id: request_id.as_deref() };
            prop_assert_eq!(Parts::of(&message), parts);
        }

        #[test]
        fn any_message_is_taken_apart(message in ".{0,60}") {
            prop_assert!(message.starts_with(Parts::of(&message).text));
        }
    }
}
