//! The Bearer challenge of a registry.

/// The value of a parameter of a Bearer challenge, which stands in header `WWW-Authenticate` (RFC 6750 section
/// 3; project distribution/distribution, `docs/content/spec/auth/token.md`). `realm` is the URL of the token
/// endpoint, `service` the name by which that endpoint knows the registry.
#[must_use]
pub fn parameter<'a>(authenticate: &'a str, name: &str) -> Option<&'a str> {
    let (scheme, parameters) = authenticate.split_once(' ')?;
    let mut parameters = parameters.split(',').map(str::trim_start);
    let value = parameters.find_map(|it| it.strip_prefix(name)?.strip_prefix("=\""))?;
    scheme.eq_ignore_ascii_case("Bearer").then_some(value)?.strip_suffix('"')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_read_in_any_order() {
        let challenge = r#"Bearer realm="https://x.example/t?a=service", service="x.example",scope="repository:a:pull,push""#;
        assert_eq!(parameter(challenge, "realm"), Some("https://x.example/t?a=service"));
        assert_eq!(parameter(challenge, "service"), Some("x.example"));
        assert_eq!(parameter(challenge, "error"), None);
        assert_eq!(parameter(r#"Basic realm="x""#, "realm"), None);
        assert_eq!(parameter("Bearer", "realm"), None);
    }
}
