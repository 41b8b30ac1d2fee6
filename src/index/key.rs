//! What entries are called, inside and outside of the index.

use std::fmt;

use arcstr::ArcStr;

/// Refers to an entry; a key outlives its entry without ever meaning another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EntryKey {
    pub(super) slot: u32,
    pub(super) serial: u32,
}

/// Namespace and name of an ImageTask.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ObjectName {
    /// Its namespace.
    pub namespace: ArcStr,
    /// Its name.
    pub name: ArcStr,
}

/// Which of the operator's watches saw an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct WatchId(pub u32);

/// The uid of an object: packed where it is what API servers make, a UUID in lower case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Uid {
    Uuid([u8; 16]),
    Other(Box<str>),
}

impl Uid {
    pub(super) fn of(text: &str) -> Self {
        let mut bytes = [0; 16];
        let packed = hex::decode_to_slice(text.split('-').collect::<String>(), &mut bytes).map(|()| Self::Uuid(bytes));
        packed.ok().filter(|uid| uid.to_string() == text).unwrap_or_else(|| Self::Other(text.into()))
    }
}

impl fmt::Display for Uid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Uuid(bytes) => {
                let [a, b, c, d, e] = [0..4, 4..6, 6..8, 8..10, 10..16].map(|part| hex::encode(&bytes[part]));
                write!(f, "{a}-{b}-{c}-{d}-{e}")
            }
            Self::Other(text) => f.write_str(text),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_uid_is_told_as_it_came(
            text in prop_oneof![".{0,40}", "[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", "[0-9A-Fa-f-]{32,36}"],
        ) {
            prop_assert_eq!(Uid::of(&text).to_string(), text);
        }

        #[test]
        fn what_api_servers_make_is_packed(text in "[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}") {
            prop_assert!(matches!(Uid::of(&text), Uid::Uuid(_)));
        }
    }
}
