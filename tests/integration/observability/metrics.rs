//! What the operator counts, as somebody sees it who scrapes it.

use std::collections::{BTreeMap, BTreeSet};

use azure_sim::{Call, Fault};
use serde_json::json;

use crate::repository::documents::{code, read, table};
use crate::support::World;
use crate::support::programs::{command, output, said};
use crate::support::secrets::{CLIENT_SECRET, SERVER, with_puller};

const PAGE: &str = "docs/metrics.md";

/// A metric as its page tells it, or as it is.
type Metrics = BTreeMap<String, (String, BTreeSet<String>)>;

/// A world with something of all that metrics tell of: both methods, an attachment that is suspended,
/// and an Azure that has asked to wait.
pub async fn world_with_everything(
    change: impl FnOnce(&mut acr_attach::settings::Settings),
) -> World {
    let world = World::with(with_puller, change).await;
    world.put_client_secret(CLIENT_SECRET).await;
    let namespace = world.namespace_with("apps", json!({})).await;
    world.azure.fault(Fault::throttled(Call::ListRoleAssignments, 1).once());
    world.apply("role", world.spec()).await;
    world.apply("secret", world.pull_spec(&json!({"names": [namespace]}))).await;
    let mut suspended = world.spec();
    suspended["suspend"] = true.into();
    world.apply("suspended", suspended).await;
    world.until_ready("role").await;
    world.until_ready("secret").await;
    world
}

/// The page once the watch has shown how all of them stand.
async fn scrape(world: &World) -> String {
    world
        .until("both to be counted", || async {
            let text = world.page("/metrics").await.1;
            let ready = |method| {
                let line = format!(r#"acr_attach_attachments{{method="{method}",ready="True"}} 1"#);
                text.lines().any(|it| it == line)
            };
            (ready("KubeletIdentity") && ready("PullSecret")).then_some(text)
        })
        .await
}

/// What a page in the text format of Prometheus holds.
fn held(text: &str) -> Metrics {
    let mut all = Metrics::new();
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').unwrap();
            let twice = all.insert(name.to_owned(), (kind.to_owned(), BTreeSet::new()));
            assert_eq!(twice, None, "{name} is there twice");
        } else if !line.starts_with('#') {
            let sample = line.rsplit_once(' ').unwrap().0;
            let (name, labels) = sample.split_once('{').unwrap_or((sample, ""));
            let of = metric_of(name, &all);
            let labels = labels.trim_end_matches('}').split("\",").filter(|it| !it.is_empty());
            let labels = labels.map(|it| it.split_once('=').unwrap().0.to_owned());
            all.get_mut(&of).unwrap().1.extend(labels.filter(|it| it != "le"));
        }
    }
    all
}

/// The metric that a sample or a series in a query belongs to.
pub fn metric_of<T>(name: &str, all: &BTreeMap<String, T>) -> String {
    let histogram = ["_bucket", "_sum", "_count"].into_iter().find_map(|it| name.strip_suffix(it));
    let found = [Some(name), histogram].into_iter().flatten().find(|it| all.contains_key(*it));
    found.unwrap_or_else(|| panic!("there is no metric {name}")).to_owned()
}

/// What the page of metrics tells.
pub fn told() -> Metrics {
    let mut all = Metrics::new();
    for heading in read(PAGE).lines().filter(|it| it.starts_with("## ")) {
        for row in table(PAGE, heading) {
            let labels = row[2].split(", ").filter(|it| !it.is_empty()).map(str::to_owned);
            let [name] = code(&row[0])[..] else { panic!("no name in {row:?}") };
            let twice = all.insert(name.to_owned(), (row[1].clone(), labels.collect()));
            assert_eq!(twice, None, "{name} is told twice");
        }
    }
    all
}

#[tokio::test]
async fn a_live_scrape_is_well_formed_and_holds_what_its_page_tells() {
    let world = world_with_everything(|_| {}).await;
    let text = scrape(&world).await;
    said(command("promtool").args(["check", "metrics"]), &text).await;
    let (held, told) = (held(&text), told());
    for (name, as_told) in &told {
        assert_eq!(held.get(name), Some(as_told), "{name} as {PAGE} tells it");
    }
    let untold: Vec<_> = held.keys().filter(|it| !told.contains_key(*it)).collect();
    assert!(untold.is_empty(), "{PAGE} does not tell {untold:?}");
    let build = text.lines().find(|it| it.starts_with("acr_attach_build_info{")).unwrap();
    assert!(!build.contains(r#"rustc="unknown""#), "{build}");
}

#[tokio::test]
async fn what_is_not_well_formed_would_be_found() {
    let text = "# TYPE acr_attach_reads counter\nacr_attach_reads 1\n";
    let output = output(command("promtool").args(["check", "metrics"]), text).await;
    assert!(!output.status.success());
}

#[tokio::test]
async fn no_label_holds_an_id_or_a_name_in_azure() {
    let world = world_with_everything(|_| {}).await;
    let text = scrape(&world).await;
    let is_id = |part: &str| uuid::Uuid::parse_str(part).is_ok();
    for line in text.lines() {
        let mut values = line.split('"').skip(1).step_by(2);
        let wrong = values.find(|it| {
            is_id(it) || it.contains(['/', ' ']) || it.contains(SERVER) || it.len() > 63
        });
        assert_eq!(wrong, None, "{line}");
    }
}

#[tokio::test]
async fn attachments_are_counted_and_not_named_where_that_is_asked_for() {
    let world = world_with_everything(|settings| settings.metrics_per_object = false).await;
    let text = scrape(&world).await;
    assert!(!text.contains(&world.name("role")) && !text.contains(&world.name("secret")), "{text}");
    let fewer = held(&text);
    for name in ["attachment_condition", "attachment_suspended"] {
        let labels = fewer.get(&format!("acr_attach_{name}")).map(|(_, labels)| labels.len());
        assert_eq!(labels.unwrap_or_default(), 0, "{name}");
    }
}

#[tokio::test]
async fn who_asks_for_openmetrics_gets_it() {
    let world = World::new().await;
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let url = format!("http://{}/metrics", world.address());
    let accept = "application/openmetrics-text;version=1.0.0;q=0.6,text/plain;version=0.0.4;q=0.3";
    let answer = client.get(&url).header("accept", accept).send().await.unwrap();
    let kind = answer.headers()["content-type"].to_str().unwrap().to_owned();
    assert!(kind.starts_with("application/openmetrics-text"), "{kind}");
    assert!(answer.text().await.unwrap().ends_with("# EOF\n"));
    let answer = client.get(&url).send().await.unwrap();
    let kind = answer.headers()["content-type"].to_str().unwrap().to_owned();
    assert!(kind.starts_with("text/plain; version=0.0.4"), "{kind}");
    assert!(!answer.text().await.unwrap().contains("# EOF"));
}

#[tokio::test]
async fn one_that_is_being_detached_shows_for_how_long() {
    const NAME: &str = "acr_attach_finalizer_oldest_pending_seconds";
    let world = World::new().await;
    world.apply("a", world.spec()).await;
    world.until_ready("a").await;
    world.azure.fault(Fault::error(
        Call::DeleteRoleAssignment,
        503,
        "ServiceUnavailable",
        "Later.",
    ));
    let pending = async || {
        let text = world.page("/metrics").await.1;
        let line = text.lines().find(|it| it.starts_with(NAME)).unwrap().to_owned();
        line.rsplit(' ').next().unwrap().parse::<u64>().unwrap()
    };
    assert_eq!(pending().await, 0);
    world.delete("a").await;
    world.until("a second to have passed", async || (pending().await >= 1).then_some(())).await;
    world.azure.clear_faults();
    world.until_gone("a").await;
    world.until("nothing to be pending", async || (pending().await == 0).then_some(())).await;
}
