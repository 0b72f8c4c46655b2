//! Azure's instance metadata service, which issues tokens for the identities of the node (learn.microsoft.com,
//! "How to use managed identities for Azure resources on an Azure VM to acquire an access token").

use std::time::Duration;

use acr_attach_azure::claims;
use reqwest::Client;
use uuid::Uuid;

use super::http::{Answer, Fault, send};
use crate::findings::credential::NodeFault;

/// The URL on every host in Azure. On other hosts there is no answer, or that of another cloud.
const TOKEN: &str = "http://169.254.169.254/metadata/identity/oauth2/token";
/// How long an answer may take. The service runs on the node, so it is fast.
const DEADLINE: Duration = Duration::from_secs(3);

/// A client for instance metadata, for one identity.
pub(super) struct InstanceMetadata<'a> {
    pub http: &'a Client,
    /// The client id or object id of the identity. Without an id, instance metadata chooses the system-assigned
    /// identity. If the node has none, it chooses the only user-assigned one, and refuses if there are several
    /// (learn.microsoft.com, "Managed identities for Azure resources frequently asked questions").
    pub identity: Option<Uuid>,
}

/// A token of Entra for an identity of the node, with the tenant id and object id in it.
pub(super) struct NodeToken {
    pub token: String,
    pub tenant: String,
    pub object_id: String,
}

impl InstanceMetadata<'_> {
    /// Gets a token for the first of these audiences that the tenant knows.
    pub async fn token(&self, audiences: &[&str]) -> Result<NodeToken, NodeFault> {
        let mut last = NodeFault::Unknown(None);
        for audience in audiences {
            match self.token_for(audience).await {
                Err(TokenError::Audience(status)) => last = NodeFault::Answered(status),
                Err(TokenError::Other(fault)) => return Err(fault),
                Ok(token) => return Ok(token),
            }
        }
        Err(last)
    }

    /// Gets a token for one audience. The id may be a client id or an object id, so both are tried.
    async fn token_for(&self, audience: &str) -> Result<NodeToken, TokenError> {
        let Some(id) = self.identity.map(|it| it.to_string()) else {
            return read(&self.ask(audience, None).await?, None);
        };
        let answer = self.ask(audience, Some(("client_id", &id))).await?;
        match read(&answer, Some(&id)) {
            Err(TokenError::Other(NodeFault::Unknown(_))) => {
                read(&self.ask(audience, Some(("object_id", &id))).await?, Some(&id))
            }
            answer => answer,
        }
    }

    async fn ask(&self, audience: &str, id: Option<(&str, &str)>) -> Result<Answer, TokenError> {
        let query = [("api-version", "2018-02-01"), ("resource", audience)].into_iter().chain(id);
        let unreachable = |reason: String| TokenError::Other(NodeFault::Unreachable(reason));
        let url = reqwest::Url::parse_with_params(TOKEN, query);
        let url = url.map_err(|it| unreachable(it.to_string()))?;
        let answer = send(self.http.get(url).header("Metadata", "true"), DEADLINE).await;
        answer.map_err(|fault| {
            unreachable(match fault {
                Fault::Connection(_) => "no connection to 169.254.169.254".to_owned(),
                fault => fault.to_string(),
            })
        })
    }
}

/// Why there is no token.
enum TokenError {
    /// The tenant does not know the audience.
    Audience(u16),
    Other(NodeFault),
}

fn read(answer: &Answer, id: Option<&str>) -> Result<NodeToken, TokenError> {
    let fault = match answer.status {
        200 => match node_token(answer) {
            Some(token) => return Ok(token),
            None => NodeFault::Unreachable("somebody else answers there".to_owned()),
        },
        400 => match (answer.text("error"), answer.text("error_description")) {
            (Some(error), _) if error == "invalid_resource" => {
                return Err(TokenError::Audience(400));
            }
            (_, Some(text)) if text.contains("Multiple user assigned identities") => {
                NodeFault::Several
            }
            (_, Some(text)) if text.contains("Identity not found") => {
                NodeFault::Unknown(id.map(str::to_owned))
            }
            _ => NodeFault::Answered(400),
        },
        // The answer comes from another cloud, or from a proxy.
        status if answer.text("error").is_none() => {
            NodeFault::Unreachable(format!("HTTP status {status} from there"))
        }
        status => NodeFault::Answered(status),
    };
    Err(TokenError::Other(fault))
}

fn node_token(answer: &Answer) -> Option<NodeToken> {
    let token = answer.text("access_token")?;
    let claims = claims(&token)?;
    let [tenant, object_id] = ["tid", "oid"].map(|it| claims[it].as_str().map(str::to_owned));
    Some(NodeToken { token, tenant: tenant?, object_id: object_id? })
}
