//! What a refusing answer holds.

use std::time::Duration;

use azure_core::http::RawResponse;
use azure_core::http::headers::HeaderName;
use serde_json::Value;

use super::transport::retry_after;

/// What a refusing answer holds.
#[derive(Debug, Default)]
pub(in crate::azure) struct Refusal {
    pub status: u16,
    pub code: String,
    pub message: String,
    pub retry_after: Option<Duration>,
    pub correlation_id: Option<String>,
}

impl Refusal {
    /// Reads `{"error":{"code","message"}}`, the shape of every refusal of Azure Resource
    /// Manager, and `{"errors":[{"code","message"}]}`, that of a registry (distribution,
    /// docs/content/spec/api.md). It is read here because `azure_core` loses the code when the
    /// message contains an escape.
    pub(super) fn read(answer: &RawResponse) -> Self {
        const CORRELATION_ID: HeaderName = HeaderName::from_static("x-ms-correlation-request-id");
        let body: Value = serde_json::from_slice(answer.body().as_ref()).unwrap_or_default();
        let detail = body.get("error").unwrap_or(&body["errors"][0]);
        let text = |name: &str| detail[name].as_str().unwrap_or_default().to_owned();
        Self {
            status: u16::from(answer.status()),
            code: text("code"),
            message: text("message"),
            retry_after: retry_after(answer.headers()),
            correlation_id: answer.headers().get_optional_string(&CORRELATION_ID),
        }
    }
}
