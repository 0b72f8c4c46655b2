//! Tells refusals by admission in the cluster apart from missing rights and from faults.
//!
//! The API server has no code for refusals by admission: a webhook or a policy chooses the HTTP status
//! itself. Only the message tells them apart, by the wording of the API server:
//! `exceeded quota: <name>, …` (403), `admission webhook "<name>" denied the request: …` (any status),
//! `ValidatingAdmissionPolicy '<name>' with binding '<name>' denied request: …` (any status), and for a
//! missing right `… is forbidden: User "<name>" cannot …` (403).

use kube::core::Status;

/// Names the quota, policy or webhook that refused a write; `None` if it was not admission.
pub fn refuser(status: &Status) -> Option<String> {
    let text = status.message.as_str();
    let named = |kind: &str, before: &str, end: char| {
        let (_, rest) = text.split_once(before)?;
        let (name, _) = rest.split_once(end)?;
        Some(format!("{kind} {name}"))
    };
    let quota = named("ResourceQuota", "exceeded quota: ", ',');
    let webhook = || named("admission webhook", "admission webhook \"", '"');
    let policy = || named("ValidatingAdmissionPolicy", "ValidatingAdmissionPolicy '", '\'');
    let denied = text.contains("denied the request") || text.contains("denied request");
    let by_name = quota.or_else(|| webhook().or_else(policy).filter(|_| denied));
    by_name.or_else(|| is_other_plugin(status).then(|| "an admission plugin".to_owned()))
}

/// Whether a 403 comes from an admission plugin that the message does not name. For a missing right the
/// message names the user.
fn is_other_plugin(status: &Status) -> bool {
    let by_right = status.message.contains("User \"") && status.message.contains(" cannot ");
    let names_object = status.details.as_ref().is_some_and(|it| !it.name.is_empty());
    status.code == 403 && status.reason == "Forbidden" && names_object && !by_right
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn refused_by(code: u16, message: &str) -> Option<String> {
        let status = json!({
            "status": "Failure", "reason": if code == 403 { "Forbidden" } else { "Invalid" },
            "code": code, "message": message, "details": {"name": "acr-pull", "kind": "secrets"},
        });
        refuser(&serde_json::from_value(status).unwrap())
    }

    #[rstest::rstest]
    #[case(403, r#"secrets "acr-pull" is forbidden: exceeded quota: few, requested: secrets=1, used: secrets=3, limited: secrets=3"#, Some("ResourceQuota few"))]
    #[case(
        400,
        r#"admission webhook "validate.kyverno.svc-fail" denied the request: x"#,
        Some("admission webhook validate.kyverno.svc-fail")
    )]
    #[case(
        500,
        r#"admission webhook "a.b" denied the request without explanation"#,
        Some("admission webhook a.b")
    )]
    #[case(
        422,
        "secrets \"acr-pull\" is forbidden: ValidatingAdmissionPolicy 'p' with binding 'b' denied request: no",
        Some("ValidatingAdmissionPolicy p")
    )]
    #[case(403, "secrets \"acr-pull\" is forbidden: not on my watch", Some("an admission plugin"))]
    #[case(403, r#"secrets "acr-pull" is forbidden: User "system:serviceaccount:a:b" cannot patch resource "secrets" in API group "" in the namespace "c""#, None)]
    #[case(500, r#"Internal error occurred: failed calling webhook "a.b": no endpoints"#, None)]
    #[case(422, r#"Secret "acr-pull" is invalid: data: Forbidden: field is immutable when `immutable` is set"#, None)]
    fn admission_is_told_by_the_words_of_the_api_server(
        #[case] code: u16,
        #[case] message: &str,
        #[case] refuser: Option<&str>,
    ) {
        assert_eq!(refused_by(code, message).as_deref(), refuser);
    }
}
