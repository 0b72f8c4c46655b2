//! Signals of changes in the cluster and in Azure, other than to attachments, and which attachments they
//! concern.

use std::sync::{Mutex, PoisonError};

use acr_attach_core::api::{MethodChoice, RegistryAttachment};
use acr_attach_core::ids::AssignmentId;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use crate::attachment::snapshot::registry;
use crate::attachment::state::Trigger;
use crate::cluster::cache::CacheChange;
use crate::cluster::client_secret::{CredentialSeen, concerns};

/// A change that may concern attachments: in the cluster, or by an attachment in Azure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Signal {
    /// A watch has listed its objects for the first time, or the machine's clocks have parted.
    Everything,
    /// An object in that namespace has changed, or the namespace itself.
    InNamespace(String),
    /// A namespace is gone.
    NamespaceGone(String),
    /// A Secret in the operator's namespace has changed, which may hold client secrets.
    Credential(CacheChange<CredentialSeen>),
    /// An attachment has released that role assignment, or changed its condition.
    Role(AssignmentId),
}

/// The channel of signals. It has one receiver.
#[derive(Debug)]
pub struct Signals {
    /// Sends a signal.
    pub sender: UnboundedSender<Signal>,
    receiver: Mutex<Option<UnboundedReceiver<Signal>>>,
}

impl Default for Signals {
    fn default() -> Self {
        let (sender, receiver) = unbounded_channel();
        Self { sender, receiver: Mutex::new(Some(receiver)) }
    }
}

impl Signals {
    /// Sends a signal for each role assignment that was released or whose condition was changed.
    pub fn send_roles<'a>(&self, ids: impl Iterator<Item = &'a AssignmentId>) {
        for id in ids {
            // No receiver is left only when the operator ends.
            let _ = self.sender.send(Signal::Role(id.clone()));
        }
    }

    /// Returns the receiver. Only the first caller gets it.
    pub fn receive(&self) -> Option<UnboundedReceiver<Signal>> {
        self.receiver.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// Returns why an attachment has to be reconciled after a signal; `None` if the signal does not concern it.
///
/// A needless trigger does little harm: a reconcile that finds nothing to do sends no request.
#[must_use]
pub fn triggers(signal: &Signal, object: &RegistryAttachment) -> Option<Trigger> {
    match signal {
        Signal::Everything => Some(Trigger::Report),
        // The delivery controller reconciles the namespace, and its report triggers the attachment.
        Signal::InNamespace(_) | Signal::NamespaceGone(_) => None,
        Signal::Credential(change) => {
            let spec = object.spec.pull_secret.as_ref();
            let reference = spec.and_then(|it| it.service_principal.client_secret_ref.as_ref());
            let reference = reference.filter(|it| it.name == change.key.1);
            reference.filter(|it| concerns(change, &it.key)).map(|_| Trigger::Credential)
        }
        Signal::Role(id) => may_want_role(object, id).then_some(Trigger::Role),
    }
}

/// Whether the attachment may want a role on the registry of that assignment.
fn may_want_role(object: &RegistryAttachment, id: &AssignmentId) -> bool {
    let assigns = object.spec.pull_secret.as_ref().is_some_and(|it| it.assign_role);
    let wants = assigns || object.spec.method != MethodChoice::PullSecret;
    let registry = registry::told(object);
    let goes = object.metadata.deletion_timestamp.is_some();
    wants && !goes && registry.is_none_or(|it| id.is_at(&it))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

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

    #[test]
    fn a_client_secret_wakes_those_that_use_it_to_ask_anew() {
        let spec = attachment(&json!({"names": ["apps"]}));
        let made = |name: &str| {
            let key = ("acr-attach-system".to_owned(), name.to_owned());
            Signal::Credential(CacheChange { key, before: None, after: None })
        };
        assert_eq!(triggers(&made("sp"), &spec), Some(Trigger::Credential));
        assert_eq!(triggers(&made("other"), &spec), None);
    }

    #[test]
    fn a_role_that_is_let_go_concerns_those_that_may_want_one_on_that_registry() {
        const CONTOSO: &str = "/subscriptions/11111111-1111-1111-1111-111111111111/resourceGroups/rg/providers/Microsoft.ContainerRegistry/registries/contoso";
        let of = |registry: &str| {
            let role = format!(
                "{registry}/providers/Microsoft.Authorization/roleAssignments/22222222-2222-2222-2222-222222222222"
            );
            Signal::Role(role.parse().unwrap())
        };
        let other = CONTOSO.replace("contoso", "other");
        let mut one = attachment(&json!({"names": ["apps"]}));
        assert_eq!(triggers(&of(CONTOSO), &one), None, "it wants no role");
        one.spec.pull_secret.as_mut().unwrap().assign_role = true;
        assert_eq!(triggers(&of(CONTOSO), &one), Some(Trigger::Role), "it does not know where yet");
        one.status = serde_json::from_value(json!({"registry": {"resourceId": CONTOSO}})).unwrap();
        assert_eq!(triggers(&of(CONTOSO), &one), Some(Trigger::Role));
        assert_eq!(triggers(&of(&other), &one), None);
        one.spec.pull_secret = None;
        one.spec.method = MethodChoice::Auto;
        assert_eq!(triggers(&of(CONTOSO), &one), Some(Trigger::Role));
        let now = jiff::Timestamp::now();
        one.metadata.deletion_timestamp =
            Some(k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(now));
        assert_eq!(triggers(&of(CONTOSO), &one), None, "it goes");
    }
}
