//! The operator's service account and its rights: those of `deploy/rbac.yaml`, and no others.

use k8s_openapi::api::authorization::v1::SubjectAccessReview;
use k8s_openapi::api::core::v1::{Namespace, ServiceAccount};
use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding, Role, RoleBinding};
use kube::api::{Api, Patch, PatchParams, PostParams};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::World;

impl World {
    /// A service account with exactly the rights of `deploy/rbac.yaml`, for the names that the
    /// settings allow.
    pub(super) async fn grant_rights(&self) {
        let documents =
            serde_saphyr::from_multiple::<Value>(include_str!("../../deploy/rbac.yaml"));
        let documents = documents.unwrap();
        let role = self.cluster_role(&documents[0]);
        self.install::<ClusterRole>(&Api::all(self.client.clone()), &role).await;
        self.install::<Role>(&Api::namespaced(self.client.clone(), "default"), &documents[2]).await;
        let namespace = self.namespace();
        let here = || Api::namespaced(self.client.clone(), &namespace);
        self.install::<Namespace>(
            &Api::all(self.client.clone()),
            &json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}}),
        )
        .await;
        self.install::<ServiceAccount>(
            &Api::namespaced(self.client.clone(), &namespace),
            &json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "acr-attach", "namespace": namespace}}),
        )
        .await;
        let binding = |kind: &str, role: &str, to: &str| {
            json!({
                "apiVersion": "rbac.authorization.k8s.io/v1", "kind": kind,
                "metadata": {"name": format!("{namespace}.{to}")},
                "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": role, "name": to},
                "subjects": [{"kind": "ServiceAccount", "name": "acr-attach", "namespace": namespace}],
            })
        };
        self.install::<ClusterRoleBinding>(
            &Api::all(self.client.clone()),
            &binding(
                "ClusterRoleBinding",
                "ClusterRole",
                role["metadata"]["name"].as_str().unwrap(),
            ),
        )
        .await;
        self.install::<RoleBinding>(
            &Api::namespaced(self.client.clone(), "default"),
            &binding("RoleBinding", "Role", "acr-attach-events"),
        )
        .await;
        for (role, name) in [
            (&documents[1], "acr-attach-credentials"),
            (&documents[3], "acr-attach-leader-election"),
        ] {
            let mut role = role.clone();
            role["metadata"]["namespace"] = namespace.as_str().into();
            self.install::<Role>(&here(), &role).await;
            let bindings = Api::namespaced(self.client.clone(), &namespace);
            self.install::<RoleBinding>(&bindings, &binding("RoleBinding", "Role", name)).await;
        }
        self.until_may("get", "", "namespaces", true).await;
        self.until_may("create", "events.k8s.io", "events", true).await;
        self.until_may("list", "", "secrets", true).await;
    }

    /// The rules with the names that the settings allow, as README tells to write them.
    fn cluster_role(&self, installed: &Value) -> Value {
        let policy = &self.settings.policy;
        let mut role = installed.clone();
        for (kind, names) in
            [("secrets", &policy.secret_names), ("serviceaccounts", &policy.account_names)]
        {
            let mut all = role["rules"].as_array_mut().unwrap().iter_mut();
            let granted = all.find(|it| it["resources"] == json!([kind])).unwrap();
            match names.listed() {
                Some(names) => granted["resourceNames"] = json!(names),
                None => drop(granted.as_object_mut().unwrap().remove("resourceNames")),
            }
        }
        if role != *installed {
            role["metadata"]["name"] = format!("acr-attach-{}", self.id).into();
        }
        role
    }

    /// Waits until the API server's own view of the operator's rights has caught up.
    pub async fn until_may(&self, verb: &str, group: &str, resource: &str, allowed: bool) {
        let own = self.namespace();
        let (namespace, name) = match resource {
            "namespaces" => (None, Some("kube-system")),
            "secrets" => (Some(own.as_str()), None),
            _ => (Some("default"), None),
        };
        let review: SubjectAccessReview = serde_json::from_value(json!({"spec": {
            "user": self.user(),
            "resourceAttributes": {"verb": verb, "group": group, "resource": resource, "namespace": namespace, "name": name},
        }}))
        .unwrap();
        let reviews: Api<SubjectAccessReview> = Api::all(self.client.clone());
        let params = PostParams::default();
        self.until(&format!("{verb} {resource} to be allowed: {allowed}"), || async {
            let answer = reviews.create(&params, &review).await.unwrap();
            (answer.status.unwrap().allowed == allowed).then_some(())
        })
        .await;
    }

    async fn install<K>(&self, api: &Api<K>, manifest: &Value)
    where
        K: Clone + DeserializeOwned + std::fmt::Debug,
    {
        let name = manifest["metadata"]["name"].as_str().unwrap();
        let params = PatchParams::apply("world").force();
        api.patch(name, &params, &Patch::Apply(manifest)).await.unwrap();
    }
}
