//! The journal and faults at a registry.

use azure_sim::{Call, Effect, Fault};
use reqwest::Method;

use super::{Bench, By, HOST, NULL, PULL, refused};

#[tokio::test]
async fn the_journal_knows_calls_and_callers_and_no_secret() {
    let bench = Bench::pulling().await;
    let refresh = bench.refresh_token().await;
    let access = bench.access_token(By::Basic(NULL, &refresh), PULL).await;
    let by_form = [("grant_type", "refresh_token"), ("service", HOST), ("refresh_token", &refresh)];
    bench.post("/oauth2/token", &by_form).await.expect(200);
    bench.get("/v2/", bench.secret()).await.expect(200);
    bench.send(Method::HEAD, "/v2/team/app/manifests/v1", By::Bearer(&access)).await.expect(200);
    bench.get("/v2/team/app/tags/list", By::Bearer(&access)).await.expect(200);
    bench.get("/v2/_catalog", By::Bearer(&access)).await.expect(401);
    bench.get("/v2/", By::Nobody).await.expect(401);

    let journal = bench.world.sim.journal();
    let me = Some(bench.app.object_id.as_str());
    let seen: Vec<_> = journal
        .iter()
        .filter(|it| it.host == HOST)
        .map(|it| (it.call.unwrap(), it.principal.as_deref(), it.status.unwrap()))
        .collect();
    assert_eq!(
        seen,
        [
            (Call::RegistryExchange, me, 200),
            (Call::RegistryToken, me, 200),
            (Call::RegistryToken, me, 200),
            (Call::RegistryPing, me, 200),
            (Call::RegistryManifest, me, 200),
            (Call::RegistryTags, me, 200),
            (Call::RegistryCatalog, me, 401),
            (Call::RegistryPing, None, 401),
        ]
    );
    assert_eq!(journal.last().unwrap().code.as_deref(), Some("UNAUTHORIZED"));
    let text = serde_json::to_string(&journal).unwrap();
    for secret in [&*refresh, &access, crate::world::SECRET] {
        assert!(!text.contains(secret));
    }
}

#[tokio::test]
async fn faults_have_the_shape_of_the_registry() {
    let bench = Bench::pulling().await;
    bench.world.sim.fault(Fault::throttled(Call::RegistryExchange, 7).once());
    let answer = bench.exchange().await;
    assert_eq!(answer.header("retry-after"), "7");
    assert_eq!(answer.header("x-ms-correlation-request-id").len(), 36);
    refused(answer, 429, "TooManyRequests");
    bench.exchange().await.expect(200);

    let down = Fault::error(Call::Any, 503, "UNAVAILABLE", "busy").containing("/oauth2/token");
    bench.world.sim.fault(down);
    assert_eq!(refused(bench.token(bench.secret(), PULL).await, 503, "UNAVAILABLE"), "busy");
    bench.get("/v2/", bench.secret()).await.expect(200);
    bench.world.sim.clear_faults();
    bench.token(bench.secret(), PULL).await.expect(200);

    bench.world.sim.fault(Fault::new(Call::RegistryManifest, Effect::Drop).once());
    let url = format!("https://{HOST}/v2/team/app/manifests/v1");
    bench.world.client.get(url).send().await.unwrap_err();
}
