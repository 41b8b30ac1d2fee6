//! The CustomResourceDefinition, generated from the types.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceDefinition, JSON, JSONSchemaProps, JSONSchemaPropsOrArray,
};
use kube::CustomResourceExt;

use super::ImageTask;

/// The CRD as it is installed.
pub fn crd() -> CustomResourceDefinition {
    let mut crd = ImageTask::crd();
    for version in &mut crd.spec.versions {
        let root = version.schema.as_mut().and_then(|schema| schema.open_api_v3_schema.as_mut());
        let root = root.expect("kube derives a schema for every version");
        forbid_null(root);
        let status = root.properties.as_mut().and_then(|fields| fields.get_mut("status"));
        let status = status.expect("the derive names a status type");
        // Without it a fresh object has no status at all, which kstatus reads as success.
        status.default = Some(JSON(serde_json::json!({"observedGeneration": -1})));
        bound_conditions(status);
    }
    crd
}

/// The CRD as YAML, as `imagetask-operator crd` prints it.
pub fn manifest() -> String {
    let yaml = serde_saphyr::to_string(&crd()).expect("a CRD is plain data");
    format!("{}\n", yaml.trim_end())
}

/// The bounds of `metav1.Condition`, which k8s-openapi leaves out.
fn bound_conditions(status: &mut JSONSchemaProps) {
    let conditions = status.properties.as_mut().and_then(|fields| fields.get_mut("conditions"));
    let Some(JSONSchemaPropsOrArray::Schema(item)) = conditions.and_then(|list| list.items.as_mut()) else { return };
    for (name, field) in item.properties.iter_mut().flatten() {
        field.max_length = match name.as_str() {
            "type" => Some(316),
            "status" => Some(7),
            "reason" => Some(1024),
            "message" => Some(32768),
            _ => None,
        };
        if name == "reason" {
            field.min_length = Some(1);
        }
    }
}

/// Optional fields are absent, never null: schemars marks an `Option` nullable, which would let `taskId: null` in.
fn forbid_null(schema: &mut JSONSchemaProps) {
    schema.nullable = None;
    if let Some(values) = &mut schema.enum_ {
        values.retain(|value| !value.0.is_null());
    }
    if let Some(JSONSchemaPropsOrArray::Schema(items)) = &mut schema.items {
        forbid_null(items);
    }
    for field in schema.properties.iter_mut().flat_map(|fields| fields.values_mut()) {
        forbid_null(field);
    }
}
