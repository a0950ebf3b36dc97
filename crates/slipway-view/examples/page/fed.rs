//! Whether text that means harm was put into every field of what pages show.
//!
//! What reads a type tells the names of its fields. So a field that a type is given one day is missed here by itself: none
//! may be left out, and none that would take any text may have had harmless text alone.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;

use serde::de::value::{MapDeserializer, SeqDeserializer};
use serde::de::{DeserializeOwned, Deserializer, Error as _, IntoDeserializer, Visitor};
use serde::forward_to_deserialize_any;
use serde_json::{Error, Value};

/// A field, by the name of its type and its own.
type Field = (&'static str, &'static str);

/// What a field that takes any text takes, and no other.
const ANY_TEXT: &str = "<i>\u{202e}\"'& \u{1}";

/// What was put into the fields of all that was read.
#[derive(Default)]
pub(super) struct Fed {
    fields: RefCell<BTreeMap<Field, How>>,
    /// Whether what is being read has the field whose texts are replaced.
    has_it: Cell<bool>,
}

/// What was put into a field.
#[derive(Clone, Copy, Default)]
#[allow(clippy::struct_excessive_bools, reason = "each is found out by itself")]
struct How {
    is_given: bool,
    is_text: bool,
    has_harmful: bool,
    takes_any: bool,
}

impl Fed {
    /// Reads something that a page shows.
    #[allow(clippy::needless_pass_by_value, reason = "whoever calls makes it for this")]
    pub(super) fn read<T: DeserializeOwned>(&self, value: Value) -> Result<T, Error> {
        let reading = |instead| Reading { value: value.clone(), fed: self, of: None, instead };
        let read = T::deserialize(reading(None))?;
        let harmless: Vec<Field> = {
            let fields = self.fields.borrow();
            fields
                .iter()
                .filter(|(_, how)| how.is_text && !how.has_harmful && !how.takes_any)
                .map(|(of, _)| *of)
                .collect()
        };
        for field in harmless {
            self.has_it.set(false);
            if T::deserialize(reading(Some(field))).is_ok() && self.has_it.get() {
                self.tell(field, |how| how.takes_any = true);
            }
        }
        Ok(read)
    }

    /// The fields that pages show, or may show one day, and that were given no text that means harm.
    pub(super) fn missed(&self) -> Vec<String> {
        let missed = |how: &How| !how.is_given || how.takes_any && !how.has_harmful;
        let fields = self.fields.borrow();
        fields.iter().filter(|(_, how)| missed(how)).map(|((of, name), _)| format!("{of}.{name}")).collect()
    }

    fn tell(&self, field: Field, what: impl FnOnce(&mut How)) {
        what(self.fields.borrow_mut().entry(field).or_default());
    }
}

/// A value that is being read, and the field that it is in.
struct Reading<'a> {
    value: Value,
    fed: &'a Fed,
    of: Option<Field>,
    /// The field whose texts are replaced, to see whether it takes any.
    instead: Option<Field>,
}

impl Reading<'_> {
    fn text(&self, text: String) -> String {
        let Some(of) = self.of else { return text };
        if self.instead == Some(of) {
            self.fed.has_it.set(true);
            return ANY_TEXT.to_owned();
        }
        // What would be an element is in no other text here.
        let is_harmful = text.contains('<');
        self.fed.tell(of, |how| {
            how.is_text = true;
            how.has_harmful |= is_harmful;
        });
        text
    }
}

impl IntoDeserializer<'_, Error> for Reading<'_> {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}

impl<'de> Deserializer<'de> for Reading<'_> {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        let Self { fed, of, instead, .. } = self;
        let inside = |value| Reading { value, fed, of, instead };
        match self.value {
            Value::String(ref text) => visitor.visit_string(self.text(text.clone())),
            Value::Array(list) => visitor.visit_seq(SeqDeserializer::new(list.into_iter().map(inside))),
            Value::Object(map) => {
                visitor.visit_map(MapDeserializer::new(map.into_iter().map(|(name, value)| (name, inside(value)))))
            }
            other => other.deserialize_any(visitor),
        }
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        let Self { fed, instead, .. } = self;
        let Value::Object(map) = self.value else { return Err(Error::custom(format!("`{name}` is an object"))) };
        for field in fields {
            let is_given = map.get(*field).is_some_and(|value| !value.is_null());
            fed.tell((name, field), |how| how.is_given |= is_given);
        }
        let inside = map.into_iter().map(|(key, value)| {
            let of = fields.iter().find(|field| **field == key).map(|field| (name, *field));
            (key, Reading { value, fed, of, instead })
        });
        visitor.visit_map(MapDeserializer::new(inside))
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        if self.value.is_null() { visitor.visit_none() } else { visitor.visit_some(self) }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        match self.value {
            Value::String(ref text) => visitor.visit_enum(self.text(text.clone()).into_deserializer()),
            other => other.deserialize_enum(name, variants, visitor),
        }
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 u8 u16 u32 u64 f32 f64 char str string bytes byte_buf unit unit_struct seq tuple tuple_struct map
        identifier ignored_any
    }
}
