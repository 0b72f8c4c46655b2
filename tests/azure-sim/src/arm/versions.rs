//! The api-version of a call: there, and known.

use hyper::StatusCode;

use super::{error::ArmError, groups, operation::Operation, role_assignments};
use crate::{
    http::Request,
    model::{DEFAULT_LOCATION, Model, UnknownVersion},
};

/// Checks the api-version of a request.
///
/// # Errors
/// With the versions that exist, as [`UnknownVersion`] tells.
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
    Err(unknown(answer(model, kind), kind, &version, known))
}

/// How that resource type answers.
fn answer(model: &Model, kind: &str) -> UnknownVersion {
    match model.settings.unknown_version {
        UnknownVersion::ByType if kind == groups::TYPE => {
            UnknownVersion::InvalidApiVersionParameter
        }
        UnknownVersion::ByType if kind == role_assignments::TYPE => {
            UnknownVersion::InvalidResourceType
        }
        other => other,
    }
}

fn unknown(answer: UnknownVersion, kind: &str, version: &str, known: &[String]) -> ArmError {
    let (namespace, short) = kind.split_once('/').unwrap_or_default();
    match answer {
        UnknownVersion::InvalidApiVersionParameter => {
            let supported = known.join(",");
            let message = format!(
                "The api-version '{version}' is invalid. The supported versions are '{supported}'."
            );
            ArmError::bad_request("InvalidApiVersionParameter", message)
        }
        UnknownVersion::InvalidResourceType => {
            let supported = known.join(",");
            let message = format!(
                "The resource type '{short}' could not be found in the namespace '{namespace}' for \
                 api version '{version}'. The supported api-versions are '{supported}'."
            );
            ArmError::new(StatusCode::NOT_FOUND, "InvalidResourceType", message)
        }
        UnknownVersion::NoRegisteredProviderFound | UnknownVersion::ByType => {
            let supported = known.join(", ");
            let message = format!(
                "No registered resource provider found for location '{DEFAULT_LOCATION}' and API \
                 version '{version}' for type '{short}'. The supported api-versions are \
                 '{supported}'. The supported locations are 'westus, eastus, westeurope, \
                 northeurope'."
            );
            ArmError::bad_request("NoRegisteredProviderFound", message)
        }
    }
}
