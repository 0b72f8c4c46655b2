//! Scopes and resource ids: paths that ARM compares without regard to case, beyond ASCII too:
//! names of resource groups may have any letters (Azure docs, `resource-name-rules`;
//! azure-sdk-for-js issue 13247).

use uuid::Uuid;

/// Whether `scope` is `ancestor` or lies below it; `/` is above everything.
pub(crate) fn is_within(scope: &str, ancestor: &str) -> bool {
    let mut rest = scope.trim_end_matches('/').chars();
    let mut ancestor = ancestor.trim_end_matches('/').chars();
    ancestor.all(|wanted| rest.next().is_some_and(|it| is_same_letter(it, wanted)))
        && matches!(rest.next(), None | Some('/'))
}

/// Whether both are the same scope.
pub(crate) fn is_same(left: &str, right: &str) -> bool {
    let (left, right) = (left.trim_end_matches('/'), right.trim_end_matches('/'));
    left.eq_ignore_ascii_case(right)
        || left.chars().count() == right.chars().count() && is_within(left, right)
}

/// One letter against one, as .NET compares ordinally without regard to case.
fn is_same_letter(left: char, right: char) -> bool {
    left.eq_ignore_ascii_case(&right)
        || !left.is_ascii() && !right.is_ascii() && left.to_uppercase().eq(right.to_uppercase())
}

/// The last segment of an id: a role definition's GUID, an assignment's name.
pub(crate) fn last_segment(id: &str) -> &str {
    id.trim_end_matches('/').rsplit('/').next().unwrap_or_default()
}

/// The subscription id of a scope, unless it is above subscriptions.
pub(crate) fn subscription_id(scope: &str) -> Option<&str> {
    let mut segments = scope.trim_start_matches('/').split('/');
    segments.next().filter(|it| it.eq_ignore_ascii_case("subscriptions"))?;
    segments.next().filter(|it| !it.is_empty())
}

/// The resource group of a scope, if it has one.
pub(crate) fn resource_group(scope: &str) -> Option<&str> {
    let mut segments = scope.trim_start_matches('/').split('/').skip(2);
    segments.next().filter(|it| it.eq_ignore_ascii_case("resourceGroups"))?;
    segments.next().filter(|it| !it.is_empty())
}

/// The type and name of the resource that a scope is, or lies below.
pub(crate) fn resource(scope: &str) -> Option<(String, &str)> {
    let segments: Vec<_> = scope.trim_start_matches('/').split('/').collect();
    match segments.get(4..8)? {
        [providers, namespace, kind, name] if providers.eq_ignore_ascii_case("providers") => {
            Some((format!("{namespace}/{kind}"), name))
        }
        _ => None,
    }
}

/// Whether `text` is a GUID in any of the forms that Azure takes.
pub(crate) fn is_guid(text: &str) -> bool {
    Uuid::try_parse(text).is_ok()
}

/// A GUID as messages of the role assignment service show it: without dashes
/// (azure-cli `role/tests` recordings).
pub(crate) fn dashless(guid: &str) -> String {
    guid.replace('-', "").to_ascii_lowercase()
}

/// A GUID that is always the same for the same words.
pub(crate) fn stable_guid(words: &[&str]) -> String {
    Uuid::new_v5(&Uuid::NAMESPACE_URL, words.join("\u{1f}").as_bytes()).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scope_contains_itself_and_what_is_below_in_any_case() {
        let registry = "/subscriptions/s/resourceGroups/rg/providers/P/registries/r";
        for ancestor in ["/", "/subscriptions/S", "/SUBSCRIPTIONS/s/resourcegroups/RG/", registry] {
            assert!(is_within(registry, ancestor), "{ancestor}");
        }
        for other in ["/subscriptions/s/resourceGroups/r", "/subscriptions/s2", &registry[1..]] {
            assert!(!is_within(registry, other), "{other}");
        }
    }

    #[test]
    fn letters_beyond_ascii_have_a_case_too() {
        let group = "/subscriptions/s/resourceGroups/Instruktører";
        assert!(is_same(group, "/subscriptions/S/resourcegroups/INSTRUKTØRER/"));
        assert!(is_within(&format!("{group}/providers/x"), &group.to_uppercase()));
        assert!(!is_same(group, "/subscriptions/s/resourceGroups/Instruktorer"));
        assert!(!is_same("/subscriptions/s/resourceGroups/ı", "/subscriptions/s/resourceGroups/I"));
    }

    #[test]
    fn ids_are_taken_apart_by_segment() {
        assert_eq!(subscription_id("/subscriptions/S/resourceGroups/G"), Some("S"));
        assert_eq!(subscription_id("/"), None);
        assert_eq!(resource_group("/subscriptions/S/resourcegroups/G/providers"), Some("G"));
        assert_eq!(resource_group("/subscriptions/S/providers/G"), None);
        assert_eq!(last_segment("/a/b/c/"), "c");
        let registry = "/subscriptions/S/resourceGroups/G/providers/N.S/kind/name";
        assert_eq!(resource(registry), Some(("N.S/kind".into(), "name")));
        assert_eq!(resource(&format!("{registry}/sub/1")), Some(("N.S/kind".into(), "name")));
        assert_eq!(resource("/subscriptions/S/resourceGroups/G"), None);
    }
}
