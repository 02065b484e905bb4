//! Tool `write_file`: a whole file at once.

use serde::Deserialize;
use serde_json::json;

use super::{Outcome, Root, define, io_error};
use crate::record::Definition;

/// Arguments.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Args {
    path: String,
    content: String,
}

pub(super) fn definition() -> Definition {
    define(
        "write_file",
        "Create a file or replace all of it. Missing directories are created. Prefer apply_patch for small changes.",
        &["path", "content"],
        json!({
            "path": {"type": "string", "description": "Path relative to the working directory."},
            "content": {"type": "string", "description": "The whole new content."},
        }),
    )
}

pub(super) fn run(args: Args, root: &Root) -> Outcome {
    let path = root.resolve(&args.path)?;
    let failed = |error: std::io::Error| io_error("write", &args.path, &error);
    if path.is_dir() {
        return Err(format!("{} is a directory.", args.path));
    }
    if let Some(dir) = path.parent() {
        std::fs::create_dir_all(dir).map_err(failed)?;
    }
    std::fs::write(&path, &args.content).map_err(failed)?;
    Ok(format!("Wrote {} ({} bytes).", root.shown(&path), args.content.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn creates_directories_and_replaces() {
        let dir = tempfile::tempdir().unwrap();
        let root = Root::new(dir.path()).unwrap();
        for content in ["long content", "short"] {
            let told = write(&root, "a/b/c.txt", content).unwrap();
            assert_eq!(told, format!("Wrote a/b/c.txt ({} bytes).", content.len()));
            assert_eq!(std::fs::read_to_string(dir.path().join("a/b/c.txt")).unwrap(), content);
        }
    }

    #[test]
    fn what_cannot_be_written_is_explained() {
        let dir = tempfile::tempdir().unwrap();
        let root = Root::new(dir.path()).unwrap();
        std::fs::write(dir.path().join("file"), "").unwrap();
        assert_eq!(write(&root, ".", "x").unwrap_err(), ". is a directory.");
        assert!(write(&root, "file/below", "x").is_err());
        assert!(write(&root, "../out", "x").unwrap_err().contains("outside"));
        assert!(!dir.path().parent().unwrap().join("out").exists());
    }

    fn write(root: &Root, path: &str, content: &str) -> Outcome {
        run(Args { path: path.into(), content: content.into() }, root)
    }
}
