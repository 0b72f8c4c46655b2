//! The rules of the chart beside the audit log: the operator is refused nothing, and has no right that
//! it does not use.

use control_plane::audit::AuditEvent;
use serde_json::{Value, json};

use super::chart::{objects, read};
use crate::world::World;

/// One verb of one rule.
struct Right<'a> {
    role: &'a Value,
    rule: &'a Value,
    resource: &'a str,
    verb: &'a str,
}

impl Right<'_> {
    fn of(role: &Value) -> Vec<Right<'_>> {
        let list = |rule: &'_ Value, key: &str| rule[key].as_array().cloned().unwrap_or_default();
        let mut all = Vec::new();
        for rule in role["rules"].as_array().unwrap() {
            assert_eq!(list(rule, "apiGroups").len(), 1, "one group each: {rule}");
            for resource in rule["resources"].as_array().unwrap() {
                for verb in rule["verbs"].as_array().unwrap() {
                    let (resource, verb) = (resource.as_str().unwrap(), verb.as_str().unwrap());
                    all.push(Right { role, rule, resource, verb });
                }
            }
        }
        all
    }

    fn serves(&self, call: &AuditEvent, own: &str) -> bool {
        let resource = match call.subresource.as_str() {
            "" => call.resource.clone(),
            sub => format!("{}/{sub}", call.resource),
        };
        // What is applied and was not there is created: that right is asked for too.
        let creates = self.verb == "create" && call.verb == "patch" && call.code == Some(201);
        let namespace = self.role["metadata"]["namespace"].as_str();
        let namespace = namespace.map(|it| it.replace("acr-attach-system", own));
        self.rule["apiGroups"][0] == call.group.as_str()
            && self.resource == resource
            && (self.verb == call.verb || creates)
            && namespace.is_none_or(|it| it == call.namespace)
            && self.names(call)
    }

    /// Whether the call is about an object that the rule names. Lists and watches name it in their
    /// selector.
    fn names(&self, call: &AuditEvent) -> bool {
        let Some(names) = self.rule["resourceNames"].as_array() else { return true };
        names.iter().any(|it| {
            let name = it.as_str().unwrap();
            let selected = call.uri.split(['?', '&']);
            let mut selected = selected.filter_map(|it| it.strip_prefix("fieldSelector="));
            call.name == name || selected.any(|it| it == format!("metadata.name%3D{name}"))
        })
    }

    fn told(&self) -> String {
        let (role, names) = (&self.role["metadata"]["name"], &self.rule["resourceNames"]);
        format!("{role}: {} {} {names}", self.verb, self.resource)
    }
}

/// Does all that the operator can do.
async fn everything(world: &World) {
    world.apply("roles", world.spec()).await;
    world.until_ready("roles").await;
    let mut auto = world.spec();
    auto["method"] = "Auto".into();
    auto.as_object_mut().unwrap().remove("kubeletIdentity");
    world.apply("auto", auto).await;
    world.until_reason("auto", "Ready", "Undetermined").await;
    let apps = world.namespace_with("apps", json!({})).await;
    let more = world.team("more");
    world.apply("secrets", world.pull_spec(&json!({"names": [apps, more]}))).await;
    world.until_ready("secrets").await;
    world.until_pull_secrets_of(&apps, "default", &["acr-pull"]).await;
    world.namespace_with("more", json!({})).await;
    world.until_secret(&more, "acr-pull").await;
    world.apply("secrets", world.pull_spec(&json!({"names": [apps]}))).await;
    world.until_no_secret(&more, "acr-pull").await;
    for name in ["roles", "auto", "secrets"] {
        world.delete(name).await;
        world.until_gone(name).await;
    }
    world.until_no_secret(&apps, "acr-pull").await;
}

#[tokio::test]
async fn no_rule_is_unused_and_no_call_is_refused() {
    let mut world = World::with_pull_secrets(|_| {}).await;
    everything(&world).await;
    world.stop().await;
    let base = objects(&read("deploy/base/acr-attach.yaml"));
    let roles = base.iter().filter(|it| {
        let name = it["metadata"]["name"].as_str().unwrap();
        let of_operator = !name.ends_with("-view") && !name.ends_with("-edit");
        (it["kind"] == "ClusterRole" || it["kind"] == "Role") && of_operator
    });
    let rights: Vec<_> = roles.flat_map(Right::of).collect();
    let own = world.namespace();
    // The API server notes a call a moment after its answer.
    let unused = || {
        let calls = world.cluster.calls_by(&world.user()).unwrap();
        let unused = rights.iter().filter(|it| !calls.iter().any(|call| it.serves(call, &own)));
        unused.map(Right::told).collect::<Vec<_>>()
    };
    let noted = tokio::time::timeout(std::time::Duration::from_secs(10), async {
        world.until("all rights to be used", || async { unused().is_empty().then_some(()) }).await;
    });
    let _ = noted.await;
    let unused = unused();
    let calls = world.cluster.calls_by(&world.user()).unwrap();
    let refused: Vec<_> = calls.iter().filter(|it| matches!(it.code, Some(401 | 403))).collect();
    let counts = format!("{} unused rules, {} refused calls", unused.len(), refused.len());
    println!("{} rights: {counts}", rights.len());
    assert!(rights.len() >= 20, "{} rights were read", rights.len());
    assert_eq!(counts, "0 unused rules, 0 refused calls", "{unused:#?} {refused:#?}");
}
