//! The real programs that `make tools` builds, as a user runs them.

use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};

use control_plane::Options;
use serde_json::Value;
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use super::in_time;

/// The root of the repository.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// One of the real programs: beside the ready-made ones, else where `make tools` puts it.
pub fn path(name: &str) -> PathBuf {
    Options::from_env().unwrap().program(name).unwrap_or_else(|error| panic!("{error}"))
}

/// A program in the root of the repository, with nothing of the user's own settings.
pub fn command(name: &str) -> Command {
    let mut command = Command::new(path(name));
    command.current_dir(root()).env_clear().kill_on_drop(true);
    command.env("HOME", root().join("target/tools/home"));
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Runs a command with that input, and waits until it ends.
pub async fn output(command: &mut Command, input: &str) -> Output {
    let what = format!("{command:?} to end");
    let running = async {
        let mut child = command.spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        // Whoever reads no input may have ended already.
        let _ = stdin.write_all(input.as_bytes()).await;
        drop(stdin);
        child.wait_with_output().await.unwrap()
    };
    in_time(&what, running).await
}

/// What a command says that must succeed.
pub async fn said(command: &mut Command, input: &str) -> String {
    let output = output(command, input).await;
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {error}");
    String::from_utf8(output.stdout).unwrap()
}

/// `helm template` of the chart, with more flags, and values from the input over those.
pub fn template(release: &str, namespace: &str, flags: &[&str]) -> Command {
    let mut helm = command("helm");
    helm.args(["template", release, "charts/acr-attach", "--namespace", namespace]);
    helm.args(["--kube-version", "1.36"]).args(flags).args(["--values", "-"]);
    helm
}

/// What the chart renders.
pub async fn rendered(release: &str, namespace: &str, values: &Value, flags: &[&str]) -> String {
    said(&mut template(release, namespace, flags), &values.to_string()).await
}
