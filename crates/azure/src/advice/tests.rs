//! A message begins with its whole advice.

use std::io::Write;

use acr_attach_core::message;
use acr_attach_core::problem::Problem;

use super::*;
use crate::error::Refusal;

const CODES: [&str; 18] = [
    "",
    "AuthorizationFailed",
    "InvalidAuthenticationTokenTenant",
    "ScopeLocked",
    "RoleAssignmentLimitExceeded",
    "RequestDisallowedByPolicy",
    "PrincipalNotFound",
    "UnmatchedPrincipalType",
    "RoleDefinitionDoesNotExist",
    "RoleAssignmentUpdateNotPermitted",
    "InvalidRoleAssignmentId",
    "InvalidResourceType",
    "ResourceNotFound",
    "DenyAssignmentAuthorizationFailed",
    "ReadOnlyDisabledSubscription",
    "MissingSubscriptionRegistration",
    "RoleAssignmentExists",
    "SomethingElse",
];
const SUBJECTS: [Subject; 4] =
    [Subject::Registry, Subject::Cluster, Subject::ServicePrincipal, Subject::LoginServer];

/// An attempt at a resource with the longest names that Azure allows.
fn attempt(subject: Subject) -> Attempt {
    let target = format!(
        "/subscriptions/11111111-1111-1111-1111-111111111111/resourceGroups/{}/providers/Microsoft.ContainerRegistry/registries/{}/providers/Microsoft.Authorization/roleAssignments/b8aca42d-f5a1-511f-8f55-2bf8850d7ddb",
        "ø".repeat(90),
        "r".repeat(50)
    );
    let action = "Microsoft.Authorization/roleAssignments/write";
    Attempt {
        subject,
        operation: "making role assignment",
        target,
        action,
        role: permission::ADMINISTRATOR,
        scope: None,
        principal: None,
        scope_exists: false,
    }
}

#[test]
fn a_message_begins_with_the_whole_advice_even_if_azure_says_much() {
    for subject in SUBJECTS {
        for (status, code) in CODES.iter().flat_map(|it| [400, 401, 403, 404, 409].map(|n| (n, it)))
        {
            let refusal = Refusal {
                status,
                code: (*code).to_owned(),
                message: "Azure has much to say about this. ".repeat(100),
                correlation_id: Some("c0ffee00-0000-4000-8000-000000000001".into()),
                ..Refusal::default()
            };
            let error = Error::refused(&attempt(subject), refusal);
            let advice = error.advice();
            let problem = Problem::from(error);
            let text = problem.message_with_correlation_id();
            assert!(message::is_bounded(&text), "{text}");
            assert!(text.starts_with(&advice), "{text} does not begin with {advice}");
            assert!(text.contains(&format!("{status} {code}")), "{text}");
        }
    }
}

#[test]
fn the_advice_has_the_whole_command_for_a_federated_credential() {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    let claims = format!(
        r#"{{"iss":"https://{}.oic.prod-aks.azure.com/11111111-1111-1111-1111-111111111111/22222222-2222-2222-2222-222222222222/","sub":"system:serviceaccount:acr-attach-system:acr-attach","aud":["api://AzureADTokenExchange"]}}"#,
        "germanywestcentral"
    );
    writeln!(file, "h.{}.s", azure_core::base64::encode_url_safe(claims)).unwrap();
    let identity = Identity::Workload {
        tenant: "11111111-1111-1111-1111-111111111111".into(),
        client: "22222222-2222-2222-2222-222222222222".into(),
        token_file: file.path().to_owned(),
    };
    let advice = for_sign_in(Some("AADSTS700213"), &identity);
    assert!(message::is_bounded(&format!("{advice}; signing in: AADSTS700213")), "{advice}");
    assert!(advice.contains("acr-attach:acr-attach") || advice.contains("--parameters"));
}
