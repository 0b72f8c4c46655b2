//! The step about the image.

use super::{Step, StepName, Target, one_line};
use crate::image::{Image, Platform, is_digest};

/// The answer to a request for the manifest of an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Manifest {
    /// The image exists, with this digest if the registry names it.
    Found(Option<String>),
    /// The image is an index of images by platform.
    Index {
        /// Its digest, if the registry names it.
        digest: Option<String>,
        /// The platforms of its images. A container runtime uses an image without a platform on any node.
        platforms: Vec<Option<Platform>>,
    },
    /// An answer with another HTTP status.
    Refused(u16),
    /// No usable answer, and why.
    NoAnswer(String),
}

/// The step that looks for the image.
#[must_use]
pub fn manifest(target: &Target, image: &Image, found: &Manifest) -> Step {
    let failed =
        |detail: String, advice: String| Step::failed(StepName::Manifest, detail, vec![advice]);
    let host = &target.registry;
    match found {
        Manifest::Found(digest) => {
            let suffix = digest_suffix(digest.as_deref(), image);
            Step::ok(StepName::Manifest, format!("{image} is there{suffix}"))
        }
        Manifest::Index { digest, platforms } => index(target, image, digest.as_deref(), platforms),
        Manifest::Refused(404) => failed(
            format!("{host} has no image {image}"),
            format!(
                "Push it, or correct its name: az acr repository show-tags --name {} --repository {} lists the tags",
                target.registry_name(),
                image.repository
            ),
        ),
        Manifest::Refused(status) => failed(
            format!("asking for {image}, {host} answers {status} to its own token"),
            "Run the check again; where it stays so, its rights have just changed, or something on the way changes requests".to_owned(),
        ),
        Manifest::NoAnswer(reason) => failed(
            format!("asking for {image}: {}", one_line(reason)),
            "Run the check again".to_owned(),
        ),
    }
}

/// The digest for the end of a message, unless the name of the image contains it.
fn digest_suffix(digest: Option<&str>, image: &Image) -> String {
    let digest = digest.filter(|it| is_digest(it) && *it != image.reference);
    digest.map(|it| format!(", {it}")).unwrap_or_default()
}

/// The step for an index, which needs an image for the platform of each node.
fn index(
    target: &Target,
    image: &Image,
    digest: Option<&str>,
    platforms: &[Option<Platform>],
) -> Step {
    let has = |node: &&Platform| {
        platforms.iter().any(|it| it.as_ref().is_none_or(|image| node.runs(image)))
    };
    let list = |all: &mut dyn Iterator<Item = &Platform>| {
        all.map(ToString::to_string).collect::<Vec<_>>().join(", ")
    };
    let missing = list(&mut target.platforms.iter().filter(|it| !has(it)));
    if missing.is_empty() {
        let nodes = list(&mut target.platforms.iter());
        let text = format!("{image} is there for {nodes}{}", digest_suffix(digest, image));
        return Step::ok(StepName::Manifest, text);
    }
    // The index may also have attestations, with platform `unknown/unknown`.
    let images = platforms.iter().flatten().filter(|it| it.os != "unknown");
    let images = match &*list(&mut images.clone()) {
        "" => "none at all".to_owned(),
        some => format!("only for {}", one_line(some)),
    };
    Step::failed(
        StepName::Manifest,
        format!("{image} is an index without an image for {missing}, {images}"),
        vec![
            format!(
                "Build and push it for that platform too (docker buildx build --platform {missing},… --push), or keep its pods on other nodes (nodeSelector kubernetes.io/arch)"
            ),
            "--platform names what the nodes run, where it is another than what the check runs on"
                .to_owned(),
        ],
    )
}

/// The step if the target has no image.
#[must_use]
pub fn no_image() -> Step {
    Step::skipped(StepName::Manifest, "no image is named; --image names one")
}
