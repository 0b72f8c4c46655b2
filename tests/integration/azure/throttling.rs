//! 429: one subscription is left alone for as long as Azure asks, and nothing else is.

use azure_sim::model::{
    DEFAULT_TENANT, READER, ROLE_BASED_ACCESS_CONTROL_ADMINISTRATOR, Throttling,
};
use azure_sim::{Call, Entry, Fault};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use crate::support::{World, find, message, operator};

const OTHER: &str = "50000000-0000-4000-8000-0000000000aa";
/// How many seconds Azure asks to wait. All that is to happen meanwhile has time on a busy machine.
const PAUSE: u32 = 40;

/// A world with registry `elsewhere` in another subscription.
async fn two_subscriptions() -> World {
    World::with(
        |azure| {
            azure.add_subscription(OTHER, DEFAULT_TENANT);
            azure.registry("elsewhere").within(OTHER, "rg").add();
            let operator = operator(azure);
            let scope = format!("/subscriptions/{OTHER}");
            azure.assign(&operator, ROLE_BASED_ACCESS_CONTROL_ADMINISTRATOR, &scope);
        },
        |settings| settings.intervals.resync = SignedDuration::from_mins(30),
    )
    .await
}

fn elsewhere(world: &World) -> Value {
    let mut spec = world.spec();
    let id = world.azure.read(|azure| azure.find_registry("elsewhere").unwrap().id());
    spec["registry"] = json!({"resourceId": id});
    spec["kubeletIdentity"] = json!({"principalId": world.kubelet()});
    spec
}

/// The value of a metric with one label.
async fn metric(world: &World, name: &str) -> Option<i64> {
    let text = world.page("/metrics").await.1;
    let line = text.lines().find(|it| it.starts_with(name))?;
    line.rsplit(' ').next()?.parse().ok()
}

#[tokio::test]
async fn a_throttled_subscription_is_left_alone_and_no_other_is() {
    let world = two_subscriptions().await;
    let throttled = Fault::throttled(Call::ListRoleAssignments, PAUSE);
    world.azure.fault(throttled.containing("contoso").once());
    world.apply("a", world.spec()).await;
    let status = world.until_reason("a", "Reconciling", "Throttled").await;
    let text = message(&status);
    let asked = format!("429 TooManyRequests, which asks to wait {PAUSE} s");
    assert!(text.contains(&asked), "{text}");
    assert_eq!(find(&status, "Stalled"), None);

    // The whole subscription, whatever is asked of it.
    world.apply("b", world.spec()).await;
    let status = world.until_reason("b", "Reconciling", "Throttled").await;
    let text = message(&status);
    assert!(text.contains("not tried: Azure asked to make no call to subscription 5"), "{text}");
    world.apply("c", elsewhere(&world)).await;
    world.until_ready("c").await;
    let until = metric(&world, r#"acr_attach_azure_paused_until_timestamp_seconds{service="arm"}"#);
    let left = until.await.unwrap() - Timestamp::now().as_second();
    assert!((1..=i64::from(PAUSE)).contains(&left), "c was Ready {left} s before the end");
    let counted = metric(&world, r#"acr_attach_azure_throttled_total{service="arm"}"#).await;
    assert_eq!(counted, Some(1));

    world.until_ready("a").await;
    world.until_ready("b").await;
    let journal = world.azure.journal();
    let of_first = |it: &&Entry| it.path.contains("/subscriptions/5") && !it.path.contains(OTHER);
    let calls: Vec<_> = journal.iter().filter(of_first).collect();
    let refused = calls.iter().position(|it| it.status == Some(429)).unwrap();
    let quiet = calls[refused + 1].time.duration_since(calls[refused].time);
    assert!(quiet >= SignedDuration::from_secs(PAUSE.into()), "{quiet:?}");
}

/// Somebody else uses up what the operator takes to be its own.
#[tokio::test]
async fn a_budget_that_others_share_is_obeyed_too() {
    const COUNT: usize = 20;
    let world = World::with(
        |azure| {
            for n in 0..COUNT {
                azure.registry(&format!("registry{n}")).add();
            }
            let (operator, subscription) = (operator(azure), azure.subscriptions[0].clone());
            let scope = format!("/subscriptions/{}", subscription.subscription_id);
            for role in [READER, ROLE_BASED_ACCESS_CONTROL_ADMINISTRATOR] {
                azure.assign(&operator, role, &scope);
            }
            let mut limits = Throttling::default();
            (limits.reads.capacity, limits.reads.refill_per_second) = (20, 10.0);
            azure.settings.throttling = Some(limits);
        },
        |settings| settings.intervals.resync = SignedDuration::from_mins(30),
    )
    .await;
    for n in 0..COUNT {
        let mut spec = world.spec();
        let contoso = spec["registry"]["resourceId"].as_str().unwrap().to_owned();
        spec["registry"] =
            json!({"resourceId": contoso.replace("contoso", &format!("registry{n}"))});
        world.apply(&format!("a{n}"), spec).await;
    }
    for n in 0..COUNT {
        world.until_ready(&format!("a{n}")).await;
    }
    let journal = world.azure.journal();
    let refused = journal.iter().filter(|it| it.status == Some(429)).count();
    // Each pass at work when it happens may see one.
    assert!((1..=COUNT).contains(&refused), "{refused} answers of 429");
}
