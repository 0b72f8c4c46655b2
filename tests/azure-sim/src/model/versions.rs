//! The api-versions that ARM knows, by resource type.

use std::collections::BTreeMap;

use super::Settings;

impl Settings {
    /// Forgets the api-versions of a resource type, such as
    /// `Microsoft.ContainerRegistry/registries`, that are newer than one: clouds and regions lag
    /// behind (azure-cli issues 23985 and 30847).
    pub fn newest_api_version(&mut self, resource_type: &str, newest: &str) {
        for (kind, versions) in &mut self.api_versions {
            if kind.eq_ignore_ascii_case(resource_type) {
                versions.retain(|it| it.as_str() <= newest);
            }
        }
    }
}

/// The versions in `Azure/azure-rest-api-specs`, or enough of them.
const API_VERSIONS: [(&str, &[&str]); 4] = [
    (
        "Microsoft.ContainerRegistry/registries",
        &[
            "2017-10-01",
            "2019-05-01",
            "2021-09-01",
            "2022-12-01",
            "2023-07-01",
            "2025-04-01",
            "2025-11-01",
            "2026-01-01-preview",
        ],
    ),
    (
        "Microsoft.ContainerService/managedClusters",
        &[
            "2023-08-01",
            "2024-02-01",
            "2024-05-01",
            "2024-09-01",
            "2025-02-01",
            "2025-05-01",
            "2025-10-01",
            "2025-10-02-preview",
            "2026-01-01",
            "2026-01-02-preview",
            "2026-06-01",
            "2026-06-02-preview",
        ],
    ),
    (
        "Microsoft.Authorization/roleAssignments",
        &["2015-07-01", "2020-04-01-preview", "2022-01-01-preview", "2022-04-01"],
    ),
    (
        "Microsoft.Resources/resourceGroups",
        &["2019-10-01", "2020-06-01", "2021-04-01", "2022-09-01", "2024-03-01", "2024-11-01"],
    ),
];

pub(super) fn api_versions() -> BTreeMap<String, Vec<String>> {
    let names = |list: &[&str]| list.iter().map(|&it| it.to_owned()).collect();
    API_VERSIONS.into_iter().map(|(kind, versions)| (kind.into(), names(versions))).collect()
}
