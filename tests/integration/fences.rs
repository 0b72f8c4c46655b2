//! The admission policies of the chart: what the operator could not write even if it had every
//! right, and what it may write nevertheless.

use http::{Method, Request};
use kube::Client;
use kube::ResourceExt;
use serde_json::{Value, json};

use crate::world::World;

/// A write: how, where, and what.
struct Write(How, String, Value);

#[derive(Clone, Copy)]
enum How {
    Create,
    Apply,
    Merge,
    Json,
    Delete,
}
use How::{Apply, Create, Delete, Json, Merge};

impl Write {
    async fn make(&self, client: &Client) -> kube::Result<Value> {
        let Self(how, path, body) = self;
        let (method, kind, query) = match how {
            Create => (Method::POST, "application/json", ""),
            Apply => {
                (Method::PATCH, "application/apply-patch+yaml", "?fieldManager=test&force=true")
            }
            Merge => (Method::PATCH, "application/merge-patch+json", ""),
            Json => (Method::PATCH, "application/json-patch+json", ""),
            Delete => (Method::DELETE, "application/json", ""),
        };
        let request = Request::builder().method(method).uri(format!("{path}{query}"));
        let request = request.header("content-type", kind);
        let body = if body.is_null() { Vec::new() } else { body.to_string().into_bytes() };
        client.request(request.body(body).unwrap()).await
    }
}

/// A world whose operator is stopped and may do everything, and an attachment's uid.
async fn almighty() -> (World, String, String) {
    let mut world = World::new().await;
    world.stop().await;
    let own = world.namespace();
    let binding = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding",
        "metadata": {"name": format!("{own}.almighty")},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"},
        "subjects": [{"kind": "ServiceAccount", "name": "acr-attach", "namespace": own}],
    });
    world.apply_object(&binding, &kube::api::PatchParams::apply("user")).await.unwrap();
    world.until_may("create", "", "configmaps", true).await;
    let apps = world.namespace_with("apps", json!({})).await;
    let uid = world.apply("a", world.spec()).await.uid().unwrap();
    (world, apps, uid)
}

/// A pull secret as the operator writes it.
fn pull_secret(world: &World, name: &str, uid: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/dockerconfigjson",
        "metadata": {
            "name": name,
            "labels": {"app.kubernetes.io/managed-by": "acr-attach", "acr-attach.dev/attachment": uid},
            "ownerReferences": [{
                "apiVersion": "acr-attach.dev/v1alpha1", "kind": "RegistryAttachment",
                "name": world.name("a"), "uid": uid,
            }],
        },
        "stringData": {".dockerconfigjson": "{\"auths\":{}}"},
    })
}

/// The same with something else at that place.
fn with(mut object: Value, pointer: &str, value: Value) -> Value {
    *object.pointer_mut(pointer).unwrap() = value;
    object
}

async fn refuse(operator: &Client, writes: Vec<(Write, &str)>) {
    for (write, sentence) in writes {
        let error = write.make(operator).await.err();
        let Some(kube::Error::Api(status)) = error else {
            panic!("{} {} was not refused: {error:?}", write.1, write.2)
        };
        assert_eq!(status.code, 403, "{} {}: {}", write.1, write.2, status.message);
        let told = status.message.contains(&format!("acr-attach may {sentence}"));
        assert!(told, "{} {}: {}", write.1, write.2, status.message);
    }
}

async fn take(client: &Client, writes: Vec<Write>) {
    for write in writes {
        let answer = write.make(client).await;
        answer.unwrap_or_else(|error| panic!("{} {}: {error}", write.1, write.2));
    }
}

#[tokio::test]
async fn secrets_of_others_are_out_of_reach() {
    let (world, apps, uid) = almighty().await;
    let operator = world.as_operator().await;
    let path = |name: &str| format!("/api/v1/namespaces/{apps}/secrets/{name}");
    let ours = pull_secret(&world, "acr-pull", &uid);
    let foreign = json!([{"apiVersion": "v1", "kind": "ConfigMap", "name": "x", "uid": uid}]);
    let opaque = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "x"}, "stringData": {"x": "y"}});
    let config = json!({".dockerconfigjson": "{}"});
    let opaque_of_ours = with(with(ours.clone(), "/type", "Opaque".into()), "/stringData", config);
    let owner = "write no Secrets but with its labels and an owner reference";
    refuse(
        &operator,
        vec![
            (Write(Apply, path("acr-pull"), opaque_of_ours), "write no Secrets but of type"),
            (
                Write(Apply, path("other"), pull_secret(&world, "other", &uid)),
                "write no Secrets but those named",
            ),
            (
                Write(Create, format!("/api/v1/namespaces/{apps}/secrets"), opaque.clone()),
                "write no Secrets but those named",
            ),
            (
                Write(
                    Apply,
                    path("acr-pull"),
                    with(ours.clone(), "/metadata/ownerReferences", json!([])),
                ),
                owner,
            ),
            (
                Write(
                    Apply,
                    path("acr-pull"),
                    with(ours.clone(), "/metadata/ownerReferences", foreign),
                ),
                owner,
            ),
            (
                Write(Apply, path("acr-pull"), with(ours.clone(), "/metadata/labels", json!({}))),
                owner,
            ),
            (
                Write(
                    Apply,
                    path("acr-pull"),
                    with(ours.clone(), "/metadata/ownerReferences/0/uid", "another".into()),
                ),
                owner,
            ),
        ],
    )
    .await;
    // Somebody else's.
    let theirs = json!({
        "apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/dockerconfigjson",
        "metadata": {"name": "acr-pull"}, "stringData": {".dockerconfigjson": "{}"},
    });
    take(
        &world.client,
        vec![Write(Apply, path("acr-pull"), theirs), Write(Apply, path("x"), opaque)],
    )
    .await;
    let made = "neither change nor delete a Secret that it did not make";
    refuse(
        &operator,
        vec![
            (Write(Apply, path("acr-pull"), ours.clone()), made),
            (Write(Delete, path("acr-pull"), Value::Null), made),
            (
                Write(Merge, path("x"), json!({"stringData": {"x": "z"}})),
                "write no Secrets but those named",
            ),
            (Write(Delete, path("x"), Value::Null), "write no Secrets but those named"),
        ],
    )
    .await;
    take(&world.client, vec![Write(Delete, path("acr-pull"), Value::Null)]).await;
    // What an attachment that is gone has left is nobody's, and may be taken over.
    let mut orphan = ours.clone();
    orphan["metadata"]["ownerReferences"] = json!([]);
    take(
        &operator,
        vec![
            Write(Apply, path("acr-pull"), ours.clone()),
            Write(Merge, path("acr-pull"), json!({"metadata": {"annotations": {"x": "y"}}})),
            Write(Delete, path("acr-pull"), Value::Null),
        ],
    )
    .await;
    take(&world.client, vec![Write(Apply, path("acr-pull"), orphan)]).await;
    take(&operator, vec![Write(Apply, path("acr-pull"), ours)]).await;
}

#[tokio::test]
async fn of_service_accounts_only_its_own_entries_are_its_business() {
    let (world, apps, uid) = almighty().await;
    let operator = world.as_operator().await;
    let all = format!("/api/v1/namespaces/{apps}/serviceaccounts");
    let path = |name: &str| format!("{all}/{name}");
    let account = |name: &str, secrets: &[&str]| {
        let secrets: Vec<_> = secrets.iter().map(|it| json!({"name": it})).collect();
        json!({
            "apiVersion": "v1", "kind": "ServiceAccount", "imagePullSecrets": secrets,
            "metadata": {"name": name, "annotations": {"team": "x", "pull-secrets.acr-attach.dev/other": "theirs"}},
        })
    };
    take(
        &world.client,
        vec![
            Write(Apply, path("default"), account("default", &["first", "other"])),
            Write(Apply, path("builder"), account("builder", &["first"])),
        ],
    )
    .await;
    let default = path("default");
    let add =
        |name: &str| json!([{"op": "add", "path": "/imagePullSecrets/-", "value": {"name": name}}]);
    let mark = |name: &str| format!("/metadata/annotations/pull-secrets.acr-attach.dev~1{name}");
    let marked = |name: &str| {
        json!([
            {"op": "add", "path": "/imagePullSecrets/-", "value": {"name": name}},
            {"op": "add", "path": mark(name), "value": uid},
        ])
    };
    let unmark = json!([{"op": "remove", "path": mark("other")}]);
    let remove = |at: usize| json!([{"op": "remove", "path": format!("/imagePullSecrets/{at}")}]);
    let (exist, fields) =
        ("neither create nor delete service accounts", "change nothing of service accounts but");
    let entries = "add and remove no entries of imagePullSecrets but those that it marks";
    let marks = "mark no entries of imagePullSecrets but those named";
    refuse(
        &operator,
        vec![
            (Write(Create, all.clone(), account("third", &[])), exist),
            (Write(Delete, default.clone(), Value::Null), exist),
            (
                Write(Json, path("builder"), marked("acr-pull")),
                "change no service accounts but those named",
            ),
            (Write(Merge, default.clone(), json!({"automountServiceAccountToken": true})), fields),
            (Write(Merge, default.clone(), json!({"metadata": {"labels": {"x": "y"}}})), fields),
            (Write(Merge, default.clone(), json!({"secrets": [{"name": "x"}]})), fields),
            (
                Write(Merge, default.clone(), json!({"metadata": {"annotations": {"team": "y"}}})),
                "change no annotations",
            ),
            (
                Write(Merge, default.clone(), json!({"metadata": {"annotations": {"more": "y"}}})),
                "change no annotations",
            ),
            (Write(Json, default.clone(), add("acr-pull")), entries),
            (Write(Json, default.clone(), remove(0)), entries),
            (Write(Json, default.clone(), marked("team")), marks),
            (Write(Json, default.clone(), unmark), marks),
        ],
    )
    .await;
    let taken_back = json!([
        {"op": "remove", "path": "/imagePullSecrets/2"},
        {"op": "remove", "path": mark("acr-pull")},
    ]);
    take(
        &operator,
        vec![Write(Json, default.clone(), marked("acr-pull")), Write(Json, default, taken_back)],
    )
    .await;
}

#[tokio::test]
async fn of_attachments_only_status_and_its_finalizers_are_its_business() {
    let (world, _, _) = almighty().await;
    let operator = world.as_operator().await;
    let all = "/apis/acr-attach.dev/v1alpha1/registryattachments".to_owned();
    let a = format!("{all}/{}", world.name("a"));
    let another = json!({
        "apiVersion": "acr-attach.dev/v1alpha1", "kind": "RegistryAttachment",
        "metadata": {"name": world.name("b")}, "spec": world.spec(),
    });
    let finalizers = |names: &[&str]| json!({"metadata": {"finalizers": names}});
    let ours = "acr-attach.dev/role-assignments";
    take(&world.client, vec![Write(Merge, a.clone(), finalizers(&["example.com/theirs"]))]).await;
    let (exist, fields) =
        ("neither create nor delete attachments", "change nothing of attachments but");
    let names = "add and remove no finalizers but its own";
    refuse(
        &operator,
        vec![
            (Write(Create, all, another), exist),
            (Write(Delete, a.clone(), Value::Null), exist),
            (Write(Merge, a.clone(), json!({"spec": {"suspend": true}})), fields),
            (Write(Merge, a.clone(), json!({"metadata": {"labels": {"x": "y"}}})), fields),
            (Write(Merge, a.clone(), json!({"metadata": {"annotations": {"x": "y"}}})), fields),
            (Write(Merge, a.clone(), finalizers(&[ours])), names),
            (
                Write(Merge, a.clone(), finalizers(&["example.com/theirs", "example.com/more"])),
                names,
            ),
        ],
    )
    .await;
    take(
        &operator,
        vec![
            Write(Merge, a.clone(), finalizers(&["example.com/theirs", ours])),
            Write(Merge, a.clone(), finalizers(&["example.com/theirs"])),
            Write(Merge, format!("{a}/status"), json!({"status": {"observedGeneration": 1}})),
        ],
    )
    .await;
    take(&world.client, vec![Write(Merge, a, finalizers(&[]))]).await;
}

#[tokio::test]
async fn of_leases_only_its_own_is_its_business() {
    let (world, apps, _) = almighty().await;
    let operator = world.as_operator().await;
    let path = |namespace: &str, name: &str| {
        format!("/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases/{name}")
    };
    let lease = |name: &str| json!({"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": name}});
    let own = world.namespace();
    let sentence = "write no Lease but its own";
    refuse(
        &operator,
        vec![
            (Write(Apply, path(&own, "other"), lease("other")), sentence),
            (Write(Apply, path(&apps, "acr-attach"), lease("acr-attach")), sentence),
        ],
    )
    .await;
    let taken = json!({"spec": {"holderIdentity": "x"}});
    let here = path(&own, "acr-attach");
    take(
        &operator,
        vec![Write(Apply, here.clone(), lease("acr-attach")), Write(Merge, here.clone(), taken)],
    )
    .await;
    refuse(&operator, vec![(Write(Delete, here, Value::Null), sentence)]).await;
}
