//! Claims: the attachments that use a role assignment, listed in the assignment's description.
//!
//! Several attachments, in one or more clusters that share a kubelet identity, share one assignment.
//! Each attachment adds its claim. The one that removes the last claim deletes the assignment. So
//! Azure is the only store.

use std::fmt;

use sha2::{Digest, Sha256};

const PREFIX: &str = "acr-attach claims: ";
const CLAIM_DIGITS: usize = 12;

/// The most claims that fit the 512 characters that Azure recommends for a description.
pub const MAX_CLAIMS: usize = 36;

/// The mark of one attachment in one cluster: 12 hex digits.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Claim(String);

impl Claim {
    /// The claim of an attachment. `cluster_uid` is the UID of namespace `kube-system`.
    #[must_use]
    pub fn new(cluster_uid: &str, attachment: &str) -> Self {
        let digest = Sha256::digest(format!("{cluster_uid}/{attachment}"));
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
        let is_claim = |it: &str| {
            it.len() == CLAIM_DIGITS && it.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
        };
        let list = description.trim().strip_prefix(PREFIX)?;
        let claims: Vec<&str> = list.split(',').map(str::trim).collect();
        claims
            .iter()
            .all(|it| is_claim(it))
            .then(|| Self(claims.into_iter().map(|it| Claim(it.to_owned())).collect()))
    }

    /// Whether the claim is in the list.
    #[must_use]
    pub fn contains(&self, claim: &Claim) -> bool {
        self.0.contains(claim)
    }

    /// The oldest claim. Its attachment decides the condition of the assignment.
    #[must_use]
    pub fn first(&self) -> Option<&Claim> {
        self.0.first()
    }

    /// The list with the claim added at the end; `None` when there is no room.
    #[must_use]
    pub fn with(&self, claim: &Claim) -> Option<Self> {
        if self.contains(claim) {
            return Some(self.clone());
        }
        let claims = self.0.iter().chain([claim]).cloned().collect();
        (self.0.len() < MAX_CLAIMS).then_some(Self(claims))
    }

    /// The list without the claim; `None` when no claim is left.
    #[must_use]
    pub fn without(&self, claim: &Claim) -> Option<Self> {
        let claims: Vec<_> = self.0.iter().filter(|it| *it != claim).cloned().collect();
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

    #[test]
    fn as_many_fit_as_azure_allows() {
        let full = (1..MAX_CLAIMS).fold(Claims::of(claim(0)), |it, n| it.with(&claim(n)).unwrap());
        assert!(full.to_string().len() <= 512);
        assert_eq!(full.with(&claim(MAX_CLAIMS)), None);
        assert_eq!(full.with(&claim(3)), Some(full.clone()));
    }

    proptest! {
        #[test]
        fn a_claim_that_comes_and_goes_changes_no_other(n in 0usize..10, who in 20usize..30) {
            let before = (1..=n).fold(Claims::of(claim(0)), |it, n| it.with(&claim(n)).unwrap());
            let after = before.with(&claim(who)).unwrap().without(&claim(who));
            prop_assert_eq!(Some(&before), after.as_ref());
            prop_assert_eq!(Claims::read(&before.to_string()), Some(before));
        }
    }
}
