//! What tests of pull secrets need: namespaces, a service principal, its client secret, and a
//! look at what stands in a Secret.

use acr_attach::settings::Settings;
use azure_sim::Model;
use azure_sim::model::{ACR_PULL, DEFAULT_TENANT, Principal};
use jiff::SignedDuration;
use k8s_openapi::api::core::v1::{Namespace, Secret, ServiceAccount};
use kube::ResourceExt;
use kube::api::{Api, DeleteParams, Patch, PatchParams};
use serde_json::{Value, json};

use super::World;

/// The client secret of the service principal. No log, status, event or annotation may hold it.
pub const CLIENT_SECRET: &str = "marker-client-secret-of-the-puller";
/// The host of registry `contoso`.
pub const SERVER: &str = "contoso.azurecr.io";

/// Adds the service principal, and the right to pull from `contoso`.
pub fn with_puller(azure: &mut Model) {
    let puller = azure.application("puller").secret(CLIENT_SECRET).add();
    let registry = azure.find_registry("contoso").unwrap().id();
    azure.assign(&puller, ACR_PULL, &registry);
}

/// The service principal.
pub fn puller(azure: &Model) -> Principal {
    azure.principals.iter().find(|it| it.display_name == "puller").cloned().unwrap()
}

impl World {
    /// A world with the service principal and its client secret. Nothing is looked at again
    /// unless `settings` say so.
    pub async fn with_pull_secrets(settings: impl FnOnce(&mut Settings)) -> Self {
        let change = |it: &mut Settings| {
            it.intervals.resync = SignedDuration::from_mins(30);
            settings(it);
        };
        let world = Self::with(with_puller, change).await;
        world.put_client_secret(CLIENT_SECRET).await;
        world
    }

    /// A namespace of this world.
    pub fn team(&self, name: &str) -> String {
        format!("{name}-{}", self.id)
    }

    /// Creates a namespace of this world, with labels.
    pub async fn namespace_with(&self, name: &str, labels: Value) -> String {
        let name = self.team(name);
        let manifest = json!({
            "apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels},
        });
        let api: Api<Namespace> = Api::all(self.client.clone());
        let params = PatchParams::apply("user").force();
        api.patch(&name, &params, &Patch::Apply(&manifest)).await.unwrap();
        name
    }

    /// Puts a client secret where the spec names it.
    pub async fn put_client_secret(&self, value: &str) {
        self.put_secret(&self.namespace(), "puller", json!({"clientSecret": value})).await;
    }

    /// Adds a client secret to the service principal, and puts it where the spec names it.
    pub async fn rotate_client_secret(&self, value: &str) {
        self.azure.update(|azure| {
            let puller =
                azure.principals.iter_mut().find(|it| it.display_name == "puller").unwrap();
            let mut second = puller.secrets[0].clone();
            second.value = value.into();
            puller.secrets.push(second);
        });
        self.put_client_secret(value).await;
    }

    /// The spec of an attachment by pull secret, for these namespaces.
    pub fn pull_spec(&self, namespaces: &Value) -> Value {
        let client = self.azure.read(|azure| puller(azure).client_id);
        json!({
            "registry": {"loginServer": SERVER},
            "method": "PullSecret",
            "pullSecret": {
                "servicePrincipal": {
                    "tenantId": DEFAULT_TENANT, "clientId": client,
                    "clientSecretRef": {"name": "puller", "key": "clientSecret"},
                },
                "namespaces": namespaces,
            },
        })
    }

    pub fn secrets(&self, namespace: &str) -> Api<Secret> {
        Api::namespaced(self.client.clone(), namespace)
    }

    pub fn accounts(&self, namespace: &str) -> Api<ServiceAccount> {
        Api::namespaced(self.client.clone(), namespace)
    }

    /// Applies a Secret as somebody else.
    pub async fn put_secret(&self, namespace: &str, name: &str, data: Value) -> Secret {
        let manifest = json!({
            "apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "stringData": data,
        });
        let params = PatchParams::apply("user").force();
        let patch = Patch::Apply(&manifest);
        self.secrets(namespace).patch(name, &params, &patch).await.unwrap()
    }

    /// Sets the list of a service account as `kubectl patch` does.
    pub async fn set_pull_secrets_of(&self, namespace: &str, account: &str, names: &[&str]) {
        let list: Vec<_> = names.iter().map(|it| json!({"name": it})).collect();
        let patch = json!({"imagePullSecrets": list});
        let (params, patch) = (PatchParams::default(), Patch::Merge(&patch));
        self.accounts(namespace).patch(account, &params, &patch).await.unwrap();
    }

    /// Waits until the service account `default` of a new namespace is there.
    pub async fn until_account(&self, namespace: &str) -> ServiceAccount {
        self.until("the service account", || async {
            self.accounts(namespace).get_opt("default").await.unwrap()
        })
        .await
    }

    /// Applies the list of service account `default`, as a tool that follows Git does.
    pub async fn apply_pull_secrets_of(&self, namespace: &str, names: &[&str]) {
        let list: Vec<_> = names.iter().map(|it| json!({"name": it})).collect();
        let manifest = json!({
            "apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default"},
            "imagePullSecrets": list,
        });
        let (params, patch) = (PatchParams::apply("flux").force(), Patch::Apply(&manifest));
        self.accounts(namespace).patch("default", &params, &patch).await.unwrap();
    }

    /// Waits until there is a pull secret in that namespace.
    pub async fn until_secret(&self, namespace: &str, name: &str) -> Secret {
        let api = self.secrets(namespace);
        self.until(&format!("Secret {name} in {namespace}"), || async {
            api.get_opt(name).await.unwrap()
        })
        .await
    }

    /// Waits until there is none.
    pub async fn until_no_secret(&self, namespace: &str, name: &str) {
        let api = self.secrets(namespace);
        self.until(&format!("no Secret {name} in {namespace}"), || async {
            api.get_opt(name).await.unwrap().is_none().then_some(())
        })
        .await;
    }

    /// Deletes one, as somebody would by hand.
    pub async fn delete_secret(&self, namespace: &str, name: &str) -> String {
        let api = self.secrets(namespace);
        let uid = api.get(name).await.unwrap().uid().unwrap();
        api.delete(name, &DeleteParams::default()).await.unwrap();
        uid
    }

    /// The names in `imagePullSecrets` of a service account.
    pub async fn pull_secrets_of(&self, namespace: &str, account: &str) -> Vec<String> {
        let account = self.accounts(namespace).get_opt(account).await.unwrap();
        let list = account.and_then(|it| it.image_pull_secrets).unwrap_or_default();
        list.into_iter().map(|it| it.name).collect()
    }

    /// Waits until a service account has exactly these.
    pub async fn until_pull_secrets_of(&self, namespace: &str, account: &str, names: &[&str]) {
        let what = format!("imagePullSecrets of {account} in {namespace} to be {names:?}");
        self.until(&what, || async {
            (self.pull_secrets_of(namespace, account).await == names).then_some(())
        })
        .await;
    }
}

/// User name and password for `contoso` in a pull secret.
pub fn login(secret: &Secret) -> (String, String) {
    let data = &secret.data.as_ref().unwrap()[".dockerconfigjson"].0;
    let config: Value = serde_json::from_slice(data).unwrap();
    let entry = &config["auths"][SERVER];
    let text = |name: &str| entry[name].as_str().unwrap().to_owned();
    (text("username"), text("password"))
}
