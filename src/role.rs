//! The role that the operator takes in place of keys: workload identity (OIDC), from the variables that the SDKs read.

use std::fmt;
use std::io;
use std::path::PathBuf;

use secrecy::SecretString;

use crate::ecs::{self, Endpoint, EndpointError};

/// The role to take.
pub const ROLE_TRN: &str = "VOLCENGINE_OIDC_ROLE_TRN";
/// The file with the token of the operator's ServiceAccount.
pub const TOKEN_FILE: &str = "VOLCENGINE_OIDC_TOKEN_FILE";
/// What the cloud's audit log calls the session; optional.
pub const SESSION_NAME: &str = "VOLCENGINE_OIDC_ROLE_SESSION_NAME";
/// A policy that narrows the role's rights; optional.
pub const POLICY: &str = "VOLCENGINE_OIDC_ROLE_POLICY";
/// The host of STS; optional.
pub const STS_ENDPOINT: &str = "VOLCENGINE_OIDC_STS_ENDPOINT";

/// A role, the token that opens it, and who is asked for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Role {
    /// Its name: `trn:iam::<account>:role/<name>`.
    pub trn: Box<str>,
    /// Read at every renewal: a kubelet replaces the token before it expires.
    pub token_file: PathBuf,
    /// For the cloud's audit log.
    pub session_name: Box<str>,
    /// Narrows the rights of the session.
    pub policy: Option<Box<str>>,
    /// Where STS is, if the administrator says so.
    pub sts: Option<Endpoint>,
}

/// A variable that names no role.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RoleError {
    /// The other half of the pair is there.
    #[error("{0} is missing: set it beside {1}")]
    Missing(&'static str, &'static str),
    /// A value that no role, file, session or policy has. It is not repeated.
    #[error("{0} is not usable: give {1}")]
    Unusable(&'static str, &'static str),
    /// The host of STS.
    #[error("{STS_ENDPOINT}: {0}")]
    Endpoint(#[source] EndpointError),
}

impl Role {
    /// Reads the variables; `None` when neither a role nor a token file is named. An empty variable is none, as for the
    /// SDKs.
    pub fn from_variables(read: impl Fn(&str) -> Option<Vec<u8>>) -> Result<Option<Self>, RoleError> {
        let given = |name| read(name).filter(|value| !value.is_empty());
        let (trn, file) = match (given(ROLE_TRN), given(TOKEN_FILE)) {
            (None, None) => return Ok(None),
            (Some(_), None) => return Err(RoleError::Missing(TOKEN_FILE, ROLE_TRN)),
            (None, Some(_)) => return Err(RoleError::Missing(ROLE_TRN, TOKEN_FILE)),
            (Some(trn), Some(file)) => (trn, file),
        };
        let trn = text(trn).filter(|trn| is_role(trn)).ok_or(RoleError::Unusable(ROLE_TRN, A_ROLE))?;
        let file = text(file).ok_or(RoleError::Unusable(TOKEN_FILE, A_PATH))?;
        let session = given(SESSION_NAME).map_or_else(|| Some(OWN_NAME.into()), text);
        let session = session.filter(|name| name.len() <= 64 && name.bytes().all(|b| b.is_ascii_graphic()));
        let policy = given(POLICY).map(|policy| text(policy).ok_or(RoleError::Unusable(POLICY, A_POLICY)));
        let sts = given(STS_ENDPOINT).map(|host| Endpoint::parse(&text(host).unwrap_or_default()));
        Ok(Some(Self {
            trn,
            token_file: PathBuf::from(&*file),
            session_name: session.ok_or(RoleError::Unusable(SESSION_NAME, A_NAME))?,
            policy: policy.transpose()?,
            sts: sts.transpose().map_err(RoleError::Endpoint)?,
        }))
    }
}

const OWN_NAME: &str = "imagetask-operator";
const A_ROLE: &str = "a role such as trn:iam::2100000001:role/imagetask-operator";
const A_PATH: &str = "the path of a file";
const A_NAME: &str = "1 to 64 visible ASCII characters";
const A_POLICY: &str = "a policy in JSON of at most 16 KiB";

/// 16 KiB, as for credentials.
const MAX_VALUE: usize = 16 * 1024;

fn text(bytes: Vec<u8>) -> Option<Box<str>> {
    let text = String::from_utf8(bytes).ok().filter(|text| text.len() <= MAX_VALUE && !text.contains('\0'))?;
    Some(text.into_boxed_str())
}

fn is_role(trn: &str) -> bool {
    let parts = trn.strip_prefix("trn:").and_then(|rest| rest.split_once(":role/"));
    parts.is_some_and(|(_, name)| !name.is_empty()) && trn.bytes().all(|b| b.is_ascii_graphic())
}

/// A token that the cluster has signed for the operator. Never shown.
#[derive(Clone)]
pub struct OidcToken(SecretString);

impl OidcToken {
    /// As many bytes of a token file as tell whether it holds a token.
    pub const MAX: usize = MAX_VALUE;

    /// Reads the content of a token file; a line break at its end is not part of the token.
    pub fn parse(content: Vec<u8>) -> Result<Self, TokenError> {
        if content.len() > Self::MAX {
            return Err(TokenError::TooLong);
        }
        let text = String::from_utf8(content).map_err(|_| TokenError::Unprintable)?;
        match text.trim_ascii() {
            "" => Err(TokenError::Empty),
            token if token.bytes().all(|b| b.is_ascii_graphic()) => Ok(Self(token.into())),
            _ => Err(TokenError::Unprintable),
        }
    }

    pub(crate) fn secret(&self) -> &SecretString {
        &self.0
    }
}

impl fmt::Debug for OidcToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OidcToken(***)")
    }
}

/// Why there is no token. Holds nothing of the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// There is no such file.
    #[error("does not exist: mount a ServiceAccount token with the audience {AUDIENCE} there")]
    NotFound,
    /// It cannot be read.
    #[error("cannot be read ({0}): let the operator's user read it")]
    Unreadable(io::ErrorKind),
    /// Nothing is in it.
    #[error("is empty: mount a ServiceAccount token with the audience {AUDIENCE} there")]
    Empty,
    /// It is no token.
    #[error("holds no token: mount a ServiceAccount token with the audience {AUDIENCE} there")]
    Unprintable,
    /// More than 16 KiB.
    #[error("is longer than 16 KiB: mount a ServiceAccount token with the audience {AUDIENCE} there")]
    TooLong,
}

/// The audience that the cloud expects, whatever the cluster (docs 6460/1324613).
const AUDIENCE: &str = "sts.volcengine.com";

impl TokenError {
    /// What reading the file at a path brought instead.
    pub fn of(error: &io::Error) -> Self {
        let kind = error.kind();
        if kind == io::ErrorKind::NotFound { Self::NotFound } else { Self::Unreadable(kind) }
    }
}

/// Why the role was not taken.
#[derive(Debug, thiserror::Error)]
pub enum RenewalFault {
    /// There is no token to take it with.
    #[error("the token file of {TOKEN_FILE} {0}")]
    Token(#[from] TokenError),
    /// STS did not give it.
    #[error("STS gives no session of the role")]
    Sts(#[from] ecs::Error),
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use proptest::prelude::{any, prop, prop_assert, proptest};
    use secrecy::ExposeSecret;

    use super::*;

    const TRN: &str = "trn:iam::2100000001:role/operator";

    fn role(pairs: &[(&str, &str)]) -> Result<Option<Role>, RoleError> {
        Role::from_variables(|name| {
            pairs.iter().find(|(key, _)| *key == name).map(|(_, value)| value.as_bytes().to_vec())
        })
    }

    #[test]
    fn a_role_and_a_token_file_are_enough() {
        let expected = Role {
            trn: TRN.into(),
            token_file: Path::new("/token").to_owned(),
            session_name: "imagetask-operator".into(),
            policy: None,
            sts: None,
        };
        assert_eq!(role(&[(ROLE_TRN, TRN), (TOKEN_FILE, "/token"), (POLICY, "")]), Ok(Some(expected.clone())));
        let all = [(ROLE_TRN, TRN), (TOKEN_FILE, "/token"), (SESSION_NAME, "s"), (POLICY, "{}"), (STS_ENDPOINT, "h")];
        let sts = Endpoint::parse("https://h").ok();
        let full = Role { session_name: "s".into(), policy: Some("{}".into()), sts, ..expected };
        assert_eq!(role(&all), Ok(Some(full)));
        assert_eq!(role(&[(SESSION_NAME, "s"), (ROLE_TRN, ""), (TOKEN_FILE, "")]), Ok(None));
    }

    #[test]
    fn half_a_role_and_values_that_no_role_has_are_told_by_name() {
        let told = |more: &[(&str, &str)]| {
            role(&[more, &[(ROLE_TRN, TRN), (TOKEN_FILE, "/token")]].concat()).unwrap_err().to_string()
        };
        assert_eq!(role(&[(ROLE_TRN, TRN)]), Err(RoleError::Missing(TOKEN_FILE, ROLE_TRN)));
        assert_eq!(role(&[(TOKEN_FILE, "/token")]), Err(RoleError::Missing(ROLE_TRN, TOKEN_FILE)));
        for bad in ["role", "trn:iam::1:user/x", "trn:iam::1:role/", "trn:iam::1:role/a b"] {
            assert_eq!(told(&[(ROLE_TRN, bad)]), format!("{ROLE_TRN} is not usable: give {A_ROLE}"));
        }
        assert_eq!(told(&[(SESSION_NAME, "a b")]), format!("{SESSION_NAME} is not usable: give {A_NAME}"));
        assert!(told(&[(STS_ENDPOINT, "http://sts.example.com")]).starts_with(STS_ENDPOINT));
    }

    #[test]
    fn a_token_is_what_a_kubelet_writes() {
        let parse =
            |content: &[u8]| OidcToken::parse(content.to_vec()).map(|it| it.secret().expose_secret().to_owned());
        assert_eq!(parse(b"a.b-c_d.e"), Ok("a.b-c_d.e".to_owned()));
        assert_eq!(parse(b"a.b.c\n"), Ok("a.b.c".to_owned()));
        assert_eq!((parse(b""), parse(b" \n")), (Err(TokenError::Empty), Err(TokenError::Empty)));
        assert_eq!((parse(b"a b"), parse(b"\xff")), (Err(TokenError::Unprintable), Err(TokenError::Unprintable)));
        assert_eq!(parse(&vec![b'x'; OidcToken::MAX + 1]), Err(TokenError::TooLong));
        assert_eq!(format!("{:?}", OidcToken::parse(b"a.b.c".to_vec())), "Ok(OidcToken(***))");
    }

    proptest! {
        #[test]
        fn a_token_is_visible_ascii(bytes in prop::collection::vec(any::<u8>(), 0..8)) {
            if let Ok(token) = OidcToken::parse(bytes) {
                let token = token.secret().expose_secret();
                prop_assert!(!token.is_empty() && token.bytes().all(|b| b.is_ascii_graphic()));
            }
        }
    }
}
