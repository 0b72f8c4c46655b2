//! The role assignment modes, and switching between them.

use azure_sim::model::{
    ACR_PULL, ACR_PUSH, CONTRIBUTOR, OWNER, OutsideRights, READER, REPOSITORY_CATALOG_LISTER,
    REPOSITORY_READER, REPOSITORY_WRITER,
    RoleAssignmentMode::{self, AbacRepositoryPermissions, LegacyRegistryPermissions},
};
use serde_json::json;

use super::{Bench, By, NULL, PULL, pull_of};

pub(super) const ABAC: RoleAssignmentMode = AbacRepositoryPermissions;

/// How a condition of the registry's documentation begins: it is about reading alone.
const UNLESS_READING: &str = "((!(ActionMatches{'Microsoft.ContainerRegistry/registries/repositories/content/read'}) \
    AND !(ActionMatches{'Microsoft.ContainerRegistry/registries/repositories/metadata/read'}))";

/// Team repositories alone, in the form of the registry's documentation.
const CONDITION: &str = "((!(ActionMatches{'Microsoft.ContainerRegistry/registries/repositories/content/read'}) \
    AND !(ActionMatches{'Microsoft.ContainerRegistry/registries/repositories/metadata/read'})) \
    OR (@Request[Microsoft.ContainerRegistry/registries/repositories:name] StringStartsWithIgnoreCase 'team/'))";

impl Bench {
    fn switch(&self, mode: RoleAssignmentMode) {
        self.update(|it| it.registry_mut("contoso").unwrap().role_assignment_mode = mode);
    }

    async fn abac() -> Self {
        let bench = Self::new().await;
        bench.switch(ABAC);
        bench
    }
}

#[tokio::test]
async fn each_mode_honours_its_own_roles() {
    let bench = Bench::new().await;
    for (role, legacy, abac) in [
        (ACR_PULL, 200, 401),
        (ACR_PUSH, 200, 401),
        (OWNER, 200, 401),
        (CONTRIBUTOR, 200, 401),
        (READER, 200, 401),
        (REPOSITORY_READER, 401, 200),
        (REPOSITORY_WRITER, 401, 200),
        (REPOSITORY_CATALOG_LISTER, 401, 401),
    ] {
        bench.unassign();
        bench.assign(role);
        bench.switch(LegacyRegistryPermissions);
        assert_eq!(bench.pull(bench.secret(), "team/app").await, legacy, "{role}");
        bench.switch(ABAC);
        assert_eq!(bench.pull(bench.secret(), "team/app").await, abac, "{role}");
    }
}

#[tokio::test]
async fn a_switch_voids_every_token_even_with_the_right_new_role() {
    let bench = Bench::pulling().await;
    bench.assign(REPOSITORY_READER);
    for (from, to) in [(LegacyRegistryPermissions, ABAC), (ABAC, LegacyRegistryPermissions)] {
        bench.switch(from);
        let refresh = bench.refresh_token().await;
        let access = bench.access_token(bench.secret(), PULL).await;
        bench.get("/v2/team/app/manifests/v1", By::Bearer(&access)).await.expect(200);
        bench.switch(to);
        bench.token(By::Basic(NULL, &refresh), PULL).await.expect(401);
        bench.token(By::Basic(NULL, &refresh), "").await.expect(401);
        bench.get("/v2/team/app/manifests/v1", By::Bearer(&access)).await.expect(401);
        let refresh = bench.refresh_token().await;
        assert_eq!(bench.pull(By::Basic(NULL, &refresh), "team/app").await, 200);
    }
}

#[tokio::test]
async fn conditions_decide_for_each_repository() {
    let bench = Bench::abac().await;
    let name = bench.assign(REPOSITORY_READER);
    let refresh = bench.refresh_token().await;
    for by in [By::Basic(NULL, &refresh), bench.secret()] {
        assert_eq!(bench.pull(by, "other").await, 200);
    }
    bench.update(|it| it.assignment_mut(&name).unwrap().condition = Some(CONDITION.into()));
    let metadata = "repository:team/app:pull,metadata_read,push";
    for by in [By::Basic(NULL, &refresh), bench.secret()] {
        assert_eq!(
            bench.access(by, metadata).await[0]["actions"],
            json!(["pull", "metadata_read"])
        );
        assert_eq!(
            bench.access(by, "repository:Team/invented:pull").await[0]["name"],
            "Team/invented"
        );
        assert_eq!(bench.access(by, "repository:other:pull").await, json!([]));
        let both = "repository:other:pull repository:team/app:pull";
        assert_eq!(bench.access(by, both).await, pull_of("team/app"));
        assert_eq!(bench.pull(by, "team/app").await, 200);
        assert_eq!(bench.pull(by, "other").await, 401);
    }
    bench.update(|it| it.assignment_mut(&name).unwrap().condition = Some("nonsense".into()));
    assert_eq!(bench.access(bench.secret(), PULL).await, json!([]));
}

#[tokio::test]
async fn names_and_prefixes_are_joined_by_or() {
    let bench = Bench::abac().await;
    let name = bench.assign(REPOSITORY_READER);
    let set = |tests: &[&str]| {
        let attribute = "@Request[Microsoft.ContainerRegistry/registries/repositories:name]";
        let tests: Vec<_> = tests.iter().map(|it| format!("{attribute} {it}")).collect();
        let condition = format!("{UNLESS_READING} OR ({}))", tests.join(" OR "));
        bench.update(|it| it.assignment_mut(&name).unwrap().condition = Some(condition));
    };
    let check = async |allowed: &[&str], refused: &[&str]| {
        for (names, expected) in [(allowed, true), (refused, false)] {
            for name in names {
                let scope = format!("repository:{name}:pull");
                let access = bench.access(bench.secret(), &scope).await;
                assert_eq!(access != json!([]), expected, "{name}");
            }
        }
    };
    set(&["StringEqualsIgnoreCase 'team/app'"]);
    check(&["team/app", "TEAM/APP"], &["team/app2", "team/ap", "team/app/sub", "app", "x"]).await;
    set(&["StringEqualsIgnoreCase 'other'", "StringStartsWithIgnoreCase 'team/'"]);
    check(&["other", "team/app", "Team/a/b"], &["team", "teams/app", "other/app", "x"]).await;
    set(&[
        "StringEqualsIgnoreCase 'a'",
        "StringEqualsIgnoreCase 'b/c'",
        "StringStartsWithIgnoreCase 'd/'",
        "StringStartsWithIgnoreCase 'e/f/'",
    ]);
    check(&["a", "b/c", "d/x", "e/f/g"], &["aa", "b", "b/cc", "d", "e/g", "team/app"]).await;
    assert_eq!(bench.access(bench.secret(), "registry:catalog:*").await, json!([]));
    set(&["StringEqualsIgnoreCase 'team/app'"]);
    assert_eq!(bench.pull(bench.secret(), "team/app").await, 200);
    assert_eq!(bench.pull(bench.secret(), "other").await, 401);
}

#[tokio::test]
async fn asking_for_more_than_allowed_can_be_401_instead() {
    let bench = Bench::abac().await;
    assert_eq!(bench.access(bench.secret(), PULL).await, json!([]));
    bench.update(|it| it.settings.outside_rights = OutsideRights::Unauthorized);
    bench.token(bench.secret(), PULL).await.expect(401);
    bench.token(bench.secret(), "").await.expect(200);
    bench.assign(REPOSITORY_READER);
    bench.token(bench.secret(), PULL).await.expect(200);
    bench.token(bench.secret(), "repository:team/app:push").await.expect(401);
    let both = "repository:team/app:push repository:team/app:pull";
    bench.token(bench.secret(), both).await.expect(200);
}

#[tokio::test]
async fn in_abac_mode_a_role_ends_at_the_next_token() {
    let bench = Bench::abac().await;
    bench.assign(REPOSITORY_READER);
    let refresh = bench.refresh_token().await;
    let access = bench.access_token(By::Basic(NULL, &refresh), PULL).await;
    bench.unassign();
    assert_eq!(bench.access(By::Basic(NULL, &refresh), PULL).await, json!([]));
    // Issued tokens say what they allow until they expire.
    bench.get("/v2/team/app/manifests/v1", By::Bearer(&access)).await.expect(200);
}
