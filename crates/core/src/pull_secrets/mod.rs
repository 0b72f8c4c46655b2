//! Method `PullSecret`, for clusters other than AKS: a pull secret for a service principal in each
//! chosen namespace.

pub mod proof;
mod state;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;

use hmac::digest::Key;
use hmac::{Hmac, KeyInit as _, Mac as _};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube_core::Selector;
use sha2::{Digest as _, Sha256};

pub use crate::api::{CredentialForm, SecretKeyRef};
use crate::ids::{LoginServer, PrincipalId};
use crate::snapshot::azure::{Registry, RoleAssignmentMode};
use crate::snapshot::cluster::Namespace;
use crate::spec::repositories::Repositories;
pub use state::PullSecretState;

/// The user name of a login with a registry's token as the password (Azure/acr, docs/AAD-OAuth.md).
pub const TOKEN_USER: &str = "00000000-0000-0000-0000-000000000000";
/// Namespaces that a selector never chooses.
pub(crate) const SYSTEM_NAMESPACES: [&str; 3] = ["kube-system", "kube-public", "kube-node-lease"];

/// The settings of method `PullSecret`.
#[derive(Clone, Debug, PartialEq)]
pub struct PullSecret {
    /// The service principal that pods pull as.
    pub principal: ServicePrincipal,
    /// Whether the operator keeps the pull role assigned to the service principal.
    pub assigns_role: bool,
    /// The form of the credential in the Secret.
    pub form: CredentialForm,
    /// The repositories that may be pulled.
    pub repositories: Repositories,
    /// The name of the Secret in each namespace.
    pub name: String,
    /// The namespaces that the spec names.
    pub namespaces: BTreeSet<String>,
    /// The selector of further namespaces, by their labels.
    pub selector: Option<LabelSelector>,
    /// The service accounts that get an entry for the Secret.
    pub accounts: Accounts,
}

/// A service principal, and how the operator signs in as it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServicePrincipal {
    /// The tenant id, a GUID in lower case.
    pub tenant: String,
    /// The client id, a GUID in lower case.
    pub client: String,
    /// The object id, if the spec gives it.
    pub object: Option<PrincipalId>,
    /// The Secret with the client secret, in the operator's namespace. `None` for a federated service
    /// principal: the operator signs in with its own service account token.
    pub secret: Option<SecretKeyRef>,
}

/// A choice of service accounts in each namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Accounts {
    /// The service accounts of those names.
    Named(BTreeSet<String>),
    /// All service accounts.
    All,
}

impl Default for Accounts {
    fn default() -> Self {
        Self::Named(BTreeSet::new())
    }
}

impl Accounts {
    /// Whether the account of that name is chosen.
    #[must_use]
    pub fn include(&self, name: &str) -> bool {
        match self {
            Self::Named(names) => names.contains(name),
            Self::All => true,
        }
    }
}

/// The hosts of the registry that a pull secret is for, and the registry's mode.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoints {
    /// The host that images are pulled from.
    pub login_server: LoginServer,
    /// The hosts of its regional endpoints, as far as they are known. All accept the same credential
    /// (azure-docs, container-registry-endpoint-reference.md), and the kubelet looks for each by its host.
    pub regional: Vec<LoginServer>,
    /// Which roles the registry honours; `None` where Azure Resource Manager was not asked.
    pub mode: Option<RoleAssignmentMode>,
}

impl From<&Registry> for Endpoints {
    fn from(registry: &Registry) -> Self {
        Self {
            login_server: registry.login_server.clone(),
            regional: registry.regional.clone().unwrap_or_default(),
            mode: registry.mode,
        }
    }
}

/// Digests of what a pull secret was made from.
///
/// A credential of the same subject and another version still serves until a newer one can be had.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Inputs {
    /// The digest of registry, tenant, client and form of the credential: 12 hex digits.
    pub subject: String,
    /// The digest of the registry's mode and regional hosts, and of the client secret: 12 hex digits.
    /// `None` while a client secret is needed and missing.
    pub version: Option<String>,
}

impl Inputs {
    /// The inputs of a pull secret. `credential` is the keyed digest of the client secret; it is ignored
    /// for a federated service principal.
    #[must_use]
    pub fn of(pull_secret: &PullSecret, source: &Endpoints, credential: Option<&str>) -> Self {
        let ServicePrincipal { tenant, client, secret, .. } = &pull_secret.principal;
        let credential = if secret.is_some() { credential } else { Some("federated") };
        let form = pull_secret.form;
        let subject = format!("{}/{tenant}/{client}/{form:?}", source.login_server);
        let regional: String = source.regional.iter().flat_map(|it| ["/", it.as_str()]).collect();
        let version =
            credential.map(|it| short_digest(&format!("{:?}/{it}{regional}", source.mode)));
        Self { subject: short_digest(&subject), version }
    }
}

/// The value for an annotation: `SUBJECT.VERSION`.
impl fmt::Display for Inputs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.subject, self.version.as_deref().unwrap_or_default())
    }
}

impl FromStr for Inputs {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (subject, version) = text.split_once('.').ok_or(())?;
        Ok(Self { subject: subject.to_owned(), version: Some(version.to_owned()) })
    }
}

fn short_digest(text: &str) -> String {
    digest(text.as_bytes()).chars().take(12).collect()
}

/// SHA-256, as 64 hex digits.
#[must_use]
pub fn digest(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

/// HMAC-SHA-256 of a secret value, as 64 hex digits. Tenants can read the digest, so `key` has to be
/// unknown to them: otherwise they could guess values.
#[must_use]
pub fn keyed_digest(key: &str, value: &str) -> String {
    // An HMAC hashes keys that are longer than a block (RFC 2104, section 2).
    let key = Sha256::digest(key.as_bytes());
    let mut block = Key::<Hmac<Sha256>>::default();
    block.iter_mut().zip(key).for_each(|(into, from)| *into = from);
    let mac = Hmac::<Sha256>::new(&block).chain_update(value.as_bytes());
    hex(&mac.finalize().into_bytes())
}

fn hex(bytes: &[u8]) -> String {
    let digits = bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]);
    digits.filter_map(|it| char::from_digit(u32::from(it), 16)).collect()
}

/// When a credential of that lifetime is renewed: after half of the lifetime ± 10 %. `jitter` is a
/// random number from 0 to 1, so that attachments do not renew all at once.
#[must_use]
pub fn renewal(now: Timestamp, life: SignedDuration, jitter: f64) -> Timestamp {
    now.checked_add(life.mul_f64(0.5 * (0.9 + 0.2 * jitter))).unwrap_or(now)
}

/// What a spec asks for beside the namespaces that exist.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct DesiredPullSecrets {
    /// The name of the Secret.
    pub name: String,
    /// The namespaces that the spec names and that cannot have a pull secret yet, with the reason.
    pub absent: BTreeMap<String, &'static str>,
    /// The selector of namespaces as `kubectl --selector` takes it; empty without one, or where it
    /// matches all.
    pub selector: String,
}

impl DesiredPullSecrets {
    /// What a spec asks for. `find` looks a namespace up by its name.
    #[must_use]
    pub fn of(secret: &PullSecret, find: impl Fn(&str) -> Option<Namespace>) -> Self {
        let absence = |name: &String| match find(name) {
            None => Some("does not exist yet"),
            Some(it) if it.terminating => Some("is being deleted"),
            Some(_) => None,
        };
        let absent = secret.namespaces.iter().filter_map(|it| Some((it.clone(), absence(it)?)));
        let selector = secret.selector.clone().and_then(|it| Selector::try_from(it).ok());
        Self {
            name: secret.name.clone(),
            absent: absent.collect(),
            selector: selector.map_or_else(String::new, |it| it.to_string()),
        }
    }
}

#[cfg(test)]
mod tests;
