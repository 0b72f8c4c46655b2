//! The custom resource, and all decisions: what an attachment means, and what to do about it.
//!
//! Plain functions over plain data. Nothing here is async or holds a client, and nothing reads the
//! clock or the environment or writes a log line: `now` is an argument. The dependencies of the crate
//! keep it so.

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
