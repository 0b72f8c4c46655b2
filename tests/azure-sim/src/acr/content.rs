//! What a registry holds (distribution, `docs/content/spec/api.md`): what its backend says, or else
//! what the model says, with manifests that are made up. Azure redirects clients that ask for a
//! blob to a storage host; here they get it at once.

use hyper::{Method, StatusCode};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::{Context, error::Refusal, route::Api};
use crate::{
    http::Reply,
    model::{Repository, Tag},
};

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";
/// The digest of `{}`: the empty config of the OCI image specification.
const EMPTY: &str = "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a";
/// Names per page where the request does not say.
const PAGE: usize = 100;

/// Answers what the credential allows.
///
/// # Errors
/// 401 with a challenge, or 404.
pub(super) fn answer(context: &Context<'_>, api: &Api) -> Result<Reply, Refusal> {
    context.authorize(&api.wanted())?;
    match (api, &context.registry.content) {
        (Api::Ping, _) => Ok(Reply::json(StatusCode::OK, &json!({}))),
        (_, Some(backend)) => Ok(Reply::from_backend(backend)),
        (Api::Manifest { repository, reference }, None) => manifest(context, repository, reference),
        (Api::Blob { repository, digest }, None) => blob(context, repository, digest),
        (Api::Tags { repository }, None) => tags(context, repository),
        (Api::Catalog, None) => Ok(catalog(context)),
    }
}

fn manifest(context: &Context<'_>, name: &str, reference: &str) -> Result<Reply, Refusal> {
    let repository = repository(context, name)?;
    let found = repository.tags.iter().find_map(|tag| {
        let mut documents = made_up(name, tag).into_iter().map(|(content_type, body)| {
            let digest = digest(&body);
            (content_type, body, digest)
        });
        let (content_type, body, made_up) = documents.next()?;
        let digest = tag.digest.clone().unwrap_or(made_up);
        if tag.name == reference || digest == reference {
            return Some((content_type, body, digest));
        }
        documents.find(|(_, _, digest)| digest == reference)
    });
    let (content_type, body, digest) = found.ok_or_else(|| Refusal::manifest_unknown(reference))?;
    Ok(entity(context, content_type, body, &digest))
}

/// The config of the made-up manifests; there is no other blob.
fn blob(context: &Context<'_>, name: &str, digest: &str) -> Result<Reply, Refusal> {
    repository(context, name)?;
    if digest != EMPTY {
        return Err(Refusal::blob_unknown(digest));
    }
    Ok(entity(context, "application/octet-stream", "{}".into(), digest))
}

fn repository<'a>(context: &Context<'a>, name: &str) -> Result<&'a Repository, Refusal> {
    context.registry.repository(name).ok_or_else(|| Refusal::name_unknown(name))
}

/// The answer to GET, and to HEAD of the same.
fn entity(context: &Context<'_>, content_type: &'static str, body: String, digest: &str) -> Reply {
    let length = body.len().to_string();
    let reply = if context.request.method == Method::HEAD {
        Reply::empty(StatusCode::OK).header("content-type", content_type)
    } else {
        Reply::text(StatusCode::OK, content_type, body)
    };
    reply.header("content-length", length).header("docker-content-digest", digest)
}

/// What stands behind a tag: a manifest, or an index and the manifests of its platforms.
fn made_up(repository: &str, tag: &Tag) -> Vec<(&'static str, String)> {
    let name = format!("{repository}:{}", tag.name);
    if tag.platforms.is_empty() {
        return vec![(MANIFEST, made_up_manifest(&name))];
    }
    let manifests = tag.platforms.iter().map(|it| made_up_manifest(&format!("{name} for {it}")));
    let manifests: Vec<_> = manifests.collect();
    let described = tag.platforms.iter().zip(&manifests).map(|(platform, body)| {
        let mut parts = platform.splitn(3, '/');
        let [os, architecture] = [(); 2].map(|()| parts.next().unwrap_or_default());
        let mut platform = json!({"os": os, "architecture": architecture});
        if let Some(variant) = parts.next() {
            platform["variant"] = json!(variant);
        }
        json!({
            "mediaType": MANIFEST, "digest": digest(body), "size": body.len(), "platform": platform,
        })
    });
    let described: Vec<_> = described.collect();
    let index = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": described});
    let manifests = manifests.into_iter().map(|it| (MANIFEST, it));
    std::iter::once((INDEX, index.to_string())).chain(manifests).collect()
}

/// A manifest without layers that no other image has.
fn made_up_manifest(name: &str) -> String {
    let config =
        json!({"mediaType": "application/vnd.oci.empty.v1+json", "digest": EMPTY, "size": 2});
    json!({
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": config,
        "layers": [],
        "annotations": {"org.opencontainers.image.ref.name": name},
    })
    .to_string()
}

fn digest(body: &str) -> String {
    let bytes = Sha256::digest(body);
    let hex = bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]);
    let digits = hex.filter_map(|it| char::from_digit(u32::from(it), 16));
    format!("sha256:{}", digits.collect::<String>())
}

fn tags(context: &Context<'_>, name: &str) -> Result<Reply, Refusal> {
    let repository = repository(context, name)?;
    let all = repository.tags.iter().map(|it| it.name.clone()).collect();
    Ok(page(context, all, |tags| json!({"name": name, "tags": tags})))
}

fn catalog(context: &Context<'_>) -> Reply {
    let all = context.registry.repositories.iter().map(|it| it.name.clone()).collect();
    page(context, all, |names| json!({"repositories": names}))
}

/// The names after `last`, `n` at most, with a `Link` to the rest
/// (Azure/acr `docs/AAD-OAuth.md`, "Pagination").
fn page(context: &Context<'_>, mut names: Vec<String>, body: impl Fn(&[String]) -> Value) -> Reply {
    names.sort();
    if let Some(last) = context.request.parameter("last") {
        names.retain(|it| *it > last);
    }
    let size = context.request.parameter("n").and_then(|it| it.parse().ok()).unwrap_or(PAGE);
    let more = names.len() > size;
    names.truncate(size);
    let reply = Reply::json(StatusCode::OK, &body(&names));
    match names.last() {
        Some(last) if more => {
            let path = &context.request.path;
            let last: String = url::form_urlencoded::byte_serialize(last.as_bytes()).collect();
            reply.header("link", format!("<{path}?last={last}&n={size}&orderby=>; rel=\"next\""))
        }
        _ => reply,
    }
}
