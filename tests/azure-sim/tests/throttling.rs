//! ARM's token buckets.

use std::time::{Duration, Instant};

use azure_sim::model::{Bucket, READER, Throttling};
use reqwest::Method;
use serde_json::json;

use crate::{
    role_assignments::path,
    world::{ARM, Answer, SECRET, TENANT, World},
};

/// So few requests that a test can send them, and no way back within it.
const DRY: Bucket = Bucket { capacity: 2, refill_per_second: 0.001 };

fn limit(world: &World, throttling: Throttling) {
    world.sim.update(|it| it.settings.throttling = Some(throttling));
}

fn url(world: &World) -> String {
    format!("{ARM}{}?api-version=2025-11-01", world.registry.id())
}

async fn read(world: &World, token: &str) -> Answer {
    world.send(Method::GET, &url(world), Some(token), None).await.unwrap()
}

#[tokio::test]
async fn each_kind_of_request_has_a_bucket_of_its_own() {
    let world = World::new().await;
    let one = Bucket { capacity: 1, ..DRY };
    limit(&world, Throttling { reads: DRY, writes: one, deletes: one });
    let token = world.token().await;
    read(&world, &token).await.expect(200);
    read(&world, &token).await.expect(200);
    let answer = read(&world, &token).await;
    assert_eq!(answer.header("retry-after"), "1000");
    let message = answer.expect_error(429, "SubscriptionRequestsThrottled");
    let text = format!(
        "Number of 'read' requests for subscription '{}' actor '{}' exceeded. Please try again \
         after '1000' seconds after additional tokens are available.",
        world.registry.subscription_id, world.operator.object_id
    );
    assert!(message.starts_with(&text), "{message}");

    let name = "00000000-0000-4000-8000-000000000001";
    let target = format!("{ARM}{}", path(&world.registry.id(), name));
    let body = json!({"properties": world.grant()});
    for (method, status) in [(Method::PUT, 201), (Method::DELETE, 200)] {
        for status in [status, 429] {
            let sent = world.send(method.clone(), &target, Some(&token), Some(&body)).await;
            sent.unwrap().expect(status);
        }
    }
    // What was throttled did nothing: the assignment is gone, and neither PUT nor DELETE counted.
    assert_eq!(world.sim.read(|it| it.role_assignments.len()), 2);
}

#[tokio::test]
async fn principals_and_subscriptions_have_buckets_of_their_own() {
    let second = "50000000-0000-4000-8000-00000000000b";
    let world = World::with(|model| {
        model.add_subscription(second, TENANT);
        model.registry("elsewhere").within(second, "rg").add();
        let other = model.application("other").secret(SECRET).add();
        model.assign(&other, READER, "/");
    })
    .await;
    world.sim.update(|it| it.assign_id(&world.operator.object_id, READER, "/"));
    limit(&world, Throttling { reads: DRY, ..Throttling::default() });
    let token = world.token().await;
    for status in [200, 200, 429, 429] {
        read(&world, &token).await.expect(status);
    }
    let other = world.sim.read(|it| it.principals.last().unwrap().clone());
    read(&world, &world.token_of(&other, ARM).await).await.expect(200);
    let elsewhere = world.sim.read(|it| it.find_registry("elsewhere").unwrap().id());
    world.get(&format!("{elsewhere}?api-version=2025-11-01")).await.expect(200);
}

#[tokio::test]
async fn the_answer_says_when_and_then_there_is_room_again() {
    let world = World::new().await;
    let reads = Bucket { capacity: 1, refill_per_second: 1.0 };
    limit(&world, Throttling { reads, ..Throttling::default() });
    let token = world.token().await;
    let refused = loop {
        let answer = read(&world, &token).await;
        if answer.status == 429 {
            break answer;
        }
    };
    assert_eq!(refused.header("retry-after"), "1");
    let refused = Instant::now();
    while read(&world, &token).await.status == 429 {
        assert!(refused.elapsed() < Duration::from_secs(60), "there is never room again");
    }
}

#[tokio::test]
async fn the_documented_limits_are_the_default_and_off_unless_set() {
    let world = World::new().await;
    assert_eq!(world.sim.read(|it| it.settings.throttling), None);
    assert_eq!(serde_json::from_value::<Throttling>(json!({})).unwrap(), Throttling::default());
    limit(&world, Throttling::default());
    let token = world.token().await;
    let (started, mut sent) = (Instant::now(), 0);
    while read(&world, &token).await.status == 200 {
        sent += 1;
    }
    let refilled = started.elapsed().as_secs_f64() * 25.0;
    assert!(f64::from(sent) >= 250.0 && f64::from(sent) <= 251.0 + refilled, "{sent}");
    world.sim.update(|it| it.settings.throttling = None);
    read(&world, &token).await.expect(200);
}
