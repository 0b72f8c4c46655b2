//! The bodies of form requests to a registry.

use azure_core::http::Url;

/// The body of a form. The query of a URL is encoded in the same way (WHATWG URL, section 5).
#[must_use]
pub fn form_body(url: &Url, fields: &[(&str, &str)]) -> String {
    let mut url = url.clone();
    url.query_pairs_mut().extend_pairs(fields);
    url.query().unwrap_or_default().to_owned()
}
