//! The step about the registry's challenge: its token service, and its firewall.

use acr_attach_azure::bearer;

use super::{Step, StepName, Target, one_line};

/// The answer to a request without a credential.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Challenge {
    /// The HTTP status.
    pub status: u16,
    /// The header `WWW-Authenticate`.
    pub authenticate: Option<String>,
    /// The refusal of the registry's firewall, if the answer is one.
    pub denied: Option<Denied>,
}

/// A refusal of a registry's firewall: HTTP status 403 with code `DENIED`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Denied {
    /// The refused client address, if the answer names it.
    pub address: Option<String>,
}

/// The token service that a registry names in its challenge (distribution, `token.md`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenService {
    /// The URL of the token endpoint.
    pub realm: String,
    /// The name of the registry there. At a regional endpoint it is the host without the region.
    pub service: String,
}

impl TokenService {
    /// Reads a challenge. The default service is the registry's host.
    fn read(authenticate: &str, target: &Target) -> Option<Self> {
        let realm = bearer::parameter(authenticate, "realm")?.to_owned();
        let service = bearer::parameter(authenticate, "service");
        let service = service.map_or_else(|| target.registry.to_string(), str::to_owned);
        Some(Self { realm, service })
    }

    /// Whether the token endpoint is on the registry's host, with or without its region. Credentials are sent to no
    /// other host.
    fn is_at(&self, target: &Target) -> bool {
        [target.registry.to_string(), target.global_host()].iter().any(|host| {
            let at = format!("https://{host}/");
            self.realm.get(..at.len()).is_some_and(|it| it.eq_ignore_ascii_case(&at))
        })
    }
}

/// The step that checks whether the host is a registry, and admits the pod. Returns the token service too.
///
/// # Errors
/// The step, if it fails.
pub fn challenge(
    target: &Target,
    answer: Result<&Challenge, &str>,
) -> Result<(Step, TokenService), Step> {
    let Challenge { status, authenticate, denied } = answer.map_err(|reason| {
        let host = &target.registry;
        failed(format!("GET https://{host}/v2/: {}", one_line(reason)), retry_advice())
    })?;
    if let Some(denied) = denied {
        return Err(firewall(StepName::Challenge, target, denied));
    }
    token_service(target, *status, authenticate.as_deref().unwrap_or_default())
}

fn failed(detail: String, advice: String) -> Step {
    Step::failed(StepName::Challenge, detail, vec![advice])
}

/// The token service that the answer names, if the answer is that of a registry.
fn token_service(
    target: &Target,
    status: u16,
    authenticate: &str,
) -> Result<(Step, TokenService), Step> {
    let host = &target.registry;
    let (detail, advice) = match status {
        401 => match TokenService::read(authenticate, target) {
            Some(it) if it.is_at(target) => {
                let text = format!("{host} asks for a token, as a registry does");
                return Ok((Step::ok(StepName::Challenge, text), it));
            }
            Some(it) => (
                format!(
                    "{host} sends for tokens to {}, which no registry of Azure does, so that no credential is shown",
                    one_line(&it.realm)
                ),
                target.login_server_advice(),
            ),
            None => (
                format!(
                    "{host} answers 401 without saying where to get a token, which no registry does"
                ),
                target.login_server_advice(),
            ),
        },
        403 => (
            format!("{host} answers 403"),
            "It, or something on the way there, forbids the request: check the registry's network rules and the proxy".to_owned(),
        ),
        429 | 500.. => (format!("{host} answers {status}"), retry_advice()),
        _ => (
            format!("{host} answers {status}, which no registry does"),
            target.login_server_advice(),
        ),
    };
    Err(failed(detail, advice))
}

fn retry_advice() -> String {
    "Run the check again; where it stays so, look at https://azure.status.microsoft".to_owned()
}

/// The failed step for a refusal by the registry's firewall. Any step can get this answer: some registries send a
/// challenge first, and refuse the request for a token (SupportArticles-docs, "Can't pull images from Azure
/// Container Registry", cause 3).
pub(super) fn firewall(step: StepName, target: &Target, denied: &Denied) -> Step {
    let host = &target.registry;
    let (client, rule) = match &denied.address {
        Some(it) => (format!("address {it}"), it.clone()),
        None => ("this pod's address".to_owned(), "<the cluster's address>".to_owned()),
    };
    let advice = vec![
        format!(
            "Admit it: az acr network-rule add --name {} --ip-address {rule}; no right and no credential helps here",
            target.registry_name()
        ),
        format!(
            "Where the registry has a private endpoint, {host} has to be resolved to its private address: link the zone privatelink.{} to the cluster's network",
            target.domain()
        ),
        "Nodes may leave the cluster by another address than pods".to_owned(),
    ];
    let detail = format!("the firewall of {host} does not admit {client} (403 DENIED)");
    Step::failed(step, detail, advice).with_exit_code_of(StepName::Challenge)
}
