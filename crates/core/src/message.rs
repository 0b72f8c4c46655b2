//! Messages for users: one line of bounded length, never cut inside a command.

use std::ops::Range;

/// The most characters of a message.
pub const LIMIT: usize = 600;
/// The most bytes of a message: an event's note may have no more (k8s.io/api, events/v1).
pub const NOTE_LIMIT: usize = 1024;

/// Marks where a message was cut.
const CUT: &str = "…";

/// The text on one line, cut to the limits.
#[must_use]
pub fn bounded(text: &str) -> String {
    joined(text, "")
}

/// The text on one line, cut so that it fits together with the whole ending.
#[must_use]
pub fn joined(text: &str, ending: &str) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let chars = LIMIT.saturating_sub(ending.chars().count());
    let bytes = NOTE_LIMIT.saturating_sub(ending.len());
    format!("{}{ending}", cut(line, chars, bytes))
}

/// The text with the ending, or the bounded text alone where both do not fit.
#[must_use]
pub fn with_room(text: &str, ending: &str) -> String {
    let whole = format!("{text}{ending}");
    if fits(&whole, LIMIT, NOTE_LIMIT) { whole } else { bounded(text) }
}

/// Whether a text is within the limits of a message.
#[must_use]
pub fn is_bounded(text: &str) -> bool {
    fits(text, LIMIT, NOTE_LIMIT)
}

fn fits(text: &str, chars: usize, bytes: usize) -> bool {
    text.len() <= bytes && text.chars().count() <= chars
}

fn cut(line: String, chars: usize, bytes: usize) -> String {
    if fits(&line, chars, bytes) {
        return line;
    }
    let ends = line.char_indices().map(|(at, it)| at + it.len_utf8());
    let ends = ends.take(chars.saturating_sub(1));
    let end = ends.take_while(|it| it + CUT.len() <= bytes).last().unwrap_or_default();
    let kept = whole_words(&line[..end]);
    let end = kept.len();
    let torn = commands(&line).into_iter().filter(|it| it.start < end && end < it.end);
    let kept = torn.map(|it| it.start).min().map_or(kept, |start| &line[..start]);
    format!("{}{CUT}", kept.trim_end_matches([' ', '(', ';', ':', ',', '.']))
}

/// The text without its last word, unless that word is more than half of the text.
fn whole_words(text: &str) -> &str {
    match text.rfind(' ') {
        Some(at) if at > text.len() / 2 => &text[..at],
        _ => text,
    }
}

/// The ranges of commands in a text: from the program's name to the closing parenthesis around the
/// command, or to the end of its clause.
fn commands(text: &str) -> Vec<Range<usize>> {
    const PROGRAMS: [&str; 3] = ["az ", "kubectl ", "helm "];
    let starts = PROGRAMS.iter().flat_map(|it| text.match_indices(it)).map(|(at, _)| at);
    let is_word = |at: &usize| !text[..*at].ends_with(|it: char| it.is_alphanumeric() || it == '-');
    starts.filter(is_word).map(|start| start..start + length(&text[start..])).collect()
}

/// The length in bytes of the command at the start of a text.
fn length(text: &str) -> usize {
    let (mut depth, mut quote) = (0_usize, None);
    for (at, it) in text.char_indices() {
        match (it, quote) {
            (it, Some(open)) if it == open => quote = None,
            (')' | ';', None) if depth == 0 => return at,
            ('"' | '\'', None) => quote = Some(it),
            ('(', None) => depth += 1,
            (')', None) => depth -= 1,
            _ => {}
        }
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_fits_is_one_line_and_whole() {
        assert_eq!(bounded("a\r\n  b"), "a b");
        let longest = "x".repeat(LIMIT);
        assert_eq!(bounded(&longest), longest);
    }

    #[test]
    fn a_cut_is_seen_and_leaves_whole_words_and_the_ending() {
        let text = joined(&"word ".repeat(300), "; the end");
        assert!(text.ends_with("word…; the end") && is_bounded(&text), "{text}");
        let wide = bounded(&"ü".repeat(3000));
        assert!(wide.ends_with("ü…") && wide.len() <= NOTE_LIMIT, "{wide}");
    }

    #[rstest::rstest]
    #[case("delete it (kubectl delete secret a --namespace b)")]
    #[case("run az role assignment list --query \"[?name=='a; b']\"")]
    fn a_command_that_does_not_fit_goes_as_a_whole(#[case] text: &str) {
        let start = text.find(['(', 'a']).unwrap();
        for before in LIMIT - text.len()..LIMIT - start {
            let all = format!("{} {text}", "x".repeat(before));
            let cut = bounded(&all);
            assert!(cut == all || !cut.contains("--"), "{cut}");
        }
    }

    #[test]
    fn an_ending_without_room_is_left_out() {
        assert_eq!(with_room("a", " (b)"), "a (b)");
        let longest = "x".repeat(LIMIT);
        assert_eq!(with_room(&longest, " (b)"), longest);
    }

    proptest! {
        #[test]
        fn whatever_is_said_is_one_bounded_line(text in "\\PC{0,2000}", ending in "\\PC{0,100}") {
            let ending = ending.replace(char::is_whitespace, "_");
            let told = joined(&text, &ending);
            prop_assert!(is_bounded(&told) && told.ends_with(&ending) && !told.contains('\n'));
        }

        #[test]
        fn a_command_is_whole_or_not_there(
            before in "[a-z ;:,]{0,700}", name in "[a-z]{1,300}", after in "[a-z ;]{0,700}",
        ) {
            let command = format!("kubectl delete secret {name} --namespace \"x; (y\"");
            let told = bounded(&format!("{before} ({command}) {after}"));
            prop_assert!(is_bounded(&told));
            prop_assert!(told.contains(&command) || !told.contains("kubectl"), "{told}");
        }
    }
}
