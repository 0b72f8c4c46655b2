//! Delivery into namespaces: pull secrets, and their names in service accounts.

pub mod contest;
