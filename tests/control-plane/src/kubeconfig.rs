//! Kubeconfigs: written for the programs and for users, and made into clients.

use std::{fs, path::Path};

use base64::{Engine, engine::general_purpose::STANDARD};
use kube::{
    Client, Config,
    config::{KubeConfigOptions, Kubeconfig},
};
use serde_json::{Value, json};

use crate::{Error, certificates::Identity};

/// Writes a kubeconfig that holds all it needs, so that it may be copied away.
pub(crate) fn write(
    path: &Path,
    server: &str,
    authority: &str,
    identity: &Identity,
) -> Result<(), Error> {
    let cluster =
        json!({ "server": server, "certificate-authority-data": STANDARD.encode(authority) });
    let user = json!({
        "client-certificate-data": STANDARD.encode(&identity.certificate),
        "client-key-data": STANDARD.encode(&identity.key),
    });
    let text = serde_saphyr::to_string(&value(&cluster, &user))
        .map_err(|error| Error::Kubeconfig { path: path.into(), reason: error.to_string() })?;
    fs::write(path, text).map_err(Error::file("write", path))
}

/// Reads a kubeconfig file.
pub(crate) fn read(path: &Path) -> Result<Kubeconfig, Error> {
    Kubeconfig::read_from(path)
        .map_err(|error| Error::Kubeconfig { path: path.into(), reason: error.to_string() })
}

/// The kubeconfig in `path`, with a bearer token in place of its user.
pub(crate) fn with_token(path: &Path, token: &str) -> Result<Kubeconfig, Error> {
    let unusable = |reason: String| Error::Kubeconfig { path: path.into(), reason };
    let cluster = read(path)?
        .clusters
        .into_iter()
        .find_map(|named| named.cluster)
        .ok_or_else(|| unusable("it names no cluster".into()))?;
    let cluster = serde_json::to_value(cluster).map_err(|error| unusable(error.to_string()))?;
    serde_json::from_value(value(&cluster, &json!({ "token": token })))
        .map_err(|error| unusable(error.to_string()))
}

/// Makes a client that answers at once and goes straight to loopback.
///
/// The proxy variables of the environment are not for it: kube refuses to start
/// when one is set and its proxy feature is not. Retries are off, so that a
/// test sees each answer of the API server.
pub(crate) async fn client(kubeconfig: Kubeconfig) -> Result<Client, Error> {
    let unusable = |reason: String| Error::Kubeconfig { path: "(in memory)".into(), reason };
    let mut config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default())
        .await
        .map_err(|error| unusable(error.to_string()))?;
    config.proxy_url = None;
    config.default_retry = false;
    Client::try_from(config).map_err(|error| unusable(error.to_string()))
}

fn value(cluster: &Value, user: &Value) -> Value {
    const NAME: &str = "control-plane";
    json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{ "name": NAME, "cluster": cluster }],
        "users": [{ "name": NAME, "user": user }],
        "contexts": [{ "name": NAME, "context": { "cluster": NAME, "user": NAME } }],
        "current-context": NAME,
    })
}
