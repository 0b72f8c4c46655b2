//! Faults and the journal.

use std::time::{Duration, Instant};

use azure_sim::{Call, Effect, Fault};
use reqwest::Method;

use crate::world::{ARM, Answer, SECRET, World};

async fn get(world: &World, token: &str) -> reqwest::Result<Answer> {
    let url = format!("{ARM}{}?api-version=2025-11-01", world.registry.id());
    world.send(Method::GET, &url, Some(token), None).await
}

#[tokio::test]
async fn errors_strike_so_often_and_have_the_shape_of_the_service() {
    let world = World::new().await;
    let token = world.token().await;
    world.sim.fault(Fault::throttled(Call::GetRegistry, 20).once());
    world.sim.fault(Fault::error(Call::Any, 503, "ServerTimeout", "busy").times(1));
    let answer = get(&world, &token).await.unwrap();
    assert_eq!(answer.header("retry-after"), "20");
    answer.expect_error(429, "TooManyRequests");
    let answer = get(&world, &token).await.unwrap();
    assert!(!answer.header("x-ms-correlation-request-id").is_empty());
    assert_eq!(answer.expect_error(503, "ServerTimeout"), "busy");
    get(&world, &token).await.unwrap().expect(200);

    let journal = world.sim.journal();
    let faults: Vec<_> = journal.iter().filter_map(|it| it.fault.as_deref()).collect();
    assert_eq!(faults, ["error 429 TooManyRequests", "error 503 ServerTimeout"]);

    world
        .sim
        .fault(Fault::error(Call::Token, 400, "invalid_client", "AADSTS7000215: Invalid.").once());
    let body = world.ask_token("x", &[]).await.expect(400).json();
    assert_eq!(body["error_codes"], serde_json::json!([7_000_215]));
    assert!(
        body["error_description"]
            .as_str()
            .unwrap()
            .starts_with("AADSTS7000215: Invalid.\r\nTrace ID: ")
    );
}

#[tokio::test]
async fn faults_can_be_aimed_at_a_path_and_cleared() {
    let world = World::new().await;
    let token = world.token().await;
    world.sim.fault(Fault::error(Call::Any, 500, "X", "").containing("/Registries/other"));
    get(&world, &token).await.unwrap().expect(200);
    world.sim.fault(Fault::error(Call::Any, 500, "X", "").containing("/registries/contoso"));
    get(&world, &token).await.unwrap().expect(500);
    get(&world, &token).await.unwrap().expect(500);
    world.sim.clear_faults();
    get(&world, &token).await.unwrap().expect(200);
}

#[tokio::test]
async fn a_hanging_call_hangs_until_the_client_leaves_and_stops_no_other() {
    let world = World::new().await;
    let token = world.token().await;
    world.sim.fault(Fault::new(Call::GetRegistry, Effect::Hang).once());
    let patience = Duration::from_millis(200);
    assert!(tokio::time::timeout(patience, get(&world, &token)).await.is_err());
    get(&world, &token).await.unwrap().expect(200);
    let journal = world.sim.journal();
    let [.., hung, answered] = journal.as_slice() else { panic!("{journal:?}") };
    assert_eq!((hung.status, hung.fault.as_deref()), (None, Some("hang")));
    assert_eq!(answered.status, Some(200));
}

#[tokio::test]
async fn a_dropped_connection_does_or_does_not_apply_the_request() {
    let world = World::new().await;
    let name = "00000000-0000-4000-8000-000000000001";
    let path = crate::role_assignments::path(&world.registry.id(), name);
    let body = serde_json::json!({"properties": world.grant()});
    let token = world.token().await;
    for (effect, expected) in [(Effect::Drop, 2), (Effect::ApplyThenDrop, 3)] {
        world.sim.fault(Fault::new(Call::PutRoleAssignment, effect).once());
        let url = format!("{ARM}{path}");
        world.send(Method::PUT, &url, Some(&token), Some(&body)).await.unwrap_err();
        assert_eq!(world.sim.read(|it| it.role_assignments.len()), expected);
    }
}

#[tokio::test]
async fn bodies_can_be_garbage_or_huge() {
    let world = World::new().await;
    let token = world.token().await;
    world.sim.fault(Fault::new(Call::GetRegistry, Effect::Garbage).once());
    let answer = get(&world, &token).await.unwrap().expect(200);
    assert!(serde_json::from_str::<serde_json::Value>(&answer.text).is_err());
    world.sim.fault(Fault::new(Call::GetRegistry, Effect::Huge { bytes: 20_000_001 }).once());
    assert_eq!(get(&world, &token).await.unwrap().expect(200).text.len(), 20_000_001);
}

#[tokio::test]
async fn answers_can_be_slow_once_or_always() {
    let world = World::new().await;
    let token = world.token().await;
    world.sim.fault(Fault::new(Call::GetRegistry, Effect::Delay { milliseconds: 150 }).once());
    let started = Instant::now();
    get(&world, &token).await.unwrap().expect(200);
    assert!(started.elapsed() >= Duration::from_millis(150));
    world.sim.update(|it| it.settings.latency_ms = 100);
    let started = Instant::now();
    get(&world, &token).await.unwrap().expect(200);
    assert!(started.elapsed() >= Duration::from_millis(100));
}

#[tokio::test]
async fn the_journal_holds_requests_in_order_and_no_secret() {
    let world = World::new().await;
    let token = world.token().await;
    get(&world, &token).await.unwrap().expect(200);
    world.sim.update(|it| it.role_assignments.clear());
    get(&world, &token).await.unwrap().expect(403);
    let journal = world.sim.journal();
    let seen: Vec<_> = journal.iter().map(|it| (it.sequence, it.call, it.status)).collect();
    assert_eq!(
        seen,
        [
            (1, Some(Call::Token), Some(200)),
            (2, Some(Call::GetRegistry), Some(200)),
            (3, Some(Call::GetRegistry), Some(403)),
        ]
    );
    assert_eq!(journal[2].code.as_deref(), Some("AuthorizationFailed"));
    assert_eq!(journal[2].query, "api-version=2025-11-01");
    assert!(journal.iter().all(|it| it.principal.as_ref() == Some(&world.operator.object_id)));
    let text = serde_json::to_string(&journal).unwrap();
    assert!(!text.contains(SECRET) && !text.contains(&token), "{text}");

    world.sim.clear_journal();
    get(&world, &token).await.unwrap().expect(403);
    assert_eq!(world.sim.journal()[0].sequence, 4);
}
