//! What a subscription forbids by its own state, whatever rights somebody has in it.

use hyper::Method;

use super::{error::ArmError, operation::Operation};
use crate::{http::Request, model::Subscription};

/// Checks that the subscription can be written, if that is asked, and knows the resource type.
/// Whether Azure looks at either before or after the caller's rights was not seen.
///
/// # Errors
/// 409 in the words of `vscode-azureappservice` issue 1646 and `vscode-docker` issue 3068. The
/// status of the latter is in `neonKUBE` issue 1670; that of the former is reported from the field.
pub(super) fn check(
    subscription: &Subscription,
    operation: &Operation,
    request: &Request,
) -> Result<(), ArmError> {
    let namespace = operation.resource_type().split('/').next().unwrap_or_default();
    if subscription.unregistered.iter().any(|it| it.eq_ignore_ascii_case(namespace)) {
        let message = format!(
            "The subscription is not registered to use namespace '{namespace}'. See \
             https://aka.ms/rps-not-found for how to register subscriptions."
        );
        return Err(ArmError::conflict("MissingSubscriptionRegistration", message));
    }
    if subscription.disabled && request.method != Method::GET {
        let message = format!(
            "The subscription '{}' is disabled and therefore marked as read only. You cannot \
             perform any write actions on this subscription until it is re-enabled.",
            subscription.subscription_id
        );
        return Err(ArmError::conflict("ReadOnlyDisabledSubscription", message));
    }
    Ok(())
}
