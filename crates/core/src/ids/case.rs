//! The case of letters, as Azure sees it in resource ids.
//!
//! Names of resource groups may have any letters and digits of Unicode (learn.microsoft.com, "Naming
//! rules and restrictions for Azure resources"), and Azure compares ids without regard to case: .NET's
//! ordinal comparison, one character against one. So `ß` is not `SS` here. No letter beyond ASCII equals
//! one within it: a setting that allows a group must not allow one that only looks like it.

/// What is the same for two texts that differ in case alone.
pub(super) fn folded(text: &str) -> String {
    text.chars().map(|it| one(it, it.to_uppercase())).collect()
}

/// Whether two texts differ in case alone.
#[must_use]
pub fn eq_ignore_case(left: &str, right: &str) -> bool {
    left.eq_ignore_ascii_case(right) || !left.is_ascii() && folded(left) == folded(right)
}

/// The text in lower case, as the template function `toLower()` writes it.
pub(crate) fn lower(text: &str) -> String {
    text.chars().map(|it| one(it, it.to_lowercase())).collect()
}

/// That character in another case, if it is one, and stays within or beyond ASCII.
fn one(from: char, mut to: impl Iterator<Item = char>) -> char {
    match (to.next(), to.next()) {
        (Some(it), None) if it.is_ascii() == from.is_ascii() => it,
        _ => from,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[rstest::rstest]
    #[case("Instruktører", "INSTRUKTØRER", true)]
    #[case("Πόρος", "ΠΌΡΟΣ", true)]
    #[case("ПРОД", "прод", true)]
    #[case("資源", "資源", true)]
    #[case("Instruktører", "Instruktorer", false)]
    #[case("straße", "STRASSE", false)]
    #[case("ı", "I", false)]
    #[case("\u{212a}", "k", false)]
    #[case("ſ", "s", false)]
    fn letters_differ_in_case_or_not(#[case] left: &str, #[case] right: &str, #[case] same: bool) {
        assert_eq!(eq_ignore_case(left, right), same);
        assert_eq!(eq_ignore_case(right, left), same);
        assert_eq!(folded(left) == folded(right), same);
    }

    #[test]
    fn lower_case_is_that_of_each_letter() {
        assert_eq!(lower("/resourceGroups/INSTRUKTØRER"), "/resourcegroups/instruktører");
    }
}
