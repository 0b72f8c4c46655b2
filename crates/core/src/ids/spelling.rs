//! Suggests names that a user may have meant.

/// The most names of a suggestion.
const MAX_NAMES: usize = 3;
/// The most letters that are wrong, missing, added or swapped.
const MAX_MISTAKES: usize = 2;

/// The names that differ from `name` by few letters, the most similar first.
#[must_use]
pub fn similar<'a>(name: &str, all: impl IntoIterator<Item = &'a str>) -> Vec<&'a str> {
    let name = name.to_ascii_lowercase();
    let mistakes = |other: &str| strsim::damerau_levenshtein(&name, &other.to_ascii_lowercase());
    let mut near: Vec<_> = all.into_iter().map(|it| (mistakes(it), it)).collect();
    near.retain(|(mistakes, _)| *mistakes <= MAX_MISTAKES);
    near.sort_unstable();
    near.into_iter().take(MAX_NAMES).map(|(_, it)| it).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_come_first_and_others_not_at_all() {
        let all = ["contoso1", "fabrikam", "Contoso", "cnotoso", "contosos12"];
        assert_eq!(similar("contosso", all), ["Contoso", "cnotoso", "contoso1"]);
        assert!(similar("northwind", all).is_empty());
    }
}
