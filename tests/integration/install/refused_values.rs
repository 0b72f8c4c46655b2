//! Values that the chart refuses, each with one sentence: what Helm would take, and the API server or the
//! program would not.

use acr_attach::settings::Arguments;
use clap::Args;
use serde_json::{Value, json};

use crate::install::rendering::{ID, chart_objects, find, image, merged};
use crate::support::programs::{output, template};

fn variable(name: &str) -> Value {
    json!({"name": name, "value": "x"})
}

fn spread(skew: u8) -> Value {
    json!({"maxSkew": skew, "topologyKey": "zone", "whenUnsatisfiable": "ScheduleAnyway"})
}

#[rstest::rstest]
#[case(json!({"serviceMonitor": {"enabled": true}, "podMonitor": {"enabled": true}}), "keep one")]
#[case(json!({"podDisruptionBudget": {"minAvailable": 2}}), "podDisruptionBudget.minAvailable is not less than replicaCount")]
#[case(json!({"leaderElection": {"enabled": false}}), "leaderElection.enabled is false: enable it")]
#[case(json!({"replicaCount": 1, "leaderElection": {"enabled": false}, "strategy": {"type": "RollingUpdate"}}), "strategy is set and leaderElection.enabled is false")]
#[case(json!({"azure": {"auth": "workloadIdentity"}}), "azure.auth is workloadIdentity and azure.clientId is empty")]
#[case(json!({"azure": {"auth": "workloadIdentity", "clientId": ID}}), "azure.tenantId is empty")]
#[case(json!({"azure": {"auth": "clientSecret", "clientId": ID}}), "azure.auth is clientSecret and azure.tenantId is empty")]
#[case(json!({"azure": {"auth": "clientSecret", "clientId": ID, "tenantId": ID}}), "azure.clientSecret.name is empty")]
#[case(json!({"azure": {"clientId": ID}}), "azure.auth is none: set azure.auth")]
#[case(json!({"azure": {"clientSecret": {"name": "x"}}}), "set azure.auth to clientSecret")]
#[case(json!({"caBundle": {"secret": "x", "configMap": "y"}}), "keep one")]
#[case(json!({"serviceAccount": {"create": false}}), "serviceAccount.name is empty")]
#[case(json!({"pullSecrets": {"names": ["*", "other"]}}), "* stands alone")]
#[case(json!({"image": {"repository": ""}}), "image.repository is empty")]
#[case(json!({"enabled": false}), "enabled is false and the chart is rendered")]
#[case(json!({"commonLabels": {"app.kubernetes.io/name": "x"}}), "commonLabels holds app.kubernetes.io/name, by which")]
#[case(json!({"podLabels": {"app.kubernetes.io/instance": "x"}}), "podLabels holds app.kubernetes.io/instance, by which")]
#[case(json!({"uninstallGuard": {"podLabels": {"app.kubernetes.io/component": "x"}}}), "uninstallGuard.podLabels holds app.kubernetes.io/component, by which")]
// What a list of the pod holds already.
#[case(json!({"azure": {"auth": "managedIdentity", "clientId": ID}, "extraEnv": [variable("AZURE_CLIENT_ID")]}), "extraEnv holds AZURE_CLIENT_ID, which the chart sets: leave it out")]
#[case(json!({"azure": {"auth": "managedIdentity"}, "extraEnv": [variable("AZURE_TOKEN_CREDENTIALS")]}), "extraEnv holds AZURE_TOKEN_CREDENTIALS, which")]
#[case(json!({"azure": {"auth": "workloadIdentity", "clientId": ID, "tenantId": ID}, "extraEnv": [variable("AZURE_TENANT_ID")]}), "extraEnv holds AZURE_TENANT_ID, which")]
#[case(json!({"azure": {"auth": "clientSecret", "clientId": ID, "tenantId": ID, "clientSecret": {"name": "x"}}, "extraEnv": [variable("AZURE_CLIENT_SECRET")]}), "extraEnv holds AZURE_CLIENT_SECRET, which")]
#[case(json!({"extraEnv": [variable("AZURE_FEDERATED_TOKEN_FILE")]}), "extraEnv holds AZURE_FEDERATED_TOKEN_FILE, which")]
#[case(json!({"extraEnv": [variable("POD_NAMESPACE")]}), "extraEnv holds POD_NAMESPACE, which")]
#[case(json!({"extraEnv": [variable("ACR_ATTACH_LOG_LEVEL")]}), "extraEnv holds ACR_ATTACH_LOG_LEVEL, which")]
#[case(json!({"extraEnv": [variable("NO_PROXY"), variable("NO_PROXY")]}), "extraEnv holds NO_PROXY twice: keep one")]
#[case(json!({"extraArgs": ["--log-level=debug"]}), "extraArgs holds --log-level, which the chart sets: leave it out")]
#[case(json!({"extraArgs": ["--concurrency", "1"]}), "extraArgs holds --concurrency, which")]
#[case(json!({"extraArgs": ["--acr-audience=x", "--acr-audience=y"]}), "extraArgs holds --acr-audience twice")]
#[case(json!({"extraVolumes": [{"name": "kube-api-access", "emptyDir": {}}]}), "extraVolumes holds kube-api-access, which the chart sets: give yours another name")]
#[case(json!({"caBundle": {"secret": "x"}, "extraVolumes": [{"name": "certificates", "emptyDir": {}}]}), "extraVolumes holds certificates, which")]
#[case(json!({"extraVolumes": [{"name": "x", "emptyDir": {}}, {"name": "x", "emptyDir": {}}]}), "extraVolumes holds x twice")]
#[case(json!({"extraVolumeMounts": [{"name": "x", "mountPath": "/var/run/secrets/azure/tokens/"}]}), "extraVolumeMounts holds /var/run/secrets/azure/tokens, which the chart sets: mount yours elsewhere")]
#[case(json!({"extraVolumeMounts": [{"name": "x", "mountPath": "/tmp"}, {"name": "y", "mountPath": "/tmp/"}]}), "extraVolumeMounts holds /tmp twice")]
#[case(json!({"hostAliases": [{"ip": "192.0.2.1", "hostnames": ["a"]}, {"ip": "192.0.2.1", "hostnames": ["b"]}]}), "hostAliases holds 192.0.2.1 twice")]
#[case(json!({"topologySpreadConstraints": [spread(1), spread(2)]}), "topologySpreadConstraints holds zone with ScheduleAnyway twice")]
// Those of the schema.
#[case(json!({"openshift": "perhaps"}), "/openshift")]
#[case(json!({"global": {"imagePullSecrets": [{}]}}), "/global/imagePullSecrets/0")]
#[case(json!({"global": {"imagePullSecrets": [{"name": ""}]}}), "/global/imagePullSecrets/0")]
#[case(json!({"global": {"imagePullSecrets": ["Upper"]}}), "/global/imagePullSecrets/0")]
#[case(json!({"networkPolicy": {"dnsPorts": ["53"]}}), "/networkPolicy/dnsPorts/0")]
#[case(json!({"networkPolicy": {"apiServerPorts": [70000]}}), "/networkPolicy/apiServerPorts/0")]
#[case(json!({"replicas": 3}), "additional properties 'replicas' not allowed")]
#[case(json!({"azure": {"clientID": ID}}), "additional properties 'clientID' not allowed")]
#[case(json!({"azure": {"clientSecret": "a-secret"}}), "/azure/clientSecret")]
#[case(json!({"azure": {"auth": "secret"}}), "/azure/auth")]
#[case(json!({"azure": {"clientId": "contoso"}}), "/azure/clientId")]
#[case(json!({"azure": {"cloud": "custom"}}), "/azure/cloud")]
#[case(json!({"replicaCount": "2"}), "/replicaCount")]
#[case(json!({"controller": {"resync": 30}}), "/controller/resync")]
#[case(json!({"controller": {"resync": "often"}}), "/controller/resync")]
#[case(json!({"pullSecrets": {"names": []}}), "/pullSecrets/names")]
#[case(json!({"pullSecrets": {"names": null}}), "/pullSecrets")]
#[case(json!({"pullSecrets": {"names": ["Upper"]}}), "/pullSecrets/names/0")]
#[case(json!({"pullSecrets": {"serviceAccounts": "default"}}), "/pullSecrets/serviceAccounts")]
#[case(json!({"image": {"digest": "latest"}}), "/image/digest")]
#[case(json!({"image": {"repository": "registry.example/acr-attach:0.1.0"}}), "/image/repository")]
#[case(json!({"image": {"repository": "registry.example:5000/acr-attach:0.1.0"}}), "/image/repository")]
#[case(json!({"policy": {"allowedRegistries": ["contoso"]}}), "/policy/allowedRegistries/0")]
#[case(json!({"policy": {"allowedRegistries": ["https://contoso.azurecr.io"]}}), "/policy/allowedRegistries/0")]
#[case(json!({"log": {"level": "loud"}}), "/log/level")]
#[case(json!({"extraArgs": "--x"}), "/extraArgs")]
#[case(json!({"rbac": {"aggregateToEdit": "true"}}), "/rbac/aggregateToEdit")]
#[tokio::test]
async fn values_that_cannot_work_are_refused(#[case] values: Value, #[case] sentence: &str) {
    let mut helm = template("acr-attach", "acr-attach-system", &[]);
    let output = output(&mut helm, &merged(image(), &values).to_string()).await;
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success(), "{values} is taken");
    assert!(error.contains(sentence), "{error}");
}

/// By which the chart knows a variable that repeats one of its flags.
#[tokio::test]
async fn the_variable_of_each_flag_is_named_after_it() {
    let objects = chart_objects(&json!({})).await;
    let pod = &find(&objects, "Deployment", "acr-attach")["spec"]["template"]["spec"];
    let command = Arguments::augment_args(clap::Command::new("run"));
    let mut flags = 0;
    for word in pod["containers"][0]["args"].as_array().unwrap() {
        let Some(flag) = word.as_str().unwrap().strip_prefix("--") else { continue };
        let flag = flag.split('=').next().unwrap();
        let argument = command.get_arguments().find(|it| it.get_long() == Some(flag)).unwrap();
        let variable = format!("ACR_ATTACH_{}", flag.replace('-', "_").to_uppercase());
        assert_eq!(argument.get_env().unwrap(), &*variable);
        flags += 1;
    }
    assert!(flags > 10, "{pod}");
}
