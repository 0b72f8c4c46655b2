//! The contents of pull secrets, and which credentials of them the kubelet uses for which image.
//!
//! The rules are those of the kubelet (kubernetes/kubernetes, pkg/credentialprovider, `config.go`,
//! `keyring.go` and `secrets/secrets.go`; in its documentation: "Interpretation of config.json").
//! `tests/integration/pull_secrets/kubelet.rs` compares them with the kubelet's own code.

mod json;
mod login;
mod pattern;

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Secret;

use json::{Json, is_key};
use pattern::Pattern;

pub use login::{Flaw, Login, Password};

/// The format of a pull secret, which follows from its type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// `kubernetes.io/dockerconfigjson`: entries below `auths`.
    DockerConfigJson,
    /// `kubernetes.io/dockercfg`: the entries alone.
    DockerCfg,
}

impl Form {
    /// The format for a type of Secret; `None` for a type that the kubelet ignores.
    #[must_use]
    pub fn of(secret_type: &str) -> Option<Self> {
        match secret_type {
            "kubernetes.io/dockerconfigjson" => Some(Self::DockerConfigJson),
            "kubernetes.io/dockercfg" => Some(Self::DockerCfg),
            _ => None,
        }
    }

    /// The key of the Secret's data with the configuration.
    #[must_use]
    pub fn key(self) -> &'static str {
        match self {
            Self::DockerConfigJson => ".dockerconfigjson",
            Self::DockerCfg => ".dockercfg",
        }
    }
}

/// The entries of one pull secret.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DockerConfig {
    entries: Vec<Entry>,
    /// The patterns of entries that the kubelet ignores, since their keys are no URLs.
    ignored: Vec<Pattern>,
    /// The key that names a credential helper, if there is one. The kubelet runs none.
    helper: Option<&'static str>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Entry {
    pattern: Pattern,
    login: Login,
}

/// The keys of a docker config that name credential helpers.
const HELPER_KEYS: [&str; 2] = ["credHelpers", "credsStore"];
/// The keys of a docker config that are read.
const CONFIG_KEYS: [&str; 4] = ["auths", "HttpHeaders", HELPER_KEYS[0], HELPER_KEYS[1]];

impl DockerConfig {
    /// Reads a pull secret; `None` if the kubelet ignores its type. The error says what is wrong with the data, and
    /// repeats no value.
    #[must_use]
    pub fn of_secret(secret: &Secret) -> Option<Result<Self, String>> {
        let form = Form::of(secret.type_.as_deref()?)?;
        let data = secret.data.as_ref().and_then(|it| it.get(form.key()));
        Some(Self::read(form, data.map_or(&[], |it| &it.0)))
    }

    /// Reads the data of a pull secret. Empty data has no entries.
    ///
    /// # Errors
    /// What is wrong with the data and where, without any value from it. The kubelet gives up on such data.
    pub fn read(form: Form, data: &[u8]) -> Result<Self, String> {
        if data.is_empty() {
            return Ok(Self::default());
        }
        let (all, entry): (&[&str], &[&str]) = (&[], &login::ENTRY_KEYS);
        match form {
            Form::DockerCfg => {
                let mut entries = BTreeMap::new();
                merge(&mut entries, Json::read(data, &[all, entry])?, "it")?;
                Ok(Self::from_entries(entries))
            }
            Form::DockerConfigJson => {
                Self::from_json(Json::read(data, &[&CONFIG_KEYS, all, entry])?)
            }
        }
    }

    /// Reads a `config.json`, which has the entries below `auths`.
    fn from_json(json: Json) -> Result<Self, String> {
        let (mut entries, mut helper) = (BTreeMap::new(), None);
        for (key, value) in members(json, "it")?.unwrap_or_default() {
            if is_key(&key, "auths") {
                merge(&mut entries, value, &key)?;
            } else if is_key(&key, "HttpHeaders") {
                for (name, value) in members(value, &key)?.unwrap_or_default() {
                    if !matches!(value, Json::Text(_) | Json::Null) {
                        let kind = value.kind();
                        return Err(format!("{key} has as {name} {kind}, where a text belongs"));
                    }
                }
            } else {
                helper = HELPER_KEYS.into_iter().find(|it| is_key(&key, it)).or(helper);
            }
        }
        Ok(Self { helper, ..Self::from_entries(entries) })
    }

    fn from_entries(entries: BTreeMap<String, Login>) -> Self {
        let mut config = Self::default();
        for (key, login) in entries {
            match Pattern::read(&key) {
                Some(pattern) => config.entries.push(Entry { pattern, login }),
                None => config.ignored.push(Pattern::of_ignored(&key)),
            }
        }
        config
    }

    /// The patterns of its entries in alphabetical order, then those that the kubelet ignores.
    pub fn patterns(&self) -> impl Iterator<Item = &str> {
        let patterns = self.entries.iter().map(|it| &it.pattern);
        patterns.chain(&self.ignored).map(Pattern::as_str)
    }

    /// The key that names a credential helper, if there is one. The kubelet runs none.
    #[must_use]
    pub fn helper(&self) -> Option<&'static str> {
        self.helper
    }

    /// Whether it has an entry for an image, given as host and repository, or as host alone.
    #[must_use]
    pub fn is_for(&self, image: &str) -> bool {
        self.entries.iter().any(|it| it.pattern.matches(image))
    }

    /// The pattern of an entry that matches the image only if case is ignored.
    #[must_use]
    pub fn pattern_in_other_case(&self, image: &str) -> Option<&str> {
        let found = self.entries.iter().find(|it| it.pattern.matches_ignoring_case(image));
        found.map(|it| it.pattern.as_str())
    }
}

/// The logins that the kubelet tries for an image, each with the name of its Secret. The image is given as host and
/// repository, or as host alone.
///
/// The order is the kubelet's: longer patterns first, then the order of the Secrets. If several keys of one Secret
/// mean the same pattern, the kubelet's order among them is random.
#[must_use]
pub fn logins<'a>(secrets: &'a [(String, DockerConfig)], image: &str) -> Vec<(&'a str, &'a Login)> {
    let all = || {
        let entries = |(name, config): &'a (String, DockerConfig)| {
            config.entries.iter().map(move |it| (name.as_str(), it))
        };
        secrets.iter().flat_map(entries)
    };
    let mut found: Vec<_> = all().filter(|(_, it)| it.pattern.matches(image)).collect();
    if found.is_empty() && falls_back_to_docker_hub(image) {
        found = all().filter(|(_, it)| it.pattern.as_str() == "index.docker.io").collect();
    }
    // In descending order a longer pattern precedes its own start, and a name precedes a glob. The sort is stable.
    found.sort_by(|(_, a), (_, b)| b.pattern.cmp(&a.pattern));
    found.into_iter().map(|(name, it)| (name, &it.login)).collect()
}

/// Whether the kubelet falls back to entries for Docker Hub: for its own images, and for hosts without a dot and a
/// port.
fn falls_back_to_docker_hub(image: &str) -> bool {
    let host = image.split_once('/').map(|(host, _)| host);
    host.is_some_and(|it| it == "docker.io" || !it.contains(['.', ':']))
}

/// The members of an object; `None` for null, which Go reads like an absent value.
fn members(json: Json, what: &str) -> Result<Option<Vec<(String, Json)>>, String> {
    match json {
        Json::Null => Ok(None),
        Json::Object(members) => Ok(Some(members)),
        other => Err(format!("{what} is {}, where an object belongs", other.kind())),
    }
}

/// Adds entries. For a repeated key the last entry counts, and null removes all entries.
fn merge(entries: &mut BTreeMap<String, Login>, json: Json, what: &str) -> Result<(), String> {
    let Some(members) = members(json, what)? else {
        entries.clear();
        return Ok(());
    };
    for (key, entry) in members {
        let login = Login::read(&entry).map_err(|it| {
            let pattern = Pattern::read(&key).unwrap_or_else(|| Pattern::of_ignored(&key));
            format!("the entry for {pattern} {it}")
        })?;
        entries.insert(key, login);
    }
    Ok(())
}

#[cfg(test)]
mod tests;
