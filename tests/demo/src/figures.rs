//! What this run measured, beside what acr-attach promises.

use std::{fs, path::Path, time::Duration};

use anyhow::{Context as _, Result};

use crate::{
    other_clusters::Kept,
    story::Times,
    terminal::{say_heading, say_lines, table},
};

/// What was measured.
pub struct Figures {
    /// How long a user waited.
    pub times: Times,
    /// The size of the operator's program, in bytes.
    pub program: u64,
    /// The memory that the idle operator holds, in bytes. Not every system tells.
    pub memory: Option<u64>,
}

impl Figures {
    /// Says them. Times depend on the machine and on `latency` milliseconds for each answer of
    /// the simulated Azure, so nothing is judged.
    pub fn say(&self, latency: u64) {
        say_heading("Figures");
        let memory = self.memory.map_or_else(|| "unknown".into(), megabytes);
        let row =
            |what: &str, measured: &str, target: &str| [what, measured, target].map(str::to_owned);
        let time = |what, measured, target| row(what, &seconds(measured), target);
        let Times { granted, provided, both_ready, ref kept } = self.times;
        let Kept { replaced, restored, served } = *kept;
        let rows = [
            row("", "measured", "target"),
            time("KubeletIdentity: created to Ready", granted, "≤ 2 s"),
            time("PullSecret: created to Ready", provided, "≤ 2 s"),
            time("new client secret in use", replaced, "≤ 5 s"),
            time("deleted Secret back", restored, "≤ 2 s"),
            time("labelled namespace served", served, "≤ 1 s"),
            time("built to both methods seen Ready", both_ready, "≤ 40 s"),
            row("size of the operator's program", &megabytes(self.program), "≤ 20 MB"),
            row("memory of the idle operator", &memory, "≤ 40 MB"),
        ];
        say_lines(&table(&rows));
        say_lines(&format!("Each answer of the simulated Azure took {latency} ms."));
    }
}

/// The size of a program, in bytes.
///
/// # Errors
/// When it cannot be read.
pub fn size(program: &Path) -> Result<u64> {
    let data = fs::metadata(program);
    Ok(data.with_context(|| format!("cannot read {}", program.display()))?.len())
}

/// The memory that a process holds, in bytes: `VmRSS` of proc(5), which Linux alone has.
pub fn memory(process: u32) -> Option<u64> {
    resident(&fs::read_to_string(format!("/proc/{process}/status")).ok()?)
}

/// proc(5) counts in units of 1024 bytes and calls them kB.
fn resident(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    Some(line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()? * 1024)
}

fn seconds(time: Duration) -> String {
    format!("{:.2} s", time.as_secs_f64())
}

/// Rounded up to a tenth.
fn megabytes(bytes: u64) -> String {
    let tenths = bytes.div_ceil(100_000);
    format!("{}.{} MB", tenths / 10, tenths % 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_memory_of_this_process_is_known_on_linux() {
        assert_eq!(resident("VmHWM:\t 9 kB\nVmRSS:\t    20 kB\n"), Some(20_480));
        assert_eq!(resident("VmHWM:\t 9 kB\n"), None);
        if cfg!(target_os = "linux") {
            assert!(memory(std::process::id()).is_some_and(|it| it > 100_000));
        }
    }

    #[test]
    fn bytes_are_shown_in_megabytes() {
        assert_eq!(megabytes(15_240_000), "15.3 MB");
        assert_eq!(megabytes(94_404_912), "94.5 MB");
    }
}
