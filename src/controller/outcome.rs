//! What a pass came to: the part that acting and reporting share.

use jiff::Timestamp;

use super::act::{Acted, Deed};
use super::memory::Secrets;
use super::observe::{Observation, Occasion};
use crate::domain::cluster::StoredSecret;
use crate::domain::facts::RoleAssignment;
use crate::domain::plan::Plan;
use crate::domain::problem::Problem;
use crate::domain::pull_secret::{Delivered, Served};
use crate::domain::status::{Holdings, Observed};

/// What a pass came to.
#[derive(Debug, Default)]
pub struct Outcome {
    /// What was found out, with what was changed.
    pub observed: Observed,
    /// What was changed.
    pub deeds: Vec<Deed>,
    /// When the next thing is due: a removal, or a renewal.
    pub due: Option<Timestamp>,
    /// What keeps the attachment from being Ready.
    pub problem: Option<Problem>,
    /// What else went wrong, and is tried again.
    pub beside: Option<Problem>,
    /// Whether the credential in use could not be asked about.
    pub in_doubt: bool,
    /// Whether the object asks for nothing at the moment.
    pub suspended: bool,
    /// Whether Azure was asked anew.
    pub has_looked: bool,
    /// What is known of the pull secrets from now on.
    pub secrets: Secrets,
}

impl Outcome {
    /// What was found, as the deeds have left it.
    pub fn of(
        seen: Observation,
        plan: Plan,
        mut acted: Acted,
        (known, occasion): (&Secrets, Occasion),
        now: Timestamp,
    ) -> Self {
        let Observation { mut observed, desired, owned, wanted, .. } = seen;
        if let (Some(grants), Some(owns)) = (desired.grants, owned.assignments) {
            let found = with_deeds(owns.found, &acted.deeds);
            observed.holdings = Some(Holdings { grants, found, waiting: plan.waiting });
        }
        let mut secrets = remembered(known, &observed, &acted);
        if let (Some(wanted), Some(found), Some(_)) = (wanted, owned.secrets, desired.deliveries) {
            let failing = plan.failing.into_iter().chain(std::mem::take(&mut acted.failing));
            let delivered = Delivered {
                secrets: written(found, &acted.deeds),
                failing: failing.collect(),
                mint: acted.mint.clone(),
            };
            let served = Served::of(wanted, &owned.uid, delivered, now);
            secrets.served = served.secrets.iter().map(|it| it.namespace.clone()).collect();
            observed.remark = secrets.remark;
            observed.served = Some(served);
        }
        let served = observed.served.as_ref();
        let in_doubt = seen.doubt.is_some();
        let (failing, beside) = served.map_or((None, None), |it| (it.problem(), it.beside()));
        // Azure Resource Manager is not asked for leave to pull.
        let can_pull = served.is_some_and(Served::holds);
        let (passing, problem) = match seen.problem {
            Some(it) if can_pull && it.cause.is_passing() => (Some(it), None),
            problem => (None, problem),
        };
        Self {
            problem: problem.or(plan.blocked).or(acted.problem).or(failing).or(seen.doubt),
            beside: beside.or(passing),
            // What has just been written has a date of its own.
            due: [plan.due, served.and_then(Served::renew)].into_iter().flatten().min(),
            deeds: acted.deeds,
            has_looked: occasion == Occasion::Look,
            suspended: false,
            in_doubt,
            observed,
            secrets,
        }
    }

    /// The same for an attachment that asks for nothing but renewals at the moment.
    pub fn suspended(self) -> Self {
        let overdue = self.observed.served.as_ref().and_then(|it| it.overdue.clone());
        Self { suspended: true, problem: None, beside: overdue, ..self }
    }

    /// Whether what should hold does, if that is known.
    pub fn holds(&self) -> Option<bool> {
        let roles = self.observed.holdings.as_ref().map(Holdings::are_complete);
        match &self.observed.served {
            Some(served) if self.in_doubt && served.holds() => None,
            Some(served) => Some(served.holds() && roles != Some(false)),
            None => roles,
        }
    }
}

fn with_deeds(mut found: Vec<RoleAssignment>, deeds: &[Deed]) -> Vec<RoleAssignment> {
    for deed in deeds {
        match deed {
            Deed::Assigned(it) | Deed::Joined(it) | Deed::Amended(it) | Deed::Held(it) => {
                found.retain(|old| old.id != it.id);
                found.push(it.clone());
            }
            Deed::Left(id) | Deed::Unassigned(id) => found.retain(|old| old.id != *id),
            _ => {}
        }
    }
    found
}

fn written(mut found: Vec<StoredSecret>, deeds: &[Deed]) -> Vec<StoredSecret> {
    for deed in deeds {
        if let Deed::Provided(_, it) = deed {
            found.retain(|old| (&old.namespace, &old.name) != (&it.namespace, &it.name));
            found.push((**it).clone());
        }
    }
    found
}

const ARM_AUDIENCE: &str = "the tenant does not know the audience https://containerregistry.azure.net, so tokens are asked for Azure Resource Manager's";

/// What is known after the pass.
fn remembered(known: &Secrets, observed: &Observed, acted: &Acted) -> Secrets {
    let mut secrets = known.clone();
    secrets.registry = observed.registry.clone().or(secrets.registry);
    secrets.refusal.clone_from(&acted.mint);
    for deed in &acted.deeds {
        if let Deed::Minted { digest, by_arm_audience } = deed {
            secrets.accepted = Some(digest.clone());
            secrets.remark = by_arm_audience.then_some(ARM_AUDIENCE);
        }
    }
    secrets
}

impl From<Problem> for Outcome {
    fn from(problem: Problem) -> Self {
        Self { problem: Some(problem), ..Self::default() }
    }
}
