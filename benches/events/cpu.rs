//! What a process has used of the machine's processors.

use std::time::Duration;

use rustix::process::Pid;

/// The CPU time that a process has used so far, in seconds and in steps of 10 ms.
pub fn cpu_seconds(process: Pid) -> f64 {
    let path = format!("/proc/{}/stat", process.as_raw_nonzero());
    let stat = std::fs::read_to_string(path).unwrap();
    // proc(5): the name of the program, in parentheses, may hold spaces. User time is field 14, system time 15.
    let (_, fields) = stat.rsplit_once(')').unwrap();
    let ticks = fields.split_whitespace().skip(11).take(2).map(|it| it.parse::<u64>().unwrap());
    let ticks = Duration::from_millis(ticks.sum::<u64>() * 1000);
    ticks.as_secs_f64() / f64::from(u32::try_from(rustix::param::clock_ticks_per_second()).unwrap())
}
