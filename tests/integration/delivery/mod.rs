//! Where pull secrets go: namespaces and service accounts, and others that write there too.

mod by_namespace;
mod conflicts;
mod contests;
mod drift;
mod narrowed;
mod reach;
