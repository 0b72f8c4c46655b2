//! Roles in Azure: the role that an identity needs, and the claims on role assignments.

pub mod claims;
pub mod credential_provider;
pub mod former_identity;
pub mod kubelet_identity;
pub mod pull_role;
pub mod role;
