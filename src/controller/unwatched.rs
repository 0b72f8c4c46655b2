//! What is left in the cluster under names that the settings no longer allow. No watch shows it.

use std::fmt::Debug;

use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::core::v1::{Secret, ServiceAccount as StoredAccount};
use kube::Resource;
use kube::api::{Api, ListParams};
use serde::de::DeserializeOwned;

use super::context::Context;
use super::kubernetes::within;
use super::observe::{Observation, Occasion, Pass};
use super::{accounts, secrets};
use crate::api::RegistryAttachment;
use crate::domain::policy::{Names, PULL_SECRET_NAMES, SERVICE_ACCOUNT_NAMES};
use crate::domain::problem::{Cause, Problem};

/// As many objects are listed at once.
const PAGE: u32 = 100;

impl Observation {
    /// Adds what the attachment has made under names that the settings no longer allow. It is removed
    /// where the operator's rules still let it.
    pub(super) async fn unwatched(&mut self, pass: Pass<'_>) {
        let policy = &pass.ctx.policy;
        self.unwatched = policy.forbidden_of(&told(pass.object));
        if !policy.pull_secrets || self.unwatched == Names::default() {
            return;
        }
        let unread = match pass.occasion {
            Occasion::Glance => pass.known.look.unread.clone(),
            Occasion::Look => self.read_unwatched(pass.ctx).await.err(),
        };
        // The object must not go while entries may be left.
        self.owned.hidden = unread.is_some() && !self.unwatched.accounts.is_empty();
        self.look.unread = unread;
    }

    /// Reads it, and keeps the names under which something was found.
    async fn read_unwatched(&mut self, ctx: &Context) -> Result<(), Problem> {
        let uid = self.owned.uid.clone();
        let (mut found, mut entries) = (Vec::new(), Vec::new());
        for name in &self.unwatched.secrets {
            let all = listed::<Secret>(name, &secrets::selector(), ctx).await;
            let all = all.map_err(|it| forbidden("Secrets", name, PULL_SECRET_NAMES, it))?;
            let reduced = all.iter().filter_map(secrets::reduce).map(|(_, it)| it);
            found.extend(reduced.filter(|it| it.is_of(&uid)));
        }
        for name in &self.unwatched.accounts {
            let all = listed::<StoredAccount>(name, "", ctx).await;
            let what = "entries in service accounts";
            let all = all.map_err(|it| forbidden(what, name, SERVICE_ACCOUNT_NAMES, it))?;
            let reduced = all.iter().filter_map(accounts::reduce).map(|(_, it)| it);
            entries.extend(reduced.filter(|it| it.marks.values().any(|mark| *mark == uid)));
        }
        self.unwatched = Names {
            secrets: found.iter().map(|it| it.name.clone()).collect(),
            accounts: entries.iter().map(|it| it.name.clone()).collect(),
        };
        self.owned.secrets.iter_mut().for_each(|all| all.append(&mut found));
        self.owned.accounts.iter_mut().for_each(|all| all.append(&mut entries));
        Ok(())
    }

    /// Takes the names under which the attachment has something in the cluster now.
    pub(super) fn take_names(&mut self, ctx: &Context) {
        let uid = &self.owned.uid;
        let secrets = ctx.watches.secrets.select(|it| it.is_of(uid));
        let accounts = ctx.watches.accounts.select(|it| it.marks.values().any(|mark| mark == uid));
        let (Ok(secrets), Ok(accounts)) = (secrets, accounts) else { return };
        let mut names = self.unwatched.clone();
        names.secrets.extend(secrets.into_iter().map(|it| it.name));
        names.accounts.extend(accounts.into_iter().map(|it| it.name));
        self.observed.names = Some(names);
    }
}

/// The names that status tells. Where status is lost, what is left under other names stays until
/// somebody takes it out.
fn told(object: &RegistryAttachment) -> Names {
    let status = object.status.as_ref();
    let all = |names: Option<&Vec<String>>| names.into_iter().flatten().cloned().collect();
    Names {
        secrets: all(status.and_then(|it| it.secret_names.as_ref())),
        accounts: all(status.and_then(|it| it.service_account_names.as_ref())),
    }
}

/// Lists objects of that name, `*` for any, with these labels in all namespaces.
async fn listed<K>(name: &str, labels: &str, ctx: &Context) -> Result<Vec<K>, Problem>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
        + Clone
        + DeserializeOwned
        + Debug,
{
    let api = Api::<K>::all(ctx.kubernetes.client());
    let mut params = ListParams::default().labels(labels).limit(PAGE);
    if name != "*" {
        params = params.fields(&format!("metadata.name={name}"));
    }
    let doing = format!("listing {} named {name}", K::plural(&()));
    let mut all = Vec::new();
    loop {
        let page = within(&doing, api.list(&params)).await?;
        all.extend(page.items);
        match page.metadata.continue_.filter(|it| !it.is_empty()) {
            Some(more) => params = params.continue_token(&more),
            None => return Ok(all),
        }
    }
}

/// What a refusal of the operator's rules means for names that the settings do not allow.
fn forbidden(what: &str, name: &str, setting: &str, problem: Problem) -> Problem {
    if problem.cause != Cause::AccessDenied {
        return problem;
    }
    let advice = format!(
        "add {name} to {setting} until they are removed, or remove them by hand: docs/operations.md#names-that-are-not-allowed-any-more"
    );
    let account = format!(
        "removing {what} named {name}: the operator's settings do not allow that name any more, and its rules do not let it list them"
    );
    Problem::advised(Cause::NotAllowed, &advice, &[account])
}
