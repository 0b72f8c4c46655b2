//! The status of pull secrets.

use super::*;

/// Pull secrets in namespace `apps`, with a token that is renewed at 13:30.
fn by_secret(failing: Option<Problem>, overdue: Option<Problem>) -> Observed {
    use crate::plan::NamespaceProblem;
    use crate::pull_secrets::DesiredPullSecrets;
    let failing = failing.map(|problem| NamespaceProblem { namespace: "apps".into(), problem });
    Observed {
        method: Some(MethodInUse::PullSecret),
        endpoints: Some(Endpoints {
            login_server: "contoso.azurecr.io".parse().unwrap(),
            regional: Vec::new(),
            mode: None,
        }),
        pull_secrets: Some(PullSecretState {
            desired: DesiredPullSecrets {
                name: "acr-pull".into(),
                absent: [("later".to_owned(), "does not exist yet")].into(),
                ..DesiredPullSecrets::default()
            },
            existing: 1,
            failing: failing.clone().into_iter().collect(),
            failing_count: failing.iter().len(),
            named_failing: failing.clone(),
            serving: usize::from(failing.is_none()),
            expires: failing.is_none().then(|| at("2026-11-22T15:00:00Z")),
            renew: failing.is_none().then(|| at("2026-11-22T13:30:00Z")),
            renewal_problem: overdue,
            ..PullSecretState::default()
        }),
        ..Observed::default()
    }
}

#[test]
fn pull_secrets_say_where_they_are_and_whether_they_are_fresh() {
    let now = "2026-11-22T12:00:00Z";
    let held = told(None, &by_secret(None, None), &Verdict::Attached, now);
    expect_test::expect![[r"
        Ready=True Attached: create namespace later (kubectl create namespace later), or correct pullSecret.namespaces.names: Secret acr-pull is in 1 of 2 namespaces; namespace later does not exist yet; contoso.azurecr.io can be pulled from there
        PullSecretsReady=False NamespaceMissing: create namespace later (kubectl create namespace later), or correct pullSecret.namespaces.names: Secret acr-pull is in 1 of 2 namespaces; namespace later does not exist yet
        CredentialFresh=True Attached: the credential in use is renewed in time
    "]]
    .assert_eq(&lines(&held));
    let shown = held.pull_secret.as_ref().unwrap();
    assert_eq!(shown.served.as_deref(), Some("1/2"));
    assert_eq!(shown.expires_at.as_deref(), Some("2026-11-22T15:00:00Z"));
    assert_eq!(shown.renew_at.as_deref(), Some("2026-11-22T13:30:00Z"));

    let refused = Problem::new(Cause::AuthenticationFailed, "signing in: AADSTS7000215");
    let renewal_problem =
        told(Some(&held), &by_secret(None, Some(refused)), &Verdict::Attached, now);
    expect_test::expect![[r"
        Ready=True Attached: create namespace later (kubectl create namespace later), or correct pullSecret.namespaces.names: Secret acr-pull is in 1 of 2 namespaces; namespace later does not exist yet; contoso.azurecr.io can be pulled from there; the credential in use is good until 2026-11-22T15:00:00Z and is not renewed: signing in: AADSTS7000215
        PullSecretsReady=False NamespaceMissing: create namespace later (kubectl create namespace later), or correct pullSecret.namespaces.names: Secret acr-pull is in 1 of 2 namespaces; namespace later does not exist yet
        CredentialFresh=False AuthenticationFailed: the credential in use is good until 2026-11-22T15:00:00Z and is not renewed: signing in: AADSTS7000215
    "]]
    .assert_eq(&lines(&renewal_problem));

    let stranger = Problem::new(Cause::NotOurs, "writing Secret acr-pull in namespace apps");
    let seen = by_secret(Some(stranger.clone()), None);
    let blocked = told(Some(&held), &seen, &Verdict::Stalled(stranger), now);
    expect_test::expect![[r"
        Ready=False NotOurs: writing Secret acr-pull in namespace apps
        Stalled=True NotOurs: writing Secret acr-pull in namespace apps
        PullSecretsReady=False NotOurs: writing Secret acr-pull in namespace apps
        CredentialFresh=True Attached: the credential in use is renewed in time
    "]]
    .assert_eq(&lines(&blocked));
    assert_eq!(blocked.pull_secret.unwrap().failing.unwrap()[0].namespace, "apps");

    // Method KubeletIdentity leaves nothing of pull secrets in status.
    let by_role = told(Some(&held), &observed(true), &Verdict::Attached, now);
    assert!(!lines(&by_role).contains("PullSecretsReady"));
    assert!(by_role.pull_secret.is_none());
}
