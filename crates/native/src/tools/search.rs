//! Tool `search`: lines that match a regular expression.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use regex::{Regex, RegexBuilder};
use serde::Deserialize;
use serde_json::json;

use super::encoding::Encoding;
use super::walk::walk;
use super::{Outcome, Root, define, io_error};
use crate::bounds::prefix;
use crate::record::Definition;

/// Most matching lines returned.
const MATCHES_MAX: usize = 200;
/// Most bytes returned.
const BYTES_MAX: usize = 32 * 1024;
/// Longest part of a matching line.
const LINE_BYTES_MAX: usize = 300;
/// Larger files are generated or data.
const FILE_BYTES_MAX: u64 = 2 * 1024 * 1024;
/// Memory for a compiled pattern.
const PATTERN_BYTES_MAX: usize = 1024 * 1024;
/// How many files are read between two looks at the rest of the world.
const BREATH: usize = 16;

/// Arguments.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Args {
    pattern: String,
    path: Option<String>,
    glob: Option<String>,
}

pub(super) fn definition() -> Definition {
    define(
        "search",
        "Search files for a regular expression (Rust syntax). Returns path:line: text, at most 200 lines. \
         Files that git ignores, binary files and files above 2 MiB are left out.",
        &["pattern"],
        json!({
            "pattern": {"type": "string", "description": "Regular expression; (?i) in front ignores case."},
            "path": {"type": "string", "description": "File or directory to search; the working directory if left out."},
            "glob": {"type": "string", "description": "Only files that match, for example \"*.rs\"."},
        }),
    )
}

pub(super) async fn run(args: Args, root: &Root) -> Outcome {
    let pattern = RegexBuilder::new(&args.pattern).size_limit(PATTERN_BYTES_MAX).build();
    let pattern = pattern.map_err(|error| format!("pattern: {error}"))?;
    let shown = args.path.as_deref().unwrap_or(".");
    let start = root.resolve(shown)?;
    start.metadata().map_err(|error| io_error("search", shown, &error))?;
    let mut found = Found::default();
    for (number, entry) in walk(root.dir(), &start, args.glob.as_deref())?.enumerate() {
        if number % BREATH == BREATH - 1 {
            tokio::task::yield_now().await;
        }
        if let Some(text) = text_of(entry.path()) {
            found.add(&root.shown(entry.path()), &text, &pattern);
        }
        if found.is_full {
            break;
        }
    }
    Ok(found.into_text())
}

/// The text of a file that is worth searching.
fn text_of(path: &Path) -> Option<String> {
    let meta = path.symlink_metadata().ok()?;
    if !meta.is_file() || meta.len() > FILE_BYTES_MAX {
        return None;
    }
    let file = File::open(path).ok()?;
    let mut bytes = Vec::new();
    file.take(FILE_BYTES_MAX).read_to_end(&mut bytes).ok()?;
    Encoding::decode(&bytes).map(|(text, _)| text)
}

#[derive(Default)]
struct Found {
    text: String,
    matches: usize,
    is_full: bool,
}

impl Found {
    fn add(&mut self, path: &str, text: &str, pattern: &Regex) {
        for (index, line) in text.lines().enumerate() {
            let Some(hit) = pattern.find(line) else { continue };
            if self.matches == MATCHES_MAX || self.text.len() > BYTES_MAX {
                self.is_full = true;
                return;
            }
            self.matches += 1;
            self.text.push_str(&format!("{path}:{}: {}\n", index + 1, around(line, hit.start())));
        }
    }

    fn into_text(mut self) -> String {
        if self.matches == 0 {
            return "[No matches.]".into();
        }
        if self.is_full {
            self.text.push_str("[There are more matches; narrow the pattern, the path or the glob.]");
        }
        self.text
    }
}

/// The line, or the part of a very long one in which the match starts.
fn around(line: &str, start: usize) -> &str {
    if line.len() <= LINE_BYTES_MAX {
        return line;
    }
    let from = line.floor_char_boundary(start.saturating_sub(LINE_BYTES_MAX / 3));
    prefix(&line[from..], LINE_BYTES_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[tokio::test]
    async fn lines_with_their_places() {
        let (_dir, root) =
            tree(&[("src/a.rs", "fn one() {}\nfn two() {}\n"), ("b.txt", "fn three\n"), ("out/c.rs", "fn four")]);
        fs::write(root.dir().join(".gitignore"), "out/\n").unwrap();
        let all = search(&root, r"^fn \w+", None, None).await.unwrap();
        assert_eq!(all, "b.txt:1: fn three\nsrc/a.rs:1: fn one() {}\nsrc/a.rs:2: fn two() {}\n");
        assert_eq!(search(&root, "two|three", None, Some("*.rs")).await.unwrap(), "src/a.rs:2: fn two() {}\n");
        assert_eq!(search(&root, "fn", Some("b.txt"), None).await.unwrap(), "b.txt:1: fn three\n");
        assert_eq!(search(&root, "five", None, None).await.unwrap(), "[No matches.]");
    }

    #[tokio::test]
    async fn results_are_bounded() {
        let many = "hit\n".repeat(1000);
        let long = format!("{}needle{}", "é".repeat(5000), "y".repeat(5000));
        let (_dir, root) = tree(&[("many", &many), ("long", &long)]);
        let text = search(&root, "hit", None, None).await.unwrap();
        assert_eq!(text.lines().count(), MATCHES_MAX + 1);
        let text = search(&root, "needle", None, None).await.unwrap();
        assert!(text.contains("needle") && text.len() < LINE_BYTES_MAX + 20);
    }

    #[tokio::test]
    async fn binary_files_are_left_out_and_other_encodings_are_not() {
        let (_dir, root) = tree(&[]);
        fs::write(root.dir().join("bin"), b"needle\0").unwrap();
        fs::write(root.dir().join("latin"), b"needle caf\xe9\n").unwrap();
        assert_eq!(search(&root, "needle", None, None).await.unwrap(), "latin:1: needle café\n");
    }

    #[tokio::test]
    async fn a_bad_pattern_is_explained() {
        let (_dir, root) = tree(&[]);
        assert!(search(&root, "(", None, None).await.unwrap_err().contains("unclosed group"));
        assert!(search(&root, r"(\w{500}){500}", None, None).await.unwrap_err().contains("size"));
    }

    fn tree(files: &[(&str, &str)]) -> (tempfile::TempDir, Root) {
        let dir = tempfile::tempdir().unwrap();
        for (file, content) in files {
            let path = dir.path().join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, content).unwrap();
        }
        let root = Root::new(dir.path()).unwrap();
        (dir, root)
    }

    async fn search(root: &Root, pattern: &str, path: Option<&str>, glob: Option<&str>) -> Outcome {
        run(Args { pattern: pattern.into(), path: path.map(Into::into), glob: glob.map(Into::into) }, root).await
    }
}
