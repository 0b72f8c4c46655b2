//! Platforms: operating system, architecture, and variant of the architecture.

use std::fmt;
use std::str::FromStr;

use serde::Deserialize;

/// A platform, as in an image index (OCI image specification, `image-index.md`).
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Platform {
    /// The operating system, such as `linux`.
    pub os: String,
    /// The architecture by its name in Go, such as `amd64` or `arm64`.
    pub architecture: String,
    /// The variant, such as `v7` of `arm`. Empty for the default variant.
    #[serde(default)]
    pub variant: String,
}

impl Platform {
    /// Linux on a processor, given by Rust's name such as `x86_64`.
    #[must_use]
    pub fn linux(processor: &str) -> Self {
        let architecture = match processor {
            "x86_64" => "amd64",
            "aarch64" => "arm64",
            "x86" => "386",
            "powerpc64" => "ppc64le",
            other => other,
        };
        let (os, architecture) = ("linux".to_owned(), architecture.to_owned());
        Self { os, architecture, variant: String::new() }
    }

    /// Whether a node of this platform runs an image for the other platform. A node also runs images for older
    /// variants, and a 64-bit node runs 32-bit images (containerd/platforms, `compare.go`, `platformVector`).
    #[must_use]
    pub fn runs(&self, other: &Self) -> bool {
        let runs_variant = other.variant_number() <= self.variant_number();
        self.os == other.os
            && match (&*self.architecture, &*other.architecture) {
                ("amd64", "386") => true,
                ("arm64", "arm") => runs_variant,
                (own, other) => own == other && runs_variant,
            }
    }

    fn variant_number(&self) -> u32 {
        let default = match &*self.architecture {
            "arm64" => 8,
            "arm" => 7,
            _ => 1,
        };
        let number = self.variant.trim_start_matches('v').split('.').next();
        number.and_then(|it| it.parse().ok()).unwrap_or(default)
    }
}

impl FromStr for Platform {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parts: Vec<_> = text.split('/').map(str::to_ascii_lowercase).collect();
        let (os, architecture, variant) = match &parts[..] {
            [os, architecture] => (os, architecture, ""),
            [os, architecture, variant] => (os, architecture, &**variant),
            _ => return Err(format!("`{text}` is not a platform such as linux/arm64")),
        };
        let is_word = |it: &str| !it.is_empty() && it.chars().all(|c| c.is_ascii_alphanumeric());
        if !is_word(os) || !is_word(architecture) || parts.len() == 3 && !is_word(variant) {
            return Err(format!("`{text}` is not a platform such as linux/arm64"));
        }
        let (os, architecture) = (os.clone(), architecture.clone());
        Ok(Self { os, architecture, variant: variant.to_owned() })
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { os, architecture, variant } = self;
        let separator = if variant.is_empty() { "" } else { "/" };
        write!(f, "{os}/{architecture}{separator}{variant}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[rstest::rstest]
    #[case("linux/amd64", "linux/amd64", true)]
    #[case("linux/amd64", "linux/amd64/v1", true)]
    #[case("linux/amd64", "linux/amd64/v3", false)]
    #[case("linux/amd64/v3", "linux/amd64/v2", true)]
    #[case("linux/amd64", "linux/386", true)]
    #[case("linux/386", "linux/amd64", false)]
    #[case("linux/arm64", "linux/arm64/v8", true)]
    #[case("linux/arm64", "linux/arm/v7", true)]
    #[case("linux/arm", "linux/arm64", false)]
    #[case("linux/arm/v6", "linux/arm", false)]
    #[case("linux/arm64", "linux/amd64", false)]
    #[case("windows/amd64", "linux/amd64", false)]
    #[case("linux/s390x", "linux/s390x", true)]
    fn a_node_runs_images_for_its_variant_and_for_older_ones(
        #[case] node: Platform,
        #[case] image: Platform,
        #[case] expected: bool,
    ) {
        assert_eq!(node.runs(&image), expected, "{image} on {node}");
    }

    #[test]
    fn a_platform_is_parsed_and_printed_alike() {
        for text in ["linux/amd64", "linux/arm/v7"] {
            assert_eq!(text.parse::<Platform>().unwrap().to_string(), text);
        }
        for text in ["", "amd64", "linux/", "linux/arm/", "linux/arm/v7/x", "linux/a b"] {
            text.parse::<Platform>().unwrap_err();
        }
        assert_eq!(Platform::linux("aarch64").to_string(), "linux/arm64");
    }
}
