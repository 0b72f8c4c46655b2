//! The dashboard and the alerts on a real Prometheus, which scrapes two replicas.

use std::net::SocketAddr;
use std::path::Path;

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Child;

use crate::observability::alerts::assert_known;
use crate::observability::metrics::world_with_everything;
use crate::repository::documents::read;
use crate::support::programs::{command, root};
use crate::support::replica::address;
use crate::support::{SECRET, World, in_time};

const DASHBOARD: &str = "charts/acr-attach/files/dashboard.json";

/// All queries, as Grafana would ask them.
fn queries() -> Vec<(String, String)> {
    let dashboard: Value = serde_json::from_str(&read(DASHBOARD)).unwrap();
    let panels = dashboard["panels"].as_array().unwrap();
    let queries = panels.iter().flat_map(|panel| {
        let title = panel["title"].as_str().unwrap().to_owned();
        panel["targets"].as_array().into_iter().flatten().map(move |target| {
            let query = target["expr"].as_str().unwrap();
            let query = query.replace("$__rate_interval", "1m").replace("$job", ".+");
            (title.clone(), query)
        })
    });
    queries.collect()
}

#[test]
fn each_panel_asks_for_what_there_is() {
    let all = queries();
    assert!(all.len() >= 30, "only {} queries", all.len());
    for (title, query) in all {
        assert!(!query.contains('$'), "{title}: {query} has a variable that Grafana does not know");
        assert_known(&query);
    }
}

/// Prometheus, until it is dropped.
struct Prometheus {
    address: String,
    client: reqwest::Client,
    _child: Child,
}

impl Prometheus {
    /// Scrapes these every second, with the labels that a `ServiceMonitor` would set.
    async fn start(folder: &Path, targets: &[SocketAddr]) -> Self {
        let targets: Vec<_> = targets.iter().map(ToString::to_string).collect();
        let config = json!({
            "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
            "rule_files": [root().join("charts/acr-attach/files/alerts.yaml")],
            "scrape_configs": [{
                "job_name": "acr-attach",
                "static_configs": [{
                    "targets": targets,
                    "labels": {"namespace": "acr-attach-system", "service": "acr-attach"},
                }],
            }],
        });
        let file = folder.join("prometheus.yml");
        std::fs::write(&file, config.to_string()).unwrap();
        let mut prometheus = command("prometheus");
        prometheus.arg("--config.file").arg(file);
        prometheus.arg("--storage.tsdb.path").arg(folder.join("data"));
        let mut child = prometheus.arg("--web.listen-address=127.0.0.1:0").spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let listening = async {
            while let Some(line) = lines.next_line().await.unwrap() {
                if line.contains("msg=\"Listening on\"") {
                    let address =
                        line.split_whitespace().find_map(|it| it.strip_prefix("address="));
                    return address.unwrap().to_owned();
                }
            }
            panic!("Prometheus has ended");
        };
        let address = in_time("Prometheus to listen", listening).await;
        // Prometheus stops when its lines are not read.
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let prometheus = Self { address, client, _child: child };
        in_time("Prometheus to be ready", prometheus.until_ready()).await;
        prometheus
    }

    /// It listens before it answers queries
    /// (<https://prometheus.io/docs/prometheus/latest/management_api/#readiness-check>).
    async fn until_ready(&self) {
        let url = format!("http://{}/-/ready", self.address);
        let mut ticks = tokio::time::interval(std::time::Duration::from_millis(25));
        loop {
            ticks.tick().await;
            let answer = self.client.get(&url).send().await;
            if answer.is_ok_and(|it| it.status().is_success()) {
                return;
            }
        }
    }

    async fn get(&self, path: &str, parameters: &[(&str, &str)]) -> Value {
        let url = format!("http://{}/api/v1/{path}", self.address);
        let url = reqwest::Url::parse_with_params(&url, parameters).unwrap();
        let text = self.client.get(url).send().await.unwrap().text().await.unwrap();
        let answer: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(answer["status"], "success", "{path} {parameters:?}: {answer}");
        answer["data"].clone()
    }

    /// Whether a query has a result that is a number.
    async fn shows(&self, query: &str) -> bool {
        let data = self.get("query", &[("query", query)]).await;
        let series = data["result"].as_array().unwrap();
        series.iter().any(|it| it["value"][1] != "NaN")
    }
}

#[tokio::test]
async fn every_query_shows_something_and_no_alert_fires() {
    let world: World = world_with_everything(|_| {}).await;
    let folder = tempfile::tempdir().unwrap();
    let standby = address();
    let mut command = world.program(&folder, &["--resync", "2s"]).await;
    command.env("ACR_ATTACH_LISTEN", standby.to_string()).env("AZURE_CLIENT_SECRET", SECRET);
    let _standby = command.stderr(std::process::Stdio::null()).spawn().unwrap();
    let prometheus = Prometheus::start(folder.path(), &[world.address(), standby]).await;
    world
        .until("both replicas to be scraped, of which one leads", || async {
            let up = prometheus.get("query", &[("query", "sum(up) == 2")]).await;
            let stands_by = "count(leader_election_master_status == 0) == 1";
            let there = !up["result"].as_array().unwrap().is_empty();
            (there && prometheus.shows(stands_by).await).then_some(())
        })
        .await;
    for (title, query) in queries() {
        world
            .until(&format!("panel {title} to show something for {query}"), || async {
                prometheus.shows(&query).await.then_some(())
            })
            .await;
    }
    let rules = prometheus.get("rules", &[]).await;
    let rules = rules["groups"][0]["rules"].as_array().unwrap().clone();
    assert!(rules.len() >= 8, "{rules:?}");
    for rule in rules {
        assert_eq!(rule["health"], "ok", "{rule}");
        assert_ne!(rule["state"], "firing", "{rule}");
    }
    let metrics = [("match_target", "{job=\"acr-attach\"}")];
    let metadata = prometheus.get("targets/metadata", &metrics).await;
    let is_counter =
        |it: &Value| it["metric"] == "acr_attach_azure_requests" && it["type"] == "counter";
    let all = metadata.as_array().unwrap();
    assert!(all.iter().any(is_counter), "OpenMetrics was not asked for: {metadata}");
}
