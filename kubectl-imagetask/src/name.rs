//! Names of ImageTasks: as users write them, and as they are made from what an ImageTask follows.

use imagetask_operator::spec::Target;

/// Longest name of an object, in characters (Kubernetes, "Object Names and IDs").
const MAX: usize = 253;

/// Words that may stand before a slash, as `kubectl get -o name` prints and `kubectl wait` takes them.
const KINDS: [&str; 3] = ["imagetask", "imagetasks", "imgtask"];

/// The name of an ImageTask that exists or may exist.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Name(String);

impl Name {
    /// Reads `NAME` or `imagetask/NAME`.
    ///
    /// # Errors
    ///
    /// When it cannot be the name of an ImageTask; says why.
    pub fn parse(text: &str) -> Result<Self, String> {
        let name = match text.split_once('/') {
            None => text,
            Some((kind, name)) if KINDS.contains(&kind.split('.').next().unwrap_or_default()) => name,
            Some((kind, _)) => return Err(format!("{kind} is not imagetask: give the name of an ImageTask")),
        };
        match is_name(name) {
            true => Ok(Self(name.to_owned())),
            false => Err(RULE.to_owned()),
        }
    }

    /// The name after what is followed: the task's id, or type and id of an image: `copy-image-1` for CopyImage.
    ///
    /// # Errors
    ///
    /// When the id ends with what a name must not end with; says what to do.
    pub fn after(target: &Target) -> Result<Self, String> {
        let text = match target {
            Target::Task(id) => id.as_str().to_owned(),
            Target::Newest(newest) => {
                let verb = newest.type_.strip_suffix("Image").filter(|verb| !verb.is_empty()).unwrap_or(&newest.type_);
                format!("{verb}-{}", newest.resource)
            }
        };
        let name = text.to_ascii_lowercase().replace('_', "-");
        match is_name(&name) {
            true => Ok(Self(name)),
            false => Err(format!("no name can be made of {text}, choose one with --name: {RULE}")),
        }
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

const RULE: &str = "a name is up to 253 lowercase letters, digits, - and ., and begins and ends with a letter or digit";

/// A DNS subdomain: each part between dots begins and ends with a letter or digit.
fn is_name(name: &str) -> bool {
    let edge = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let label =
        |label: &str| label.starts_with(edge) && label.ends_with(edge) && label.chars().all(|c| edge(c) || c == '-');
    name.len() <= MAX && name.split('.').all(label)
}

#[cfg(test)]
mod tests {
    use super::*;
    use imagetask_operator::ecs::{ResourceId, TaskId};
    use imagetask_operator::spec::Newest;
    use proptest::prelude::*;

    fn task(id: &str) -> Target {
        Target::Task(TaskId::parse(id).unwrap())
    }

    fn newest(type_: &str, image: &str) -> Target {
        let resource = ResourceId::parse(image).unwrap();
        Target::Newest(Box::new(Newest { resource, type_: type_.into(), started_after: None }))
    }

    fn named(target: &Target) -> String {
        Name::after(target).unwrap().0
    }

    #[test]
    fn an_image_task_is_named_after_what_it_follows() {
        assert_eq!(named(&task("t-2zf8q1c7kxyd9ro3wmvb")), "t-2zf8q1c7kxyd9ro3wmvb");
        assert_eq!(named(&task("T_Upper_1")), "t-upper-1");
        assert_eq!(named(&newest("CopyImage", "image-demo")), "copy-image-demo");
        assert_eq!(named(&newest("Image", "image-demo")), "image-image-demo");
        assert_eq!(named(&newest("Defragment", "image_1")), "defragment-image-1");
    }

    #[test]
    fn where_no_name_can_be_made_one_is_asked_for() {
        let error = Name::after(&task("t-1_")).unwrap_err();
        assert_eq!(error, format!("no name can be made of t-1_, choose one with --name: {RULE}"));
    }

    #[test]
    fn names_are_taken_as_kubectl_prints_them() {
        let good = ["t-1", "imagetask/t-1", "imagetasks/t-1", "imgtask/t-1", "imagetask.ecs.volcengine.com/t-1"];
        assert_eq!(good.map(|text| Name::parse(text).unwrap().0), ["t-1"; 5]);
        for (bad, complaint) in [("pod/t-1", "pod is not imagetask"), ("T-1", "a name is"), ("", "a name is")] {
            let error = Name::parse(bad).unwrap_err();
            assert!(error.starts_with(complaint), "{bad}: {error}");
        }
        assert!(Name::parse(&"a".repeat(MAX)).is_ok() && Name::parse(&"a".repeat(MAX + 1)).is_err());
        assert!(Name::parse("a..b").is_err() && Name::parse("a/../b").is_err());
    }

    proptest! {
        #[test]
        fn every_id_makes_a_name_or_is_explained(id in "[A-Za-z0-9][A-Za-z0-9_-]{0,127}") {
            match Name::after(&task(&id)) {
                Ok(name) => prop_assert!(is_name(name.as_str())),
                Err(_) => prop_assert!(id.ends_with(['-', '_'])),
            }
        }
    }
}
