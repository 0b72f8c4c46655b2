//! Tokens of registries: JWTs with the claims of Azure/acr `docs/AAD-OAuth.md`, good only while
//! this simulator says so.

use std::collections::HashMap;

use jiff::{SignedDuration, Timestamp};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use rcgen::KeyPair;
use serde_json::{Value, json};
use uuid::Uuid;

use super::{rights::Permission, scope::Access};
use crate::model::RoleAssignmentMode;

/// Expired tokens are remembered this long: the journal still knows whose they were.
const EXPIRED_KEPT: SignedDuration = SignedDuration::from_hours(1);

/// What a token is for.
#[derive(Clone, Debug)]
pub(super) enum Kind {
    /// To get access tokens with; with what was found at exchange.
    Refresh { tenant: String, permissions: Vec<Permission> },
    /// To use the registry with.
    Access(Vec<Access>),
}

/// A token of a registry.
#[derive(Clone, Debug)]
pub(crate) struct RegistryToken {
    pub(super) kind: Kind,
    /// The registry that takes it.
    pub(super) login_server: String,
    /// The mode that the registry was in.
    pub(super) mode: RoleAssignmentMode,
    /// The object id of who holds it; absent for anonymous pulls.
    pub(super) principal: Option<String>,
    /// The name of who holds it.
    pub(super) subject: String,
}

struct Issued {
    token: RegistryToken,
    expires: Timestamp,
}

/// All tokens that registries of this simulator have issued.
pub(crate) struct RegistryTokens {
    key: EncodingKey,
    issued: HashMap<String, Issued>,
}

impl RegistryTokens {
    pub(crate) fn new() -> Result<Self, rcgen::Error> {
        let key = EncodingKey::from_ec_der(KeyPair::generate()?.serialized_der());
        Ok(Self { key, issued: HashMap::new() })
    }

    /// Issues a token that is good for `lifetime` seconds.
    pub(super) fn issue(
        &mut self,
        token: RegistryToken,
        lifetime: u32,
        now: Timestamp,
    ) -> Result<String, jsonwebtoken::errors::Error> {
        let expires = now + SignedDuration::from_secs(lifetime.into());
        let claims = token.claims(now, expires);
        let text = jsonwebtoken::encode(&Header::new(Algorithm::ES256), &claims, &self.key)?;
        self.issued.retain(|_, it| now.duration_since(it.expires) < EXPIRED_KEPT);
        self.issued.insert(text.clone(), Issued { token, expires });
        Ok(text)
    }

    /// The token, if it is one and has not expired.
    pub(super) fn good(&self, text: &str, now: Timestamp) -> Option<&RegistryToken> {
        self.issued.get(text).filter(|it| now < it.expires).map(|it| &it.token)
    }

    /// The object id of who holds a token, whether or not it is still good.
    pub(super) fn holder(&self, text: &str) -> Option<String> {
        self.issued.get(text)?.token.principal.clone()
    }

    /// Makes every token issued so far expire now.
    pub(crate) fn expire_all(&mut self) {
        let now = Timestamp::now();
        for token in self.issued.values_mut() {
            token.expires = token.expires.min(now);
        }
    }
}

impl RegistryToken {
    fn claims(&self, now: Timestamp, expires: Timestamp) -> Value {
        let mut claims = json!({
            "jti": Uuid::new_v4().to_string(),
            "sub": self.subject,
            "nbf": now.as_second(),
            "exp": expires.as_second(),
            "iat": now.as_second(),
            "iss": "Azure Container Registry",
            "aud": self.login_server,
            "version": "1.0",
            "roles": [],
        });
        match &self.kind {
            Kind::Refresh { tenant, permissions } => {
                claims["grant_type"] = json!("refresh_token");
                claims["tenant"] = json!(tenant);
                claims["permissions"] = json!({"actions": permissions, "notActions": []});
            }
            Kind::Access(access) => {
                claims["grant_type"] = json!("access_token");
                claims["access"] = json!(access);
            }
        }
        claims
    }
}
