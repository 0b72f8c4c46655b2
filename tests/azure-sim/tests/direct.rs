//! Hosts that clients without a proxy come to.

use std::net::SocketAddr;

use azure_sim::{
    AzureSim, Model, Options,
    model::{NetworkDefaultAction, Registry},
};
use reqwest::{Certificate, Client};

use crate::world::{ARM, LOGIN, TENANT, answer};

/// What the kubelet's credential provider for this registry says it is.
pub const USER_AGENT: &str = "kubernetes-credentialprovider-acr";

/// A registry, and a client whose names lead to the simulator.
pub struct Direct {
    pub sim: AzureSim,
    pub client: Client,
    pub registry: Registry,
}

impl Direct {
    /// `change` is given the model before it starts.
    pub async fn with(change: impl FnOnce(&mut Model)) -> Self {
        let mut model = Model::default_tenant();
        let registry = model.registry("contoso").add();
        change(&mut model);
        let any = Some(SocketAddr::from(([127, 0, 0, 1], 0)));
        let options = Options { direct: any, instance_metadata: any, ..Options::default() };
        let sim = AzureSim::start_with(model, options).await.unwrap();
        let client = client(&sim);
        Self { sim, client, registry }
    }

    pub fn update<T>(&self, change: impl FnOnce(&mut Model) -> T) -> T {
        self.sim.update(change)
    }

    /// A path of instance metadata, as a client on the host has it.
    pub fn instance_metadata(&self, path: &str) -> String {
        format!("http://{}{path}", self.sim.instance_metadata_address().unwrap())
    }
}

fn client(sim: &AzureSim) -> Client {
    let certificate = Certificate::from_pem(sim.ca_pem().as_bytes()).unwrap();
    let names = [
        "login.microsoftonline.com",
        "management.azure.com",
        "graph.microsoft.com",
        "contoso.azurecr.io",
        "fabrikam.azurecr.io",
        "contoso.azurecr.us",
        "example.com",
    ];
    let client = Client::builder().no_proxy().tls_certs_only([certificate]);
    let address = sim.direct_address().unwrap();
    names.iter().fold(client, |client, name| client.resolve(name, address)).build().unwrap()
}

#[tokio::test]
async fn every_host_is_told_by_its_name() {
    let direct = Direct::with(|_| {}).await;
    for (url, status) in [
        (format!("{LOGIN}/{TENANT}/oauth2/v2.0/token"), 404),
        (format!("{ARM}{}?api-version=2025-11-01", direct.registry.id()), 401),
        ("https://graph.microsoft.com/v1.0/servicePrincipals(appId='a')".into(), 401),
        ("https://contoso.azurecr.io/v2/".into(), 401),
    ] {
        let get = direct.client.get(&url).header("User-Agent", USER_AGENT);
        answer(get).await.unwrap().expect(status);
        let entry = direct.sim.journal().pop().unwrap();
        assert_eq!(entry.user_agent.as_deref(), Some(USER_AGENT), "{url}");
        let host = url.split('/').nth(2).unwrap();
        assert_eq!((&*entry.host, entry.status), (host, Some(status)));
    }
}

#[tokio::test]
async fn a_host_that_the_model_does_not_know_is_refused_in_the_handshake() {
    let direct = Direct::with(|_| {}).await;
    for (host, known, code) in [
        ("example.com", false, "UnknownHost"),
        ("contoso.azurecr.us", false, "UnknownHost"),
        ("fabrikam.azurecr.io", true, "HostNotFound"),
    ] {
        let error = direct.client.get(format!("https://{host}/v2/")).send().await.unwrap_err();
        let error = format!("{error:?}");
        assert!(error.contains("AlertReceived(UnrecognisedName)"), "{error}");
        let entry = direct.sim.journal().pop().unwrap();
        assert_eq!((&*entry.method, &*entry.host, entry.known), ("CONNECT", host, known));
        assert_eq!((entry.code.as_deref(), entry.status), (Some(code), None));
        assert_eq!((entry.path.as_str(), entry.user_agent), ("", None));
    }
    direct.update(|it| it.registry("fabrikam").add());
    let get = direct.client.get("https://fabrikam.azurecr.io/v2/");
    answer(get).await.unwrap().expect(401);
}

#[tokio::test]
async fn a_client_that_names_no_host_is_refused() {
    let direct = Direct::with(|_| {}).await;
    let url = format!("https://{}/v2/", direct.sim.direct_address().unwrap());
    direct.client.get(url).send().await.unwrap_err();
    let entry = direct.sim.journal().pop().unwrap();
    assert_eq!((&*entry.host, entry.code.as_deref()), ("", Some("UnknownHost")));
}

#[tokio::test]
async fn a_connection_outlives_its_registry() {
    let direct = Direct::with(|_| {}).await;
    let get = || answer(direct.client.get("https://contoso.azurecr.io/v2/"));
    get().await.unwrap().expect(401);
    direct.update(|it| it.remove_resource(&direct.registry.id()));
    get().await.unwrap().expect(404);
}

#[tokio::test]
async fn the_firewall_sees_the_address_of_the_connection() {
    let direct = Direct::with(|_| {}).await;
    let rules = |action, rules: &[&str]| {
        direct.update(|it| {
            let rule_set = &mut it.registry_mut("contoso").unwrap().network_rule_set;
            rule_set.default_action = action;
            rule_set.ip_rules = rules.iter().map(|it| (*it).into()).collect();
        });
    };
    let token = "https://contoso.azurecr.io/oauth2/token?service=contoso.azurecr.io";
    let get = || answer(direct.client.get(token));
    rules(NetworkDefaultAction::Deny, &["203.0.113.7"]);
    let error = get().await.unwrap().expect(403).json()["errors"][0].clone();
    assert_eq!(error["code"], "DENIED");
    assert_eq!(
        error["message"],
        "client with IP '127.0.0.1' is not allowed access. Refer https://aka.ms/acr/firewall to \
         grant access."
    );
    rules(NetworkDefaultAction::Deny, &["127.0.0.1"]);
    get().await.unwrap().expect(401);
    direct.update(|it| it.settings.client_address = Some("198.51.100.1".parse().unwrap()));
    let text = get().await.unwrap().expect(403).text;
    assert!(text.contains("'198.51.100.1'"), "{text}");
}

#[tokio::test]
async fn instance_metadata_has_an_address_of_its_own() {
    let direct = Direct::with(|it| {
        it.managed_identity("on-host").on_host().add();
    })
    .await;
    let get = |path: &str| {
        let url = direct.instance_metadata(path);
        answer(direct.client.get(url).header("Metadata", "true"))
    };
    let query = "api-version=2018-02-01&resource=https%3A%2F%2Fmanagement.azure.com";
    get(&format!("/metadata/identity/oauth2/token?{query}")).await.unwrap().expect(200);
    get("/metadata/instance?api-version=2021-02-01").await.unwrap().expect(404);
    get("/v2/").await.unwrap().expect(404);
    let entries = direct.sim.journal();
    let seen: Vec<_> = entries.iter().map(|it| (&*it.host, it.known)).collect();
    let host = "169.254.169.254";
    assert_eq!(seen, [(host, true), (host, false), (host, false)]);
    assert!(entries.iter().all(|it| it.user_agent.is_none()));
}

#[tokio::test]
async fn there_is_no_such_address_unless_it_is_asked_for() {
    let sim = AzureSim::start(Model::default()).await.unwrap();
    assert_eq!((sim.direct_address(), sim.instance_metadata_address()), (None, None));
}
