//! Lists in pages: `nextLink` with an opaque `$skiptoken`.

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use serde_json::{Value, json};
use url::form_urlencoded::Serializer;

use super::{Context, error::ArmError};

const SKIP_TOKEN: &str = "$skiptoken";

/// Cuts the page that the request asks for out of `all`.
///
/// A full page has a `nextLink` even if nothing follows: the next page is then empty, as
/// recorded for managed clusters.
///
/// # Errors
/// 400 if the skip token is not one of ours.
pub(super) fn page(context: &Context<'_>, all: Vec<Value>) -> Result<Value, ArmError> {
    let start = match context.request.parameter(SKIP_TOKEN) {
        Some(token) => position(&token).ok_or_else(|| {
            ArmError::bad_request("InvalidSkipToken", "The provided skip token is not valid.")
        })?,
        None => 0,
    };
    let size = context.model.settings.page_size.max(1);
    let value: Vec<_> = all.into_iter().skip(start).take(size).collect();
    if value.len() < size {
        return Ok(json!({"value": value}));
    }
    let next_link = next_link(context, start + size);
    Ok(json!({"value": value, "nextLink": next_link}))
}

fn position(token: &str) -> Option<usize> {
    let decoded = BASE64_URL_SAFE_NO_PAD.decode(token).ok()?;
    String::from_utf8(decoded).ok()?.parse().ok()
}

fn next_link(context: &Context<'_>, position: usize) -> String {
    let request = context.request;
    let query = Serializer::new(String::new())
        .append_pair("api-version", &request.parameter("api-version").unwrap_or_default())
        .append_pair(SKIP_TOKEN, &BASE64_URL_SAFE_NO_PAD.encode(position.to_string()))
        .finish();
    format!("https://{}{}?{query}", request.host, request.path)
}
