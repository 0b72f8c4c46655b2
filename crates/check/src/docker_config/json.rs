//! JSON as Go's `encoding/json` reads it: letters of keys do not count, `null` changes nothing, and what is no
//! UTF-8 becomes U+FFFD (pkg.go.dev/encoding/json, `Unmarshal`).

use std::fmt;

use serde::de::{DeserializeSeed, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

/// A value of JSON, as far as it is looked at.
#[derive(Debug)]
pub(super) enum Json {
    Null,
    Text(String),
    /// The members that are looked at, in the order in which they stand there; a key may stand several times.
    Object(Vec<(String, Json)>),
    /// Something else, such as `a number`.
    Other(&'static str),
}

impl Json {
    /// Reads a text, and of it the keys of each level that are named; no names mean all keys. Objects below
    /// the last level are passed over.
    ///
    /// # Errors
    /// Where it is no JSON. What stands there may be a password, so that only the place is told.
    pub fn read(data: &[u8], levels: &[&[&str]]) -> Result<Self, String> {
        let text = text(data);
        let mut reader = serde_json::Deserializer::from_str(&text);
        let read = Level(levels).deserialize(&mut reader).and_then(|it| reader.end().map(|()| it));
        read.map_err(|it| format!("it is no JSON at line {}, column {}", it.line(), it.column()))
    }

    /// What it is, for messages.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Text(_) => "a text",
            Self::Object(_) => "an object",
            Self::Other(kind) => kind,
        }
    }
}

/// Whether Go takes a key for that name. Beside ASCII's letters only these two have another case.
pub(super) fn is_named(key: &str, name: &str) -> bool {
    key.replace('\u{17f}', "s").replace('\u{212a}', "k").eq_ignore_ascii_case(name)
}

/// What is left to be looked at, level by level.
struct Level<'a>(&'a [&'a [&'a str]]);

impl<'de> DeserializeSeed<'de> for Level<'_> {
    type Value = Json;

    fn deserialize<D: serde::Deserializer<'de>>(self, reader: D) -> Result<Json, D::Error> {
        reader.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Level<'_> {
    type Value = Json;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E: Error>(self) -> Result<Json, E> {
        Ok(Json::Null)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Json, E> {
        Ok(Json::Text(text.to_owned()))
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<Json, E> {
        Ok(Json::Other("true or false"))
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<Json, E> {
        Ok(Json::Other("a number"))
    }

    fn visit_u64<E: Error>(self, _: u64) -> Result<Json, E> {
        Ok(Json::Other("a number"))
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<Json, E> {
        Ok(Json::Other("a number"))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Json, A::Error> {
        while list.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Json::Other("a list"))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Json, A::Error> {
        let mut members = Vec::new();
        let levels = self.0.split_first();
        while let Some(key) = map.next_key::<String>()? {
            match levels {
                Some((names, below))
                    if names.is_empty() || names.iter().any(|it| is_named(&key, it)) =>
                {
                    members.push((key, map.next_value_seed(Level(below))?));
                }
                _ => _ = map.next_value::<IgnoredAny>()?,
            }
        }
        Ok(if levels.is_some() { Json::Object(members) } else { Json::Other("an object") })
    }
}

/// Data as text: a byte that is part of no character is U+FFFD, and so is one half of a surrogate pair.
fn text(data: &[u8]) -> String {
    let mut text = String::with_capacity(data.len());
    for chunk in data.utf8_chunks() {
        text.push_str(chunk.valid());
        text.extend(chunk.invalid().iter().map(|_| char::REPLACEMENT_CHARACTER));
    }
    whole_surrogates(&text)
}

/// Replaces escapes of one half of a pair, which `serde_json` refuses.
fn whole_surrogates(text: &str) -> String {
    let (mut whole, mut rest) = (String::with_capacity(text.len()), text);
    while let Some(at) = rest.find('\\') {
        let (before, escape) = rest.split_at(at);
        let (end, kept) = match (unit(escape), escape.get(6..).and_then(unit)) {
            (Some(0xd800..=0xdbff), Some(0xdc00..=0xdfff)) => (12, &escape[..12]),
            (Some(0xd800..=0xdfff), _) => (6, "\\ufffd"),
            // The escape may be of a backslash.
            _ => {
                let end = escape.char_indices().nth(2).map_or(escape.len(), |(end, _)| end);
                (end, &escape[..end])
            }
        };
        whole.extend([before, kept]);
        rest = &escape[end..];
    }
    whole + rest
}

/// The code unit that an escape at the start is for.
fn unit(text: &str) -> Option<u16> {
    let digits = text.strip_prefix("\\u")?.get(..4)?;
    digits.bytes().all(|it| it.is_ascii_hexdigit()).then(|| u16::from_str_radix(digits, 16).ok())?
}
