//! Client assertions of workload identity federation: who issued them, for whom, and whether
//! the signature holds (Entra docs, `workload-identity-federation`).

use jiff::Timestamp;
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use serde::Deserialize;

use super::error::EntraError;
use crate::model::{FederatedCredential, Model, Principal};

/// `aud` is one text or several.
#[derive(Deserialize)]
#[serde(untagged)]
enum Audience {
    One(String),
    Many(Vec<String>),
}

#[derive(Deserialize)]
struct Assertion {
    iss: String,
    sub: String,
    aud: Audience,
    exp: i64,
    #[serde(default)]
    nbf: i64,
}

impl Audience {
    fn has(&self, audience: &str) -> bool {
        match self {
            Self::One(it) => it == audience,
            Self::Many(them) => them.iter().any(|it| it == audience),
        }
    }

    fn first(&self) -> &str {
        match self {
            Self::One(it) => it,
            Self::Many(them) => them.first().map_or("", String::as_str),
        }
    }
}

/// Checks that `assertion` proves `principal`.
///
/// # Errors
/// The error of the first thing that is wrong, in this order: form, issuer, subject, audience,
/// signature, time.
pub(super) fn verify(
    model: &Model,
    principal: &Principal,
    assertion: &str,
) -> Result<(), EntraError> {
    let claims: Assertion = jsonwebtoken::dangerous::insecure_decode_claims(assertion)
        .map_err(|_| EntraError::malformed_assertion())?;
    let credential = matching(&principal.federated_credentials, &claims)?;
    verify_signature(model, credential, assertion)?;
    let now = Timestamp::now();
    if now.as_second() < claims.nbf || claims.exp <= now.as_second() {
        let time = |second| Timestamp::from_second(second).unwrap_or(Timestamp::UNIX_EPOCH);
        return Err(EntraError::expired_assertion(now, time(claims.nbf), time(claims.exp)));
    }
    Ok(())
}

/// The federated credential that the claims are for; all comparisons are case-sensitive.
fn matching<'a>(
    credentials: &'a [FederatedCredential],
    claims: &Assertion,
) -> Result<&'a FederatedCredential, EntraError> {
    if credentials.is_empty() {
        let audience = claims.aud.first();
        return Err(EntraError::no_federated_credential(&claims.iss, &claims.sub, audience));
    }
    let mut of_issuer = credentials.iter().filter(|it| it.issuer == claims.iss).peekable();
    if of_issuer.peek().is_none() {
        return Err(EntraError::wrong_issuer(&claims.iss));
    }
    let of_issuer: Vec<_> = of_issuer.collect();
    let Some(credential) = of_issuer.iter().find(|it| it.subject == claims.sub) else {
        let in_other_case = of_issuer.iter().any(|it| it.subject.eq_ignore_ascii_case(&claims.sub));
        return Err(if in_other_case {
            EntraError::subject_in_other_case(&claims.sub)
        } else {
            EntraError::wrong_subject(&claims.sub)
        });
    };
    if !claims.aud.has(&credential.audience) {
        return Err(EntraError::wrong_audience(claims.aud.first()));
    }
    Ok(credential)
}

fn verify_signature(
    model: &Model,
    credential: &FederatedCredential,
    assertion: &str,
) -> Result<(), EntraError> {
    let issuer = model.token_issuers.iter().find(|it| it.issuer == credential.issuer);
    let issuer = issuer.ok_or_else(|| EntraError::unreachable_issuer(credential))?;
    let signed = issuer.public_keys.iter().any(|pem| is_signed_by(assertion, pem));
    if signed { Ok(()) } else { Err(EntraError::wrong_signature()) }
}

fn is_signed_by(assertion: &str, public_key: &str) -> bool {
    let pem = public_key.as_bytes();
    let rsa = DecodingKey::from_rsa_pem(pem).map(|it| (it, Algorithm::RS256));
    let key = rsa.or_else(|_| DecodingKey::from_ec_pem(pem).map(|it| (it, Algorithm::ES256)));
    let Ok((key, algorithm)) = key else { return false };
    let mut validation = Validation::new(algorithm);
    // Times are judged by `verify`, with Entra's error.
    validation.validate_exp = false;
    validation.validate_aud = false;
    validation.required_spec_claims.clear();
    jsonwebtoken::decode::<serde_json::Value>(assertion, &key, &validation).is_ok()
}
