//! Image names, as pods have them.

mod platform;

use std::fmt;

use acr_attach_core::ids::LoginServer;
pub use platform::Platform;

/// The name of an image, parsed as the kubelet does (distribution/reference v0.6.0, `normalize.go` and
/// `regexp.go`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image {
    /// The registry's host as it is written, with its port if there is one. The kubelet compares it with pull
    /// secrets, and the case of letters matters.
    pub host: String,
    /// The repository, such as `team/app`.
    pub repository: String,
    /// A tag, or a digest such as `sha256:…`.
    pub reference: String,
}

impl Image {
    /// Parses `[HOST/]REPOSITORY[:TAG][@DIGEST]` as in a pod. The default host is Docker Hub, the default tag is
    /// `latest`. With a digest, the tag is ignored.
    ///
    /// # Errors
    /// One sentence if the text is not a valid image name.
    pub fn parse(text: &str) -> Result<Self, String> {
        let invalid =
            || format!("`{text}` is not an image such as team/app:v1 or team/app@sha256:…");
        let (host, rest) = match text.split_once('/') {
            Some(("index.docker.io", rest)) => (DOCKER_HUB, rest),
            Some((host, rest)) if is_meant_as_host(host) => (host, rest),
            _ => (DOCKER_HUB, text),
        };
        let (name, digest) =
            rest.split_once('@').map_or((rest, None), |(name, digest)| (name, Some(digest)));
        let (repository, tag) = name.split_once(':').unwrap_or((name, "latest"));
        let is_id = text.len() == 64 && is_hex(text);
        // Text that is not a valid host may still be the start of a repository, without any default host.
        let is_named = is_host(host) && is_repository(repository)
            || is_repository(&format!("{host}/{repository}"));
        if is_id || !is_named || !is_tag(tag) || !digest.is_none_or(is_digest) {
            return Err(invalid());
        }
        let official = host == DOCKER_HUB && !repository.contains('/');
        let repository = format!("{}{repository}", if official { "library/" } else { "" });
        Ok(Self { host: host.to_owned(), repository, reference: digest.unwrap_or(tag).to_owned() })
    }

    /// Parses an image of a registry, with or without the registry's host.
    ///
    /// # Errors
    /// One sentence if the text is not a valid image name, or names another registry.
    pub fn of(registry: &LoginServer, text: &str) -> Result<Self, String> {
        let (host, rest) = match text.split_once('/') {
            Some((host, rest)) if host.eq_ignore_ascii_case(registry.as_str()) => (host, rest),
            Some((host, _)) if is_other_registry(host) => {
                return Err(format!("`{text}` is in another registry than {registry}"));
            }
            _ => (registry.as_str(), text),
        };
        Self::parse(&format!("{host}/{rest}")).map_err(|_| {
            format!(
                "`{text}` is not an image such as team/app:v1, team/app@sha256:… or {registry}/team/app:v1"
            )
        })
    }

    /// Host and repository, such as `contoso.azurecr.io/team/app`. The kubelet looks for a credential by these.
    #[must_use]
    pub fn name(&self) -> String {
        format!("{}/{}", self.host, self.repository)
    }
}

/// The default host of images.
const DOCKER_HUB: &str = "docker.io";

/// Whether the part before the first slash is meant as a host, and not as the start of a repository.
fn is_meant_as_host(text: &str) -> bool {
    text == "localhost" || text.contains(['.', ':']) || text.contains(char::is_uppercase)
}

/// Whether the part before the first slash is meant as the host of another registry.
fn is_other_registry(host: &str) -> bool {
    const SUFFIXES: [&str; 3] = [".azurecr.io", ".azurecr.us", ".azurecr.cn"];
    host.contains(':') || SUFFIXES.iter().any(|it| host.to_ascii_lowercase().ends_with(it))
}

/// Whether the text is a host, with or without a port.
fn is_host(text: &str) -> bool {
    let is_number = |it: &str| !it.is_empty() && it.bytes().all(|it| it.is_ascii_digit());
    let (name, port) = match text.rsplit_once(':') {
        Some((name, port)) if !port.ends_with(']') => (name, Some(port)),
        _ => (text, None),
    };
    let is_label = |it: &str| {
        !it.is_empty()
            && !it.starts_with('-')
            && !it.ends_with('-')
            && it.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
    };
    let address = name.strip_prefix('[').and_then(|it| it.strip_suffix(']'));
    let is_address =
        |it: &str| !it.is_empty() && it.chars().all(|c| c.is_ascii_hexdigit() || c == ':');
    port.is_none_or(is_number) && address.map_or_else(|| name.split('.').all(is_label), is_address)
}

/// Whether the text is a repository: words of lower-case letters and digits, separated by slashes, a dot, one or
/// two underscores, or dashes.
fn is_repository(text: &str) -> bool {
    let word = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let is_separator =
        |it: &str| matches!(it, "" | "." | "_" | "__") || it.bytes().all(|it| it == b'-');
    let part =
        |it: &str| it.starts_with(word) && it.ends_with(word) && it.split(word).all(is_separator);
    text.len() <= 255 && text.split('/').all(part)
}

fn is_tag(text: &str) -> bool {
    let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    (1..=128).contains(&text.len())
        && text.starts_with(word)
        && text.chars().all(|c| word(c) || ".-".contains(c))
}

fn is_hex(text: &str) -> bool {
    text.bytes().all(|it| matches!(it, b'0'..=b'9' | b'a'..=b'f'))
}

/// Whether the text is the digest of a manifest (opencontainers/go-digest, `algorithm.go`).
#[must_use]
pub fn is_digest(text: &str) -> bool {
    const ALGORITHMS: [(&str, usize); 3] = [("sha256", 64), ("sha384", 96), ("sha512", 128)];
    let Some((algorithm, digest)) = text.split_once(':') else { return false };
    ALGORITHMS.contains(&(algorithm, digest.len())) && is_hex(digest)
}

/// The name without the registry's host.
impl fmt::Display for Image {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { repository, reference, .. } = self;
        let separator = if reference.contains(':') { '@' } else { ':' };
        write!(f, "{repository}{separator}{reference}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIGEST: &str = "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a";

    fn parse(text: &str) -> Result<String, String> {
        Image::of(&"contoso.azurecr.io".parse().unwrap(), text).map(|it| it.to_string())
    }

    #[rstest::rstest]
    #[case("app", "app:latest")]
    #[case("app:v1", "app:v1")]
    #[case("team/app:V1.2_3-x", "team/app:V1.2_3-x")]
    #[case("my.team/app:v1", "my.team/app:v1")]
    #[case("contoso.azurecr.io/team/app:v1", "team/app:v1")]
    #[case("Contoso.AzureCR.io/app", "app:latest")]
    fn an_image_is_parsed_with_or_without_the_host(#[case] text: &str, #[case] image: &str) {
        assert_eq!(parse(text).as_deref(), Ok(image));
    }

    #[test]
    fn a_tag_is_ignored_beside_a_digest() {
        let expected = format!("app@{DIGEST}");
        assert_eq!(parse(&format!("app@{DIGEST}")), Ok(expected.clone()));
        assert_eq!(parse(&format!("app:v1@{DIGEST}")), Ok(expected));
    }

    #[rstest::rstest]
    #[case("", "not an image")]
    #[case("App", "not an image")]
    #[case("app:", "not an image")]
    #[case("app:v 1", "not an image")]
    #[case("app@sha256:44", "not an image")]
    #[case("../app", "not an image")]
    #[case("app?x:v1", "not an image")]
    #[case("fabrikam.azurecr.io/app:v1", "another registry")]
    #[case("localhost:5000/app", "another registry")]
    fn other_texts_are_rejected_with_a_reason(#[case] text: &str, #[case] words: &str) {
        let error = parse(text).unwrap_err();
        assert!(error.contains(words), "{error}");
    }
}
