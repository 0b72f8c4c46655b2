//! The operator's service account and its rights: those of the chart, and no others.

use acr_attach::settings::Settings;
use futures::future::join_all;
use k8s_openapi::api::authorization::v1::SubjectAccessReview;
use k8s_openapi::api::core::v1::Secret;
use kube::Client;
use kube::api::{Api, DeleteParams, Patch, PatchParams, PostParams};
use kube::config::Kubeconfig;
use kube::core::{ApiResource, DynamicObject, GroupVersionKind};
use serde_json::{Value, json};

use super::World;
use super::programs::rendered;

/// What the chart renders by default.
const BASE: &str = include_str!("../../deploy/base/acr-attach.yaml");
const BASE_NAMESPACE: &str = "acr-attach-system";
const BASE_USER: &str = "== 'system:serviceaccount:acr-attach-system:acr-attach'";
/// All worlds with default settings share the policies, which the API server compiles.
const ANY_WORLD: &str = ".matches('^system:serviceaccount:acr-attach-[0-9a-f]{10}:acr-attach$')";

/// Who the operator is, and what it may do.
const KINDS: [&str; 7] = [
    "ServiceAccount",
    "ClusterRole",
    "ClusterRoleBinding",
    "Role",
    "RoleBinding",
    "ValidatingAdmissionPolicy",
    "ValidatingAdmissionPolicyBinding",
];

/// Whether these settings need other rights than those by default.
pub(super) fn are_own(settings: &Settings) -> bool {
    let default = acr_attach_core::spec::policy::Policy::default();
    let policy = &settings.policy;
    policy.pull_secrets != default.pull_secrets
        || policy.secret_names.listed() != default.secret_names.listed()
        || policy.account_names.listed() != default.account_names.listed()
}

impl World {
    /// A service account with exactly the rights that the chart gives for these settings.
    pub async fn grant_rights(&self) {
        let own = self.namespace();
        let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": own}});
        self.install(&namespace).await;
        let objects =
            if are_own(&self.settings) { self.own_rights().await } else { self.default_rights() };
        // What is installed last is in force last: the policy of Secrets is looked at below.
        let (last, others): (Vec<_>, Vec<_>) = objects.iter().partition(|it| is_of_secrets(it));
        join_all(others.into_iter().map(|it| self.install(it))).await;
        join_all(last.into_iter().map(|it| self.install(it))).await;
        let bindings = objects.iter().filter(|it| is_binding(it));
        join_all(bindings.map(|it| self.until_bound(it, &objects))).await;
        if self.settings.policy.pull_secrets {
            self.until_fenced().await;
        }
    }

    /// Waits until the API server has heard of a binding and of its role, by one right of it.
    async fn until_bound(&self, binding: &Value, objects: &[Value]) {
        let (reference, namespace) = (&binding["roleRef"], &binding["metadata"]["namespace"]);
        let role = objects.iter().find(|it| {
            let home = &it["metadata"]["namespace"];
            it["kind"] == reference["kind"]
                && it["metadata"]["name"] == reference["name"]
                && (home.is_null() || home == namespace)
        });
        let right = &role.unwrap_or_else(|| panic!("no role of {binding}"))["rules"][0];
        let resource = right["resources"][0].as_str().unwrap();
        let (resource, subresource) = resource.split_once('/').unwrap_or((resource, ""));
        self.until_allowed(
            &json!({
                "verb": right["verbs"][0], "group": right["apiGroups"][0],
                "resource": resource, "subresource": subresource,
                "name": right["resourceNames"][0], "namespace": namespace,
            }),
            true,
        )
        .await;
    }

    fn default_rights(&self) -> Vec<Value> {
        let own = self.namespace();
        assert!(BASE.contains(BASE_USER), "the policies name the operator otherwise");
        let text = BASE.replace(&format!(" {BASE_USER}"), ANY_WORLD);
        let mut objects = rights(&text.replace(BASE_NAMESPACE, &own));
        for it in &mut objects {
            if is_binding(it) && it["metadata"]["namespace"] != own {
                let name = it["metadata"]["name"].as_str().unwrap();
                it["metadata"]["name"] = format!("{own}.{name}").into();
            }
        }
        objects
    }

    async fn own_rights(&self) -> Vec<Value> {
        let policy = &self.settings.policy;
        let any = || vec!["*".to_owned()].into_iter().collect();
        let values = json!({
            "image": {"repository": "unused"},
            "serviceAccount": {"name": "acr-attach"},
            "leaderElection": {"leaseName": "acr-attach"},
            "pullSecrets": {
                "enabled": policy.pull_secrets,
                "names": policy.secret_names.listed().cloned().unwrap_or_else(any),
                "serviceAccounts": policy.account_names.listed().cloned().unwrap_or_else(any),
            },
        });
        let own = self.namespace();
        rights(&rendered(&own, &own, &values, &[]).await)
    }

    /// Waits until the API server keeps the operator from what the policies forbid.
    async fn until_fenced(&self) {
        let secrets: Api<Secret> = Api::namespaced(self.as_operator().await, &self.namespace());
        let names = self.settings.policy.secret_names.listed();
        let name = names.and_then(|it| it.iter().next()).map_or("acr-pull", String::as_str);
        let bare = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}});
        let params = PatchParams::apply("world").dry_run();
        self.until("the policies to be in force", || async {
            let refused = secrets.patch(name, &params, &Patch::Apply(&bare)).await.err()?;
            refused.to_string().contains("acr-attach may write no Secrets").then_some(())
        })
        .await;
    }

    /// A client that acts as the operator, whose calls do not count as the operator's.
    pub async fn as_operator(&self) -> Client {
        self.acting_as(&self.user()).await
    }

    /// A client of an administrator who acts as somebody else.
    pub async fn acting_as(&self, user: &str) -> Client {
        let mut kubeconfig = Kubeconfig::read_from(self.cluster.admin_kubeconfig()).unwrap();
        let user = user.to_owned();
        kubeconfig.auth_infos[0].auth_info.as_mut().unwrap().impersonate = Some(user);
        self.cluster.client(kubeconfig).await.unwrap()
    }

    /// Waits until the API server's own view of the operator's rights has caught up.
    pub async fn until_may(&self, verb: &str, group: &str, resource: &str, allowed: bool) {
        let own = self.namespace();
        let (namespace, name) = match resource {
            "namespaces" => (None, Some("kube-system")),
            "secrets" => (Some(own.as_str()), None),
            _ => (Some("default"), None),
        };
        let right = json!({"verb": verb, "group": group, "resource": resource, "namespace": namespace, "name": name});
        self.until_allowed(&right, allowed).await;
    }

    /// The same for any right.
    pub async fn until_allowed(&self, right: &Value, allowed: bool) {
        let spec = json!({"user": self.user(), "resourceAttributes": right});
        let review: SubjectAccessReview = serde_json::from_value(json!({"spec": spec})).unwrap();
        let reviews: Api<SubjectAccessReview> = Api::all(self.client.clone());
        let params = PostParams::default();
        self.until(&format!("{right} to be allowed: {allowed}"), || async {
            let answer = reviews.create(&params, &review).await.unwrap();
            (answer.status.unwrap().allowed == allowed).then_some(())
        })
        .await;
    }

    async fn install(&self, manifest: &Value) {
        let params = PatchParams::apply("world").force();
        self.apply_object(manifest, &params).await.unwrap();
    }

    /// Applies any object, on the server's side.
    pub async fn apply_object(
        &self,
        manifest: &Value,
        params: &PatchParams,
    ) -> kube::Result<DynamicObject> {
        let (api, name) = self.api_of(manifest);
        api.patch(&name, params, &Patch::Apply(manifest)).await
    }

    /// Deletes any object.
    pub async fn delete_object(&self, manifest: &Value) {
        let (api, name) = self.api_of(manifest);
        api.delete(&name, &DeleteParams::default()).await.unwrap();
    }

    fn api_of(&self, manifest: &Value) -> (Api<DynamicObject>, String) {
        let text = |it: &Value| it.as_str().unwrap_or_default().to_owned();
        let version = text(&manifest["apiVersion"]);
        let (group, version) = version.split_once('/').unwrap_or(("", &version));
        let kind = GroupVersionKind::gvk(group, version, &text(&manifest["kind"]));
        let resource = ApiResource::from_gvk(&kind);
        let api = match manifest["metadata"]["namespace"].as_str() {
            Some(namespace) => Api::namespaced_with(self.client.clone(), namespace, &resource),
            None => Api::all_with(self.client.clone(), &resource),
        };
        (api, text(&manifest["metadata"]["name"]))
    }
}

fn is_binding(object: &Value) -> bool {
    object["kind"] == "ClusterRoleBinding" || object["kind"] == "RoleBinding"
}

/// Whether it is the policy of Secrets, or its binding.
fn is_of_secrets(object: &Value) -> bool {
    let text = |it: &Value| it.as_str().unwrap_or_default().to_owned();
    text(&object["kind"]).starts_with("ValidatingAdmissionPolicy")
        && text(&object["metadata"]["name"]).ends_with("-secrets")
}

/// What of rendered objects are the operator's rights.
fn rights(text: &str) -> Vec<Value> {
    let mut objects: Vec<Value> = serde_saphyr::from_multiple(text).unwrap();
    // Roles for people are nobody's in these tests.
    let for_people = |it: &Value| {
        let name = it["metadata"]["name"].as_str().unwrap();
        it["kind"] == "ClusterRole" && (name.ends_with("-view") || name.ends_with("-edit"))
    };
    objects.retain(|it| KINDS.iter().any(|kind| it["kind"] == *kind) && !for_people(it));
    objects
}
