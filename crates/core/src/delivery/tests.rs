//! What delivery does for an attachment.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::*;
use crate::api::{MethodInUse, RegistryAttachment};
use crate::pull_secrets::Endpoints;
use crate::snapshot::cluster::Namespace;
use crate::spec::policy::{AllowedNames, Policy};

mod reports;

const DELAY: SignedDuration = SignedDuration::from_hours(1);

fn now() -> Timestamp {
    "2026-11-22T12:00:00Z".parse().unwrap()
}

/// An attachment that names namespace `a`, and chooses those with label `team=x`.
fn object(change: &Value) -> RegistryAttachment {
    let mut object = json!({
        "apiVersion": "acr-attach.dev/v1alpha1", "kind": "RegistryAttachment",
        "metadata": {"name": "contoso", "uid": "mine"},
        "spec": {
            "registry": {"loginServer": "contoso.azurecr.io"}, "method": "PullSecret",
            "pullSecret": {
                "servicePrincipal": {"tenantId": "t", "clientId": "c"},
                "namespaces": {"names": ["a"], "selector": {"matchLabels": {"team": "x"}}},
                "serviceAccounts": ["default", "builder"],
            },
        },
    });
    merge(&mut object, change);
    serde_json::from_value(object).unwrap()
}

/// Applies a JSON merge patch (RFC 7386).
fn merge(into: &mut Value, change: &Value) {
    let Some(change) = change.as_object() else {
        *into = change.clone();
        return;
    };
    for (key, value) in change {
        if value.is_null() {
            into.as_object_mut().unwrap().remove(key);
        } else {
            merge(&mut into[key], value);
        }
    }
}

fn policy() -> Policy {
    Policy { account_names: AllowedNames::Any, ..Policy::default() }
}

fn facts() -> Facts {
    let login_server = "contoso.azurecr.io".parse().unwrap();
    let endpoints = Endpoints { login_server, regional: Vec::new(), mode: None };
    Facts { endpoints: Some(endpoints), ..Facts::default() }
}

fn served(change: &Value) -> Directive {
    directive(&object(change), &facts(), &policy())
}

fn namespace(name: &str, team: &str) -> Namespace {
    let labels = BTreeMap::from([("team".to_owned(), team.to_owned())]);
    Namespace { name: name.into(), labels, terminating: false, created: now() - DELAY * 2 }
}

#[test]
fn labels_never_mean_system_namespaces_and_names_do() {
    let chosen = |directive: &Directive, namespace: &Namespace| {
        let desired = directive.desired(namespace).unwrap();
        desired.secrets.unwrap().into_values().next().map(|it| it.named)
    };
    let all = served(&json!({}));
    let kube = json!({"spec": {"pullSecret": {"namespaces": {"names": ["kube-system"]}}}});
    assert_eq!(chosen(&all, &namespace("a", "y")), Some(true));
    assert_eq!(chosen(&all, &namespace("b", "x")), Some(false));
    assert_eq!(chosen(&all, &namespace("b", "y")), None);
    assert_eq!(chosen(&all, &namespace("kube-system", "x")), None);
    assert_eq!(chosen(&served(&kube), &namespace("kube-system", "x")), Some(true));
    let ending = Namespace { terminating: true, ..namespace("a", "x") };
    assert_eq!(chosen(&all, &ending), None, "nothing can be made there");
}

#[test]
fn only_a_deleted_object_removes_and_what_is_not_known_changes_nothing() {
    let deleted = json!({"metadata": {"deletionTimestamp": "2026-11-22T12:00:00Z"}});
    assert_eq!(served(&deleted), Directive::Remove);
    let all = namespace("a", "x");
    assert_eq!(Directive::Leave.desired(&all), None);
    for odd in [
        json!({"spec": {"method": "Auto"}}),
        json!({"spec": {"method": "Magic"}}),
        json!({"spec": {"pullSecret": {"secretName": "forbidden"}}}),
        json!({"spec": {"pullSecret": {"credential": "Passkey"}}}),
        json!({"spec": {"pullSecret": {"namespaces": {"selector": {"matchExpressions": [{"key": "a", "operator": "Is"}]}}}}}),
    ] {
        assert_eq!(served(&odd), Directive::Leave, "{odd}");
    }
    let decided = Facts { method: Some(MethodInUse::PullSecret), ..facts() };
    let auto = directive(&object(&json!({"spec": {"method": "Auto"}})), &decided, &policy());
    assert!(auto.chooses(&all));
    let removes = Directive::Remove.desired(&all).unwrap();
    assert_eq!(removes.secrets, Some(BTreeMap::new()));
}

#[test]
fn a_problem_elsewhere_in_the_spec_stops_nothing_and_a_forbidden_account_only_what_is_new() {
    for invalid in [
        json!({"spec": {"repositories": ["it's"]}}),
        json!({"spec": {"pullSecret": {"assignRole": true}}}),
        json!({"spec": {"kubeletIdentity": {"clusterResourceId": "x"}}}),
    ] {
        let directive = served(&invalid);
        assert!(directive.chooses(&namespace("a", "x")), "{invalid}");
        assert!(!directive.served().unwrap().only_renewals, "{invalid}");
    }
    let strict = Policy { account_names: "default".parse().unwrap(), ..policy() };
    let narrowed = directive(&object(&json!({})), &facts(), &strict);
    let narrowed = narrowed.served().unwrap();
    assert!(narrowed.only_renewals && narrowed.inputs.is_some());
    let none = Policy { secret_names: "other".parse().unwrap(), ..policy() };
    assert_eq!(directive(&object(&json!({})), &facts(), &none), Directive::Leave);
}

#[test]
fn entries_are_known_before_the_registry_and_secrets_are_not() {
    let unknown = directive(&object(&json!({})), &Facts::default(), &policy());
    let desired = unknown.desired(&namespace("a", "x")).unwrap();
    assert!(desired.accounts.include("builder") && desired.secrets.is_some());
    assert_eq!(desired.inputs, None);
}

#[test]
fn a_role_for_nodes_takes_the_place_of_pull_secrets_when_it_counts() {
    let role = json!({"spec": {
        "method": "KubeletIdentity",
        "registry": {"loginServer": null, "name": "contoso"},
    }});
    let at = Some(now());
    let directive = directive(&object(&role), &Facts { replaced_at: at, ..facts() }, &policy());
    let served = directive.served().unwrap();
    assert_eq!((&served.choice, served.replaced_at), (&None, at));
    assert!(served.inputs.is_some(), "what waits for its removal is renewed");
    assert!(directive.desired(&namespace("a", "x")).unwrap().grants_are_for_nodes);
}
