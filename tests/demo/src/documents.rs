//! README, the samples and the rights, held to what the demo does.

use std::{fs, path::PathBuf};

use azure_sim::{
    Model,
    model::{Cluster as AksCluster, Registry},
};
use serde_json::{Value, json};

use crate::{
    azure::{CLIENT_SECRET, PULLER, world},
    operator::{ACCOUNT, NAMESPACE, PULL_SECRET_NAMES},
    pull_secret::{LABEL, LABELLED, NAME, NAMED, SAMPLE, SECRET},
    rights::{FILES, rights},
};

/// The repository's root.
pub const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");

fn read(path: &str) -> String {
    fs::read_to_string(format!("{ROOT}/{path}")).unwrap()
}

pub fn objects(text: &str) -> Vec<Value> {
    serde_saphyr::from_multiple(text).unwrap()
}

pub fn samples() -> Vec<PathBuf> {
    let folder = fs::read_dir(format!("{ROOT}/deploy/samples")).unwrap();
    folder.map(|it| it.unwrap().path()).collect()
}

#[test]
fn the_samples_name_what_azure_holds() {
    let (model, _) = world("https://issuer.example", "");
    for path in samples() {
        for attachment in objects(&fs::read_to_string(&path).unwrap()) {
            let named = named(&attachment["spec"]);
            assert!(!named.is_empty(), "{} names nothing", path.display());
            for (field, value) in named {
                // ARM writes resourcegroups in ids of clusters, and compares without regard
                // to case.
                let held = held(&model, field);
                let is_held = held.iter().any(|it| it.eq_ignore_ascii_case(value));
                assert!(is_held, "{}: {field}: {value} is none of {held:?}", path.display());
            }
        }
    }
}

/// The fields that name something in Azure.
const NAMING: [&str; 7] = [
    "/registry/resourceId",
    "/registry/name",
    "/registry/loginServer",
    "/kubeletIdentity/clusterResourceId",
    "/pullSecret/servicePrincipal/tenantId",
    "/pullSecret/servicePrincipal/clientId",
    "/repositories/0",
];

fn named(spec: &Value) -> Vec<(&'static str, &str)> {
    NAMING.iter().filter_map(|it| Some((*it, spec.pointer(it)?.as_str()?))).collect()
}

/// What may stand there.
fn held(model: &Model, field: &str) -> Vec<String> {
    match field {
        "/registry/resourceId" => model.registries.iter().map(Registry::id).collect(),
        "/registry/name" => model.registries.iter().map(|it| it.name.clone()).collect(),
        "/registry/loginServer" => {
            model.registries.iter().map(|it| it.login_server.clone()).collect()
        }
        "/kubeletIdentity/clusterResourceId" => model.clusters.iter().map(AksCluster::id).collect(),
        "/pullSecret/servicePrincipal/tenantId" => {
            model.tenants.iter().map(|it| it.tenant_id.clone()).collect()
        }
        "/pullSecret/servicePrincipal/clientId" => vec![PULLER.to_owned()],
        // A name, or all below the same folder.
        _ => {
            let all = model.registries.iter().flat_map(|it| &it.repositories);
            let name = |name: &str| name.split_once('/').map(|it| format!("{}/*", it.0));
            all.flat_map(|it| name(&it.name).into_iter().chain([it.name.clone()])).collect()
        }
    }
}

#[test]
fn who_types_the_readme_types_a_good_client_secret() {
    let readme = read("README.md");
    let typed = format!("--from-literal=clientSecret={CLIENT_SECRET}\n");
    assert!(readme.contains(&typed), "README does not have {typed}");
}

#[test]
fn the_pull_secret_of_the_demo_is_that_of_the_quick_start() {
    let [shown] = &objects(&read(SAMPLE))[..] else { panic!() };
    assert_eq!(shown.pointer("/spec/pullSecret/secretName"), None, "{SECRET} is the default");
    assert_eq!(shown["metadata"]["name"], NAME);
    let namespaces = &shown["spec"]["pullSecret"]["namespaces"];
    let (key, value) = LABEL;
    let expected = json!({"names": [NAMED], "selector": {"matchLabels": {key: value}}});
    assert_eq!(*namespaces, expected);
}

#[test]
fn the_readme_types_the_names_of_the_demo() {
    let readme = read("README.md");
    let (key, value) = LABEL;
    for typed in [
        format!("kubectl label namespace {LABELLED} {key}={value}\n"),
        format!("kubectl delete namespace {NAMED} {LABELLED}\n"),
        format!("kubectl delete registryattachment contoso {NAME}\n"),
        format!("kubectl apply -f {SAMPLE}\n"),
        format!("kubectl describe secret {SECRET} "),
    ] {
        assert!(readme.contains(&typed), "README does not have {typed}");
    }
}

#[test]
fn the_readme_names_every_sample() {
    let readme = read("README.md");
    for path in samples() {
        let name = path.file_name().unwrap().to_str().unwrap();
        assert!(readme.contains(&format!("deploy/samples/{name}")), "README misses {name}");
    }
}

#[test]
fn a_sample_with_a_name_of_its_own_tells_to_allow_it() {
    for path in samples() {
        let text = fs::read_to_string(&path).unwrap();
        let flag = text.split("--pull-secret-names=").nth(1).unwrap_or_default();
        let allowed: Vec<_> = flag.split([',', '.', ' ', '\n']).collect();
        for attachment in objects(&text) {
            let name = attachment.pointer("/spec/pullSecret/secretName");
            let name = name.map_or("acr-pull", |it| it.as_str().unwrap());
            let is_told = name == "acr-pull" || allowed.contains(&name);
            assert!(is_told, "{} does not tell to allow {name}", path.display());
        }
    }
}

#[test]
fn the_operator_has_rights_on_each_name_that_it_allows_and_no_fence_in_the_way() {
    let texts: Vec<_> = FILES.iter().map(|it| read(it)).collect();
    let rights = rights(&texts).unwrap();
    let items = rights["items"].as_array().unwrap();
    let find = |kind: &str, name: &str| {
        let mut all = items.iter();
        all.find(|it| it["kind"] == kind && it["metadata"]["name"] == name).unwrap()
    };
    find("Namespace", NAMESPACE);
    find("ServiceAccount", ACCOUNT);
    let allowed: Vec<_> = PULL_SECRET_NAMES.split(',').collect();
    let rules = find("ClusterRole", "acr-attach")["rules"].as_array().unwrap();
    let rule = rules.iter().find(|it| it["resources"] == json!(["secrets"])).unwrap();
    assert_eq!(rule["resourceNames"], json!(allowed));
    for kind in ["acr-attach-secrets", "acr-attach-service-accounts"] {
        let fence = find("ValidatingAdmissionPolicy", kind).to_string();
        assert!(fence.contains(&json!(allowed).to_string().replace('"', "\\\"")), "{fence}");
    }
}
