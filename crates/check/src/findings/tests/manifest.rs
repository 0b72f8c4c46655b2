//! The texts about the image.

use super::super::manifest::{Manifest, manifest};
use super::super::*;
use super::target;

#[rstest::rstest]
#[case(
    Manifest::Refused(404),
    "has no image app:v1",
    "az acr repository show-tags --name contoso --repository app"
)]
#[case(Manifest::Refused(401), "answers 401 to its own token", "again")]
#[case(Manifest::NoAnswer("no answer within 10 s".into()), "no answer within 10 s", "again")]
fn an_image_that_cannot_be_pulled_is_reported(
    #[case] found: Manifest,
    #[case] words: &str,
    #[case] advice: &str,
) {
    let target = target("app:v1");
    let step = manifest(&target, target.image.as_ref().unwrap(), &found);
    assert_eq!(step.result, StepResult::Failed);
    assert!(step.detail.contains(words), "{}", step.detail);
    assert!(step.advice[0].contains(advice), "{:?}", step.advice);
}

fn index(node: &str, platforms: &[&str]) -> Step {
    let platforms = platforms.iter().map(|it| it.parse().ok()).collect();
    let found = Manifest::Index { digest: None, platforms };
    let target = Target { platforms: vec![node.parse().unwrap()], ..target("app:v1") };
    manifest(&target, target.image.as_ref().unwrap(), &found)
}

#[rstest::rstest]
#[case("linux/amd64", &["linux/amd64", "unknown/unknown"], None)]
#[case("linux/arm64", &["linux/amd64", "linux/arm64/v8"], None)]
#[case("linux/arm64", &["linux/amd64", "unknown/unknown"], Some("an index without an image for linux/arm64, only for linux/amd64"))]
#[case("linux/amd64", &["unknown/unknown"], Some("none at all"))]
#[case("linux/amd64", &[], Some("none at all"))]
// The last image has no platform.
#[case("linux/amd64", &["linux/arm64", ""], None)]
fn an_index_needs_an_image_for_the_node(
    #[case] node: &str,
    #[case] platforms: &[&str],
    #[case] words: Option<&str>,
) {
    let step = index(node, platforms);
    assert_eq!(step.result == StepResult::Failed, words.is_some(), "{step:?}");
    assert!(step.detail.contains(words.unwrap_or(&format!("is there for {node}"))), "{step:?}");
    assert_eq!(words.is_some(), step.advice.iter().any(|it| it.contains("--platform")), "{step:?}");
}
