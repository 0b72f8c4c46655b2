//! The two text formats: `OpenMetrics`, which Prometheus asks for, and the older one, for all others.

use std::fmt::{self, Write as _};

use prometheus_client::encoding::text::encode;
use prometheus_client::registry::Registry;

/// The format of a page of metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// `OpenMetrics` 1.0.
    OpenMetrics,
    /// The text format of Prometheus.
    Prometheus,
}

impl Format {
    /// Chooses the format by the header `Accept`.
    #[must_use]
    pub fn for_accept(accept: &str) -> Self {
        if accept.contains("application/openmetrics-text") {
            Self::OpenMetrics
        } else {
            Self::Prometheus
        }
    }

    /// Returns the value of the header `Content-Type`.
    #[must_use]
    pub fn content_type(self) -> &'static str {
        match self {
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Self::Prometheus => "text/plain; version=0.0.4; charset=utf-8",
        }
    }

    /// Writes the page of a registry.
    ///
    /// # Errors
    /// When a metric cannot be encoded.
    pub fn page(self, registry: &Registry) -> Result<String, fmt::Error> {
        let mut text = String::new();
        encode(&mut text, registry)?;
        match self {
            Self::OpenMetrics => Ok(text),
            Self::Prometheus => prometheus(&text),
        }
    }
}

/// Converts a page to the older format, in which the names of counters end in `_total` everywhere, and
/// which has neither type `info` nor an end marker.
fn prometheus(text: &str) -> Result<String, fmt::Error> {
    let mut page = String::with_capacity(text.len());
    let mut help = "";
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            help = rest.split_once(' ').map_or("", |(_, it)| it);
        } else if let Some((name, kind)) =
            line.strip_prefix("# TYPE ").and_then(|it| it.split_once(' '))
        {
            let (suffix, kind) = match kind {
                "counter" => ("_total", "counter"),
                "info" => ("_info", "gauge"),
                "unknown" => ("", "untyped"),
                kind => ("", kind),
            };
            writeln!(page, "# HELP {name}{suffix} {help}")?;
            writeln!(page, "# TYPE {name}{suffix} {kind}")?;
        } else if !line.starts_with('#') {
            page.push_str(line);
            page.push('\n');
        }
    }
    Ok(page)
}

#[cfg(test)]
mod tests {
    use prometheus_client::metrics::counter::Counter;
    use prometheus_client::metrics::gauge::Gauge;
    use prometheus_client::metrics::info::Info;

    use super::*;

    #[test]
    fn the_older_format_names_what_its_readers_look_for() {
        let mut registry = Registry::default();
        registry.register("reads", "Reads", Counter::<u64>::default());
        registry.register("build", "Build", Info::new([("version", "1 # TYPE x counter")]));
        registry.register("depth", "Depth", Gauge::<i64>::default());
        let expected = r#"# HELP reads_total Reads.
# TYPE reads_total counter
reads_total 0
# HELP build_info Build.
# TYPE build_info gauge
build_info{version="1 # TYPE x counter"} 1
# HELP depth Depth.
# TYPE depth gauge
depth 0
"#;
        assert_eq!(Format::for_accept("*/*").page(&registry).unwrap(), expected);
    }

    #[test]
    fn who_asks_for_openmetrics_gets_it() {
        let accept = "application/openmetrics-text;version=1.0.0;q=0.6,text/plain;q=0.3";
        let text = Format::for_accept(accept).page(&Registry::default()).unwrap();
        assert_eq!(text, "# EOF\n");
    }
}
