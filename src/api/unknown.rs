//! Members of a stored structure that this version has no field for: noticed by name while the others are read, and never
//! built.

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

/// Reads a structure, and the name of the first member that it has no field for.
///
/// # Errors
///
/// Where the structure cannot be read.
pub(super) fn read<'de, T, A>(map: A) -> Result<(T, Option<FieldName>), A::Error>
where
    T: Deserialize<'de>,
    A: MapAccess<'de>,
{
    let mut unknown = None;
    let read = T::deserialize(Structure { map, unknown: &mut unknown })?;
    Ok((read, unknown))
}

/// A structure before it tells which fields it has.
struct Structure<'a, A> {
    map: A,
    unknown: &'a mut Option<FieldName>,
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
        visitor.visit_map(Members { map: self.map, fields, unknown: self.unknown })
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
    unknown: &'a mut Option<FieldName>,
}

impl<'de, A: MapAccess<'de>> MapAccess<'de> for Members<'_, A> {
    type Error = A::Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, key: K) -> Result<Option<K::Value>, Self::Error> {
        self.map.next_key_seed(Member { key, fields: self.fields, unknown: self.unknown })
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
    unknown: &'a mut Option<FieldName>,
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
        if self.unknown.is_none() && !self.fields.contains(&name) {
            *self.unknown = Some(FieldName::of(name));
        }
        self.key.deserialize(name.into_deserializer())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

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
