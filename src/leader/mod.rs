//! Leadership: the election on a Lease, and the fence that lets only the leader write.

pub mod boot_time;
mod election;
pub mod fence;

pub use election::{Candidate, Work};
