//! When what was replaced may be removed.

use jiff::{SignedDuration, Timestamp};

use super::{Desired, Owned, held_since};

/// The times that removals depend on.
#[derive(Clone, Copy, Debug)]
pub struct RemovalTiming {
    /// When the plan is made.
    pub now: Timestamp,
    /// From when the desired state counts, so that what it replaces may be removed; `None` while that
    /// is unknown.
    pub replaced_at: Option<Timestamp>,
    /// How long a replacement must have been in force.
    pub delay: SignedDuration,
}

/// The pull secrets that count when they replace a role.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Serving {
    /// No namespace gets one.
    NotDesired,
    /// Since when all serve (UTC); `None` while one does not.
    Since(Option<Timestamp>),
}

/// From when the desired state counts, so that replaced parts may be removed (UTC); `None` while that
/// is unknown. Without a desired replacement that is now.
///
/// Azure takes up to 10 minutes to honour a role (learn.microsoft.com, "Troubleshoot Azure
/// RBAC"), and nodes use a former identity until they are reimaged.
#[must_use]
pub fn replaced_at(
    desired: &Desired,
    owned: &Owned,
    serving: Serving,
    now: Timestamp,
    delay: SignedDuration,
) -> Option<Timestamp> {
    let grants = desired.grants.as_ref()?;
    if !desired.settled {
        return None;
    }
    let mut since: Vec<_> = grants.iter().map(|it| held_since(it, owned)).collect();
    if !grants.is_empty() {
        // An assignment that was prepared is older than the switch after which it counts.
        since.extend(desired.honoured_since.map(Some));
    }
    match serving {
        Serving::NotDesired if grants.is_empty() => return Some(now),
        Serving::NotDesired => {}
        Serving::Since(time) => since.push(time),
    }
    let latest = since.into_iter().collect::<Option<Vec<_>>>()?.into_iter().max()?;
    latest.checked_add(delay).ok()
}
