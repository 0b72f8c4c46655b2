//! What a running control plane does, all on one of them.

use std::{
    fs,
    process::Command,
    time::{Duration, Instant},
};

use control_plane::{Cluster, ControlPlane, Options, audit::AuditEvent};
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use k8s_openapi::{
    api::{
        admissionregistration::v1::{ValidatingAdmissionPolicy, ValidatingAdmissionPolicyBinding},
        core::v1::{ConfigMap, Namespace, Pod, Secret, ServiceAccount},
        rbac::v1::{Role, RoleBinding},
    },
    serde::{Serialize, de::DeserializeOwned},
};
use kube::{
    Api, Client, Resource, ResourceExt,
    api::{ApiResource, DeleteParams, DynamicObject, GroupVersionKind, PostParams, WatchParams},
};
use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::{eventually, nothing_is_left, room};

const WIDGETS: &str = include_str!("widgets.yaml");

#[tokio::test]
async fn one_control_plane_holds_what_it_promises() {
    let _room = room().await;
    let options = Options { crds: vec![WIDGETS.into()], ..Options::from_env().unwrap() };
    let mut plane = ControlPlane::start(&options).await.unwrap();
    let cluster = Cluster::from_dir(plane.cluster().dir()).unwrap();
    let client = cluster.admin().await.unwrap();

    kubectl_tells_the_version(&options, plane.admin_kubeconfig().to_str().unwrap());
    rights_end_where_rbac_ends_them(&cluster, &client).await;
    a_federated_token_verifies_with_the_public_key(&cluster).await;
    pod_security_refuses_a_privileged_pod(&client).await;
    an_admission_policy_denies(&client).await;
    deleting_an_owner_of_an_installed_kind_deletes_what_it_owns(&client).await;
    an_object_written_to_etcd_is_served(&client, plane.etcd_url()).await;
    an_outage_keeps_the_state(&mut plane, &client).await;

    let folder = plane.cluster().dir().to_path_buf();
    plane.stop().await.unwrap();
    assert!(!folder.exists() && nothing_is_left(&folder));
}

fn kubectl_tells_the_version(options: &Options, kubeconfig: &str) {
    let kubectl = Command::new(options.program("kubectl").unwrap())
        .args(["version", "--kubeconfig", kubeconfig])
        .output()
        .unwrap();
    let said = String::from_utf8(kubectl.stdout).unwrap();
    assert!(said.contains("Server Version: v1.36."), "{said}");
}

async fn rights_end_where_rbac_ends_them(cluster: &Cluster, client: &Client) {
    namespace(client, "rights", json!({})).await;
    let rules =
        json!([{ "apiGroups": [""], "resources": ["configmaps"], "verbs": ["create", "watch"] }]);
    create::<ServiceAccount>(client, "rights", json!({ "metadata": { "name": "limited" } })).await;
    create::<Role>(client, "rights", json!({ "metadata": { "name": "limited" }, "rules": rules }))
        .await;
    create::<RoleBinding>(client, "rights", json!({
        "metadata": { "name": "limited" },
        "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "limited" },
        "subjects": [{ "kind": "ServiceAccount", "name": "limited", "namespace": "rights" }],
    }))
    .await;
    let kubeconfig = cluster.service_account("rights", "limited").await.unwrap();
    let limited = cluster.client(kubeconfig).await.unwrap();

    create::<ConfigMap>(&limited, "rights", json!({ "metadata": { "name": "allowed" } })).await;
    let maps: Api<ConfigMap> = Api::namespaced(limited.clone(), "rights");
    let open_watch = maps.watch(&WatchParams::default(), "0").await.unwrap();
    let secrets: Api<Secret> = Api::namespaced(limited, "rights");
    let secret = serde_json::from_value(json!({ "metadata": { "name": "refused" } })).unwrap();
    assert_code(secrets.create(&PostParams::default(), &secret).await, 403);

    let user = Cluster::service_account_user("rights", "limited");
    let calls = || cluster.calls_by(&user).unwrap();
    eventually("all calls are in the audit log", || async { calls().len() == 3 }).await;
    let writes: Vec<_> = cluster.writes_by(&user).unwrap().iter().map(brief).collect();
    let expected = ["create configmaps rights/allowed 201", "create secrets rights/ 403"];
    assert_eq!(writes, expected);
    let watch =
        |calls: Vec<AuditEvent>| calls.into_iter().find(|call| call.verb == "watch").unwrap();
    assert_eq!(watch(calls()).code, None);
    drop(open_watch);
    eventually("the watch is noted as closed", || async { watch(calls()).code == Some(200) }).await;
    assert_eq!(calls().len(), 3);
}

fn brief(call: &AuditEvent) -> String {
    let AuditEvent { verb, resource, namespace, name, code, .. } = call;
    format!("{verb} {resource} {namespace}/{name} {}", code.unwrap())
}

async fn a_federated_token_verifies_with_the_public_key(cluster: &Cluster) {
    const AUDIENCE: &str = "api://AzureADTokenExchange";
    let lifetime = Duration::from_secs(600);
    let token =
        cluster.service_account_token("default", "default", AUDIENCE, lifetime).await.unwrap();
    let key = fs::read(cluster.service_account_public_key()).unwrap();
    let mut validation = Validation::new(Algorithm::RS256);
    validation.set_audience(&[AUDIENCE]);
    validation.set_issuer(&[cluster.service_account_issuer()]);
    let claims: serde_json::Value =
        jsonwebtoken::decode(&token, &DecodingKey::from_rsa_pem(&key).unwrap(), &validation)
            .unwrap()
            .claims;
    assert_eq!(claims["sub"], "system:serviceaccount:default:default");
    assert_eq!(claims["exp"].as_i64().unwrap() - claims["iat"].as_i64().unwrap(), 600);
}

async fn pod_security_refuses_a_privileged_pod(client: &Client) {
    let label = json!({ "pod-security.kubernetes.io/enforce": "restricted" });
    namespace(client, "restricted", label).await;
    let accounts: Api<ServiceAccount> = Api::namespaced(client.clone(), "restricted");
    eventually("the namespace has its service account", || async {
        accounts.get_opt("default").await.unwrap().is_some()
    })
    .await;
    let pods: Api<Pod> = Api::namespaced(client.clone(), "restricted");
    let pod = serde_json::from_value(json!({
        "metadata": { "name": "privileged" },
        "spec": { "containers": [{
            "name": "shell", "image": "shell", "securityContext": { "privileged": true },
        }] },
    }))
    .unwrap();
    let refusal = assert_code(pods.create(&PostParams::default(), &pod).await, 403);
    assert!(refusal.contains("violates PodSecurity \"restricted:latest\""), "{refusal}");
}

async fn an_admission_policy_denies(client: &Client) {
    let policies: Api<ValidatingAdmissionPolicy> = Api::all(client.clone());
    let bindings: Api<ValidatingAdmissionPolicyBinding> = Api::all(client.clone());
    let policy = json!({
        "metadata": { "name": "no-forbidden-maps" },
        "spec": {
            "matchConstraints": { "resourceRules": [{
                "apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"],
                "resources": ["configmaps"],
            }] },
            "validations": [{ "expression": "object.metadata.name != 'forbidden'", "message": "not this one" }],
        },
    });
    let binding = json!({
        "metadata": { "name": "no-forbidden-maps" },
        "spec": { "policyName": "no-forbidden-maps", "validationActions": ["Deny"] },
    });
    let params = PostParams::default();
    policies.create(&params, &serde_json::from_value(policy).unwrap()).await.unwrap();
    bindings.create(&params, &serde_json::from_value(binding).unwrap()).await.unwrap();
    let maps: Api<ConfigMap> = Api::namespaced(client.clone(), "default");
    let map = serde_json::from_value(json!({ "metadata": { "name": "forbidden" } })).unwrap();
    let dry_run = PostParams { dry_run: true, ..PostParams::default() };
    eventually("the policy denies", || async {
        let answer = maps.create(&dry_run, &map).await;
        answer.is_err_and(|error| error.to_string().contains("not this one"))
    })
    .await;
}

async fn deleting_an_owner_of_an_installed_kind_deletes_what_it_owns(client: &Client) {
    let widgets = widgets(client);
    let widget = widgets.create(&PostParams::default(), &widget("owner")).await.unwrap();
    create::<ConfigMap>(
        client,
        "default",
        json!({ "metadata": {
        "name": "owned",
        "ownerReferences": [{
            "apiVersion": "example.com/v1", "kind": "Widget", "name": "owner", "uid": widget.uid(),
        }],
    } }),
    )
    .await;
    let deleted = Instant::now();
    widgets.delete("owner", &DeleteParams::background()).await.unwrap();
    let maps: Api<ConfigMap> = Api::namespaced(client.clone(), "default");
    let gone = || async { maps.get_opt("owned").await.unwrap().is_none() };
    eventually("the owned object is gone", gone).await;
    // A garbage collector that did not know the kind would look for kinds again after 30 s.
    assert!(deleted.elapsed() < Duration::from_secs(25), "it took {:?}", deleted.elapsed());
}

/// An object whose size is no number: the API server would refuse to store it.
async fn an_object_written_to_etcd_is_served(client: &Client, etcd_url: &str) {
    use base64::{Engine, engine::general_purpose::STANDARD};
    let mut odd = serde_json::to_value(widget("odd")).unwrap();
    odd["metadata"]["namespace"] = json!("default");
    odd["metadata"]["uid"] = json!("6c7b4f0e-0000-4000-8000-000000000001");
    odd["spec"]["size"] = json!("huge");
    let body = json!({
        "key": STANDARD.encode("/registry/example.com/widgets/default/odd"),
        "value": STANDARD.encode(odd.to_string()),
    })
    .to_string();
    let host = etcd_url.trim_start_matches("http://");
    let mut connection = TcpStream::connect(host).await.unwrap();
    let length = body.len();
    let request = format!(
        "POST /v3/kv/put HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{body}"
    );
    connection.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    connection.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert_eq!(widgets(client).get("odd").await.unwrap().data["spec"]["size"], "huge");
}

async fn an_outage_keeps_the_state(plane: &mut ControlPlane, client: &Client) {
    create::<ConfigMap>(client, "default", json!({ "metadata": { "name": "kept" } })).await;
    let maps: Api<ConfigMap> = Api::namespaced(client.clone(), "default");
    plane.stop_api_server().await.unwrap();
    assert!(maps.get("kept").await.is_err());
    plane.start_api_server().await.unwrap();
    assert!(plane.start_api_server().await.unwrap_err().to_string().contains("running already"));
    maps.get("kept").await.unwrap();
    plane.restart_api_server().await.unwrap();
    maps.get("kept").await.unwrap();
    namespace(client, "afterwards", json!({})).await;
    let accounts: Api<ServiceAccount> = Api::namespaced(client.clone(), "afterwards");
    eventually("the controllers work again", || async {
        accounts.get_opt("default").await.unwrap().is_some()
    })
    .await;
}

fn widgets(client: &Client) -> Api<DynamicObject> {
    let kind = GroupVersionKind::gvk("example.com", "v1", "Widget");
    Api::namespaced_with(client.clone(), "default", &ApiResource::from_gvk(&kind))
}

fn widget(name: &str) -> DynamicObject {
    serde_json::from_value(json!({
        "apiVersion": "example.com/v1", "kind": "Widget",
        "metadata": { "name": name }, "spec": { "size": 1 },
    }))
    .unwrap()
}

async fn namespace(client: &Client, name: &str, labels: serde_json::Value) {
    let namespaces: Api<Namespace> = Api::all(client.clone());
    let object = json!({ "metadata": { "name": name, "labels": labels } });
    namespaces
        .create(&PostParams::default(), &serde_json::from_value(object).unwrap())
        .await
        .unwrap();
}

async fn create<K>(client: &Client, namespace: &str, object: serde_json::Value)
where
    K: Resource<Scope = k8s_openapi::NamespaceResourceScope>
        + Clone
        + std::fmt::Debug
        + Serialize
        + DeserializeOwned,
    K::DynamicType: Default,
{
    let api: Api<K> = Api::namespaced(client.clone(), namespace);
    api.create(&PostParams::default(), &serde_json::from_value(object).unwrap()).await.unwrap();
}

/// The message of a refusal, which must have this HTTP status.
fn assert_code<T: std::fmt::Debug>(answer: Result<T, kube::Error>, code: u16) -> String {
    match answer {
        Err(kube::Error::Api(status)) if status.code == code => status.message,
        other => panic!("expected {code}, got {other:?}"),
    }
}
