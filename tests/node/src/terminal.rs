//! What the story says, as plain text for 100 columns.

use std::{
    fmt::Display,
    io::{Write, stdout},
    time::{Duration, Instant},
};

/// How wide a line may be.
const WIDTH: usize = 100;
/// Where the time of a line ends.
const TIME_COLUMN: usize = 92;

/// Says one line.
pub fn say(line: impl Display) {
    // It fails only when nobody reads any more, and then there is nobody to tell.
    let _ = writeln!(stdout().lock(), "{line}");
}

/// Begins a part of the story.
pub fn say_part(title: &str) {
    say(format_args!("\n== {title}"));
}

/// Says a command as one would type it; a long one goes on in the next line.
pub fn say_command(command: &str) {
    say(format_args!("$ {}", wrapped(command, "    ", " \\")));
}

/// Says some lines, indented.
pub fn say_lines(text: &str) {
    text.lines().for_each(|line| say(format_args!("    {}", wrapped(line, "      ", ""))));
}

/// Says that something is so.
pub fn say_seen(what: impl Display) {
    say(format_args!("  {}", wrapped(&what.to_string(), "    ", "")));
}

/// A line as lines of at most [`WIDTH`], unless a word is wider. All but the first are indented, and
/// all but the last have that end.
fn wrapped(line: &str, indent: &str, end: &str) -> String {
    let room = WIDTH - indent.len() - end.len();
    let mut lines = vec![String::new()];
    for word in line.split_inclusive(' ') {
        let last = lines.len() - 1;
        if !lines[last].is_empty() && lines[last].len() + word.trim_end().len() > room {
            lines.push(String::new());
        }
        let last = lines.len() - 1;
        lines[last].push_str(word);
    }
    let lines: Vec<_> = lines.iter().map(|it| it.trim_end()).collect();
    lines.join(&format!("{end}\n{indent}"))
}

/// Says why the kubelet cannot pull.
pub fn say_refused(error: &str) {
    say_seen(format_args!("refused: {error}"));
}

/// Says that something is so, and how long that took.
pub fn say_done(what: impl Display, since: Instant) {
    say_took(what, since.elapsed());
}

/// Says that something is so after such a time.
pub fn say_took(what: impl Display, time: Duration) {
    let what = what.to_string();
    let width = TIME_COLUMN.saturating_sub(what.chars().count() + 2);
    let time = format!("{:.1} s", time.as_secs_f64());
    say(format_args!("  {what}{time:>width$}"));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_line_is_wrapped_between_words() {
        let word = "x".repeat(60);
        let line = format!("{word} {word} end");
        assert_eq!(wrapped(&line, "  ", " \\"), format!("{word} \\\n  {word} end"));
        assert_eq!(wrapped("short", "  ", " \\"), "short");
        let wide = "y".repeat(200);
        assert_eq!(wrapped(&wide, "  ", ""), wide);
    }
}
