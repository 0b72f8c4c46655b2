//! How long it takes from an attachment that is Ready to pods that run, and how much of it is the kubelet's
//! own back-off.

use std::time::Duration;

use jiff::Timestamp;

use crate::terminal::{say, say_part};

/// One way from Ready to Running.
#[derive(Clone, Debug)]
pub struct Wait {
    /// Which pods, and by which method they pull.
    what: &'static str,
    whole: Duration,
    /// Not for pods that were made afterwards, which wait for nothing.
    back_off: Option<Duration>,
}

impl Wait {
    /// Of pods that waited already, now that they run: since when it was Ready, and when the kubelet
    /// began its last try.
    pub fn of_waiting(what: &'static str, ready: Timestamp, pull: Option<Timestamp>) -> Self {
        let back_off = pull.map(|it| between(ready, it));
        Self { what, whole: between(ready, Timestamp::now()), back_off }
    }

    /// Of pods that were made afterwards, now that they run.
    pub fn of_new(what: &'static str, made: Timestamp) -> Self {
        Self { what, whole: between(made, Timestamp::now()), back_off: None }
    }
}

fn between(from: Timestamp, to: Timestamp) -> Duration {
    Duration::try_from(to.duration_since(from)).unwrap_or_default()
}

/// Says all of them.
pub fn say_waits(waits: &[Wait]) {
    if waits.is_empty() {
        return;
    }
    say_part("From an attachment that is Ready to pods that run");
    say(format_args!("  {:<62}{:>8}{:>20}", "", "whole", "of it back-off"));
    let seconds = |it: Duration| format!("{:.1} s", it.as_secs_f64());
    for Wait { what, whole, back_off } in waits {
        let back_off = back_off.map_or_else(|| "-".into(), seconds);
        say(format_args!("  {what:<62}{:>8}{back_off:>20}", seconds(*whole)));
    }
}
