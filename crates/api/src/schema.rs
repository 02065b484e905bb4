//! The JSON Schemas of the files that people write, made from the types that read them, so that the two cannot differ.
//!
//! Committed under `docs/schema/`; `cargo xtask schema` writes them and `--check` compares. Editors read them to
//! complete and to underline while one types. What depends on more than one place of a file (a role that is not there,
//! a circle of tasks) is beyond a schema and is judged by [`crate::config::load`], [`crate::plan::load`] and
//! [`crate::policy::load`].

use crate::{config::ConfigFile, plan::PlanFile, policy::PolicySpec};
use schemars::generate::SchemaSettings;
use serde_json::Value;

/// The schema of `muster.yaml`.
pub fn config() -> Value {
    SchemaSettings::draft2020_12().into_generator().into_root_schema_for::<ConfigFile>().to_value()
}

/// The schema of a plan file.
pub fn plan() -> Value {
    SchemaSettings::draft2020_12().into_generator().into_root_schema_for::<PlanFile>().to_value()
}

/// The schema of a sandbox policy.
pub fn policy() -> Value {
    SchemaSettings::draft2020_12().into_generator().into_root_schema_for::<PolicySpec>().to_value()
}
