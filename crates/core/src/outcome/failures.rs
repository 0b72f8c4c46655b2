//! What went wrong in a reconcile: what keeps the attachment from being Ready, and what is tried again.

use super::last_check::{LastCheck, Scope};
use super::status::RoleState;
use crate::problem::{Cause, Problem};
use crate::pull_secrets::PullSecretState;

/// Something that went wrong.
#[derive(Clone, Debug, PartialEq)]
pub struct Failure {
    /// The problem.
    pub problem: Problem,
    /// The reconcile that it takes to try again.
    pub needs: Scope,
}

/// What a reconcile has met, part by part.
#[derive(Clone, Debug, Default)]
pub struct Encounters<'a> {
    /// What the reconcile read.
    pub scope: Scope,
    /// What the last check of Azure has found, which may be this one.
    pub check: Option<&'a LastCheck>,
    /// Why a finalizer was not added or removed.
    pub finalizer: Option<&'a Problem>,
    /// Why something in the cluster that is no longer desired was not removed.
    pub unremoved: Option<&'a Problem>,
    /// Why there is no new credential.
    pub credential: Option<&'a Problem>,
    /// Why something in the cluster is unknown.
    pub unseen: Option<&'a Problem>,
    /// The pull secrets, if all namespaces have reported.
    pub served: Option<&'a PullSecretState>,
    /// The roles, if they are known.
    pub roles: Option<&'a RoleState>,
}

/// What the failures of a reconcile come to.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Failures {
    /// Everything that went wrong.
    pub all: Vec<Failure>,
    /// The problem that keeps the attachment from being Ready.
    pub problem: Option<Problem>,
    /// Another problem, which does not affect Ready and is retried.
    pub other_problem: Option<Problem>,
    /// Whether the desired state is in place, if that is known.
    pub holds: Option<bool>,
}

impl Failures {
    /// Sorts what a reconcile has met by what it means.
    ///
    /// Azure Resource Manager decides nothing about pulls by pull secret: what it does not answer is told beside
    /// while all are served. A credential that the registry has accepted serves until it ends, whatever else
    /// answers at the moment.
    #[must_use]
    pub fn of(met: &Encounters<'_>) -> Self {
        let check = met.check.cloned().unwrap_or_default();
        let LastCheck { problem, undone, unprepared, doubt, .. } = check.clone();
        let can_pull = met.served.is_some_and(PullSecretState::holds);
        let problem = problem.map(|it| after_preparation(it, unprepared.as_ref()));
        let (passing, unknown) = split(problem, |it| can_pull && it.cause.is_transient());
        let (unproven, doubt) = split(doubt, |it| can_pull && !it.cause.is_waiting());
        // Without a namespace nothing else says that there is no credential to be had.
        let untried = met.served.filter(|it| it.existing == 0).and(met.credential.cloned());
        let is_unsure = untried.as_ref().is_some_and(|it| it.cause.is_transient());
        let holds = holds(met, doubt.is_some() || is_unsure);

        let failing = met.served.and_then(PullSecretState::problem);
        let of_parts = met.unseen.cloned().or(unknown).or(undone);
        let of_parts = of_parts.or(met.finalizer.cloned()).or(failing);
        let failure = met.served.and_then(PullSecretState::first_failure);
        let overdue = met.served.and_then(|it| it.renewal_problem.clone());
        let left = met.unremoved.cloned().or(check.obsolete.clone());
        let beside = failure.or(overdue).or(passing).or(unproven);
        let beside = beside.or(met.credential.cloned()).or(left).or(unprepared);
        Self {
            all: all(met, &check),
            problem: of_parts.or(doubt).or(untried),
            other_problem: beside,
            holds,
        }
    }

    /// The same for an attachment that asks for nothing but renewals at the moment.
    #[must_use]
    pub fn suspended(mut self, met: &Encounters<'_>) -> Self {
        let overdue = met.served.and_then(|it| it.renewal_problem.clone());
        let renewing = overdue.or_else(|| met.check?.refusal.clone());
        self.all.retain(|it| {
            let renews = renewing.as_ref() == Some(&it.problem);
            it.needs == Scope::Azure || renews || met.unseen == Some(&it.problem)
        });
        let beside = renewing.or(met.unseen.cloned()).or_else(|| met.check?.problem.clone());
        Self { problem: None, other_problem: beside, ..self }
    }

    /// Adds a problem that keeps the attachment from being Ready, before all others.
    #[must_use]
    pub fn with_problem(mut self, problem: Problem) -> Self {
        self.all.push(Failure { problem: problem.clone(), needs: Scope::Azure });
        Self { problem: Some(problem), ..self }
    }

    /// Of a reconcile that failed before it read anything.
    #[must_use]
    pub fn only(problem: Problem) -> Self {
        Self::default().with_problem(problem)
    }
}

/// Everything that went wrong, each with what it takes to try again.
fn all(met: &Encounters<'_>, check: &LastCheck) -> Vec<Failure> {
    let LastCheck { problem, undone, unprepared, obsolete, doubt, .. } = check;
    let unread = check.unread.as_ref().filter(|it| it.cause.is_transient());
    let of_check = [problem, undone, unprepared, obsolete, doubt].into_iter().flatten();
    let others = [unread, met.finalizer, met.credential, met.unremoved].into_iter().flatten();
    let in_azure = of_check.chain(others).map(|it| (it, Scope::Azure));
    let failing = met.served.into_iter().flat_map(PullSecretState::problems);
    // Namespaces that wait for the credential repeat its problem.
    let failing = failing.filter(|it| met.credential != Some(*it)).map(|it| (it, Scope::Cluster));
    // Reports that are yet to come need no check of Azure.
    let needs = if check.too_early { met.scope } else { Scope::Cluster };
    let unseen = met.unseen.into_iter().map(|it| (it, needs));
    let all = in_azure.chain(failing).chain(unseen);
    all.map(|(problem, needs)| Failure { problem: problem.clone(), needs }).collect()
}

fn holds(met: &Encounters<'_>, in_doubt: bool) -> Option<bool> {
    let roles = met.roles.map(RoleState::all_assigned);
    match met.served {
        Some(served) if in_doubt && served.holds() => None,
        Some(served) => Some(served.holds() && roles != Some(false)),
        None => roles,
    }
}

/// The problem on the left where the condition is met, else on the right.
fn split(
    problem: Option<Problem>,
    is_left: impl Fn(&Problem) -> bool,
) -> (Option<Problem>, Option<Problem>) {
    match problem {
        Some(it) if is_left(&it) => (Some(it), None),
        problem => (None, problem),
    }
}

/// The advice on an invalid spec may end in a switch of the registry's mode. Without the role that is
/// prepared for it, the switch takes the right to pull.
fn after_preparation(problem: Problem, unprepared: Option<&Problem>) -> Problem {
    let Some(unprepared) = unprepared.filter(|_| problem.cause == Cause::InvalidSpec) else {
        return problem;
    };
    let text = format!("{unprepared}; do not switch the registry before; {}", problem.message);
    Problem::new(Cause::InvalidSpec, text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::NamespaceProblem;

    fn problem(cause: Cause) -> Problem {
        Problem::new(cause, format!("{cause:?}"))
    }

    /// Pull secrets in `existing` namespaces, of which the first `failing` are not served.
    fn served(existing: usize, failing: usize) -> PullSecretState {
        let one = NamespaceProblem { namespace: "a".into(), problem: problem(Cause::NotOurs) };
        PullSecretState {
            existing,
            failing: vec![one; failing],
            failing_count: failing,
            serving: existing - failing,
            ..PullSecretState::default()
        }
    }

    fn causes(failures: &Failures) -> (Option<Cause>, Option<Cause>, Option<bool>) {
        let cause = |it: &Option<Problem>| it.as_ref().map(|it| it.cause);
        (cause(&failures.problem), cause(&failures.other_problem), failures.holds)
    }

    #[test]
    fn azure_resource_manager_decides_nothing_about_pulls_by_pull_secret() {
        let check =
            LastCheck { problem: Some(problem(Cause::Unavailable)), ..LastCheck::default() };
        let (good, bad) = (served(2, 0), served(2, 2));
        let of = |served| {
            Failures::of(&Encounters { check: Some(&check), served, ..Encounters::default() })
        };
        assert_eq!(causes(&of(Some(&good))), (None, Some(Cause::Unavailable), Some(true)));
        assert_eq!(
            causes(&of(Some(&bad))),
            (Some(Cause::Unavailable), Some(Cause::NotOurs), Some(false))
        );
        assert_eq!(causes(&of(None)), (Some(Cause::Unavailable), None, None));
    }

    #[test]
    fn a_credential_that_was_accepted_serves_while_the_registry_does_not_answer() {
        let good = served(1, 0);
        let of = |cause| {
            let check = LastCheck { doubt: Some(problem(cause)), ..LastCheck::default() };
            causes(&Failures::of(&Encounters {
                check: Some(&check),
                served: Some(&good),
                ..Encounters::default()
            }))
        };
        assert_eq!(of(Cause::Unavailable), (None, Some(Cause::Unavailable), Some(true)));
        assert_eq!(of(Cause::Busy), (Some(Cause::Busy), None, None));
    }

    #[test]
    fn without_a_namespace_the_credential_decides() {
        let none = served(0, 0);
        let of = |cause| {
            let credential = problem(cause);
            let met = Encounters {
                served: Some(&none),
                credential: Some(&credential),
                ..Encounters::default()
            };
            causes(&Failures::of(&met))
        };
        let refused = Cause::AuthenticationFailed;
        assert_eq!(of(refused), (Some(refused), Some(refused), Some(true)));
        let away = Cause::Unavailable;
        assert_eq!(of(away), (Some(away), Some(away), None));
    }

    #[test]
    fn only_what_cannot_be_removed_is_told_beside() {
        let check = LastCheck { obsolete: Some(problem(Cause::Locked)), ..LastCheck::default() };
        let roles = RoleState::default();
        let met = Encounters { check: Some(&check), roles: Some(&roles), ..Encounters::default() };
        assert_eq!(causes(&Failures::of(&met)), (None, Some(Cause::Locked), Some(true)));
    }

    #[test]
    fn each_failure_says_what_it_takes_to_try_again() {
        let (bad, busy) = (served(1, 1), problem(Cause::Busy));
        let needs = |too_early, scope| {
            let check = LastCheck {
                too_early,
                undone: Some(problem(Cause::AccessDenied)),
                ..LastCheck::default()
            };
            let met = Encounters {
                scope,
                check: Some(&check),
                served: Some(&bad),
                unseen: Some(&busy),
                ..Encounters::default()
            };
            Failures::of(&met)
                .all
                .into_iter()
                .map(|it| (it.problem.cause, it.needs))
                .collect::<Vec<_>>()
        };
        let (denied, other) =
            ((Cause::AccessDenied, Scope::Azure), (Cause::NotOurs, Scope::Cluster));
        let expected = |unseen| vec![denied, other, (Cause::Busy, unseen)];
        assert_eq!(needs(false, Scope::Azure), expected(Scope::Cluster));
        assert_eq!(needs(true, Scope::Azure), expected(Scope::Azure));
    }

    #[test]
    fn a_suspended_attachment_tells_of_renewals_alone() {
        let check = LastCheck {
            undone: Some(problem(Cause::NotOurs)),
            refusal: Some(problem(Cause::Unavailable)),
            ..LastCheck::default()
        };
        let bad = served(1, 1);
        let met = Encounters { check: Some(&check), served: Some(&bad), ..Encounters::default() };
        let failures = Failures::of(&met).suspended(&met);
        assert_eq!(causes(&failures), (None, Some(Cause::Unavailable), Some(false)));
        assert!(failures.all.iter().all(|it| it.needs == Scope::Azure), "{failures:?}");
    }

    #[test]
    fn a_switch_that_is_not_prepared_is_warned_of_first() {
        let check = LastCheck {
            problem: Some(problem(Cause::InvalidSpec)),
            unprepared: Some(problem(Cause::AccessDenied)),
            ..LastCheck::default()
        };
        let failures = Failures::of(&Encounters { check: Some(&check), ..Encounters::default() });
        let text = failures.problem.unwrap().message;
        assert!(
            text.starts_with("AccessDenied; do not switch the registry before; InvalidSpec"),
            "{text}"
        );
    }
}
