//! Federated credentials: tokens of the cluster that Entra accepts instead of a client secret.

use std::path::{Path, PathBuf};

use azure_core::error::{ErrorKind, ResultExt};
use azure_core::http::ClientMethodOptions;
use azure_identity::ClientAssertion;
use serde_json::Value;

/// The payload of a JSON Web Token. The signature is not verified: only the token's audience can do
/// that.
#[must_use]
pub fn claims(token: &str) -> Option<Value> {
    let payload = azure_core::base64::decode_url_safe(token.split('.').nth(1)?).ok()?;
    serde_json::from_slice(&payload).ok()
}

/// A file with a token. The file is read for each sign-in, because the kubelet replaces it well before
/// the token expires.
#[derive(Debug)]
pub(super) struct TokenFile(pub(super) PathBuf);

#[async_trait::async_trait]
impl ClientAssertion for TokenFile {
    async fn secret(&self, _: Option<ClientMethodOptions<'_>>) -> azure_core::Result<String> {
        let token = tokio::fs::read_to_string(&self.0).await;
        let token = token.with_context_fn(ErrorKind::Credential, || {
            format!("the federated token cannot be read from {}", self.0.display())
        })?;
        Ok(token.trim().to_owned())
    }
}

/// The federated credential that an application needs so that Entra accepts the token.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct FederatedCredential {
    issuer: String,
    subject: String,
    audience: String,
}

impl FederatedCredential {
    pub(super) fn read(file: &Path) -> Option<Self> {
        let token = std::fs::read_to_string(file).ok()?;
        let claims = claims(token.trim())?;
        let text = |value: &Value| value.as_str().map(str::to_owned);
        let audience = &claims["aud"];
        Some(Self {
            issuer: text(&claims["iss"])?,
            subject: text(&claims["sub"])?,
            audience: text(audience).or_else(|| text(&audience[0]))?,
        })
    }

    /// The command that adds it to the application with that client id.
    pub(crate) fn command(&self, client: &str) -> String {
        let Self { issuer, subject, audience } = self;
        let parameters = serde_json::json!({
            "name": "acr-attach", "issuer": issuer, "subject": subject, "audiences": [audience],
        });
        format!("az ad app federated-credential create --id {client} --parameters '{parameters}'")
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn issuer_subject_and_audience_are_read_from_the_token() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        let claims = r#"{"iss":"https://issuer","sub":"system:serviceaccount:a:b","aud":["api://AzureADTokenExchange"]}"#;
        let payload = azure_core::base64::encode_url_safe(claims);
        writeln!(file, "header.{payload}.signature").unwrap();
        let federated = FederatedCredential::read(file.path()).unwrap();
        assert_eq!(
            federated.command("c"),
            r#"az ad app federated-credential create --id c --parameters '{"audiences":["api://AzureADTokenExchange"],"issuer":"https://issuer","name":"acr-attach","subject":"system:serviceaccount:a:b"}'"#
        );
        assert_eq!(FederatedCredential::read(Path::new("/does/not/exist")), None);
    }
}
