//! A registry's own endpoints.

mod backend;
mod content;
mod credentials;
mod exchange;
mod faults;
mod firewall;
mod modes;
mod regional;
mod rights;

use azure_sim::{
    Model,
    model::{ACR_PULL, Principal},
};
use reqwest::Method;
use serde_json::{Value, json};

use crate::world::{Answer, SECRET, TENANT, World, answer};

const HOST: &str = "contoso.azurecr.io";
const ACR: &str = "https://containerregistry.azure.net";
/// The user name for tokens.
const NULL: &str = "00000000-0000-0000-0000-000000000000";
const PULL: &str = "repository:team/app:pull";
const NO_RIGHT: &str = "authentication required, visit https://aka.ms/acr/authorization for more \
                        information. CorrelationId: ";

/// What a request brings.
#[derive(Clone, Copy)]
enum By<'a> {
    Nobody,
    Bearer(&'a str),
    Basic(&'a str, &'a str),
}

/// A registry with two repositories, and a service principal that may nothing.
struct Bench {
    world: World,
    app: Principal,
}

impl Bench {
    async fn new() -> Self {
        Self::with(|_| {}).await
    }

    async fn with(change: impl FnOnce(&mut Model)) -> Self {
        let world = World::with(|model| {
            model.application("puller").secret(SECRET).add();
            let registry = model.registry_mut("contoso").unwrap();
            registry.repositories = serde_json::from_value(json!([
                {"name": "team/app", "tags": [{"name": "v1"}, {"name": "v2"}, {"name": "v3"}]},
                {"name": "other", "tags": [{"name": "v1", "digest": "sha256:0123"}]},
            ]))
            .unwrap();
            change(model);
        })
        .await;
        let app = world.sim.read(|it| it.principals.last().unwrap().clone());
        Self { world, app }
    }

    /// In legacy mode, with the role to pull.
    async fn pulling() -> Self {
        let bench = Self::new().await;
        bench.assign(ACR_PULL);
        bench
    }

    fn update(&self, change: impl FnOnce(&mut Model)) {
        self.world.sim.update(change);
    }

    fn assign(&self, role: &str) -> String {
        let id = self.world.registry.id();
        self.world.sim.update(|it| it.assign(&self.app, role, &id))
    }

    fn unassign(&self) {
        let is_ours = |id: &str| id == self.app.object_id;
        self.update(|it| it.role_assignments.retain(|it| !is_ours(&it.principal_id)));
    }

    fn client_id(&self) -> &str {
        self.app.client_id.as_deref().unwrap()
    }

    /// The service principal's own credential.
    fn secret(&self) -> By<'_> {
        By::Basic(self.client_id(), SECRET)
    }

    async fn send(&self, method: Method, path: &str, by: By<'_>) -> Answer {
        let request = self.world.client.request(method, format!("https://{HOST}{path}"));
        let request = match by {
            By::Nobody => request,
            By::Bearer(token) => request.bearer_auth(token),
            By::Basic(user, password) => request.basic_auth(user, Some(password)),
        };
        answer(request).await.unwrap()
    }

    async fn get(&self, path: &str, by: By<'_>) -> Answer {
        self.send(Method::GET, path, by).await
    }

    async fn post(&self, path: &str, form: &[(&str, &str)]) -> Answer {
        let request = self.world.client.post(format!("https://{HOST}{path}"));
        answer(request.form(form)).await.unwrap()
    }

    /// Exchanges as the documentation says, with other fields.
    async fn exchange_with(&self, token: &str, changes: &[(&str, &str)]) -> Answer {
        let mut form = vec![
            ("grant_type", "access_token"),
            ("service", HOST),
            ("tenant", TENANT),
            ("access_token", token),
        ];
        for change in changes {
            form.retain(|it| it.0 != change.0);
            form.push(*change);
        }
        self.post("/oauth2/exchange", &form).await
    }

    async fn exchange(&self) -> Answer {
        let token = self.world.token_of(&self.app, ACR).await;
        self.exchange_with(&token, &[]).await
    }

    async fn refresh_token(&self) -> String {
        text(&self.exchange().await.expect(200), "refresh_token")
    }

    /// GET of `/oauth2/token`; an empty scope is left out.
    async fn token(&self, by: By<'_>, scope: &str) -> Answer {
        let mut path = format!("/oauth2/token?service={HOST}");
        if !scope.is_empty() {
            path = format!("{path}&scope={}", scope.replace(':', "%3A"));
        }
        self.get(&path, by).await
    }

    async fn access_token(&self, by: By<'_>, scope: &str) -> String {
        text(&self.token(by, scope).await.expect(200), "access_token")
    }

    /// The `access` claim that a credential gets.
    async fn access(&self, by: By<'_>, scope: &str) -> Value {
        claims(&self.access_token(by, scope).await)["access"].clone()
    }

    /// How a whole pull ends, as containerd does it: a token, then the manifest.
    async fn pull(&self, by: By<'_>, repository: &str) -> u16 {
        let answer = self.token(by, &format!("repository:{repository}:pull")).await;
        if answer.status.as_u16() != 200 {
            return answer.status.as_u16();
        }
        let token = text(&answer, "access_token");
        let path = format!("/v2/{repository}/manifests/v1");
        self.send(Method::HEAD, &path, By::Bearer(&token)).await.status.as_u16()
    }
}

fn text(answer: &Answer, name: &str) -> String {
    answer.json()[name].as_str().unwrap().to_owned()
}

fn claims(token: &str) -> Value {
    jsonwebtoken::dangerous::insecure_decode_claims(token).unwrap()
}

fn pull_of(name: &str) -> Value {
    json!([{"type": "repository", "name": name, "actions": ["pull"]}])
}

/// Checks an error answer and returns its message.
#[track_caller]
fn refused(answer: Answer, status: u16, code: &str) -> String {
    let correlation = answer.header("x-ms-correlation-request-id").to_owned();
    let error = answer.expect(status).json()["errors"][0].clone();
    assert_eq!(error["code"], code, "{error}");
    let message = error["message"].as_str().unwrap().to_owned();
    message.replace(&correlation, "")
}
