//! What delivery does for an attachment, as far as that is known without Azure.

use std::collections::BTreeSet;

use jiff::Timestamp;
use kube_core::{Selector, SelectorExt};

use crate::api::{MethodInUse, RegistryAttachment};
use crate::plan::{Desired, DesiredSecret};
use crate::pull_secrets::{Accounts, Endpoints, Inputs, PullSecret, SYSTEM_NAMESPACES};
use crate::snapshot::cluster::Namespace;
use crate::spec;
use crate::spec::policy::Policy;

/// What delivery does for an attachment. An attachment without a directive is left alone too.
#[derive(Clone, Debug, PartialEq)]
pub enum Directive {
    /// Keep the pull secrets that the spec asks for.
    Serve(Box<Served>),
    /// Change nothing: what is desired is not known, or not allowed.
    Leave,
    /// Remove everything: the object is being deleted. Garbage collection removes the Secrets.
    Remove,
}

/// What is kept for an attachment.
#[derive(Clone, Debug, PartialEq)]
pub struct Served {
    /// The namespaces that get the pull secret; `None` where nodes pull with a role instead.
    pub choice: Option<Choice>,
    /// The service accounts that get an entry.
    pub accounts: Accounts,
    /// The inputs of the credential. Without them no Secret is written.
    pub inputs: Option<Inputs>,
    /// From when (UTC) pull secrets may be removed that a role has replaced; `None` while that is
    /// unknown.
    pub replaced_at: Option<Timestamp>,
    /// Whether existing Secrets are renewed and nothing else is written. It is so where the attachment is
    /// suspended, and where the settings do not allow one of its service accounts.
    pub only_renewals: bool,
}

/// The namespaces that get a pull secret.
#[derive(Clone, Debug, PartialEq)]
pub struct Choice {
    /// The name of the Secret.
    pub secret: String,
    /// The namespaces that the spec names.
    pub names: BTreeSet<String>,
    /// The selector of further namespaces, by their labels.
    pub selector: Option<Selector>,
}

/// What is known of an attachment beside its object.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Facts {
    /// The method in use, for a spec that leaves it to the operator.
    pub method: Option<MethodInUse>,
    /// The hosts of the registry.
    pub endpoints: Option<Endpoints>,
    /// The keyed digest of the client secret; `None` while there is none to be had.
    pub credential: Option<String>,
    /// From when (UTC) pull secrets may be removed that a role has replaced.
    pub replaced_at: Option<Timestamp>,
}

/// Decides what delivery does for an attachment.
#[must_use]
pub fn directive(object: &RegistryAttachment, facts: &Facts, policy: &Policy) -> Directive {
    if object.metadata.deletion_timestamp.is_some() {
        return Directive::Remove;
    }
    let Ok(named) = spec::method(&object.spec) else { return Directive::Leave };
    match named.or(facts.method) {
        Some(MethodInUse::PullSecret) => by_secret(object, facts, policy),
        Some(MethodInUse::KubeletIdentity) => by_role(object, facts, policy),
        Some(MethodInUse::Unknown) | None => Directive::Leave,
    }
}

/// What is kept by method `PullSecret`. A spec that is invalid elsewhere changes nothing of it. Where
/// only a service account is not allowed, existing Secrets are renewed.
fn by_secret(object: &RegistryAttachment, facts: &Facts, policy: &Policy) -> Directive {
    let Ok((registry, secret)) = spec::served(&object.spec) else { return Directive::Leave };
    let Some(choice) = Choice::of(&secret) else { return Directive::Leave };
    if policy.permit_served(&registry, &secret).is_err() {
        return Directive::Leave;
    }
    let is_allowed = policy.permit_accounts(&secret.accounts).is_ok();
    Directive::Serve(Box::new(Served {
        choice: Some(choice),
        inputs: facts.inputs(&secret),
        accounts: secret.accounts,
        replaced_at: None,
        only_renewals: object.spec.suspend || !is_allowed,
    }))
}

/// What is kept while nodes pull with a role: former pull secrets, until the role counts.
fn by_role(object: &RegistryAttachment, facts: &Facts, policy: &Policy) -> Directive {
    let former = spec::served(&object.spec).ok().map(|(_, secret)| secret);
    let former = former.filter(|it| policy.permit_pull_secret(it).is_ok());
    Directive::Serve(Box::new(Served {
        choice: None,
        accounts: Accounts::default(),
        inputs: former.and_then(|it| facts.inputs(&it)),
        replaced_at: facts.replaced_at,
        only_renewals: object.spec.suspend,
    }))
}

impl Facts {
    /// The inputs of the credential; `None` while the registry is not known.
    fn inputs(&self, secret: &PullSecret) -> Option<Inputs> {
        let endpoints = self.endpoints.as_ref()?;
        Some(Inputs::of(secret, endpoints, self.credential.as_deref()))
    }
}

impl Directive {
    /// What a namespace should have; `None` where nothing is to be changed.
    #[must_use]
    pub fn desired(&self, namespace: &Namespace) -> Option<Desired> {
        match self {
            Self::Leave => None,
            Self::Remove => Some(Desired::nothing()),
            Self::Serve(served) => {
                let secret = served.choice.as_ref().and_then(|it| it.secret_in(namespace));
                Some(Desired {
                    grants_are_for_nodes: served.choice.is_none(),
                    secrets: Some(
                        secret.map(|it| (it.namespace.clone(), it)).into_iter().collect(),
                    ),
                    inputs: served.inputs.clone(),
                    accounts: served.accounts.clone(),
                    ..Desired::unknown()
                })
            }
        }
    }

    /// Whether the attachment chooses the namespace.
    #[must_use]
    pub fn chooses(&self, namespace: &Namespace) -> bool {
        self.served()
            .and_then(|it| it.choice.as_ref())
            .is_some_and(|it| it.secret_in(namespace).is_some())
    }

    /// What is kept; `None` where nothing is.
    #[must_use]
    pub fn served(&self) -> Option<&Served> {
        match self {
            Self::Serve(served) => Some(served),
            Self::Leave | Self::Remove => None,
        }
    }
}

impl Choice {
    /// The choice of a spec; `None` where its selector is invalid.
    #[must_use]
    pub fn of(secret: &PullSecret) -> Option<Self> {
        let selector = secret.selector.clone().map(Selector::try_from).transpose().ok()?;
        Some(Self { secret: secret.name.clone(), names: secret.namespaces.clone(), selector })
    }

    /// The pull secret of a namespace; `None` where it gets none. A namespace that the spec names may
    /// be a system namespace. In one that is being deleted no object can be created.
    #[must_use]
    pub fn secret_in(&self, namespace: &Namespace) -> Option<DesiredSecret> {
        let Namespace { name, labels, terminating, created } = namespace;
        let named = self.names.contains(name);
        let selected = || {
            let matches = self.selector.as_ref().is_some_and(|it| it.matches(labels));
            matches && !SYSTEM_NAMESPACES.contains(&name.as_str())
        };
        (!terminating && (named || selected())).then(|| DesiredSecret {
            namespace: name.clone(),
            name: self.secret.clone(),
            since: *created,
            named,
        })
    }
}
