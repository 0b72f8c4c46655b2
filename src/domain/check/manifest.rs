//! The image itself.

use super::{Step, StepName, Target, told};
use crate::domain::image::{Image, is_digest};

/// What came back for the manifest of an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Manifest {
    /// It is there, with that digest if it tells.
    Found(Option<String>),
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
            let digest = digest.as_deref().filter(|it| is_digest(it) && *it != image.reference);
            let digest = digest.map(|it| format!(", {it}")).unwrap_or_default();
            Step::ok(StepName::Manifest, format!("{image} is there{digest}"))
        }
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

/// The step where no image is named.
#[must_use]
pub fn not_named() -> Step {
    Step::skipped(StepName::Manifest, "no image is named; --image names one")
}
