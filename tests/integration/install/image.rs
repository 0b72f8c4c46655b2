//! The image: the last stage of the Dockerfile around the program of `make build`, as `make image` has
//! built it.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::support::replica::program_at;

/// What the image may weigh, unpacked.
const LIMIT: u64 = 20_000_000;

/// An image in OCI layout (<https://github.com/opencontainers/image-spec/blob/main/image-layout.md>).
struct Image {
    folder: PathBuf,
    manifest: Value,
    config: Value,
}

impl Image {
    fn open() -> Self {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/image/oci");
        let index = std::fs::read(folder.join("index.json"))
            .expect("the image is not there; run `make image`, which `make test` does");
        let index: Value = serde_json::from_slice(&index).unwrap();
        let mut image = Self { folder, manifest: Value::Null, config: Value::Null };
        image.manifest = image.json(&index["manifests"][0]);
        image.config = image.json(&image.manifest["config"]);
        image
    }

    fn blob(&self, descriptor: &Value) -> PathBuf {
        let digest = descriptor["digest"].as_str().unwrap().replace(':', "/");
        self.folder.join("blobs").join(digest)
    }

    fn json(&self, descriptor: &Value) -> Value {
        serde_json::from_slice(&std::fs::read(self.blob(descriptor)).unwrap()).unwrap()
    }

    /// Unpacks all layers into a folder.
    fn unpack(&self) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for layer in self.manifest["layers"].as_array().unwrap() {
            let mut tar = Command::new("tar");
            tar.arg("-xzf").arg(self.blob(layer)).arg("-C").arg(folder.path());
            assert!(tar.status().unwrap().success());
        }
        folder
    }
}

/// Every file below that folder, with its size.
fn files(folder: &Path) -> Vec<(String, u64)> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in std::fs::read_dir(next).unwrap().map(Result::unwrap) {
            if entry.file_type().unwrap().is_dir() {
                folders.push(entry.path());
            } else {
                let name = entry.path().strip_prefix(folder).unwrap().display().to_string();
                found.push((name, entry.metadata().unwrap().len()));
            }
        }
    }
    found.sort();
    found
}

#[test]
fn it_holds_the_program_and_certificates_and_nothing_else() {
    let folder = Image::open().unpack();
    let files = files(folder.path());
    let names: Vec<_> = files.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["acr-attach", "etc/ssl/certs/ca-certificates.crt"]);
    let size: u64 = files.iter().map(|(_, size)| size).sum();
    assert!(size <= LIMIT, "{size} bytes");
}

#[test]
fn it_runs_as_nobody_and_what_it_runs_is_the_operator() {
    let image = Image::open();
    let config = &image.config["config"];
    assert_eq!(config["User"], "65532:65532");
    assert_eq!(config["Entrypoint"], serde_json::json!(["/acr-attach"]));
    assert_eq!(config["Cmd"], serde_json::json!(["run"]));
}

#[tokio::test]
async fn its_program_needs_no_library_and_names_its_crates() {
    let folder = Image::open().unpack();
    let program = folder.path().join("acr-attach");
    let output = program_at(&program, &["crd"]).output().await.unwrap();
    assert_eq!(
        String::from_utf8(output.stdout).unwrap(),
        acr_attach_core::api::crd_yaml().unwrap()
    );
    let bytes = std::fs::read(&program).unwrap();
    let has = |text: &[u8]| bytes.windows(text.len()).any(|it| it == text);
    assert!(!has(b"/ld-linux"), "it asks for a loader of shared libraries");
    // Where scanners look: https://github.com/rust-secure-code/cargo-auditable
    assert!(has(b".dep-v0"), "it does not say which crates it is made of");
}
