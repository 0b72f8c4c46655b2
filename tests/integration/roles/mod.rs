//! Role assignments: who gets which one, who shares it, and what others do to it meanwhile.

mod assigned_roles;
mod attaching;
mod claims;
mod contradictions;
pub mod finding;
mod former_identities;
mod fresh_reads;
mod in_the_way;
mod looked_up;
mod lost_answers;
mod prepared;
mod repositories;
mod resource_groups;
mod sharing;
mod takeovers;
mod transitions;
mod two_clusters;
