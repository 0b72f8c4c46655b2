//! The watch on attachments, and signals of other changes that concern them.

pub mod attachments;
pub mod clocks;
pub mod held;
pub mod signals;
pub mod vanished;
