//! What an entry of a docker config is for: a host whose labels may be globs, and the start of a path.

use std::fmt;
use std::net::Ipv6Addr;

/// What an entry is for, as the kubelet keeps it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place(String);

impl Place {
    /// Reads a key of a docker config. `None` for one that the kubelet ignores, since it is no URL.
    pub fn read(key: &str) -> Option<Self> {
        let scheme = |it| key.strip_prefix(it);
        let text = scheme("https://").or_else(|| scheme("http://")).unwrap_or(key);
        let (host, path) = host_and_path(text)?;
        let version = ["/v1/", "/v2/"].iter().any(|it| path.starts_with(it));
        let path = if version { &path[3..] } else { &path };
        Some(Self(format!("{host}{}", if path == "/" { "" } else { path })))
    }

    /// What is told of a key that the kubelet ignores: nothing that may be a password.
    pub fn of_ignored(key: &str) -> Self {
        let text = key.rsplit_once('@').map_or(key, |(_, it)| it);
        Self(text.split(['?', '#']).next().unwrap_or_default().to_owned())
    }

    /// Whether an image is in it, named by host and repository, or by host alone.
    pub fn contains(&self, image: &str) -> bool {
        // Both were URLs without a scheme once, and are read as such again.
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

    /// Whether it would be so if letters did not count.
    pub fn contains_but_for_case(&self, image: &str) -> bool {
        Self(self.0.to_lowercase()).contains(&image.to_lowercase())
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Host and path of what follows `https://`, as Go's `net/url` reads it; without query, fragment and user. `None`
/// where it is no URL.
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
    // What else stands for itself is percent-encoded, and in a host that is for characters beyond ASCII.
    let is_host = |it: char| !it.is_ascii() || it.is_ascii_alphanumeric() || HOST.contains(it);
    if !is_port(port) || !text.chars().all(is_host) || encodes_ascii(text) {
        return None;
    }
    unescaped(text)
}

/// What a host may hold beside letters and digits: RFC 3986 section 3.2.2, and what Go takes besides.
const HOST: &str = "-._~!$&'()*+,;=:]<>\"%";

/// Whether a character of ASCII is percent-encoded, other than the percent sign.
fn encodes_ascii(text: &str) -> bool {
    let mut codes = text.split('%').skip(1);
    codes.any(|it| !it.starts_with("25") && it.starts_with(|it| matches!(it, '0'..='7')))
}

/// With percent encoding taken out. `None` where it is not well formed.
fn unescaped(text: &str) -> Option<String> {
    let mut parts = text.split('%');
    let mut bytes = parts.next().unwrap_or_default().as_bytes().to_vec();
    for part in parts {
        let code = part.get(..2).filter(|it| it.bytes().all(|it| it.is_ascii_hexdigit()))?;
        bytes.push(u8::from_str_radix(code, 16).ok()?);
        bytes.extend_from_slice(&part.as_bytes()[2..]);
    }
    // What is no UTF-8 fits no image.
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

/// A host, and its port if it names one (Go's `net.SplitHostPort`).
fn without_port(host: &str) -> (&str, &str) {
    match host.rsplit_once(':') {
        Some((address, port)) if address.starts_with('[') && address.ends_with(']') => {
            (&address[1..address.len() - 1], port)
        }
        Some((name, port)) if !name.contains([':', '[', ']']) => (name, port),
        _ => (host, ""),
    }
}

/// Whether a glob means that label of a host. Stars alone count: the kubelet ignores entries whose host is none
/// of a URL, as with brackets and backslashes, and these fit no label here either.
pub(super) fn is_label(glob: &str, label: &str) -> bool {
    let mut parts = glob.split('*');
    let Some(rest) = parts.next().and_then(|first| label.strip_prefix(first)) else { return false };
    let Some(last) = parts.next_back() else { return rest.is_empty() };
    // After a star the first place that fits leaves most for what follows.
    let rest = parts.try_fold(rest, |rest, part| rest.split_once(part).map(|(_, rest)| rest));
    rest.is_some_and(|rest| rest.ends_with(last))
}
