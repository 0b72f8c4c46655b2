//! The texts about the findings.

mod challenge;
mod credential;
mod manifest;
mod missing;
mod network;

use std::ops::ControlFlow;

use acr_attach_core::pull_secrets::TOKEN_USER;
use expect_test::{Expect, expect};

use super::challenge::{Challenge, challenge};
use super::credential::{CredentialSource, Findings, Missing, NodeFault, Outcome, Trial};
use super::manifest::{Manifest, manifest, no_image};
use super::network::{Resolved, name, tls};
use super::*;

const CLIENT: &str = "c0000000-0000-4000-8000-000000000001";
const OBJECT: &str = "0b000000-0000-4000-8000-000000000001";

fn target(image: &str) -> Target {
    let registry = "contoso.azurecr.io".parse().unwrap();
    let image = (!image.is_empty()).then(|| Image::of(&registry, image).unwrap());
    let pull_secrets = PullSecretSource::ServiceAccount("default".into());
    let platforms = vec![Platform::linux("x86_64")];
    Target { registry, image, platforms, namespace: "apps".into(), pull_secrets }
}

fn pull_secret(user: &str, outcome: Outcome) -> Trial {
    Trial {
        source: CredentialSource::PullSecret { secret: "acr-pull".into(), user: user.into() },
        outcome,
    }
}

fn node(outcome: Outcome) -> Trial {
    Trial { source: CredentialSource::NodeIdentity { object_id: OBJECT.into() }, outcome }
}

fn anonymous(outcome: Outcome) -> Trial {
    Trial { source: CredentialSource::Anonymous, outcome }
}

fn refused() -> Outcome {
    Outcome::Refused { expired: None, wrong_secret: false, flaw: None }
}

fn unreachable() -> Missing {
    Missing::Node(NodeFault::Unreachable("no answer within 3 s".into()))
}

/// The whole report if the registry can be reached.
fn report(target: &Target, found: &Findings, image: &Manifest) -> Report {
    fn steps(
        report: &mut Report,
        target: &Target,
        found: &Findings,
        image: &Manifest,
    ) -> ControlFlow<()> {
        let address = "10.99.0.1".parse().unwrap();
        report.add(name(target, Ok(Resolved::Here(vec![address]))))?;
        report.add(tls(target, None, Ok(())))?;
        let realm = format!("https://{}/oauth2/token", target.registry);
        report.add(challenge(target, Ok(&bearer(&realm))).unwrap().0)?;
        report.set_credential(found.working_source().cloned());
        report.add(found.credential(target))?;
        report.add(found.token(target))?;
        report.add(target.image.as_ref().map_or_else(no_image, |it| manifest(target, it, image)))
    }
    let mut report = Report::new(target.clone());
    let _ = steps(&mut report, target, found, image);
    report.finish()
}

fn bearer(realm: &str) -> Challenge {
    let authenticate = Some(format!("Bearer realm=\"{realm}\",service=\"contoso.azurecr.io\""));
    Challenge { status: 401, authenticate, ..Challenge::default() }
}

fn check(image: &str, found: &Findings, code: u8, expected: &Expect) {
    let report = report(&target(image), found, &Manifest::Found(None));
    expected.assert_eq(&(report.text() + "\n"));
    assert_eq!(report.exit_code(), code);
}

#[test]
fn a_pull_secret_that_works_is_named() {
    let found = Findings {
        missing: vec![Missing::NoSecret("former".into())],
        trials: vec![pull_secret(TOKEN_USER, refused()), pull_secret(CLIENT, Outcome::Pulls)],
    };
    let text = expect![[r"
        contoso.azurecr.io/team/app:v1, as a pod of service account default in namespace apps

        ok       name        contoso.azurecr.io is 10.99.0.1 (private)
        ok       tls         connected to contoso.azurecr.io, and its certificate is trusted
        ok       challenge   contoso.azurecr.io asks for a token, as a registry does
        ok       credential  pull secret acr-pull of service account default, a registry token, then pull secret acr-pull of service account default, user c0000000-0000-4000-8000-000000000001; Secret former, which service account default names, does not exist
        ok       token       pull secret acr-pull (user c0000000-0000-4000-8000-000000000001) may pull team/app; pull secret acr-pull (a registry token): refused (401): it is not valid any more, or has no role there
        ok       manifest    team/app:v1 is there
    "]];
    check("team/app:v1", &found, 0, &text);
}

#[test]
fn without_an_image_the_report_names_what_was_not_checked() {
    let found =
        Findings { missing: vec![Missing::NoneNamed], trials: vec![node(Outcome::Accepted)] };
    let text = expect![[r"
        contoso.azurecr.io, as a pod of service account default in namespace apps

        ok       name        contoso.azurecr.io is 10.99.0.1 (private)
        ok       tls         connected to contoso.azurecr.io, and its certificate is trusted
        ok       challenge   contoso.azurecr.io asks for a token, as a registry does
        ok       credential  the node's identity 0b000000-0000-4000-8000-000000000001
        ok       token       contoso.azurecr.io accepts the node's identity 0b000000-0000-4000-8000-000000000001; --image asks what it may pull
        skipped  manifest    no image is named; --image names one
    "]];
    check("", &found, 0, &text);
}

#[test]
fn a_registry_with_anonymous_access_needs_no_credential() {
    let found = Findings {
        missing: vec![Missing::NoneNamed, unreachable()],
        trials: vec![anonymous(Outcome::Pulls)],
    };
    let text = expect![[r"
        contoso.azurecr.io/app:latest, as a pod of service account default in namespace apps

        ok       name        contoso.azurecr.io is 10.99.0.1 (private)
        ok       tls         connected to contoso.azurecr.io, and its certificate is trusted
        ok       challenge   contoso.azurecr.io asks for a token, as a registry does
        ok       credential  nobody's: contoso.azurecr.io lets anybody pull; service account default names no pull secret; the node's identity cannot be asked from this pod (no answer within 3 s), and may still be what the kubelet uses
        ok       token       anybody may pull app
        ok       manifest    app:latest is there
    "]];
    check("app", &found, 0, &text);
}

#[test]
fn without_any_credential_the_report_names_every_way_to_one() {
    let found = Findings {
        missing: vec![Missing::NoneNamed, unreachable(), Missing::NotNamed("acr-pull".into())],
        trials: vec![anonymous(refused())],
    };
    let text = expect![[r#"
        contoso.azurecr.io/app:v1, as a pod of service account default in namespace apps

        ok       name        contoso.azurecr.io is 10.99.0.1 (private)
        ok       tls         connected to contoso.azurecr.io, and its certificate is trusted
        ok       challenge   contoso.azurecr.io asks for a token, as a registry does
        FAILED   credential  none: service account default names no pull secret; the node's identity cannot be asked from this pod (no answer within 3 s), and may still be what the kubelet uses; Secret acr-pull is there, and service account default does not name it; contoso.azurecr.io lets nobody pull without a credential
                             For pull secrets, let a RegistryAttachment serve namespace apps (docs/credentials.md); pods copy the list of their service account when they are created
                             On a node in Azure, let the pod reach 169.254.169.254 without a proxy (NO_PROXY, network policies, restrictions of instance metadata), or ask from the node itself by az aks check-acr; on other nodes there is no such identity
                             kubectl patch serviceaccount default --namespace apps --patch '{"imagePullSecrets":[{"name":"acr-pull"}]}' lets the account name it; pods that are there need to be created anew
        skipped  token       since credential failed
        skipped  manifest    since credential failed
    "#]];
    check("app:v1", &found, 5, &text);
}

#[test]
fn every_refused_credential_is_reported_with_its_advice() {
    let expired = Some("2026-01-02T03:04:05Z".parse().unwrap());
    let found = Findings {
        missing: Vec::new(),
        trials: vec![
            pull_secret(TOKEN_USER, Outcome::Refused { expired, wrong_secret: false, flaw: None }),
            pull_secret(CLIENT, Outcome::Refused { expired: None, wrong_secret: true, flaw: None }),
            node(Outcome::NotExchanged),
        ],
    };
    let text = expect![[r#"
        contoso.azurecr.io/app:v1, as a pod of service account default in namespace apps

        ok       name        contoso.azurecr.io is 10.99.0.1 (private)
        ok       tls         connected to contoso.azurecr.io, and its certificate is trusted
        ok       challenge   contoso.azurecr.io asks for a token, as a registry does
        ok       credential  pull secret acr-pull of service account default, a registry token, then pull secret acr-pull of service account default, user c0000000-0000-4000-8000-000000000001, then the node's identity 0b000000-0000-4000-8000-000000000001
        FAILED   token       pull secret acr-pull (a registry token): refused (401): the token in it ended at 2026-01-02T03:04:05Z; pull secret acr-pull (user c0000000-0000-4000-8000-000000000001): refused (401): the client id or its secret is wrong, or the secret has expired; the node's identity 0b000000-0000-4000-8000-000000000001: gets no token (401): it has no role there, or the registry is of another tenant
                             Let it be renewed: the condition CredentialFresh of the RegistryAttachment that serves namespace apps tells why it was not (kubectl describe registryattachments); where none does, make Secret acr-pull anew
                             Put a valid client secret into Secret acr-pull (az ad app credential reset --append --id c0000000-0000-4000-8000-000000000001 makes one); a RegistryAttachment does it by itself once the Secret of its clientSecretRef holds one
                             Give it a role: az role assignment create --assignee-object-id 0b000000-0000-4000-8000-000000000001 --assignee-principal-type ServicePrincipal --role AcrPull --scope <registry id>, with role "Container Registry Repository Reader" where the registry is in mode "RBAC Registry + ABAC Repository Permissions", or attach the registry by a RegistryAttachment of method KubeletIdentity; a new role takes up to 10 minutes
        skipped  manifest    since token failed
    "#]];
    check("app:v1", &found, 6, &text);
}

#[test]
fn if_the_node_is_refused_the_report_says_that_no_pull_secret_is_named() {
    let found = Findings { missing: vec![Missing::NoneNamed], trials: vec![node(refused())] };
    let text = report(&target("team/app:v1"), &found, &Manifest::Found(None)).text();
    assert!(text.contains("service account default names no pull secret"), "{text}");
    assert!(text.contains("let a RegistryAttachment serve namespace apps"), "{text}");
    let found = Findings { trials: vec![node(Outcome::Pulls)], ..found };
    let text = report(&target("team/app:v1"), &found, &Manifest::Found(None)).text();
    assert!(!text.contains("names no pull secret"), "{text}");
}

#[rstest::rstest]
#[case(Outcome::Pulls, StepResult::Ok)]
#[case(Outcome::NotExchanged, StepResult::Failed)]
#[case(Outcome::NoRight, StepResult::Failed)]
fn instance_metadata_may_choose_another_identity_than_the_kubelets(
    #[case] outcome: Outcome,
    #[case] result: StepResult,
) {
    let target = target("app:v1");
    let trials = vec![node(outcome)];
    let missing = vec![Missing::IdentityNotNamed, Missing::NoneNamed];
    let found = Findings { missing, trials: trials.clone() };
    let words = format!("the node's identity {OBJECT}; instance metadata chose that identity");
    let credential = found.credential(&target);
    assert!(credential.detail.starts_with(&words), "{credential:?}");
    let token = found.token(&target);
    assert_eq!(token.result, result);
    let names_flag = |it: &String| it.contains("else name the kubelet's own by --kubelet-identity");
    assert_eq!(token.advice.iter().any(names_flag), result == StepResult::Failed, "{token:?}");
    let named = Findings { missing: Vec::new(), trials };
    let steps = [named.credential(&target), named.token(&target)];
    assert!(!format!("{steps:?}").contains("--kubelet-identity"), "{steps:?}");
}

#[test]
fn json_is_one_object_in_one_line() {
    let found = Findings { missing: Vec::new(), trials: vec![pull_secret(CLIENT, Outcome::Pulls)] };
    let report = report(&target("app:v1"), &found, &Manifest::Refused(404));
    let json = report.json().unwrap();
    assert_eq!(json.lines().count(), 1, "{json}");
    let (head, steps) = json.split_once("\"steps\":[").unwrap();
    expect![[r#"{"registry":"contoso.azurecr.io","image":"app:v1","namespace":"apps","serviceAccount":"default","credential":{"kind":"pullSecret","secret":"acr-pull","user":"c0000000-0000-4000-8000-000000000001"},"ok":false,"exitCode":7,"#]].assert_eq(head);
    let last = steps.rsplit_once("},{").unwrap().1;
    expect![[r#""step":"manifest","result":"failed","detail":"contoso.azurecr.io has no image app:v1","advice":["Push it, or correct its name: az acr repository show-tags --name contoso --repository app lists the tags"]}]}"#]].assert_eq(last);
}

#[test]
fn json_names_anonymous_access_nobody() {
    let json = serde_json::to_string(&CredentialSource::Anonymous).unwrap();
    assert_eq!(json, r#"{"kind":"nobody"}"#);
}

#[test]
fn a_check_that_could_not_be_made_has_exit_code_1() {
    let mut report = Report::new(target(""));
    let step = Step::unchecked(StepName::Credential, "forbidden", vec!["give the rule".into()]);
    assert_eq!(report.add(step), ControlFlow::Break(()));
    assert_eq!(report.finish().exit_code(), 1);
}

#[test]
fn foreign_text_is_shown_as_one_short_line() {
    assert_eq!(one_line("a\nb\u{1b}[31m  c"), "a b[31m c");
    assert!(one_line(&"x".repeat(1000)).len() < 300);
}
