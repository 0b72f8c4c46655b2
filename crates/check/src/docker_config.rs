//! What a pull secret holds, and which of it the kubelet shows to which registry.
//!
//! The rules are those of the kubelet (kubernetes/kubernetes, pkg/credentialprovider, `config.go`,
//! `keyring.go` and `secrets/secrets.go`; in its documentation: "Interpretation of config.json"). The kubelet's own
//! code judges them in tests/integration/kubelet.rs.

mod json;
mod login;
mod place;

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Secret;

use json::{Json, is_named};
use place::Place;

pub use login::{Flaw, Login, Password};

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

/// The entries of one pull secret.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DockerConfig {
    entries: Vec<Entry>,
    /// What entries are for that the kubelet ignores, since their keys are no URLs.
    ignored: Vec<Place>,
    /// The key that names a program which has the credentials. The kubelet runs none.
    helper: Option<&'static str>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Entry {
    place: Place,
    login: Login,
}

/// The keys of a docker config that name programs.
const HELPERS: [&str; 2] = ["credHelpers", "credsStore"];
/// The keys of a docker config that are looked at.
const CONFIG: [&str; 4] = ["auths", "HttpHeaders", HELPERS[0], HELPERS[1]];

impl DockerConfig {
    /// Reads a pull secret. `None` for one that the kubelet passes over for its type.
    #[must_use]
    pub fn of_secret(secret: &Secret) -> Option<Result<Self, String>> {
        let form = Form::of(secret.type_.as_deref()?)?;
        let data = secret.data.as_ref().and_then(|it| it.get(form.key()));
        Some(Self::read(form, data.map_or(&[], |it| &it.0)))
    }

    /// Reads the data of a pull secret. Without data it has no entries.
    ///
    /// # Errors
    /// What is wrong with it and where, without a word of what is in it. The kubelet then gives up.
    pub fn read(form: Form, data: &[u8]) -> Result<Self, String> {
        if data.is_empty() {
            return Ok(Self::default());
        }
        let (all, entry): (&[&str], &[&str]) = (&[], &login::ENTRY);
        match form {
            Form::DockerCfg => {
                let mut entries = BTreeMap::new();
                merge(&mut entries, Json::read(data, &[all, entry])?, "it")?;
                Ok(Self::of(entries))
            }
            Form::DockerConfigJson => Self::sections(Json::read(data, &[&CONFIG, all, entry])?),
        }
    }

    /// Reads what has entries below `auths`, and other keys beside it.
    fn sections(json: Json) -> Result<Self, String> {
        let (mut entries, mut helper) = (BTreeMap::new(), None);
        for (key, value) in members(json, "it")?.unwrap_or_default() {
            if is_named(&key, "auths") {
                merge(&mut entries, value, &key)?;
            } else if is_named(&key, "HttpHeaders") {
                for (name, value) in members(value, &key)?.unwrap_or_default() {
                    if !matches!(value, Json::Text(_) | Json::Null) {
                        let kind = value.kind();
                        return Err(format!("{key} has as {name} {kind}, where a text belongs"));
                    }
                }
            } else {
                helper = HELPERS.into_iter().find(|it| is_named(&key, it)).or(helper);
            }
        }
        Ok(Self { helper, ..Self::of(entries) })
    }

    fn of(entries: BTreeMap<String, Login>) -> Self {
        let mut config = Self::default();
        for (key, login) in entries {
            match Place::read(&key) {
                Some(place) => config.entries.push(Entry { place, login }),
                None => config.ignored.push(Place::of_ignored(&key)),
            }
        }
        config
    }

    /// What its entries are for, in the order of the alphabet, and then those that the kubelet ignores.
    pub fn places(&self) -> impl Iterator<Item = &str> {
        let places = self.entries.iter().map(|it| &it.place);
        places.chain(&self.ignored).map(Place::as_str)
    }

    /// The key that names a program which has the credentials, if there is one. The kubelet runs none.
    #[must_use]
    pub fn helper(&self) -> Option<&'static str> {
        self.helper
    }

    /// Whether it has an entry for an image, named by host and repository, or by host alone.
    #[must_use]
    pub fn is_for(&self, image: &str) -> bool {
        self.entries.iter().any(|it| it.place.contains(image))
    }

    /// What an entry is for that would be for the image if capital letters were small ones.
    #[must_use]
    pub fn place_in_other_case(&self, image: &str) -> Option<&str> {
        let found = self.entries.iter().find(|it| it.place.contains_but_for_case(image));
        found.map(|it| it.place.as_str())
    }
}

/// What the kubelet shows to a registry for an image, named by host and repository or by host alone, in its order:
/// entries for longer names first, then in the order of the Secrets. Each with the name of its Secret. Where
/// several keys of one Secret mean the same, the kubelet's order among them is any.
#[must_use]
pub fn logins<'a>(secrets: &'a [(String, DockerConfig)], image: &str) -> Vec<(&'a str, &'a Login)> {
    let all = || {
        let entries = |(name, config): &'a (String, DockerConfig)| {
            config.entries.iter().map(move |it| (name.as_str(), it))
        };
        secrets.iter().flat_map(entries)
    };
    let mut found: Vec<_> = all().filter(|(_, it)| it.place.contains(image)).collect();
    if found.is_empty() && is_at_docker_hub(image) {
        found = all().filter(|(_, it)| it.place.as_str() == "index.docker.io").collect();
    }
    // Stable, and backwards: what is more specific comes before the start of it, and a name before a glob.
    found.sort_by(|(_, a), (_, b)| b.place.cmp(&a.place));
    found.into_iter().map(|(name, it)| (name, &it.login)).collect()
}

/// Whether the kubelet falls back to entries for Docker Hub: its own images, and hosts without a dot and a port.
fn is_at_docker_hub(image: &str) -> bool {
    let host = image.split_once('/').map(|(host, _)| host);
    host.is_some_and(|it| it == "docker.io" || !it.contains(['.', ':']))
}

/// Reads an object; `None` for null, which in Go is as if it had not been there.
fn members(json: Json, what: &str) -> Result<Option<Vec<(String, Json)>>, String> {
    match json {
        Json::Null => Ok(None),
        Json::Object(members) => Ok(Some(members)),
        other => Err(format!("{what} is {}, where an object belongs", other.kind())),
    }
}

/// Adds entries to those that are there. Of a key that stands twice the last counts, and null empties all.
fn merge(entries: &mut BTreeMap<String, Login>, json: Json, what: &str) -> Result<(), String> {
    let Some(members) = members(json, what)? else {
        entries.clear();
        return Ok(());
    };
    for (key, entry) in members {
        let login = Login::read(&entry).map_err(|it| {
            let place = Place::read(&key).unwrap_or_else(|| Place::of_ignored(&key));
            format!("the entry for {place} {it}")
        })?;
        entries.insert(key, login);
    }
    Ok(())
}

#[cfg(test)]
mod tests;
