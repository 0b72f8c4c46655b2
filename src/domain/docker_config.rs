//! What a pull secret holds, and which of it the kubelet shows to which registry.
//!
//! The rules are those of the kubelet (kubernetes/kubernetes, pkg/credentialprovider, `config.go`,
//! `keyring.go` and `secrets/secrets.go`; in its documentation: "Interpretation of config.json").

use std::collections::BTreeMap;
use std::fmt;

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::names::LoginServer;

/// Padded or not, as the kubelet takes it.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// The form of a pull secret, as its type says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// `kubernetes.io/dockerconfigjson`: entries below `auths`.
    DockerConfigJson,
    /// `kubernetes.io/dockercfg`: the entries alone.
    DockerCfg,
}

impl Form {
    /// The form of Secrets of that type. The kubelet passes over all other types.
    #[must_use]
    pub fn of(secret_type: &str) -> Option<Self> {
        match secret_type {
            "kubernetes.io/dockerconfigjson" => Some(Self::DockerConfigJson),
            "kubernetes.io/dockercfg" => Some(Self::DockerCfg),
            _ => None,
        }
    }

    /// The key of the data that it is in.
    #[must_use]
    pub fn key(self) -> &'static str {
        match self {
            Self::DockerConfigJson => ".dockerconfigjson",
            Self::DockerCfg => ".dockercfg",
        }
    }
}

/// A password. Its `Debug` does not show it.
#[derive(Clone, PartialEq, Eq)]
pub struct Password(String);

impl Password {
    /// The password itself, for whoever it is for.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl From<String> for Password {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password")
    }
}

/// User name and password.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Login {
    /// The user name.
    pub user: String,
    /// The password.
    pub password: Password,
}

impl Login {
    /// Whether nothing is shown for it: without a user name containerd pulls as anybody, whatever the password
    /// (containerd/containerd v2.4.2, `internal/cri/server/images/image_pull.go`, `ParseAuth`).
    #[must_use]
    pub fn is_anonymous(&self) -> bool {
        self.user.is_empty()
    }
}

/// The entries of one pull secret.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DockerConfig(Vec<Entry>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Entry {
    place: Place,
    login: Login,
}

/// What an entry is for: a host whose labels may be globs, and the start of a path.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Place(String);

impl DockerConfig {
    /// Reads the data of a pull secret.
    ///
    /// # Errors
    /// What is wrong with it and where, without a word of what is in it.
    pub fn read(form: Form, data: &[u8]) -> Result<Self, String> {
        #[derive(Deserialize)]
        struct Config {
            auths: Option<BTreeMap<String, Option<WireEntry>>>,
        }
        let entries = match form {
            Form::DockerConfigJson => parse::<Config>(data)?.auths.unwrap_or_default(),
            Form::DockerCfg => parse(data)?,
        };
        let entry = |(key, entry): (String, Option<WireEntry>)| {
            let login = entry.unwrap_or_default().login();
            let place = Place::new(&key);
            let login = login.map_err(|what| format!("the entry for {} {what}", place.0))?;
            Ok(Entry { place, login })
        };
        Ok(Self(entries.into_iter().map(entry).collect::<Result<_, String>>()?))
    }

    /// What its entries are for, in the order of the alphabet.
    pub fn places(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|it| it.place.0.as_str())
    }

    /// Whether it has an entry for that repository; without one, for all of the registry.
    #[must_use]
    pub fn is_for(&self, server: &LoginServer, repository: Option<&str>) -> bool {
        self.0.iter().any(|it| it.place.contains(server, repository))
    }
}

/// What the kubelet shows to a registry for an image, in its order: entries for longer names first, then in the
/// order of the Secrets. Each with the name of its Secret.
#[must_use]
pub fn logins<'a>(
    secrets: &'a [(String, DockerConfig)],
    server: &LoginServer,
    repository: Option<&str>,
) -> Vec<(&'a str, &'a Login)> {
    let all = secrets.iter().flat_map(|(name, config)| config.0.iter().map(move |it| (name, it)));
    let mut found: Vec<_> = all.filter(|(_, it)| it.place.contains(server, repository)).collect();
    // Stable, and backwards: what is more specific comes before the start of it, and a name before a glob.
    found.sort_by(|(_, a), (_, b)| b.place.cmp(&a.place));
    found.into_iter().map(|(name, it)| (name.as_str(), &it.login)).collect()
}

impl Place {
    fn new(key: &str) -> Self {
        let scheme = |it| key.strip_prefix(it);
        let text = scheme("https://").or_else(|| scheme("http://")).unwrap_or(key);
        // The kubelet parses it as a URL and leaves out query, fragment and user.
        let text = text.split(['?', '#']).next().unwrap_or_default();
        let (host, path) = text.find('/').map_or((text, ""), |at| text.split_at(at));
        let host = host.rsplit_once('@').map_or(host, |(_, host)| host);
        let version = ["/v1/", "/v2/"].iter().any(|it| path.starts_with(it));
        let path = if version { &path[3..] } else { path };
        Self(format!("{host}{}", if path == "/" { "" } else { path }))
    }

    fn contains(&self, server: &LoginServer, repository: Option<&str>) -> bool {
        let (host, path) = self.0.find('/').map_or((&*self.0, ""), |at| self.0.split_at(at));
        let (globs, labels) = (host.split('.'), server.as_str().split('.'));
        let below = repository.map(|it| format!("/{it}")).unwrap_or_default();
        globs.clone().count() == labels.clone().count()
            && below.starts_with(path)
            && globs.zip(labels).all(|(glob, label)| is_label(glob, label))
    }
}

/// Whether a glob means that label of a host. Stars alone count: the kubelet ignores entries whose host is none
/// of a URL, as with brackets and backslashes, and these fit no label here either.
fn is_label(glob: &str, label: &str) -> bool {
    let mut parts = glob.split('*');
    let Some(rest) = parts.next().and_then(|first| label.strip_prefix(first)) else { return false };
    let Some(last) = parts.next_back() else { return rest.is_empty() };
    // After a star the first place that fits leaves most for what follows.
    let rest = parts.try_fold(rest, |rest, part| rest.split_once(part).map(|(_, rest)| rest));
    rest.is_some_and(|rest| rest.ends_with(last))
}

#[derive(Default, Deserialize)]
struct WireEntry {
    username: Option<String>,
    password: Option<String>,
    auth: Option<String>,
}

impl WireEntry {
    fn login(self) -> Result<Login, &'static str> {
        let Some(auth) = self.auth.filter(|it| !it.is_empty()) else {
            let password = self.password.unwrap_or_default().into();
            return Ok(Login { user: self.username.unwrap_or_default(), password });
        };
        let auth: String = auth.chars().filter(|it| !matches!(it, '\r' | '\n')).collect();
        let text = BASE64.decode(auth).ok().and_then(|it| String::from_utf8(it).ok());
        let pair = text.as_deref().and_then(|it| it.split_once(':'));
        let (user, password) = pair.ok_or("has an auth that is not base64 of user:password")?;
        Ok(Login { user: user.to_owned(), password: password.to_owned().into() })
    }
}

/// What does not fit may be a password, so that only the place of the mistake is told.
fn parse<T: DeserializeOwned>(data: &[u8]) -> Result<T, String> {
    serde_json::from_slice(data).map_err(|error| {
        format!("it is not what it should be at line {}, column {}", error.line(), error.column())
    })
}

#[cfg(test)]
mod tests;
