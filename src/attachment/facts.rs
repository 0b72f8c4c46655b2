//! What the delivery controller can know of an attachment without Azure.

use acr_attach_core::api::{MethodInUse, RegistryAttachment};
use acr_attach_core::delivery::Facts;
use acr_attach_core::pull_secrets::{Endpoints, SecretKeyRef};
use acr_attach_core::spec::{self, RegistryName};

use crate::attachment::context::Context;
use crate::attachment::snapshot::secrets::shown_registry;

/// Returns the facts from the object as the watch shows it. Facts that a reconcile has learned before take
/// precedence.
pub fn shown(object: &RegistryAttachment, before: &Facts, ctx: &Context) -> Facts {
    let status = object.status.as_ref();
    let method = status.and_then(|it| it.method).filter(|it| *it != MethodInUse::Unknown);
    let secret = object.spec.pull_secret.as_ref();
    let reference = secret.and_then(|it| it.service_principal.client_secret_ref.as_ref());
    Facts {
        method: before.method.or(method),
        endpoints: before.endpoints.clone().or_else(|| endpoints(object, ctx)),
        credential: reference.and_then(|it| digest(it, ctx)),
        replaced_at: before.replaced_at,
    }
}

/// Returns the hosts of the registry, from the spec or from status; `None` if they are unknown or not allowed.
fn endpoints(object: &RegistryAttachment, ctx: &Context) -> Option<Endpoints> {
    let endpoints = match spec::registry(&object.spec.registry).ok()? {
        RegistryName::LoginServer(login_server) => {
            Endpoints { login_server, regional: Vec::new(), mode: None }
        }
        name => Endpoints::from(&shown_registry(object, &name)?),
    };
    permitted(endpoints, ctx)
}

/// Reduces the hosts to those that credentials may be sent to; `None` if the login server is not one of them.
/// The policy decides that, whatever hosts Azure returns for the registry.
pub fn permitted(mut endpoints: Endpoints, ctx: &Context) -> Option<Endpoints> {
    ctx.policy.permit_login_server(&endpoints.login_server).ok()?;
    endpoints.regional.retain(|it| ctx.policy.permit_login_server(it).is_ok());
    Some(endpoints)
}

fn digest(reference: &SecretKeyRef, ctx: &Context) -> Option<String> {
    let seen = ctx.watches.credentials.get(&ctx.namespace, &reference.name).ok()?;
    ctx.principals.digest(reference, seen.as_ref()).ok().map(str::to_owned)
}
