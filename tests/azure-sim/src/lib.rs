//! Azure, simulated behind an HTTPS forward proxy or at the addresses of its hosts.
//!
//! An unchanged client whose proxy is [`AzureSim::proxy_url`] and who trusts [`AzureSim::ca_pem`]
//! speaks to `login.microsoftonline.com`, `management.azure.com`, `graph.microsoft.com`, the login
//! servers of the model's registries and instance metadata under their real names. Behind them is
//! a [`Model`]: a token is good and a request is allowed for what the model says at that moment.
//! The journal holds every request; a [`Fault`] makes requests go wrong.
//!
//! A client that cannot be given a proxy, such as a node of a cluster, comes to
//! [`Options::direct`] and [`Options::instance_metadata`]: there every host answers by itself, if
//! name resolution leads the client there. The images that a node pulls are those of a real
//! registry behind the simulated one: [`model::Registry::content`].
//!
//! ```no_run
//! # async fn example() -> Result<(), azure_sim::StartError> {
//! use azure_sim::{AzureSim, Call, Fault, Model, model::READER};
//!
//! let mut model = Model::default_tenant();
//! let registry = model.registry("contoso").add();
//! let operator = model.application("operator").secret("s3cret").add();
//! model.assign(&operator, READER, &registry.id());
//!
//! let azure = AzureSim::start(model).await?;
//! azure.fault(Fault::throttled(Call::GetRegistry, 20).once());
//! println!("HTTPS_PROXY={}", azure.proxy_url());
//! # Ok(())
//! # }
//! ```

mod access;
mod acr;
mod arm;
mod azure;
mod backend;
mod ca;
mod call;
mod condition;
mod connections;
mod control;
mod direct;
mod endpoint;
mod entra;
mod exchange;
mod fault;
mod graph;
mod hosts;
mod http;
mod instance_metadata;
mod journal;
pub mod model;
mod proxy;
mod sim;
mod tokens;

pub use call::Call;
pub use fault::{Effect, Fault};
pub use journal::Entry;
pub use model::Model;
pub use sim::{AzureSim, Options, StartError};
