//! The log: one line an event, as JSON or as text, on standard error.

use tracing_subscriber::EnvFilter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::{SubscriberInitExt, TryInitError};

use crate::settings::{LogFormat, LogLevel};

/// Begins to log.
///
/// # Errors
/// When somebody else in this process logs already.
pub fn start(level: LogLevel, format: LogFormat) -> Result<(), TryInitError> {
    let registry = tracing_subscriber::registry().with(EnvFilter::new(directives(level)));
    match format {
        LogFormat::Json => {
            let lines = tracing_subscriber::fmt::layer().json().flatten_event(true);
            registry.with(lines.with_writer(std::io::stderr)).try_init()
        }
        LogFormat::Text => {
            let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
            registry.with(lines).try_init()
        }
    }
}

/// Libraries speak one level lower than we do: their `info` is our `debug`.
fn directives(level: LogLevel) -> &'static str {
    match level {
        LogLevel::Error => "error",
        LogLevel::Warn => "error,acr_attach=warn",
        LogLevel::Info => "error,acr_attach=info",
        LogLevel::Debug => "info,acr_attach=debug",
        LogLevel::Trace => "debug,acr_attach=trace",
    }
}
