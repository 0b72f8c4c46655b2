//! What the operator shows: metrics, alerts, the dashboard and the log.

mod alerts;
mod dashboard;
mod logs;
mod metrics;
