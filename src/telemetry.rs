//! The log: one line per event, as JSON or as text, on standard error.

use tracing::Span;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::{SubscriberInitExt, TryInitError};
use uuid::Uuid;

use crate::settings::{LogFormat, LogLevel};

/// Starts logging.
///
/// # Errors
/// When this process has a logger already.
pub fn start(level: LogLevel, format: LogFormat) -> Result<(), TryInitError> {
    let registry = tracing_subscriber::registry().with(EnvFilter::new(directives(level)));
    match format {
        LogFormat::Json => {
            // The fields of a line and of its span stand side by side at the top level, so that
            // searches find them.
            let lines = json_subscriber::layer().flatten_event(true).with_current_span(false);
            let lines = lines.with_span_list(false).flatten_span_list_on_top_level(true);
            registry.with(lines.with_writer(std::io::stderr)).try_init()
        }
        LogFormat::Text => {
            let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
            registry.with(lines).try_init()
        }
    }
}

/// The span of one reconcile of an attachment. All its log lines bear these fields.
///
/// The field is not `name`: the library that writes lines as JSON puts the span's own name there.
#[must_use]
pub fn reconcile(attachment: &str, generation: Option<i64>) -> Span {
    tracing::error_span!("reconcile", reconcile_id = %Uuid::new_v4(), attachment, generation)
}

/// Returns the filter. Libraries log one level lower than acr-attach: their `info` is its `debug`.
fn directives(level: LogLevel) -> &'static str {
    match level {
        LogLevel::Error => "error",
        LogLevel::Warn => "error,acr_attach=warn",
        LogLevel::Info => "error,acr_attach=info",
        LogLevel::Debug => "info,acr_attach=debug",
        LogLevel::Trace => "debug,acr_attach=trace",
    }
}
