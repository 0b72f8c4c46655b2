//! The operator itself: from its start to its end, alone and with replicas, and from version to version.

mod admission;
mod detaching;
mod election;
mod fences;
mod golden;
mod liveness;
mod outages;
mod program;
mod replicas;
mod steady;
mod uninstalling;
mod unreadable;
mod upgrade;
