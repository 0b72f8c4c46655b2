//! Access tokens: JWTs with Entra's claims, good only while this simulator says so.

use std::collections::HashMap;

use jiff::{SignedDuration, Timestamp};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use rcgen::KeyPair;
use serde::Serialize;
use uuid::Uuid;

use crate::{azure::Azure, http::Request, model::Principal};

/// Expired tokens are remembered this long, to be told from tokens never issued.
const EXPIRED_KEPT: SignedDuration = SignedDuration::from_hours(1);

/// The claims of an application's access token (Entra docs, `access-token-claims-reference`).
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Claims {
    pub(crate) aud: String,
    pub(crate) iss: String,
    pub(crate) iat: i64,
    pub(crate) nbf: i64,
    pub(crate) exp: i64,
    pub(crate) appid: String,
    pub(crate) idtyp: &'static str,
    pub(crate) oid: String,
    pub(crate) sub: String,
    pub(crate) tid: String,
    pub(crate) uti: String,
    pub(crate) ver: &'static str,
    /// App roles of the resource that the principal held when the token was issued.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) roles: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) xms_mirid: Option<String>,
}

/// An issued token.
#[derive(Clone, Debug)]
pub(crate) struct Issued {
    pub(crate) claims: Claims,
    /// When it stops being accepted; not after the `exp` that the client sees.
    pub(crate) expires: Timestamp,
}

/// All tokens that this simulator has issued.
///
/// Clients never verify an access token that is not meant for them, so that ES256 does where
/// Entra signs with RS256: its key is made in no time.
pub(crate) struct Tokens {
    key: EncodingKey,
    issued: HashMap<String, Issued>,
}

impl Tokens {
    pub(crate) fn new() -> Result<Self, rcgen::Error> {
        let key = EncodingKey::from_ec_der(KeyPair::generate()?.serialized_der());
        Ok(Self { key, issued: HashMap::new() })
    }

    /// Issues a token for `principal` to use at `audience` with these app roles, good for
    /// `lifetime` seconds.
    pub(crate) fn issue(
        &mut self,
        principal: &Principal,
        audience: &str,
        roles: &[String],
        lifetime: u32,
    ) -> Result<String, jsonwebtoken::errors::Error> {
        let now = Timestamp::now();
        let expires = now + SignedDuration::from_secs(lifetime.into());
        let claims = Claims {
            aud: audience.into(),
            iss: format!("https://sts.windows.net/{}/", principal.tenant_id),
            iat: now.as_second(),
            nbf: now.as_second(),
            exp: expires.as_second(),
            appid: principal.client_id.clone().unwrap_or_default(),
            idtyp: "app",
            oid: principal.object_id.clone(),
            sub: principal.object_id.clone(),
            tid: principal.tenant_id.clone(),
            uti: Uuid::new_v4().simple().to_string(),
            ver: "1.0",
            roles: roles.to_vec(),
            xms_mirid: principal.resource_id.clone(),
        };
        let token = jsonwebtoken::encode(&Header::new(Algorithm::ES256), &claims, &self.key)?;
        self.issued.retain(|_, it| now.duration_since(it.expires) < EXPIRED_KEPT);
        self.issued.insert(token.clone(), Issued { claims, expires });
        Ok(token)
    }

    /// The token, if this simulator has issued it.
    pub(crate) fn find(&self, token: &str) -> Option<&Issued> {
        self.issued.get(token)
    }

    /// Makes every token issued so far expire now.
    pub(crate) fn expire_all(&mut self) {
        let now = Timestamp::now();
        for token in self.issued.values_mut() {
            token.expires = token.expires.min(now);
        }
    }
}

/// The principal of a request's bearer token, whether or not the token is still good.
pub(crate) fn caller(azure: &Azure, request: &Request) -> Option<String> {
    azure.tokens().find(request.bearer()?).map(|it| it.claims.oid.clone())
}
