//! `$filter` of service principals, as far as clients look one up by its application id.

use super::{error::GraphError, has_app_id};
use crate::model::{Principal, scope::is_guid};

/// What a list leaves in.
#[derive(Debug, PartialEq)]
pub(super) enum Filter {
    /// `appId eq '…'`
    AppId(String),
    /// `servicePrincipalNames/any(c:c eq '…')`. Names are the application id and the
    /// application's identifier URIs; the model holds none of the latter.
    Name(String),
}

impl Filter {
    /// # Errors
    /// 400, also for what Graph can do and this simulator cannot.
    pub(super) fn parse(text: &str) -> Result<Self, GraphError> {
        let text = text.trim();
        if let Some(app_id) = equals(text, "appId") {
            return match app_id {
                id if is_guid(&id) => Ok(Self::AppId(id)),
                _ => Err(GraphError::unsupported_filter("appId")),
            };
        }
        if let Some(name) = any(text, "servicePrincipalNames") {
            return Ok(Self::Name(name));
        }
        let length = text.find(|it: char| !it.is_ascii_alphanumeric()).unwrap_or(text.len());
        match text.split_at(length) {
            (property, rest) if rest.starts_with([' ', '/']) && !property.is_empty() => {
                Err(GraphError::unsupported_filter(property))
            }
            _ => Err(GraphError::invalid_filter()),
        }
    }

    pub(super) fn selects(&self, principal: &Principal) -> bool {
        match self {
            Self::AppId(id) | Self::Name(id) => has_app_id(principal, id),
        }
    }
}

/// The value in `left/any(c:c eq 'value')`.
fn any(text: &str, left: &str) -> Option<String> {
    let lambda = text.strip_prefix(left)?.strip_prefix("/any(")?.strip_suffix(')')?;
    let (variable, comparison) = lambda.split_once(':')?;
    equals(comparison.trim(), variable.trim())
}

/// The value in `left eq 'value'`; a quote in it is doubled.
fn equals(text: &str, left: &str) -> Option<String> {
    let right = text.strip_prefix(left)?.strip_prefix(' ')?.trim_start().strip_prefix("eq ")?;
    let value = right.trim().strip_prefix('\'')?.strip_suffix('\'')?;
    let single = value.replace("''", "");
    (!single.contains('\'')).then(|| value.replace("''", "'"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "5a512f68-af7f-4e8b-b7d4-19f3ea7372db";

    fn refused(text: &str) -> String {
        Filter::parse(text).unwrap_err().to_string()
    }

    #[test]
    fn filters_name_an_application() {
        let by_name = |name: &str| Filter::Name(name.into());
        for (text, expected) in [
            (format!("appId eq '{ID}'"), Filter::AppId(ID.into())),
            (format!("servicePrincipalNames/any(c:c eq '{ID}')"), by_name(ID)),
            (format!("servicePrincipalNames/any(it: it eq '{ID}')"), by_name(ID)),
            ("servicePrincipalNames/any(c:c eq 'it''s')".into(), by_name("it's")),
        ] {
            assert_eq!(Filter::parse(&text).unwrap(), expected, "{text}");
        }
    }

    #[test]
    fn other_filters_are_refused() {
        for text in ["appId eq 'x'", "appId eq ''", "appId ne null"] {
            assert!(refused(text).contains("for property 'appId' of resource"), "{text}");
        }
        assert!(refused("tags/any(t:t eq 'x')").contains("property 'tags'"));
        for text in ["", "'x'", "startswith(displayName,'x')"] {
            assert_eq!(refused(text), "BadRequest: Invalid filter clause", "{text}");
        }
        for text in ["servicePrincipalNames/any(c:d eq 'x')", "servicePrincipalNames eq 'x'"] {
            assert!(refused(text).contains("property 'servicePrincipalNames'"), "{text}");
        }
    }
}
