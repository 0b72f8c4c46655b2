//! Which attachments a change in the cluster concerns.

use std::collections::BTreeSet;

use crate::api::{PullSecretSpec, RegistryAttachment};

use super::memory::Wake;
use super::watches::Touch;

/// Why that attachment has to be worked on; `None` if the change does not concern it.
///
/// It may say so too often: a pass that finds nothing to do asks nobody anything.
#[must_use]
pub fn wakes(touch: &Touch, object: &RegistryAttachment) -> Option<Wake> {
    let spec = object.spec.pull_secret.as_ref();
    let concerned = match touch {
        Touch::Everything => true,
        Touch::Namespace(name) => spec.is_some_and(|it| may_want(it, name)),
        Touch::Secret((namespace, name), uids) => {
            is_among(object, uids)
                || spec.is_some_and(|it| it.secret_name == *name && may_want(it, namespace))
        }
        Touch::Account((namespace, name), uids) => {
            let named = |it: &PullSecretSpec| {
                it.service_accounts.iter().any(|account| account == name || account == "*")
            };
            is_among(object, uids) || spec.is_some_and(|it| named(it) && may_want(it, namespace))
        }
        Touch::Credential(name) => {
            let reference = spec.and_then(|it| it.service_principal.client_secret_ref.as_ref());
            return reference.filter(|it| it.name == *name).map(|_| Wake::Credential);
        }
    };
    concerned.then_some(Wake::Cluster)
}

fn may_want(spec: &PullSecretSpec, namespace: &str) -> bool {
    let choice = &spec.namespaces;
    choice.selector.is_some() || choice.names.iter().flatten().any(|it| it == namespace)
}

fn is_among(object: &RegistryAttachment, uids: &BTreeSet<String>) -> bool {
    object.metadata.uid.as_ref().is_some_and(|it| uids.contains(it))
}
