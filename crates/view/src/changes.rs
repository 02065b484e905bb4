//! Which files a change touches, and how much of each.

use super::table;
use serde::Serialize;
use std::fmt::Write as _;

/// One file that a change touches. Field names are stable.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FileChange {
    /// Its path.
    pub path: String,
    /// `added`, `deleted`, `modified` or `retyped`.
    pub change: &'static str,
    /// Lines added; nothing for a file that is not text.
    pub added: Option<u64>,
    /// Lines removed; nothing for a file that is not text.
    pub removed: Option<u64>,
}

impl FileChange {
    /// Its lines in words: `+3 -1`.
    pub(super) fn lines(&self) -> String {
        match (self.added, self.removed) {
            (Some(added), Some(removed)) => format!("+{added} -{removed}"),
            _ => "not text".to_owned(),
        }
    }
}

/// The files as a table, and their sum.
pub fn file_changes(files: &[FileChange]) -> String {
    if files.is_empty() {
        return "no file is changed\n".to_owned();
    }
    let rows = files.iter().map(|file| vec![format!("  {}", file.change), file.path.clone(), file.lines()]);
    let mut text = table(&rows.collect::<Vec<_>>());
    let _ = writeln!(text, "{}", sum(files));
    text
}

/// How much is changed in all: `2 files, +10 -3`.
pub(super) fn sum(files: &[FileChange]) -> String {
    let total = |of: fn(&FileChange) -> Option<u64>| files.iter().filter_map(of).fold(0, u64::saturating_add);
    let (added, removed) = (total(|file| file.added), total(|file| file.removed));
    format!("{}, +{added} -{removed}", super::words::count(files.len() as u64, "file", "files"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_and_their_sum() {
        let file = |path: &str, change, lines: Option<(u64, u64)>| FileChange {
            path: path.to_owned(),
            change,
            added: lines.map(|(added, _)| added),
            removed: lines.map(|(_, removed)| removed),
        };
        let files = [file("src/parser.py", "modified", Some((10, 3))), file("日本.bin", "added", None)];
        expect_test::expect![[r"
              modified  src/parser.py  +10 -3
              added     日本.bin       not text
            2 files, +10 -3
        "]]
        .assert_eq(&file_changes(&files));
    }
}
