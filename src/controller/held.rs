//! What attachments hold that ends only with a running operator's help.

use kube::api::{Api, ListParams};
use kube::{Client, ResourceExt};

use super::kubernetes::within;
use crate::api::RegistryAttachment;
use crate::domain::plan::Finalizer;
use crate::domain::problem::{Cause, Problem};

/// How many are named: the line is read in a terminal.
const SHOWN: usize = 20;

/// One line that names the attachments which still hold something, and says how they let go;
/// nothing if none does. A cluster without the definition has no attachments.
///
/// # Errors
/// When the attachments cannot be listed.
pub async fn held(client: &Client) -> Result<Option<String>, Problem> {
    let attachments: Api<RegistryAttachment> = Api::all(client.clone());
    let doing = "listing attachments, to see what they hold";
    let list = match within(doing, attachments.list_metadata(&ListParams::default())).await {
        Err(problem) if problem.cause == Cause::NotFound => return Ok(None),
        list => list?,
    };
    let holding: Vec<_> = list
        .items
        .iter()
        .map(|it| (it.name_any(), things(it.finalizers())))
        .filter(|(_, things)| !things.is_empty())
        .collect();
    Ok((!holding.is_empty()).then(|| sentence(&holding)))
}

fn things(finalizers: &[String]) -> Vec<&'static str> {
    [Finalizer::RoleAssignments, Finalizer::ServiceAccounts]
        .into_iter()
        .filter(|it| finalizers.iter().any(|name| name == it.name()))
        .map(|it| match it {
            Finalizer::RoleAssignments => "role assignments in Azure",
            Finalizer::ServiceAccounts => "entries in service accounts",
        })
        .collect()
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
    use super::*;

    #[test]
    fn it_names_who_holds_what_and_the_way_out() {
        let [roles, accounts] = [Finalizer::RoleAssignments, Finalizer::ServiceAccounts];
        let foreign = "example.com/other".to_owned();
        assert!(things(std::slice::from_ref(&foreign)).is_empty());
        let all = [foreign, accounts.name().to_owned(), roles.name().to_owned()];
        let text =
            sentence(&[("a".to_owned(), things(&all)), ("b".to_owned(), things(&all[1..2]))]);
        assert!(text.contains("a (role assignments in Azure, entries in service accounts), b (entries in service accounts);"), "{text}");
        assert!(text.contains("kubectl delete registryattachments a b)"), "{text}");
    }
}
