//! The alerts, judged by promtool, and held to what there is: metrics, runbooks, tests.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::observability::metrics::{metric_of, told};
use crate::repository::documents::read;
use crate::support::programs::{command, said};

const RULES: &str = "charts/acr-attach/files/alerts.yaml";
const TESTS: &str = "tests/alerts/alerts.yaml";
const RUNBOOKS: &str = "docs/alerts.md";

/// All alerts.
fn alerts() -> Vec<Value> {
    let rules = serde_saphyr::from_str::<Value>(&read(RULES)).unwrap();
    let [group] = &rules["groups"].as_array().unwrap()[..] else { panic!("one group") };
    group["rules"].as_array().unwrap().clone()
}

fn names() -> BTreeSet<String> {
    alerts().iter().map(|it| it["alert"].as_str().unwrap().to_owned()).collect()
}

/// That a query names no metric that there is not.
pub fn assert_known(query: &str) {
    const OURS: [&str; 6] =
        ["acr_attach_", "controller_runtime_", "workqueue_", "rest_client_", "leader_", "process_"];
    let all = told();
    let words = query.split(|it: char| !it.is_ascii_alphanumeric() && it != '_');
    let metrics: Vec<_> =
        words.filter(|it| OURS.iter().any(|start| it.starts_with(start))).collect();
    assert!(!metrics.is_empty(), "no metric in {query}");
    for metric in metrics {
        metric_of(metric, &all);
    }
}

#[tokio::test]
async fn the_rules_are_well_formed() {
    said(command("promtool").args(["check", "rules", "--lint=all", "--lint-fatal", RULES]), "")
        .await;
}

#[tokio::test]
async fn each_fires_when_it_should_and_not_otherwise() {
    said(command("promtool").args(["test", "rules", TESTS]), "").await;
}

#[test]
fn each_is_tried_both_ways() {
    let tests = serde_saphyr::from_str::<Value>(&read(TESTS)).unwrap();
    let (mut fires, mut is_quiet) = (BTreeSet::new(), BTreeSet::new());
    for test in tests["tests"].as_array().unwrap() {
        for one in test["alert_rule_test"].as_array().into_iter().flatten() {
            let name = one["alertname"].as_str().unwrap().to_owned();
            if one["exp_alerts"].is_null() {
                is_quiet.insert(name)
            } else {
                fires.insert(name)
            };
        }
        for one in test["promql_expr_test"].as_array().into_iter().flatten() {
            let query = one["expr"].as_str().unwrap();
            if let Some(rest) = query.strip_prefix("ALERTS{alertname=\"") {
                let name = rest.split('"').next().unwrap().to_owned();
                let found = !one["exp_samples"].as_array().unwrap().is_empty();
                if found {
                    fires.insert(name)
                } else {
                    is_quiet.insert(name)
                };
            }
        }
    }
    assert_eq!((fires, is_quiet), (names(), names()));
}

#[test]
fn each_says_what_it_means_and_where_to_read_on() {
    for alert in alerts() {
        let name = alert["alert"].as_str().unwrap();
        let severity = alert["labels"]["severity"].as_str().unwrap();
        assert!(["critical", "warning"].contains(&severity), "{name}: {severity}");
        for text in ["summary", "description"] {
            assert!(alert["annotations"][text].as_str().unwrap().ends_with('.'), "{name}: {text}");
        }
        let runbook = format!("{RUNBOOKS}#{}", name.to_lowercase());
        assert_eq!(alert["annotations"]["runbook_url"], runbook.as_str());
        assert_known(alert["expr"].as_str().unwrap());
    }
    let text = read(RUNBOOKS);
    let headings = text.lines().filter_map(|it| it.strip_prefix("## ")).map(str::to_owned);
    assert_eq!(headings.collect::<BTreeSet<_>>(), names());
    for runbook in text.split("\n## ").skip(1) {
        for part in ["**Meaning.**", "**Impact.**", "**What to do.**"] {
            assert!(runbook.contains(part), "{} has no {part}", runbook.lines().next().unwrap());
        }
    }
}
