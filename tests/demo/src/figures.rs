//! What this run measured, beside what acr-attach promises.

use std::time::Duration;

use crate::{
    other_clusters::Kept,
    story::Times,
    terminal::{say_heading, say_lines, table},
};

/// What was measured.
pub struct Figures {
    /// How long a user waited.
    pub times: Times,
}

impl Figures {
    /// Says them. Times depend on the machine and on `latency` milliseconds for each answer of
    /// the simulated Azure, so nothing is judged.
    pub fn say(&self, latency: u64) {
        say_heading("Figures");
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
        ];
        say_lines(&table(&rows));
        say_lines(&format!("Each answer of the simulated Azure took {latency} ms."));
    }
}

fn seconds(time: Duration) -> String {
    format!("{:.2} s", time.as_secs_f64())
}
