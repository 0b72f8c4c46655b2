//! JSON as Go's `encoding/json` reads it: the case of keys is ignored, `null` changes nothing, and invalid UTF-8
//! becomes U+FFFD (pkg.go.dev/encoding/json, `Unmarshal`).

use std::fmt;

use serde::de::{DeserializeSeed, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

/// A JSON value, with only the parts that are used.
#[derive(Debug)]
pub(super) enum Json {
    Null,
    Text(String),
    /// The used members in their order in the text. A key may occur several times.
    Object(Vec<(String, Json)>),
    /// Any other value, by its kind, such as `a number`.
    Other(&'static str),
}

impl Json {
    /// Reads a text. Each level has the names of the keys to read; an empty level means all keys. Objects below
    /// the last level are skipped.
    ///
    /// # Errors
    /// The position at which the text is no JSON. The text there may be a password, so the error does not repeat
    /// it.
    pub fn read(data: &[u8], levels: &[&[&str]]) -> Result<Self, String> {
        let text = text(data);
        let mut reader = serde_json::Deserializer::from_str(&text);
        let read = Level(levels).deserialize(&mut reader).and_then(|it| reader.end().map(|()| it));
        read.map_err(|it| format!("it is no JSON at line {}, column {}", it.line(), it.column()))
    }

    /// The kind of value, for messages.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Text(_) => "a text",
            Self::Object(_) => "an object",
            Self::Other(kind) => kind,
        }
    }
}

/// Whether Go reads a key as that name. Beside the ASCII letters only U+017F and U+212A fold to one of them.
pub(super) fn is_key(key: &str, name: &str) -> bool {
    key.replace('\u{17f}', "s").replace('\u{212a}', "k").eq_ignore_ascii_case(name)
}

/// The remaining levels, with the names of the keys to read in each.
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
                    if names.is_empty() || names.iter().any(|it| is_key(&key, it)) =>
                {
                    members.push((key, map.next_value_seed(Level(below))?));
                }
                _ => _ = map.next_value::<IgnoredAny>()?,
            }
        }
        Ok(if levels.is_some() { Json::Object(members) } else { Json::Other("an object") })
    }
}

/// Data as text: each invalid byte and each lone surrogate becomes U+FFFD.
fn text(data: &[u8]) -> String {
    let mut text = String::with_capacity(data.len());
    for chunk in data.utf8_chunks() {
        text.push_str(chunk.valid());
        text.extend(chunk.invalid().iter().map(|_| char::REPLACEMENT_CHARACTER));
    }
    replace_lone_surrogates(&text)
}

/// Replaces the escapes of lone surrogates, which `serde_json` rejects.
fn replace_lone_surrogates(text: &str) -> String {
    let (mut result, mut rest) = (String::with_capacity(text.len()), text);
    while let Some(at) = rest.find('\\') {
        let (before, escape) = rest.split_at(at);
        let (end, kept) = match (code_unit(escape), escape.get(6..).and_then(code_unit)) {
            (Some(0xd800..=0xdbff), Some(0xdc00..=0xdfff)) => (12, &escape[..12]),
            (Some(0xd800..=0xdfff), _) => (6, "\\ufffd"),
            // Skip two characters, since the second may be a backslash.
            _ => {
                let end = escape.char_indices().nth(2).map_or(escape.len(), |(end, _)| end);
                (end, &escape[..end])
            }
        };
        result.extend([before, kept]);
        rest = &escape[end..];
    }
    result + rest
}

/// The UTF-16 code unit of a `\u` escape at the start of the text.
fn code_unit(text: &str) -> Option<u16> {
    let digits = text.strip_prefix("\\u")?.get(..4)?;
    digits.bytes().all(|it| it.is_ascii_hexdigit()).then(|| u16::from_str_radix(digits, 16).ok())?
}
