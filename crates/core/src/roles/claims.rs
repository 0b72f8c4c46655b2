//! Claims: the attachments that use a role assignment, listed in the assignment's description.
//!
//! Several attachments, in one or more clusters that share a kubelet identity, share one assignment.
//! Each attachment adds its claim. The one that removes the last claim deletes the assignment. So
//! Azure is the only store.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use sha2::{Digest, Sha256};

use crate::ids::lower;
use crate::platform::Platform;
use crate::problem::{Cause, Problem};

const PREFIX: &str = "acr-attach claims: ";
const CLAIM_DIGITS: usize = 12;

/// The most claims that fit the 512 characters that Azure recommends for a description.
pub const MAX_CLAIMS: usize = 36;

/// The mark of one attachment in one cluster: 12 hex digits.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Claim(String);

impl Claim {
    /// The claim of an attachment. `cluster` identifies the cluster: the resource id of the managed cluster in
    /// lower case, or the UID of namespace `kube-system`.
    #[must_use]
    pub fn new(cluster: &str, attachment: &str) -> Self {
        let digest = Sha256::digest(format!("{cluster}/{attachment}"));
        let hex = digest.iter().flat_map(|byte| [byte >> 4, byte & 15]);
        let digit = |it: u8| char::from_digit(u32::from(it), 16);
        Self(hex.filter_map(digit).take(CLAIM_DIGITS).collect())
    }
}

impl fmt::Display for Claim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Not a claim.
#[derive(Debug)]
pub struct InvalidClaim;

impl FromStr for Claim {
    type Err = InvalidClaim;

    fn from_str(text: &str) -> Result<Self, InvalidClaim> {
        let is_digit = |it: u8| matches!(it, b'0'..=b'9' | b'a'..=b'f');
        let is_claim = text.len() == CLAIM_DIGITS && text.bytes().all(is_digit);
        is_claim.then(|| Self(text.to_owned())).ok_or(InvalidClaim)
    }
}

/// The claims by which an attachment knows its assignments: the current one, and those of before.
///
/// The claim of an AKS cluster is made of the managed cluster's resource id, so that it outlives a cluster
/// that is built anew under that id. A claim of before is replaced by the current one where it stands.
#[derive(Clone, Debug, PartialEq)]
pub struct OwnClaims {
    current: Claim,
    former: BTreeSet<Claim>,
    /// Why the current claim is a guess.
    doubt: Option<Problem>,
}

impl OwnClaims {
    /// The claims of an attachment. `uid` is that of namespace `kube-system`, and `shown` the claim in status.
    ///
    /// Only what the nodes and Azure confirm makes a claim of the cluster's resource id: an id that a user
    /// wrote may stand in the manifests of two clusters. Where the platform is unknown, the claim stays. Where
    /// status shows none either, the claim of the UID is a guess. A claim of the UID in status may be
    /// outdated: a reconcile that replaced it may have ended before it wrote status.
    ///
    /// # Errors
    /// Why the platform is unknown at the moment, where status shows no claim.
    pub fn of(
        attachment: &str,
        uid: &str,
        platform: Result<Platform, Problem>,
        shown: Option<Claim>,
    ) -> Result<Self, Problem> {
        let by_uid = Claim::new(uid, attachment);
        let (current, doubt) = match (platform, &shown) {
            (Ok(Platform::Aks(cluster)), _) => {
                (Claim::new(&lower(cluster.as_str()), attachment), None)
            }
            (Ok(Platform::NotAks), _) => (by_uid.clone(), None),
            (Ok(Platform::Unsure(_)), Some(shown)) => (shown.clone(), None),
            (Ok(Platform::Unsure(why)), None) => (by_uid.clone(), Some(unknown(attachment, &why))),
            (Err(problem), Some(shown)) => (shown.clone(), (*shown == by_uid).then_some(problem)),
            (Err(problem), None) if problem.cause.is_transient() => return Err(problem),
            (Err(problem), None) => (by_uid.clone(), Some(problem)),
        };
        let former = shown.into_iter().chain([by_uid]).filter(|it| *it != current);
        Ok(Self { former: former.collect(), current, doubt })
    }

    /// The claim that assignments get.
    #[must_use]
    pub fn current(&self) -> &Claim {
        &self.current
    }

    /// Why the current claim is a guess, so that assignments may bear another one of this attachment; `None` if
    /// it is not.
    #[must_use]
    pub fn doubt(&self) -> Option<&Problem> {
        self.doubt.as_ref()
    }

    fn contain(&self, claim: &Claim) -> bool {
        self.current == *claim || self.former.contains(claim)
    }
}

impl From<Claim> for OwnClaims {
    fn from(current: Claim) -> Self {
        Self { current, former: BTreeSet::new(), doubt: None }
    }
}

/// The problem that nothing tells the claim of an attachment.
fn unknown(attachment: &str, why: &str) -> Problem {
    let advice = format!(
        "let the operator's identity read the cluster (role Reader), so that it can tell the claim of attachment {attachment}"
    );
    let account = format!(
        "finding this attachment's claim among those on the registry: status shows none, and {why}"
    );
    Problem::advised(Cause::Undetermined, &advice, &[account])
}

/// The claims on one assignment, oldest first. Never empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claims(Vec<Claim>);

impl Claims {
    /// One claim, for a new assignment.
    #[must_use]
    pub fn of(claim: Claim) -> Self {
        Self(vec![claim])
    }

    /// Parses a description; `None` if it holds no claims, so that acr-attach did not make the assignment.
    #[must_use]
    pub fn read(description: &str) -> Option<Self> {
        let list = description.trim().strip_prefix(PREFIX)?;
        let claims: Result<_, _> = list.split(',').map(|it| it.trim().parse()).collect();
        claims.ok().map(Self)
    }

    /// Whether the claim is in the list.
    #[must_use]
    pub fn contains(&self, claim: &Claim) -> bool {
        self.0.contains(claim)
    }

    /// Whether a claim of the attachment is in the list, be it the current one or one of before.
    #[must_use]
    pub fn contain_any(&self, own: &OwnClaims) -> bool {
        self.0.iter().any(|it| own.contain(it))
    }

    /// The oldest claim. Its attachment decides the condition of the assignment.
    #[must_use]
    pub fn first(&self) -> Option<&Claim> {
        self.0.first()
    }

    /// The list with the current claim of the attachment: in the place of its first claim, or at the end;
    /// `None` when there is no room.
    #[must_use]
    pub fn with(&self, own: &OwnClaims) -> Option<Self> {
        let first = self.0.iter().position(|it| own.contain(it)).unwrap_or(self.0.len());
        let is_others = |it: &&Claim| !own.contain(it);
        let before = self.0[..first].iter();
        let after = self.0[first..].iter().filter(is_others);
        let claims: Vec<_> = before.chain([own.current()]).chain(after).cloned().collect();
        (claims.len() <= MAX_CLAIMS).then_some(Self(claims))
    }

    /// The list without the claims of the attachment; `None` when no claim is left.
    #[must_use]
    pub fn without(&self, own: &OwnClaims) -> Option<Self> {
        let claims: Vec<_> = self.0.iter().filter(|it| !own.contain(it)).cloned().collect();
        (!claims.is_empty()).then_some(Self(claims))
    }
}

/// The description of the assignment.
impl fmt::Display for Claims {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list: Vec<&str> = self.0.iter().map(|it| it.0.as_str()).collect();
        write!(f, "{PREFIX}{}", list.join(","))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn claim(n: usize) -> Claim {
        Claim::new("cluster", &n.to_string())
    }

    #[test]
    fn a_claim_is_stable() {
        let claim = Claim::new("5f0b8c1e-0000-4000-8000-000000000000", "myregistry");
        assert_eq!(claim.to_string(), "42a84aca519d");
    }

    #[rstest::rstest]
    #[case("", false)]
    #[case("created by terraform", false)]
    #[case("acr-attach claims: ", false)]
    #[case("acr-attach claims: 0123456789ab", true)]
    #[case("acr-attach claims: 0123456789ab,ba9876543210", true)]
    #[case("acr-attach claims: 0123456789ab, ba9876543210 ", true)]
    #[case("acr-attach claims: 0123456789AB", false)]
    #[case("acr-attach claims: 0123456789ab,short", false)]
    #[case("see acr-attach claims: 0123456789ab", false)]
    fn only_descriptions_by_acr_attach_bear_claims(#[case] text: &str, #[case] ours: bool) {
        assert_eq!(Claims::read(text).is_some(), ours);
    }

    fn own(n: usize) -> OwnClaims {
        claim(n).into()
    }

    #[test]
    fn as_many_fit_as_azure_allows() {
        let full = (1..MAX_CLAIMS).fold(Claims::of(claim(0)), |it, n| it.with(&own(n)).unwrap());
        assert!(full.to_string().len() <= 512);
        assert_eq!(full.with(&own(MAX_CLAIMS)), None);
        assert_eq!(full.with(&own(3)), Some(full.clone()));
    }

    const ID: &str = "/subscriptions/11111111-1111-1111-1111-111111111111/resourceGroups/RG/providers/Microsoft.ContainerService/managedClusters/prod";

    fn claims(platform: Result<Platform, Problem>, shown: Option<usize>) -> OwnClaims {
        OwnClaims::of("a", "uid", platform, shown.map(claim)).unwrap()
    }

    fn unavailable() -> Problem {
        Problem::new(Cause::Unavailable, "x")
    }

    #[test]
    fn a_claim_is_made_of_the_cluster_that_nodes_and_azure_confirm() {
        let of_cluster = Claim::new(&lower(ID), "a");
        let by_uid = Claim::new("uid", "a");
        let aks = || Ok(Platform::Aks(ID.parse().unwrap()));
        let unsure = || Ok(Platform::Unsure("no nodes".into()));
        assert_eq!(claims(aks(), None).current, of_cluster);
        assert_eq!(claims(aks(), Some(1)).former, [claim(1), by_uid.clone()].into());
        assert_eq!(claims(Ok(Platform::NotAks), Some(1)).current, by_uid);
        assert_eq!(claims(unsure(), Some(1)).current, claim(1));
        assert_eq!(claims(Err(unavailable()), Some(1)).current, claim(1));
        let guess = claims(unsure(), None);
        assert_eq!(
            (guess.current, guess.doubt.unwrap().cause),
            (by_uid.clone(), Cause::Undetermined)
        );
        // The claim in status may have been replaced since, but not one of a cluster.
        let shown = |claim| OwnClaims::of("a", "uid", Err(unavailable()), Some(claim)).unwrap();
        assert!(shown(by_uid.clone()).doubt.is_some() && shown(of_cluster).doubt.is_none());
        let denied = OwnClaims::of("a", "uid", Err(Problem::new(Cause::AccessDenied, "x")), None);
        assert!(denied.unwrap().doubt.is_some_and(|it| it.cause == Cause::AccessDenied));
        let unknown = OwnClaims::of("a", "uid", Err(unavailable()), None);
        assert_eq!(unknown.unwrap_err().cause, Cause::Unavailable);
    }

    #[test]
    fn a_claim_of_before_is_replaced_where_it_stands() {
        let list = |all: &[usize]| Claims(all.iter().map(|it| claim(*it)).collect());
        let own = OwnClaims { former: [claim(1), claim(2)].into(), ..own(9) };
        assert_eq!(list(&[0, 1, 3]).with(&own), Some(list(&[0, 9, 3])));
        assert_eq!(list(&[2, 0, 1]).with(&own), Some(list(&[9, 0])));
        assert_eq!(list(&[0, 9, 1]).with(&own), Some(list(&[0, 9])));
        assert_eq!(list(&[0]).with(&own), Some(list(&[0, 9])));
        assert_eq!(list(&[0, 1, 9]).without(&own), Some(list(&[0])));
        assert_eq!(list(&[2]).without(&own), None);
        assert!(list(&[0, 2]).contain_any(&own) && !list(&[0]).contain_any(&own));
    }

    proptest! {
        #[test]
        fn a_claim_that_comes_and_goes_changes_no_other(n in 0usize..10, who in 20usize..30) {
            let before = (1..=n).fold(Claims::of(claim(0)), |it, n| it.with(&own(n)).unwrap());
            let after = before.with(&own(who)).unwrap().without(&own(who));
            prop_assert_eq!(Some(&before), after.as_ref());
            prop_assert_eq!(Claims::read(&before.to_string()), Some(before));
        }
    }
}
