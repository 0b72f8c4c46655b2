//! The image that somebody asks about.

use std::fmt;

use super::names::LoginServer;

/// An image of a registry whose name is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image {
    /// The repository, such as `team/app`.
    pub repository: String,
    /// A tag, or a digest such as `sha256:…`.
    pub reference: String,
}

impl Image {
    /// Reads `REPOSITORY[:TAG][@DIGEST]`, with the registry's host before it or without. Without tag
    /// and digest it is `latest`; beside a digest the tag says nothing (distribution, reference.md).
    ///
    /// # Errors
    /// One sentence when it is not that, or names another registry.
    pub fn parse(text: &str, registry: &LoginServer) -> Result<Self, String> {
        let invalid = || {
            format!(
                "`{text}` is not an image such as team/app:v1, team/app@sha256:… or {registry}/team/app:v1"
            )
        };
        let name = match text.split_once('/') {
            Some((host, rest)) if host.eq_ignore_ascii_case(registry.as_str()) => rest,
            Some((host, _)) if is_other_registry(host) => {
                return Err(format!("`{text}` is in another registry than {registry}"));
            }
            _ => text,
        };
        let (name, digest) = match name.split_once('@') {
            Some((name, digest)) => (name, Some(digest)),
            None => (name, None),
        };
        let (repository, tag) = name.split_once(':').unwrap_or((name, "latest"));
        let reference = digest.unwrap_or(tag);
        let valid = is_repository(repository) && is_tag(tag) && digest.is_none_or(is_digest);
        if !valid {
            return Err(invalid());
        }
        Ok(Self { repository: repository.to_owned(), reference: reference.to_owned() })
    }
}

/// A name that cannot be the start of a repository, or is not meant as one.
fn is_other_registry(host: &str) -> bool {
    const SUFFIXES: [&str; 3] = [".azurecr.io", ".azurecr.us", ".azurecr.cn"];
    host.contains(':') || SUFFIXES.iter().any(|it| host.to_ascii_lowercase().ends_with(it))
}

/// The names of the OCI distribution specification, nearly: none is a step upwards in a URL.
fn is_repository(text: &str) -> bool {
    let word = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let part = |it: &str| {
        it.starts_with(word)
            && it.ends_with(word)
            && it.chars().all(|c| word(c) || "._-".contains(c))
    };
    text.len() <= 255 && text.split('/').all(part)
}

fn is_tag(text: &str) -> bool {
    let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    (1..=128).contains(&text.len())
        && text.starts_with(word)
        && text.chars().all(|c| word(c) || ".-".contains(c))
}

/// Whether that is the digest of a manifest.
#[must_use]
pub fn is_digest(text: &str) -> bool {
    let hex = |it: &str| it.len() >= 32 && it.chars().all(|c| matches!(c, '0'..='9' | 'a'..='f'));
    text.split_once(':').is_some_and(|(algorithm, digest)| {
        !algorithm.is_empty()
            && algorithm.chars().all(|c| c.is_ascii_alphanumeric() || "+._-".contains(c))
            && hex(digest)
    })
}

/// As it follows the registry's host.
impl fmt::Display for Image {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { repository, reference } = self;
        let between = if reference.contains(':') { '@' } else { ':' };
        write!(f, "{repository}{between}{reference}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIGEST: &str = "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a";

    fn parse(text: &str) -> Result<String, String> {
        Image::parse(text, &"contoso.azurecr.io".parse().unwrap()).map(|it| it.to_string())
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
