//! The pure core: what an attachment means and what to do about it.
//!
//! Plain functions over plain data. Nothing here is async or holds a client, and nothing reads
//! the clock or the environment or writes a log line: `now` is an argument.

pub mod attachment;
pub mod bearer;
pub mod check;
pub mod claims;
pub mod cluster;
pub mod contest;
pub mod credential_provider;
pub mod docker_config;
pub mod facts;
pub mod image;
pub mod kubelet_identity;
pub mod lease;
pub mod message;
pub mod names;
pub mod plan;
pub mod platform;
pub mod policy;
pub mod problem;
pub mod proof;
pub mod pull_role;
pub mod pull_secret;
pub mod repositories;
pub mod role;
pub mod schedule;
pub mod spelling;
pub mod status;
pub mod verdict;
