//! A real Kubernetes control plane on loopback: etcd, kube-apiserver and
//! kube-controller-manager with certificates of their own.
//!
//! [`ControlPlane`] owns one and takes it away again, whatever becomes of the
//! owner. [`Cluster`] is what somebody needs who only uses it, from the same
//! process or from another one. The `control-plane` binary owns one for as
//! long as a command runs.
//!
//! Pods are stored and never run, unless it is started for a [`Node`], whose programs somebody else
//! brings.

pub mod audit;
mod certificates;
mod cluster;
pub mod command;
mod control_plane;
mod error;
mod flags;
mod janitor;
mod kubeconfig;
mod layout;
mod manifests;
mod node;
mod options;
mod program;
mod wait;

pub use cluster::{Cluster, DIRECTORY_VARIABLE};
pub use control_plane::ControlPlane;
pub use error::Error;
pub use node::{Node, NodeFiles};
pub use options::{ASSETS_VARIABLE, Options};
