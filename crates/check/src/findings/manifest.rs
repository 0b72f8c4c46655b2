//! The image itself.

use super::{Step, StepName, Target, told};
use crate::image::{Image, Platform, is_digest};

/// What came back for the manifest of an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Manifest {
    /// It is there, with that digest if it tells.
    Found(Option<String>),
    /// An image index is there.
    Index {
        /// Its digest, if it tells.
        digest: Option<String>,
        /// What its images are for. A container runtime takes an image that does not say so for any.
        platforms: Vec<Option<Platform>>,
    },
    /// Another answer.
    Refused(u16),
    /// No answer that can be used.
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
            Step::ok(StepName::Manifest, format!("{image} is there{}", of(digest.as_deref(), image)))
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
            format!("asking for {image}: {}", told(reason)),
            "Run the check again".to_owned(),
        ),
    }
}

/// The digest, where it says more than the name of the image.
fn of(digest: Option<&str>, image: &Image) -> String {
    let digest = digest.filter(|it| is_digest(it) && *it != image.reference);
    digest.map(|it| format!(", {it}")).unwrap_or_default()
}

/// Whether an index has an image for each node.
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
        let text = format!("{image} is there for {nodes}{}", of(digest, image));
        return Step::ok(StepName::Manifest, text);
    }
    // Attestations are kept in an index too, for `unknown/unknown`.
    let images = platforms.iter().flatten().filter(|it| it.os != "unknown");
    let images = match &*list(&mut images.clone()) {
        "" => "none at all".to_owned(),
        some => format!("only for {}", told(some)),
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

/// The step where no image is named.
#[must_use]
pub fn not_named() -> Step {
    Step::skipped(StepName::Manifest, "no image is named; --image names one")
}
