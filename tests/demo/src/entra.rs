//! What Entra says to a client secret.

use anyhow::{Result, anyhow};
use azure_sim::model::DEFAULT_TENANT;
use reqwest::header::CONTENT_TYPE;
use serde_json::Value;

use crate::azure::{Azure, PULLER};

impl Azure {
    /// What it says when service principal `puller` signs in: the status, and the code of a
    /// refusal.
    ///
    /// # Errors
    /// When it says nothing that can be read.
    pub async fn sign_in(&self, client_secret: &str) -> Result<String> {
        let url = format!("https://login.microsoftonline.com/{DEFAULT_TENANT}/oauth2/v2.0/token");
        let scope = "https%3A%2F%2Fcontainerregistry.azure.net%2F.default";
        let form = format!(
            "grant_type=client_credentials&client_id={PULLER}&client_secret={client_secret}&scope={scope}"
        );
        let request = self.client()?.post(url).body(form);
        let request = request.header(CONTENT_TYPE, "application/x-www-form-urlencoded");
        let answer = request.send().await?;
        let status = answer.status().as_u16();
        // What is wrong with it is not told: a good answer holds a token.
        let body: Value = serde_json::from_slice(&answer.bytes().await?)
            .map_err(|_| anyhow!("Entra answered {status} and no JSON"))?;
        let code = body["error_codes"][0].as_u64().map(|it| format!(" AADSTS{it}"));
        Ok(format!("{status}{}", code.unwrap_or_default()))
    }
}
