//! The cluster: the client, the watches with their caches, and the objects that are written.

pub(crate) mod accounts;
pub(crate) mod admission;
pub(crate) mod cache;
mod client;
pub(crate) mod client_secret;
pub(crate) mod events;
pub(crate) mod kubernetes;
pub(crate) mod secrets;
pub(crate) mod undeclared;
pub(crate) mod watches;
pub(crate) mod watching;

pub use client::fenced;
