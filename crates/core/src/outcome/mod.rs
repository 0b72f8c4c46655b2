//! The outcome of a reconcile: its verdict, the status that tells of it, and the time of the next one.

pub mod changes;
pub mod events;
pub mod failures;
pub mod last_check;
pub mod requeue;
pub mod status;
pub mod verdict;
pub mod waits;
