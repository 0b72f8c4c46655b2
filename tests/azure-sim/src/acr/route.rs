//! The paths of a registry, and what each wants a token for.

use hyper::Method;

use super::scope::{Access, CATALOG, REPOSITORY};
use crate::{Call, http::Request};

/// A path that the registry serves.
#[derive(Debug, Eq, PartialEq)]
pub(super) enum Route {
    Exchange,
    Token,
    Api(Api),
}

/// A path of the distribution API, all below `/v2/`.
#[derive(Debug, Eq, PartialEq)]
pub(super) enum Api {
    Ping,
    Manifest { repository: String, reference: String },
    Blob { repository: String, digest: String },
    Tags { repository: String },
    Catalog,
}

impl Route {
    /// Reads method and path. A wrong method is an unknown path, as the registry answers it
    /// (Azure/acr issue 166).
    pub(super) fn parse(request: &Request) -> Option<Self> {
        let segments = request.segments();
        let segments: Vec<_> = segments.iter().map(String::as_str).collect();
        let get = request.method == Method::GET;
        let post = request.method == Method::POST;
        match segments.as_slice() {
            ["oauth2", "exchange"] if post => Some(Self::Exchange),
            ["oauth2", "token"] if get || post => Some(Self::Token),
            ["v2", path @ ..] => Api::parse(&request.method, path).map(Self::Api),
            _ => None,
        }
    }

    pub(super) fn call(&self) -> Call {
        match self {
            Self::Exchange => Call::RegistryExchange,
            Self::Token => Call::RegistryToken,
            Self::Api(Api::Ping) => Call::RegistryPing,
            Self::Api(Api::Manifest { .. }) => Call::RegistryManifest,
            Self::Api(Api::Blob { .. }) => Call::RegistryBlob,
            Self::Api(Api::Tags { .. }) => Call::RegistryTags,
            Self::Api(Api::Catalog) => Call::RegistryCatalog,
        }
    }
}

impl Api {
    fn parse(method: &Method, path: &[&str]) -> Option<Self> {
        let get = method == Method::GET;
        let read = get || method == Method::HEAD;
        match path {
            [] if read => Some(Self::Ping),
            ["_catalog"] if get => Some(Self::Catalog),
            [name @ .., "manifests", reference] if read && !name.is_empty() => {
                let (repository, reference) = (name.join("/"), (*reference).into());
                Some(Self::Manifest { repository, reference })
            }
            [name @ .., "blobs", digest] if read && !name.is_empty() => {
                let (repository, digest) = (name.join("/"), (*digest).into());
                Some(Self::Blob { repository, digest })
            }
            [name @ .., "tags", "list"] if get && !name.is_empty() => {
                Some(Self::Tags { repository: name.join("/") })
            }
            _ => None,
        }
    }

    /// The access that lets a request pass; one of several is enough. The first one is what the
    /// challenge asks for: `metadata_read` for tags as in Juju's client for this registry.
    pub(super) fn wanted(&self) -> Vec<Access> {
        let one = |name: &str, action: &str| Access::new(REPOSITORY, name, [action]);
        match self {
            Self::Ping => Vec::new(),
            Self::Manifest { repository, .. } | Self::Blob { repository, .. } => {
                vec![one(repository, "pull")]
            }
            Self::Tags { repository } => {
                vec![one(repository, "metadata_read"), one(repository, "pull")]
            }
            Self::Catalog => vec![Access::new(CATALOG.0, CATALOG.1, ["*"])],
        }
    }
}

#[cfg(test)]
mod tests {
    use hyper::HeaderMap;

    use super::*;

    fn parse(method: Method, path: &str) -> Option<Route> {
        Route::parse(&Request {
            host: "contoso.azurecr.io".into(),
            client: std::net::Ipv4Addr::LOCALHOST.into(),
            method,
            path: path.into(),
            query: String::new(),
            headers: HeaderMap::new(),
            body: Vec::new().into(),
        })
    }

    #[test]
    fn names_of_repositories_have_slashes() {
        let api = |it| Some(Route::Api(it));
        let manifest = |repository: &str, reference: &str| {
            api(Api::Manifest { repository: repository.into(), reference: reference.into() })
        };
        assert_eq!(parse(Method::HEAD, "/v2/app/manifests/v1"), manifest("app", "v1"));
        let path = "/v2/team/manifests/app/manifests/sha256:00";
        assert_eq!(parse(Method::GET, path), manifest("team/manifests/app", "sha256:00"));
        let blob = Api::Blob { repository: "team/app".into(), digest: "sha256:00".into() };
        assert_eq!(parse(Method::GET, "/v2/team/app/blobs/sha256:00"), api(blob));
        let tags = Api::Tags { repository: "a/b/c".into() };
        assert_eq!(parse(Method::GET, "/v2/a/b/c/tags/list"), api(tags));
    }

    #[test]
    fn other_methods_and_paths_are_unknown() {
        assert_eq!(parse(Method::GET, "/v2"), Some(Route::Api(Api::Ping)));
        assert_eq!(parse(Method::POST, "/oauth2/token"), Some(Route::Token));
        for (method, path) in [
            (Method::GET, "/oauth2/exchange"),
            (Method::DELETE, "/v2/app/manifests/v1"),
            (Method::GET, "/v2/manifests/v1"),
            (Method::GET, "/v2/blobs/sha256:00"),
            (Method::POST, "/v2/app/blobs/uploads/"),
            (Method::GET, "/"),
        ] {
            assert_eq!(parse(method, path), None, "{path}");
        }
    }
}
