//! Tool `list_files`: what is there.

use serde::Deserialize;
use serde_json::json;

use super::walk::walk;
use super::{Outcome, Root, define, io_error};
use crate::record::Definition;

/// Most names returned.
const NAMES_MAX: usize = 1000;
/// Most bytes returned.
const BYTES_MAX: usize = 32 * 1024;
/// How many files are listed between two looks at the rest of the world.
const BREATH: usize = 64;

/// Arguments.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Args {
    path: Option<String>,
    glob: Option<String>,
}

pub(super) fn definition() -> Definition {
    define(
        "list_files",
        "List the files below a directory, recursively, at most 1000. Files that git ignores are left out.",
        &[],
        json!({
            "path": {"type": "string", "description": "Directory relative to the working directory; all of it if left out."},
            "glob": {"type": "string", "description": "Only files that match, for example \"*.rs\" or \"src/**/*.py\"."},
        }),
    )
}

pub(super) async fn run(args: Args, root: &Root) -> Outcome {
    let shown = args.path.as_deref().unwrap_or(".");
    let dir = root.resolve(shown)?;
    if !dir.metadata().map_err(|error| io_error("list", shown, &error))?.is_dir() {
        return Err(format!("{shown} is not a directory. Use read_file."));
    }
    let mut list = String::new();
    for (number, entry) in walk(root.dir(), &dir, args.glob.as_deref())?.enumerate() {
        if number % BREATH == BREATH - 1 {
            tokio::task::yield_now().await;
        }
        if number == NAMES_MAX || list.len() > BYTES_MAX {
            list.push_str("[There are more files; list a directory below or give a glob.]");
            return Ok(list);
        }
        list.push_str(&root.shown(entry.path()));
        list.push('\n');
    }
    if list.is_empty() { Ok("[No files.]".into()) } else { Ok(list) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[tokio::test]
    async fn sorted_and_without_what_git_ignores() {
        let (_dir, root) = tree(&["b.rs", "a/z.py", "a/y.rs", "target/x", ".git/config", ".github/ci.yml"]);
        fs::write(root.dir().join(".gitignore"), "target\n").unwrap();
        assert_eq!(list(&root, None, None).await.unwrap(), ".github/ci.yml\n.gitignore\na/y.rs\na/z.py\nb.rs\n");
        assert_eq!(list(&root, Some("a"), None).await.unwrap(), "a/y.rs\na/z.py\n");
        assert_eq!(list(&root, None, Some("*.rs")).await.unwrap(), "a/y.rs\nb.rs\n");
        assert_eq!(list(&root, None, Some("a/**/*.py")).await.unwrap(), "a/z.py\n");
        assert_eq!(list(&root, None, Some("*.c")).await.unwrap(), "[No files.]");
    }

    #[tokio::test]
    async fn a_long_list_is_cut() {
        let names: Vec<String> = (0..1200).map(|number| format!("f{number:04}")).collect();
        let (_dir, root) = tree(&names.iter().map(String::as_str).collect::<Vec<_>>());
        let text = list(&root, None, None).await.unwrap();
        assert_eq!(text.lines().count(), NAMES_MAX + 1);
        assert!(text.ends_with("give a glob.]"));
    }

    #[tokio::test]
    async fn what_cannot_be_listed_is_explained() {
        let (_dir, root) = tree(&["f"]);
        assert_eq!(list(&root, Some("f"), None).await.unwrap_err(), "f is not a directory. Use read_file.");
        assert!(list(&root, Some("nope"), None).await.unwrap_err().starts_with("nope: there is no such file"));
        assert!(list(&root, None, Some("a{")).await.unwrap_err().starts_with("glob \"a{\":"));
    }

    fn tree(files: &[&str]) -> (tempfile::TempDir, Root) {
        let dir = tempfile::tempdir().unwrap();
        for file in files {
            let path = dir.path().join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "").unwrap();
        }
        let root = Root::new(dir.path()).unwrap();
        (dir, root)
    }

    async fn list(root: &Root, path: Option<&str>, glob: Option<&str>) -> Outcome {
        run(Args { path: path.map(Into::into), glob: glob.map(Into::into) }, root).await
    }
}
