//! Ready of a suspended attachment: what is known now where the cluster tells it, else what was
//! known before.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;

use super::{NewCondition, attached, fact, server};
use crate::api::{ConditionType, Reason};
use crate::outcome::status::{Report, RoleState};
use crate::pull_secrets::PullSecretState;

const NOW: &str =
    "suspended: nothing is granted, removed or attached until spec.suspend is false; ";
const BEFORE: &str = "what held before was not checked since: ";
const NEVER: &str = "it was never attached";

pub(super) fn ready(report: &Report<'_>, before: &[Condition]) -> NewCondition {
    let before = before.iter().find(|it| it.type_ == ConditionType::Ready.as_str());
    let reason = |status, text: &str| {
        fact(ConditionType::Ready, status, Reason::Suspended, &format!("{NOW}{text}"))
    };
    match (&report.observed.pull_secrets, before) {
        (Some(served), _) if served.served_count() > 0 && holds(report, served) => {
            reason("True", &attached(report.observed))
        }
        (Some(served), _) if served.desired_count() > 0 => {
            reason("False", &format!("{}: {}", server(report.observed), served.text()))
        }
        (_, Some(before)) => {
            let text = before.message.strip_prefix(NOW).unwrap_or(&before.message);
            match text.strip_prefix(BEFORE).unwrap_or(text) {
                NEVER => reason("False", NEVER),
                text => reason(known(&before.status), &format!("{BEFORE}{text}")),
            }
        }
        // Unknown would promise that it is being found out.
        _ => reason("False", NEVER),
    }
}

fn holds(report: &Report<'_>, served: &PullSecretState) -> bool {
    served.holds() && report.observed.roles.as_ref().is_none_or(RoleState::all_assigned)
}

fn known(status: &str) -> &'static str {
    if status == "True" { "True" } else { "False" }
}
