//! Whether a registry answers, where it sends for tokens, and whether its firewall lets a pod in.

use acr_attach_azure::bearer;

use super::{Step, StepName, Target, told};

/// What came back for a request without a credential.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Challenge {
    /// HTTP status.
    pub status: u16,
    /// The header `WWW-Authenticate`.
    pub authenticate: Option<String>,
    /// The firewall's refusal, if that is it.
    pub denied: Option<Denied>,
}

/// A registry's firewall does not admit the one that asks: HTTP status 403 with code `DENIED`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Denied {
    /// The address that it says it does not admit.
    pub address: Option<String>,
}

/// Where a registry sends for tokens, and how it is called there (distribution, `token.md`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenService {
    /// The URL of the token endpoint.
    pub realm: String,
    /// The service that a token is for. At a regional endpoint it is the registry's name without the region.
    pub service: String,
}

impl TokenService {
    /// Reads a challenge. A service that is not named is the registry itself.
    fn read(authenticate: &str, target: &Target) -> Option<Self> {
        let realm = bearer::parameter(authenticate, "realm")?.to_owned();
        let service = bearer::parameter(authenticate, "service");
        let service = service.map_or_else(|| target.registry.to_string(), str::to_owned);
        Some(Self { realm, service })
    }

    /// Whether that is the registry itself, where credentials may go: by the host that is asked, or without its
    /// region.
    fn is_at(&self, target: &Target) -> bool {
        [target.registry.to_string(), target.global_host()].iter().any(|host| {
            let at = format!("https://{host}/");
            self.realm.get(..at.len()).is_some_and(|it| it.eq_ignore_ascii_case(&at))
        })
    }
}

/// The step that finds out whether that is a registry, and lets a pod in. With where to ask for tokens.
///
/// # Errors
/// The step, where it fails.
pub fn challenge(
    target: &Target,
    answer: Result<&Challenge, &str>,
) -> Result<(Step, TokenService), Step> {
    let host = &target.registry;
    let failed = |detail: String, advice: String| {
        Err(Step::failed(StepName::Challenge, detail, vec![advice]))
    };
    let Challenge { status, authenticate, denied } = match answer {
        Ok(answer) => answer,
        Err(reason) => return failed(format!("GET https://{host}/v2/: {}", told(reason)), again()),
    };
    if let Some(denied) = denied {
        return Err(firewall(StepName::Challenge, target, denied));
    }
    match status {
        401 => match TokenService::read(authenticate.as_deref().unwrap_or_default(), target) {
            Some(it) if it.is_at(target) => {
                let text = format!("{host} asks for a token, as a registry does");
                Ok((Step::ok(StepName::Challenge, text), it))
            }
            Some(it) => failed(
                format!(
                    "{host} sends for tokens to {}, which no registry of Azure does, so that no credential is shown",
                    told(&it.realm)
                ),
                target.login_server(),
            ),
            None => failed(
                format!(
                    "{host} answers 401 without saying where to get a token, which no registry does"
                ),
                target.login_server(),
            ),
        },
        403 => failed(
            format!("{host} answers 403"),
            "It, or something on the way there, forbids the request: check the registry's network rules and the proxy".to_owned(),
        ),
        429 | 500.. => failed(format!("{host} answers {status}"), again()),
        _ => failed(format!("{host} answers {status}, which no registry does"), target.login_server()),
    }
}

fn again() -> String {
    "Run the check again; where it stays so, look at https://azure.status.microsoft".to_owned()
}

/// The step at which the registry's firewall refuses. It may answer at any: some registries send for a token
/// first, and refuse where that is asked for (SupportArticles-docs, "Can't pull images from Azure Container
/// Registry", cause 3).
pub(super) fn firewall(step: StepName, target: &Target, denied: &Denied) -> Step {
    let host = &target.registry;
    let (whom, rule) = match &denied.address {
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
    let detail = format!("the firewall of {host} does not admit {whom} (403 DENIED)");
    Step::failed(step, detail, advice).exiting_as(StepName::Challenge)
}
