//! How a registry reads forms.

use azure_core::http::Url;

/// The body of a form. A query is encoded in the same way (WHATWG URL, section 5).
#[must_use]
pub fn form(url: &Url, fields: &[(&str, &str)]) -> String {
    let mut url = url.clone();
    url.query_pairs_mut().extend_pairs(fields);
    url.query().unwrap_or_default().to_owned()
}
