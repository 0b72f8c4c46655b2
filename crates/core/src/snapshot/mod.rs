//! What was read in Azure and in the cluster.

pub mod azure;
pub mod by_namespace;
pub mod cluster;
