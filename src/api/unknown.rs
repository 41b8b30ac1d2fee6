//! Members of a stored structure that this version has no field for: noticed by name while the others are read, and never
//! built. And of which revision of the spec those are that it has fields for.

use std::fmt;

use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, Error, IntoDeserializer, MapAccess, Visitor};

/// The name of a field as a message may hold it: users may choose it, so it is short and plain whatever it was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldName(Box<str>);

/// Characters that are kept of a name; none of our own fields has as many.
const MAX_NAME: usize = 64;

impl FieldName {
    fn of(name: &str) -> Self {
        let plain = |c: char| if c.is_ascii_alphanumeric() || c == '-' || c == '_' { c } else { '?' };
        Self(name.chars().take(MAX_NAME).map(plain).collect())
    }
}

impl fmt::Display for FieldName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The fields of the spec by the revision that brought them, nested ones by their path. An ImageTask that uses those of a
/// later one says so in its status, so that an older program leaves it alone whose CRD has lost them.
const REVISIONS: &[&[&str]] = &[
    &[
        "taskId",
        "resourceId",
        "type",
        "startedAfter",
        "region",
        "credentialsRef",
        "credentialsRef.name",
        "suspend",
        "timeout",
    ],
    // A release that adds fields adds a list.
];

/// A revision of the spec, by which an older program tells that it does not know all of it. The first is 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SpecRevision(u8);

impl SpecRevision {
    /// That of the first version.
    pub const FIRST: Self = Self(0);

    /// The newest that this version knows.
    const NEWEST: Self = Self(REVISIONS.len() as u8 - 1);

    /// Reads the number in a status, which counts from 1.
    pub fn parse(number: i64) -> Self {
        Self(u8::try_from(number.saturating_sub(1).clamp(0, u8::MAX.into())).expect("it is clamped"))
    }

    /// The number in a status; the first is not told.
    pub fn number(self) -> Option<i32> {
        (self.0 > 0).then(|| i32::from(self.0) + 1)
    }

    /// Whether a later version has brought it.
    pub fn is_of_later_version(self) -> bool {
        self > Self::NEWEST
    }

    fn of(prefix: &str, name: &str) -> Self {
        let has_it = |fields: &[&str]| fields.iter().any(|path| path.strip_prefix(prefix) == Some(name));
        let revision = REVISIONS.iter().position(|fields| has_it(fields));
        Self(revision.unwrap_or_default() as u8)
    }
}

/// What is noticed of the members of a structure.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Noticed {
    /// The first that there is no field for.
    pub unknown: Option<FieldName>,
    /// The newest revision of the others.
    pub revision: SpecRevision,
}

/// Reads a structure of the spec, whose fields have the path `prefix`, and notices its members.
///
/// # Errors
///
/// Where the structure cannot be read.
pub(super) fn read<'de, T, A>(map: A, prefix: &'static str) -> Result<(T, Noticed), A::Error>
where
    T: Deserialize<'de>,
    A: MapAccess<'de>,
{
    let mut noticed = Noticed::default();
    let read = T::deserialize(Structure { map, prefix, noticed: &mut noticed })?;
    Ok((read, noticed))
}

/// A structure before it tells which fields it has.
struct Structure<'a, A> {
    map: A,
    prefix: &'static str,
    noticed: &'a mut Noticed,
}

impl<'de, A: MapAccess<'de>> Deserializer<'de> for Structure<'_, A> {
    type Error = A::Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Self::Error> {
        visitor.visit_map(self.map)
    }
    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Self::Error> {
        let Self { map, prefix, noticed } = self;
        visitor.visit_map(Members { map, fields, prefix, noticed })
    }
    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 u8 u16 u32 u64 f32 f64 char str string bytes byte_buf option unit unit_struct
        newtype_struct seq tuple tuple_struct map enum identifier ignored_any
    }
}

/// Its members, told to it one by one.
struct Members<'a, A> {
    map: A,
    fields: &'static [&'static str],
    prefix: &'static str,
    noticed: &'a mut Noticed,
}

impl<'de, A: MapAccess<'de>> MapAccess<'de> for Members<'_, A> {
    type Error = A::Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, key: K) -> Result<Option<K::Value>, Self::Error> {
        let Self { map, fields, prefix, noticed } = self;
        map.next_key_seed(Member { key, fields, prefix, noticed })
    }
    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, value: V) -> Result<V::Value, Self::Error> {
        self.map.next_value_seed(value)
    }
    fn size_hint(&self) -> Option<usize> {
        self.map.size_hint()
    }
}

/// The name of a member on its way to the structure.
struct Member<'a, K> {
    key: K,
    fields: &'static [&'static str],
    prefix: &'static str,
    noticed: &'a mut Noticed,
}

impl<'de, K: DeserializeSeed<'de>> DeserializeSeed<'de> for Member<'_, K> {
    type Value = K::Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_identifier(self)
    }
}

impl<'de, K: DeserializeSeed<'de>> Visitor<'de> for Member<'_, K> {
    type Value = K::Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the name of a field")
    }
    fn visit_str<E: Error>(self, name: &str) -> Result<Self::Value, E> {
        let Noticed { unknown, revision } = self.noticed;
        if self.fields.contains(&name) {
            *revision = (*revision).max(SpecRevision::of(self.prefix, name));
        } else if unknown.is_none() {
            *unknown = Some(FieldName::of(name));
        }
        self.key.deserialize(name.into_deserializer())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::JSONSchemaProps;
    use proptest::prelude::*;

    /// The paths of all fields of a schema.
    fn paths(schema: &JSONSchemaProps, prefix: &str) -> Vec<String> {
        let fields = schema.properties.iter().flatten();
        fields
            .flat_map(|(name, field)| {
                [vec![format!("{prefix}{name}")], paths(field, &format!("{prefix}{name}."))].concat()
            })
            .collect()
    }

    #[test]
    fn every_field_of_the_spec_has_a_revision() {
        let crd = serde_json::to_value(crate::api::crd()).unwrap();
        let spec = crd.pointer("/spec/versions/0/schema/openAPIV3Schema/properties/spec").unwrap();
        let mut fields = paths(&serde_json::from_value(spec.clone()).unwrap(), "");
        let mut revised: Vec<_> = REVISIONS.concat().into_iter().map(str::to_owned).collect();
        fields.sort_unstable();
        revised.sort_unstable();
        assert_eq!(fields, revised);
    }

    #[test]
    fn a_revision_is_told_as_a_number_from_the_second_on() {
        let read = [0, 1, 2, 255, 256, i64::MIN, i64::MAX].map(SpecRevision::parse);
        let known = SpecRevision::NEWEST;
        assert_eq!(read.map(SpecRevision::number), [None, None, Some(2), Some(255), Some(256), None, Some(256)]);
        assert_eq!(read.map(SpecRevision::is_of_later_version), read.map(|revision| revision.0 > known.0));
    }

    proptest! {
        #[test]
        fn whatever_a_field_is_called_its_name_is_short_and_plain(name in any::<String>(), times in 1..40_usize) {
            let told = FieldName::of(&name.repeat(times)).to_string();
            prop_assert!(told.len() <= MAX_NAME);
            prop_assert!(told.chars().all(|c| c.is_ascii_graphic()));
        }

        #[test]
        fn the_name_of_a_field_of_ours_is_told_as_it_is(name in "[a-z][A-Za-z0-9]{0,63}") {
            prop_assert_eq!(FieldName::of(&name).to_string(), name);
        }
    }
}
