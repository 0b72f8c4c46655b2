//! A simulator with the usual cast, and a client that only has a proxy and a certificate.

use azure_sim::{
    AzureSim, Model,
    model::{Cluster, Principal, READER, ROLE_BASED_ACCESS_CONTROL_ADMINISTRATOR, Registry},
};
use reqwest::{Certificate, Client, Method, Proxy, StatusCode, header::HeaderMap};
use serde_json::Value;

pub const ARM: &str = "https://management.azure.com";
pub const LOGIN: &str = "https://login.microsoftonline.com";
pub const TENANT: &str = azure_sim::model::DEFAULT_TENANT;
pub const SECRET: &str = "s3cret";

/// What came back.
#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub text: String,
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap()
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |it| it.to_str().unwrap())
    }

    /// ARM's error code and message.
    pub fn error(&self) -> (String, String) {
        let error = &self.json()["error"];
        let text = |name: &str| error[name].as_str().unwrap_or_default().to_owned();
        (text("code"), text("message"))
    }

    #[track_caller]
    pub fn expect(self, status: u16) -> Self {
        assert_eq!(self.status.as_u16(), status, "{}", self.text);
        self
    }

    #[track_caller]
    pub fn expect_error(self, status: u16, code: &str) -> String {
        let (actual, message) = self.expect(status).error();
        assert_eq!(actual, code, "{message}");
        message
    }
}

/// One registry, one cluster, and an operator that may read all and assign roles at the registry.
pub struct World {
    pub sim: AzureSim,
    pub client: Client,
    pub registry: Registry,
    pub cluster: Cluster,
    pub operator: Principal,
}

impl World {
    pub async fn new() -> Self {
        Self::with(|_| {}).await
    }

    /// A world whose model is changed before it starts.
    pub async fn with(change: impl FnOnce(&mut Model)) -> Self {
        let mut model = Model::default_tenant();
        let registry = model.registry("contoso").add();
        let cluster = model.cluster("prod").add();
        let operator = model.application("acr-attach").secret(SECRET).add();
        model.assign(&operator, READER, &format!("/subscriptions/{}", registry.subscription_id));
        model.assign(&operator, ROLE_BASED_ACCESS_CONTROL_ADMINISTRATOR, &registry.id());
        change(&mut model);
        let sim = AzureSim::start(model).await.unwrap();
        let client = client(&sim);
        Self { sim, client, registry, cluster, operator }
    }

    pub async fn send(
        &self,
        method: Method,
        url: &str,
        token: Option<&str>,
        body: Option<&Value>,
    ) -> reqwest::Result<Answer> {
        let mut request = self.client.request(method, url);
        if let Some(token) = token {
            request = request.bearer_auth(token);
        }
        if let Some(body) = body {
            request = request.json(body);
        }
        answer(request).await
    }

    /// Calls the token endpoint.
    pub async fn ask_token(&self, tenant: &str, form: &[(&str, &str)]) -> Answer {
        let url = format!("{LOGIN}/{tenant}/oauth2/v2.0/token");
        answer(self.client.post(url).form(form)).await.unwrap()
    }

    /// A token of the operator for ARM.
    pub async fn token(&self) -> String {
        self.token_of(&self.operator, ARM).await
    }

    pub async fn token_of(&self, principal: &Principal, resource: &str) -> String {
        let answer = self
            .ask_token(
                &principal.tenant_id,
                &[
                    ("grant_type", "client_credentials"),
                    ("client_id", principal.client_id.as_deref().unwrap()),
                    ("client_secret", SECRET),
                    ("scope", &format!("{resource}/.default")),
                ],
            )
            .await
            .expect(200);
        answer.json()["access_token"].as_str().unwrap().to_owned()
    }

    /// GET at ARM as the operator; `path` with its query.
    pub async fn get(&self, path: &str) -> Answer {
        self.arm(Method::GET, path, None).await
    }

    pub async fn arm(&self, method: Method, path: &str, body: Option<&Value>) -> Answer {
        let token = self.token().await;
        self.send(method, &format!("{ARM}{path}"), Some(&token), body).await.unwrap()
    }
}

pub async fn answer(request: reqwest::RequestBuilder) -> reqwest::Result<Answer> {
    let response = request.send().await?;
    let (status, headers) = (response.status(), response.headers().clone());
    Ok(Answer { status, headers, text: response.text().await? })
}

/// A client that knows nothing but a proxy and a certificate.
pub fn client(sim: &AzureSim) -> Client {
    let certificate = Certificate::from_pem(sim.ca_pem().as_bytes()).unwrap();
    Client::builder()
        .proxy(Proxy::all(sim.proxy_url()).unwrap())
        .tls_certs_only([certificate])
        .build()
        .unwrap()
}
