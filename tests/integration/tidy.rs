//! The rules of this repository that a machine can check.

use std::path::{Path, PathBuf};

/// All Rust files below a folder, with their text up to the tests in them.
fn sources(folder: &str) -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    let mut folders = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|it| it == "rs") && !path.ends_with("tests.rs") {
                let text = std::fs::read_to_string(&path).unwrap();
                let end = text.find("#[cfg(test)]\nmod").unwrap_or(text.len());
                found.push((path, text[..end].to_owned()));
            }
        }
    }
    assert!(!found.is_empty(), "no sources below {folder}");
    found
}

fn forbid(folder: &str, words: &[&str]) {
    for (path, text) in sources(folder) {
        let code: Vec<_> = text.lines().filter(|it| !it.trim_start().starts_with("//")).collect();
        for word in words {
            let found = code.iter().find(|line| line.contains(word));
            assert!(found.is_none(), "{} mentions `{word}`: {found:?}", path.display());
        }
    }
}

#[test]
fn the_definition_on_disk_is_what_the_code_says() {
    let file = expect_test::expect_file!["../../crds/registryattachments.yaml"];
    file.assert_eq(&acr_attach::api::crd_yaml().unwrap());
}

#[test]
fn layers_use_only_what_is_below_them() {
    forbid("src/api", &["crate::domain", "crate::azure", "crate::controller", "crate::metrics"]);
    forbid(
        "src/domain",
        &["crate::azure", "crate::controller", "crate::metrics", "crate::settings"],
    );
    forbid(
        "src/azure",
        &["crate::api", "crate::controller", "crate::settings", "kube::", "k8s_openapi"],
    );
    forbid("src/controller", &["crate::settings", "reqwest"]);
    forbid("src/check", &["crate::api", "crate::controller", "crate::settings", "crate::metrics"]);
    for folder in ["src/api", "src/domain", "src/azure", "src/controller", "src/settings"] {
        forbid(folder, &["crate::check"]);
    }
}

#[test]
fn the_check_only_reads_in_the_cluster() {
    forbid("src/check", &[".create(", ".patch(", ".replace(", ".delete(", ".list("]);
}

#[test]
fn the_domain_is_pure() {
    let words = [
        "async ",
        ".await",
        "tokio",
        "kube::",
        "reqwest",
        "Timestamp::now",
        "Instant",
        "std::env",
        "std::fs",
        "tracing",
        "println",
        "fastrand",
    ];
    forbid("src/domain", &words);
}

#[test]
fn only_the_program_reads_the_environment() {
    for (path, text) in sources("src") {
        assert!(path.ends_with("main.rs") || !text.contains("std::env"), "{}", path.display());
    }
}

#[test]
fn files_are_short() {
    let crates = ["azure-sim", "control-plane", "demo", "node", "rights"];
    let folders = crates.map(|it| format!("tests/{it}/src"));
    for folder in folders.iter().map(String::as_str).chain(["src"]) {
        for (path, text) in sources(folder) {
            let lines = text.lines().count();
            assert!(lines <= 300, "{} has {lines} lines", path.display());
        }
    }
}

#[test]
fn the_document_lists_every_action_that_azure_is_asked_for() {
    let document = include_str!("../../docs/azure-permissions.md");
    let (table, _) = document.split_once("\n## Giving it").unwrap();
    let mut actions = 0;
    for (path, text) in sources("src/azure") {
        let quoted = text.split('"');
        let verbs = ["/read", "/write", "/delete"];
        let is_action =
            |it: &&str| it.starts_with("Microsoft.") && verbs.iter().any(|verb| it.ends_with(verb));
        for action in quoted.filter(is_action) {
            assert!(table.contains(&format!("`{action}`")), "{}: {action}", path.display());
            actions += 1;
        }
    }
    assert!(actions >= 5, "only {actions} actions were found");
}

#[test]
fn the_simulator_and_the_operator_share_no_code() {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/azure-sim/Cargo.toml");
    assert!(!std::fs::read_to_string(manifest).unwrap().contains("acr-attach"));
}
