//! The query string: its parameters, and its canonical form.

use std::borrow::Cow;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode, percent_encode};

/// All but the unreserved characters of RFC 3986.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// Decoded parameters in byte order of their names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Query(Vec<(Vec<u8>, Vec<u8>)>);

impl Query {
    /// Any string is a query; what is not valid UTF-8 is kept as bytes.
    pub(crate) fn parse(raw: &str) -> Self {
        let pairs = raw.split('&').filter(|pair| !pair.is_empty());
        let mut decoded: Vec<_> = pairs
            .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
            .map(|(name, value)| (decode(name), decode(value)))
            .collect();
        decoded.sort_by(|a, b| a.0.cmp(&b.0));
        Self(decoded)
    }

    /// The form that is signed.
    pub(crate) fn canonical(&self) -> String {
        let pairs = self.0.iter().map(|(name, value)| format!("{}={}", encode(name), encode(value)));
        pairs.collect::<Vec<_>>().join("&")
    }

    /// The first value of a parameter.
    pub(crate) fn get(&self, name: &str) -> Option<Cow<'_, str>> {
        let (_, value) = self.0.iter().find(|(key, _)| key == name.as_bytes())?;
        Some(String::from_utf8_lossy(value))
    }

    /// The values of `name.1`, `name.2`, … in order of the number.
    pub(crate) fn list(&self, name: &str) -> Vec<String> {
        let mut members: Vec<_> = self.0.iter().filter_map(|(key, value)| Some((index(key, name)?, value))).collect();
        members.sort_by_key(|(index, _)| *index);
        members.into_iter().map(|(_, value)| String::from_utf8_lossy(value).into_owned()).collect()
    }
}

fn index(key: &[u8], name: &str) -> Option<u32> {
    let number = std::str::from_utf8(key).ok()?.strip_prefix(name)?.strip_prefix('.')?;
    number.parse().ok()
}

/// The official SDKs send a space as `+`, though they sign `%20`.
fn decode(text: &str) -> Vec<u8> {
    let spaced = text.replace('+', " ");
    percent_decode(spaced.as_bytes()).collect()
}

fn encode(bytes: &[u8]) -> String {
    percent_encode(bytes, RESERVED).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_in_order_of_its_numbers_not_of_its_bytes() {
        let query = Query::parse("TaskIds.10=j&TaskIds.2=b&TaskIds.1=a&TaskIds=x&TaskIds.y=y&ResourceIds.1=r");
        assert_eq!(query.list("TaskIds"), ["a", "b", "j"]);
    }

    #[test]
    fn the_canonical_form_does_not_depend_on_order_or_encoding() {
        let forms = ["b=%7e%20&a", "a=&b=~+", "&&a=&b=%7E%20"];
        assert_eq!(forms.map(|raw| Query::parse(raw).canonical()), ["a=&b=~%20"; 3]);
    }
}
