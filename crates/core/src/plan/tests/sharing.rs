//! Several attachments in two clusters that share identities, with events in any order and
//! reconciles that stop after any step.

use proptest::prelude::*;

use super::*;

/// Attachments 0 and 1 are in one cluster, 2 and 3 in another, of the same names.
const ATTACHMENTS: usize = 4;

fn claim_of(attachment: usize) -> Claim {
    Claim::new(&format!("cluster-{}", attachment / 2), &format!("name-{}", attachment % 2))
}

#[derive(Clone, Debug)]
enum Event {
    /// A user creates the attachment, or its identity or the registry's mode changes.
    Wants(usize, Grant),
    /// A user deletes the attachment.
    Deleted(usize),
    /// A reconcile of the attachment, killed after that many steps.
    Reconcile(usize, usize),
    /// A user assigns a role by hand.
    ByHand(Grant),
    /// A user deletes an assignment by hand.
    TakenAway(Grant),
    /// Time passes, in seconds.
    Later(i64),
}

#[derive(Debug)]
struct World {
    now: Timestamp,
    azure: Vec<RoleAssignment>,
    wanted: [Option<Grant>; ATTACHMENTS],
    finalizers: [bool; ATTACHMENTS],
}

impl World {
    fn new() -> Self {
        let wanted = [const { None }; ATTACHMENTS];
        Self { now: now(), azure: Vec::new(), wanted, finalizers: [false; ATTACHMENTS] }
    }

    fn happen(&mut self, event: &Event) {
        match event {
            Event::Wants(attachment, grant) => self.wanted[*attachment] = Some(grant.clone()),
            Event::Deleted(attachment) => self.wanted[*attachment] = None,
            Event::Reconcile(attachment, steps) => drop(self.reconcile(*attachment, *steps)),
            Event::ByHand(grant) => {
                // Azure keeps one assignment for each scope, principal and role.
                if !self.azure.iter().any(|it| it.id == grant.assignment_id()) {
                    self.azure.push(assignment(grant, "by hand", self.now));
                }
            }
            Event::TakenAway(grant) => self.azure.retain(|it| it.id != grant.assignment_id()),
            Event::Later(seconds) => self.now += SignedDuration::from_secs(*seconds),
        }
    }

    /// Takes at most that many steps; returns whether the plan had any.
    fn reconcile(&mut self, attachment: usize, most: usize) -> bool {
        let desired = match &self.wanted[attachment] {
            Some(grant) => wants(grant),
            // Without a finalizer the object no longer exists, and is not reconciled.
            None if !self.finalizers[attachment] => return false,
            None => Desired::nothing(),
        };
        let mut owned = owns(self.azure.clone(), self.finalizers[attachment]);
        let claim = claim_of(attachment);
        owned.assignments = Some(Assignments::on(&registry(), claim.into(), self.azure.clone()));
        let steps = plan(&desired, &owned, self.now, DELAY).roles;
        for step in steps.iter().take(most) {
            self.take(step, attachment);
        }
        !steps.is_empty()
    }

    /// Reads an assignment just before it changes it, as `controller::act` does.
    fn take(&mut self, step: &Step, attachment: usize) {
        let (now, claim) = (self.now, claim_of(attachment));
        match step {
            Step::AddFinalizer(_) => self.finalizers[attachment] = true,
            Step::RemoveFinalizer(_) => self.finalizers[attachment] = false,
            Step::CreateAssignment(grant) => {
                let id = grant.assignment_id();
                if !self.azure.iter().any(|it| it.id == id) {
                    let text = Claims::of(claim).to_string();
                    self.azure.push(assignment(grant, &text, now));
                }
            }
            Step::ShareAssignment(id, grant) => {
                let Some(found) = self.azure.iter_mut().find(|it| it.id == *id) else { return };
                if let Ok(Some(to)) = share(found, grant, &claim.clone().into()) {
                    found.description = Some(to.claims.to_string());
                    found.condition = to.condition;
                    found.updated_on = Some(now);
                }
            }
            Step::ReleaseAssignment(id) => {
                let Some(at) = self.azure.iter().position(|it| it.id == *id) else { return };
                match release(&self.azure[at], &claim.clone().into()) {
                    Release::DeleteAssignment => drop(self.azure.remove(at)),
                    Release::RemoveClaim(to) => {
                        self.azure[at].description = Some(to.claims.to_string());
                        self.azure[at].updated_on = Some(now);
                    }
                    Release::NotClaimed => {}
                }
            }
            _ => panic!("{step:?} is not about roles"),
        }
    }

    /// Reconciles all attachments until no plan has a step.
    fn settle(&mut self) {
        for _ in 0..20 {
            self.now += DELAY;
            let busy = (0..ATTACHMENTS).map(|it| self.reconcile(it, usize::MAX)).filter(|it| *it);
            if busy.count() == 0 {
                return;
            }
        }
        panic!("it never settles: {self:#?}");
    }
}

fn any_grant() -> impl Strategy<Value = Grant> {
    any_grant_of(1..3)
}

/// Whether the assignment is the only possible one of that role for that identity.
fn is_about(grant: &Grant, found: &RoleAssignment) -> bool {
    found.id == grant.assignment_id()
}

/// Whether an assignment gives an attachment its grant. Otherwise the assignment is foreign, or
/// another attachment decides its condition; then this attachment has to wait.
fn is_served(claim: &Claim, wanted: &Grant, found: &RoleAssignment) -> bool {
    match found.claims() {
        None => wanted.is_given_by(found),
        Some(claims) => claims.first() == Some(claim) || found.condition == wanted.condition,
    }
}

fn any_event() -> impl Strategy<Value = Event> {
    let attachment = 0..ATTACHMENTS;
    prop_oneof![
        3 => (attachment.clone(), any_grant()).prop_map(|(attachment, grant)| Event::Wants(attachment, grant)),
        2 => attachment.clone().prop_map(Event::Deleted),
        6 => (attachment, 0usize..5).prop_map(|(attachment, steps)| Event::Reconcile(attachment, steps)),
        1 => any_grant().prop_map(Event::ByHand),
        1 => any_grant().prop_map(Event::TakenAway),
        2 => (1i64..5000).prop_map(Event::Later),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn whatever_happens_ends_with_exactly_what_is_wanted(
        events in prop::collection::vec(any_event(), 0..40),
    ) {
        let mut world = World::new();
        for event in &events {
            world.happen(event);
        }
        let by_hand: Vec<_> =
            world.azure.iter().filter(|it| it.claims().is_none()).cloned().collect();
        world.settle();
        for it in &by_hand {
            prop_assert!(world.azure.contains(it), "what others made is as it was: {it:?}");
        }
        for attachment in 0..ATTACHMENTS {
            let (claim, wanted) = (claim_of(attachment), world.wanted[attachment].as_ref());
            let about = wanted.and_then(|it| world.azure.iter().find(|found| is_about(it, found)));
            prop_assert_eq!(about.is_some(), wanted.is_some(), "missing: {:?}", wanted);
            if wanted.zip(about).is_some_and(|(wanted, it)| !is_served(&claim, wanted, it)) {
                // An attachment that has to wait keeps its former assignment.
                continue;
            }
            for it in &world.azure {
                let Some(claims) = it.claims() else { continue };
                let wanted = wanted.filter(|wanted| is_about(wanted, it));
                prop_assert_eq!(claims.contains(&claim), wanted.is_some());
                if let Some(wanted) = wanted.filter(|_| claims.first() == Some(&claim)) {
                    prop_assert_eq!(&it.condition, &wanted.condition, "the first decides");
                }
            }
        }
        for attachment in 0..ATTACHMENTS {
            let claim = claim_of(attachment);
            let held = world.azure.iter().filter_map(RoleAssignment::claims).any(|it| it.contains(&claim));
            prop_assert_eq!(world.finalizers[attachment], held);
        }
    }
}
