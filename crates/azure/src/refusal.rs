//! Error answers of Azure and of registries.

use std::time::Duration;

use azure_core::http::RawResponse;
use azure_core::http::headers::HeaderName;
use serde_json::Value;

use super::transport::retry_after;

/// What an error answer says.
#[derive(Debug, Default)]
pub struct Refusal {
    /// The HTTP status.
    pub status: u16,
    /// The error code of the service, such as `AuthorizationFailed`. Empty if there is none.
    pub code: String,
    /// The error message of the service. Empty if there is none.
    pub message: String,
    /// How long the service asks to wait.
    pub retry_after: Option<Duration>,
    /// The id by which Microsoft's support finds the request.
    pub correlation_id: Option<String>,
}

impl Refusal {
    /// Reads `{"error":{"code","message"}}`, the shape of every refusal of Azure Resource
    /// Manager, and `{"errors":[{"code","message"}]}`, that of a registry (distribution,
    /// docs/content/spec/api.md). This crate parses the body itself, because `azure_core` loses the
    /// code when the message contains an escape.
    pub(super) fn read(answer: &RawResponse) -> Self {
        const CORRELATION_ID: HeaderName = HeaderName::from_static("x-ms-correlation-request-id");
        Self {
            retry_after: retry_after(answer.headers()),
            correlation_id: answer.headers().get_optional_string(&CORRELATION_ID),
            ..Self::of(u16::from(answer.status()), answer.body().as_ref())
        }
    }

    /// Reads status and body alone. The fields from headers stay empty.
    #[must_use]
    pub fn of(status: u16, body: &[u8]) -> Self {
        let body: Value = serde_json::from_slice(body).unwrap_or_default();
        let detail = body.get("error").unwrap_or(&body["errors"][0]);
        let text = |name: &str| detail[name].as_str().unwrap_or_default().to_owned();
        Self { status, code: text("code"), message: text("message"), ..Self::default() }
    }

    /// The object id of the refused identity, as the message names it.
    pub(super) fn object_id(&self) -> Option<String> {
        let id = self.quoted_after("object id '")?;
        uuid::Uuid::parse_str(id).ok().map(|it| it.to_string())
    }

    /// The client address that a registry's firewall refused, as the message names it.
    #[must_use]
    pub fn address(&self) -> Option<String> {
        let address: std::net::IpAddr = self.quoted_after("client with IP '")?.parse().ok()?;
        Some(address.to_string())
    }

    /// The deny assignment that forbids the request: `'N' (id I)`. Azure names it at the end of the
    /// message: `… because of the deny assignment with name 'N' and Id 'I' at scope 'S'.`
    /// (azure-docs, network-function-manager/delete-functions; Azure/deployment-stacks issue 123).
    /// The name may contain quotes.
    pub(super) fn deny_assignment(&self) -> Option<String> {
        const MAX_NAME_CHARS: usize = 300;
        let (_, rest) = self.message.split_once("deny assignment with name '")?;
        let (name, rest) = rest.rsplit_once("' and Id '")?;
        let id = rest.split('\'').next()?;
        let name: String = name.chars().take(MAX_NAME_CHARS).collect();
        Some(format!("'{name}' (id {id})"))
    }

    fn quoted_after(&self, word: &str) -> Option<&str> {
        let (_, rest) = self.message.split_once(word)?;
        rest.split('\'').next()
    }

    /// The message as it may be shown: short, with every object id, and equal for equal errors.
    ///
    /// This is for Azure Resource Manager and Microsoft Graph, whose messages hold no secret. A
    /// registry could repeat the secret that it was sent.
    pub(super) fn text(&self) -> String {
        let words: Vec<_> = self.message.split_whitespace().collect();
        let end = (0..words.len()).find(|at| is_request_specific(&words[*at..]));
        // Every JSON Web Token begins with `eyJ`.
        let words = words[..end.unwrap_or(words.len())].iter().filter(|it| !it.contains("eyJ"));
        let (mut text, mut rest) = (String::new(), Vec::new());
        for &word in words {
            if rest.is_empty() && text.len() + word.len() < MAX_TEXT_BYTES {
                let separator = if text.is_empty() { "" } else { " " };
                text = format!("{text}{separator}{word}");
            } else {
                rest.push(word);
            }
        }
        if rest.is_empty() {
            return text.trim_end_matches('.').to_owned();
        }
        let ids = rest.into_iter().filter_map(object_id);
        std::iter::once(text.as_str()).chain(["…"]).chain(ids).collect::<Vec<_>>().join(" ")
    }
}

/// The length of a shown message in bytes, without the object ids after it.
const MAX_TEXT_BYTES: usize = 400;

/// Whether the words begin with a value that differs in every answer, such as a request id. With
/// such a value in status, the same error would be written again and again.
fn is_request_specific(words: &[&str]) -> bool {
    const NAMES: [&str; 6] =
        ["correlationid", "requestid", "traceid", "trackingid", "activityid", "timestamp"];
    let letters = |it: &&str| it.chars().filter(char::is_ascii_alphabetic).collect::<String>();
    let [one, two] = [1, 2].map(|n| words.iter().take(n).map(letters).collect::<String>());
    NAMES.iter().any(|it| one.eq_ignore_ascii_case(it) || two.eq_ignore_ascii_case(it))
}

/// The object id in a word. Some of Azure's messages write it without dashes.
fn object_id(word: &str) -> Option<&str> {
    let word = word.trim_matches(|it: char| !it.is_ascii_hexdigit());
    uuid::Uuid::parse_str(word).ok().map(|_| word)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(message: &str) -> String {
        Refusal { message: message.into(), ..Refusal::default() }.text()
    }

    #[test]
    fn a_long_message_is_shortened_and_keeps_object_ids() {
        assert_eq!(text("It is\r\n not  so."), "It is not so");
        let [dashed, bare] =
            ["22222222-2222-2222-2222-222222222222", "33333333333333333333333333333333"];
        let text = text(&format!("{} '{dashed}', and ({bare}).", "word ".repeat(200)));
        assert!(text.ends_with(&format!("word … {dashed} {bare}")), "{text}");
        assert!(text.len() < MAX_TEXT_BYTES + 100, "{text}");
    }

    #[test]
    fn a_shown_message_has_no_request_id_and_no_token() {
        assert_eq!(text("No. Correlation ID: 1, Timestamp: 2"), "No");
        assert_eq!(text("No. Timestamp: 3"), "No");
        assert_eq!(text("See the activity log. Trace ID: 4"), "See the activity log");
        assert_eq!(text("token 'eyJhbGciOiJSUzI1NiJ9.e30.x' is bad"), "token is bad");
    }

    #[test]
    fn a_deny_assignment_is_found_even_with_quotes_in_its_name() {
        let of = |message: String| Refusal { message, ..Refusal::default() }.deny_assignment();
        let name = "Deny assignment '6e1f' created by Deployment Stack '/subscriptions/s/x'";
        let text = format!(
            "{}; however, the access is denied because of the deny assignment with name '{name}' and Id '6e1f' at scope '/subscriptions/s'.",
            "word ".repeat(200)
        );
        assert_eq!(of(text), Some(format!("'{name}' (id 6e1f)")));
        assert_eq!(of("a deny assignment forbids it".into()), None);
    }

    #[test]
    fn only_valid_object_ids_and_addresses_are_read() {
        let of = |message: &str| Refusal { message: message.into(), ..Refusal::default() };
        let id = "22222222-2222-2222-2222-222222222222";
        assert_eq!(of(&format!("with object id '{id}' has")).object_id().as_deref(), Some(id));
        assert_eq!(of("with object id 'x' has").object_id(), None);
        let address = of("client with IP '203.0.113.7' is not").address();
        assert_eq!(address.as_deref(), Some("203.0.113.7"));
        assert_eq!(of("client with IP 'x' is not").address(), None);
    }
}
