//! The operator against a real API server and a simulated Azure: what users see, what Azure
//! holds, and what must never happen.
//!
//! Run by `make test`, which starts the control plane that the worlds share.

#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test may panic, in its own functions too"
)]

mod azure;
mod check;
mod delivery;
mod gitops;
mod install;
mod lifecycle;
mod observability;
mod pull_secrets;
mod repository;
mod roles;
#[path = "../support/mod.rs"]
mod support;
