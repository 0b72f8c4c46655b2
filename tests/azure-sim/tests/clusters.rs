//! Managed clusters and their node resource groups as ARM shows them.

use azure_sim::{
    Model,
    model::{AgentPool, DEFAULT_SUBSCRIPTION, READER, ServiceAccountImagePull},
};
use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    resources::get,
    world::{ARM, TENANT, World},
};

fn list_of(subscription: &str) -> String {
    format!("/subscriptions/{subscription}/providers/Microsoft.ContainerService/managedClusters")
}

#[tokio::test]
async fn a_cluster_has_the_quirks_of_the_real_one() {
    let world = World::with(|model| {
        model.cluster_mut("prod").unwrap().agent_pools[0].provisioning_state = "Upgrading".into();
    })
    .await;
    let path = world.cluster.id().replace("resourcegroups", "resourceGroups");
    let answer = world.get(&format!("{path}?api-version=2025-02-01")).await.expect(200);
    assert_eq!(answer.header("content-type"), "application/json");
    assert!(answer.text.starts_with("{\n  \""), "{}", answer.text);
    let body = answer.json();
    assert!(body["id"].as_str().unwrap().contains("/resourcegroups/rg/"));
    assert_eq!(body["type"], "Microsoft.ContainerService/ManagedClusters");
    let properties = &body["properties"];
    assert_eq!(properties["servicePrincipalProfile"]["clientId"], "msi");
    assert_eq!(properties["nodeResourceGroup"], "MC_rg_prod_eastus");
    assert_eq!(properties["agentPoolProfiles"][0]["provisioningState"], "Upgrading");
    let kubelet = world.cluster.kubelet_identity.as_ref().unwrap();
    assert_eq!(properties["identityProfile"]["kubeletidentity"]["objectId"], kubelet.object_id);
    assert_ne!(body["identity"]["principalId"], kubelet.object_id.as_str());
    assert_eq!(properties["securityProfile"], json!({}));
}

#[tokio::test]
async fn clusters_come_in_other_kinds() {
    let world = World::with(|model| {
        let app = "aaaaaaaa-0000-4000-8000-000000000001";
        model.cluster("old").service_principal(app).add();
        model
            .cluster("new")
            .kubelet_identity("bbbbbbbb-0000-4000-8000-000000000001")
            .agent_pools(&["a", "b"])
            .with(|it| it.oidc_issuer_url = Some("https://oidc.example/".into()))
            .add();
    })
    .await;
    let list = get(&world, &list_of(DEFAULT_SUBSCRIPTION), "2025-10-01").await;
    let [_, old, new] = list["value"].as_array().unwrap().as_slice() else {
        panic!("not three clusters: {list}")
    };
    assert_eq!(
        old["properties"]["servicePrincipalProfile"]["clientId"],
        "aaaaaaaa-0000-4000-8000-000000000001"
    );
    assert_eq!(old["properties"].get("identityProfile"), None);
    assert_eq!(old.get("identity"), None);
    let properties = &new["properties"];
    assert_eq!(properties["agentPoolProfiles"].as_array().unwrap().len(), 2);
    assert_eq!(properties["oidcIssuerProfile"]["issuerURL"], "https://oidc.example/");
    assert_eq!(
        properties["identityProfile"]["kubeletidentity"]["objectId"],
        "bbbbbbbb-0000-4000-8000-000000000001"
    );
}

#[tokio::test]
async fn a_node_resource_group_names_its_cluster() {
    let world = World::new().await;
    let path = format!("/subscriptions/{DEFAULT_SUBSCRIPTION}/resourceGroups");
    let body = get(&world, &format!("{path}/mc_RG_prod_eastus"), "2021-04-01").await;
    assert_eq!(body["managedBy"], world.cluster.id());
    assert_eq!(body["tags"]["aks-managed-cluster-name"], "prod");
    assert_eq!(body["tags"]["aks-managed-cluster-rg"], "rg");
    let body = get(&world, &format!("{path}/rg"), "2021-04-01").await;
    assert_eq!((body.get("managedBy"), &body["name"]), (None, &json!("rg")));
    world
        .get(&format!("{path}/none?api-version=2021-04-01"))
        .await
        .expect_error(404, "ResourceGroupNotFound");
}

#[tokio::test]
async fn image_pull_by_service_accounts_is_shown_by_new_previews_alone() {
    let world = World::with(|model| {
        model.cluster_mut("prod").unwrap().service_account_image_pull =
            Some(ServiceAccountImagePull { enabled: true, default_managed_identity_id: None });
    })
    .await;
    let profile = json!({"serviceAccountImagePullProfile": {"enabled": true}});
    for (version, expected) in [
        ("2025-10-01", json!({})),
        ("2025-10-02-preview", json!({})),
        ("2026-01-02-preview", profile.clone()),
        ("2026-06-01", json!({})),
        ("2026-06-02-preview", profile),
    ] {
        let body = get(&world, &world.cluster.id(), version).await;
        assert_eq!(body["properties"]["securityProfile"], expected, "{version}");
    }
}

impl World {
    /// The object ids that the nodes of `prod` pull with.
    fn identities_in_use(&self) -> String {
        let of = |model: &Model| {
            model.find_cluster("prod").unwrap().kubelet_identities_in_use().join(",")
        };
        self.sim.read(of)
    }

    /// The states of `prod` and its node pools.
    async fn states(&self) -> Vec<String> {
        let body = get(self, &self.cluster.id(), "2025-10-01").await;
        let pools = body["properties"]["agentPoolProfiles"].as_array().unwrap();
        let state = |it: &Value| it["provisioningState"].as_str().unwrap().to_owned();
        [state(&body["properties"])].into_iter().chain(pools.iter().map(state)).collect()
    }
}

#[tokio::test]
async fn another_kubelet_identity_is_shown_at_once_and_used_pool_by_pool() {
    let other = "bbbbbbbb-0000-4000-8000-000000000002";
    let world = World::with(|it| {
        let second = AgentPool { name: "second".into(), ..AgentPool::default() };
        it.cluster_mut("prod").unwrap().agent_pools.push(second);
    })
    .await;
    let old = world.cluster.kubelet_identity.clone().unwrap();
    let former = world.sim.update(|it| it.replace_kubelet_identity("prod", other));
    assert_eq!(former.as_ref(), Some(&old));
    let body = get(&world, &world.cluster.id(), "2025-10-01").await;
    let shown = &body["properties"]["identityProfile"]["kubeletidentity"];
    assert_eq!(shown["objectId"], other);
    assert_ne!(shown["resourceId"], old.resource_id);
    assert_eq!(world.states().await, ["Updating", "Upgrading", "Upgrading"]);
    assert_eq!(world.identities_in_use(), old.object_id);
    assert_eq!(world.sim.read(|it| it.principal(other).unwrap().tenant_id.clone()), TENANT);

    world.sim.update(|it| it.reimage_agent_pool("prod", "second"));
    assert_eq!(world.states().await, ["Updating", "Upgrading", "Succeeded"]);
    let mut both = [&*old.object_id, other];
    both.sort_unstable();
    assert_eq!(world.identities_in_use(), both.join(","));
    world.sim.update(|it| it.reimage_agent_pool("prod", "agentpool1"));
    assert_eq!(world.states().await, ["Succeeded"; 3]);
    assert_eq!(world.identities_in_use(), other);
}

#[tokio::test]
async fn clusters_of_a_subscription_come_in_pages() {
    let second = "50000000-0000-4000-8000-00000000000b";
    let world = World::with(|model| {
        model.settings.page_size = 1;
        model.add_subscription(second, TENANT);
        model.cluster("a").within(second, "one").add();
        model.cluster("b").within(second, "two").add();
    })
    .await;
    world.sim.update(|it| it.assign_id(&world.operator.object_id, READER, "/"));
    let token = world.token().await;
    let mut url = format!("{ARM}{}?api-version=2025-10-01", list_of(second));
    let mut groups = Vec::new();
    loop {
        let page = world.send(Method::GET, &url, Some(&token), None).await.unwrap().expect(200);
        let page = page.json();
        let group = |it: &Value| it["properties"]["nodeResourceGroup"].as_str().unwrap().to_owned();
        groups.extend(page["value"].as_array().unwrap().iter().map(group));
        let Some(next) = page["nextLink"].as_str() else { break };
        assert!(next.contains("%24skiptoken="), "{next}");
        next.clone_into(&mut url);
    }
    assert_eq!(groups, ["MC_one_a_eastus", "MC_two_b_eastus"]);
    let group = format!("/subscriptions/{second}/resourceGroups/MC_two_b_eastus");
    let body = get(&world, &group, "2021-04-01").await;
    let cluster = format!(
        "/subscriptions/{second}/resourcegroups/two/providers/Microsoft.ContainerService/managedClusters/b"
    );
    assert_eq!(body["managedBy"], cluster);
}
