//! What Azure answers: limits, refusals, states and other clouds.

mod budget;
mod causes;
mod clouds;
mod forbidden;
mod provisioning;
mod refusals;
mod throttling;
mod versions;
