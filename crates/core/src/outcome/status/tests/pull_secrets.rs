//! The status of pull secrets.

use super::*;

/// Pull secrets in namespace `apps`, with a token that is renewed at 13:30.
fn by_secret(failing: Option<Problem>, overdue: Option<Problem>) -> Observed {
    use crate::plan::{DesiredSecret, NamespaceProblem};
    use crate::pull_secrets::DesiredPullSecrets;
    let delivery = DesiredSecret {
        namespace: "apps".into(),
        name: "acr-pull".into(),
        since: at("2026-11-22T11:00:00Z"),
        named: true,
    };
    let stored = crate::snapshot::cluster::StoredSecret {
        namespace: "apps".into(),
        name: "acr-pull".into(),
        uid: "u".into(),
        owners: vec![],
        label: None,
        immutable: false,
        intact: true,
        written_by: None,
        digest: String::new(),
        inputs: None,
        created: at("2026-11-22T12:00:00Z"),
        expires: Some(at("2026-11-22T15:00:00Z")),
        renew: Some(at("2026-11-22T13:30:00Z")),
        proof: Some(crate::pull_secrets::proof::Proof::Proven),
        by_arm_audience: false,
    };
    let namespace = delivery.namespace.clone();
    let failing = failing.map(|problem| NamespaceProblem { namespace, problem });
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
                secrets: vec![delivery],
                absent: [("later".to_owned(), "does not exist yet")].into(),
                ..DesiredPullSecrets::default()
            },
            secrets: if failing.is_some() { vec![] } else { vec![stored] },
            failing: failing.into_iter().collect(),
            renewal_problem: overdue,
            missing_accounts: std::collections::BTreeMap::new(),
            proof: None,
            recheck_problem: None,
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
