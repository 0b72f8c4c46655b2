//! The readable parts of an attachment that this version cannot read as a whole: enough to detach it.
//!
//! It is detached like any other attachment. That needs the metadata, the registry, the deletion policy,
//! the method, the kubelet identity and the ids of role assignments. The rest of the spec is not read.

use acr_attach_core::api::{
    DeletionPolicy, KubeletIdentitySpec, Ownership, RegistryAttachment, RegistryAttachmentSpec,
    RegistryAttachmentStatus, RegistrySpec, RoleAssignmentStatus,
};
use acr_attach_core::ids::{AssignmentId, RegistryId};
use kube::core::{DynamicObject, ObjectMeta};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

/// The readable parts of an attachment.
#[derive(Debug)]
pub struct Salvaged {
    /// The attachment with its metadata and the parts that could be read.
    pub object: RegistryAttachment,
    /// Whether the parts show where the role assignments of the attachment are, or that they are to stay.
    pub tells_where: bool,
    /// Whether status could be read as a whole. Otherwise a write of status would wipe the unreadable parts.
    pub has_status: bool,
}

impl Salvaged {
    /// Reads the parts of a stored object; `None` if even the defaults of this version do not parse, which
    /// its tests rule out.
    pub fn of(stored: &DynamicObject) -> Option<Self> {
        let (spec, status) = (&stored.data["spec"], &stored.data["status"]);
        let whole = read::<Option<RegistryAttachmentStatus>>(status);
        let assignments = assignments(status);
        let policy = read::<Option<DeletionPolicy>>(&spec["deletionPolicy"]);
        let registry = registry(&spec["registry"], &assignments, &status["registry"]);
        let kubelet_identity = read::<Option<KubeletIdentitySpec>>(&spec["kubeletIdentity"]);
        let is_kept = policy == Some(Some(DeletionPolicy::Orphan));
        // A name without a subscription is looked up in that of the cluster.
        let by_name = |it: &RegistrySpec| it.name.is_some() && it.subscription_id.is_none();
        let is_found =
            registry.as_ref().is_some_and(|it| !by_name(it) || kubelet_identity.is_some());
        let tells_where = is_kept || (policy.is_some() && is_found);
        let has_status = whole.is_some();
        let pieces = || RegistryAttachmentStatus {
            claim: read(&stored.data["status"]["claim"]),
            role_assignments: Some(assignments),
            ..RegistryAttachmentStatus::default()
        };
        let spec = RegistryAttachmentSpec {
            registry: registry.unwrap_or_default(),
            deletion_policy: policy.flatten().unwrap_or_default(),
            method: read(&spec["method"]).unwrap_or_default(),
            kubelet_identity: kubelet_identity.flatten(),
            ..read(&json!({"registry": {}}))?
        };
        let metadata: ObjectMeta = stored.metadata.clone();
        let status = whole.unwrap_or_else(|| Some(pieces()));
        Some(Self {
            object: RegistryAttachment { metadata, spec, status },
            tells_where,
            has_status,
        })
    }
}

fn read<T: DeserializeOwned>(value: &Value) -> Option<T> {
    T::deserialize(value).ok()
}

/// The registry by the id in the spec, else by the scope of a role assignment of the attachment, else by the
/// id in status. All three are the same registry, since the spec cannot change it. Without an id, the
/// registry as the spec names it.
fn registry(
    spec: &Value,
    assignments: &[RoleAssignmentStatus],
    found: &Value,
) -> Option<RegistrySpec> {
    let named = read::<RegistrySpec>(spec);
    let id = named.as_ref().and_then(|it| it.resource_id.as_ref()?.parse::<RegistryId>().ok());
    let of_assignment = |it: &RoleAssignmentStatus| {
        it.id.parse::<AssignmentId>().ok()?.scope().parse::<RegistryId>().ok()
    };
    let id = id.or_else(|| assignments.iter().find_map(of_assignment));
    let id = id.or_else(|| found["resourceId"].as_str()?.parse().ok());
    let by_id =
        id.map(|it| RegistrySpec { resource_id: Some(it.to_string()), ..RegistrySpec::default() });
    by_id.or_else(|| named.filter(|it| it.name.is_some() || it.login_server.is_some()))
}

/// The role assignments that may bear the attachment's claim. The claims in Azure decide, not this list.
fn assignments(status: &Value) -> Vec<RoleAssignmentStatus> {
    let list = status["roleAssignments"].as_array().into_iter().flatten();
    let ours = list.filter(|it| it["ownership"] != "Existing");
    let ids = ours.filter_map(|it| it["id"].as_str());
    ids.map(|id| RoleAssignmentStatus {
        id: id.to_owned(),
        role: String::new(),
        principal_id: String::new(),
        ownership: Ownership::Managed,
        used_by: None,
        remove_after: None,
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use acr_attach_core::spec::{DetachedRegistry, RegistryName, Task};

    const REGISTRY: &str = "/subscriptions/11111111-1111-1111-1111-111111111111/resourceGroups/rg/providers/Microsoft.ContainerRegistry/registries/contoso";

    fn salvaged(spec: &Value, status: &Value) -> Salvaged {
        let stored = json!({
            "apiVersion": "acr-attach.dev/v1alpha1", "kind": "RegistryAttachment",
            "metadata": {"name": "a", "uid": "u"}, "spec": spec, "status": status,
        });
        Salvaged::of(&serde_json::from_value(stored).unwrap()).unwrap()
    }

    fn assigned(ownership: &str) -> Value {
        let id = format!(
            "{REGISTRY}/providers/Microsoft.Authorization/roleAssignments/b8aca42d-f5a1-511f-8f55-2bf8850d7ddb"
        );
        json!({"roleAssignments": [{"id": id, "ownership": ownership, "role": ["new"]}], "claim": 7})
    }

    fn by_id() -> Value {
        json!({"registry": {"resourceId": REGISTRY}, "suspend": {"until": "tomorrow"}})
    }

    fn odd(policy: &Value) -> Value {
        json!({"registry": {"resourceId": {"id": REGISTRY}}, "deletionPolicy": policy})
    }

    #[rstest::rstest]
    #[case::spec(by_id(), json!(null))]
    #[case::odd_status(by_id(), json!("none"))]
    #[case::status_alone(odd(&json!(null)), assigned("Managed"))]
    #[case::found_before(
        json!({"registry": {"name": "contoso"}, "kubeletIdentity": "new"}),
        json!({"registry": {"resourceId": REGISTRY}})
    )]
    #[case::newer_ownership(odd(&json!("Shred")), assigned("Shared"))]
    fn the_registry_is_found_where_it_can_be_read(#[case] spec: Value, #[case] status: Value) {
        let salvaged = salvaged(&spec, &status);
        assert!(salvaged.tells_where);
        let task = Task::detach(&salvaged.object.spec);
        let Task::Detach(Some(DetachedRegistry { registry, .. })) = task else {
            panic!("{task:?}")
        };
        assert_eq!(registry, RegistryName::Id(REGISTRY.parse().unwrap()));
    }

    #[rstest::rstest]
    #[case::nowhere(odd(&json!(null)), json!({"roleAssignments": "none"}))]
    #[case::of_others(odd(&json!(null)), assigned("Existing"))]
    #[case::unreadable_policy(
        json!({"registry": {"resourceId": REGISTRY}, "deletionPolicy": {"roleAssignments": "Orphan"}}),
        json!(null)
    )]
    #[case::no_spec(json!("none"), json!(null))]
    #[case::by_name_and_no_cluster(
        json!({"registry": {"name": "contoso"}, "kubeletIdentity": "new"}),
        json!(null)
    )]
    fn nothing_is_guessed(#[case] spec: Value, #[case] status: Value) {
        assert!(!salvaged(&spec, &status).tells_where);
    }

    #[test]
    fn what_is_to_stay_needs_no_registry() {
        let salvaged = salvaged(&odd(&json!("Orphan")), &json!({}));
        assert!(salvaged.tells_where);
        assert_eq!(Task::detach(&salvaged.object.spec), Task::Detach(None));
    }

    #[test]
    fn status_is_kept_when_all_of_it_can_be_read() {
        let whole = salvaged(&by_id(), &json!({"claim": "42a84aca519d"}));
        assert!(whole.has_status);
        assert_eq!(whole.object.status.unwrap().claim.as_deref(), Some("42a84aca519d"));
        assert!(!salvaged(&by_id(), &json!({"claim": 7})).has_status);
    }
}
