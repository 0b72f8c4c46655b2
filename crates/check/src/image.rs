//! The image of a pod.

mod platform;

use std::fmt;

use acr_attach_core::ids::LoginServer;
pub use platform::Platform;

/// An image, as the kubelet reads its name (distribution/reference v0.6.0, `normalize.go` and `regexp.go`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image {
    /// The registry's host as it is written, with its port if that is. Letters count in it: the kubelet compares
    /// them with those of pull secrets.
    pub host: String,
    /// The repository, such as `team/app`.
    pub repository: String,
    /// A tag, or a digest such as `sha256:…`.
    pub reference: String,
}

impl Image {
    /// Reads `[HOST/]REPOSITORY[:TAG][@DIGEST]` as in a pod. Without a host it is Docker Hub's. Without tag and
    /// digest it is `latest`; beside a digest the tag says nothing.
    ///
    /// # Errors
    /// One sentence when no pod can name it so.
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
        // What is no host may still be the start of a repository, and nothing is put before it.
        let is_named = is_host(host) && is_repository(repository)
            || is_repository(&format!("{host}/{repository}"));
        if is_id || !is_named || !is_tag(tag) || !digest.is_none_or(is_digest) {
            return Err(invalid());
        }
        let official = host == DOCKER_HUB && !repository.contains('/');
        let repository = format!("{}{repository}", if official { "library/" } else { "" });
        Ok(Self { host: host.to_owned(), repository, reference: digest.unwrap_or(tag).to_owned() })
    }

    /// Reads an image of that registry, with its host before it or without.
    ///
    /// # Errors
    /// One sentence when it is none, or names another registry.
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

    /// Host and repository, by which the kubelet looks for a credential.
    #[must_use]
    pub fn name(&self) -> String {
        format!("{}/{}", self.host, self.repository)
    }
}

/// The host of images that name none.
const DOCKER_HUB: &str = "docker.io";

/// Whether what comes before the first slash is a host, and not the start of a repository.
fn is_meant_as_host(text: &str) -> bool {
    text == "localhost" || text.contains(['.', ':']) || text.contains(char::is_uppercase)
}

/// A name that cannot be the start of a repository, or is not meant as one.
fn is_other_registry(host: &str) -> bool {
    const SUFFIXES: [&str; 3] = [".azurecr.io", ".azurecr.us", ".azurecr.cn"];
    host.contains(':') || SUFFIXES.iter().any(|it| host.to_ascii_lowercase().ends_with(it))
}

/// Whether that is a host with or without a port.
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

/// Whether words of small letters and digits make it up, with a dot, one or two underscores or dashes between
/// them.
fn is_repository(text: &str) -> bool {
    let word = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let between = |it: &str| matches!(it, "" | "." | "_" | "__") || it.bytes().all(|it| it == b'-');
    let part = |it: &str| it.starts_with(word) && it.ends_with(word) && it.split(word).all(between);
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

/// Whether that is the digest of a manifest (opencontainers/go-digest, `algorithm.go`).
#[must_use]
pub fn is_digest(text: &str) -> bool {
    const ALGORITHMS: [(&str, usize); 3] = [("sha256", 64), ("sha384", 96), ("sha512", 128)];
    let Some((algorithm, digest)) = text.split_once(':') else { return false };
    ALGORITHMS.contains(&(algorithm, digest.len())) && is_hex(digest)
}

/// As it follows the registry's host.
impl fmt::Display for Image {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { repository, reference, .. } = self;
        let between = if reference.contains(':') { '@' } else { ':' };
        write!(f, "{repository}{between}{reference}")
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
    fn an_image_is_named_with_the_registry_or_without(#[case] text: &str, #[case] image: &str) {
        assert_eq!(parse(text).as_deref(), Ok(image));
    }

    #[test]
    fn a_digest_wins_over_a_tag() {
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
    fn what_is_no_image_of_this_registry_is_told(#[case] text: &str, #[case] words: &str) {
        let told = parse(text).unwrap_err();
        assert!(told.contains(words), "{told}");
    }
}
