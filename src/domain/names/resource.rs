//! Azure resource ids.

use std::fmt;
use std::hash::{Hash, Hasher};

use uuid::Uuid;

use super::InvalidName;

/// The Azure resource id of something in a resource group:
/// `/subscriptions/S/resourceGroups/G/providers/NAMESPACE/TYPE/NAME`.
///
/// Azure writes the same id in different letter case in different answers, so ids are compared
/// without regard to case and shown as they were read.
#[derive(Clone, Debug)]
pub struct ResourceId {
    text: String,
    subscription: Uuid,
    name_at: usize,
}

impl ResourceId {
    /// Parses an id of the given provider type, such as `Microsoft.ContainerRegistry/registries`.
    pub(super) fn parse(
        text: &str,
        provider_type: &str,
        expected: &'static str,
    ) -> Result<Self, InvalidName> {
        let invalid = || InvalidName::new(text, expected);
        let segments: Vec<&str> = text.split('/').collect();
        let ["", subscriptions, subscription, groups, group, providers, namespace, kind, name] =
            segments[..]
        else {
            return Err(invalid());
        };
        let words = subscriptions.eq_ignore_ascii_case("subscriptions")
            && groups.eq_ignore_ascii_case("resourceGroups")
            && providers.eq_ignore_ascii_case("providers")
            && format!("{namespace}/{kind}").eq_ignore_ascii_case(provider_type);
        if !words || !is_segment(group) || !is_segment(name) {
            return Err(invalid());
        }
        Ok(Self {
            text: text.to_owned(),
            subscription: subscription.parse().map_err(|_| invalid())?,
            name_at: text.len() - name.len(),
        })
    }

    /// The id as it was read.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The last segment.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.text[self.name_at..]
    }

    /// Whether that is its name. Azure compares names without regard to case.
    #[must_use]
    pub fn is_named(&self, name: &str) -> bool {
        self.name().eq_ignore_ascii_case(name)
    }

    /// The subscription that holds the resource.
    #[must_use]
    pub fn subscription(&self) -> Uuid {
        self.subscription
    }
}

/// What Azure allows in names of groups and resources, so that no id can leave its place in a URL.
pub(super) fn is_segment(text: &str) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "-_.()".contains(c);
    (1..=90).contains(&text.len())
        && text.chars().all(allowed)
        && !text.trim_matches('.').is_empty()
}

impl PartialEq for ResourceId {
    fn eq(&self, other: &Self) -> bool {
        self.text.eq_ignore_ascii_case(&other.text)
    }
}

impl Eq for ResourceId {}

impl Hash for ResourceId {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.text.to_ascii_lowercase().hash(state);
    }
}

impl fmt::Display for ResourceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}
