//! What a pass came to: the part that acting and reporting share.

use jiff::Timestamp;

use super::act::{Acted, Deed};
use super::observe::Observation;
use crate::domain::plan::Plan;
use crate::domain::problem::Problem;
use crate::domain::status::{Holdings, Observed};

/// What a pass came to.
#[derive(Debug, Default)]
pub struct Outcome {
    /// What was found out, with what was changed.
    pub observed: Observed,
    /// What was changed.
    pub deeds: Vec<Deed>,
    /// When the next removal is due.
    pub due: Option<Timestamp>,
    /// What stands in the way.
    pub problem: Option<Problem>,
    /// Whether the object asks for nothing at the moment.
    pub suspended: bool,
}

impl Outcome {
    /// What was found, as the deeds have left it.
    pub fn of(seen: Observation, plan: Plan, acted: Acted) -> Self {
        let due = plan.waiting.values().flatten().min().copied();
        let problem = seen.problem.or(plan.blocked).or(acted.problem);
        let mut observed = seen.observed;
        if let (Some(grants), Some(mut found)) = (seen.desired.grants, seen.owned.assignments) {
            for deed in &acted.deeds {
                match deed {
                    Deed::Assigned(it) | Deed::Joined(it) | Deed::Amended(it) | Deed::Held(it) => {
                        found.retain(|old| old.id != it.id);
                        found.push(it.clone());
                    }
                    Deed::Left(id) | Deed::Unassigned(id) => found.retain(|old| old.id != *id),
                    Deed::Finalizer(_) => {}
                }
            }
            observed.holdings = Some(Holdings { grants, found, waiting: plan.waiting });
        }
        Self { observed, deeds: acted.deeds, due, problem, suspended: false }
    }
}

impl From<Problem> for Outcome {
    fn from(problem: Problem) -> Self {
        Self { problem: Some(problem), ..Self::default() }
    }
}
