//! Lists what attachments hold that only a running operator can release.

use acr_attach_core::api::{ConditionType, RegistryAttachment};
use acr_attach_core::plan::Finalizer;
use acr_attach_core::problem::{Cause, Problem};
use kube::api::{Api, ListParams};
use kube::core::{ApiResource, DynamicObject};
use kube::{Client, ResourceExt};

use crate::cluster::kubernetes::within;

/// How many attachments are named, since the line is read in a terminal.
const SHOWN: usize = 20;

/// Returns one line that names the attachments which hold something, or may do so at any moment, and says how
/// to release it; `None` if there are none. The label selector chooses the attachments. A cluster without the
/// custom resource definition has none.
///
/// # Errors
/// When the attachments cannot be listed.
pub async fn held(client: &Client, selector: &str) -> Result<Option<String>, Problem> {
    // Lists the objects as they are stored: one that this version cannot read may hold something too.
    let resource = ApiResource::erase::<RegistryAttachment>(&());
    let attachments: Api<DynamicObject> = Api::all_with(client.clone(), &resource);
    let doing = "listing attachments, to see what they hold";
    let list = match within(doing, attachments.list(&ListParams::default().labels(selector))).await
    {
        Err(problem) if problem.cause == Cause::NotFound => return Ok(None),
        list => list?,
    };
    let holding: Vec<_> = list
        .items
        .iter()
        .map(|it| (it.name_any(), things(it)))
        .filter(|(_, things)| !things.is_empty())
        .collect();
    Ok((!holding.is_empty()).then(|| sentence(&holding)))
}

fn things(attachment: &DynamicObject) -> Vec<&'static str> {
    let finalizers = attachment.finalizers();
    let mut things: Vec<_> = [Finalizer::RoleAssignments, Finalizer::ServiceAccounts]
        .into_iter()
        .filter(|it| finalizers.iter().any(|name| name == it.name()))
        .map(|it| match it {
            Finalizer::RoleAssignments => "role assignments in Azure",
            Finalizer::ServiceAccounts => "entries in service accounts",
        })
        .collect();
    if things.is_empty() && is_being_attached(attachment) {
        things.push("being attached");
    }
    things
}

/// Whether an operator may be reconciling the attachment, and may add a finalizer before the reconcile ends.
fn is_being_attached(attachment: &DynamicObject) -> bool {
    let status = &attachment.data["status"];
    let is_new = status["observedGeneration"].as_i64() != attachment.metadata.generation;
    let mut conditions = status["conditions"].as_array().into_iter().flatten();
    let is_reconciling = conditions
        .any(|it| it["type"] == ConditionType::Reconciling.as_str() && it["status"] == "True");
    attachment.metadata.deletion_timestamp.is_none() && (is_new || is_reconciling)
}

fn sentence(holding: &[(String, Vec<&'static str>)]) -> String {
    let shown = &holding[..holding.len().min(SHOWN)];
    let told: Vec<_> =
        shown.iter().map(|(name, things)| format!("{name} ({})", things.join(", "))).collect();
    let names: Vec<_> = shown.iter().map(|(name, _)| name.as_str()).collect();
    let more = match holding.len() - shown.len() {
        0 => String::new(),
        more => format!(", and {more} more"),
    };
    format!(
        "these attachments hold what only a running operator lets go: {}{more}; delete them first and wait until they are gone (kubectl delete registryattachments {}), or let them stay as they are by uninstalling with --no-hooks",
        told.join(", "),
        names.join(" ")
    )
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn attachment(finalizers: &[&str], observed: i64, conditions: &Value) -> DynamicObject {
        let object = json!({
            "metadata": {"name": "a", "generation": 2, "finalizers": finalizers},
            "status": {"observedGeneration": observed, "conditions": conditions},
        });
        serde_json::from_value(object).unwrap()
    }

    #[test]
    fn it_names_who_holds_what_and_the_way_out() {
        let [roles, accounts] =
            [Finalizer::RoleAssignments.name(), Finalizer::ServiceAccounts.name()];
        let things = |finalizers: &[&str]| things(&attachment(finalizers, 2, &json!([])));
        let foreign = "example.com/other";
        assert!(things(&[foreign]).is_empty());
        let all = things(&[foreign, accounts, roles]);
        let text = sentence(&[("a".to_owned(), all), ("b".to_owned(), things(&[accounts]))]);
        assert!(text.contains("a (role assignments in Azure, entries in service accounts), b (entries in service accounts);"), "{text}");
        assert!(text.contains("kubectl delete registryattachments a b)"), "{text}");
    }

    #[test]
    fn one_at_work_may_hold_something_in_a_moment() {
        let settled = json!([{"type": "Ready", "status": "True"}]);
        let retried = json!([{"type": "Reconciling", "status": "True"}]);
        for (observed, conditions, is) in [
            (-1, &Value::Null, true),
            (1, &settled, true),
            (2, &settled, false),
            (2, &retried, true),
        ] {
            let mut object = attachment(&[], observed, conditions);
            let told = !things(&object).is_empty();
            assert_eq!(told, is, "{observed} {conditions}");
            object.metadata.deletion_timestamp =
                Some(k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(jiff::Timestamp::now()));
            assert!(things(&object).is_empty(), "nothing is added to one that is deleted");
        }
    }
}
