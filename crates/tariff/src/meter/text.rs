//! How much text a piece of an answer holds, whatever its shape.

use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

/// The bytes of all strings inside a JSON value, but for those that only name things (`type`, `role`, `id`).
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct TextBytes(pub u64);

impl<'de> Deserialize<'de> for TextBytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Count).map(TextBytes)
    }
}

struct Count;

impl<'de> Visitor<'de> for Count {
    type Value = u64;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any JSON value")
    }

    fn visit_str<E>(self, text: &str) -> Result<u64, E> {
        Ok(text.len() as u64)
    }

    fn visit_bool<E>(self, _: bool) -> Result<u64, E> {
        Ok(0)
    }

    fn visit_i64<E>(self, _: i64) -> Result<u64, E> {
        Ok(0)
    }

    fn visit_u64<E>(self, _: u64) -> Result<u64, E> {
        Ok(0)
    }

    fn visit_f64<E>(self, _: f64) -> Result<u64, E> {
        Ok(0)
    }

    fn visit_unit<E>(self) -> Result<u64, E> {
        Ok(0)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut values: A) -> Result<u64, A::Error> {
        let mut bytes = 0;
        while let Some(TextBytes(more)) = values.next_element()? {
            bytes += more;
        }
        Ok(bytes)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<u64, A::Error> {
        let mut bytes = 0;
        while let Some(name) = fields.next_key::<std::borrow::Cow<'de, str>>()? {
            if matches!(&*name, "type" | "role" | "id") {
                fields.next_value::<IgnoredAny>()?;
            } else {
                bytes += fields.next_value::<TextBytes>()?.0;
            }
        }
        Ok(bytes)
    }
}
