//! What a process holds of the machine's memory.

use rustix::process::Pid;

/// In bytes.
#[derive(Clone, Copy)]
pub struct Memory {
    /// At this moment.
    pub resident: u64,
    /// At most so far.
    pub peak: u64,
}

impl Memory {
    /// What proc(5) says, which Linux alone has.
    pub fn of(process: Pid) -> Self {
        let path = format!("/proc/{}/status", process.as_raw_nonzero());
        let status = std::fs::read_to_string(path).unwrap();
        let bytes = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
            // It counts in units of 1024 bytes and calls them kB.
            line.trim().strip_suffix(" kB").unwrap().parse::<u64>().unwrap() * 1024
        };
        Self { resident: bytes("VmRSS:"), peak: bytes("VmHWM:") }
    }
}

/// In megabytes, which may be less than before.
pub fn megabytes(bytes: u64, before: u64) -> f64 {
    let number = |it: u64| f64::from(u32::try_from(it / 1000).unwrap());
    (number(bytes) - number(before)) / 1000.0
}
