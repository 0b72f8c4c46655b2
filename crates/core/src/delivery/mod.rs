//! Delivery: the pull secrets and the entries of service accounts in one namespace.

pub mod contest;
mod counts;
mod deliveries;
mod directive;
mod report;

pub use deliveries::{Deliveries, Reported};
pub use directive::{Choice, Directive, Facts, Served, directive};
pub use report::{EntryReport, SecretReport, ServingSecret, renewals};

#[cfg(test)]
mod tests;
