//! The simulator as an unchanged client sees it.
#![expect(clippy::unwrap_used, reason = "a broken expectation is how a test fails")]

mod access;
mod backend;
mod clusters;
mod control;
mod delegation;
mod direct;
mod entra;
mod faults;
mod forbidden;
mod gone;
mod graph;
mod id_case;
mod instance_metadata;
mod node;
mod proxy;
mod registry;
mod resources;
mod role_assignment_writes;
mod role_assignments;
mod sdk;
mod throttling;
mod world;
