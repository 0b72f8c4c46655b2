//! The api-version of a call: there, and known.

use super::{error::ArmError, groups, operation::Operation};
use crate::{
    http::Request,
    model::{DEFAULT_LOCATION, Model},
};

/// Checks the api-version of a request.
///
/// # Errors
/// 400, with the versions that exist, as `AzGovViz` issue 266 shows them for registries.
pub(super) fn check(
    model: &Model,
    operation: &Operation,
    request: &Request,
) -> Result<(), ArmError> {
    let Some(version) = request.parameter("api-version").filter(|it| !it.is_empty()) else {
        return Err(ArmError::bad_request(
            "MissingApiVersionParameter",
            "The api-version query parameter (?api-version=) is required for all requests.",
        ));
    };
    let kind = operation.resource_type();
    let known = model.settings.api_versions.get(kind).map(Vec::as_slice).unwrap_or_default();
    if known.iter().any(|it| it.eq_ignore_ascii_case(&version)) {
        return Ok(());
    }
    let supported = known.join(", ");
    // Resource groups belong to ARM itself, which has an error of its own.
    if kind == groups::TYPE {
        let message = format!(
            "The api-version '{version}' is invalid. The supported versions are '{supported}'."
        );
        return Err(ArmError::bad_request("InvalidApiVersionParameter", message));
    }
    let short = kind.rsplit('/').next().unwrap_or_default();
    let message = format!(
        "No registered resource provider found for location '{DEFAULT_LOCATION}' and API version \
         '{version}' for type '{short}'. The supported api-versions are '{supported}'. The \
         supported locations are 'westus, eastus, westeurope, northeurope'."
    );
    Err(ArmError::bad_request("NoRegisteredProviderFound", message))
}
