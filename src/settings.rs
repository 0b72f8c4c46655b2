//! Settings: what was typed, and what it means. Parsed once, at the start.

use std::net::SocketAddr;
use std::path::PathBuf;

use azure_core::credentials::Secret;
use clap::{Args, ValueEnum};
use jiff::SignedDuration;
use uuid::Uuid;

use crate::azure::{Budget, Cloud, Identity};
use crate::domain::policy::{AllowedNames, AllowedRegistries, Domains, Policy};
use crate::domain::schedule::Intervals;

/// The flags of `acr-attach run`. Each has an environment twin.
#[derive(Args, Clone, Debug)]
pub struct Arguments {
    /// The Azure cloud.
    #[arg(long, env = "ACR_ATTACH_CLOUD", value_enum, default_value = "public")]
    pub cloud: Cloud,

    /// Registries that attachments may name: starts of resource ids in whole segments, or login
    /// servers, separated by commas. A login server allows only attachments that name the
    /// registry by it. Empty: any.
    #[arg(
        long,
        env = "ACR_ATTACH_ALLOWED_REGISTRIES",
        default_value = "",
        hide_default_value = true
    )]
    pub allowed_registries: AllowedRegistries,

    /// The label selector of the attachments to serve. Operators that share a cluster must not
    /// overlap. Empty: all.
    #[arg(long, env = "ACR_ATTACH_ATTACHMENT_SELECTOR", default_value = "", hide_default_value = true, value_parser = selector)]
    pub attachment_selector: String,

    /// The subscription in which registries are looked up by name where neither the attachment
    /// nor the cluster tells another.
    #[arg(long, env = "ACR_ATTACH_SUBSCRIPTION_ID")]
    pub subscription_id: Option<Uuid>,

    /// The operator's own namespace, in which Secrets with client secrets are read. Without it,
    /// that of the service account.
    #[arg(long, env = "POD_NAMESPACE")]
    pub namespace: Option<String>,

    /// Domains of login servers, separated by commas. A client secret is shown to no other host.
    /// Empty: the cloud's.
    #[arg(
        long,
        env = "ACR_ATTACH_LOGIN_SERVER_SUFFIXES",
        default_value = "",
        hide_default_value = true
    )]
    pub login_server_suffixes: Domains,

    /// Whether attachments may use pull secrets. If not, nothing of Secrets and service accounts
    /// is read.
    #[arg(long, env = "ACR_ATTACH_PULL_SECRETS", default_value = "true", action = clap::ArgAction::Set)]
    pub pull_secrets: bool,

    /// The names that pull secrets may have, separated by commas; * means any. The operator's
    /// rules must allow them.
    #[arg(long, env = "ACR_ATTACH_PULL_SECRET_NAMES", default_value = "acr-pull")]
    pub pull_secret_names: AllowedNames,

    /// The service accounts that attachments may change, separated by commas; * means any. The
    /// operator's rules must allow them.
    #[arg(long, env = "ACR_ATTACH_SERVICE_ACCOUNT_NAMES", default_value = "default")]
    pub service_account_names: AllowedNames,

    /// The audience of tokens that are exchanged at registries. Without it, the registries' own,
    /// and Azure Resource Manager's where a tenant does not know that.
    #[arg(long, env = "ACR_ATTACH_ACR_AUDIENCE")]
    pub acr_audience: Option<String>,

    /// How many attachments may be worked on at once.
    #[arg(long, env = "ACR_ATTACH_CONCURRENCY", default_value = "64", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub concurrency: u16,

    /// How often what holds is looked at, ± 10 %.
    #[arg(long, env = "ACR_ATTACH_RESYNC", default_value = "30m", value_parser = positive)]
    pub resync: SignedDuration,

    /// How long a new role assignment must have been in force before the one it replaces is
    /// removed.
    #[arg(long, env = "ACR_ATTACH_REMOVAL_DELAY", default_value = "1h", value_parser = duration)]
    pub removal_delay: SignedDuration,

    /// How long a problem may last before the attachment is Stalled.
    #[arg(long, env = "ACR_ATTACH_PATIENCE", default_value = "10m", value_parser = duration)]
    pub patience: SignedDuration,

    /// A file of certificates (PEM) to trust for Azure beside the system's.
    #[arg(long, env = "ACR_ATTACH_CA_FILE")]
    pub ca_file: Option<PathBuf>,

    /// Where /livez, /readyz and /metrics are served.
    #[arg(long, env = "ACR_ATTACH_LISTEN", default_value = "0.0.0.0:8080")]
    pub listen: SocketAddr,

    /// How much is logged.
    #[arg(long, env = "ACR_ATTACH_LOG_LEVEL", value_enum, default_value = "info")]
    pub log_level: LogLevel,

    /// How it is logged.
    #[arg(long, env = "ACR_ATTACH_LOG_FORMAT", value_enum, default_value = "json")]
    pub log_format: LogFormat,
}

/// How much is logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogLevel {
    /// Only what the operator could not do at all.
    Error,
    /// Also what failed and is tried again.
    Warn,
    /// Also one line for each pass.
    Info,
    /// Also what the libraries tell.
    Debug,
    /// Everything.
    Trace,
}

/// How a line is logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// One JSON object a line.
    Json,
    /// For people.
    Text,
}

/// What the operator works with.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The Azure cloud.
    pub cloud: Cloud,
    /// Who the operator is there.
    pub identity: Identity,
    /// What attachments may ask for.
    pub policy: Policy,
    /// The operator's own namespace.
    pub namespace: String,
    /// The file with the operator's own token of the cluster, if it has one.
    pub token_file: Option<PathBuf>,
    /// The operator's own subscription, if it is given.
    pub subscription: Option<Uuid>,
    /// The audience of tokens that are exchanged at registries, if it is given.
    pub acr_audience: Option<String>,
    /// The label selector of the attachments to serve.
    pub attachment_selector: String,
    /// How many attachments may be worked on at once.
    pub concurrency: u16,
    /// The operator's intervals.
    pub intervals: Intervals,
    /// What may be asked of one Azure subscription.
    pub budget: Budget,
}

impl Settings {
    /// What those flags and the standard variables of Azure's libraries mean. `variable` reads
    /// the environment; `namespace` is that of the service account.
    ///
    /// # Errors
    /// One sentence when they contradict each other.
    pub fn resolve(
        arguments: &Arguments,
        variable: impl Fn(&str) -> Option<String>,
        namespace: &str,
    ) -> Result<Self, String> {
        let token_file = variable(TOKEN_FILE).filter(|it| !it.is_empty()).map(PathBuf::from);
        let identity = identity(variable)?;
        let cloud = arguments.cloud;
        Ok(Self {
            cloud,
            policy: Policy {
                registries: arguments.allowed_registries.clone(),
                login_server_suffixes: arguments
                    .login_server_suffixes
                    .clone()
                    .or(cloud.login_server_suffix()),
                pull_secrets: arguments.pull_secrets,
                secret_names: arguments.pull_secret_names.clone(),
                account_names: arguments.service_account_names.clone(),
                own_client: identity.client().map(str::to_ascii_lowercase),
            },
            identity,
            token_file,
            namespace: arguments.namespace.clone().unwrap_or_else(|| namespace.to_owned()),
            subscription: arguments.subscription_id,
            acr_audience: arguments.acr_audience.clone(),
            attachment_selector: arguments.attachment_selector.clone(),
            concurrency: arguments.concurrency,
            intervals: Intervals {
                resync: arguments.resync,
                patience: arguments.patience,
                removal_delay: arguments.removal_delay,
            },
            budget: Budget::default(),
        })
    }
}

/// The file with the token of the cluster that Entra takes, for the operator and for service
/// principals without a client secret.
const TOKEN_FILE: &str = "AZURE_FEDERATED_TOKEN_FILE";

/// The operator's identity, from the variables that Azure's libraries and the workload identity
/// webhook use. Without any it has none.
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
        // The token is for service principals alone.
        Some("EnvironmentCredential") if secret.is_some() => file = None,
        Some(word) => {
            return Err(format!(
                "AZURE_TOKEN_CREDENTIALS is {word}: unset it, or set ManagedIdentityCredential without AZURE_CLIENT_SECRET, so that it is clear how the operator signs in"
            ));
        }
    }
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

fn duration(text: &str) -> Result<SignedDuration, String> {
    let parsed: Result<SignedDuration, _> = text.parse();
    parsed
        .ok()
        .filter(|it| !it.is_negative() && *it <= SignedDuration::from_hours(24 * 365))
        .ok_or_else(|| "write a duration such as 30m, 1h or 15s".to_owned())
}

fn positive(text: &str) -> Result<SignedDuration, String> {
    duration(text)
        .ok()
        .filter(|it| *it >= SignedDuration::from_secs(1))
        .ok_or_else(|| "write a duration of at least a second, such as 30m or 15s".to_owned())
}

/// Label selectors are judged by the API server; what can be said here is that it is one line
/// of printable characters, so that it stays in its place in a URL.
fn selector(text: &str) -> Result<String, String> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "-_./=!,() ".contains(c);
    if text.chars().all(allowed) {
        return Ok(text.to_owned());
    }
    Err("write a label selector such as team=a or tier in (x,y)".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

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

    #[rstest::rstest]
    #[case("30m", Some(1800))]
    #[case("1h", Some(3600))]
    #[case("15s", Some(15))]
    #[case("0s", None)]
    #[case("-5m", None)]
    #[case("soon", None)]
    #[case("30", None)]
    fn durations_carry_their_unit(#[case] text: &str, #[case] seconds: Option<i64>) {
        assert_eq!(positive(text).ok().map(|it| it.as_secs()), seconds);
    }
}
