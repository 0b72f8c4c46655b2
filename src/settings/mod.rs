//! Settings: what the flags and the environment mean. They are resolved once, at the start.

mod arguments;
mod check;

use std::path::PathBuf;

use acr_attach_azure::{Budget, Cloud, Identity};
use acr_attach_core::lease::Election;
use acr_attach_core::outcome::waits::Intervals;
use acr_attach_core::spec::policy::Policy;
use azure_core::credentials::Secret;
use uuid::Uuid;

pub use arguments::{Arguments, LogFormat, LogLevel};
pub use check::{CheckArguments, Output};

use crate::life::Limits;

/// The settings of the operator.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The Azure cloud.
    pub cloud: Cloud,
    /// The operator's identity in Azure.
    pub identity: Identity,
    /// What attachments may ask for.
    pub policy: Policy,
    /// The operator's own namespace.
    pub namespace: String,
    /// The file with the operator's own service account token, if it has one.
    pub token_file: Option<PathBuf>,
    /// The subscription in which registries are looked up by name, if it is given.
    pub subscription: Option<Uuid>,
    /// The audience of tokens that are exchanged at registries, if it is given.
    pub acr_audience: Option<String>,
    /// The label selector of the attachments to serve.
    pub attachment_selector: String,
    /// How many attachments may be reconciled at once.
    pub concurrency: u16,
    /// The operator's intervals.
    pub intervals: Intervals,
    /// The rate limits for one Azure subscription.
    pub budget: Budget,
    /// The parameters of the leader election; `None` without one.
    pub election: Option<Election>,
    /// This replica's name, such as that of its pod.
    pub instance: String,
    /// Whether metrics have series for each attachment.
    pub metrics_per_object: bool,
    /// The longest times without a sign of life.
    pub limits: Limits,
}

impl Settings {
    /// Resolves flags and the standard variables of Azure's libraries. `variable` reads the
    /// environment; `namespace` is that of the service account.
    ///
    /// # Errors
    /// One sentence when the settings contradict each other.
    pub fn resolve(
        arguments: &Arguments,
        variable: impl Fn(&str) -> Option<String>,
        namespace: &str,
    ) -> Result<Self, String> {
        let token_file = variable(TOKEN_FILE).filter(|it| !it.is_empty()).map(PathBuf::from);
        let name = |it| variable(it).filter(|it| !it.is_empty());
        let instance = name("POD_NAME").or_else(|| name("HOSTNAME"));
        let identity = identity(variable)?;
        Ok(Self {
            cloud: arguments.cloud,
            policy: policy(arguments, &identity),
            identity,
            token_file,
            namespace: arguments.namespace.clone().unwrap_or_else(|| namespace.to_owned()),
            subscription: arguments.subscription_id,
            acr_audience: arguments.acr_audience.clone(),
            attachment_selector: arguments.attachment_selector.clone(),
            concurrency: arguments.concurrency,
            intervals: intervals(arguments),
            budget: Budget::default(),
            election: arguments.leader_election.then(|| arguments.election()).transpose()?,
            instance: instance.unwrap_or_else(|| "acr-attach".to_owned()),
            metrics_per_object: arguments.metrics_per_object,
            limits: Limits::default(),
        })
    }
}

fn policy(arguments: &Arguments, identity: &Identity) -> Policy {
    let suffixes = arguments.login_server_suffixes.clone();
    Policy {
        registries: arguments.allowed_registries.clone(),
        login_server_suffixes: suffixes.or(arguments.cloud.login_server_suffix()),
        pull_secrets: arguments.pull_secrets,
        secret_names: arguments.pull_secret_names.clone(),
        account_names: arguments.service_account_names.clone(),
        own_client: identity.client().map(str::to_ascii_lowercase),
    }
}

fn intervals(arguments: &Arguments) -> Intervals {
    Intervals {
        resync: arguments.resync,
        patience: arguments.patience,
        removal_delay: arguments.removal_delay,
        ..Intervals::DEFAULT
    }
}

/// The variable with the path of the service account token that Entra accepts, for the operator and for
/// service principals without a client secret.
const TOKEN_FILE: &str = "AZURE_FEDERATED_TOKEN_FILE";

/// Returns the operator's identity, by the variables that Azure's libraries and the workload identity
/// webhook use. Without any, the operator has no identity.
fn identity(variable: impl Fn(&str) -> Option<String>) -> Result<Identity, String> {
    let value = |name| variable(name).filter(|it| !it.is_empty());
    let client = value("AZURE_CLIENT_ID");
    let tenant = value("AZURE_TENANT_ID");
    let (secret, mut file) = (value("AZURE_CLIENT_SECRET"), value(TOKEN_FILE));
    match value("AZURE_TOKEN_CREDENTIALS").as_deref() {
        None => {}
        Some("ManagedIdentityCredential") if secret.is_none() => {
            return Ok(Identity::Managed { client });
        }
        Some("WorkloadIdentityCredential")
            if secret.is_none() && file.is_some() && client.is_some() => {}
        // The token is only for service principals.
        Some("EnvironmentCredential") if secret.is_some() => file = None,
        Some(word) => {
            return Err(format!(
                "AZURE_TOKEN_CREDENTIALS is {word}: unset it, or set ManagedIdentityCredential without AZURE_CLIENT_SECRET, so that it is clear how the operator signs in"
            ));
        }
    }
    by_credential(client, tenant, secret, file)
}

fn by_credential(
    client: Option<String>,
    tenant: Option<String>,
    secret: Option<String>,
    file: Option<String>,
) -> Result<Identity, String> {
    match (secret, file) {
        (Some(_), Some(_)) => Err(
            "AZURE_CLIENT_SECRET and AZURE_FEDERATED_TOKEN_FILE are both set: keep one, or set AZURE_TOKEN_CREDENTIALS to EnvironmentCredential so that the token is for service principals of pull secrets alone".to_owned(),
        ),
        (Some(secret), None) => match (client, tenant) {
            (Some(client), Some(tenant)) => {
                Ok(Identity::ClientSecret { tenant, client, secret: Secret::new(secret) })
            }
            _ => Err("AZURE_CLIENT_SECRET is set: set AZURE_CLIENT_ID and AZURE_TENANT_ID too".to_owned()),
        },
        (None, Some(file)) => match (client, tenant) {
            (Some(client), Some(tenant)) => {
                Ok(Identity::Workload { tenant, client, token_file: file.into() })
            }
            (Some(_), None) => Err(
                "AZURE_FEDERATED_TOKEN_FILE and AZURE_CLIENT_ID are set: set AZURE_TENANT_ID too".to_owned(),
            ),
            (None, _) => Ok(Identity::None),
        },
        (None, None) if client.is_some() => Ok(Identity::Managed { client }),
        (None, None) => Ok(Identity::None),
    }
}

#[cfg(test)]
mod tests {
    use clap::{Args, Command, FromArgMatches};

    use super::*;

    #[test]
    fn the_flags_have_the_default_intervals() {
        let matches = Arguments::augment_args(Command::new("run")).get_matches_from(["run"]);
        let arguments = Arguments::from_arg_matches(&matches).unwrap();
        assert_eq!(intervals(&arguments), Intervals::DEFAULT);
    }

    fn resolved(variables: &[(&str, &str)]) -> Result<String, String> {
        let variable = |name: &str| {
            variables.iter().find(|(it, _)| *it == name).map(|(_, value)| (*value).to_owned())
        };
        identity(variable).map(|it| it.to_string())
    }

    #[rstest::rstest]
    #[case(&[], "nobody")]
    #[case(&[("AZURE_CLIENT_ID", "")], "nobody")]
    #[case(&[("AZURE_CLIENT_ID", "c"), ("AZURE_TENANT_ID", "t"), ("AZURE_CLIENT_SECRET", "s")], "client c of tenant t with a client secret")]
    #[case(&[("AZURE_CLIENT_ID", "c"), ("AZURE_TENANT_ID", "t"), ("AZURE_FEDERATED_TOKEN_FILE", "/f")], "client c of tenant t with the federated token in /f")]
    #[case(&[("AZURE_FEDERATED_TOKEN_FILE", "/f"), ("AZURE_TENANT_ID", "t")], "nobody")]
    #[case(&[("AZURE_CLIENT_ID", "c")], "managed identity c")]
    #[case(&[("AZURE_TOKEN_CREDENTIALS", "EnvironmentCredential"), ("AZURE_CLIENT_ID", "c"), ("AZURE_TENANT_ID", "t"), ("AZURE_CLIENT_SECRET", "s"), ("AZURE_FEDERATED_TOKEN_FILE", "/f")], "client c of tenant t with a client secret")]
    #[case(&[("AZURE_TOKEN_CREDENTIALS", "ManagedIdentityCredential"), ("AZURE_CLIENT_ID", "c"), ("AZURE_FEDERATED_TOKEN_FILE", "/f")], "managed identity c")]
    #[case(&[("AZURE_TOKEN_CREDENTIALS", "ManagedIdentityCredential")], "the system-assigned managed identity")]
    fn the_standard_variables_say_who_the_operator_is(
        #[case] variables: &[(&str, &str)],
        #[case] expected: &str,
    ) {
        assert_eq!(resolved(variables).as_deref(), Ok(expected));
    }

    #[rstest::rstest]
    #[case(&[("AZURE_CLIENT_SECRET", "s"), ("AZURE_FEDERATED_TOKEN_FILE", "/f")], "keep one")]
    #[case(&[("AZURE_TOKEN_CREDENTIALS", "ManagedIdentityCredential"), ("AZURE_CLIENT_SECRET", "s")], "unset it")]
    #[case(&[("AZURE_TOKEN_CREDENTIALS", "dev")], "unset it")]
    #[case(&[("AZURE_CLIENT_SECRET", "s"), ("AZURE_CLIENT_ID", "c")], "AZURE_TENANT_ID")]
    #[case(&[("AZURE_FEDERATED_TOKEN_FILE", "/f"), ("AZURE_CLIENT_ID", "c")], "AZURE_TENANT_ID")]
    fn contradictions_are_refused(#[case] variables: &[(&str, &str)], #[case] word: &str) {
        let sentence = resolved(variables).unwrap_err();
        assert!(sentence.contains(word), "{sentence}");
        assert!(!sentence.contains('\n'));
    }
}
