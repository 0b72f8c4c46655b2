//! What the chart makes for the Prometheus Operator.

use serde_json::{Value, json};

use crate::install::rendering::{find, image, merged, objects};
use crate::support::programs::{output, rendered, template};

#[tokio::test]
async fn monitors_are_there_only_where_somebody_reads_them() {
    for (value, kind) in [
        ("podMonitor", "PodMonitor"),
        ("serviceMonitor", "ServiceMonitor"),
        ("prometheusRule", "PrometheusRule"),
    ] {
        let values = merged(image(), &json!({value: {"enabled": true}}));
        for (flags, there) in
            [(&[][..], false), (&["--api-versions", "monitoring.coreos.com/v1"][..], true)]
        {
            let objects = objects(&rendered("acr-attach", "x", &values, flags).await);
            assert_eq!(objects.iter().any(|it| it["kind"] == kind), there, "{kind}");
        }
    }
}

#[tokio::test]
async fn single_alerts_are_changed_by_name() {
    let flags = ["--api-versions", "monitoring.coreos.com/v1"];
    let with = |rules: Value| {
        let given =
            json!({"enabled": true, "runbookUrl": "https://git.example.com/a", "rules": rules});
        merged(image(), &json!({"prometheusRule": given}))
    };
    let values = with(json!({
        "AcrAttachPanics": {"enabled": false},
        "AcrAttachOperatorDown": {"for": "10m", "severity": "page"},
    }));
    let objects = objects(&rendered("acr-attach", "x", &values, &flags).await);
    let spec = &find(&objects, "PrometheusRule", "acr-attach")["spec"];
    let rules = spec["groups"][0]["rules"].as_array().unwrap();
    assert!(!rules.iter().any(|it| it["alert"] == "AcrAttachPanics"));
    let down = rules.iter().find(|it| it["alert"] == "AcrAttachOperatorDown").unwrap();
    assert_eq!((&down["for"], &down["labels"]["severity"]), (&"10m".into(), &"page".into()));
    for rule in rules {
        let runbook = rule["annotations"]["runbook_url"].as_str().unwrap();
        assert!(runbook.starts_with("https://git.example.com/a/docs/alerts.md#"), "{runbook}");
    }
    let unknown = with(json!({"Panics": {"enabled": false}}));
    let refused = output(&mut template("acr-attach", "x", &flags), &unknown.to_string()).await;
    let error = String::from_utf8(refused.stderr).unwrap();
    assert!(error.contains("prometheusRule.rules names Panics, which is no alert"), "{error}");
}
