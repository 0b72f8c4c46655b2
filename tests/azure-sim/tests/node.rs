//! A node that pulls an image, as recorded of the kubelet's credential provider and containerd.

use azure_sim::{
    Call,
    model::{ACR_PULL, DEFAULT_TENANT, LegacyRoleCheck, Principal},
};
use reqwest::Method;

use crate::{
    backend::{Backend, digest},
    direct::{Direct, USER_AGENT},
    world::{Answer, SECRET, answer},
};

const HOST: &str = "contoso.azurecr.io";
const AZURE_SDK: &str = "azsdk-go-azidentity/v1.8.2 (go1.26.8; linux)";
const REPOSITORY: &str = "/v2/samples/nginx";
const SCOPE: &str = "repository:samples/nginx:pull";
/// The user name for tokens.
const NULL: &str = "00000000-0000-0000-0000-000000000000";

/// What containerd has to show.
type Credential<'a> = Option<(&'a str, &'a str)>;

/// A node with an identity that may nothing, and the registry that it pulls from.
struct Node {
    direct: Direct,
    backend: Backend,
    identity: Principal,
}

impl Node {
    async fn new() -> Self {
        let backend = Backend::start().await;
        let direct = Direct::with(|model| {
            model.registry_mut("contoso").unwrap().content = Some(backend.url.clone());
            model.application("puller").secret(SECRET).add();
            model.managed_identity("kubelet").on_host().add();
        })
        .await;
        let identity = direct.sim.read(|it| it.principals.last().unwrap().clone());
        Self { direct, backend, identity }
    }

    /// Gives the role to pull.
    fn grant(&self, principal: &Principal) {
        let id = self.direct.registry.id();
        self.direct.update(|it| it.assign(principal, ACR_PULL, &id));
    }

    /// The provider asks for a token of the node's identity.
    async fn entra_token(&self, resource: &str) -> String {
        let id = self.identity.client_id.as_deref().unwrap();
        let url = self.direct.instance_metadata(&format!(
            "/metadata/identity/oauth2/token?api-version=2018-02-01&client_id={id}\
             &resource={resource}"
        ));
        let get = self.direct.client.get(url).header("Metadata", "true");
        let body = answer(get.header("User-Agent", AZURE_SDK)).await.unwrap().expect(200).json();
        assert_eq!((&body["token_type"], &body["client_id"]), (&"Bearer".into(), &id.into()));
        assert_eq!(body["expires_in"], "86400");
        body["access_token"].as_str().unwrap().to_owned()
    }

    /// The provider asks for the challenge and exchanges its token.
    async fn exchange(&self, token: &str) -> Answer {
        let ping = self.direct.client.get(format!("https://{HOST}/v2/"));
        let ping = answer(ping.header("User-Agent", USER_AGENT)).await.unwrap().expect(401);
        let challenge = format!("Bearer realm=\"https://{HOST}/oauth2/token\",service=\"{HOST}\"");
        let challenges: Vec<_> = ping.headers.get_all("www-authenticate").iter().collect();
        assert_eq!(challenges, [&challenge]);
        let form = [
            ("service", HOST),
            ("grant_type", "access_token_refresh_token"),
            ("access_token", token),
            ("refresh_token", token),
            ("tenant", DEFAULT_TENANT),
        ];
        let post = self.direct.client.post(format!("https://{HOST}/oauth2/exchange"));
        answer(post.header("User-Agent", USER_AGENT).form(&form)).await.unwrap()
    }

    /// The provider as a whole: the password for containerd.
    async fn provider(&self, resource: &str) -> String {
        let answer = self.exchange(&self.entra_token(resource).await).await.expect(200);
        answer.json()["refresh_token"].as_str().unwrap().to_owned()
    }

    async fn send(&self, method: &Method, path: &str, token: Option<&str>) -> Answer {
        let url = format!("https://{HOST}{path}");
        let request = self.direct.client.request(method.clone(), url);
        let request = match token {
            Some(token) => request.bearer_auth(token),
            None => request,
        };
        answer(request).await.unwrap()
    }

    /// containerd asks for an access token: by POST, then by GET, without a credential by GET alone.
    async fn token(&self, credential: Credential<'_>) -> Answer {
        let url = format!("https://{HOST}/oauth2/token");
        let query = format!("?scope={}&service={HOST}", "repository%3Asamples%2Fnginx%3Apull");
        let get = self.direct.client.get(format!("{url}{query}"));
        let Some((user, password)) = credential else { return answer(get).await.unwrap() };
        let form = [
            ("client_id", "containerd-client"),
            ("grant_type", "password"),
            ("username", user),
            ("password", password),
            ("service", HOST),
            ("scope", SCOPE),
        ];
        answer(self.direct.client.post(&url).form(&form)).await.unwrap().expect(400);
        answer(get.basic_auth(user, Some(password))).await.unwrap()
    }

    /// A request of containerd: refused without a token, then with one.
    async fn authorized(
        &self,
        method: Method,
        path: &str,
        credential: Credential<'_>,
    ) -> Result<Answer, u16> {
        let refused = self.send(&method, path, None).await.expect(401);
        let challenge = refused.header("www-authenticate");
        assert!(challenge.ends_with(&format!(",scope=\"{SCOPE}\"")), "{challenge}");
        let answer = self.token(credential).await;
        if answer.status != 200 {
            return Err(answer.status.as_u16());
        }
        let token = answer.json()["access_token"].as_str().unwrap().to_owned();
        Ok(self.send(&method, path, Some(&token)).await)
    }

    /// A pull of containerd with a credential.
    ///
    /// # Errors
    /// The status of the token endpoint.
    async fn pull(&self, credential: Credential<'_>) -> Result<(), u16> {
        let path = format!("{REPOSITORY}/manifests/v1");
        let head = self.authorized(Method::HEAD, &path, credential).await?.expect(200);
        let digest_of_manifest = head.header("docker-content-digest");
        let path = format!("{REPOSITORY}/manifests/{digest_of_manifest}");
        let manifest = self.authorized(Method::GET, &path, credential).await?.expect(200);
        assert_eq!(digest(manifest.text.as_bytes()), digest_of_manifest);
        let manifest = manifest.json();
        for blob in [&manifest["config"], &manifest["layers"][0]] {
            let wanted = blob["digest"].as_str().unwrap();
            let path = format!("{REPOSITORY}/blobs/{wanted}");
            let answer = self.authorized(Method::GET, &path, credential).await?.expect(200);
            assert_eq!(answer.header("content-length"), blob["size"].to_string());
            assert_eq!(answer.header("docker-content-digest"), wanted);
        }
        Ok(())
    }
}

#[tokio::test]
async fn a_pull_by_the_identity_of_the_node_goes_as_recorded() {
    let node = Node::new().await;
    node.grant(&node.identity);
    let password = node.provider("https%3A%2F%2Fmanagement.core.windows.net").await;
    node.pull(Some((NULL, &password))).await.unwrap();

    let journal = node.direct.sim.journal();
    let provider: Vec<_> = journal
        .iter()
        .filter_map(|it| Some((it.call.unwrap(), it.status.unwrap(), it.user_agent.as_deref()?)))
        .collect();
    assert_eq!(
        provider,
        [
            (Call::InstanceMetadata, 200, AZURE_SDK),
            (Call::RegistryPing, 401, USER_AGENT),
            (Call::RegistryExchange, 200, USER_AGENT),
        ]
    );
    let read = |it: &azure_sim::Entry| it.status == Some(200) && it.path.starts_with(REPOSITORY);
    let read: Vec<_> = journal.iter().filter(|it| read(it)).collect();
    assert!(read.iter().all(|it| it.principal.as_ref() == Some(&node.identity.object_id)));
    let calls: Vec<_> = read.iter().map(|it| it.call.unwrap()).collect();
    let (manifest, blob) = (Call::RegistryManifest, Call::RegistryBlob);
    assert_eq!(calls, [manifest, manifest, blob, blob]);
    assert_eq!(node.backend.asked().len(), 4);
    assert!(journal.iter().all(|it| it.known));
}

#[tokio::test]
async fn newer_providers_ask_for_the_registrys_own_audience() {
    let node = Node::new().await;
    node.grant(&node.identity);
    let password = node.provider("https%3A%2F%2Fcontainerregistry.azure.net").await;
    node.pull(Some((NULL, &password))).await.unwrap();
}

#[tokio::test]
async fn without_a_role_the_provider_is_refused_and_so_is_the_anonymous_pull() {
    let node = Node::new().await;
    let token = node.entra_token("https%3A%2F%2Fmanagement.core.windows.net").await;
    node.exchange(&token).await.expect(401);
    assert_eq!(node.pull(None).await, Err(401));
    node.grant(&node.identity);
    node.exchange(&token).await.expect(200);
    assert_eq!(node.pull(None).await, Err(401));
}

#[tokio::test]
async fn a_missing_role_can_show_at_the_token_instead() {
    let node = Node::new().await;
    node.direct.update(|it| it.settings.legacy_role_check = LegacyRoleCheck::Token);
    let password = node.provider("https%3A%2F%2Fmanagement.core.windows.net").await;
    assert_eq!(node.pull(Some((NULL, &password))).await, Err(401));
    node.grant(&node.identity);
    node.pull(Some((NULL, &password))).await.unwrap();
}

#[tokio::test]
async fn a_pull_by_secret_goes_as_recorded() {
    let node = Node::new().await;
    let puller = node
        .direct
        .sim
        .read(|it| it.principals.iter().find(|it| it.display_name == "puller").unwrap().clone());
    let id = puller.client_id.as_deref().unwrap();
    assert_eq!(node.pull(Some((id, SECRET))).await, Err(401));
    node.grant(&puller);
    node.pull(Some((id, SECRET))).await.unwrap();
    assert_eq!(node.pull(Some((id, "wrong"))).await, Err(401));
    assert!(node.direct.sim.journal().iter().all(|it| it.user_agent.is_none()));
}
