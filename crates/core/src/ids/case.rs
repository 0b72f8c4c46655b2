//! Compares resource ids without regard to case, as Azure does.
//!
//! Names of resource groups may have any letters and digits of Unicode (learn.microsoft.com, "Naming
//! rules and restrictions for Azure resources"). Azure compares ids by .NET's ordinal comparison
//! without regard to case, character by character, so `ß` is not `SS`. Here a letter beyond ASCII never
//! equals one of ASCII: a setting that allows a group must not allow another that only looks like it.

/// A form of the text that is the same for texts that differ only in case.
pub(super) fn folded(text: &str) -> String {
    text.chars().map(|it| one(it, it.to_uppercase())).collect()
}

/// Whether two texts are equal without regard to case.
#[must_use]
pub fn eq_ignore_case(left: &str, right: &str) -> bool {
    left.eq_ignore_ascii_case(right) || !left.is_ascii() && folded(left) == folded(right)
}

/// The text in lower case, as the template function `toLower()` writes it.
pub(crate) fn lower(text: &str) -> String {
    text.chars().map(|it| one(it, it.to_lowercase())).collect()
}

/// The character in the other case, if that is one character and both or neither are ASCII.
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
