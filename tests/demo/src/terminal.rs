//! What the demo says: progress lines, headings and tables, as plain text for 100 columns.

use std::{
    fmt::Display,
    io::{Write, stdout},
    time::{Duration, Instant},
};

/// How wide a line may be.
const WIDTH: usize = 100;
/// Where the time of a progress line ends.
const TIME_COLUMN: usize = 60;

/// Says one line.
pub fn say(line: impl Display) {
    // It fails only when nobody reads any more, and then there is nobody to tell.
    let _ = writeln!(stdout().lock(), "{line}");
}

/// Says some lines, indented, and wraps those that are too long.
pub fn say_lines(text: &str) {
    let room = WIDTH - "  ".len();
    text.lines().flat_map(|line| wrapped(line, room)).for_each(|it| say(format_args!("  {it}")));
}

/// Says a command as one would type it; a long one goes on in the next line.
pub fn say_command(command: &str) {
    say(format_args!("$ {}", typed(command, "    ")));
}

/// Says a command that somebody else types. A line break stands where it may go on.
pub fn say_typed(command: &str) {
    say(format_args!("    {}", typed(command, "      ")));
}

fn typed(command: &str, indent: &str) -> String {
    let room = WIDTH - indent.len() - " \\".len();
    let lines: Vec<_> = command.lines().flat_map(|line| wrapped(line, room)).collect();
    lines.join(&format!(" \\\n{indent}"))
}

/// A line as lines that are at most so wide, unless a word is wider.
fn wrapped(mut line: &str, width: usize) -> Vec<&str> {
    let mut lines = Vec::new();
    while let Some((end, next)) = line.char_indices().nth(width)
        && let Some(space) = line[..end + next.len_utf8()].rfind(' ').or_else(|| line.find(' '))
    {
        lines.push(line[..space].trim_end());
        line = line[space..].trim_start();
    }
    lines.push(line);
    lines
}

/// Says that something is done, and how long it took.
pub fn say_done(what: &str, since: Instant) {
    say(done(what, since.elapsed()));
}

/// Begins one of the parts that the headings below it belong to.
pub fn say_part(text: &str) {
    say(format_args!("\n{text}\n{}", "=".repeat(text.chars().count())));
}

/// Begins a new section.
pub fn say_heading(text: &str) {
    say(format_args!("\n{text}"));
}

fn done(what: &str, took: Duration) -> String {
    let width = TIME_COLUMN - "  ".len() - " s".len();
    let time = format!("{:.1}", took.as_secs_f64());
    let name = width.saturating_sub(time.len());
    format!("  {what:<name$}{time} s")
}

/// Rows as lines, each column as wide as its widest cell.
pub fn table<const N: usize>(rows: &[[String; N]]) -> String {
    let widths: [usize; N] = std::array::from_fn(|column| {
        rows.iter().map(|row| row[column].chars().count()).max().unwrap_or_default()
    });
    let line = |row: &[String; N]| {
        let cells = row.iter().zip(widths).map(|(cell, width)| format!("{cell:<width$}"));
        cells.collect::<Vec<_>>().join("   ").trim_end().to_owned()
    };
    rows.iter().map(line).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_stand_below_each_other() {
        let short = done("simulated Azure ready", Duration::from_millis(10));
        let long = done("control plane v1.36.3 ready", Duration::from_millis(12_340));
        assert!(short.ends_with(" 0.0 s") && long.ends_with(" 12.3 s"), "{short} {long}");
        assert_eq!((short.len(), long.len()), (TIME_COLUMN, TIME_COLUMN));
    }

    #[test]
    fn long_lines_are_wrapped_between_words() {
        assert_eq!(wrapped("", 5), [""]);
        assert_eq!(wrapped("ab cd", 5), ["ab cd"]);
        assert_eq!(wrapped("ab cd ef", 5), ["ab cd", "ef"]);
        assert_eq!(wrapped("ab cde ≤≤", 5), ["ab", "cde", "≤≤"]);
        assert_eq!(wrapped("abcdefgh ij k", 5), ["abcdefgh", "ij k"]);
        assert_eq!(wrapped("a ≤≤≤≤≤≤≤≤≤≤ b", 4), ["a", "≤≤≤≤≤≤≤≤≤≤", "b"]);
    }

    #[test]
    fn a_table_is_as_wide_as_its_cells() {
        let rows = [["ROLE", "PRINCIPAL"], ["AcrPull", "≤ 2 s"]];
        let rows = rows.map(|row| row.map(str::to_owned));
        assert_eq!(table(&rows), "ROLE      PRINCIPAL\nAcrPull   ≤ 2 s");
    }
}
