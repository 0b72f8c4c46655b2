//! Tells the program what it was built from: the compiler, and the revision if the build names it.

use std::process::Command;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-env-changed=ACR_ATTACH_REVISION");
    let revision = std::env::var("ACR_ATTACH_REVISION").unwrap_or_default();
    let revision = if revision.is_empty() { "unknown" } else { &revision };
    println!("cargo::rustc-env=ACR_ATTACH_REVISION={revision}");
    println!("cargo::rustc-env=ACR_ATTACH_RUSTC={}", rustc().as_deref().unwrap_or("unknown"));
}

/// The version of the compiler, as in `rustc 1.95.0 (…)`.
fn rustc() -> Option<String> {
    let output = Command::new(std::env::var_os("RUSTC")?).arg("--version").output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    text.split_whitespace().nth(1).map(str::to_owned)
}
