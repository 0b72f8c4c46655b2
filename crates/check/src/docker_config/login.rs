//! User name and password of an entry, and what keeps a registry from taking them.

use std::borrow::Cow;
use std::fmt;

use base64::Engine as _;
use base64::alphabet;
use base64::engine::general_purpose::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

use super::json::{Json, is_named};

/// The keys that the kubelet reads of an entry.
const KEYS: [&str; 4] = ["username", "password", "email", "auth"];
/// The keys of an entry that other clients take a token from, and the kubelet does not read.
const TOKENS: [&str; 2] = ["identitytoken", "registrytoken"];
/// All of them.
pub(super) const ENTRY: [&str; 6] = [KEYS[0], KEYS[1], KEYS[2], KEYS[3], TOKENS[0], TOKENS[1]];

/// A password. Its `Debug` does not show it.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Password(Vec<u8>);

impl Password {
    /// The password itself, for whom it is for.
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

/// User name and password, as bytes: base64 may hold any.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Login {
    /// The user name.
    pub user: Vec<u8>,
    /// The password.
    pub password: Password,
    unread: Option<&'static str>,
}

/// What keeps a registry from taking a login, as far as its characters tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flaw {
    /// There is no password, and a token under this key, which the kubelet does not read.
    Unread(&'static str),
    /// The password ends with a line break.
    LineBreak,
    /// It holds NUL characters, as UTF-16 does.
    Utf16,
    /// The user name begins with a byte order mark.
    ByteOrderMark,
    /// It is not UTF-8.
    NotUtf8,
    /// The user name or the password begins or ends with a space.
    Space,
}

impl Login {
    /// A user name and a password.
    #[must_use]
    pub fn new(user: &str, password: &str) -> Self {
        Self { user: user.into(), password: password.into(), unread: None }
    }

    /// As it is shown in the header `Authorization` (RFC 7617).
    #[must_use]
    pub fn basic(&self) -> String {
        let pair = [&self.user, &b":"[..], self.password.reveal()].concat();
        format!("Basic {}", STANDARD.encode(pair))
    }

    /// The key beside them that other clients take a token from, and the kubelet does not read.
    #[must_use]
    pub fn unread(&self) -> Option<&'static str> {
        self.unread
    }

    /// The user name as it can be told.
    #[must_use]
    pub fn user(&self) -> Cow<'_, str> {
        String::from_utf8_lossy(&self.user)
    }

    /// Whether nothing is shown for it: without a user name containerd pulls as anybody, whatever the password
    /// (containerd/containerd v2.4.2, `internal/cri/server/images/image_pull.go`, `ParseAuth`).
    #[must_use]
    pub fn is_anonymous(&self) -> bool {
        self.user.is_empty()
    }

    /// What is wrong with its characters, if something is.
    #[must_use]
    pub fn flaw(&self) -> Option<Flaw> {
        let both = [&self.user[..], self.password.reveal()];
        let password = both[1];
        if let (Some(key), true) = (self.unread, password.is_empty()) {
            return Some(Flaw::Unread(key));
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
            // It changes nothing.
            Json::Null => &[][..],
            Json::Object(members) => members,
            other => return Err(format!("is {}, where an object belongs", other.kind())),
        };
        let mut texts = [const { String::new() }; ENTRY.len()];
        for (key, value) in members {
            let Some(at) = ENTRY.iter().position(|it| is_named(key, it)) else { continue };
            match value {
                Json::Null => {}
                Json::Text(text) => texts[at].clone_from(text),
                _ if TOKENS.contains(&ENTRY[at]) => {}
                other => {
                    return Err(format!("has as {key} {}, where a text belongs", other.kind()));
                }
            }
        }
        let [username, password, _, auth, identity, registry] = texts;
        let (user, password) =
            if auth.is_empty() { (username.into(), password.into()) } else { pair(&auth)? };
        let mut unread = TOKENS.into_iter().zip([identity, registry]);
        let unread = unread.find(|(_, it)| !it.is_empty()).map(|(key, _)| key);
        Ok(Self { user, password: Password(password), unread })
    }
}

/// Base64 of `user:password`: padded in full or not at all, with line breaks anywhere, and the last bits may be
/// any.
fn pair(auth: &str) -> Result<(Vec<u8>, Vec<u8>), String> {
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
