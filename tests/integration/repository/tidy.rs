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

fn forbid(sources: &[(PathBuf, String)], words: &[&str]) {
    for (path, text) in sources {
        let code: Vec<_> = text.lines().filter(|it| !it.trim_start().starts_with("//")).collect();
        for word in words {
            let found = code.iter().find(|line| line.contains(word));
            assert!(found.is_none(), "{} mentions `{word}`: {found:?}", path.display());
        }
    }
}

#[test]
fn the_definition_on_disk_is_what_the_code_says() {
    let file = expect_test::expect_file!["../../../crds/registryattachments.yaml"];
    file.assert_eq(&acr_attach_core::api::crd_yaml().unwrap());
}

#[test]
fn the_check_only_reads_in_the_cluster() {
    let mut all = sources("crates/check/src");
    all.retain(|(_, text)| text.contains("use kube::"));
    assert!(!all.is_empty(), "the check speaks to the API server");
    forbid(&all, &[".create(", ".patch(", ".replace(", ".delete(", ".list("]);
}

#[test]
fn decisions_take_the_time_and_all_else_as_arguments() {
    let words = ["async ", "Timestamp::now", "Instant::now", "std::env", "std::fs", "println"];
    forbid(&sources("crates/core/src"), &words);
}

#[test]
fn the_crate_of_decisions_is_built_without_clients() {
    let tree = ["tree", "--locked", "--edges", "normal", "--prefix", "none"];
    let tree = std::process::Command::new(env!("CARGO"))
        .args(tree)
        .args(["--package", "acr-attach-core"])
        .output()
        .unwrap();
    let text = String::from_utf8(tree.stdout).unwrap();
    let crates: Vec<_> = text.lines().filter_map(|it| it.split(' ').next()).collect();
    assert!(crates.contains(&"kube-core"), "{}", String::from_utf8_lossy(&tree.stderr));
    for client in ["kube", "kube-client", "kube-runtime", "tokio", "hyper", "reqwest", "tracing"] {
        assert!(!crates.contains(&client), "acr-attach-core is built with {client}");
    }
}

#[test]
fn only_the_program_reads_the_environment() {
    for (path, text) in sources("src") {
        assert!(path.ends_with("main.rs") || !text.contains("std::env"), "{}", path.display());
    }
}

#[test]
fn files_are_short() {
    let tests = ["azure-sim", "control-plane", "demo", "node", "rights"];
    let tests = tests.map(|it| format!("tests/{it}/src"));
    for folder in tests.iter().map(String::as_str).chain(["crates", "src"]) {
        for (path, text) in sources(folder) {
            let lines = text.lines().count();
            assert!(lines <= 300, "{} has {lines} lines", path.display());
        }
    }
}

#[test]
fn the_document_lists_every_action_that_azure_is_asked_for() {
    let document = include_str!("../../../docs/azure-permissions.md");
    let (table, _) = document.split_once("\n## Giving it").unwrap();
    let mut actions = 0;
    for (path, text) in sources("crates/azure/src") {
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
