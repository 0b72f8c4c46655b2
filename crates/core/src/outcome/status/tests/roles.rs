//! What the status says about roles: claims, the users of a role, and changes without an event.

use super::*;
use crate::platform::Platform;

#[test]
fn a_claim_is_shown_once_it_is_known_and_kept_while_an_assignment_bears_it() {
    let unsure = || Ok(Platform::Unsure("no nodes".into()));
    let shown = |claims: OwnClaims, borne: Option<&Claim>, before: Option<&Claim>| {
        let mut observed = observed(true);
        observed.claims = Some(claims);
        let found = &mut observed.roles.as_mut().unwrap().found;
        found[0].description = borne.map(|it| format!("acr-attach claims: {it}"));
        let claim = before.map(ToString::to_string);
        let before = RegistryAttachmentStatus { claim, ..RegistryAttachmentStatus::default() };
        told(Some(&before), &observed, &Verdict::Attached, "2026-11-22T12:00:00Z").claim
    };
    let guess = OwnClaims::of("a", "uid", unsure(), None).unwrap();
    let current = guess.current().clone();
    assert_eq!(shown(guess.clone(), None, None), None);
    assert_eq!(shown(guess, Some(&current), None), Some(current.to_string()));
    let (former, next) = (Claim::new("old", "a"), Claim::new("uid", "a"));
    let changed = || OwnClaims::of("a", "uid", Ok(Platform::NotAks), Some(former.clone())).unwrap();
    assert_eq!(shown(changed(), Some(&former), Some(&former)), Some(former.to_string()));
    assert_eq!(shown(changed(), Some(&next), Some(&former)), Some(next.to_string()));
}

#[test]
fn what_tells_by_no_event_is_a_transition() {
    let calm = observed(true).roles.unwrap();
    // The role was assigned at 11:00.
    assert!(calm.is_in_transition(at("2026-11-22T11:09:59Z")));
    let now = at("2026-11-22T12:00:00Z");
    assert!(!calm.is_in_transition(now));
    assert!(!RoleState::default().is_in_transition(now));
    assert!(RoleState { unsettled: true, ..calm.clone() }.is_in_transition(now));
    let id = calm.found[0].id.clone();
    let waits =
        |due: Option<Timestamp>| RoleState { waiting: [(id.clone(), due)].into(), ..calm.clone() };
    assert!(waits(None).is_in_transition(now) && !waits(Some(now)).is_in_transition(now));
}

/// A switch of the method, there and back, makes no identity of nodes one of pull secrets.
#[test]
fn what_nodes_have_used_stays_theirs() {
    let user = |before: Option<RoleUser>, for_nodes: bool, is_desired: bool| {
        let now = "2026-11-22T12:00:00Z";
        let mut observed = observed(true);
        let mut shown = told(None, &observed, &Verdict::Attached, now);
        shown.role_assignments.as_mut().unwrap()[0].used_by = before;
        let roles = observed.roles.as_mut().unwrap();
        roles.for_nodes = for_nodes;
        roles.grants.truncate(usize::from(is_desired));
        let after = told(Some(&shown), &observed, &Verdict::Attached, now);
        after.role_assignments.unwrap()[0].used_by
    };
    let (nodes, secrets) = (Some(RoleUser::Nodes), Some(RoleUser::PullSecrets));
    assert_eq!([user(None, true, true), user(None, false, true)], [nodes, secrets]);
    assert_eq!([user(nodes, false, true), user(secrets, true, true)], [nodes, nodes]);
    let kept = [nodes, secrets, None].map(|it| user(it, true, false));
    assert_eq!(kept, [nodes, secrets, None]);
    assert_eq!(user(Some(RoleUser::Unknown), false, false), None);
}
