//! The case of the ids that ARM shows.

use serde_json::Value;

use super::Context;
use crate::model::IdCase;

/// Where resource ids and ids of principals stand in answers.
const NAMES: [&str; 6] =
    ["id", "managedBy", "principalId", "resourceId", "roleDefinitionId", "scope"];

impl Context<'_> {
    /// A body with its ids in the case that the settings ask for.
    pub(super) fn in_id_case(&self, mut body: Value) -> Value {
        let case = self.model.settings.id_case;
        if case != IdCase::AsWritten {
            convert(&mut body, case);
        }
        body
    }
}

fn convert(value: &mut Value, case: IdCase) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(|it| convert(it, case)),
        Value::Object(fields) => {
            for (name, value) in fields {
                match value {
                    Value::String(id) if NAMES.contains(&&**name) => *id = case.of(id),
                    other => convert(other, case),
                }
            }
        }
        _ => {}
    }
}
