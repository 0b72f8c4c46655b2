//! Azure resource ids.

use std::fmt;
use std::hash::{Hash, Hasher};

use uuid::Uuid;

use super::InvalidName;
use super::case::{eq_ignore_case, folded};

/// The id of a resource in a resource group:
/// `/subscriptions/S/resourceGroups/G/providers/NAMESPACE/TYPE/NAME`.
///
/// Azure writes the same id in different case in different answers. So ids are compared without
/// regard to case, and shown as they were read.
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
        if !words || !is_group(group) || !is_segment(name) {
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

    /// Whether the resource has that name. Azure compares names without regard to case.
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

/// Whether the text can be the name of a resource group: letters and digits of any script, and
/// `-_.()`, at most 90 characters (learn.microsoft.com, "Naming rules and restrictions for Azure
/// resources"). The CRD's schema checks the classes of Unicode more exactly.
fn is_group(text: &str) -> bool {
    is_made_of(text, char::is_alphanumeric)
}

/// Whether Azure allows the text as the name of a resource. So no id can leave its place in a URL.
fn is_segment(text: &str) -> bool {
    is_made_of(text, |it| it.is_ascii_alphanumeric())
}

fn is_made_of(text: &str, letter: fn(char) -> bool) -> bool {
    let allowed = |it: char| letter(it) || "-_.()".contains(it);
    (1..=90).contains(&text.chars().count())
        && text.chars().all(allowed)
        && !text.trim_matches('.').is_empty()
}

impl PartialEq for ResourceId {
    fn eq(&self, other: &Self) -> bool {
        eq_ignore_case(&self.text, &other.text)
    }
}

impl Eq for ResourceId {}

impl Hash for ResourceId {
    fn hash<H: Hasher>(&self, state: &mut H) {
        folded(&self.text).hash(state);
    }
}

impl fmt::Display for ResourceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}
