//! How a registry writes its answers.

use azure_core::base64::decode_url_safe;
use azure_core::http::headers::HeaderName;
use azure_core::http::{RawResponse, Url};
use serde::Deserialize;
use serde_json::Value;

use crate::azure::error::Refusal;
use crate::azure::transport::retry_after;

/// The body of a form. A query is encoded in the same way (WHATWG URL, section 5).
pub(super) fn form(url: &Url, fields: &[(&str, &str)]) -> String {
    let mut url = url.clone();
    url.query_pairs_mut().extend_pairs(fields);
    url.query().unwrap_or_default().to_owned()
}

/// The payload of a token. Its signature is the registry's business.
pub(super) fn claims(token: &str) -> Option<Value> {
    let payload = decode_url_safe(token.split('.').nth(1)?).ok()?;
    serde_json::from_slice(&payload).ok()
}

/// Reads `{"errors":[{"code","message"}]}`, the shape of every refusal of a registry
/// (distribution, docs/content/spec/api.md).
pub(super) fn refusal(answer: &RawResponse) -> Refusal {
    #[derive(Deserialize, Default)]
    struct Body {
        #[serde(default)]
        errors: Vec<Detail>,
    }
    #[derive(Deserialize, Default)]
    struct Detail {
        #[serde(default)]
        code: String,
        #[serde(default)]
        message: String,
    }
    const CORRELATION_ID: HeaderName = HeaderName::from_static("x-ms-correlation-request-id");
    let body: Body = serde_json::from_slice(answer.body().as_ref()).unwrap_or_default();
    let Detail { code, message } = body.errors.into_iter().next().unwrap_or_default();
    Refusal {
        status: u16::from(answer.status()),
        code,
        message,
        retry_after: retry_after(answer.headers()),
        correlation_id: answer.headers().get_optional_string(&CORRELATION_ID),
    }
}
