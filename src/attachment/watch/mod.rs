//! Watches: attachments, and what else may concern them.

pub mod attachments;
pub mod clocks;
pub mod held;
pub mod signals;
pub mod vanished;
