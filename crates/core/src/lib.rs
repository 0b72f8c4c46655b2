//! The custom resource `RegistryAttachment`, and all decisions about it.
//!
//! The crate holds plain functions over plain data: no async code, no client, no log. The current
//! time is an argument, and the environment is not read. The dependencies of the crate enforce this.

pub mod api;
pub mod delivery;
pub mod ids;
pub mod lease;
pub mod message;
pub mod outcome;
pub mod plan;
pub mod platform;
pub mod problem;
pub mod pull_secrets;
pub mod roles;
pub mod snapshot;
pub mod spec;
