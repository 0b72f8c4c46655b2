//! What came of a reconcile: how it is judged, what status tells of it, and when the next one is due.

pub mod schedule;
pub mod status;
pub mod verdict;
