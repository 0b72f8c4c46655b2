//! The repositories that may be pulled, and the condition that narrows a role to them.

use std::collections::BTreeSet;

/// Names and prefixes of repositories, sorted and without duplicates, so that the same choice always
/// gives the same condition.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Repositories(BTreeSet<String>);

/// The actions that reading a repository needs.
const ACTIONS: [&str; 2] = [
    "Microsoft.ContainerRegistry/registries/repositories/content/read",
    "Microsoft.ContainerRegistry/registries/repositories/metadata/read",
];
/// The longest condition of a role assignment that Azure accepts, in bytes: 8 KB (learn.microsoft.com,
/// "What is Azure attribute-based access control", limits).
const LONGEST_CONDITION: usize = 8 * 1024;
const NAME: &str = "@Request[Microsoft.ContainerRegistry/registries/repositories:name]";

impl Repositories {
    /// Checks entries. No entry means the whole registry; an entry that ends in `/*` is a prefix.
    ///
    /// # Errors
    /// The first entry that is not valid. The schema refuses such entries too; the check here ensures
    /// that no entry can end the quotes of a condition.
    pub fn new(entries: impl IntoIterator<Item = String>) -> Result<Self, String> {
        let entries: BTreeSet<String> = entries.into_iter().collect();
        match entries.iter().find(|it| !is_repository(it)) {
            Some(wrong) => Err(wrong.clone()),
            None => Ok(Self(entries)),
        }
    }

    /// Whether the whole registry is meant.
    #[must_use]
    pub fn are_all(&self) -> bool {
        self.0.is_empty()
    }

    /// The condition that narrows a role to these repositories; `None` for the whole registry.
    ///
    /// Its form is that of learn.microsoft.com, "Microsoft Entra attribute-based access control
    /// for repository permissions"; registries read `@Request`.
    #[must_use]
    pub fn condition(&self) -> Option<String> {
        if self.are_all() {
            return None;
        }
        let others = ACTIONS.map(|it| format!("!(ActionMatches{{'{it}'}})")).join(" AND ");
        let names: Vec<_> = self.0.iter().map(|it| expression(it)).collect();
        Some(format!("(({others}) OR ({}))", names.join(" OR ")))
    }

    /// Checks that Azure accepts the length of the condition.
    ///
    /// # Errors
    /// One sentence with its length, the limit, and what to do.
    pub fn check_condition_length(&self) -> Result<(), String> {
        match self.condition().map_or(0, |it| it.len()) {
            ..=LONGEST_CONDITION => Ok(()),
            length => Err(format!(
                "repositories: shorten the list, for example by prefixes such as team-a/*: the condition that narrows the role to these {} has {length} bytes, and Azure takes at most {LONGEST_CONDITION}",
                self.0.len()
            )),
        }
    }

    /// A repository among these, to probe whether a credential may pull it: the first name, else an
    /// invented name below the first prefix.
    #[must_use]
    pub fn example(&self) -> String {
        const NONE: &str = "acr-attach-probe";
        let exact = self.0.iter().find(|it| !it.ends_with("/*"));
        let below =
            || self.0.iter().find_map(|it| Some(format!("{}/{NONE}", it.strip_suffix("/*")?)));
        exact.cloned().or_else(below).unwrap_or_else(|| NONE.to_owned())
    }
}

fn expression(entry: &str) -> String {
    match entry.strip_suffix('*') {
        // The slash stays: team-a/ must not match team-abc/.
        Some(prefix) => format!("{NAME} StringStartsWithIgnoreCase '{prefix}'"),
        None => format!("{NAME} StringEqualsIgnoreCase '{entry}'"),
    }
}

/// Whether the OCI distribution specification allows the name, without `/*` at the end.
fn is_repository(entry: &str) -> bool {
    let name = entry.strip_suffix("/*").unwrap_or(entry);
    let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "._-".contains(c);
    (1..=256).contains(&entry.len())
        && name.split('/').all(|it| !it.is_empty() && it.chars().all(allowed))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(entries: &[&str]) -> Repositories {
        Repositories::new(entries.iter().map(|it| (*it).to_owned())).unwrap()
    }

    #[test]
    fn a_condition_names_each_repository_and_prefix() {
        expect_test::expect!["((!(ActionMatches{'Microsoft.ContainerRegistry/registries/repositories/content/read'}) AND !(ActionMatches{'Microsoft.ContainerRegistry/registries/repositories/metadata/read'})) OR (@Request[Microsoft.ContainerRegistry/registries/repositories:name] StringStartsWithIgnoreCase 'team-a/' OR @Request[Microsoft.ContainerRegistry/registries/repositories:name] StringEqualsIgnoreCase 'team-b/app'))"]
            .assert_eq(&of(&["team-b/app", "team-a/*", "team-b/app"]).condition().unwrap());
        assert_eq!(of(&[]).condition(), None);
    }

    /// For every number of entries, the real length of the condition decides.
    #[test]
    fn a_condition_that_azure_would_refuse_is_told_by_its_length() {
        for count in 1..=32 {
            let entries = |length: usize| -> Vec<String> {
                (0..count).map(|n| format!("{n:02}{}", "a".repeat(length - 2))).collect()
            };
            let of = |length: usize| Repositories::new(entries(length)).unwrap();
            let longest =
                (2..=256).rev().find(|it| of(*it).check_condition_length().is_ok()).unwrap();
            assert!(of(longest).condition().unwrap().len() <= LONGEST_CONDITION, "{count}");
            if longest < 256 {
                let length = of(longest + 1).condition().unwrap().len();
                assert!(length > LONGEST_CONDITION, "{count}");
                let text = of(longest + 1).check_condition_length().unwrap_err();
                assert!(text.contains(&format!("these {count} has {length} bytes")), "{text}");
            }
            assert!(count > 21 || longest == 256, "{count} entries of any length fit");
        }
        assert_eq!(of(&[]).check_condition_length(), Ok(()));
    }

    #[rstest::rstest]
    #[case("it's")]
    #[case("a') OR (true")]
    #[case("Team")]
    #[case("a//b")]
    #[case("*")]
    #[case("a/*/b")]
    #[case("")]
    fn nothing_ends_the_quotes(#[case] entry: &str) {
        let refused = Repositories::new([entry.to_owned()]).unwrap_err();
        assert_eq!(refused, entry);
    }

    #[rstest::rstest]
    #[case(&["team-a/*", "team-b/app"], "team-b/app")]
    #[case(&["team-a/*"], "team-a/acr-attach-probe")]
    #[case(&[], "acr-attach-probe")]
    fn an_example_is_among_them(#[case] entries: &[&str], #[case] example: &str) {
        assert_eq!(of(entries).example(), example);
    }
}
