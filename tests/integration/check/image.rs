//! The image itself, and the arguments that name it.

use super::*;

#[tokio::test]
async fn an_image_that_is_not_there_is_told_in_json_too() {
    let bench = Bench::new().await;
    let client = bench.client();
    bench.login(&client, CLIENT_SECRET).await;
    bench.check(&["--image", "app:v2"]).await.ended(
        7,
        "manifest",
        &["has no image app:v2", "az acr repository show-tags"],
    );

    let checked = bench.check(&["--image", "app:v2", "--output", "json"]).await;
    assert_eq!(checked.code, 7);
    let json: Value = serde_json::from_str(&checked.text).unwrap();
    let head = json!({"kind": "pullSecret", "secret": "acr-pull", "user": client});
    assert_eq!(
        (&json["credential"], &json["exitCode"], &json["ok"]),
        (&head, &json!(7), &json!(false))
    );
    assert_eq!((&json["registry"], &json["image"]), (&json!(SERVER), &json!("app:v2")));
    let steps: Vec<_> =
        json["steps"].as_array().unwrap().iter().map(|it| it["result"].as_str().unwrap()).collect();
    assert_eq!(steps, ["skipped", "ok", "ok", "ok", "ok", "failed"]);
}

#[tokio::test]
async fn what_cannot_be_checked_is_told_in_one_sentence() {
    let bench = Bench::new().await;
    for (arguments, words) in [
        (["--registry", "contoso"], "not a login server"),
        (["--image", "fabrikam.azurecr.io/app"], "another registry"),
        (["--output", "yaml"], "possible values: text, json"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let output = bench.program(&folder, &arguments).await.output().await.unwrap();
        let text = String::from_utf8(output.stderr).unwrap();
        assert_eq!((output.status.code(), output.stdout.len()), (Some(1), 0), "{text}");
        assert!(text.starts_with("acr-attach: ") && text.trim().lines().count() == 1, "{text}");
        assert!(text.contains(words), "{text}");
    }
    let output = program(&["check"]).output().await.unwrap();
    assert!(String::from_utf8(output.stderr).unwrap().contains("--registry"));
}

#[tokio::test]
async fn an_index_without_the_node_s_platform_is_told() {
    let bench = Bench::with(|azure| {
        let tag = &mut registry(azure).repositories[0].tags[0];
        tag.platforms = vec!["linux/s390x".into(), "linux/arm/v6".into()];
    })
    .await;
    bench.login(&bench.client(), CLIENT_SECRET).await;
    let words = [
        "app:v1 is an index without an image for linux/",
        "only for linux/s390x, linux/arm/v6",
        "--platform",
    ];
    bench.check(&["--image", "app:v1"]).await.ended(7, "manifest", &words);
    let arguments = ["--image", "app:v1", "--platform", "linux/s390x,linux/arm/v7"];
    let checked = bench.check(&arguments).await;
    checked.well("pull secret acr-pull");
    let words = "app:v1 is there for linux/s390x, linux/arm/v7, sha256:";
    assert!(checked.step("manifest").contains(words), "{}", checked.text);
    let arguments = ["--image", "app:v1", "--platform", "linux/s390x,linux/arm64,linux/amd64"];
    let words = ["without an image for linux/amd64, only for"];
    bench.check(&arguments).await.ended(7, "manifest", &words);
}
