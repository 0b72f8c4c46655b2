//! What the API server itself refuses: every rule of the definition, both ways.

use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};

use crate::support::World;

const GUID: &str = "22222222-2222-2222-2222-222222222222";

fn registry() -> Value {
    json!(format!(
        "/subscriptions/{GUID}/resourceGroups/rg/providers/Microsoft.ContainerRegistry/registries/contoso"
    ))
}

fn cluster() -> Value {
    json!(format!(
        "/subscriptions/{GUID}/resourceGroups/rg/providers/Microsoft.ContainerService/managedClusters/prod"
    ))
}

fn pull_secret() -> Value {
    json!({
        "servicePrincipal": {"tenantId": GUID, "clientId": GUID},
        "namespaces": {"selector": {}},
    })
}

/// A spec by `PullSecret` with one field of the pull secret changed.
fn with_pull_secret(pointer: &str, value: Value) -> Value {
    let mut spec = json!({"registry": {"resourceId": registry()}, "method": "PullSecret", "pullSecret": pull_secret()});
    set(&mut spec["pullSecret"], pointer, value);
    spec
}

/// A spec by `KubeletIdentity` with one field changed.
fn with(pointer: &str, value: Value) -> Value {
    let mut spec = json!({
        "registry": {"resourceId": registry()},
        "method": "KubeletIdentity",
        "kubeletIdentity": {"clusterResourceId": cluster()},
    });
    set(&mut spec, pointer, value);
    spec
}

fn set(within: &mut Value, path: &str, value: Value) {
    let place = path.split('.').fold(within, |at, key| &mut at[key]);
    *place = value;
}

fn named_by(registry: Value) -> Value {
    Value::Object([("registry".to_owned(), registry)].into_iter().collect())
}

fn many_labels() -> Value {
    let labels: serde_json::Map<_, _> = (0..65).map(|n| (format!("l{n}"), json!("x"))).collect();
    json!({"matchLabels": labels})
}

/// Specs that are accepted, with what they show.
fn accepted() -> Vec<(&'static str, Value)> {
    let odd_case = registry().as_str().unwrap().to_lowercase();
    let long_name = format!("{}.azurecr.io", "a".repeat(50));
    vec![
        ("a registry by id", named_by(json!({"resourceId": registry()}))),
        ("an id in another case", named_by(json!({"resourceId": odd_case}))),
        ("a registry by name", named_by(json!({"name": "contoso"}))),
        (
            "a name with its subscription",
            named_by(json!({"name": "contoso", "subscriptionId": GUID})),
        ),
        ("a login server", named_by(json!({"loginServer": "contoso.azurecr.io"}))),
        (
            "a login server with a hash",
            named_by(json!({"loginServer": "contoso-e7ggejfuhzhgedc8.azurecr.io"})),
        ),
        ("a long login server", named_by(json!({"loginServer": long_name}))),
        ("a principal", with("kubeletIdentity", json!({"principalId": GUID}))),
        ("repositories", with("repositories", json!(["team-a/*", "team-b/app", "x__y/z.1"]))),
        ("Orphan", with("deletionPolicy", json!("Orphan"))),
        ("a pull secret", with_pull_secret("secretName", json!("acr-pull"))),
        ("a client secret written as it is", {
            let mut spec = with_pull_secret("credential", json!("ClientSecret"));
            spec["pullSecret"]["servicePrincipal"]["clientSecretRef"] =
                json!({"name": "sp", "key": "clientSecret"});
            spec
        }),
        ("an object id", with_pull_secret("servicePrincipal.objectId", json!(GUID))),
        ("an assigned role", with_pull_secret("assignRole", json!(true))),
        ("namespaces by name", with_pull_secret("namespaces", json!({"names": ["a", "b"]}))),
        ("all service accounts", with_pull_secret("serviceAccounts", json!(["*"]))),
        ("no service account", with_pull_secret("serviceAccounts", json!([]))),
        ("a login server by pull secret", {
            let mut spec = with_pull_secret("assignRole", json!(false));
            spec["registry"] = json!({"loginServer": "contoso.azurecr.io"});
            spec
        }),
    ]
}

/// Specs that are refused, with a part of the sentence that says why.
fn refused() -> Vec<(&'static str, Value)> {
    let exactly_one = "give exactly one of resourceId, name and loginServer";
    let id = |text: &str| named_by(json!({"resourceId": text}));
    let server = |text: &str| named_by(json!({"loginServer": text}));
    let by_server = |mut spec: Value| {
        spec["registry"] = json!({"loginServer": "contoso.azurecr.io"});
        spec
    };
    let contoso = registry().as_str().unwrap().to_owned();
    vec![
        (exactly_one, named_by(json!({}))),
        (exactly_one, named_by(json!({"resourceId": registry(), "name": "contoso"}))),
        (exactly_one, named_by(json!({"name": "contoso", "loginServer": "contoso.azurecr.io"}))),
        (
            "subscriptionId goes with name only",
            named_by(json!({"resourceId": registry(), "subscriptionId": GUID})),
        ),
        ("resourceId has the form", id("contoso")),
        ("resourceId has the form", id(&contoso.replace(GUID, "1"))),
        ("resourceId has the form", id(&contoso.replace("registries/", "registries/a/"))),
        ("resourceId has the form", id(&format!("{contoso}?x=y"))),
        ("resourceId has the form", id(&contoso.replace("ContainerRegistry", "Storage"))),
        ("name is the name of a registry", named_by(json!({"name": "contoso.azurecr.io"}))),
        (
            "subscriptionId is a GUID",
            named_by(json!({"name": "contoso", "subscriptionId": "prod"})),
        ),
        ("loginServer is a host name", server("https://contoso.azurecr.io")),
        ("loginServer is a host name", server("contoso.azurecr.io:443")),
        ("loginServer is a host name", server("contoso.azurecr.io/team-a")),
        ("loginServer is a host name", server("user@contoso.azurecr.io")),
        ("loginServer is a host name", server("169.254.169.254")),
        ("loginServer is a host name", server("contoso")),
        (
            "clusterResourceId has the form",
            with("kubeletIdentity.clusterResourceId", json!("prod")),
        ),
        ("clusterResourceId has the form", with("kubeletIdentity.clusterResourceId", registry())),
        ("principalId is the object id", with("kubeletIdentity.principalId", json!("me"))),
        ("each repository is a name", with("repositories", json!(["it's"]))),
        ("each repository is a name", with("repositories", json!(["Team/app"]))),
        ("each repository is a name", with("repositories", json!(["*"]))),
        ("each repository is a name", with("repositories", json!(["team-*"]))),
        ("each repository is a name", with("repositories", json!(["a//b"]))),
        ("each repository is a name", with("repositories", json!(["a/-b"]))),
        ("Too many", with_pull_secret("namespaces.selector", many_labels())),
        ("Unsupported value", with("method", json!("Magic"))),
        ("Unsupported value", with("deletionPolicy", json!("Shred"))),
        ("method PullSecret needs pullSecret", with("method", json!("PullSecret"))),
        ("method KubeletIdentity assigns a role", by_server(with("suspend", json!(false)))),
        (
            "pullSecret.assignRole must find the registry",
            by_server(with_pull_secret("assignRole", json!(true))),
        ),
        ("repositories are a condition of a role", {
            let mut spec = by_server(with_pull_secret("assignRole", json!(false)));
            spec["repositories"] = json!(["a/*"]);
            spec
        }),
        (
            "so needs servicePrincipal.clientSecretRef",
            with_pull_secret("credential", json!("ClientSecret")),
        ),
        ("give names, selector or both", with_pull_secret("namespaces", json!({}))),
        (
            "each of names is the name of a namespace",
            with_pull_secret("namespaces", json!({"names": ["A"]})),
        ),
        ("tenantId is a GUID", with_pull_secret("servicePrincipal.tenantId", json!("contoso.com"))),
        (
            "clientId is the application id",
            with_pull_secret("servicePrincipal.clientId", json!("app")),
        ),
        ("objectId is a GUID", with_pull_secret("servicePrincipal.objectId", json!("app"))),
        (
            "name is the name of a Secret",
            with_pull_secret(
                "servicePrincipal.clientSecretRef",
                json!({"name": "../x", "key": "k"}),
            ),
        ),
        (
            "key is a key of that Secret",
            with_pull_secret(
                "servicePrincipal.clientSecretRef",
                json!({"name": "x", "key": "a/b"}),
            ),
        ),
        ("secretName is the name of a Secret", with_pull_secret("secretName", json!("Acr_Pull"))),
        ("Too long", with_pull_secret("secretName", json!("a".repeat(64)))),
        ("names one twice", with_pull_secret("serviceAccounts", json!(["a", "b", "a"]))),
        ("each of serviceAccounts is the name", with_pull_secret("serviceAccounts", json!(["A"]))),
        (
            "* names all service accounts",
            with_pull_secret("serviceAccounts", json!(["*", "default"])),
        ),
        ("Required value", json!({"method": "Auto"})),
    ]
}

#[tokio::test]
async fn every_rule_accepts_and_refuses() {
    let world = World::new().await;
    let dry = PatchParams { dry_run: true, ..PatchParams::apply("user").force() };
    let name = world.name("rules");
    let tried = |spec: Value| {
        let manifest = json!({
            "apiVersion": "acr-attach.dev/v1alpha1", "kind": "RegistryAttachment",
            "metadata": {"name": name}, "spec": spec,
        });
        let (api, name, dry) = (world.attachments(), name.clone(), dry.clone());
        async move { api.patch(&name, &dry, &Patch::Apply(&manifest)).await }
    };
    for (what, spec) in accepted() {
        let answer = tried(spec).await;
        assert!(answer.is_ok(), "{what}: {answer:?}");
    }
    for (why, spec) in refused() {
        let text = match tried(spec.clone()).await {
            Ok(_) => panic!("accepted, and should be refused because {why}: {spec}"),
            Err(error) => error.to_string(),
        };
        assert!(text.contains(why), "{spec}: `{why}` is not in {text}");
    }
}

#[tokio::test]
async fn the_registry_is_immutable_and_the_message_tells_the_way() {
    let world = World::new().await;
    let mut spec = with("suspend", json!(true));
    world.apply("a", spec.clone()).await;
    world.apply("a", spec.clone()).await;
    spec["registry"] = json!({"name": "fabrikam"});
    let text = world.try_apply("a", spec).await.unwrap_err().to_string();
    assert!(text.contains("create a second attachment"), "{text}");
}

#[tokio::test]
async fn service_accounts_go_to_none_and_back() {
    let world = World::new().await;
    for accounts in [json!(["builder"]), json!([]), json!(["default", "builder"]), json!([])] {
        let applied = world.apply("a", with_pull_secret("serviceAccounts", accounts.clone())).await;
        assert_eq!(json!(applied.spec.pull_secret.unwrap().service_accounts), accounts);
    }
}

#[tokio::test]
async fn a_selector_goes_from_labels_to_empty_and_back() {
    let world = World::new().await;
    for selector in
        [json!({"matchLabels": {"a": "b"}}), json!({}), json!({"matchLabels": {"c": "d"}})]
    {
        let mut spec = with_pull_secret("namespaces", json!({"selector": selector}));
        spec["suspend"] = json!(true);
        let stored = world.apply("a", spec).await;
        let namespaces = stored.spec.pull_secret.unwrap().namespaces;
        assert_eq!(serde_json::to_value(namespaces.selector).unwrap(), selector);
    }
}

#[tokio::test]
async fn defaults_are_filled_in_only_where_the_user_wrote_the_parent() {
    let world = World::new().await;
    let stored = world.apply("a", with_pull_secret("assignRole", json!(false))).await;
    let spec = serde_json::to_value(&stored.spec).unwrap();
    let expected = json!({
        "registry": {"resourceId": registry()},
        "method": "PullSecret",
        "prepareForAbac": false,
        "deletionPolicy": "Delete",
        "suspend": false,
        "pullSecret": {
            "servicePrincipal": {"tenantId": GUID, "clientId": GUID},
            "namespaces": {"selector": {}},
            "assignRole": false,
            "credential": "RegistryToken",
            "secretName": "acr-pull",
            "serviceAccounts": ["default"],
        },
    });
    assert_eq!(spec, expected);
}

#[tokio::test]
async fn the_samples_are_accepted() {
    let world = World::new().await;
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/samples");
    let mut samples = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let text = std::fs::read_to_string(entry.unwrap().path()).unwrap();
        for manifest in serde_saphyr::from_multiple::<Value>(&text).unwrap() {
            let name = manifest["metadata"]["name"].as_str().unwrap().to_owned();
            let dry = PatchParams { dry_run: true, ..PatchParams::apply("user").force() };
            world.attachments().patch(&name, &dry, &Patch::Apply(&manifest)).await.unwrap();
            samples += 1;
        }
    }
    assert!(samples > 0);
}
