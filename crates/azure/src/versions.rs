//! The api-versions that Azure knows: clouds and regions learn new ones late, and forget previews.
//!
//! Whoever makes a call names the version it wants. Where Azure does not know that, it lists those
//! that it knows, and the newest stable one stands in for it from then on.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// After that long the wanted version is tried again: the operator runs for longer than clouds
/// take to learn it.
const REMEMBERED: Duration = Duration::from_secs(24 * 3600);

/// What stands in for versions that are not known.
#[derive(Debug, Default)]
pub(super) struct Versions(Mutex<HashMap<Wanted, (String, Instant)>>);

/// A resource type in lower case, and the version that is wanted of it.
type Wanted = (String, String);

impl Versions {
    /// A path as it is to be asked for: with the version that is known, as far as that was found
    /// out.
    pub(super) fn known(&self, path: &str, now: Instant) -> String {
        let Some((before, wanted, after)) = split(path) else { return path.to_owned() };
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let known = known.get(&(resource_type(path), wanted.to_owned()));
        let known = known.filter(|(_, at)| now.saturating_duration_since(*at) < REMEMBERED);
        format!("{before}{}{after}", known.map_or(wanted, |(version, _)| version))
    }

    /// The version that a path is asked for with.
    pub(super) fn of(&self, path: &str, now: Instant) -> String {
        let known = self.known(path, now);
        split(&known).map_or_else(String::new, |(_, version, _)| version.to_owned())
    }

    /// Takes note of the versions that exist, and says whether there is another one to ask with than
    /// the one that was sent. Another call may have taken note of it meanwhile.
    pub(super) fn learn(&self, path: &str, sent: &str, supported: &[String], now: Instant) -> bool {
        let Some((_, wanted, _)) = split(path) else { return false };
        let kind = resource_type(path);
        let fits = |it: &&String| !it.contains("preview") && it.as_str() >= oldest(&kind);
        let Some(newest) = supported.iter().filter(fits).max() else { return false };
        if newest == sent {
            return false;
        }
        tracing::warn!(kind, wanted, used = newest, "Azure does not know that api-version");
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.insert((kind, wanted.to_owned()), (newest.clone(), now));
        true
    }
}

/// The oldest version that does what is asked of it. Older versions of role assignments know no
/// condition: they would hide that an assignment is narrower than it looks.
fn oldest(kind: &str) -> &'static str {
    match kind {
        "microsoft.authorization/roleassignments" => "2022-04-01",
        _ => "",
    }
}

/// What stands before the version in a path, the version, and what stands behind it.
fn split(path: &str) -> Option<(&str, &str, &str)> {
    const PARAMETER: &str = "api-version=";
    let start = path.find(PARAMETER)? + PARAMETER.len();
    let end = path[start..].find('&').map_or(path.len(), |it| start + it);
    Some((&path[..start], &path[start..end], &path[end..]))
}

/// The resource type that a path is about; nothing for what is of Azure Resource Manager itself.
fn resource_type(path: &str) -> String {
    let path = path.split('?').next().unwrap_or_default().to_ascii_lowercase();
    let of_provider = path.rsplit_once("/providers/").map(|(_, rest)| rest).unwrap_or_default();
    of_provider.splitn(3, '/').take(2).collect::<Vec<_>>().join("/")
}

/// The versions that a refusal lists: `The supported api-versions are '2017-10-01, 2019-05-01'.`
///
/// Azure has three codes for one thing. `NoRegisteredProviderFound` is recorded for registries
/// (`AzGovViz` issue 266), `InvalidResourceType`, a 404, for role assignments (acs-engine issue
/// 4037, azure-sdk-for-go issue 15624), `InvalidApiVersionParameter` for what is of Azure Resource
/// Manager itself (azure-cli issue 28038).
pub(super) fn supported(code: &str, message: &str) -> Vec<String> {
    const BEFORE: [&str; 2] = ["supported api-versions are '", "supported versions are '"];
    if !UNKNOWN.contains(&code) {
        return Vec::new();
    }
    let lower = message.to_ascii_lowercase();
    let list = BEFORE.iter().find_map(|it| lower.split_once(it)).map(|(_, rest)| rest);
    let list = list.and_then(|it| it.split('\'').next()).unwrap_or_default();
    list.split(',').map(|it| it.trim().to_owned()).filter(|it| !it.is_empty()).collect()
}

/// The codes that say that an api-version is not known.
pub(super) const UNKNOWN: [&str; 3] =
    ["NoRegisteredProviderFound", "InvalidResourceType", "InvalidApiVersionParameter"];

#[cfg(test)]
mod tests {
    use super::*;

    const REGISTRY: &str = "/subscriptions/s/resourceGroups/g/providers/Microsoft.ContainerRegistry/registries/x?api-version=2025-11-01";
    const ASSIGNMENTS: &str = "/subscriptions/s/resourceGroups/g/providers/Microsoft.ContainerRegistry/registries/x/providers/Microsoft.Authorization/roleAssignments?$filter=atScope()&api-version=2022-04-01&x=y";
    const MESSAGE: &str = "No registered resource provider found for location 'eastus' and API version '2025-11-01' for type 'registries'. The supported api-versions are '2023-07-01, 2025-04-01, 2025-06-01-preview, 2017-10-01'. The supported locations are 'westus, eastus'.";

    fn listed() -> Vec<String> {
        supported(UNKNOWN[0], MESSAGE)
    }

    #[rstest::rstest]
    #[case(UNKNOWN[0], MESSAGE, 4)]
    #[case(
        UNKNOWN[1],
        "The resource type 'roleAssignments' could not be found in the namespace 'Microsoft.Authorization' for api version '2018-06-01'. The supported api-versions are '2014-04-01-preview,2015-07-01,2018-01-01-preview'.",
        3
    )]
    #[case(
        UNKNOWN[2],
        "The api-version '2023-02-01' is invalid. The supported versions are '2014-04, 2022-12-01'.",
        2
    )]
    #[case("ResourceNotFound", MESSAGE, 0)]
    #[case(UNKNOWN[0], "something else", 0)]
    fn each_code_lists_the_versions_that_there_are(
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
    fn the_newest_stable_version_stands_in_for_a_day() {
        let (versions, now) = (Versions::default(), Instant::now());
        assert_eq!(versions.known(REGISTRY, now), REGISTRY);
        assert!(versions.learn(REGISTRY, "2025-11-01", &listed(), now));
        assert!(
            versions.learn(REGISTRY, "2025-11-01", &listed(), now),
            "another call was sent before"
        );
        assert_eq!(versions.of(REGISTRY, now), "2025-04-01");
        let list = REGISTRY.replace("/x?", "?");
        assert_eq!(versions.of(&list, now), "2025-04-01", "a list is of the same type");
        assert_eq!(versions.known(ASSIGNMENTS, now), ASSIGNMENTS);
        assert!(!versions.learn(REGISTRY, "2025-04-01", &listed(), now), "that was tried");
        assert_eq!(versions.of(REGISTRY, now + REMEMBERED), "2025-11-01");
    }

    #[test]
    fn conditions_are_never_out_of_sight() {
        let (versions, now) = (Versions::default(), Instant::now());
        assert!(!versions.learn(
            ASSIGNMENTS,
            "2022-04-01",
            &list(&["2015-07-01", "2027-01-01-preview"]),
            now
        ));
        assert!(versions.learn(
            ASSIGNMENTS,
            "2022-04-01",
            &list(&["2015-07-01", "2027-01-01"]),
            now
        ));
        let known = versions.known(ASSIGNMENTS, now);
        assert_eq!(known, ASSIGNMENTS.replace("2022-04-01", "2027-01-01"));
    }

    #[test]
    fn what_names_no_version_stays_as_it_is() {
        let (versions, now) = (Versions::default(), Instant::now());
        assert!(!versions.learn("/v1.0/x", "", &list(&["2027-01-01"]), now));
        assert_eq!(versions.known("/v1.0/x", now), "/v1.0/x");
    }
}
