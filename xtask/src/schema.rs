//! The published JSON Schemas: written from the types that read the files, and compared in CI.

use anyhow::{Context, Result};
use std::{fs, path::Path};

/// Where they are published.
const FOLDER: &str = "docs/schema";

/// Writes every schema.
pub fn write(root: &Path) -> Result<()> {
    let folder = root.join(FOLDER);
    fs::create_dir_all(&folder).with_context(|| format!("{} cannot be made", folder.display()))?;
    for (name, text) in schemas()? {
        let path = folder.join(name);
        fs::write(&path, text).with_context(|| format!("{} cannot be written", path.display()))?;
    }
    Ok(())
}

/// Whether every schema is published as the types say.
pub fn check(root: &Path) -> Result<bool> {
    let mut current = true;
    for (name, text) in schemas()? {
        let path = root.join(FOLDER).join(name);
        if fs::read_to_string(&path).unwrap_or_default() != text {
            eprintln!("{FOLDER}/{name} is not what the types say: run `cargo xtask schema` and commit the result");
            current = false;
        }
    }
    Ok(current)
}

fn schemas() -> Result<Vec<(&'static str, String)>> {
    let all = [
        ("config.schema.json", api::schema::config()),
        ("plan.schema.json", api::schema::plan()),
        ("policy.schema.json", api::schema::policy()),
    ];
    let text = |(name, schema)| Ok((name, serde_json::to_string_pretty(&schema)? + "\n"));
    all.into_iter().map(text).collect()
}
