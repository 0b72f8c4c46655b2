//! Leader election on a Lease: one replica works, the others wait.
//!
//! Every write to the Lease names the version that was read, so that the API server accepts at most one
//! of two. All other writes of a leader ask a fence, which is open as long as the last renewal is good.

use std::time::{Duration, Instant};

use acr_attach_core::lease::{Decision, Election, LeaseRecord, decide};
use acr_attach_core::problem::{Cause, Problem};
use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use kube::api::{Api, Patch, PatchParams};
use kube::{Client, ResourceExt};
use serde_json::json;
use tokio_util::sync::CancellationToken;

use crate::cluster::kubernetes::within;
use crate::leader::boot_time::BootTime;
use crate::leader::fence::Fence;

/// How long giving the lease back may take. After that the replica lets the lease expire.
const RESIGNING: Duration = Duration::from_secs(2);

/// A replica in the election.
pub struct Candidate {
    leases: Api<Lease>,
    election: Election,
    name: String,
    seen: Option<Seen>,
}

/// The lease as a candidate has read it, and since when it is unchanged.
struct Seen {
    spec: LeaseSpec,
    since: Instant,
}

/// The work of the leader.
pub trait Work {
    /// Works until told to stop. Every write asks the fence.
    fn work(&self, fence: Fence, stop: CancellationToken) -> impl Future<Output = ()> + Send;

    /// Called when the replica learns whether it leads.
    fn leads(&self, leads: bool);
}

impl Candidate {
    /// Creates a candidate. Its name must be unique, also after a restart.
    #[must_use]
    pub fn new(client: Client, namespace: &str, election: Election, name: String) -> Self {
        Self { leases: Api::namespaced(client, namespace), election, name, seen: None }
    }

    /// Works whenever it leads, until told to stop, and then gives the lease back.
    ///
    /// A replica that loses the lease stops working and competes for it again: an outage of the API
    /// server does not end the process.
    pub async fn run(mut self, work: &impl Work, stop: CancellationToken) {
        loop {
            let fence = tokio::select! {
                fence = self.elected(work) => fence,
                // The candidate may just have taken the lease.
                () = stop.cancelled() => return self.resign().await,
            };
            tracing::info!(lease = self.election.lease, candidate = self.name, "leading");
            work.leads(true);
            tokio::select! {
                () = work.work(fence.clone(), stop.clone()) => {}
                // The lease is lost. Dropping the work keeps it from writing any more.
                () = self.keep(&fence) => {}
            }
            fence.close();
            work.leads(false);
            if stop.is_cancelled() {
                self.resign().await;
                return;
            }
            tracing::warn!(lease = self.election.lease, "not leading any more; waiting to lead");
        }
    }

    /// Waits until this replica leads.
    async fn elected(&mut self, work: &impl Work) -> Fence {
        loop {
            match self.attempt().await {
                Ok(Some(since)) => return Fence::until(since + self.election.renew_deadline),
                Ok(None) => work.leads(false),
                Err(problem) => tracing::warn!(%problem, "the lease was not taken"),
            }
            tokio::time::sleep(self.pause()).await;
        }
    }

    /// The wait before another attempt: at most until the lease expires.
    fn pause(&self) -> Duration {
        let left = self
            .seen
            .as_ref()
            .map(|it| record(&it.spec).duration.saturating_sub(it.since.elapsed()));
        let left = left.filter(|it| !it.is_zero());
        left.map_or(self.election.retry_period, |left| left.min(self.election.retry_period))
    }

    /// Renews the lease until it is lost.
    async fn keep(&mut self, fence: &Fence) {
        let mut good_until = BootTime::now() + self.election.renew_deadline;
        loop {
            let left = || good_until.saturating_since(BootTime::now());
            tokio::time::sleep(self.election.retry_period.min(left())).await;
            match tokio::time::timeout(left(), self.attempt()).await {
                Ok(Ok(Some(since))) => {
                    good_until = since + self.election.renew_deadline;
                    fence.extend(good_until);
                }
                Ok(Ok(None)) => return tracing::warn!("another replica has taken the lease"),
                Ok(Err(problem)) => tracing::warn!(%problem, "the lease was not renewed"),
                Err(_) => return tracing::warn!("the lease was not renewed in time"),
            }
            if fence.check().is_err() {
                return;
            }
        }
    }

    /// Takes or renews the lease if that is possible, and returns when the attempt began.
    async fn attempt(&mut self) -> Result<Option<BootTime>, Problem> {
        let begun = BootTime::now();
        let limit = self.election.renew_deadline;
        let attempt = tokio::time::timeout(limit, self.try_to_hold());
        let held = attempt.await.unwrap_or_else(|_| {
            let text = format!("no answer about the lease within {} s", limit.as_secs());
            Err(Problem::new(Cause::Unavailable, text))
        })?;
        Ok(held.then_some(begun))
    }

    async fn try_to_hold(&mut self) -> Result<bool, Problem> {
        let lease = self.read().await?;
        let spec = lease.spec.clone().unwrap_or_default();
        let record = record(&spec);
        let unchanged = self.unchanged(spec);
        let took_over = match decide(&record, &self.name, unchanged) {
            Decision::Wait => return Ok(false),
            Decision::Renew => false,
            Decision::Take => true,
        };
        let now = MicroTime(Timestamp::now());
        let mut next = json!({
            "holderIdentity": self.name,
            "leaseDurationSeconds": self.election.duration_seconds(),
            "renewTime": now,
        });
        if took_over {
            next["acquireTime"] = json!(now);
            next["leaseTransitions"] = json!(record.transitions.saturating_add(1));
        }
        self.write(&lease, &next).await?;
        Ok(true)
    }

    /// How long this candidate has seen the lease unchanged.
    fn unchanged(&mut self, spec: LeaseSpec) -> Duration {
        match &self.seen {
            Some(seen) if seen.spec == spec => seen.since.elapsed(),
            _ => {
                self.seen = Some(Seen { spec, since: Instant::now() });
                Duration::ZERO
            }
        }
    }

    /// Reads the lease, or creates it without a holder. Creating it by an apply patch needs a right to
    /// that name alone, and two candidates that create it at once do not conflict.
    async fn read(&self) -> Result<Lease, Problem> {
        let name = &self.election.lease;
        let doing = format!("reading lease {name}");
        if let Some(lease) = within(&doing, self.leases.get_opt(name)).await? {
            return Ok(lease);
        }
        let empty = json!({"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": name}});
        let params = PatchParams::apply("acr-attach");
        let doing = format!("creating lease {name}");
        within(&doing, self.leases.patch(name, &params, &Patch::Apply(empty))).await
    }

    async fn write(&self, read: &Lease, spec: &serde_json::Value) -> Result<(), Problem> {
        let metadata = json!({"resourceVersion": read.resource_version(), "uid": read.uid()});
        let body = Patch::Merge(json!({"metadata": metadata, "spec": spec}));
        let doing = format!("writing lease {}", self.election.lease);
        let params = PatchParams::default();
        within(&doing, self.leases.patch(&self.election.lease, &params, &body)).await.map(drop)
    }

    /// Gives the lease back if this replica holds it, so that another need not wait until it expires.
    async fn resign(&self) {
        let resign = async {
            // A cancelled renewal may arrive between the read and the write, which then conflicts.
            while let Err(problem) = self.try_to_resign().await {
                tracing::warn!(%problem, "the lease was not given back yet");
                tokio::time::sleep(RESIGNING / 10).await;
            }
        };
        if tokio::time::timeout(RESIGNING, resign).await.is_err() {
            tracing::warn!("the lease was not given back; it runs out by itself");
        }
    }

    async fn try_to_resign(&self) -> Result<(), Problem> {
        let lease = self.read().await?;
        let spec = lease.spec.clone().unwrap_or_default();
        if record(&spec).holder != self.name {
            return Ok(());
        }
        let now = MicroTime(Timestamp::now());
        self.write(&lease, &json!({"holderIdentity": "", "renewTime": now})).await?;
        tracing::info!(lease = self.election.lease, "gave the lease back");
        Ok(())
    }
}

fn record(spec: &LeaseSpec) -> LeaseRecord {
    let seconds = spec.lease_duration_seconds.unwrap_or_default();
    LeaseRecord {
        holder: spec.holder_identity.clone().unwrap_or_default(),
        duration: Duration::from_secs(u64::try_from(seconds).unwrap_or_default()),
        transitions: spec.lease_transitions.unwrap_or_default(),
    }
}
