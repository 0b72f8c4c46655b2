//! Roles in Azure: which identity needs which one, and which attachments share an assignment.

pub mod claims;
pub mod credential_provider;
pub mod kubelet_identity;
pub mod pull_role;
pub mod role;
