//! The texts about flaws in the characters of a login.

use acr_attach_core::pull_secrets::TOKEN_USER;

use super::super::Target;
use crate::docker_config::Flaw;

impl Flaw {
    /// What the flaw is.
    pub(super) fn description(self) -> String {
        match self {
            Self::IgnoredKey(key) => format!(
                "it has no password, and the kubelet does not read {key}, where docker and az acr login put a token"
            ),
            Self::LineBreak => "its password ends with a line break, as echo writes one".to_owned(),
            Self::Utf16 => {
                "its characters are UTF-16, as PowerShell's [Text.Encoding]::Unicode makes them"
                    .to_owned()
            }
            Self::ByteOrderMark => "its user name begins with a byte order mark".to_owned(),
            Self::NotUtf8 => "its characters are not UTF-8".to_owned(),
            Self::Space => {
                "its user name or password begins or ends with a space or a line break".to_owned()
            }
        }
    }

    /// How to remove the flaw.
    pub(super) fn advice(self, secret: &str, target: &Target) -> String {
        let Target { namespace, registry, .. } = target;
        match self {
            Self::IgnoredKey(key) => format!(
                "Put the token of {key} into password in Secret {secret}, with user name {TOKEN_USER}; it holds for 3 hours, and a RegistryAttachment renews it"
            ),
            Self::LineBreak | Self::Space => format!(
                "Make Secret {secret} anew without it: kubectl create secret docker-registry {secret} --namespace {namespace} --docker-server {registry} … takes words as they are, and where base64 makes auth, printf '%s' \"$USER:$PASSWORD\" | base64 -w0 does"
            ),
            Self::Utf16 | Self::ByteOrderMark | Self::NotUtf8 => format!(
                "Make Secret {secret} anew in UTF-8: kubectl create secret docker-registry {secret} --namespace {namespace} --docker-server {registry} … writes it so, and where PowerShell makes auth, [Convert]::ToBase64String([Text.Encoding]::UTF8.GetBytes(\"${{user}}:${{password}}\")) does"
            ),
        }
    }
}
