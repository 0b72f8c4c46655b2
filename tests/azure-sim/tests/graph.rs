//! Microsoft Graph: who may look up a service principal, and what they see.

use azure_sim::{
    AzureSim, Call, Fault, Model,
    model::{APPLICATION_READ_ALL, Cloud, Principal, PrincipalType},
};
use reqwest::Method;
use serde_json::{Value, json};

use crate::world::{ARM, Answer, SECRET, World, answer, client};

const GRAPH: &str = "https://graph.microsoft.com";

/// A service principal that others look for.
fn target(world: &World) -> (String, String) {
    let app = world.sim.read(|it| it.principals.last().unwrap().clone());
    (app.client_id.unwrap(), app.object_id)
}

impl World {
    /// The operator may read service principals, and there is one to find.
    async fn with_reader() -> Self {
        let world = Self::with(|model| {
            model.application("aks-sp").secret(SECRET).add();
        })
        .await;
        world.grant_app_role(APPLICATION_READ_ALL);
        world
    }

    fn grant_app_role(&self, name: &str) {
        let id = &self.operator.object_id;
        self.sim.update(|it| it.principal_mut(id).unwrap().app_roles = vec![name.into()]);
    }

    async fn graph_as(&self, principal: &Principal, path: &str) -> Answer {
        let token = self.token_of(principal, GRAPH).await;
        self.graph_with(Some(&token), path).await
    }

    async fn graph_with(&self, token: Option<&str>, path: &str) -> Answer {
        self.send(Method::GET, &format!("{GRAPH}/v1.0/{path}"), token, None).await.unwrap()
    }

    async fn graph(&self, path: &str) -> Answer {
        self.graph_as(&self.operator, path).await
    }
}

fn by_name(app_id: &str) -> String {
    format!("servicePrincipals?$filter=servicePrincipalNames/any(c:c%20eq%20'{app_id}')")
}

#[tokio::test]
async fn an_application_id_leads_to_an_object_id_in_three_ways() {
    let world = World::with_reader().await;
    let (app_id, object_id) = target(&world);
    let context = "https://graph.microsoft.com/v1.0/$metadata#servicePrincipals";

    let found = world.graph(&by_name(&app_id.to_uppercase())).await.expect(200);
    assert!(found.header("content-type").starts_with("application/json;odata.metadata=minimal;"));
    assert_eq!((found.header("odata-version"), found.header("request-id").len()), ("4.0", 36));
    let body = found.json();
    assert_eq!(
        (&body["@odata.context"], &body["value"][0]["id"]),
        (&json!(context), &json!(object_id))
    );
    assert_eq!(body["value"][0]["servicePrincipalNames"], json!([app_id]));
    assert_eq!(body["value"][0]["servicePrincipalType"], "Application");

    let path = format!("servicePrincipals?$filter=appId+eq+'{app_id}'&$select=id");
    let body = world.graph(&path).await.expect(200).json();
    let value = json!([{"id": object_id}]);
    assert_eq!(body, json!({"@odata.context": format!("{context}(id)"), "value": value}));

    let path = format!("servicePrincipals(appId='{app_id}')?$select=id,displayName");
    let body = world.graph(&path).await.expect(200).json();
    let context = format!("{context}(id,displayName)/$entity");
    let expected = json!({"@odata.context": context, "id": object_id, "displayName": "aks-sp"});
    assert_eq!(body, expected);

    let calls: Vec<_> = world.sim.journal().iter().filter_map(|it| it.call).collect();
    assert!(
        calls.contains(&Call::ListServicePrincipals) && calls.contains(&Call::GetServicePrincipal)
    );
    assert!(world.sim.journal().iter().all(|it| it.known));
}

#[tokio::test]
async fn what_is_not_there_is_an_empty_list_or_404() {
    let world = World::with_reader().await;
    let missing = "99999999-0000-4000-8000-000000000000";
    let body = world.graph(&by_name(missing)).await.expect(200).json();
    assert_eq!(body["value"], json!([]));
    let answer = world.graph(&format!("servicePrincipals(appId='{missing}')")).await;
    let inner = answer.json()["error"]["innerError"].clone();
    assert_eq!(inner["request-id"], answer.header("request-id"));
    assert_eq!(inner["date"].as_str().unwrap().len(), "2022-03-17T16:05:41".len());
    let message = answer.expect_error(404, "Request_ResourceNotFound");
    assert!(message.starts_with(&format!("Resource '{missing}' does not exist or one of")));
}

#[tokio::test]
async fn a_directory_holds_its_own_service_principals_and_no_people() {
    let other = "7e000000-0000-4000-8000-00000000000f";
    let world = World::with_reader().await;
    let (guest, person) = world.sim.update(|model| {
        model.add_tenant(other);
        let person = model.application("ann").with(|it| it.principal_type = PrincipalType::User);
        let person = person.add().client_id.unwrap();
        (model.application("guest").tenant(other).add().client_id.unwrap(), person)
    });
    for app_id in [guest, person] {
        let body = world.graph(&by_name(&app_id)).await.expect(200).json();
        assert_eq!(body["value"], json!([]));
    }
    let kubelet = world.cluster.kubelet_identity.as_ref().unwrap();
    let body = world.graph(&by_name(&kubelet.client_id)).await.expect(200).json();
    assert_eq!(body["value"][0]["servicePrincipalType"], "ManagedIdentity");
    assert_eq!(body["value"][0]["id"], kubelet.object_id);
}

#[tokio::test]
async fn reading_needs_an_app_role_that_the_token_carries() {
    let world = World::with_reader().await;
    let (app_id, _) = target(&world);
    let paths = [by_name(&app_id), format!("servicePrincipals(appId='{app_id}')")];
    for (role, status) in [
        ("Application.Read.All", 200),
        ("Application.ReadWrite.OwnedBy", 200),
        ("Directory.Read.All", 200),
        ("User.Read.All", 403),
    ] {
        world.grant_app_role(role);
        for path in &paths {
            world.graph(path).await.expect(status);
        }
    }
    let old = world.token_of(&world.operator, GRAPH).await;
    world.grant_app_role(APPLICATION_READ_ALL);
    let message = world
        .graph_with(Some(&old), &paths[0])
        .await
        .expect_error(403, "Authorization_RequestDenied");
    assert_eq!(message, "Insufficient privileges to complete the operation.");
    world.graph(&paths[0]).await.expect(200);
}

#[tokio::test]
async fn app_roles_are_in_tokens_for_graph_alone() {
    let world = World::with_reader().await;
    let roles = |token: String| {
        let claims: Value = jsonwebtoken::dangerous::insecure_decode_claims(token).unwrap();
        claims.get("roles").cloned()
    };
    let graph = world.token_of(&world.operator, GRAPH).await;
    assert_eq!(roles(graph), Some(json!([APPLICATION_READ_ALL])));
    assert_eq!(roles(world.token().await), None);
}

#[tokio::test]
async fn a_service_principal_may_look_at_itself() {
    let world = World::with_reader().await;
    let app = world.sim.read(|it| it.principals.last().unwrap().clone());
    let own =
        format!("servicePrincipals(appId='{}')?$select=id", app.client_id.as_deref().unwrap());
    let body = world.graph_as(&app, &own).await.expect(200).json();
    assert_eq!(body["id"], app.object_id);
    let operator = world.operator.client_id.as_deref().unwrap();
    for path in [format!("servicePrincipals(appId='{operator}')"), by_name(operator)] {
        world.graph_as(&app, &path).await.expect_error(403, "Authorization_RequestDenied");
    }
}

#[tokio::test]
async fn tokens_have_to_be_good_and_for_graph() {
    let world = World::with_reader().await;
    let path = by_name(&target(&world).0);
    let good = world.token_of(&world.operator, GRAPH).await;
    world.graph_with(Some(&good), &path).await.expect(200);
    let arm = world.token_of(&world.operator, ARM).await;
    for (token, text) in [
        (None, "Access token is empty."),
        (Some("made.up.token"), "CompactToken parsing failed with error code: 80049217"),
        (Some(&*arm), "Access token validation failure. Invalid audience."),
    ] {
        let answer = world.graph_with(token, &path).await;
        assert!(
            answer.header("www-authenticate").starts_with("Bearer realm=\"\", authorization_uri")
        );
        assert_eq!(answer.expect_error(401, "InvalidAuthenticationToken"), text);
    }
    world.sim.expire_tokens();
    let answer = world.graph_with(Some(&good), &path).await;
    let message = answer.expect_error(401, "InvalidAuthenticationToken");
    assert_eq!(message, "Lifetime validation failed, the token is expired.");
}

#[tokio::test]
async fn what_graph_does_not_understand_is_400() {
    let world = World::with_reader().await;
    let (app_id, _) = target(&world);
    for (path, code) in [
        ("servicePrincipals?$filter=appId%20eq%20'msi'".to_owned(), "Request_UnsupportedQuery"),
        ("servicePrincipals?$filter=nonsense".to_owned(), "BadRequest"),
        (format!("servicePrincipals(appId='{app_id}')?$select=objectId"), "BadRequest"),
    ] {
        world.graph(&path).await.expect_error(400, code);
        assert!(world.sim.journal().pop().unwrap().known, "{path}");
    }
    for path in ["servicePrincipals", "applications?$filter=x", "users"] {
        world.graph(path).await.expect_error(400, "BadRequest");
        assert!(!world.sim.journal().pop().unwrap().known, "{path}");
    }
}

#[tokio::test]
async fn faults_have_the_shape_of_graph() {
    let world = World::with_reader().await;
    let path = by_name(&target(&world).0);
    world.sim.fault(Fault::throttled(Call::ListServicePrincipals, 17).once());
    let answer = world.graph(&path).await;
    assert_eq!(answer.header("retry-after"), "17");
    assert_eq!(answer.json()["error"]["innerError"]["request-id"], answer.header("request-id"));
    answer.expect_error(429, "TooManyRequests");
    world.graph(&path).await.expect(200);
}

#[tokio::test]
async fn each_cloud_has_a_graph_of_its_own() {
    for (cloud, graph) in [
        (Cloud::Public, "graph.microsoft.com"),
        (Cloud::UsGovernment, "graph.microsoft.us"),
        (Cloud::China, "microsoftgraph.chinacloudapi.cn"),
    ] {
        let mut model = Model::default_tenant();
        model.settings.cloud = cloud;
        let app = model.application("app").secret("s").app_role(APPLICATION_READ_ALL).add();
        let sim = AzureSim::start(model).await.unwrap();
        assert_eq!(cloud.graph_host(), graph);
        let client = client(&sim);
        let login = cloud.authority_host();
        let url = format!("https://{login}/{}/oauth2/v2.0/token", app.tenant_id);
        let (client_id, scope) = (app.client_id.unwrap(), format!("https://{graph}/.default"));
        let form = [
            ("grant_type", "client_credentials"),
            ("client_id", &*client_id),
            ("client_secret", "s"),
            ("scope", &*scope),
        ];
        let token = answer(client.post(url).form(&form)).await.unwrap().expect(200).json();
        let url = format!("https://{graph}/v1.0/{}", by_name(&client_id));
        let get = client.get(url).bearer_auth(token["access_token"].as_str().unwrap());
        let body = answer(get).await.unwrap().expect(200).json();
        assert_eq!(body["value"][0]["id"], app.object_id);
        let context = body["@odata.context"].as_str().unwrap();
        assert!(context.starts_with(&format!("https://{graph}/v1.0/")), "{context}");
    }
}
