//! Who calls: the bearer token, and whether it is good here.

use hyper::StatusCode;
use jiff::Timestamp;

use super::error::ArmError;
use crate::{azure::Azure, hosts::Resource, http::Request, model::Model, tokens::Issued};

/// The principal of a valid token.
#[derive(Debug)]
pub(crate) struct Caller {
    /// Its object id.
    pub(crate) principal: String,
    /// Its application id.
    pub(crate) client: String,
    tenant: String,
}

/// Reads and checks the token.
///
/// # Errors
/// 401 with the code that ARM has for what is wrong.
pub(super) fn authenticate(
    azure: &Azure,
    model: &Model,
    request: &Request,
) -> Result<Caller, ArmError> {
    if request.header("authorization").is_none() {
        let message = "Authentication failed. The 'Authorization' header is missing.";
        return Err(unauthorized(model, "AuthenticationFailed", message.into()));
    }
    let token = request.bearer().and_then(|it| azure.tokens().find(it).cloned());
    let Some(Issued { claims, expires }) = token else {
        let message = "The access token is invalid.";
        return Err(unauthorized(model, "InvalidAuthenticationToken", message.into()));
    };
    let now = Timestamp::now();
    if expires <= now {
        let show = |it: Timestamp| it.strftime("%-m/%-d/%Y %-I:%M:%S %p").to_string();
        let message = format!(
            "The access token expiry UTC time '{}' is earlier than current UTC time '{}'.",
            show(expires),
            show(now)
        );
        return Err(unauthorized(model, "ExpiredAuthenticationToken", message));
    }
    let cloud = model.settings.cloud;
    if cloud.resource(&claims.aud) != Some(Resource::Arm) {
        let allowed = cloud.arm_audiences().map(|it| format!("'{it}'")).join(",");
        let message = format!(
            "The access token has been obtained for wrong audience or resource '{}'. It should \
             exactly match with one of the allowed audiences {allowed}.",
            claims.aud
        );
        return Err(unauthorized(model, "InvalidAuthenticationTokenAudience", message));
    }
    Ok(Caller { principal: claims.oid, client: claims.appid, tenant: claims.tid })
}

impl Caller {
    /// Checks that the token is of the tenant that a subscription trusts.
    ///
    /// # Errors
    /// 401 `InvalidAuthenticationTokenTenant` (azure-sdk-for-python issue 38382).
    pub(super) fn check_tenant(&self, tenant: &str) -> Result<(), ArmError> {
        let own = &self.tenant;
        if own.eq_ignore_ascii_case(tenant) {
            return Ok(());
        }
        let message = format!(
            "The access token is from the wrong issuer 'https://sts.windows.net/{own}/'. It must \
             match the tenant 'https://sts.windows.net/{tenant}/' associated with this \
             subscription. Please use the authority (URL) 'https://login.windows.net/{tenant}' to \
             get the token. Note, if the subscription is transferred to another tenant there is \
             no impact to the services, but information about new tenant could take time to \
             propagate (up to an hour). If you just transferred your subscription and see this \
             error message, please try back later."
        );
        let status = StatusCode::UNAUTHORIZED;
        Err(ArmError::new(status, "InvalidAuthenticationTokenTenant", message))
    }
}

/// 401 with the challenge that ARM adds.
fn unauthorized(model: &Model, code: &str, message: String) -> ArmError {
    let tenant = model.tenants.first().map_or("common", |it| &it.tenant_id);
    let host = model.settings.cloud.authority_host();
    let challenge = format!(
        "Bearer authorization_uri=\"https://{host}/{tenant}\", error=\"invalid_token\", \
         error_description=\"{message}\""
    );
    ArmError::new(StatusCode::UNAUTHORIZED, code, message)
        .with_header("www-authenticate", challenge)
}
