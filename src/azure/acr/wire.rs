//! How a registry reads forms and writes tokens.

use azure_core::base64::decode_url_safe;
use azure_core::http::Url;
use serde_json::Value;

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
