//! What a registry holds, as far as the model says (distribution, `docs/content/spec/api.md`).

use hyper::{Method, StatusCode};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::{Context, error::Refusal, route::Route};
use crate::{http::Reply, model::Tag};

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
/// The digest of `{}`: the empty config of the OCI image specification.
const EMPTY: &str = "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a";
/// Names per page where the request does not say.
const PAGE: usize = 100;

pub(super) fn ping(context: &Context<'_>) -> Result<Reply, Refusal> {
    context.authorize(&[])?;
    Ok(Reply::json(StatusCode::OK, &json!({})))
}

pub(super) fn manifest(
    context: &Context<'_>,
    route: &Route,
    name: &str,
    reference: &str,
) -> Result<Reply, Refusal> {
    context.authorize(&route.wanted())?;
    let repository =
        context.registry.repository(name).ok_or_else(|| Refusal::name_unknown(name))?;
    let found = repository.tags.iter().find_map(|tag| {
        let body = made_up_manifest(name, tag);
        let digest = tag.digest.clone().unwrap_or_else(|| digest(&body));
        (tag.name == reference || digest == reference).then_some((body, digest))
    });
    let (body, digest) = found.ok_or_else(|| Refusal::manifest_unknown(reference))?;
    let length = body.len().to_string();
    let reply = if context.request.method == Method::HEAD {
        Reply::empty(StatusCode::OK).header("content-type", MANIFEST)
    } else {
        Reply::text(StatusCode::OK, MANIFEST, body)
    };
    Ok(reply.header("content-length", length).header("docker-content-digest", digest))
}

/// A manifest without layers that no other tag has.
fn made_up_manifest(repository: &str, tag: &Tag) -> String {
    let config =
        json!({"mediaType": "application/vnd.oci.empty.v1+json", "digest": EMPTY, "size": 2});
    let name = format!("{repository}:{}", tag.name);
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

pub(super) fn tags(context: &Context<'_>, route: &Route, name: &str) -> Result<Reply, Refusal> {
    context.authorize(&route.wanted())?;
    let repository =
        context.registry.repository(name).ok_or_else(|| Refusal::name_unknown(name))?;
    let all = repository.tags.iter().map(|it| it.name.clone()).collect();
    Ok(page(context, all, |tags| json!({"name": name, "tags": tags})))
}

pub(super) fn catalog(context: &Context<'_>, route: &Route) -> Result<Reply, Refusal> {
    context.authorize(&route.wanted())?;
    let all = context.registry.repositories.iter().map(|it| it.name.clone()).collect();
    Ok(page(context, all, |names| json!({"repositories": names})))
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
