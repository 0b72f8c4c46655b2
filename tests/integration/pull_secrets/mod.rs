//! Pull secrets: what they hold, and how their credentials are made, proven and renewed.

mod client_secrets;
mod federation;
mod from_begin_to_end;
mod kubelet;
mod proofs;
mod readers;
mod regional;
mod renewal;
mod replacement;
