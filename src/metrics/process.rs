//! Metrics of the process, named as in Prometheus' own clients. They are read at a scrape.

use std::fmt;

use procfs::process::{LimitValue, Process as OwnProcess};
use procfs::{ProcResult, WithCurrentSystemInfo as _};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;

pub(super) fn register(registry: &mut Registry) {
    registry.register_collector(Box::new(Process));
}

#[derive(Debug)]
struct Process;

/// The values from `/proc`.
struct Reading {
    cpu_seconds: f64,
    start_seconds: f64,
    resident_bytes: u64,
    virtual_bytes: u64,
    open_files: u64,
    most_files: Option<u64>,
}

impl Reading {
    #[expect(clippy::cast_precision_loss, reason = "ticks and seconds are far below 2^52")]
    fn now() -> ProcResult<Self> {
        let process = OwnProcess::myself()?;
        let stat = process.stat()?;
        let ticks = procfs::ticks_per_second() as f64;
        let most_files = match process.limits()?.max_open_files.soft_limit {
            LimitValue::Value(most) => Some(most),
            LimitValue::Unlimited => None,
        };
        Ok(Self {
            cpu_seconds: (stat.utime + stat.stime) as f64 / ticks,
            start_seconds: procfs::boot_time_secs()? as f64 + stat.starttime as f64 / ticks,
            resident_bytes: stat.rss_bytes().get(),
            virtual_bytes: stat.vsize,
            open_files: process.fd_count()?.try_into().unwrap_or(u64::MAX),
            most_files,
        })
    }
}

impl Collector for Process {
    /// Writes nothing if `/proc` cannot be read.
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let Ok(reading) = Reading::now() else { return Ok(()) };
        let text = "Seconds of user and system time that the process has used";
        put(&mut encoder, "cpu_seconds", text, &ConstCounter::new(reading.cpu_seconds))?;
        let text = "When the process was started, in seconds since 1970";
        let start = ConstGauge::new(reading.start_seconds);
        put(&mut encoder, "start_time_seconds", text, &start)?;
        let gauges = [
            ("resident_memory_bytes", "Memory in use", Some(reading.resident_bytes)),
            ("virtual_memory_bytes", "Memory that is mapped", Some(reading.virtual_bytes)),
            ("open_fds", "Open files and connections", Some(reading.open_files)),
            ("max_fds", "How many files and connections may be open", reading.most_files),
        ];
        for (name, text, value) in gauges {
            if let Some(value) = value {
                put(&mut encoder, name, text, &ConstGauge::new(value))?;
            }
        }
        Ok(())
    }
}

fn put(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    text: &str,
    metric: &impl EncodeMetric,
) -> fmt::Result {
    let (name, text) = (format!("process_{name}"), format!("{text}."));
    metric.encode(encoder.encode_descriptor(&name, &text, None, metric.metric_type())?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_reads_itself() {
        let reading = Reading::now().unwrap();
        let now = jiff::Timestamp::now().as_second();
        #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
        let age = now as f64 - reading.start_seconds;
        assert!((-2.0..3600.0).contains(&age), "{age} s old");
        assert!(reading.resident_bytes > 1 << 20 && reading.virtual_bytes > reading.resident_bytes);
        assert!(reading.open_files >= 3 && reading.cpu_seconds >= 0.0);
    }
}
