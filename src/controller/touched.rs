//! Which attachments a change in the cluster concerns.

use std::collections::{BTreeMap, BTreeSet};

use kube::core::{Selector, SelectorExt};

use crate::api::{PullSecretSpec, RegistryAttachment};

use super::client_secret::concerns;
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
        Touch::Namespace(name, labels) => {
            spec.is_some_and(|it| is_named(it, name) || labels.iter().any(|of| selects(it, of)))
        }
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
        Touch::Credential(change) => {
            let reference = spec.and_then(|it| it.service_principal.client_secret_ref.as_ref());
            let reference = reference.filter(|it| it.name == change.key.1);
            return reference.filter(|it| concerns(change, &it.key)).map(|_| Wake::Credential);
        }
    };
    concerned.then_some(Wake::Cluster)
}

fn may_want(spec: &PullSecretSpec, namespace: &str) -> bool {
    spec.namespaces.selector.is_some() || is_named(spec, namespace)
}

fn is_named(spec: &PullSecretSpec, namespace: &str) -> bool {
    spec.namespaces.names.iter().flatten().any(|it| it == namespace)
}

/// One that cannot be read concerns everybody: the pass says what is wrong with it.
fn selects(spec: &PullSecretSpec, labels: &BTreeMap<String, String>) -> bool {
    let selector = spec.namespaces.selector.clone().map(Selector::try_from);
    selector.is_some_and(|it| it.map_or(true, |it| it.matches(labels)))
}

fn is_among(object: &RegistryAttachment, uids: &BTreeSet<String>) -> bool {
    object.metadata.uid.as_ref().is_some_and(|it| uids.contains(it))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::controller::mirror::Change;

    fn attachment(namespaces: &serde_json::Value) -> RegistryAttachment {
        serde_json::from_value(json!({
            "apiVersion": "acr-attach.dev/v1alpha1", "kind": "RegistryAttachment",
            "metadata": {"name": "a", "uid": "mine"},
            "spec": {
                "registry": {"loginServer": "contoso.azurecr.io"}, "method": "PullSecret",
                "pullSecret": {
                    "servicePrincipal": {
                        "tenantId": "t", "clientId": "c",
                        "clientSecretRef": {"name": "sp", "key": "clientSecret"},
                    },
                    "namespaces": namespaces,
                },
            },
        }))
        .unwrap()
    }

    fn labelled(team: &str) -> BTreeMap<String, String> {
        [("team".to_owned(), team.to_owned())].into()
    }

    #[test]
    fn a_namespace_concerns_those_that_name_it_or_choose_it_or_did() {
        let named = attachment(&json!({"names": ["apps"]}));
        let chosen = attachment(&json!({"selector": {"matchLabels": {"team": "x"}}}));
        let all = attachment(&json!({"selector": {}}));
        let woken = |name: &str, labels: &[&str]| {
            let labels = labels.iter().map(|it| labelled(it)).collect();
            let touch = Touch::Namespace(name.to_owned(), labels);
            [&named, &chosen, &all].map(|it| wakes(&touch, it).is_some())
        };
        assert_eq!(woken("apps", &["y"]), [true, false, true]);
        assert_eq!(woken("other", &["y", "x"]), [false, true, true]);
        assert_eq!(woken("other", &["x", "y"]), [false, true, true]);
        assert_eq!(woken("other", &["y", "z"]), [false, false, true]);
    }

    #[test]
    fn a_client_secret_wakes_those_that_use_it_to_ask_anew() {
        let spec = attachment(&json!({"names": ["apps"]}));
        let made = |name: &str| {
            let key = ("acr-attach-system".to_owned(), name.to_owned());
            Touch::Credential(Change { key, before: None, after: None })
        };
        assert_eq!(wakes(&made("sp"), &spec), Some(Wake::Credential));
        assert_eq!(wakes(&made("other"), &spec), None);
    }

    #[test]
    fn what_bears_our_uid_concerns_us_wherever_it_is() {
        let spec = attachment(&json!({"names": ["apps"]}));
        let secret = |name: &str, namespace: &str, uid: &str| {
            let uids = [uid.to_owned()].into();
            Touch::Secret((namespace.to_owned(), name.to_owned()), uids)
        };
        assert_eq!(wakes(&secret("old", "elsewhere", "mine"), &spec), Some(Wake::Cluster));
        assert_eq!(wakes(&secret("acr-pull", "apps", "other"), &spec), Some(Wake::Cluster));
        assert_eq!(wakes(&secret("acr-pull", "elsewhere", "other"), &spec), None);
        assert_eq!(wakes(&secret("other", "apps", "other"), &spec), None);
    }
}
