//! The flags, and how they are read.

use std::net::SocketAddr;
use std::path::PathBuf;

use acr_attach_azure::Cloud;
use acr_attach_core::lease::Election;
use acr_attach_core::spec::policy::{AllowedNames, AllowedRegistries, Domains};
use clap::{Args, ValueEnum};
use jiff::SignedDuration;
use uuid::Uuid;

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
    /// RBAC rules must allow them.
    #[arg(long, env = "ACR_ATTACH_PULL_SECRET_NAMES", default_value = "acr-pull")]
    pub pull_secret_names: AllowedNames,

    /// The service accounts that attachments may change, separated by commas; * means any. The
    /// operator's RBAC rules must allow them.
    #[arg(long, env = "ACR_ATTACH_SERVICE_ACCOUNT_NAMES", default_value = "default")]
    pub service_account_names: AllowedNames,

    /// The audience of tokens that are exchanged at registries. Without it, the registries' own,
    /// and Azure Resource Manager's where a tenant does not know that.
    #[arg(long, env = "ACR_ATTACH_ACR_AUDIENCE")]
    pub acr_audience: Option<String>,

    /// How many attachments may be worked on at once.
    #[arg(long, env = "ACR_ATTACH_CONCURRENCY", default_value = "64", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub concurrency: u16,

    /// How often Azure is asked again whether what was attached still holds, ± 10 %.
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

    /// Whether replicas elect one that works. Without it, run one.
    #[arg(long, env = "ACR_ATTACH_LEADER_ELECTION", default_value = "true", action = clap::ArgAction::Set)]
    pub leader_election: bool,

    /// The Lease, in the operator's namespace, that says which replica leads. Operators that
    /// share a namespace need one each.
    #[arg(long, env = "ACR_ATTACH_LEASE_NAME", default_value = "acr-attach")]
    pub lease_name: String,

    /// How long the other replicas wait for a leader that says nothing more.
    #[arg(long, env = "ACR_ATTACH_LEASE_DURATION", default_value = "15s", value_parser = positive)]
    pub lease_duration: SignedDuration,

    /// How long after its last renewal a leader still leads.
    #[arg(long, env = "ACR_ATTACH_RENEW_DEADLINE", default_value = "10s", value_parser = positive)]
    pub renew_deadline: SignedDuration,

    /// How long a replica waits between two attempts to take or renew the lease.
    #[arg(long, env = "ACR_ATTACH_RETRY_PERIOD", default_value = "2s", value_parser = duration)]
    pub retry_period: SignedDuration,

    /// Where /livez, /readyz and /metrics are served.
    #[arg(long, env = "ACR_ATTACH_LISTEN", default_value = "0.0.0.0:8080")]
    pub listen: SocketAddr,

    /// Whether metrics tell of each attachment, by its name. Without it they count them.
    #[arg(long, env = "ACR_ATTACH_METRICS_PER_OBJECT", default_value = "true", action = clap::ArgAction::Set)]
    pub metrics_per_object: bool,

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
    /// Also one line for each reconcile.
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

impl Arguments {
    /// How the replicas elect one that works.
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
