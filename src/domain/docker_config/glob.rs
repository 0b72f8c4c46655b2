//! Globs as Go's `path/filepath.Match` reads them, for one label of a host name.

/// Whether the label is one of those that the glob means. A malformed glob means none.
pub(super) fn matches(glob: &str, label: &str) -> bool {
    let Some(parts) = parse(glob) else { return false };
    let label: Vec<char> = label.chars().collect();
    let (Some((first, rest)), mut at) = (parts.split_first(), 0) else { return false };
    let fits = |part: &[One], at: usize| {
        let text = label.get(at..at + part.len());
        text.is_some_and(|text| part.iter().zip(text).all(|(one, c)| one.is(*c)))
    };
    let Some((last, between)) = rest.split_last() else {
        return first.len() == label.len() && fits(first, 0);
    };
    if !fits(first, 0) {
        return false;
    }
    at += first.len();
    // After a star the first place that fits leaves most for what follows.
    for part in between {
        let Some(found) = (at..=label.len()).find(|at| fits(part, *at)) else { return false };
        at = found + part.len();
    }
    label.len().checked_sub(last.len()).is_some_and(|end| end >= at && fits(last, end))
}

/// What stands for one character.
enum One {
    Any,
    Char(char),
    Class { negated: bool, ranges: Vec<(char, char)> },
}

impl One {
    fn is(&self, c: char) -> bool {
        match self {
            Self::Any => true,
            Self::Char(it) => *it == c,
            Self::Class { negated, ranges } => {
                ranges.iter().any(|(from, to)| (*from..=*to).contains(&c)) != *negated
            }
        }
    }
}

/// The parts between stars.
fn parse(glob: &str) -> Option<Vec<Vec<One>>> {
    let (mut parts, mut chars) = (vec![Vec::new()], glob.chars().peekable());
    while let Some(c) = chars.next() {
        let one = match c {
            '*' => {
                parts.push(Vec::new());
                continue;
            }
            '?' => One::Any,
            '\\' => One::Char(chars.next()?),
            '[' => class(&mut chars)?,
            c => One::Char(c),
        };
        parts.last_mut()?.push(one);
    }
    Some(parts)
}

/// What follows an opening bracket, up to the closing one.
fn class(chars: &mut std::iter::Peekable<std::str::Chars<'_>>) -> Option<One> {
    fn bound(chars: &mut std::iter::Peekable<std::str::Chars<'_>>) -> Option<char> {
        match chars.next()? {
            '\\' => chars.next(),
            '-' | ']' => None,
            c => Some(c),
        }
    }
    let negated = chars.next_if_eq(&'^').is_some();
    let mut ranges = Vec::new();
    while ranges.is_empty() || chars.next_if_eq(&']').is_none() {
        let from = bound(chars)?;
        let to = if chars.next_if_eq(&'-').is_some() { bound(chars)? } else { from };
        ranges.push((from, to));
    }
    Some(One::Class { negated, ranges })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[rstest::rstest]
    #[case("contoso", "contoso", true)]
    #[case("contoso", "Contoso", false)]
    #[case("*", "contoso", true)]
    #[case("*", "", true)]
    #[case("con*", "contoso", true)]
    #[case("*so", "contoso", true)]
    #[case("c*t*o", "contoso", true)]
    #[case("c*x*o", "contoso", false)]
    #[case("contoso*contoso", "contoso", false)]
    #[case("c?ntoso", "contoso", true)]
    #[case("contoso?", "contoso", false)]
    #[case("[a-c]ontoso", "contoso", true)]
    #[case("[^a-c]ontoso", "contoso", false)]
    #[case("[xc]ontoso", "contoso", true)]
    #[case("\\contoso", "contoso", true)]
    #[case("[contoso", "c", false)]
    #[case("[]c]", "c", false)]
    #[case("contoso\\", "contoso", false)]
    fn globs_are_read_as_go_reads_them(
        #[case] glob: &str,
        #[case] label: &str,
        #[case] matches: bool,
    ) {
        assert_eq!(super::matches(glob, label), matches, "{glob} {label}");
    }

    #[test]
    fn many_stars_take_no_time() {
        let label = "a".repeat(63);
        assert!(!matches(&"*a".repeat(60), &label[..50]));
        assert!(!matches(&format!("{}b", "*a".repeat(30)), &label));
    }
}
