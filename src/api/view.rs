//! The lenient view that is watched: one object that breaks its schema must not fail the list it comes in.
//!
//! Every field is optional and a wrong shape becomes [`Lenient::Invalid`], so reading never fails; what nobody asks
//! for (managed fields, labels, foreign annotations) is skipped without being built. Of a field of the spec that this
//! version does not know, only the name is kept.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use kube::Resource;
use kube::core::NamespaceResourceScope;
use serde::de::value::MapAccessDeserializer;
use serde::de::{DeserializeOwned, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Serialize};

use super::unknown::{self, Noticed, SpecRevision};
use super::{ImageTask, RECONCILE_REQUESTED_AT};

/// An `ImageTask` as the operator watches it.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct ImageTaskView {
    /// Name, namespace, uid, versions, creation time and the one annotation that is heeded.
    #[serde(deserialize_with = "slim_metadata")]
    pub metadata: ObjectMeta,
    /// What the user asks for.
    pub spec: Lenient<SpecView>,
    /// What the operator wrote last.
    pub status: Lenient<StatusView>,
}

/// The spec, field by field as stored.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
#[expect(missing_docs, reason = "the fields of ImageTaskSpec, documented there")]
pub struct SpecView {
    pub task_id: Lenient<Box<str>>,
    pub resource_id: Lenient<Box<str>>,
    #[serde(rename = "type")]
    pub type_: Lenient<Box<str>>,
    pub region: Lenient<Box<str>>,
    pub started_after: Lenient<Box<str>>,
    pub credentials_ref: Lenient<CredentialsRefView>,
    pub suspend: Lenient<bool>,
    pub timeout: Lenient<Box<str>>,
    /// Of all members.
    #[serde(skip)]
    pub noticed: Noticed,
}

impl SpecView {
    /// The newest revision of which a field is used.
    pub fn revision(&self) -> SpecRevision {
        let of_reference = self.credentials_ref.valid().map(|reference| reference.noticed.revision);
        of_reference.unwrap_or_default().max(self.noticed.revision)
    }

    /// Path of the first field that this version does not know, such as `spec.credentialsRef.x`.
    pub fn unknown_field(&self) -> Option<String> {
        let of_reference = self.credentials_ref.valid().and_then(|reference| reference.noticed.unknown.as_ref());
        let own = self.noticed.unknown.as_ref().map(|name| format!("spec.{name}"));
        own.or_else(|| of_reference.map(|name| format!("spec.credentialsRef.{name}")))
    }
}

/// The reference to a Secret, as stored.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct CredentialsRefView {
    pub name: Lenient<Box<str>>,
    /// Of all members.
    #[serde(skip)]
    pub noticed: Noticed,
}

/// The status, field by field as stored.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
#[expect(missing_docs, reason = "the fields of ImageTaskStatus, documented there")]
pub struct StatusView {
    pub observed_generation: Lenient<i64>,
    pub phase: Lenient<Box<str>>,
    pub process: Lenient<i64>,
    pub status: Lenient<Box<str>>,
    pub task_id: Lenient<Box<str>>,
    #[serde(rename = "type")]
    pub type_: Lenient<Box<str>>,
    pub resource_id: Lenient<Box<str>>,
    pub created_at: Lenient<Box<str>>,
    pub updated_at: Lenient<Box<str>>,
    pub end_at: Lenient<Box<str>>,
    pub region: Lenient<Box<str>>,
    pub spec_revision: Lenient<i64>,
    pub completion_time: Lenient<Box<str>>,
    pub last_handled_reconcile_at: Lenient<Box<str>>,
    pub conditions: Lenient<Vec<Lenient<ConditionView>>>,
}

/// One condition, as stored.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ConditionView {
    #[serde(rename = "type")]
    pub type_: Lenient<Box<str>>,
    pub status: Lenient<Box<str>>,
    pub reason: Lenient<Box<str>>,
    pub message: Lenient<Box<str>>,
    pub last_transition_time: Lenient<Box<str>>,
    pub observed_generation: Lenient<i64>,
}

impl Resource for ImageTaskView {
    type DynamicType = ();
    type Scope = NamespaceResourceScope;

    fn kind((): &()) -> Cow<'_, str> {
        ImageTask::kind(&())
    }
    fn group((): &()) -> Cow<'_, str> {
        ImageTask::group(&())
    }
    fn version((): &()) -> Cow<'_, str> {
        ImageTask::version(&())
    }
    fn plural((): &()) -> Cow<'_, str> {
        ImageTask::plural(&())
    }
    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }
    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }
}

/// A stored value that may be missing or of the wrong shape.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Lenient<T> {
    /// Not there, or null.
    #[default]
    Absent,
    /// There, and of the right shape.
    Valid(T),
    /// There, but of a shape that the schema does not allow.
    Invalid,
}

impl<T> Lenient<T> {
    /// The value, if it is there and of the right shape.
    pub fn valid(&self) -> Option<&T> {
        match self {
            Self::Valid(value) => Some(value),
            Self::Absent | Self::Invalid => None,
        }
    }
}

/// What a stored value may become; every shape that is not overridden is [`Lenient::Invalid`].
trait Shape: Sized {
    fn from_str(_: &str) -> Option<Self> {
        None
    }
    fn from_i64(_: i64) -> Option<Self> {
        None
    }
    fn from_bool(_: bool) -> Option<Self> {
        None
    }
    fn from_map<'de, A: MapAccess<'de>>(mut map: A) -> Result<Option<Self>, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(None)
    }
    fn from_seq<'de, A: SeqAccess<'de>>(mut seq: A) -> Result<Option<Self>, A::Error> {
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(None)
    }
}

impl Shape for Box<str> {
    fn from_str(text: &str) -> Option<Self> {
        Some(text.into())
    }
}

impl Shape for i64 {
    fn from_i64(number: i64) -> Option<Self> {
        Some(number)
    }
}

impl Shape for bool {
    fn from_bool(truth: bool) -> Option<Self> {
        Some(truth)
    }
}

impl<T: Shape> Shape for Vec<Lenient<T>> {
    fn from_seq<'de, A: SeqAccess<'de>>(mut seq: A) -> Result<Option<Self>, A::Error> {
        let mut items = Self::new();
        while let Some(item) = seq.next_element()? {
            items.push(item);
        }
        Ok(Some(items))
    }
}

/// Structures whose fields are all lenient, so that reading one fails only where the text itself is no JSON.
trait Fields: DeserializeOwned {
    fn read<'de, A: MapAccess<'de>>(map: A) -> Result<Self, A::Error> {
        Self::deserialize(MapAccessDeserializer::new(map))
    }
}

impl Fields for SpecView {
    fn read<'de, A: MapAccess<'de>>(map: A) -> Result<Self, A::Error> {
        let (view, noticed) = unknown::read(map, "")?;
        Ok(Self { noticed, ..view })
    }
}
impl Fields for CredentialsRefView {
    fn read<'de, A: MapAccess<'de>>(map: A) -> Result<Self, A::Error> {
        let (view, noticed) = unknown::read(map, "credentialsRef.")?;
        Ok(Self { noticed, ..view })
    }
}
impl Fields for StatusView {}
impl Fields for ConditionView {}

impl<T: Fields> Shape for T {
    fn from_map<'de, A: MapAccess<'de>>(map: A) -> Result<Option<Self>, A::Error> {
        Self::read(map).map(Some)
    }
}

impl<'de, T: Shape> Deserialize<'de> for Lenient<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AnyShape(PhantomData))
    }
}

struct AnyShape<T>(PhantomData<T>);

impl<'de, T: Shape> Visitor<'de> for AnyShape<T> {
    type Value = Lenient<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("anything")
    }
    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(Lenient::Absent)
    }
    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        Ok(T::from_str(text).into())
    }
    fn visit_bool<E>(self, truth: bool) -> Result<Self::Value, E> {
        Ok(T::from_bool(truth).into())
    }
    fn visit_i64<E>(self, number: i64) -> Result<Self::Value, E> {
        Ok(T::from_i64(number).into())
    }
    fn visit_u64<E>(self, number: u64) -> Result<Self::Value, E> {
        Ok(i64::try_from(number).ok().and_then(T::from_i64).into())
    }
    fn visit_f64<E>(self, _: f64) -> Result<Self::Value, E> {
        Ok(Lenient::Invalid)
    }
    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
        Ok(T::from_map(map)?.into())
    }
    fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<Self::Value, A::Error> {
        Ok(T::from_seq(seq)?.into())
    }
}

impl<T> From<Option<T>> for Lenient<T> {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Invalid, Self::Valid)
    }
}

/// The metadata that is needed; the API server vouches for its types.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct SlimMetadata {
    name: Option<String>,
    namespace: Option<String>,
    uid: Option<String>,
    resource_version: Option<String>,
    generation: Option<i64>,
    creation_timestamp: Option<Time>,
    #[serde(default)]
    annotations: SlimAnnotations,
}

#[derive(Default, Deserialize, Serialize)]
#[serde(default)]
struct SlimAnnotations {
    #[serde(rename = "imagetasks.ecs.volcengine.com/reconcile-requested-at")]
    reconcile_requested_at: Option<String>,
}

fn slim_metadata<'de, D: Deserializer<'de>>(deserializer: D) -> Result<ObjectMeta, D::Error> {
    let slim = SlimMetadata::deserialize(deserializer)?;
    let request = slim.annotations.reconcile_requested_at;
    Ok(ObjectMeta {
        name: slim.name,
        namespace: slim.namespace,
        uid: slim.uid,
        resource_version: slim.resource_version,
        generation: slim.generation,
        creation_timestamp: slim.creation_timestamp,
        annotations: request.map(|value| [(RECONCILE_REQUESTED_AT.to_owned(), value)].into()),
        ..ObjectMeta::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::conditions::{Course, Standing};
    use crate::api::crd;
    use crate::ecs::{Region, Task, TaskId, Words};
    use crate::reason::Reason;
    use crate::status::Status;
    use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{JSONSchemaProps, JSONSchemaPropsOrArray};
    use k8s_openapi::jiff::Timestamp;

    use crate::clock::Second;
    use proptest::prelude::*;
    use serde::de::value::MapDeserializer;
    use serde_json::{Value, json};

    fn read(object: Value) -> ImageTaskView {
        serde_json::from_value(object).unwrap()
    }

    #[test]
    fn a_good_object_is_read_whole() {
        let view = read(json!({
            "apiVersion": "ecs.volcengine.com/v1alpha1",
            "kind": "ImageTask",
            "metadata": {
                "name": "t-1", "namespace": "team", "uid": "u", "resourceVersion": "7", "generation": 2,
                "labels": {"a": "b"}, "managedFields": [{"manager": "kubectl"}],
                "annotations": {"other": "x", RECONCILE_REQUESTED_AT: "now"},
            },
            "spec": {"taskId": "t-1", "credentialsRef": {"name": "keys"}, "suspend": true},
            "status": {"observedGeneration": -1},
        }));
        let expected = ImageTaskView {
            metadata: ObjectMeta {
                name: Some("t-1".into()),
                namespace: Some("team".into()),
                uid: Some("u".into()),
                resource_version: Some("7".into()),
                generation: Some(2),
                annotations: Some([(RECONCILE_REQUESTED_AT.to_owned(), "now".to_owned())].into()),
                ..ObjectMeta::default()
            },
            spec: Lenient::Valid(SpecView {
                task_id: Lenient::Valid("t-1".into()),
                credentials_ref: Lenient::Valid(CredentialsRefView {
                    name: Lenient::Valid("keys".into()),
                    ..CredentialsRefView::default()
                }),
                suspend: Lenient::Valid(true),
                ..SpecView::default()
            }),
            status: Lenient::Valid(StatusView { observed_generation: Lenient::Valid(-1), ..StatusView::default() }),
        };
        assert_eq!(view, expected);
    }

    #[test]
    fn a_wrong_shape_is_invalid_and_spoils_nothing_else() {
        let view = read(json!({
            "metadata": {"name": "bad"},
            "spec": {"taskId": {"a": [1, {"b": 2}]}, "region": 7, "suspend": "yes", "timeout": "5m", "type": null},
            "status": [1, 2],
        }));
        let expected = SpecView {
            task_id: Lenient::Invalid,
            region: Lenient::Invalid,
            suspend: Lenient::Invalid,
            timeout: Lenient::Valid("5m".into()),
            ..SpecView::default()
        };
        assert_eq!((view.spec, view.status), (Lenient::Valid(expected), Lenient::Invalid));
    }

    #[test]
    fn a_field_of_the_spec_that_this_version_does_not_know_is_noticed_at_any_depth_and_spoils_no_other() {
        let spec = |spec: Value| {
            let ImageTaskView { spec, .. } = read(json!({"spec": spec}));
            spec.valid().map(|spec| (spec.task_id.clone(), spec.unknown_field()))
        };
        let task = Lenient::Valid(Box::<str>::from("t-1"));
        let told = |path: &str| Some((task.clone(), Some(path.to_owned())));
        assert_eq!(spec(json!({"taskId": "t-1"})), Some((task.clone(), None)));
        assert_eq!(spec(json!({"serviceAccountRef": {"name": "x"}, "taskId": "t-1"})), told("spec.serviceAccountRef"));
        assert_eq!(spec(json!({"taskId": "t-1", "x": [{"y": null}], "z": 7})), told("spec.x"));
        assert_eq!(spec(json!({"taskId": "t-1", "x": null})), told("spec.x"));
        let nested = json!({"taskId": "t-1", "credentialsRef": {"name": "keys", "x": {"name": "y"}}});
        assert_eq!(spec(nested), told("spec.credentialsRef.x"));
        assert_eq!(spec(json!({"taskId": "t-1", "a\n\u{1b}[31m\u{202e}": 1})), told("spec.a???31m?"));
        assert_eq!(spec(json!({"taskId": "t-1", "a".repeat(1_000): 1})), told(&format!("spec.{}", "a".repeat(64))));
    }

    /// An object with every field of the CRD's spec and status, each of the right type.
    fn complete() -> Value {
        let mut versions = crd().spec.versions;
        let mut root = versions.remove(0).schema.unwrap().open_api_v3_schema.unwrap();
        root.properties.as_mut().unwrap().retain(|name, _| name == "spec" || name == "status");
        sample(&root)
    }

    fn sample(schema: &JSONSchemaProps) -> Value {
        match (schema.type_.as_deref().unwrap(), &schema.items) {
            ("object", _) => {
                schema.properties.iter().flatten().map(|(name, field)| (name.clone(), sample(field))).collect()
            }
            ("array", Some(JSONSchemaPropsOrArray::Schema(item))) => json!([sample(item)]),
            ("string", _) => json!("x"),
            ("integer", _) => json!(1),
            ("boolean", _) => json!(true),
            other => panic!("the view has no shape for {other:?}"),
        }
    }

    fn names(object: &Value) -> Vec<&str> {
        object.as_object().unwrap().keys().map(String::as_str).collect()
    }

    /// The names by which a structure of the view knows its fields.
    fn known<T: Fields>() -> Vec<&'static str> {
        let mut names = Vec::new();
        T::deserialize(Names(&mut names)).map(drop).unwrap();
        names.sort_unstable();
        names
    }

    struct Names<'a>(&'a mut Vec<&'static str>);

    impl<'de> Deserializer<'de> for Names<'_> {
        type Error = serde::de::value::Error;

        fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Self::Error> {
            visitor.visit_map(MapDeserializer::new(std::iter::empty::<(&str, &str)>()))
        }
        fn deserialize_struct<V: Visitor<'de>>(
            self,
            _: &'static str,
            fields: &'static [&'static str],
            visitor: V,
        ) -> Result<V::Value, Self::Error> {
            self.0.extend(fields);
            self.deserialize_any(visitor)
        }
        serde::forward_to_deserialize_any! {
            bool i8 i16 i32 i64 u8 u16 u32 u64 f32 f64 char str string bytes byte_buf option unit unit_struct
            newtype_struct seq tuple tuple_struct map enum identifier ignored_any
        }
    }

    #[test]
    fn the_view_has_the_fields_of_the_crd_and_no_others() {
        let Value::Object(object) = complete() else { panic!("an object has fields") };
        assert_eq!(known::<SpecView>(), names(&object["spec"]));
        assert_eq!(known::<CredentialsRefView>(), names(&object["spec"]["credentialsRef"]));
        assert_eq!(known::<StatusView>(), names(&object["status"]));
        assert_eq!(known::<ConditionView>(), names(&object["status"]["conditions"][0]));
    }

    #[test]
    fn a_field_of_the_type_that_the_crd_names_is_valid() {
        let ImageTaskView { spec, status, .. } = read(complete());
        let seen = format!("{spec:#?} {status:#?}");
        assert!(!seen.contains("Absent") && !seen.contains("Invalid"), "{seen}");
    }

    /// A status of which every field is told.
    fn full(course: Course) -> Status {
        let at = |second| Second::of(Timestamp::from_second(second).unwrap());
        let course_since = match course {
            Course::Progressing | Course::Stuck | Course::Failed => at(2),
            // Without a condition of its own it is since when Ready is.
            Course::Suspended | Course::Succeeded => at(1),
        };
        Status {
            observed_generation: 3,
            reported: Some(Task::new(
                TaskId::parse("t-1").unwrap(),
                Words {
                    process: Some(42),
                    type_: Some("ExportImage"),
                    status: Some("Defragmenting"),
                    resource_id: Some("image-1"),
                    created_at: Some("2022-05-06T00:01:00+08:00"),
                    ended_at: Some("yesterday"),
                    updated_at: Some("2022-05-06T00:02:00+08:00"),
                },
            )),
            region: Some(Region::parse("cn-beijing").unwrap()),
            spec_revision: SpecRevision::parse(2),
            completion: Some(at(4)),
            handled: Some("now".into()),
            standing: Some(Standing {
                course,
                reason: Reason::AccessDenied,
                message: "no permission (AccessDenied) [request r]".into(),
                ready_since: at(1),
                course_since,
                finished_since: at(3),
            }),
        }
    }

    #[test]
    fn a_status_that_was_written_is_read_back_whole() {
        let unseen = Status::UNSEEN;
        for status in Course::ALL.map(full).iter().chain([&unseen]) {
            let written = json!({"status": status.render()});
            assert_eq!(Status::parse(&read(written).status), *status);
        }
        let written = serde_json::to_value(full(Course::Stuck).render()).unwrap();
        assert_eq!(names(&written), names(&complete()["status"]), "a full status has every field");
    }

    fn any_json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<u64>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            ".{0,12}".prop_map(Value::from),
        ];
        let key = prop_oneof![
            Just("taskId".to_owned()),
            Just("conditions".to_owned()),
            Just("credentialsRef".to_owned()),
            Just("name".to_owned()),
            Just("observedGeneration".to_owned()),
            ".{0,6}",
        ];
        leaf.prop_recursive(4, 64, 6, move |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
                prop::collection::btree_map(key.clone(), inner, 0..6)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn no_stored_object_fails_the_list(spec in any_json(), status in any_json()) {
            let text = json!({"metadata": {"name": "x"}, "spec": spec, "status": status}).to_string();
            prop_assert!(serde_json::from_str::<ImageTaskView>(&text).is_ok());
        }
    }
}
