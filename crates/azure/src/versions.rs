//! Replacements for api-versions that Azure does not support: some clouds and regions get new ones
//! late, and previews are removed.
//!
//! A caller names the version it wants. If Azure does not support that version, its error lists the
//! supported ones, and the newest stable one replaces it for a day.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How long a version is replaced. Then the wanted version is tried again, since a cloud may support
/// it by now.
const REPLACED_FOR: Duration = Duration::from_secs(24 * 3600);

/// The replacements of api-versions, with the time when each was recorded.
#[derive(Debug, Default)]
pub(super) struct Versions(Mutex<HashMap<Key, (String, Instant)>>);

/// A resource type in lower case, and the wanted version.
type Key = (String, String);

impl Versions {
    /// The path to send: with the replacement of its version, if there is one.
    pub(super) fn replaced(&self, path: &str, now: Instant) -> String {
        let Some((before, wanted, after)) = split(path) else { return path.to_owned() };
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let replacement = all.get(&(resource_type(path), wanted.to_owned()));
        let replacement =
            replacement.filter(|(_, at)| now.saturating_duration_since(*at) < REPLACED_FOR);
        format!("{before}{}{after}", replacement.map_or(wanted, |(version, _)| version))
    }

    /// The version to send for a path; empty if the path has none.
    pub(super) fn version(&self, path: &str, now: Instant) -> String {
        let path = self.replaced(path, now);
        split(&path).map_or_else(String::new, |(_, version, _)| version.to_owned())
    }

    /// Records the newest stable version of the supported ones as the replacement. Returns whether it
    /// differs from the version that was sent, so that a retry makes sense. A concurrent call may have
    /// recorded it already.
    pub(super) fn record(
        &self,
        path: &str,
        sent: &str,
        supported: &[String],
        now: Instant,
    ) -> bool {
        let Some((_, wanted, _)) = split(path) else { return false };
        let kind = resource_type(path);
        let fits = |it: &&String| !it.contains("preview") && it.as_str() >= minimum(&kind);
        let Some(newest) = supported.iter().filter(fits).max() else { return false };
        if newest == sent {
            return false;
        }
        tracing::warn!(kind, wanted, used = newest, "Azure does not know that api-version");
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.insert((kind, wanted.to_owned()), (newest.clone(), now));
        true
    }
}

/// The oldest version that may replace another one. Older versions of role assignments have no
/// conditions: an assignment would look wider than it is.
fn minimum(kind: &str) -> &'static str {
    match kind {
        "microsoft.authorization/roleassignments" => "2022-04-01",
        _ => "",
    }
}

/// The parts of a path: before the version, the version, and after it.
fn split(path: &str) -> Option<(&str, &str, &str)> {
    const PARAMETER: &str = "api-version=";
    let start = path.find(PARAMETER)? + PARAMETER.len();
    let end = path[start..].find('&').map_or(path.len(), |it| start + it);
    Some((&path[..start], &path[start..end], &path[end..]))
}

/// The resource type of a path in lower case; empty for Azure Resource Manager's own resources.
fn resource_type(path: &str) -> String {
    let path = path.split('?').next().unwrap_or_default().to_ascii_lowercase();
    let in_provider = path.rsplit_once("/providers/").map(|(_, rest)| rest).unwrap_or_default();
    in_provider.splitn(3, '/').take(2).collect::<Vec<_>>().join("/")
}

/// The versions that an error lists: `The supported api-versions are '2017-10-01, 2019-05-01'.`
///
/// Azure has three codes for this error. `NoRegisteredProviderFound` is documented for registries
/// (`AzGovViz` issue 266), `InvalidResourceType`, a 404, for role assignments (acs-engine issue
/// 4037, azure-sdk-for-go issue 15624), `InvalidApiVersionParameter` for Azure Resource Manager's own
/// resources (azure-cli issue 28038).
pub(super) fn supported(code: &str, message: &str) -> Vec<String> {
    const PREFIXES: [&str; 2] = ["supported api-versions are '", "supported versions are '"];
    if !UNKNOWN_VERSION_CODES.contains(&code) {
        return Vec::new();
    }
    let lower = message.to_ascii_lowercase();
    let list = PREFIXES.iter().find_map(|it| lower.split_once(it)).map(|(_, rest)| rest);
    let list = list.and_then(|it| it.split('\'').next()).unwrap_or_default();
    list.split(',').map(|it| it.trim().to_owned()).filter(|it| !it.is_empty()).collect()
}

/// The error codes for an unsupported api-version.
pub(super) const UNKNOWN_VERSION_CODES: [&str; 3] =
    ["NoRegisteredProviderFound", "InvalidResourceType", "InvalidApiVersionParameter"];

#[cfg(test)]
mod tests {
    use super::*;

    const REGISTRY: &str = "/subscriptions/s/resourceGroups/g/providers/Microsoft.ContainerRegistry/registries/x?api-version=2025-11-01";
    const ASSIGNMENTS: &str = "/subscriptions/s/resourceGroups/g/providers/Microsoft.ContainerRegistry/registries/x/providers/Microsoft.Authorization/roleAssignments?$filter=atScope()&api-version=2022-04-01&x=y";
    const MESSAGE: &str = "No registered resource provider found for location 'eastus' and API version '2025-11-01' for type 'registries'. The supported api-versions are '2023-07-01, 2025-04-01, 2025-06-01-preview, 2017-10-01'. The supported locations are 'westus, eastus'.";

    fn listed() -> Vec<String> {
        supported(UNKNOWN_VERSION_CODES[0], MESSAGE)
    }

    #[rstest::rstest]
    #[case(UNKNOWN_VERSION_CODES[0], MESSAGE, 4)]
    #[case(
        UNKNOWN_VERSION_CODES[1],
        "The resource type 'roleAssignments' could not be found in the namespace 'Microsoft.Authorization' for api version '2018-06-01'. The supported api-versions are '2014-04-01-preview,2015-07-01,2018-01-01-preview'.",
        3
    )]
    #[case(
        UNKNOWN_VERSION_CODES[2],
        "The api-version '2023-02-01' is invalid. The supported versions are '2014-04, 2022-12-01'.",
        2
    )]
    #[case("ResourceNotFound", MESSAGE, 0)]
    #[case(UNKNOWN_VERSION_CODES[0], "something else", 0)]
    fn each_code_lists_the_supported_versions(
        #[case] code: &str,
        #[case] message: &str,
        #[case] count: usize,
    ) {
        let found = supported(code, message);
        assert!(found.len() == count && found.iter().all(|it| it.starts_with("20")), "{found:?}");
    }

    fn list(versions: &[&str]) -> Vec<String> {
        versions.iter().map(|it| (*it).to_owned()).collect()
    }

    #[test]
    fn the_newest_stable_version_is_the_replacement_for_a_day() {
        let (versions, now) = (Versions::default(), Instant::now());
        assert_eq!(versions.replaced(REGISTRY, now), REGISTRY);
        assert!(versions.record(REGISTRY, "2025-11-01", &listed(), now));
        assert!(
            versions.record(REGISTRY, "2025-11-01", &listed(), now),
            "a concurrent call sent the wanted version too"
        );
        assert_eq!(versions.version(REGISTRY, now), "2025-04-01");
        let list = REGISTRY.replace("/x?", "?");
        assert_eq!(versions.version(&list, now), "2025-04-01", "a list is of the same type");
        assert_eq!(versions.replaced(ASSIGNMENTS, now), ASSIGNMENTS);
        assert!(
            !versions.record(REGISTRY, "2025-04-01", &listed(), now),
            "the sent version is the newest"
        );
        assert_eq!(versions.version(REGISTRY, now + REPLACED_FOR), "2025-11-01");
    }

    #[test]
    fn a_version_without_conditions_is_no_replacement() {
        let (versions, now) = (Versions::default(), Instant::now());
        assert!(!versions.record(
            ASSIGNMENTS,
            "2022-04-01",
            &list(&["2015-07-01", "2027-01-01-preview"]),
            now
        ));
        assert!(versions.record(
            ASSIGNMENTS,
            "2022-04-01",
            &list(&["2015-07-01", "2027-01-01"]),
            now
        ));
        let replaced = versions.replaced(ASSIGNMENTS, now);
        assert_eq!(replaced, ASSIGNMENTS.replace("2022-04-01", "2027-01-01"));
    }

    #[test]
    fn a_path_without_a_version_is_unchanged() {
        let (versions, now) = (Versions::default(), Instant::now());
        assert!(!versions.record("/v1.0/x", "", &list(&["2027-01-01"]), now));
        assert_eq!(versions.replaced("/v1.0/x", now), "/v1.0/x");
    }
}
