//! Ready of a suspended attachment: by the cluster where that tells the state, else by the former
//! condition.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;

use super::{NewCondition, attached_message, condition, server};
use crate::api::{ConditionType, Reason};
use crate::outcome::status::{Report, RoleState};
use crate::pull_secrets::PullSecretState;

const NOW: &str =
    "suspended: nothing is granted, removed or attached until spec.suspend is false; ";
const BEFORE: &str = "what held before was not checked since: ";
const NEVER: &str = "it was never attached";

pub(super) fn ready(report: &Report<'_>, before: &[Condition]) -> NewCondition {
    let before = before.iter().find(|it| it.type_ == ConditionType::Ready.as_str());
    let suspended = |status, text: &str| {
        condition(ConditionType::Ready, status, Reason::Suspended, &format!("{NOW}{text}"))
    };
    match (&report.observed.pull_secrets, before) {
        (Some(served), _) if served.served_count() > 0 && is_in_place(report, served) => {
            suspended("True", &attached_message(report.observed))
        }
        (Some(served), _) if served.desired_count() > 0 => {
            suspended("False", &format!("{}: {}", server(report.observed), served.text()))
        }
        (_, Some(before)) => {
            let text = before.message.strip_prefix(NOW).unwrap_or(&before.message);
            match text.strip_prefix(BEFORE).unwrap_or(text) {
                NEVER => suspended("False", NEVER),
                text => suspended(true_or_false(&before.status), &format!("{BEFORE}{text}")),
            }
        }
        // Unknown would tell that the operator still finds out.
        _ => suspended("False", NEVER),
    }
}

fn is_in_place(report: &Report<'_>, served: &PullSecretState) -> bool {
    served.holds() && report.observed.roles.as_ref().is_none_or(RoleState::all_assigned)
}

fn true_or_false(status: &str) -> &'static str {
    if status == "True" { "True" } else { "False" }
}
