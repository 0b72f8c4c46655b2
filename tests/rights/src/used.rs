//! Which rights calls have used.

use std::collections::HashSet;

use control_plane::audit::AuditEvent;

use crate::NAMESPACE;
use crate::installed::{Reach, Right};

/// Kinds whose names tests choose, as users do: there a right is the same under any name.
const CHOSEN: [&str; 2] = ["secrets", "serviceaccounts"];

/// The rights that no call has used.
#[must_use]
pub fn unused<'a>(rights: &'a [Right], calls: &[AuditEvent]) -> Vec<&'a Right> {
    let used: HashSet<_> = calls
        .iter()
        .filter(|it| it.code.is_none_or(|code| code < 400))
        .flat_map(|call| verbs(call).into_iter().map(move |verb| (call, verb)))
        .filter_map(|(call, verb)| rights.iter().find(|right| allows(right, call, verb)))
        .collect();
    rights.iter().filter(|it| !used.contains(it)).collect()
}

/// What a call needs: who creates an object by a patch needs both rights.
fn verbs(call: &AuditEvent) -> Vec<&str> {
    match (call.verb.as_str(), call.code) {
        ("patch", Some(201)) => vec!["create", "patch"],
        (verb, _) => vec![verb],
    }
}

/// Whether that right lets a call do that. Rights are asked from the narrowest on, so the first one that
/// allows a call is the one that was given for it.
fn allows(right: &Right, call: &AuditEvent, verb: &str) -> bool {
    let resource = match call.subresource.as_str() {
        "" => call.resource.clone(),
        subresource => format!("{}/{subresource}", call.resource),
    };
    right.group == call.group
        && right.resource == resource
        && right.verb == verb
        && reaches(right, call)
}

fn reaches(right: &Right, call: &AuditEvent) -> bool {
    let own = call.namespace.starts_with(NAMESPACE)
        && call.user.split(':').nth(2) == Some(call.namespace.as_str());
    let named = right.names.is_empty()
        || right.names.contains(&call.name)
        || CHOSEN.contains(&call.resource.as_str());
    named
        && match &right.reach {
            Reach::Cluster => true,
            Reach::Own => own,
            Reach::Namespace(name) => *name == call.namespace,
        }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::installed::rights;

    const MANIFEST: &str = r#"
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: wide}
rules:
- {apiGroups: [""], resources: [namespaces], resourceNames: [kube-system], verbs: [get]}
- {apiGroups: [""], resources: [secrets], resourceNames: [acr-pull], verbs: [list, create, patch]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: for-somebody-else}
rules:
- {apiGroups: [""], resources: [pods], verbs: [get]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: wide}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: wide}
subjects: [{kind: ServiceAccount, name: acr-attach, namespace: system}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: own, namespace: system}
rules:
- {apiGroups: [""], resources: [secrets], verbs: [list]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: own, namespace: system}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: own}
subjects: [{kind: ServiceAccount, name: acr-attach, namespace: system}]
"#;

    fn call(verb: &str, resource: &str, namespace: &str, name: &str, code: u16) -> AuditEvent {
        AuditEvent {
            user: "system:serviceaccount:acr-attach-1:acr-attach".into(),
            verb: verb.into(),
            uri: String::new(),
            group: String::new(),
            resource: resource.into(),
            subresource: String::new(),
            namespace: namespace.into(),
            name: name.into(),
            code: Some(code),
            time: k8s_openapi::jiff::Timestamp::UNIX_EPOCH,
        }
    }

    fn unused_by(calls: &[AuditEvent]) -> Vec<String> {
        let rights = rights(MANIFEST, "acr-attach").unwrap();
        unused(&rights, calls).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn nothing_is_used_without_a_call() {
        assert_eq!(unused_by(&[]).len(), 5);
    }

    #[test]
    fn a_call_uses_the_narrowest_right_that_allows_it() {
        let own = call("list", "secrets", "acr-attach-1", "acr-sp", 200);
        assert!(!unused_by(std::slice::from_ref(&own)).iter().any(|it| it.contains("operator's")));
        assert!(unused_by(&[own]).contains(&"list secrets named acr-pull".to_owned()));
        let wide = call("list", "secrets", "", "other-pull", 200);
        assert!(!unused_by(&[wide]).contains(&"list secrets named acr-pull".to_owned()));
    }

    #[test]
    fn creating_by_a_patch_uses_two_rights() {
        let created = unused_by(&[call("patch", "secrets", "shop", "acr-pull", 201)]);
        assert!(!created.iter().any(|it| it.starts_with("create") || it.starts_with("patch")));
        let patched = unused_by(&[call("patch", "secrets", "shop", "acr-pull", 200)]);
        assert!(patched.contains(&"create secrets named acr-pull".to_owned()));
    }

    #[test]
    fn what_was_refused_or_has_another_name_uses_nothing() {
        for (name, code) in [("kube-system", 403), ("other", 200)] {
            let left = unused_by(&[call("get", "namespaces", "", name, code)]);
            assert!(left.contains(&"get namespaces named kube-system".to_owned()));
        }
        let left = unused_by(&[call("get", "namespaces", "", "kube-system", 200)]);
        assert!(!left.contains(&"get namespaces named kube-system".to_owned()));
    }
}
