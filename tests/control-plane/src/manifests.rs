//! Installs `CustomResourceDefinition` manifests.

use http::Request;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::{Api, Client, ResourceExt, api::PostParams};

use crate::{Error, program::Program, wait::until};

/// Reads the manifests, each with one or more YAML documents.
pub(crate) fn parse(texts: &[String]) -> Result<Vec<CustomResourceDefinition>, Error> {
    let mut definitions = Vec::new();
    for text in texts {
        let documents: Vec<CustomResourceDefinition> = serde_saphyr::from_multiple(text)
            .map_err(|error| Error::Manifest(error.to_string()))?;
        definitions.extend(documents);
    }
    Ok(definitions)
}

/// Creates the definitions and waits until their objects can be listed.
pub(crate) async fn install(
    client: &Client,
    definitions: &[CustomResourceDefinition],
    programs: &mut [&mut Program],
) -> Result<(), Error> {
    let api: Api<CustomResourceDefinition> = Api::all(client.clone());
    for definition in definitions {
        api.create(&PostParams::default(), definition).await.map_err(Error::kubernetes(
            format!("install the CustomResourceDefinition {}", definition.name_any()),
        ))?;
    }
    for definition in definitions {
        let goal = format!("objects of {} are served", definition.name_any());
        until(&goal, programs, || served(client.clone(), list_path(definition))).await?;
    }
    Ok(())
}

/// The path under which the objects of the first served version are listed.
fn list_path(definition: &CustomResourceDefinition) -> String {
    let spec = &definition.spec;
    let version = spec.versions.iter().find(|version| version.served);
    let version = version.map_or("", |version| version.name.as_str());
    format!("/apis/{}/{version}/{}?limit=1", spec.group, spec.names.plural)
}

/// A list that is answered says more than the condition `Established`, which is
/// set a moment before the API server serves the kind.
async fn served(client: Client, path: String) -> Result<(), String> {
    let request = Request::get(path).body(Vec::new()).map_err(|error| error.to_string())?;
    client.request_text(request).await.map(drop).map_err(|error| error.to_string())
}
