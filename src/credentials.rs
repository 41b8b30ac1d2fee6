//! The keys that sign requests, read once and never shown.

use std::fmt;

use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};

/// The access key id, a variable of the environment or a key of a Secret; the SDKs read the same names.
pub const ACCESS_KEY: &str = "VOLCENGINE_ACCESS_KEY";
/// The secret key.
pub const SECRET_KEY: &str = "VOLCENGINE_SECRET_KEY";
/// The token of temporary keys; optional.
pub const SESSION_TOKEN: &str = "VOLCENGINE_SESSION_TOKEN";

/// A key pair, and the token that temporary ones come with. All are visible ASCII.
#[derive(Clone)]
pub struct Credentials {
    access_key: Box<str>,
    secret_key: SecretString,
    session_token: Option<SecretString>,
}

/// Tells credentials apart without holding them. Stays in memory: a short secret could be guessed from it.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Fingerprint([u8; 16]);

/// Credentials that cannot be used. Names the key, never its value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{key} {fault}")]
pub struct CredentialsError {
    /// The variable or the key of the Secret.
    pub key: &'static str,
    /// What is wrong with its value.
    pub fault: Fault,
}

/// What can be wrong with a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// There is no such key.
    #[error("is missing: add it")]
    Missing,
    /// The value has no characters.
    #[error("is empty: give it a value")]
    Empty,
    /// The value begins or ends with white space, as `echo` without `-n` leaves it.
    #[error("begins or ends with white space or a line break: write it without (echo -n)")]
    Padded,
    /// A character inside is not visible ASCII, which no key of the cloud contains.
    #[error("contains a character that no key has: copy it again")]
    Unprintable,
    /// More than 16 KiB.
    #[error("is longer than 16 KiB: copy only the key")]
    TooLong,
}

impl Credentials {
    /// Reads the three values by name, from the environment or from the data of a Secret.
    /// An empty session token is none, as for the SDKs.
    pub fn from_pairs(read: impl Fn(&str) -> Option<Vec<u8>>) -> Result<Self, CredentialsError> {
        let required = |key| value(key, read(key).ok_or_else(|| Fault::Missing.of(key))?);
        let session_token = read(SESSION_TOKEN)
            .filter(|token| !token.is_empty())
            .map(|token| value(SESSION_TOKEN, token))
            .transpose()?;
        Ok(Self {
            access_key: required(ACCESS_KEY)?.into_boxed_str(),
            secret_key: required(SECRET_KEY)?.into(),
            session_token: session_token.map(SecretString::from),
        })
    }

    /// Equal for equal credentials only: neither the key id alone nor a shifted boundary makes two alike.
    pub fn fingerprint(&self) -> Fingerprint {
        let token = self.session_token.as_ref().map_or("", |token| token.expose_secret());
        let mut hash = Sha256::new();
        for part in [&self.access_key, self.secret_key.expose_secret(), token] {
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part);
        }
        let mut first = [0; 16];
        first.copy_from_slice(&hash.finalize()[..16]);
        Fingerprint(first)
    }

    pub(crate) fn access_key(&self) -> &str {
        &self.access_key
    }

    pub(crate) fn secret_key(&self) -> &SecretString {
        &self.secret_key
    }

    pub(crate) fn session_token(&self) -> Option<&SecretString> {
        self.session_token.as_ref()
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Credentials(***)")
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Fingerprint(***)")
    }
}

impl Fault {
    fn of(self, key: &'static str) -> CredentialsError {
        CredentialsError { key, fault: self }
    }
}

/// 16 KiB: session tokens of the cloud have some 1,200 characters, servers refuse headers from 8 to 32 KiB on.
const MAX_VALUE: usize = 16 * 1024;

fn value(key: &'static str, bytes: Vec<u8>) -> Result<String, CredentialsError> {
    let blank = |b: Option<&u8>| b.is_some_and(u8::is_ascii_whitespace);
    let fault = if bytes.is_empty() {
        Fault::Empty
    } else if bytes.len() > MAX_VALUE {
        Fault::TooLong
    } else if blank(bytes.first()) || blank(bytes.last()) {
        Fault::Padded
    } else if !bytes.iter().all(u8::is_ascii_graphic) {
        Fault::Unprintable
    } else {
        return String::from_utf8(bytes).map_err(|_| Fault::Unprintable.of(key));
    };
    Err(fault.of(key))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, prop, prop_assert, prop_assert_eq, proptest};

    use super::*;

    type Pair<'a> = (&'a str, &'a [u8]);

    const PAIR: [Pair<'_>; 2] = [(ACCESS_KEY, b"AKEXAMPLE"), (SECRET_KEY, b"secret==")];

    fn parse(pairs: &[Pair<'_>]) -> Result<Credentials, CredentialsError> {
        Credentials::from_pairs(|name| {
            let found = pairs.iter().rev().find(|(key, _)| *key == name);
            found.map(|(_, value)| value.to_vec())
        })
    }

    fn with(key: &'static str, value: &[u8]) -> Result<Credentials, CredentialsError> {
        parse(&[&PAIR[..], &[(key, value)]].concat())
    }

    #[test]
    fn a_pair_of_keys_is_enough_and_a_token_may_come_with_it() {
        let read = |credentials: Credentials| {
            let token = credentials.session_token().map(|token| token.expose_secret().to_owned());
            let secret = credentials.secret_key().expose_secret().to_owned();
            (credentials.access_key().to_owned(), secret, token)
        };
        let pair = ("AKEXAMPLE".to_owned(), "secret==".to_owned());
        assert_eq!(read(parse(&PAIR).unwrap()), (pair.0.clone(), pair.1.clone(), None));
        assert_eq!(read(with(SESSION_TOKEN, b"").unwrap()), (pair.0.clone(), pair.1.clone(), None));
        assert_eq!(read(with(SESSION_TOKEN, b"STS").unwrap()), (pair.0, pair.1, Some("STS".to_owned())));
    }

    #[test]
    fn what_cannot_be_used_is_told_by_key_and_never_by_value() {
        let fault = |key, value: &[u8]| with(key, value).unwrap_err();
        for key in [ACCESS_KEY, SECRET_KEY] {
            let rest: Vec<_> = PAIR.into_iter().filter(|(name, _)| *name != key).collect();
            assert_eq!(parse(&rest).unwrap_err(), Fault::Missing.of(key));
            assert_eq!(fault(key, b""), Fault::Empty.of(key));
        }
        for key in [ACCESS_KEY, SECRET_KEY, SESSION_TOKEN] {
            for padded in [&b"x\n"[..], b"x\r\n", b" x", b"x\t"] {
                assert_eq!(fault(key, padded), Fault::Padded.of(key));
            }
            for unprintable in [&b"a b"[..], b"a\nb: c", b"a\0", b"\x7f", "é".as_bytes(), b"\xff\xfe"] {
                assert_eq!(fault(key, unprintable), Fault::Unprintable.of(key));
            }
            assert_eq!(fault(key, &vec![b'x'; MAX_VALUE + 1]), Fault::TooLong.of(key));
            assert!(with(key, &vec![b'x'; MAX_VALUE]).is_ok());
        }
        assert_eq!(
            fault(SECRET_KEY, b"secret\n").to_string(),
            "VOLCENGINE_SECRET_KEY begins or ends with white space or a line break: write it without (echo -n)"
        );
    }

    #[test]
    fn nothing_of_the_credentials_shows() {
        let credentials = with(SESSION_TOKEN, b"STS").unwrap();
        assert_eq!(format!("{credentials:?} {credentials:#?}"), "Credentials(***) Credentials(***)");
        assert_eq!(format!("{:?}", credentials.fingerprint()), "Fingerprint(***)");
    }

    #[test]
    fn a_fingerprint_depends_on_every_part_and_on_where_each_ends() {
        let print = |access: &str, secret: &str, token: &str| {
            let pairs = [(ACCESS_KEY, access), (SECRET_KEY, secret), (SESSION_TOKEN, token)];
            parse(&pairs.map(|(key, value)| (key, value.as_bytes()))).unwrap().fingerprint()
        };
        assert_eq!(print("ak", "sk", "t"), print("ak", "sk", "t"));
        for other in [
            print("aK", "sk", "t"),
            print("ak", "sK", "t"),
            print("ak", "sk", "T"),
            print("ak", "sk", ""),
            print("aks", "k", "t"),
            print("ak", "skt", ""),
        ] {
            assert_ne!(other, print("ak", "sk", "t"));
        }
    }

    proptest! {
        #[test]
        fn what_is_accepted_is_visible_ascii(bytes in prop::collection::vec(any::<u8>(), 0..8)) {
            let visible = !bytes.is_empty() && bytes.iter().all(|b| (0x21..=0x7e).contains(b));
            prop_assert_eq!(with(SECRET_KEY, &bytes).is_ok(), visible);
            prop_assert!(with(SESSION_TOKEN, &bytes).is_ok() == visible || bytes.is_empty());
        }
    }
}
