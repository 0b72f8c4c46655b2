//! Flux and Argo CD, by their own code.

mod argocd;
pub mod both;
