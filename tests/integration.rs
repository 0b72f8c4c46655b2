//! The operator against a real API server and a simulated Azure: what users see, what Azure
//! holds, and what must never happen.
//!
//! Run by `make test`, which starts the control plane that the worlds share.

#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test may panic, in its own functions too"
)]

#[path = "integration/admission.rs"]
mod admission;
#[path = "integration/alerts.rs"]
mod alerts;
#[path = "integration/argocd.rs"]
mod argocd;
#[path = "integration/assigned_roles.rs"]
mod assigned_roles;
#[path = "integration/attaching.rs"]
mod attaching;
#[path = "integration/budget.rs"]
mod budget;
#[path = "integration/causes.rs"]
mod causes;
#[path = "integration/chart.rs"]
mod chart;
#[path = "integration/chart_monitoring.rs"]
mod chart_monitoring;
#[path = "integration/chart_objects.rs"]
mod chart_objects;
#[path = "integration/chart_openshift.rs"]
mod chart_openshift;
#[path = "integration/chart_refusals.rs"]
mod chart_refusals;
#[path = "integration/chart_sidecars.rs"]
mod chart_sidecars;
#[path = "integration/chart_values.rs"]
mod chart_values;
#[path = "integration/check/mod.rs"]
mod check;
#[path = "integration/client_secrets.rs"]
mod client_secrets;
#[path = "integration/clouds.rs"]
mod clouds;
#[path = "integration/contests.rs"]
mod contests;
#[path = "integration/contradictions.rs"]
mod contradictions;
#[path = "integration/dashboard.rs"]
mod dashboard;
#[path = "integration/detaching.rs"]
mod detaching;
#[path = "integration/documents.rs"]
mod documents;
#[path = "integration/election.rs"]
mod election;
#[path = "integration/federation.rs"]
mod federation;
#[path = "integration/fences.rs"]
mod fences;
#[path = "integration/finding.rs"]
mod finding;
#[path = "integration/first_hour.rs"]
mod first_hour;
#[path = "integration/forbidden.rs"]
mod forbidden;
#[path = "integration/fresh_reads.rs"]
mod fresh_reads;
#[path = "integration/gitops.rs"]
mod gitops;
#[path = "integration/golden.rs"]
mod golden;
#[path = "integration/helm.rs"]
mod helm;
#[path = "integration/image.rs"]
mod image;
#[path = "integration/in_the_way.rs"]
mod in_the_way;
#[path = "integration/kubelet.rs"]
mod kubelet;
#[path = "integration/liveness.rs"]
mod liveness;
#[path = "integration/logs.rs"]
mod logs;
#[path = "integration/looked_up.rs"]
mod looked_up;
#[path = "integration/lost_answers.rs"]
mod lost_answers;
#[path = "integration/metrics.rs"]
mod metrics;
#[path = "integration/narrowed.rs"]
mod narrowed;
#[path = "integration/outages.rs"]
mod outages;
#[path = "integration/program.rs"]
mod program;
#[path = "integration/provisioning.rs"]
mod provisioning;
#[path = "integration/pull_secret_conflicts.rs"]
mod pull_secret_conflicts;
#[path = "integration/pull_secret_drift.rs"]
mod pull_secret_drift;
#[path = "integration/pull_secret_proofs.rs"]
mod pull_secret_proofs;
#[path = "integration/pull_secret_reach.rs"]
mod pull_secret_reach;
#[path = "integration/pull_secret_renewal.rs"]
mod pull_secret_renewal;
#[path = "integration/pull_secrets.rs"]
mod pull_secrets;
#[path = "integration/readers.rs"]
mod readers;
#[path = "integration/refusals.rs"]
mod refusals;
#[path = "integration/regional.rs"]
mod regional;
#[path = "integration/release_names.rs"]
mod release_names;
#[path = "integration/replicas.rs"]
mod replicas;
#[path = "integration/repositories.rs"]
mod repositories;
#[path = "integration/resource_groups.rs"]
mod resource_groups;
#[path = "integration/sharing.rs"]
mod sharing;
#[path = "integration/steady.rs"]
mod steady;
#[path = "integration/takeovers.rs"]
mod takeovers;
#[path = "integration/throttling.rs"]
mod throttling;
#[path = "integration/tidy.rs"]
mod tidy;
#[path = "integration/two_clusters.rs"]
mod two_clusters;
#[path = "integration/uninstalling.rs"]
mod uninstalling;
#[path = "integration/unreadable.rs"]
mod unreadable;
#[path = "integration/upgrade.rs"]
mod upgrade;
#[path = "integration/versions.rs"]
mod versions;
mod world;
