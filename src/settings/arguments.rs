//! The flags, and how their values are parsed.

use std::net::SocketAddr;
use std::path::PathBuf;

use acr_attach_azure::Cloud;
use acr_attach_core::lease::Election;
use acr_attach_core::spec::policy::{AllowedNames, AllowedRegistries, Domains};
use clap::{Args, ValueEnum};
use jiff::SignedDuration;
use uuid::Uuid;

/// The flags of `acr-attach run`. Each has an environment variable.
#[derive(Args, Clone, Debug)]
pub struct Arguments {
    /// The Azure cloud.
    #[arg(long, env = "ACR_ATTACH_CLOUD", value_enum, default_value = "public")]
    pub cloud: Cloud,

    /// Registries that attachments may name, separated by commas: beginnings of resource ids, in whole
    /// segments, or login servers. A login server allows only attachments that name the registry by it.
    /// Empty: any.
    #[arg(
        long,
        env = "ACR_ATTACH_ALLOWED_REGISTRIES",
        default_value = "",
        hide_default_value = true
    )]
    pub allowed_registries: AllowedRegistries,

    /// The label selector of the attachments to serve. Operators that share a cluster must not select
    /// the same ones. Empty: all.
    #[arg(long, env = "ACR_ATTACH_ATTACHMENT_SELECTOR", default_value = "", hide_default_value = true, value_parser = selector)]
    pub attachment_selector: String,

    /// The subscription in which registries are looked up by name, unless the attachment or the cluster
    /// names another.
    #[arg(long, env = "ACR_ATTACH_SUBSCRIPTION_ID")]
    pub subscription_id: Option<Uuid>,

    /// The operator's own namespace, from which Secrets with client secrets are read. Default: that of
    /// the service account.
    #[arg(long, env = "POD_NAMESPACE")]
    pub namespace: Option<String>,

    /// Domains of login servers, separated by commas. A client secret is sent to no other host. Empty:
    /// the cloud's.
    #[arg(
        long,
        env = "ACR_ATTACH_LOGIN_SERVER_SUFFIXES",
        default_value = "",
        hide_default_value = true
    )]
    pub login_server_suffixes: Domains,

    /// Whether attachments may use pull secrets. If not, no Secrets and service accounts are read.
    #[arg(long, env = "ACR_ATTACH_PULL_SECRETS", default_value = "true", action = clap::ArgAction::Set)]
    pub pull_secrets: bool,

    /// The names that pull secrets may have, separated by commas; * means any. The operator's
    /// RBAC rules must allow them.
    #[arg(long, env = "ACR_ATTACH_PULL_SECRET_NAMES", default_value = "acr-pull")]
    pub pull_secret_names: AllowedNames,

    /// The service accounts that attachments may change, separated by commas; * means any. The
    /// operator's RBAC rules must allow them.
    #[arg(long, env = "ACR_ATTACH_SERVICE_ACCOUNT_NAMES", default_value = "default")]
    pub service_account_names: AllowedNames,

    /// The audience of tokens that are exchanged at registries. Default: the registries' own, or Azure
    /// Resource Manager's in a tenant that does not know it.
    #[arg(long, env = "ACR_ATTACH_ACR_AUDIENCE")]
    pub acr_audience: Option<String>,

    /// How many attachments may be reconciled at once.
    #[arg(long, env = "ACR_ATTACH_CONCURRENCY", default_value = "64", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub concurrency: u16,

    /// How often Azure is checked again for each attachment, ± 10 %.
    #[arg(long, env = "ACR_ATTACH_RESYNC", default_value = "30m", value_parser = positive)]
    pub resync: SignedDuration,

    /// How long a new role assignment must have been in force before the one it replaces is
    /// removed.
    #[arg(long, env = "ACR_ATTACH_REMOVAL_DELAY", default_value = "1h", value_parser = duration)]
    pub removal_delay: SignedDuration,

    /// How long a problem may last before the attachment is Stalled.
    #[arg(long, env = "ACR_ATTACH_PATIENCE", default_value = "10m", value_parser = duration)]
    pub patience: SignedDuration,

    /// A file of certificates (PEM) to trust for Azure, beside the system's.
    #[arg(long, env = "ACR_ATTACH_CA_FILE")]
    pub ca_file: Option<PathBuf>,

    /// Whether replicas elect a leader. If not, run only one replica.
    #[arg(long, env = "ACR_ATTACH_LEADER_ELECTION", default_value = "true", action = clap::ArgAction::Set)]
    pub leader_election: bool,

    /// The Lease, in the operator's namespace, that names the leader. Operators that share a namespace
    /// need one each.
    #[arg(long, env = "ACR_ATTACH_LEASE_NAME", default_value = "acr-attach")]
    pub lease_name: String,

    /// How long the other replicas wait for a leader that does not renew its lease.
    #[arg(long, env = "ACR_ATTACH_LEASE_DURATION", default_value = "15s", value_parser = positive)]
    pub lease_duration: SignedDuration,

    /// How long after its last renewal a leader still leads.
    #[arg(long, env = "ACR_ATTACH_RENEW_DEADLINE", default_value = "10s", value_parser = positive)]
    pub renew_deadline: SignedDuration,

    /// How long a replica waits between two attempts to take or renew the lease.
    #[arg(long, env = "ACR_ATTACH_RETRY_PERIOD", default_value = "2s", value_parser = duration)]
    pub retry_period: SignedDuration,

    /// The address of /livez, /readyz and /metrics.
    #[arg(long, env = "ACR_ATTACH_LISTEN", default_value = "0.0.0.0:8080")]
    pub listen: SocketAddr,

    /// Whether metrics have series for each attachment, by name. If not, they only count attachments.
    #[arg(long, env = "ACR_ATTACH_METRICS_PER_OBJECT", default_value = "true", action = clap::ArgAction::Set)]
    pub metrics_per_object: bool,

    /// The log level.
    #[arg(long, env = "ACR_ATTACH_LOG_LEVEL", value_enum, default_value = "info")]
    pub log_level: LogLevel,

    /// The log format.
    #[arg(long, env = "ACR_ATTACH_LOG_FORMAT", value_enum, default_value = "json")]
    pub log_format: LogFormat,
}

/// The log level.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogLevel {
    /// Only failures that are not retried.
    Error,
    /// Also failures that are retried.
    Warn,
    /// Also one line for each reconcile.
    Info,
    /// Also messages of libraries.
    Debug,
    /// Everything.
    Trace,
}

/// The log format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// One JSON object per line.
    Json,
    /// Text for people.
    Text,
}

impl Arguments {
    /// Returns the parameters of the leader election, if they are consistent.
    pub(super) fn election(&self) -> Result<Election, String> {
        Election {
            lease: self.lease_name.clone(),
            duration: self.lease_duration.unsigned_abs(),
            renew_deadline: self.renew_deadline.unsigned_abs(),
            retry_period: self.retry_period.unsigned_abs(),
        }
        .checked()
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

/// Checks that a label selector is one line of printable characters, so that it keeps its place in a
/// URL. The API server judges the rest.
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
