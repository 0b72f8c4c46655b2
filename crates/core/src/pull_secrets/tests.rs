//! The absent namespaces, the inputs of a credential, and the time of renewals.

use super::*;

fn now() -> Timestamp {
    "2026-11-22T12:00:00Z".parse().unwrap()
}

fn secret(names: &[&str]) -> PullSecret {
    PullSecret {
        principal: ServicePrincipal {
            tenant: "t".into(),
            client: "c".into(),
            object: None,
            secret: Some(SecretKeyRef { name: "sp".into(), key: "clientSecret".into() }),
        },
        assigns_role: false,
        form: CredentialForm::RegistryToken,
        repositories: Repositories::default(),
        name: "acr-pull".into(),
        namespaces: names.iter().map(|it| (*it).to_owned()).collect(),
        selector: None,
        accounts: Accounts::All,
    }
}

fn namespace(name: &str, terminating: bool) -> Namespace {
    Namespace { name: name.into(), labels: BTreeMap::new(), terminating, created: now() }
}

fn source(server: &str, mode: Option<RoleAssignmentMode>) -> Endpoints {
    Endpoints { login_server: server.parse().unwrap(), regional: Vec::new(), mode }
}

#[test]
fn what_is_terminating_or_missing_is_absent_where_it_is_named() {
    let all = [namespace("named", true), namespace("there", false)];
    let find = |name: &str| all.iter().find(|it| it.name == name).cloned();
    let desired = DesiredPullSecrets::of(&secret(&["missing", "named", "there"]), find);
    let expected = [("missing", "does not exist yet"), ("named", "is being deleted")];
    let expected = expected.map(|(name, why)| (name.to_owned(), why));
    assert_eq!(desired.absent, BTreeMap::from(expected));
}

#[test]
fn another_registry_principal_or_form_is_another_subject_and_a_newer_secret_another_version() {
    let of = |secret: &PullSecret, server: &str, mode, credential: &str| {
        Inputs::of(secret, &source(server, mode), Some(credential))
    };
    let base = of(&secret(&[]), "contoso.azurecr.io", None, "uid/1");
    assert_eq!(base.to_string().parse(), Ok(base.clone()));
    let renewed = of(&secret(&[]), "contoso.azurecr.io", None, "uid/2");
    assert_eq!(base.subject, renewed.subject);
    assert_ne!(base.version, renewed.version);
    let abac = Some(RoleAssignmentMode::AbacRepositoryPermissions);
    let switched = of(&secret(&[]), "contoso.azurecr.io", abac, "uid/1");
    assert_eq!(base.subject, switched.subject);
    assert_ne!(base.version, switched.version);
    let regional = vec!["contoso.westeurope.geo.azurecr.io".parse().unwrap()];
    let regional = Endpoints { regional, ..source("contoso.azurecr.io", None) };
    let regional = Inputs::of(&secret(&[]), &regional, Some("uid/1"));
    assert_eq!(base.subject, regional.subject, "the login server's entry still serves");
    assert_ne!(base.version, regional.version);
    let form = PullSecret { form: CredentialForm::ClientSecret, ..secret(&[]) };
    assert_ne!(base.subject, of(&form, "contoso.azurecr.io", None, "uid/1").subject);
    assert_ne!(base.subject, of(&secret(&[]), "other.azurecr.io", None, "uid/1").subject);
    // Another Secret name or other namespaces need no new credential.
    let elsewhere = PullSecret { name: "other".into(), ..secret(&["a", "b"]) };
    assert_eq!(base, of(&elsewhere, "contoso.azurecr.io", None, "uid/1"));
}

#[rstest::rstest]
#[case(10_800, 0.0, 4860)]
#[case(10_800, 0.5, 5400)]
#[case(10_800, 1.0, 5940)]
#[case(4, 0.5, 2)]
fn a_credential_is_renewed_at_half_its_life(
    #[case] life: i64,
    #[case] jitter: f64,
    #[case] after: i64,
) {
    let at = renewal(now(), SignedDuration::from_secs(life), jitter);
    assert_eq!(at.duration_since(now()).as_secs(), after);
}
