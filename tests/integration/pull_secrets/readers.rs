//! Whoever pulls with a pull secret, at any instant, gets the image: through renewals, new
//! client secrets, switches of method and form, and restarts.

use acr_attach::settings::Settings;
use azure_sim::Model;
use azure_sim::model::{ClientSecret, Repository, Tag};
use futures::future::join_all;
use jiff::SignedDuration;
use serde_json::{Value, json};

use crate::support::World;
use crate::support::reader::{REPOSITORY, TAG};
use crate::support::secrets::{CLIENT_SECRET, login};

/// How long the registry's tokens live, in seconds. Half of it leaves a busy machine time to renew one
/// before it ends.
const LIFE: u32 = 30;
const NEW_SECRET: &str = "marker-second-client-secret-of-the-puller";

fn with_image(azure: &mut Model) {
    azure.settings.token_lifetimes.registry_refresh = LIFE;
    let id = azure.find_registry("contoso").unwrap().id();
    let tags = vec![Tag { name: TAG.into(), ..Tag::default() }];
    let repository = Repository { name: REPOSITORY.into(), tags };
    azure.registry_mut(&id).unwrap().repositories.push(repository);
}

async fn world(settings: impl FnOnce(&mut Settings)) -> World {
    let world = World::with_pull_secrets(settings).await;
    world.azure.update(with_image);
    world
}

/// An attachment of that many namespaces, Ready.
async fn attached(
    world: &World,
    count: usize,
    change: impl FnOnce(&mut Value),
) -> (Vec<String>, Value) {
    let names: Vec<_> = (0..count).map(|n| format!("n{n}")).collect();
    let made = names.iter().map(|name| world.namespace_with(name, json!({})));
    let namespaces = join_all(made).await;
    let mut spec = world.pull_spec(&json!({"names": namespaces}));
    change(&mut spec);
    world.apply("a", spec.clone()).await;
    world.until_ready("a").await;
    (namespaces, spec)
}

/// Waits until all namespaces have another credential than that.
async fn until_others(world: &World, namespaces: &[String], before: &(String, String)) {
    for namespace in namespaces {
        let what = format!("another credential in {namespace}");
        world
            .until(&what, || async {
                let found = world.secrets(namespace).get("acr-pull").await.unwrap();
                (login(&found) != *before).then_some(())
            })
            .await;
    }
}

async fn credential(world: &World, namespace: &str) -> (String, String) {
    login(&world.until_secret(namespace, "acr-pull").await)
}

/// Of that many namespaces, with tokens that live so many seconds.
async fn through_renewals(count: usize, life: u32) {
    let world = world(|_| {}).await;
    world.azure.update(|azure| azure.settings.token_lifetimes.registry_refresh = life);
    let (namespaces, _) = attached(&world, count, |_| {}).await;
    let reader = world.reader("a", &namespaces).await;
    reader
        .during(async {
            for _ in 0..3 {
                let before = credential(&world, &namespaces[0]).await;
                until_others(&world, &namespaces, &before).await;
            }
        })
        .await;
    assert!(reader.pulls() > 10, "only {} pulls", reader.pulls());
}

#[tokio::test]
async fn through_renewals_of_a_dozen() {
    through_renewals(12, LIFE).await;
}

/// As short as that leaves the operator a second, which it has only where nothing else runs.
#[tokio::test]
#[ignore = "needs the machine for itself: make soak"]
async fn through_quick_renewals_of_a_dozen() {
    through_renewals(12, 4).await;
}

#[tokio::test]
#[ignore = "needs the machine for itself: make soak"]
async fn through_quick_renewals_of_a_hundred() {
    through_renewals(100, 4).await;
}

#[tokio::test]
async fn through_a_restart_and_a_change_of_the_operator() {
    let mut world = world(|_| {}).await;
    let (namespaces, _) = attached(&world, 3, |_| {}).await;
    let reader = world.reader("a", &namespaces).await;
    reader
        .during(async {
            let before = credential(&world, &namespaces[0]).await;
            until_others(&world, &namespaces, &before).await;
            world.stop().await;
            world.start().await;
            let before = credential(&world, &namespaces[0]).await;
            until_others(&world, &namespaces, &before).await;
            // For a moment there are two of them.
            world.take_over().await;
            let before = credential(&world, &namespaces[0]).await;
            until_others(&world, &namespaces, &before).await;
        })
        .await;
    assert!(reader.pulls() > 10, "only {} pulls", reader.pulls());
}

#[tokio::test]
async fn through_new_client_secrets_and_other_forms() {
    let world = world(|_| {}).await;
    let (namespaces, mut spec) = attached(&world, 3, |_| {}).await;
    let reader = world.reader("a", &namespaces).await;
    let story = async {
        let before = credential(&world, &namespaces[0]).await;
        spec["pullSecret"]["credential"] = "ClientSecret".into();
        world.apply("a", spec.clone()).await;
        until_others(&world, &namespaces, &before).await;

        // As `az ad app credential reset --append` does; the old one goes when nobody uses it.
        world.azure.update(|azure| {
            let puller = azure.principals.iter_mut().find(|it| it.display_name == "puller");
            let secret = ClientSecret { value: NEW_SECRET.into(), ..ClientSecret::default() };
            puller.unwrap().secrets.push(secret);
        });
        let before = credential(&world, &namespaces[0]).await;
        world.put_client_secret(NEW_SECRET).await;
        until_others(&world, &namespaces, &before).await;
        let pulls = reader.pulls();
        world.until("pulls", || async { (reader.pulls() > pulls + 2).then_some(()) }).await;
        world.azure.update(|azure| {
            let puller = azure.principals.iter_mut().find(|it| it.display_name == "puller");
            puller.unwrap().secrets.retain(|it| it.value != CLIENT_SECRET);
        });

        let before = credential(&world, &namespaces[0]).await;
        spec["pullSecret"]["credential"] = "RegistryToken".into();
        world.apply("a", spec).await;
        until_others(&world, &namespaces, &before).await;
    };
    reader.during(story).await;
    assert!(reader.pulls() > 10, "only {} pulls", reader.pulls());
}

#[tokio::test]
async fn through_a_switch_of_the_method() {
    // Longer than it takes until a pull secret is renewed.
    let delay = SignedDuration::from_secs(40);
    let world = world(|settings| {
        settings.intervals.removal_delay = delay;
        settings.intervals.resync = SignedDuration::from_secs(2);
    })
    .await;
    let by_id = |spec: &mut Value| spec["registry"] = world.spec()["registry"].clone();
    let (namespaces, mut spec) = attached(&world, 3, by_id).await;
    // The role is assigned, and until it counts the pull secrets are renewed.
    let reader = world.reader("a", &namespaces).await;
    let before = credential(&world, &namespaces[0]).await;
    spec["method"] = "KubeletIdentity".into();
    spec["kubeletIdentity"] = world.spec()["kubeletIdentity"].clone();
    reader
        .during(async {
            world.apply("a", spec.clone()).await;
            until_others(&world, &namespaces, &before).await;
        })
        .await;
    // From then on whichever is left is good.
    let reader = world.reader("a", &[]).await;
    reader.during(world.until_no_secret(&namespaces[0], "acr-pull")).await;
}
