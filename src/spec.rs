//! What one ImageTask asks for, parsed from the stored object once and trusted from then on.

use std::num::NonZeroU32;

use arcstr::ArcStr;
use k8s_openapi::jiff::SignedDuration;

use crate::api::{Lenient, SpecRevision, SpecView};
use crate::clock::Second;
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
    /// The newest revision of which a field is used.
    pub revision: SpecRevision,
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
    /// The newest task of a type on an image; boxed, as most name a task.
    Newest(Box<Newest>),
}

/// Which of an image's tasks is followed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Newest {
    /// The image.
    pub resource: ResourceId,
    /// The type of the task.
    pub type_: ArcStr,
    /// Tasks created before it are not meant; later ones are, ended or not.
    pub started_after: Option<Second>,
}

/// How long a task may take, in whole seconds; what is beyond 136 years is taken for those.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeout(NonZeroU32);

impl Timeout {
    /// Reads `90m` or `1h30m`: what the CRD's pattern `^([0-9]+[hms])+$` lets in.
    pub fn parse(text: &str) -> Result<Self, InvalidSpec> {
        let invalid = || broken("timeout is not a duration such as 90m or 1h30m, or is zero");
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

/// A stored spec that says nothing to go by.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidSpec {
    /// It breaks the rules of the CRD, as a looser CRD may have let it in.
    #[error("{0}: delete this ImageTask and create it anew")]
    BrokenRule(Box<str>),
    /// It has a field of a later version, which may change the meaning of all the others: whose keys are used, or which
    /// task opens the gate.
    #[error(
        "this operator's version {version} does not know {0}, so it does not poll the task: upgrade the operator, or \
         create this ImageTask anew without that field",
        version = env!("CARGO_PKG_VERSION")
    )]
    UnknownField(Box<str>),
}

impl Spec {
    /// Reads a stored spec.
    pub fn parse(stored: &Lenient<SpecView>) -> Result<Self, InvalidSpec> {
        let spec = match stored {
            Lenient::Valid(spec) => spec,
            Lenient::Absent => return Err(broken("spec is missing")),
            Lenient::Invalid => return Err(broken("spec is not an object")),
        };
        // First: the rules for the known fields may be others beside it.
        if let Some(field) = spec.unknown_field() {
            return Err(InvalidSpec::UnknownField(field.into()));
        }
        let region = optional("region", &spec.region)?.map(|word| parsed("region", Region::parse(word))).transpose()?;
        let timeout = optional("timeout", &spec.timeout)?.map(|word| Timeout::parse(word)).transpose()?;
        Ok(Self {
            target: target(spec)?,
            region,
            credentials: credentials(spec)?,
            revision: spec.revision(),
            suspend: optional("suspend", &spec.suspend)?.copied().unwrap_or(false),
            timeout,
        })
    }
}

fn broken(rule: impl Into<Box<str>>) -> InvalidSpec {
    InvalidSpec::BrokenRule(rule.into())
}

fn target(spec: &SpecView) -> Result<Target, InvalidSpec> {
    let task = optional("taskId", &spec.task_id)?;
    let resource = optional("resourceId", &spec.resource_id)?;
    let type_ = optional("type", &spec.type_)?;
    let started_after = optional("startedAfter", &spec.started_after)?;
    match (task, resource, type_) {
        (Some(_), None, None) if started_after.is_some() => {
            Err(broken("startedAfter is not allowed without resourceId"))
        }
        (Some(task), None, None) => Ok(Target::Task(parsed("taskId", TaskId::parse(task))?)),
        (None, Some(resource), Some(type_)) => {
            let resource = parsed("resourceId", ResourceId::parse(resource))?;
            if !is_type(type_) {
                return Err(broken("type is not a word of up to 64 letters and digits"));
            }
            let started_after = started_after.map(|time| time.parse()).transpose();
            let started_after =
                started_after.map_err(|_| broken("startedAfter is not a date-time such as 2026-01-31T09:00:00Z"))?;
            Ok(Target::Newest(Box::new(Newest { resource, type_: ArcStr::from(&**type_), started_after })))
        }
        (None, None, _) | (Some(_), Some(_), _) => Err(broken("exactly one of taskId and resourceId must be set")),
        (Some(_), None, Some(_)) | (None, Some(_), None) => {
            Err(broken("type is required with resourceId and not allowed without it"))
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
        Some(_) => Err(broken("credentialsRef.name is not the name of a Secret")),
        None => Err(broken("credentialsRef.name is missing")),
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
        Lenient::Invalid => Err(broken(format!("{field} is of the wrong type"))),
    }
}

fn parsed<T, E: std::error::Error>(field: &str, value: Result<T, E>) -> Result<T, InvalidSpec> {
    value.map_err(|error| broken(format!("{field}: {error}")))
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
            revision: SpecRevision::FIRST,
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
        let spec = |started_after: Option<&str>| {
            let newest = Newest {
                resource: ResourceId::parse("image-1").unwrap(),
                type_: "CopyImage".into(),
                started_after: started_after.map(|time| time.parse().unwrap()),
            };
            let target = Target::Newest(Box::new(newest));
            Ok(Spec {
                target,
                region: None,
                credentials: None,
                revision: SpecRevision::FIRST,
                suspend: false,
                timeout: None,
            })
        };
        assert_eq!(parse(json!({"resourceId": "image-1", "type": "CopyImage"})), spec(None));
        let since = |time: &str| parse(json!({"resourceId": "image-1", "type": "CopyImage", "startedAfter": time}));
        let utc = Some("2026-01-31T01:00:00Z");
        for same in ["2026-01-31T09:00:00+08:00", "2026-01-31T01:00:00.999Z", "2026-01-31t01:00:00z"] {
            assert_eq!(since(same), spec(utc), "{same}");
        }
    }

    #[test]
    fn a_field_that_this_version_does_not_know_is_told_with_the_version_whatever_else_is_wrong() {
        let told = |field: &str| {
            let version = env!("CARGO_PKG_VERSION");
            Err(format!(
                "this operator's version {version} does not know {field}, so it does not poll the task: upgrade the \
                 operator, or create this ImageTask anew without that field"
            ))
        };
        assert_eq!(parse(json!({"taskId": "t-1", "serviceAccountRef": {"name": "x"}})), told("spec.serviceAccountRef"));
        assert_eq!(parse(json!({"taskIds": ["t-1", "t-2"]})), told("spec.taskIds"));
        let nested = json!({"taskId": "t-1", "credentialsRef": {"name": "keys", "namespace": "x"}});
        assert_eq!(parse(nested), told("spec.credentialsRef.namespace"));
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
        let by_id = json!({"taskId": "t-1", "startedAfter": "2026-01-31T09:00:00Z"});
        check(by_id, "startedAfter is not allowed without resourceId");
        for bad in [json!("yesterday"), json!("2026-01-31T09:00:00"), json!("2026-01-31"), json!("")] {
            let spec = json!({"resourceId": "image-1", "type": "CopyImage", "startedAfter": bad});
            check(spec, "startedAfter is not a date-time");
        }
        let spec = json!({"resourceId": "image-1", "type": "CopyImage", "startedAfter": 1});
        check(spec, "startedAfter is of the wrong type");
    }

    proptest! {
        #[test]
        fn no_timeout_panics(text in ".{0,32}") {
            prop_assert!(Timeout::parse(&text).is_ok_and(|found| found.duration().is_positive()) || Timeout::parse(&text).is_err());
        }

        #[test]
        fn every_moment_that_the_crd_lets_in_is_read(
            date in "(20[0-9]{2}|0000|0001|9998)-(0[1-9]|1[0-2])-([01][1-9]|2[0-8])",
            time in "([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]([.][0-9]{1,9})?",
            zone in "Z|[+-]([01][0-9]|2[0-3]):[0-5][0-9]",
        ) {
            let moment = format!("{date}T{time}{zone}");
            let spec = json!({"resourceId": "image-1", "type": "CopyImage", "startedAfter": moment});
            prop_assert!(parse(spec).is_ok(), "{}", moment);
        }

        #[test]
        fn every_timeout_that_the_crd_lets_in_is_read(text in "([0-9]{1,25}[hms]){1,3}") {
            let zero = !text.contains(|c: char| ('1'..='9').contains(&c));
            prop_assert_eq!(Timeout::parse(&text).is_err(), zero);
        }
    }
}
