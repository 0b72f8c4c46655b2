//! Who calls Graph, and what the token lets them do.

use jiff::Timestamp;

use super::error::GraphError;
use crate::{
    azure::Azure,
    hosts::Resource,
    http::Request,
    model::Model,
    tokens::{Claims, Issued},
};

/// Each of these is enough to read service principals (Graph docs, `serviceprincipal-get`).
const MAY_READ: [&str; 5] = [
    "Application.Read.All",
    "Application.ReadWrite.All",
    "Application.ReadWrite.OwnedBy",
    "Directory.Read.All",
    "Directory.ReadWrite.All",
];

/// The principal of a valid token.
#[derive(Debug)]
pub(super) struct Caller(Claims);

/// Reads and checks the token.
///
/// # Errors
/// 401 `InvalidAuthenticationToken`, whatever is wrong.
pub(super) fn authenticate(
    azure: &Azure,
    model: &Model,
    request: &Request,
    now: Timestamp,
) -> Result<Caller, GraphError> {
    if request.header("authorization").is_none() {
        return Err(GraphError::unauthorized("Access token is empty."));
    }
    let token = request.bearer().and_then(|it| azure.tokens().find(it).cloned());
    let Some(Issued { claims, expires }) = token else {
        // AzureAD/microsoft-identity-web issue 979 and many others.
        let message = "CompactToken parsing failed with error code: 80049217";
        return Err(GraphError::unauthorized(message));
    };
    if expires <= now {
        // s1t5/mail-archiver issue 267.
        let message = "Lifetime validation failed, the token is expired.";
        return Err(GraphError::unauthorized(message));
    }
    if model.settings.cloud.resource(&claims.aud) != Some(Resource::Graph) {
        // microsoft-graph-docs issue 16208.
        let message = "Access token validation failure. Invalid audience.";
        return Err(GraphError::unauthorized(message));
    }
    Ok(Caller(claims))
}

impl Caller {
    /// The tenant whose directory is read.
    pub(super) fn tenant(&self) -> &str {
        &self.0.tid
    }

    /// Whether this is the caller's own application id.
    pub(super) fn is(&self, app_id: &str) -> bool {
        self.0.appid.eq_ignore_ascii_case(app_id)
    }

    /// Checks that the token carries an app role for reading.
    ///
    /// # Errors
    /// 403 `Authorization_RequestDenied`.
    pub(super) fn check_may_read(&self) -> Result<(), GraphError> {
        let may = self.0.roles.iter().any(|it| MAY_READ.contains(&&**it));
        if may { Ok(()) } else { Err(GraphError::denied()) }
    }
}
