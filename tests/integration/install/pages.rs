//! Pages whose commands lead from one state to another: they are typed as they stand, with a stand-in for `az`.

use std::os::unix::fs::PermissionsExt;

use azure_sim::model::{ACR_PULL, ClientSecret};
use serde_json::json;
use tempfile::TempDir;

use super::first_hour::shell;
use crate::repository::documents::read;
use crate::support::programs::said;
use crate::support::secrets::{CLIENT_SECRET, SERVER, puller};
use crate::support::{LABEL, World, find, message};

/// `az`, as far as the pages need it: it notes what it is told, and says what is in a file.
const AZ: &str = r#"#!/bin/sh
echo "$@" >> "$FOLDER/told"
case "$*" in
    *"credential list"*) echo old-key-id ;;
    *"credential reset"*) cat "$FOLDER/new-secret" ;;
    "account show"*) cat "$FOLDER/tenant" ;;
    "acr show"*) cat "$FOLDER/registry" ;;
    "aks show"*oidcIssuerProfile*) echo https://issuer.example ;;
    "aks show"*) cat "$FOLDER/cluster" ;;
    "identity show"*) echo 99999999-9999-4999-8999-999999999999 ;;
    "ad sp create-for-rbac"*) cat "$FOLDER/puller" ;;
    # Azure is changed by the test.
    "role assignment delete"*) while [ ! -e "$FOLDER/deleted" ]; do sleep 0.1; done ;;
esac
"#;

/// `helm`, which only notes what it is told: the operator runs already.
const HELM: &str = "#!/bin/sh\necho helm \"$@\" >> \"$FOLDER/told\"\n";

/// The stand-ins, and what they say.
fn stand_ins(world: &World) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in [("az", AZ), ("helm", HELM)] {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).unwrap();
    }
    let (registry, cluster, client, tenant) = world.azure.read(|azure| {
        let client = puller(azure).client_id.unwrap_or_default();
        let cluster = azure.find_cluster("prod").unwrap().id();
        let registry = azure.find_registry("contoso").unwrap().id();
        (registry, cluster, client, azure_sim::model::DEFAULT_TENANT.to_string())
    });
    let puller = json!({"appId": client, "password": CLIENT_SECRET}).to_string();
    let told =
        [("registry", registry), ("cluster", cluster), ("tenant", tenant), ("puller", puller)];
    for (name, text) in told {
        std::fs::write(folder.path().join(name), text).unwrap();
    }
    folder
}

/// The text between two headings.
fn section<'a>(page: &'a str, heading: &str) -> &'a str {
    let (_, rest) = page.split_once(&format!("\n{heading}\n")).unwrap();
    rest.split("\n## ").next().unwrap()
}

/// The commands of a section, without the indent of list items.
fn commands(section: &str) -> String {
    let mut commands = String::new();
    let mut indent = None;
    for line in section.lines() {
        match (indent, line.trim_start()) {
            (None, "```sh") => indent = Some(line.len() - line.trim_start().len()),
            (Some(_), "```") => indent = None,
            (Some(indent), _) => {
                commands.push_str(line.get(indent..).unwrap_or_default());
                commands.push('\n');
            }
            (None, _) => {}
        }
    }
    commands
}

/// The commands as somebody types them who uses this world's operator.
fn typed(world: &World, commands: &str) -> String {
    let labels = format!("metadata:\n  labels: {{\"{LABEL}\": \"{}\"}}\n", world.id);
    let commands = commands.replace("metadata:\n", &labels);
    let commands = commands.replace("$REGISTRY.azurecr.io", SERVER);
    let commands = commands.replace("acr-attach-system", &world.namespace());
    let commands = commands.replace("$REGISTRY-pull", &world.name("pull"));
    let registry = format!("REGISTRY={}", world.name("a"));
    commands.replace("REGISTRY=contoso", &registry)
}

/// Types the commands, and returns what they say.
async fn run(world: &World, folder: &TempDir, commands: &str) -> String {
    let text = format!("set -e; PATH=\"$FOLDER:$PATH\"\n{}", typed(world, commands));
    said(shell(world, &text).env("FOLDER", folder.path()), "").await
}

fn told(folder: &TempDir) -> String {
    std::fs::read_to_string(folder.path().join("told")).unwrap_or_default()
}

#[tokio::test]
async fn the_page_on_rotating_rotates() {
    const NEW_SECRET: &str = "marker-new-client-secret-of-the-puller";
    let world = World::with_pull_secrets(|_| {}).await;
    let one = world.namespace_with("one", json!({})).await;
    world.apply("a", world.pull_spec(&json!({"names": [one]}))).await;
    world.until_ready("a").await;
    let before = world.until_secret(&one, "acr-pull").await;
    world.azure.update(|azure| {
        let puller = azure.principals.iter_mut().find(|it| it.display_name == "puller").unwrap();
        let added = ClientSecret { value: NEW_SECRET.into(), ..ClientSecret::default() };
        puller.secrets.push(added);
    });
    let folder = stand_ins(&world);
    std::fs::write(folder.path().join("new-secret"), NEW_SECRET).unwrap();
    let page = read("docs/rotating.md");
    let commands = commands(section(&page, "## The client secret of a pull secret"));
    let attachment = format!("ATTACHMENT={}", world.name("a"));
    let commands = commands.replace("ATTACHMENT=contoso-pull", &attachment);
    let text = run(&world, &folder, &commands).await;
    assert!(text.contains("True: the credential in use is renewed in time"), "{text}");
    let after = world.until_secret(&one, "acr-pull").await;
    assert_ne!(before.data, after.data);
    let client = world.azure.read(|azure| puller(azure).client_id.unwrap());
    let last = format!("ad app credential delete --id {client} --key-id old-key-id");
    assert_eq!(told(&folder).lines().last(), Some(&*last));
}

#[tokio::test]
async fn the_page_on_identities_leads_to_a_registry_that_is_attached() {
    let world = World::with_pull_secrets(|_| {}).await;
    let folder = stand_ins(&world);
    let page = read("docs/identity.md");
    let first = commands(page.split("\n## ").next().unwrap());
    let steps = commands(section(&page, "## On AKS"));
    run(&world, &folder, &format!("{first}{steps}")).await;
    let status = world.until_ready("a").await;
    assert!(message(&status).contains("AcrPull on contoso.azurecr.io"), "{}", message(&status));
    let told = told(&folder);
    let identity = "99999999-9999-4999-8999-999999999999";
    let rights = told.lines().filter(|it| it.starts_with("role assignment create"));
    assert_eq!(rights.filter(|it| it.contains(identity)).count(), 2, "{told}");
    let install = told.lines().find(|it| it.starts_with("helm install")).unwrap();
    assert!(install.contains(&format!("azure.clientId={identity}")), "{install}");
}

#[tokio::test]
async fn the_page_on_identities_leads_to_a_pull_secret_without_any() {
    let world = World::with_pull_secrets(|_| {}).await;
    let one = world.namespace_with("one", json!({})).await;
    let folder = stand_ins(&world);
    let page = read("docs/identity.md");
    let first = commands(page.split("\n## ").next().unwrap());
    let steps = commands(section(&page, "## Without any identity"));
    let steps = steps.replace("{names: [default]}", &format!("{{names: [{one}]}}"));
    run(&world, &folder, &format!("{first}{steps}")).await;
    world.until_secret(&one, "acr-pull").await;
    world.until_ready("pull").await;
}

/// Azure keeps one assignment for each registry, role and identity, so that the former one has to go first.
#[tokio::test]
async fn the_page_on_moving_in_takes_over_the_role_of_attach_acr() {
    let world = World::with_pull_secrets(|_| {}).await;
    let kubelet = world.kubelet();
    let existing = world.azure.update(|azure| {
        let registry = azure.find_registry("contoso").unwrap().id();
        azure.assign_id(&kubelet, ACR_PULL, &registry)
    });
    let folder = stand_ins(&world);
    let page = read("docs/moving-in.md");
    let (attach, own) =
        section(&page, "## From --attach-acr").split_once("**To let acr-attach own it**").unwrap();
    let text = run(&world, &folder, &commands(attach)).await;
    assert!(text.contains("Existing AcrPull"), "{text}");
    assert!(find(&world.status("a").await, "Ready").is_some_and(|it| it.0 == "True"));

    let own = format!("REGISTRY=contoso\n{}", commands(own));
    let deleted = async {
        world
            .until("the command that deletes it", || async {
                let told = told(&folder);
                told.lines()
                    .any(|it| it.starts_with("role assignment delete") && it.ends_with(&existing))
                    .then_some(())
            })
            .await;
        world.azure.update(|azure| azure.role_assignments.retain(|it| it.name != existing));
        std::fs::write(folder.path().join("deleted"), "").unwrap();
    };
    tokio::join!(run(&world, &folder, &own), deleted);
    world.delete("a").await;
    world.until_gone("a").await;
    let left = world.pull_assignments();
    assert!(left.iter().all(|it| it.principal_id != kubelet), "it goes with the attachment");
}
