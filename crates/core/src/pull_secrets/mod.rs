//! The method for other clusters: a pull secret for a service principal, in each namespace that
//! needs it.

pub mod proof;
mod state;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;

use hmac::digest::Key;
use hmac::{Hmac, KeyInit as _, Mac as _};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use sha2::{Digest as _, Sha256};

pub use crate::api::{CredentialForm, SecretKeyRef};
use crate::ids::{LoginServer, PrincipalId};
use crate::plan::DesiredSecret;
use crate::snapshot::azure::{Registry, RoleAssignmentMode};
use crate::snapshot::cluster::Namespace;
use crate::spec::repositories::Repositories;
pub use state::{PullSecretState, SecretResults};

/// The user name that goes with a token of a registry instead of a password (Azure/acr,
/// docs/AAD-OAuth.md).
pub const TOKEN_USER: &str = "00000000-0000-0000-0000-000000000000";
/// Namespaces that the empty selector does not mean.
const SYSTEM_NAMESPACES: [&str; 3] = ["kube-system", "kube-public", "kube-node-lease"];

/// What an attachment by pull secret asks for.
#[derive(Clone, Debug, PartialEq)]
pub struct PullSecret {
    /// Whose credential it holds.
    pub principal: ServicePrincipal,
    /// Whether the pull role is kept assigned to that service principal.
    pub assigns_role: bool,
    /// What of it.
    pub form: CredentialForm,
    /// What may be pulled with it.
    pub repositories: Repositories,
    /// The name of the Secret in each namespace.
    pub name: String,
    /// The namespaces by name.
    pub namespaces: BTreeSet<String>,
    /// The namespaces by label.
    pub selector: Option<LabelSelector>,
    /// The service accounts whose pods pull with it.
    pub accounts: Accounts,
}

/// A service principal, and how it signs in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServicePrincipal {
    /// The tenant id, a GUID in lower case.
    pub tenant: String,
    /// The client id, a GUID in lower case.
    pub client: String,
    /// Its object id, if that is given.
    pub object: Option<PrincipalId>,
    /// Where its client secret is, in the operator's namespace. Absent: it is federated, and signs
    /// in with the operator's own token of the cluster.
    pub secret: Option<SecretKeyRef>,
}

/// Service accounts by name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Accounts {
    /// These.
    Named(BTreeSet<String>),
    /// All of a namespace.
    All,
}

impl Default for Accounts {
    fn default() -> Self {
        Self::Named(BTreeSet::new())
    }
}

impl Accounts {
    /// Whether it means the account of that name.
    #[must_use]
    pub fn include(&self, name: &str) -> bool {
        match self {
            Self::Named(names) => names.contains(name),
            Self::All => true,
        }
    }
}

/// What is known of the registry that the secret is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoints {
    /// The host that images are pulled from.
    pub login_server: LoginServer,
    /// The hosts of its regional endpoints, as far as they are known. The same credential is good at all of them
    /// (azure-docs, container-registry-endpoint-reference.md), and the kubelet looks for each by its own name.
    pub regional: Vec<LoginServer>,
    /// Which roles it honours; absent where Azure Resource Manager was not asked.
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

/// What a pull secret was made from, as digests.
///
/// Two parts: a credential for the same subject still serves while a newer version of it cannot
/// be had.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Inputs {
    /// Registry, tenant, client and form of the credential: 12 hex digits.
    pub subject: String,
    /// The registry's mode and regional hosts, and the client secret, if there is to be one: 12 hex
    /// digits. Absent while there is no client secret.
    pub version: Option<String>,
}

impl Inputs {
    /// Those of a pull secret. `credential` is the keyed digest of the client secret; a federated
    /// service principal has none.
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

/// As it stands in an annotation.
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

/// SHA-256 in hex.
#[must_use]
pub fn digest(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

/// The digest of a secret value, HMAC-SHA-256 in hex. It stands where tenants read it, so `key` is
/// something that they do not know: with the digest alone they cannot try out values.
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

/// When a credential with that life is renewed: at half of it, ± 10 %, however short it is.
/// `jitter` is a random number from 0 to 1 that keeps attachments from renewing all at once.
#[must_use]
pub fn renewal(now: Timestamp, life: SignedDuration, jitter: f64) -> Timestamp {
    now.checked_add(life.mul_f64(0.5 * (0.9 + 0.2 * jitter))).unwrap_or(now)
}

/// The namespaces that are to have the secret.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct DesiredPullSecrets {
    /// The name of the Secret.
    pub name: String,
    /// Those that can have it.
    pub secrets: Vec<DesiredSecret>,
    /// Those that were named and cannot have it yet, with the reason.
    pub absent: BTreeMap<String, &'static str>,
    /// The service accounts whose pods are to pull with it.
    pub accounts: Accounts,
}

/// What the method asks for. A namespace that is named may be a system one; one that does not
/// exist yet, or is being deleted, is only counted.
#[must_use]
pub fn desired_pull_secrets(secret: &PullSecret, namespaces: &[Namespace]) -> DesiredPullSecrets {
    let delivery = |namespace: &Namespace, named| DesiredSecret {
        namespace: namespace.name.clone(),
        name: secret.name.clone(),
        since: namespace.created,
        named,
    };
    let (name, accounts) = (secret.name.clone(), secret.accounts.clone());
    let mut desired = DesiredPullSecrets { name, accounts, ..DesiredPullSecrets::default() };
    for name in &secret.namespaces {
        match namespaces.iter().find(|it| it.name == *name) {
            None => drop(desired.absent.insert(name.clone(), "does not exist yet")),
            Some(it) if it.terminating => {
                desired.absent.insert(name.clone(), "is being deleted");
            }
            Some(it) => desired.secrets.push(delivery(it, true)),
        }
    }
    let by_label = namespaces.iter().filter(|it| {
        it.selected
            && !it.terminating
            && !secret.namespaces.contains(&it.name)
            && !SYSTEM_NAMESPACES.contains(&it.name.as_str())
    });
    desired.secrets.extend(by_label.map(|it| delivery(it, false)));
    desired
}

#[cfg(test)]
mod tests;
