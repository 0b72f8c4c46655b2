//! The admission policies of the chart: what the operator could not write even if it had every
//! right, and what it may write nevertheless.

use http::{Method, Request};
use kube::Client;
use kube::ResourceExt;
use serde_json::{Value, json};

use crate::support::World;

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

const NAMED: &str = "write no Secrets but those named";

#[tokio::test]
async fn secrets_are_of_its_kind_or_not_written() {
    let (world, apps, uid) = almighty().await;
    let all = format!("/api/v1/namespaces/{apps}/secrets");
    let ours = || pull_secret(&world, "acr-pull", &uid);
    let apply = |object: Value| Write(Apply, format!("{all}/acr-pull"), object);
    let foreign = json!([{"apiVersion": "v1", "kind": "ConfigMap", "name": "x", "uid": uid}]);
    let other = pull_secret(&world, "other", &uid);
    let owner = "write no Secrets but with its labels and an owner reference";
    let owners = |owners: Value| with(ours(), "/metadata/ownerReferences", owners);
    let another = with(ours(), "/metadata/ownerReferences/0/uid", "another".into());
    refuse(
        &world.as_operator().await,
        vec![
            (apply(with(ours(), "/type", "Opaque".into())), "write no Secrets but of type"),
            (Write(Apply, format!("{all}/other"), other.clone()), NAMED),
            (Write(Create, all.clone(), other), NAMED),
            (apply(owners(json!([]))), owner),
            (apply(owners(foreign)), owner),
            (apply(with(ours(), "/metadata/labels", json!({}))), owner),
            (apply(another), owner),
        ],
    )
    .await;
}

#[tokio::test]
async fn secrets_of_others_are_out_of_reach() {
    let (world, apps, uid) = almighty().await;
    let path = |name: &str| format!("/api/v1/namespaces/{apps}/secrets/{name}");
    let theirs = |name: &str| {
        let mut secret = pull_secret(&world, name, &uid);
        secret["metadata"] = json!({"name": name});
        Write(Apply, path(name), secret)
    };
    take(&world.client, vec![theirs("acr-pull"), theirs("x")]).await;
    let made = "neither change nor delete a Secret that it did not make";
    refuse(
        &world.as_operator().await,
        vec![
            (Write(Apply, path("acr-pull"), pull_secret(&world, "acr-pull", &uid)), made),
            (Write(Delete, path("acr-pull"), Value::Null), made),
            (Write(Merge, path("x"), json!({"metadata": {"labels": {"x": "y"}}})), NAMED),
            (Write(Delete, path("x"), Value::Null), NAMED),
        ],
    )
    .await;
}

#[tokio::test]
async fn secrets_of_its_own_are_written_changed_and_deleted() {
    let (world, apps, uid) = almighty().await;
    let operator = world.as_operator().await;
    let path = format!("/api/v1/namespaces/{apps}/secrets/acr-pull");
    let ours = pull_secret(&world, "acr-pull", &uid);
    let annotated = json!({"metadata": {"annotations": {"x": "y"}}});
    take(
        &operator,
        vec![
            Write(Apply, path.clone(), ours.clone()),
            Write(Merge, path.clone(), annotated),
            Write(Delete, path.clone(), Value::Null),
        ],
    )
    .await;
    // What an attachment that is gone has left is nobody's, and may be taken over.
    let orphan = with(ours.clone(), "/metadata/ownerReferences", json!([]));
    take(&world.client, vec![Write(Apply, path.clone(), orphan)]).await;
    take(&operator, vec![Write(Apply, path, ours)]).await;
}

/// A service account with an entry that is marked, of a name that was allowed once.
fn account(name: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "ServiceAccount",
        "metadata": {"name": name, "annotations": {"team": "x", "pull-secrets.acr-attach.dev/former": "a"}},
        "imagePullSecrets": [{"name": "first"}, {"name": "former"}],
    })
}

fn mark(name: &str) -> String {
    format!("/metadata/annotations/pull-secrets.acr-attach.dev~1{name}")
}

/// Adds an entry at the end.
fn entry(name: &str) -> Value {
    json!({"op": "add", "path": "/imagePullSecrets/-", "value": {"name": name}})
}

/// The same with its mark.
fn marked(name: &str) -> Value {
    json!([entry(name), {"op": "add", "path": mark(name), "value": "a"}])
}

/// Takes out the entry at that place, with its mark.
fn unmarked(at: usize, name: &str) -> Value {
    json!([
        {"op": "remove", "path": format!("/imagePullSecrets/{at}")},
        {"op": "remove", "path": mark(name)},
    ])
}

/// The path of all service accounts of that namespace, among them `default` and `builder`.
async fn accounts(world: &World, namespace: &str) -> String {
    let all = format!("/api/v1/namespaces/{namespace}/serviceaccounts");
    let apply = |name: &str| Write(Apply, format!("{all}/{name}"), account(name));
    take(&world.client, vec![apply("default"), apply("builder")]).await;
    all
}

#[tokio::test]
async fn of_service_accounts_only_its_own_entries_are_its_business() {
    let (world, apps, _) = almighty().await;
    let all = accounts(&world, &apps).await;
    let default = || format!("{all}/default");
    let merge = |body: Value| Write(Merge, default(), body);
    let json = |body: Value| Write(Json, default(), body);
    let annotation = |key: &str| json!({"metadata": {"annotations": {key: "y"}}});
    let exist = "neither create nor delete service accounts";
    let fields = "change nothing of service accounts but";
    let entries = "add and remove no entries of imagePullSecrets but those that it marks";
    let marks = "mark no entries of imagePullSecrets but those named";
    let again = json!([{"op": "replace", "path": mark("former"), "value": "b"}]);
    let builder = Write(Json, format!("{all}/builder"), marked("acr-pull"));
    refuse(
        &world.as_operator().await,
        vec![
            (Write(Create, all.clone(), account("third")), exist),
            (Write(Delete, default(), Value::Null), exist),
            (builder, "change no service accounts but those named"),
            (merge(json!({"automountServiceAccountToken": true})), fields),
            (merge(json!({"metadata": {"labels": {"x": "y"}}})), fields),
            (merge(json!({"secrets": [{"name": "x"}]})), fields),
            (merge(annotation("team")), "change no annotations"),
            (merge(annotation("more")), "change no annotations"),
            (json(json!([entry("acr-pull")])), entries),
            (json(json!([{"op": "remove", "path": "/imagePullSecrets/0"}])), entries),
            (json(marked("team")), marks),
            (json(again), marks),
        ],
    )
    .await;
}

#[tokio::test]
async fn an_entry_of_somebody_else_is_not_its_own_for_being_marked_now() {
    let (world, apps, _) = almighty().await;
    let default = format!("{}/default", accounts(&world, &apps).await);
    take(&world.client, vec![Write(Json, default.clone(), json!([entry("acr-pull")]))]).await;
    let steal = json!([
        {"op": "remove", "path": "/imagePullSecrets/2"},
        {"op": "add", "path": mark("acr-pull"), "value": "a"},
    ]);
    let entries = "add and remove no entries of imagePullSecrets but those that it marks";
    refuse(&world.as_operator().await, vec![(Write(Json, default, steal), entries)]).await;
}

#[tokio::test]
async fn entries_of_its_own_are_added_and_taken_back() {
    let (world, apps, _) = almighty().await;
    let default = format!("{}/default", accounts(&world, &apps).await);
    take(
        &world.as_operator().await,
        vec![
            Write(Json, default.clone(), marked("acr-pull")),
            Write(Json, default.clone(), unmarked(2, "acr-pull")),
            Write(Json, default, unmarked(1, "former")),
        ],
    )
    .await;
}

#[tokio::test]
async fn of_attachments_only_status_and_its_finalizers_are_its_business() {
    let (mut world, _, _) = almighty().await;
    // What is written here is what no operator would.
    world.stop_recording();
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
