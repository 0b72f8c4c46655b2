//! The operator's settings that limit what attachments may ask for.

mod names;
mod registries;

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use crate::api::CredentialForm;
use crate::ids::{LoginServer, RegistryId};
use crate::problem::{Cause, Problem};
use crate::pull_secrets::{Accounts, PullSecret};
use crate::spec::{Attachment, Method, RegistryName};

pub use names::{AllowedNames, UsedNames};
pub use registries::AllowedRegistries;

/// The settings that allow and forbid.
#[derive(Clone, Debug)]
pub struct Policy {
    /// The registries that may be attached.
    pub registries: AllowedRegistries,
    /// The domains of login servers. A client secret is sent to no other host.
    pub login_server_suffixes: Domains,
    /// Whether pull secrets are allowed.
    pub pull_secrets: bool,
    /// The names that pull secrets may have.
    pub secret_names: AllowedNames,
    /// The names of service accounts that may be changed.
    pub account_names: AllowedNames,
    /// The client id of the operator's own identity.
    pub own_client: Option<String>,
}

/// The settings of a new installation in the public cloud.
impl Default for Policy {
    fn default() -> Self {
        Self {
            registries: AllowedRegistries::default(),
            login_server_suffixes: Domains::default().or("azurecr.io"),
            pull_secrets: true,
            secret_names: AllowedNames::Listed(["acr-pull".to_owned()].into()),
            account_names: AllowedNames::Listed(["default".to_owned()].into()),
            own_client: None,
        }
    }
}

impl Policy {
    /// Checks what an attachment asks for.
    ///
    /// # Errors
    /// `NotAllowed`, with the setting that allows it.
    pub fn permit(&self, attachment: &Attachment) -> Result<(), Problem> {
        match &attachment.method {
            Method::KubeletIdentity(_) => self.permit_named(&attachment.registry),
            Method::PullSecret(secret) => {
                self.permit_served(&attachment.registry, secret)?;
                self.permit_accounts(&secret.accounts)
            }
        }
    }

    /// Checks what a pull secret holds, and its name.
    ///
    /// # Errors
    /// `NotAllowed`, with the setting that allows it.
    pub fn permit_served(
        &self,
        registry: &RegistryName,
        secret: &PullSecret,
    ) -> Result<(), Problem> {
        self.permit_named(registry)?;
        self.permit_pull_secret(secret)
    }

    fn permit_named(&self, registry: &RegistryName) -> Result<(), Problem> {
        self.registries.permit(registry)?;
        match registry {
            RegistryName::LoginServer(server) => self.permit_login_server(server),
            _ => Ok(()),
        }
    }

    /// Checks a registry that was found by its name.
    ///
    /// # Errors
    /// `NotAllowed`, with the setting that allows it.
    pub fn permit_registry(&self, id: &RegistryId) -> Result<(), Problem> {
        self.registries.permit(&RegistryName::Id(id.clone()))
    }

    /// Checks a host that credentials would be sent to.
    ///
    /// # Errors
    /// `NotAllowed`, with the setting that allows it.
    pub fn permit_login_server(&self, server: &LoginServer) -> Result<(), Problem> {
        let suffixes = &self.login_server_suffixes;
        if suffixes.contain(server.as_str()) {
            return Ok(());
        }
        let advice = format!(
            "check registry.loginServer; if it is a registry of yours, add its domain to {LOGIN_SERVER_SUFFIXES}, which allows {suffixes} now"
        );
        let account =
            format!("attaching registry {server}: its login server is outside {suffixes}");
        Err(not_allowed(&advice, account))
    }

    /// Checks the credential and the name of a pull secret.
    ///
    /// # Errors
    /// `NotAllowed`, with the setting that allows it.
    pub fn permit_pull_secret(&self, secret: &PullSecret) -> Result<(), Problem> {
        if !self.pull_secrets {
            return Err(not_allowed(
                &format!("set {PULL_SECRETS} to true"),
                forbidden("writing pull secrets"),
            ));
        }
        if !self.secret_names.allow(&secret.name) {
            let advice = format!(
                "add {} to {PULL_SECRET_NAMES}, which allows {} now, or set pullSecret.secretName to a name that is allowed",
                secret.name, self.secret_names
            );
            let account = forbidden(&format!("writing Secrets named {}", secret.name));
            return Err(not_allowed(&advice, account));
        }
        let own = self.own_client.as_ref().is_some_and(|it| *it == secret.principal.client);
        if own && secret.form == CredentialForm::ClientSecret {
            let account = format!(
                "writing the client secret of {}: that is the operator's own identity",
                secret.principal.client
            );
            return Err(not_allowed(
                "use a service principal that may only pull, or pullSecret.credential RegistryToken",
                account,
            ));
        }
        Ok(())
    }

    /// The names that the settings do not allow, or do not allow any more.
    #[must_use]
    pub fn forbidden_names(&self, names: &UsedNames) -> UsedNames {
        let beyond = |names: &BTreeSet<String>, allowed: &AllowedNames| {
            names.iter().filter(|it| !allowed.allow(it)).cloned().collect()
        };
        UsedNames {
            secrets: beyond(&names.secrets, &self.secret_names),
            accounts: beyond(&names.accounts, &self.account_names),
        }
    }

    /// Checks the service accounts that get an entry.
    ///
    /// # Errors
    /// `NotAllowed`, with the setting that allows it.
    pub fn permit_accounts(&self, accounts: &Accounts) -> Result<(), Problem> {
        let refused = match (accounts, &self.account_names) {
            (Accounts::All, AllowedNames::Listed(_)) => {
                Some(("*", "all service accounts".to_owned()))
            }
            (Accounts::All, AllowedNames::Any) => None,
            (Accounts::Named(names), allowed) => {
                let refused = names.iter().find(|it| !allowed.allow(it));
                refused.map(|it| (it.as_str(), format!("service accounts named {it}")))
            }
        };
        let Some((name, what)) = refused else { return Ok(()) };
        let advice = format!(
            "add {name} to {SERVICE_ACCOUNT_NAMES}, which allows {} now, or take it out of pullSecret.serviceAccounts",
            self.account_names
        );
        Err(not_allowed(&advice, forbidden(&format!("changing {what}"))))
    }
}

/// The setting in messages. The chart's value comes first, since it also creates the RBAC rules.
pub const PULL_SECRETS: &str = "chart value pullSecrets.enabled (flag --pull-secrets)";
/// The setting for names of pull secrets, in messages.
pub const PULL_SECRET_NAMES: &str =
    "chart value pullSecrets.names (flag --pull-secret-names, and the operator's RBAC rules)";
/// The setting for names of service accounts, in messages.
pub const SERVICE_ACCOUNT_NAMES: &str = "chart value pullSecrets.serviceAccounts (flag --service-account-names, and the operator's RBAC rules)";
const LOGIN_SERVER_SUFFIXES: &str =
    "chart value policy.loginServerSuffixes (flag --login-server-suffixes)";

fn forbidden(doing: &str) -> String {
    format!("{doing}: the operator's settings do not allow it")
}

fn not_allowed(advice: &str, account: String) -> Problem {
    Problem::advised(Cause::NotAllowed, advice, &[account])
}

/// Domains, in lower case.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Domains(Vec<String>);

impl Domains {
    /// The domains, or `other` if there are none.
    #[must_use]
    pub fn or(self, other: &str) -> Self {
        if self.0.is_empty() { Self(vec![other.to_owned()]) } else { self }
    }

    fn contain(&self, host: &str) -> bool {
        let below = |domain: &String| {
            let name = host.strip_suffix(domain.as_str());
            name.is_some_and(|name| name.len() > 1 && name.ends_with('.'))
        };
        self.0.iter().any(below)
    }
}

/// Parses a comma-separated list. Dots at the start of a domain are ignored.
impl FromStr for Domains {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let label =
            |it: &str| !it.is_empty() && it.chars().all(|c| c.is_ascii_alphanumeric() || c == '-');
        let domains = text.split(',').map(|it| it.trim().trim_start_matches('.'));
        let domains: Vec<_> =
            domains.filter(|it| !it.is_empty()).map(str::to_ascii_lowercase).collect();
        match domains.iter().find(|it| !it.contains('.') || !it.split('.').all(label)) {
            Some(wrong) => Err(format!("`{wrong}` is not a domain such as azurecr.io")),
            None => Ok(Self(domains)),
        }
    }
}

impl fmt::Display for Domains {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join(","))
    }
}

#[cfg(test)]
mod tests;
