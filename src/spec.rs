//! What one ImageTask asks for, parsed from the stored object once and trusted from then on.

use std::num::NonZeroU32;

use arcstr::ArcStr;
use k8s_openapi::jiff::SignedDuration;

use crate::api::{Lenient, SpecView};
use crate::ecs::{Region, ResourceId, TaskId};

/// A spec that keeps every rule of the CRD.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spec {
    /// What is followed.
    pub target: Target,
    /// Where it is looked for; absent means the operator's default.
    pub region: Option<Region>,
    /// Name of the Secret to ask with; absent means the operator's own credentials.
    pub credentials: Option<ArcStr>,
    /// Whether following is paused.
    pub suspend: bool,
    /// Time from the creation of the ImageTask to its end as failed.
    pub timeout: Option<Timeout>,
}

/// What an ImageTask follows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// One task.
    Task(TaskId),
    /// The newest task of a type on an image.
    Newest {
        /// The image.
        resource: ResourceId,
        /// The type of the task.
        type_: ArcStr,
    },
}

/// How long a task may take, in whole seconds; what is beyond 136 years is taken for those.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeout(NonZeroU32);

impl Timeout {
    /// Reads `90m` or `1h30m`: what the CRD's pattern `^([0-9]+[hms])+$` lets in.
    pub fn parse(text: &str) -> Result<Self, InvalidSpec> {
        let invalid = || InvalidSpec("timeout is not a duration such as 90m or 1h30m, or is zero".into());
        let mut total = 0_u64;
        let mut rest = text;
        while !rest.is_empty() {
            let digits = rest.find(|c: char| !c.is_ascii_digit()).ok_or_else(invalid)?;
            let (number, tail) = rest.split_at(digits);
            let unit = match tail.as_bytes()[0] {
                b'h' => 3600,
                b'm' => 60,
                b's' => 1,
                _ => return Err(invalid()),
            };
            // A number too large for any clock never comes due, which is what it says.
            let number = if number.is_empty() { return Err(invalid()) } else { number.parse().unwrap_or(u64::MAX) };
            total = total.saturating_add(number.saturating_mul(unit));
            rest = &tail[1..];
        }
        NonZeroU32::new(u32::try_from(total).unwrap_or(u32::MAX)).map(Self).ok_or_else(invalid)
    }

    /// The time.
    pub fn duration(self) -> SignedDuration {
        SignedDuration::from_secs(self.0.get().into())
    }
}

/// A stored spec that breaks the rules of the CRD, as a looser CRD may have let it in.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}: delete this ImageTask and create it anew")]
pub struct InvalidSpec(String);

impl Spec {
    /// Reads a stored spec.
    pub fn parse(stored: &Lenient<SpecView>) -> Result<Self, InvalidSpec> {
        let spec = match stored {
            Lenient::Valid(spec) => spec,
            Lenient::Absent => return Err(InvalidSpec("spec is missing".into())),
            Lenient::Invalid => return Err(InvalidSpec("spec is not an object".into())),
        };
        let region = optional("region", &spec.region)?.map(|word| parsed("region", Region::parse(word))).transpose()?;
        let timeout = optional("timeout", &spec.timeout)?.map(|word| Timeout::parse(word)).transpose()?;
        Ok(Self {
            target: target(spec)?,
            region,
            credentials: credentials(spec)?,
            suspend: optional("suspend", &spec.suspend)?.copied().unwrap_or(false),
            timeout,
        })
    }
}

fn target(spec: &SpecView) -> Result<Target, InvalidSpec> {
    let task = optional("taskId", &spec.task_id)?;
    let resource = optional("resourceId", &spec.resource_id)?;
    let type_ = optional("type", &spec.type_)?;
    match (task, resource, type_) {
        (Some(task), None, None) => Ok(Target::Task(parsed("taskId", TaskId::parse(task))?)),
        (None, Some(resource), Some(type_)) => {
            let resource = parsed("resourceId", ResourceId::parse(resource))?;
            if !is_type(type_) {
                return Err(InvalidSpec("type is not a word of up to 64 letters and digits".into()));
            }
            Ok(Target::Newest { resource, type_: ArcStr::from(&**type_) })
        }
        (None, None, _) | (Some(_), Some(_), _) => {
            Err(InvalidSpec("exactly one of taskId and resourceId must be set".into()))
        }
        (Some(_), None, Some(_)) | (None, Some(_), None) => {
            Err(InvalidSpec("type is required with resourceId and not allowed without it".into()))
        }
    }
}

/// `^[A-Za-z][A-Za-z0-9]{0,63}$`: a word that the cloud may come to know.
fn is_type(word: &str) -> bool {
    word.len() <= 64
        && word.starts_with(|c: char| c.is_ascii_alphabetic())
        && word.chars().all(|c| c.is_ascii_alphanumeric())
}

fn credentials(spec: &SpecView) -> Result<Option<ArcStr>, InvalidSpec> {
    let Some(reference) = optional("credentialsRef", &spec.credentials_ref)? else { return Ok(None) };
    match optional("credentialsRef.name", &reference.name)? {
        Some(name) if is_object_name(name) => Ok(Some(ArcStr::from(name.as_ref()))),
        Some(_) => Err(InvalidSpec("credentialsRef.name is not the name of a Secret".into())),
        None => Err(InvalidSpec("credentialsRef.name is missing".into())),
    }
}

/// The name goes into the path of a request, so nothing but a DNS subdomain may pass.
fn is_object_name(name: &str) -> bool {
    let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '.';
    let edge = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    name.len() <= 253 && name.chars().all(allowed) && name.starts_with(edge) && name.ends_with(edge)
}

fn optional<'a, T>(field: &str, stored: &'a Lenient<T>) -> Result<Option<&'a T>, InvalidSpec> {
    match stored {
        Lenient::Valid(value) => Ok(Some(value)),
        Lenient::Absent => Ok(None),
        Lenient::Invalid => Err(InvalidSpec(format!("{field} is of the wrong type"))),
    }
}

fn parsed<T, E: std::error::Error>(field: &str, value: Result<T, E>) -> Result<T, InvalidSpec> {
    value.map_err(|error| InvalidSpec(format!("{field}: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::{Value, json};

    fn parse(spec: Value) -> Result<Spec, String> {
        Spec::parse(&serde_json::from_value(spec).unwrap()).map_err(|error| error.to_string())
    }

    #[test]
    fn a_task_id_is_followed() {
        let spec = Spec {
            target: Target::Task(TaskId::parse("t-1").unwrap()),
            region: Some(Region::parse("cn-beijing").unwrap()),
            credentials: Some("keys".into()),
            suspend: true,
            timeout: Some(Timeout(NonZeroU32::new(5400).unwrap())),
        };
        let stored = json!({
            "taskId": "t-1", "region": "cn-beijing", "credentialsRef": {"name": "keys"}, "suspend": true,
            "timeout": "1h30m",
        });
        assert_eq!(parse(stored), Ok(spec));
    }

    #[test]
    fn the_newest_task_of_an_image_is_followed() {
        let spec = Spec {
            target: Target::Newest { resource: ResourceId::parse("image-1").unwrap(), type_: "CopyImage".into() },
            region: None,
            credentials: None,
            suspend: false,
            timeout: None,
        };
        assert_eq!(parse(json!({"resourceId": "image-1", "type": "CopyImage"})), Ok(spec));
    }

    #[test]
    fn what_a_looser_crd_let_in_is_refused_by_field() {
        let check = |stored: Value, complaint: &str| {
            let error = parse(stored).unwrap_err();
            assert!(error.starts_with(complaint), "{error}");
        };
        check(json!(null), "spec is missing");
        check(json!([]), "spec is not an object");
        check(json!({}), "exactly one of taskId and resourceId");
        check(json!({"taskId": "t-1", "resourceId": "image-1"}), "exactly one of taskId and resourceId");
        check(json!({"taskId": "t-1", "type": "CopyImage"}), "type is required with resourceId");
        check(json!({"resourceId": "image-1"}), "type is required with resourceId");
        check(json!({"resourceId": "image-1", "type": "Copy\nImage"}), "type is not a word");
        check(json!({"resourceId": "image-1", "type": "A".repeat(65)}), "type is not a word");
        check(json!({"taskId": 7}), "taskId is of the wrong type");
        check(json!({"taskId": "t-****"}), "taskId: ");
        check(json!({"taskId": "t-1", "region": "a/b"}), "region: ");
        check(json!({"taskId": "t-1", "credentialsRef": {}}), "credentialsRef.name is missing");
        check(json!({"taskId": "t-1", "credentialsRef": {"name": "../x"}}), "credentialsRef.name is not the name");
        check(json!({"taskId": "t-1", "timeout": "0h0m"}), "timeout is not a duration");
        check(json!({"taskId": "t-1", "timeout": "5"}), "timeout is not a duration");
        check(json!({"taskId": "t-1", "suspend": "true"}), "suspend is of the wrong type");
    }

    proptest! {
        #[test]
        fn no_timeout_panics(text in ".{0,32}") {
            prop_assert!(Timeout::parse(&text).is_ok_and(|found| found.duration().is_positive()) || Timeout::parse(&text).is_err());
        }

        #[test]
        fn every_timeout_that_the_crd_lets_in_is_read(text in "([0-9]{1,25}[hms]){1,3}") {
            let zero = !text.contains(|c: char| ('1'..='9').contains(&c));
            prop_assert_eq!(Timeout::parse(&text).is_err(), zero);
        }
    }
}
