//! What a start that fails says, and that it leaves nothing.

use std::{
    fs,
    os::unix::fs::{PermissionsExt, symlink},
    path::Path,
    process::Output,
};

use control_plane::Options;
use tempfile::TempDir;
use tokio::process::Command;

use crate::{nothing_is_left, room};

/// A folder with the real programs, but a script in place of kube-apiserver.
fn programs_with_api_server(script: &str) -> TempDir {
    let real = |name: &str| Options::from_env().unwrap().program(name).unwrap();
    let folder = tempfile::tempdir().unwrap();
    for program in ["etcd", "kube-controller-manager"] {
        symlink(real(program), folder.path().join(program)).unwrap();
    }
    let api_server = folder.path().join("kube-apiserver");
    let script = script.replace("$REAL", real("kube-apiserver").to_str().unwrap());
    fs::write(&api_server, format!("#!/bin/sh\n{script}\n")).unwrap();
    fs::set_permissions(&api_server, fs::Permissions::from_mode(0o755)).unwrap();
    folder
}

/// Runs `control-plane run -- true` and checks that it leaves nothing.
async fn run(programs: &Path, arguments: &[&str]) -> Output {
    run_in(Path::new("."), programs, arguments).await
}

/// The same in that folder.
async fn run_in(folder: &Path, programs: &Path, arguments: &[&str]) -> Output {
    let temp = tempfile::tempdir().unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_control-plane"))
        .arg("run")
        .args(arguments)
        .args(["--", "true"])
        .current_dir(folder)
        .env("KUBEBUILDER_ASSETS", programs)
        .env("TMPDIR", temp.path())
        .output()
        .await
        .unwrap();
    assert!(nothing_is_left(temp.path()));
    output
}

fn said(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

#[tokio::test]
async fn a_missing_program_is_named_with_the_way_to_get_it() {
    let empty = tempfile::tempdir().unwrap();
    // Above this folder no programs have been built.
    let output = run_in(empty.path(), empty.path(), &[]).await;
    let (folder, built) = (empty.path(), empty.path().join("target/tools/bin"));
    let expected = format!(
        "control-plane: there is no etcd in {} or {}: `make tools` builds it, or \
         KUBEBUILDER_ASSETS names a folder that holds it ready-made\n",
        folder.display(),
        built.display()
    );
    assert_eq!(said(&output), expected);
    assert_eq!(output.status.code(), Some(1));
}

#[tokio::test]
async fn what_ready_made_programs_lack_is_taken_from_those_that_are_built() {
    let _room = room().await;
    // As setup-envtest makes it, but with one program alone.
    let programs = tempfile::tempdir().unwrap();
    let etcd = Options::from_env().unwrap().program("etcd").unwrap();
    symlink(etcd, programs.path().join("etcd")).unwrap();
    let output = run(programs.path(), &[]).await;
    assert!(output.status.success(), "{}", said(&output));
}

#[tokio::test]
async fn a_failing_program_shows_the_end_of_its_log() {
    let _room = room().await;
    let programs = programs_with_api_server(
        "line=1; while [ $line -le 30 ]; do echo \"line $line\" >&2; line=$((line + 1)); done; exit 3",
    );
    let output = run(programs.path(), &[]).await;
    let text = said(&output);
    assert!(text.contains("kube-apiserver ended (exit status: 3) before"), "{text}");
    let shown: Vec<_> = text.lines().filter(|line| line.starts_with("line ")).collect();
    assert_eq!(
        (shown.len(), shown.first(), shown.last()),
        (20, Some(&"line 11"), Some(&"line 30"))
    );
    assert_eq!(output.status.code(), Some(1));
}

#[tokio::test]
async fn a_port_that_somebody_else_took_leads_to_another_try() {
    let _room = room().await;
    // The second line is what the real program says then.
    let programs = programs_with_api_server(
        "if [ ! -e \"${0%/*}/tried\" ]; then\n: >\"${0%/*}/tried\"\n\
         echo 'failed to listen on 127.0.0.1:21000: listen tcp 127.0.0.1:21000: bind: address already in use' >&2\n\
         exit 1\nfi\nexec $REAL \"$@\"",
    );
    let output = run(programs.path(), &[]).await;
    assert!(output.status.success(), "{}", said(&output));
    assert!(said(&output).starts_with("control plane v1.36."), "{}", said(&output));
    assert!(programs.path().join("tried").exists());
}

#[tokio::test]
async fn a_manifest_that_is_no_definition_is_refused() {
    let _room = room().await;
    let folder = tempfile::tempdir().unwrap();
    let manifest = folder.path().join("odd.yaml");
    fs::write(&manifest, "kind: Oddity\n").unwrap();
    // None of its own: the programs are those that are built.
    let output = run(folder.path(), &["--crd", manifest.to_str().unwrap()]).await;
    let text = said(&output);
    assert!(text.contains("is no CustomResourceDefinition"), "{text}");
    assert_eq!(output.status.code(), Some(1));
}
