//! What is kept in a namespace: pull secrets, and their names in service accounts.

pub mod contest;
