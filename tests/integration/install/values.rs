//! Values as clusters, parent charts and people's files hand them in: labels that stand twice, names where
//! objects are wanted, ports of the cluster's own, and sections that are left empty.

use std::path::Path;

use serde_json::{Map, Value, json};

use crate::install::rendering::{
    chart_objects, find, image, merged, objects, objects_of, read, text_of, ways,
};
use crate::support::programs::{command, output, rendered, root, said};

const CHART: &str = "charts/acr-attach";

/// One of the files of values.
fn way(name: &str) -> String {
    let file = format!("/{name}-values.yaml");
    ways().into_iter().find(|it| it.ends_with(&file)).unwrap()
}

/// Whether kustomize takes it, as Flux's post-renderers do.
async fn kustomized(text: &str) -> Result<(), String> {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("all.yaml"), text).unwrap();
    std::fs::write(folder.path().join("kustomization.yaml"), "resources: [all.yaml]\n").unwrap();
    let output = output(command("kubectl").arg("kustomize").arg(folder.path()), "").await;
    let error = String::from_utf8(output.stderr).unwrap();
    if output.status.success() { Ok(()) } else { Err(error) }
}

#[tokio::test]
async fn no_key_stands_twice() {
    let twice = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x}\ndata:\n  a: b\n  a: c\n";
    let error = serde_saphyr::from_multiple::<Value>(twice).unwrap_err().to_string();
    assert!(error.contains("duplicate mapping key"), "{error}");
    let error = kustomized(twice).await.unwrap_err();
    assert!(error.contains("already set") || error.contains("already defined"), "{error}");
    for way in ways() {
        let text = text_of(&way, "somewhere", &json!({})).await;
        assert!(!objects(&text).is_empty());
        kustomized(&text).await.unwrap_or_else(|error| panic!("{way}: {error}"));
    }
}

#[tokio::test]
async fn labels_of_the_user_win() {
    let objects = objects_of(&way("labels"), "somewhere", &json!({})).await;
    let label = |kind: &str, name: &str, key: &str| {
        find(&objects, kind, name)["metadata"]["labels"][key].clone()
    };
    for it in &objects {
        let labels = &it["metadata"]["labels"];
        assert_eq!(labels["app.kubernetes.io/version"], "2026.11", "{it}");
        assert_eq!(labels["helm.sh/chart"], "platform", "{it}");
    }
    let part_of = "app.kubernetes.io/part-of";
    assert_eq!(label("Deployment", "acr-attach", part_of), "platform");
    assert_eq!(label("ServiceMonitor", "acr-attach", part_of), "monitoring");
    assert_eq!(label("ServiceAccount", "acr-attach", "team"), "accounts");
    // What an object is found by is the chart's business.
    assert_eq!(label("ConfigMap", "acr-attach-dashboard", "grafana_dashboard"), "1");
    let aggregate = "rbac.authorization.k8s.io/aggregate-to-view";
    assert_eq!(label("ClusterRole", "acr-attach-view", aggregate), "true");
    let pod = &find(&objects, "Deployment", "acr-attach")["spec"]["template"]["metadata"];
    assert_eq!((&pod["labels"][part_of], &pod["labels"]["team"]), (&"pods".into(), &"pods".into()));
}

#[tokio::test]
async fn everything_that_selects_pods_finds_them() {
    for way in ways() {
        let objects = objects_of(&way, "somewhere", &json!({})).await;
        let of = |kind: &str| objects.iter().find(|it| it["kind"] == kind);
        let labels = |owner: &Value| owner["spec"]["template"]["metadata"]["labels"].clone();
        let deployment = of("Deployment").unwrap();
        let pod = labels(deployment);
        let selects = |selector: &Value, labels: &Value| {
            let mut wanted = selector.as_object().unwrap().iter();
            wanted.all(|(key, value)| labels[key] == *value)
        };
        let spread = &deployment["spec"]["template"]["spec"]["topologySpreadConstraints"];
        let by_default = spread.as_array().into_iter().flatten().map(|it| &it["labelSelector"]);
        for kind in ["Deployment", "PodDisruptionBudget", "PodMonitor"] {
            let Some(it) = of(kind) else { continue };
            assert!(selects(&it["spec"]["selector"]["matchLabels"], &pod), "{way}: {kind}");
        }
        for it in by_default.filter_map(|it| it.get("matchLabels")) {
            assert!(selects(it, &pod), "{way}: spread");
        }
        if let Some(service) = of("Service") {
            assert!(selects(&service["spec"]["selector"], &pod), "{way}: Service");
        }
        if let Some(monitor) = of("ServiceMonitor") {
            let service = &of("Service").unwrap()["metadata"]["labels"];
            assert!(selects(&monitor["spec"]["selector"]["matchLabels"], service), "{way}");
        }
        let guard = of("Job").map(labels);
        if let Some(policy) = of("NetworkPolicy") {
            let selector = &policy["spec"]["podSelector"]["matchLabels"];
            assert!(selects(selector, &pod) && selects(selector, &guard.unwrap()), "{way}");
        } else if let (Some(guard), Some(budget)) = (guard, of("PodDisruptionBudget")) {
            assert!(!selects(&budget["spec"]["selector"]["matchLabels"], &guard), "{way}");
        }
    }
}

#[tokio::test]
async fn image_pull_secrets_are_names_or_objects() {
    let expected = json!([{"name": "regcred"}, {"name": "mirror"}]);
    let objects = objects_of(&way("image-pull-secrets"), "somewhere", &json!({})).await;
    for (kind, name) in [("Deployment", "acr-attach"), ("Job", "acr-attach-uninstall-guard")] {
        let pod = &find(&objects, kind, name)["spec"]["template"]["spec"];
        assert_eq!(pod["imagePullSecrets"], expected, "{kind}");
    }
}

/// Whether pods may connect to any host at that port.
fn is_open(policy: &Value, port: u16, protocol: &str) -> bool {
    policy["spec"]["egress"].as_array().unwrap().iter().any(|rule| {
        let ports = rule["ports"].as_array().map_or(&[][..], Vec::as_slice);
        rule.get("to").is_none()
            && (ports.is_empty()
                || ports.iter().any(|it| {
                    it["port"] == port && it["protocol"].as_str().unwrap_or("TCP") == protocol
                }))
    })
}

#[rstest::rstest]
#[case(json!({}), &[53, 5353], &[53, 443, 5353, 6443, 6444, 8443, 16443])]
#[case(json!({"dnsPorts": [1053], "apiServerPorts": [7443]}), &[1053], &[443, 1053, 7443])]
// A list without ports opens none, not all of them.
#[case(json!({"dnsPorts": [], "apiServerPorts": []}), &[], &[443])]
#[tokio::test]
async fn a_network_policy_opens_the_ports_of_the_cluster(
    #[case] values: Value,
    #[case] udp: &[u16],
    #[case] tcp: &[u16],
) {
    let mut values = json!({"networkPolicy": values});
    values["networkPolicy"]["enabled"] = true.into();
    let objects = chart_objects(&values).await;
    let policy = find(&objects, "NetworkPolicy", "acr-attach");
    for port in [22, 53, 80, 443, 1053, 5353, 6443, 6444, 7443, 8443, 10250, 16443] {
        assert_eq!(is_open(policy, port, "UDP"), udp.contains(&port), "UDP {port}");
        assert_eq!(is_open(policy, port, "TCP"), tcp.contains(&port), "TCP {port}");
    }
}

/// A chart that has this one as a dependency, as umbrellas have it.
async fn umbrella(folder: &Path) {
    let dependency =
        json!({"name": "acr-attach", "version": "*", "condition": "acr-attach.enabled"});
    let chart = json!({"apiVersion": "v2", "name": "platform", "version": "1.0.0", "dependencies": [dependency]});
    std::fs::write(folder.join("Chart.yaml"), chart.to_string()).unwrap();
    let charts = folder.join("charts");
    let mut package = command("helm");
    said(package.args(["package", CHART, "--destination"]).arg(charts), "").await;
}

#[tokio::test]
async fn a_parent_chart_installs_it_by_its_condition() {
    let folder = tempfile::tempdir().unwrap();
    umbrella(folder.path()).await;
    let given: Value = serde_saphyr::from_str(&read(&way("flux-umbrella"))).unwrap();
    for (enabled, is_there) in [(Some(true), true), (None, true), (Some(false), false)] {
        let mut own = given.clone();
        let shared = own.as_object_mut().unwrap().remove("global").unwrap();
        own.as_object_mut().unwrap().remove("enabled");
        if let Some(enabled) = enabled {
            own["enabled"] = enabled.into();
        }
        // Sections that a parent leaves empty.
        own["caBundle"] = Value::Null;
        own["leaderElection"] = Value::Null;
        let values = json!({"global": shared, "acr-attach": own});
        let mut helm = command("helm");
        helm.args(["template", "platform"]).arg(folder.path());
        helm.args(["--kube-version", "1.36", "--values", "-"]);
        let text = said(&mut helm, &values.to_string()).await;
        let objects = objects(&text);
        assert_eq!(!objects.is_empty(), is_there, "{enabled:?}");
        if is_there {
            let deployment = find(&objects, "Deployment", "acr-attach");
            let pod = &deployment["spec"]["template"]["spec"];
            assert_eq!(pod["imagePullSecrets"], json!([{"name": "regcred"}]));
            let labels = &deployment["metadata"]["labels"];
            assert_eq!(labels["app.kubernetes.io/part-of"], "platform");
            kustomized(&text).await.unwrap();
        }
    }
}

/// Every section of the chart's values, however deep, with null in the place of each key. A section is a map
/// whose keys are the chart's.
fn emptied(section: &Map<String, Value>) -> Value {
    let free = ["resources", "podSecurityContext", "securityContext", "nodeSelector"];
    let mut empty = json!({});
    for (key, value) in section {
        empty[key] = match value {
            Value::Object(map) if !map.is_empty() && !free.contains(&&**key) => emptied(map),
            _ => Value::Null,
        };
    }
    empty
}

#[tokio::test]
async fn a_section_that_is_left_empty_is_as_absent() {
    let defaults: Value = serde_saphyr::from_str(&read("charts/acr-attach/values.yaml")).unwrap();
    let default = chart_objects(&json!({})).await;

    let file = way("empty-sections");
    let empty: Value = serde_saphyr::from_str(&read(&file)).unwrap();
    for key in defaults.as_object().unwrap().keys() {
        let value = empty.get(key).unwrap_or_else(|| panic!("{file} leaves out {key}"));
        assert!(value.is_null() || key == "image", "{file} gives {key}");
    }
    let rendered_empty = objects(&rendered("acr-attach", "acr-attach-system", &empty, &[]).await);
    assert_eq!(rendered_empty, default);

    let mut deep = emptied(defaults.as_object().unwrap());
    // These two must be given: nobody gets rights by a list that was left empty.
    deep["pullSecrets"] = defaults["pullSecrets"].clone();
    // Here a null takes one default away, as it does in Kubernetes' own maps.
    let guard = deep["uninstallGuard"].as_object_mut().unwrap();
    guard.retain(|key, _| !key.starts_with("pod"));
    assert_eq!(chart_objects(&merged(deep, &image())).await, default);
}

#[tokio::test]
async fn a_null_takes_one_default_away() {
    let values = json!({
        "podSecurityContext": {"runAsUser": null},
        "resources": {"limits": null},
        "nodeSelector": {"kubernetes.io/os": null},
    });
    let objects = chart_objects(&values).await;
    let pod = &find(&objects, "Deployment", "acr-attach")["spec"]["template"]["spec"];
    assert_eq!(pod["securityContext"].get("runAsUser"), None);
    assert_eq!(pod["securityContext"]["runAsGroup"], 65532);
    let resources = &pod["containers"][0]["resources"];
    assert_eq!((resources.get("limits"), &resources["requests"]["cpu"]), (None, &"10m".into()));
    assert_eq!(pod.get("nodeSelector"), None);
}

#[test]
fn every_template_begins_with_the_defaults() {
    let folder = std::fs::read_dir(root().join(CHART).join("templates")).unwrap();
    let mut templates = 0;
    for path in folder.map(|it| it.unwrap().path()) {
        if path.extension().is_some_and(|it| it != "tpl") {
            let text = std::fs::read_to_string(&path).unwrap();
            let first = r#"{{- $_ := include "acr-attach.defaults" . "#;
            assert!(text.starts_with(first), "{}", path.display());
            templates += 1;
        }
    }
    assert!(templates > 10);
}
