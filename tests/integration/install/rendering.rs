//! The Helm chart as helm reads it: what it renders, what it refuses, and what is generated of it.

use std::collections::BTreeSet;

use acr_attach::settings::{Arguments, Settings};
use clap::{Args, FromArgMatches};
use serde_json::{Value, json};

use crate::support::programs::{command, rendered, root, said};

pub const ID: &str = "c0000000-0000-4000-8000-000000000001";
const CHART: &str = "charts/acr-attach";

pub fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap()
}

/// The files of values that stand for ways to install it.
pub fn ways() -> Vec<String> {
    let folder = std::fs::read_dir(root().join(CHART).join("ci")).unwrap();
    let mut files: Vec<_> =
        folder.map(|it| it.unwrap().path().to_str().unwrap().to_owned()).collect();
    files.sort();
    assert!(files.len() >= 12, "{files:?}");
    files
}

/// What the chart renders with one of those files, and other values over it.
pub async fn objects_of(way: &str, namespace: &str, values: &Value) -> Vec<Value> {
    objects(&text_of(way, namespace, values).await)
}

/// The same as text.
pub async fn text_of(way: &str, namespace: &str, values: &Value) -> String {
    let monitoring = ["--values", way, "--api-versions", "monitoring.coreos.com/v1"];
    rendered("acr-attach", namespace, values, &monitoring).await
}

pub fn objects(text: &str) -> Vec<Value> {
    let mut all: Vec<Value> = serde_saphyr::from_multiple(text).unwrap();
    all.retain(|it| !it.is_null());
    all
}

/// The least that must be given.
pub fn image() -> Value {
    json!({"image": {"repository": "registry.example/acr-attach"}})
}

/// Values with others over them, as Helm merges them.
pub fn merged(mut base: Value, over: &Value) -> Value {
    merge(&mut base, over);
    base
}

fn merge(base: &mut Value, over: &Value) {
    match (base, over) {
        (Value::Object(base), Value::Object(over)) => {
            for (key, value) in over {
                merge(base.entry(key).or_insert(Value::Null), value);
            }
        }
        (base, over) => *base = over.clone(),
    }
}

/// What it renders with the least and those values.
pub async fn chart_objects(values: &Value) -> Vec<Value> {
    objects(&rendered("acr-attach", "acr-attach-system", &merged(image(), values), &[]).await)
}

pub fn find<'a>(objects: &'a [Value], kind: &str, name: &str) -> &'a Value {
    let found = objects.iter().find(|it| it["kind"] == kind && it["metadata"]["name"] == name);
    found.unwrap_or_else(|| panic!("there is no {kind} {name}"))
}

#[tokio::test]
async fn helm_finds_no_fault_with_it() {
    for way in ways() {
        said(command("helm").args(["lint", "--strict", CHART, "--values", &way]), "").await;
    }
}

#[tokio::test]
async fn it_makes_no_namespace_no_secret_and_no_attachment() {
    for way in ways() {
        let objects = objects_of(&way, "somewhere", &json!({})).await;
        let kinds: BTreeSet<_> = objects.iter().map(|it| it["kind"].as_str().unwrap()).collect();
        for kind in ["Namespace", "Secret", "RegistryAttachment"] {
            assert!(!kinds.contains(kind), "{way} renders a {kind}");
        }
        assert!(kinds.contains("Deployment"), "{kinds:?}");
        for it in &objects {
            let labels = &it["metadata"]["labels"];
            assert_eq!(labels["app.kubernetes.io/instance"], "acr-attach", "{way}: {it}");
        }
    }
}

/// The rules that are about these, by role.
fn rules(objects: &[Value], resource: &str) -> Vec<(String, Value)> {
    let roles = objects.iter().filter(|it| it["kind"] == "ClusterRole" || it["kind"] == "Role");
    let mut found = Vec::new();
    for role in roles {
        for rule in role["rules"].as_array().unwrap() {
            assert!(!rule.to_string().contains(r#""*""#), "{role} holds a wildcard");
            if rule["resources"].as_array().unwrap().iter().any(|it| it == resource) {
                found.push((role["metadata"]["name"].as_str().unwrap().to_owned(), rule.clone()));
            }
        }
    }
    found
}

#[tokio::test]
async fn without_pull_secrets_there_is_no_right_on_secrets() {
    let objects = chart_objects(&json!({"pullSecrets": {"enabled": false}})).await;
    for resource in ["secrets", "serviceaccounts"] {
        assert_eq!(rules(&objects, resource), []);
    }
    let [(_, namespaces)] = &rules(&objects, "namespaces")[..] else { panic!() };
    assert_eq!(
        (&namespaces["resourceNames"], &namespaces["verbs"]),
        (&json!(["kube-system"]), &json!(["get"]))
    );
    let default = chart_objects(&json!({})).await;
    assert_eq!(rules(&default, "secrets").len(), 2, "one by name, one in the operator's namespace");
}

#[tokio::test]
async fn rights_are_for_the_names_that_are_given() {
    let given = json!({"names": ["acr-pull", "team"], "serviceAccounts": ["default", "builder"]});
    let objects = chart_objects(&json!({"pullSecrets": given})).await;
    for (resource, key, all) in [("secrets", "names", 2), ("serviceaccounts", "serviceAccounts", 1)]
    {
        let rules = rules(&objects, resource);
        let (_, rule) = rules.iter().find(|(role, _)| role == "acr-attach").unwrap();
        assert_eq!(rule["resourceNames"], given[key]);
        assert_eq!(rules.len(), all);
    }
    let any = json!({"pullSecrets": {"names": ["*"], "serviceAccounts": []}});
    let objects = chart_objects(&any).await;
    let secrets = rules(&objects, "secrets");
    let (_, rule) = secrets.iter().find(|(role, _)| role == "acr-attach").unwrap();
    assert_eq!(rule["resourceNames"], Value::Null);
    assert_eq!(rules(&objects, "serviceaccounts"), [], "no name is no right");
}

/// What the operator makes of a rendered Deployment: the flags and variables in it.
fn settings(objects: &[Value], deployment: &str) -> Settings {
    let pod = &find(objects, "Deployment", deployment)["spec"]["template"]["spec"];
    let container = &pod["containers"][0];
    let command = Arguments::augment_args(clap::Command::new("run"));
    let words = container["args"].as_array().unwrap().iter().map(|it| it.as_str().unwrap());
    let matches = command.try_get_matches_from(words).unwrap();
    let arguments = Arguments::from_arg_matches(&matches).unwrap();
    let variable = |name: &str| {
        let mut env = container["env"].as_array().unwrap().iter();
        let found = env.find(|it| it["name"] == name)?;
        // What is read from elsewhere is something.
        Some(found["value"].as_str().unwrap_or("from-elsewhere").to_owned())
    };
    Settings::resolve(&arguments, variable, "unused").unwrap()
}

#[rstest::rstest]
#[case("none", true, "nobody")]
#[case("none", false, "nobody")]
#[case(
    "workloadIdentity",
    true,
    "client c0000000-0000-4000-8000-000000000001 of tenant c0000000-0000-4000-8000-000000000001 with the federated token in /var/run/secrets/azure/tokens/azure-identity-token"
)]
#[case(
    "workloadIdentity",
    false,
    "client c0000000-0000-4000-8000-000000000001 of tenant c0000000-0000-4000-8000-000000000001 with the federated token in /var/run/secrets/azure/tokens/azure-identity-token"
)]
#[case("managedIdentity", true, "managed identity c0000000-0000-4000-8000-000000000001")]
#[case("managedIdentity", false, "managed identity c0000000-0000-4000-8000-000000000001")]
#[case(
    "clientSecret",
    true,
    "client c0000000-0000-4000-8000-000000000001 of tenant c0000000-0000-4000-8000-000000000001 with a client secret"
)]
#[case(
    "clientSecret",
    false,
    "client c0000000-0000-4000-8000-000000000001 of tenant c0000000-0000-4000-8000-000000000001 with a client secret"
)]
#[tokio::test]
async fn the_operator_is_who_the_values_say(
    #[case] auth: &str,
    #[case] federated: bool,
    #[case] identity: &str,
) {
    let mut azure = json!({"auth": auth, "federatedToken": federated});
    if auth != "none" {
        azure["clientId"] = ID.into();
        azure["tenantId"] = ID.into();
    }
    if auth == "clientSecret" {
        azure["clientSecret"] = json!({"name": "identity"});
    }
    let objects = chart_objects(&json!({"azure": azure})).await;
    let settings = settings(&objects, "acr-attach");
    assert_eq!(settings.identity.to_string(), identity);
    let pod = &find(&objects, "Deployment", "acr-attach")["spec"]["template"]["spec"];
    let token =
        pod["volumes"].as_array().unwrap().iter().find(|it| it["name"] == "azure-identity-token");
    let has_token = federated || auth == "workloadIdentity";
    assert_eq!(settings.token_file.is_some(), has_token);
    let source = token.map(|it| it["projected"]["sources"][0]["serviceAccountToken"].clone());
    let expected = json!({"audience": "api://AzureADTokenExchange", "expirationSeconds": 3600, "path": "azure-identity-token"});
    assert_eq!(source, has_token.then_some(expected));
}

#[tokio::test]
async fn the_operator_reads_every_value() {
    let all = ways().into_iter().find(|it| it.ends_with("everything-values.yaml")).unwrap();
    let objects = objects_of(&all, "acr-attach-system", &json!({})).await;
    let settings = settings(&objects, "registries");
    assert_eq!(settings.attachment_selector, "team in (a,b), tier!=x");
    assert_eq!(settings.acr_audience.as_deref(), Some("https://containerregistry.azure.net"));
    assert!(settings.policy.secret_names.listed().is_none());
    assert!(settings.policy.account_names.listed().is_none());
    assert_eq!(settings.subscription.unwrap().to_string(), "50000000-0000-4000-8000-000000000001");
    assert_eq!(settings.election.unwrap().lease, "registries-lead");
    for (kind, name) in [
        ("ServiceMonitor", "registries"),
        ("PrometheusRule", "registries"),
        ("Service", "registries-metrics"),
        ("NetworkPolicy", "registries"),
        ("ConfigMap", "registries-dashboard"),
    ] {
        find(&objects, kind, name);
    }
    let rule = &find(&objects, "PrometheusRule", "registries")["spec"];
    assert_eq!(
        *rule,
        serde_saphyr::from_str::<Value>(&read("charts/acr-attach/files/alerts.yaml")).unwrap()
    );
    let dashboard = &find(&objects, "ConfigMap", "registries-dashboard")["data"]["acr-attach.json"];
    let dashboard: Value = serde_json::from_str(dashboard.as_str().unwrap()).unwrap();
    assert_eq!(
        dashboard,
        serde_json::from_str::<Value>(&read("charts/acr-attach/files/dashboard.json")).unwrap()
    );

    let default = self::settings(&chart_objects(&json!({})).await, "acr-attach");
    let policy = acr_attach_core::spec::policy::Policy::default();
    assert_eq!(default.policy.secret_names.listed(), policy.secret_names.listed());
    assert_eq!(default.policy.account_names.listed(), policy.account_names.listed());
}

#[tokio::test]
async fn one_pod_has_no_disruption_budget() {
    let objects = chart_objects(&json!({"replicaCount": 1})).await;
    assert!(!objects.iter().any(|it| it["kind"] == "PodDisruptionBudget"));
    find(&chart_objects(&json!({})).await, "PodDisruptionBudget", "acr-attach");
}

#[tokio::test]
async fn what_is_generated_is_as_it_would_be_generated() {
    let advice = "run `make chart`";
    let copy = read("charts/acr-attach/files/registryattachments.yaml");
    assert_eq!(copy, read("crds/registryattachments.yaml"), "{advice}");
    let defaults = read("charts/acr-attach/files/values.yaml");
    assert_eq!(defaults, read("charts/acr-attach/values.yaml"), "{advice}");
    let version = env!("CARGO_PKG_VERSION");
    let chart: Value = serde_saphyr::from_str(&read("charts/acr-attach/Chart.yaml")).unwrap();
    assert_eq!((&chart["version"], &chart["appVersion"]), (&version.into(), &version.into()));

    let helm = crate::support::programs::path("helm");
    let render = tokio::process::Command::new(root().join("deploy/render")).arg(&helm).output();
    let base = String::from_utf8(render.await.unwrap().stdout).unwrap();
    assert!(base == read("deploy/base/acr-attach.yaml"), "deploy/base is old: {advice}");

    let mut docs = command("helm-docs");
    docs.args(["--dry-run", "--log-level", "warning", "--sort-values-order", "file"]);
    let readme = said(docs.args(["--chart-search-root", "charts"]), "").await;
    let now = read("charts/acr-attach/README.md");
    assert!(readme.trim() == now.trim(), "the chart's README is old: {advice}");
}
