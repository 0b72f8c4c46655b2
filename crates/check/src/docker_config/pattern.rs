//! The patterns of images in a docker config: a host whose labels may be globs, and the start of a path.

use std::fmt;
use std::net::Ipv6Addr;

/// The pattern of an entry, in the form in which the kubelet keeps it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Pattern(String);

impl Pattern {
    /// Reads a key of a docker config; `None` if the key is no URL, so that the kubelet ignores the entry.
    pub fn read(key: &str) -> Option<Self> {
        let scheme = |it| key.strip_prefix(it);
        let text = scheme("https://").or_else(|| scheme("http://")).unwrap_or(key);
        let (host, path) = host_and_path(text)?;
        let version = ["/v1/", "/v2/"].iter().any(|it| path.starts_with(it));
        let path = if version { &path[3..] } else { &path };
        Some(Self(format!("{host}{}", if path == "/" { "" } else { path })))
    }

    /// The part of an ignored key that may be shown: without the parts that may hold a password.
    pub fn of_ignored(key: &str) -> Self {
        let text = key.rsplit_once('@').map_or(key, |(_, it)| it);
        Self(text.split(['?', '#']).next().unwrap_or_default().to_owned())
    }

    /// Whether it matches an image, given as host and repository, or as host alone.
    pub fn matches(&self, image: &str) -> bool {
        // The kubelet parses both as URLs again.
        let (Some((globs, start)), Some((host, path))) =
            (host_and_path(&self.0), host_and_path(image))
        else {
            return false;
        };
        let ((globs, glob_port), (host, port)) = (without_port(&globs), without_port(&host));
        let (globs, labels) = (globs.split('.'), host.split('.'));
        glob_port == port
            && globs.clone().count() == labels.clone().count()
            && path.starts_with(&start)
            && globs.zip(labels).all(|(glob, label)| is_label(glob, label))
    }

    /// Whether it matches an image if case is ignored.
    pub fn matches_ignoring_case(&self, image: &str) -> bool {
        Self(self.0.to_lowercase()).matches(&image.to_lowercase())
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Host and path of a URL without its scheme, as Go's `net/url` parses it. Query, fragment and user are dropped.
/// `None` if it is no URL.
fn host_and_path(text: &str) -> Option<(String, String)> {
    let (text, fragment) = text.split_once('#').unwrap_or((text, ""));
    unescaped(fragment)?;
    if text.contains(|it: char| it.is_ascii_control()) {
        return None;
    }
    let (text, _) = text.split_once('?').unwrap_or((text, ""));
    let (authority, path) = text.find('/').map_or((text, ""), |at| text.split_at(at));
    let (user, host) = authority.rsplit_once('@').unwrap_or(("", authority));
    let is_user = |it: char| it.is_ascii_alphanumeric() || "-._:~!$&'()*+,;=%@".contains(it);
    if !user.chars().all(is_user) {
        return None;
    }
    unescaped(user)?;
    Some((host_of(host)?, unescaped(path)?))
}

fn host_of(text: &str) -> Option<String> {
    let is_port = |it: &str| {
        it.strip_prefix(':').map_or(it.is_empty(), |it| it.bytes().all(|it| it.is_ascii_digit()))
    };
    if let Some(address) = text.strip_prefix('[') {
        let (address, port) = address.rsplit_once(']')?;
        address.parse::<Ipv6Addr>().ok()?;
        return is_port(port).then(|| text.to_owned());
    }
    let port = text.find(':').map_or("", |at| &text[at..]);
    // Go requires percent-encoding for other characters. In a host it accepts that only for non-ASCII ones.
    let is_host = |it: char| !it.is_ascii() || it.is_ascii_alphanumeric() || HOST.contains(it);
    if !is_port(port) || !text.chars().all(is_host) || encodes_ascii(text) {
        return None;
    }
    unescaped(text)
}

/// The characters of a host beside letters and digits: those of RFC 3986 section 3.2.2, and more that Go accepts.
const HOST: &str = "-._~!$&'()*+,;=:]<>\"%";

/// Whether the text has a percent-encoded ASCII character other than the percent sign.
fn encodes_ascii(text: &str) -> bool {
    let mut codes = text.split('%').skip(1);
    codes.any(|it| !it.starts_with("25") && it.starts_with(|it| matches!(it, '0'..='7')))
}

/// The text without percent-encoding; `None` if the encoding is malformed.
fn unescaped(text: &str) -> Option<String> {
    let mut parts = text.split('%');
    let mut bytes = parts.next().unwrap_or_default().as_bytes().to_vec();
    for part in parts {
        let code = part.get(..2).filter(|it| it.bytes().all(|it| it.is_ascii_hexdigit()))?;
        bytes.push(u8::from_str_radix(code, 16).ok()?);
        bytes.extend_from_slice(&part.as_bytes()[2..]);
    }
    // A pattern that is not UTF-8 matches no image.
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

/// A host and its port, which is empty if there is none (Go's `net.SplitHostPort`).
fn without_port(host: &str) -> (&str, &str) {
    match host.rsplit_once(':') {
        Some((address, port)) if address.starts_with('[') && address.ends_with(']') => {
            (&address[1..address.len() - 1], port)
        }
        Some((name, port)) if !name.contains([':', '[', ']']) => (name, port),
        _ => (host, ""),
    }
}

/// Whether a glob matches a label of a host. Only stars are special: brackets and backslashes are not valid in the
/// host of a URL, so the kubelet ignores such entries, and here they match no label.
pub(super) fn is_label(glob: &str, label: &str) -> bool {
    let mut parts = glob.split('*');
    let Some(rest) = parts.next().and_then(|first| label.strip_prefix(first)) else { return false };
    let Some(last) = parts.next_back() else { return rest.is_empty() };
    // After a star the first match is the best one, since it leaves most text for the following parts.
    let rest = parts.try_fold(rest, |rest, part| rest.split_once(part).map(|(_, rest)| rest));
    rest.is_some_and(|rest| rest.ends_with(last))
}
