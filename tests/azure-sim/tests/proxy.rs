//! The proxy itself: hosts, clouds, certificates, isolation.

use azure_sim::{AzureSim, Model, model::Cloud};
use reqwest::{Client, Proxy};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::world::{World, answer, client};

#[tokio::test]
async fn hosts_that_are_not_azure_are_refused_and_noted() {
    let world = World::new().await;
    for (url, host) in [
        ("https://contoso.azurecr.io:8443/v2/", "contoso.azurecr.io"),
        ("https://contoso.azurecr.us/v2/", "contoso.azurecr.us"),
        ("https://contosoazurecr.io/v2/", "contosoazurecr.io"),
        ("https://example.com/", "example.com"),
        ("https://management.azure.com:8443/", "management.azure.com"),
        ("https://management.usgovcloudapi.net/", "management.usgovcloudapi.net"),
    ] {
        world.client.get(url).send().await.unwrap_err();
        let entry = world.sim.journal().pop().unwrap();
        assert_eq!((&*entry.method, &*entry.host, entry.known), ("CONNECT", host, false));
        assert_eq!(entry.status, Some(403));
    }
    let plain = world.client.get("http://example.com/secret");
    answer(plain).await.unwrap().expect(403);
    assert_eq!(world.sim.journal().pop().unwrap().host, "example.com");
}

#[tokio::test]
async fn each_cloud_has_its_own_hosts() {
    for (cloud, login, arm) in [
        (Cloud::Public, "login.microsoftonline.com", "management.azure.com"),
        (Cloud::UsGovernment, "login.microsoftonline.us", "management.usgovcloudapi.net"),
        (Cloud::China, "login.chinacloudapi.cn", "management.chinacloudapi.cn"),
    ] {
        let mut model = Model::default_tenant();
        model.settings.cloud = cloud;
        let app = model.application("app").secret("s").add();
        model.assign(&app, azure_sim::model::READER, "/");
        let registry = model.registry("contoso").add();
        let sim = AzureSim::start(model).await.unwrap();
        assert!(registry.login_server.ends_with(cloud.acr_suffix()));

        let client = client(&sim);
        let url = format!("https://{login}/{}/oauth2/v2.0/token", app.tenant_id);
        let scope = format!("https://{arm}/.default");
        let form = [
            ("grant_type", "client_credentials"),
            ("client_id", app.client_id.as_deref().unwrap()),
            ("client_secret", "s"),
            ("scope", &scope),
        ];
        let token = answer(client.post(url).form(&form)).await.unwrap().expect(200).json();
        let url = format!("https://{arm}{}?api-version=2025-11-01", registry.id());
        let get = client.get(url).bearer_auth(token["access_token"].as_str().unwrap());
        answer(get).await.unwrap().expect(200);
    }
}

#[tokio::test]
async fn a_client_that_does_not_trust_the_certificate_gets_nowhere() {
    let world = World::new().await;
    let proxy = Proxy::all(world.sim.proxy_url()).unwrap();
    let other = AzureSim::start(Model::default()).await.unwrap();
    let certificate = reqwest::Certificate::from_pem(other.ca_pem().as_bytes()).unwrap();
    let stranger = Client::builder().proxy(proxy).tls_certs_only([certificate]).build().unwrap();
    stranger.get("https://management.azure.com/").send().await.unwrap_err();
    assert!(world.sim.journal().is_empty());
}

#[tokio::test]
async fn simulators_in_one_process_do_not_see_each_other() {
    let (one, two) = (World::new().await, World::new().await);
    let token = one.token().await;
    let url = format!("https://management.azure.com{}?api-version=2025-11-01", two.registry.id());
    let answer = two.send(reqwest::Method::GET, &url, Some(&token), None).await.unwrap();
    answer.expect_error(401, "InvalidAuthenticationToken");
    assert_eq!((one.sim.journal().len(), two.sim.journal().len()), (1, 1));
}

#[tokio::test]
async fn a_connection_is_kept_for_further_requests() {
    let world = World::new().await;
    let address = world.sim.proxy_url().trim_start_matches("http://").to_owned();
    let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
    let request = "GET http://169.254.169.254/metadata/x HTTP/1.1\r\nHost: 169.254.169.254\r\n\r\n";
    for _ in 0..3 {
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut buffer = [0; 4_096];
        let length = stream.read(&mut buffer).await.unwrap();
        let text = String::from_utf8_lossy(&buffer[..length]);
        assert!(text.starts_with("HTTP/1.1 404"), "{text}");
    }
}

#[tokio::test]
async fn everything_ends_when_the_simulator_is_dropped() {
    let world = World::new().await;
    world.token().await;
    let World { sim, client, .. } = world;
    drop(sim);
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(60);
    while client.get("https://management.azure.com/").send().await.is_ok() {
        assert!(std::time::Instant::now() < deadline, "still answering");
    }
}

#[tokio::test]
async fn a_body_beyond_the_limit_is_refused() {
    let world = World::new().await;
    let token = world.token().await;
    let url = format!(
        "https://management.azure.com{}",
        crate::role_assignments::path(&world.registry.id(), "00000000-0000-4000-8000-000000000001")
    );
    let put = world.client.put(url).bearer_auth(token).body(vec![b' '; (1 << 20) + 1]);
    answer(put).await.unwrap().expect_error(413, "RequestTooLarge");
}
