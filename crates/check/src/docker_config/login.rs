//! User name and password of an entry, and flaws for which a registry refuses them.

use std::borrow::Cow;
use std::fmt;

use base64::Engine as _;
use base64::alphabet;
use base64::engine::general_purpose::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

use super::json::{Json, is_key};

/// The keys of an entry that the kubelet reads.
const KEYS: [&str; 4] = ["username", "password", "email", "auth"];
/// The keys of an entry with a token, which other clients read and the kubelet ignores.
const TOKEN_KEYS: [&str; 2] = ["identitytoken", "registrytoken"];
/// All keys of an entry that are read.
pub(super) const ENTRY_KEYS: [&str; 6] =
    [KEYS[0], KEYS[1], KEYS[2], KEYS[3], TOKEN_KEYS[0], TOKEN_KEYS[1]];

/// A password. `Debug` does not show it.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Password(Vec<u8>);

impl Password {
    /// The password itself. Only requests to the registry may contain it.
    #[must_use]
    pub fn reveal(&self) -> &[u8] {
        &self.0
    }
}

impl<T: Into<Vec<u8>>> From<T> for Password {
    fn from(password: T) -> Self {
        Self(password.into())
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password")
    }
}

/// User name and password. They are bytes, since base64 can encode any.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Login {
    /// The user name.
    pub user: Vec<u8>,
    /// The password.
    pub password: Password,
    ignored_key: Option<&'static str>,
}

/// A flaw in the characters of a login, for which a registry refuses it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flaw {
    /// There is no password, only a token under this key, which the kubelet ignores.
    IgnoredKey(&'static str),
    /// The password ends with a line break.
    LineBreak,
    /// The user name or the password contains NUL bytes, as UTF-16 does.
    Utf16,
    /// The user name begins with a byte order mark.
    ByteOrderMark,
    /// The user name or the password is not UTF-8.
    NotUtf8,
    /// The user name or the password begins or ends with whitespace.
    Space,
}

impl Login {
    /// A login without an ignored token.
    #[must_use]
    pub fn new(user: &str, password: &str) -> Self {
        Self { user: user.into(), password: password.into(), ignored_key: None }
    }

    /// The value of the header `Authorization` (RFC 7617).
    #[must_use]
    pub fn basic(&self) -> String {
        let pair = [&self.user, &b":"[..], self.password.reveal()].concat();
        format!("Basic {}", STANDARD.encode(pair))
    }

    /// The key of a token beside them, which other clients read and the kubelet ignores.
    #[must_use]
    pub fn ignored_key(&self) -> Option<&'static str> {
        self.ignored_key
    }

    /// The user name as text, for messages.
    #[must_use]
    pub fn user(&self) -> Cow<'_, str> {
        String::from_utf8_lossy(&self.user)
    }

    /// Whether it leads to an anonymous pull. Without a user name containerd pulls anonymously, with any password
    /// (containerd/containerd v2.4.2, `internal/cri/server/images/image_pull.go`, `ParseAuth`).
    #[must_use]
    pub fn is_anonymous(&self) -> bool {
        self.user.is_empty()
    }

    /// The flaw in its characters, if there is one.
    #[must_use]
    pub fn flaw(&self) -> Option<Flaw> {
        let both = [&self.user[..], self.password.reveal()];
        let password = both[1];
        if let (Some(key), true) = (self.ignored_key, password.is_empty()) {
            return Some(Flaw::IgnoredKey(key));
        }
        if both.iter().any(|it| it.contains(&0)) {
            return Some(Flaw::Utf16);
        }
        if both[0].starts_with(b"\xef\xbb\xbf") {
            return Some(Flaw::ByteOrderMark);
        }
        if both.iter().any(|it| std::str::from_utf8(it).is_err()) {
            return Some(Flaw::NotUtf8);
        }
        if password.ends_with(b"\n") || password.ends_with(b"\r") {
            return Some(Flaw::LineBreak);
        }
        both.iter().any(|it| it.trim_ascii() != *it).then_some(Flaw::Space)
    }

    /// Reads an entry.
    pub(super) fn read(entry: &Json) -> Result<Self, String> {
        let members = match entry {
            // In Go, null changes nothing.
            Json::Null => &[][..],
            Json::Object(members) => members,
            other => return Err(format!("is {}, where an object belongs", other.kind())),
        };
        let mut texts = [const { String::new() }; ENTRY_KEYS.len()];
        for (key, value) in members {
            let Some(at) = ENTRY_KEYS.iter().position(|it| is_key(key, it)) else { continue };
            match value {
                Json::Null => {}
                Json::Text(text) => texts[at].clone_from(text),
                _ if TOKEN_KEYS.contains(&ENTRY_KEYS[at]) => {}
                other => {
                    return Err(format!("has as {key} {}, where a text belongs", other.kind()));
                }
            }
        }
        let [username, password, _, auth, identity, registry] = texts;
        let (user, password) =
            if auth.is_empty() { (username.into(), password.into()) } else { decode_auth(&auth)? };
        let mut ignored_key = TOKEN_KEYS.into_iter().zip([identity, registry]);
        let ignored_key = ignored_key.find(|(_, it)| !it.is_empty()).map(|(key, _)| key);
        Ok(Self { user, password: Password(password), ignored_key })
    }
}

/// Decodes base64 of `user:password`, as Go does: with full padding or none, with line breaks anywhere, and with any
/// trailing bits.
fn decode_auth(auth: &str) -> Result<(Vec<u8>, Vec<u8>), String> {
    let auth: String = auth.chars().filter(|it| !matches!(it, '\r' | '\n')).collect();
    let base64 = |padding| {
        let config = GeneralPurposeConfig::new().with_decode_allow_trailing_bits(true);
        GeneralPurpose::new(&alphabet::STANDARD, config.with_decode_padding_mode(padding))
    };
    let padding = if auth.ends_with('=') {
        DecodePaddingMode::RequireCanonical
    } else {
        DecodePaddingMode::RequireNone
    };
    let decoded = base64(padding).decode(&auth).map_err(|_| {
        match base64(DecodePaddingMode::Indifferent).decode(&auth) {
            Ok(_) => "has an auth that is base64 with too few = at its end",
            Err(_) => "has an auth that is not base64",
        }
    })?;
    let at = decoded.iter().position(|it| *it == b':');
    let at = at.ok_or("has an auth that is not base64 of user:password: it holds no colon")?;
    Ok((decoded[..at].to_vec(), decoded[at + 1..].to_vec()))
}
