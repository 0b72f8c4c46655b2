//! The `CustomResourceDefinition`, derived from the types, with corrections that the derive macro
//! cannot express.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceDefinition, JSON, JSONSchemaProps, JSONSchemaPropsOrArray, JSONSchemaPropsOrBool,
};
use kube_core::CustomResourceExt;
use serde_json::json;

use super::RegistryAttachment;

/// The definition to install.
///
/// Three things differ from what the derive says. No field is nullable: with `nullable`, a
/// server-side apply that turns a selector's labels into `{}` stores `null`. And `status` has a
/// default, since kstatus takes an object without status for finished. And the lists within
/// Kubernetes' own label selector are bounded.
#[must_use]
pub fn crd() -> CustomResourceDefinition {
    let mut crd = RegistryAttachment::crd();
    for version in &mut crd.spec.versions {
        let schema = version.schema.as_mut().and_then(|it| it.open_api_v3_schema.as_mut());
        if let Some(schema) = schema {
            forbid_null(schema);
            bound_selectors(schema);
            if let Some(status) = schema.properties.as_mut().and_then(|it| it.get_mut("status")) {
                status.default = Some(JSON(json!({"observedGeneration": -1})));
            }
        }
    }
    crd
}

/// The definition as YAML, as `acr-attach crd` prints it.
///
/// # Errors
/// When the definition cannot be written as YAML. Its types make that impossible.
pub fn crd_yaml() -> Result<String, serde_saphyr::ser::Error> {
    serde_saphyr::to_string(&crd())
}

/// As many as anybody writes by hand, and few enough for the cost of rules.
const MOST_REQUIREMENTS: i64 = 64;

fn bound_selectors(schema: &mut JSONSchemaProps) {
    for (name, property) in schema.properties.iter_mut().flatten() {
        match name.as_str() {
            "matchLabels" => property.max_properties = Some(MOST_REQUIREMENTS),
            "matchExpressions" | "values" => property.max_items = Some(MOST_REQUIREMENTS),
            _ => {}
        }
        bound_selectors(property);
        if let Some(JSONSchemaPropsOrArray::Schema(items)) = &mut property.items {
            bound_selectors(items);
        }
    }
}

fn forbid_null(schema: &mut JSONSchemaProps) {
    schema.nullable = None;
    for property in schema.properties.iter_mut().flat_map(|it| it.values_mut()) {
        forbid_null(property);
    }
    if let Some(JSONSchemaPropsOrArray::Schema(items)) = &mut schema.items {
        forbid_null(items);
    }
    if let Some(JSONSchemaPropsOrBool::Schema(values)) = &mut schema.additional_properties {
        forbid_null(values);
    }
}
