//! Tool `apply_patch`: changes to files, all of them or none.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::json;

use super::encoding::Encoding;
use super::patch::{Change, Hunk, apply, parse};
use super::{Outcome, Root, define, io_error};
use crate::record::Definition;

/// Arguments.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Args {
    patch: String,
}

const DESCRIPTION: &str = "Change files with a patch. Either all of it is applied or nothing. Format:
*** Begin Patch
*** Update File: path/to/file
@@ an optional line of the file that comes before the change
 an unchanged line (a blank in front)
-a removed line
+an added line
*** Add File: path/to/new
+every line of the new file
*** Delete File: path/to/old
*** End Patch
Unchanged and removed lines must be in the file exactly. Use \"*** Move to: new/path\" after \"*** Update File\" to \
rename, a new \"@@\" for each further place, \"*** End of File\" after lines at the file's end.";

pub(super) fn definition() -> Definition {
    define(
        "apply_patch",
        DESCRIPTION,
        &["patch"],
        json!({"patch": {"type": "string", "description": "The patch, from \"*** Begin Patch\" to \"*** End Patch\"."}}),
    )
}

/// `is_rerun`: the patch may be in place already, because an earlier run was killed before its result was kept.
pub(super) fn run(args: &Args, root: &Root, is_rerun: bool) -> Outcome {
    let changes = parse(&args.patch)?;
    let mut plan = Plan::default();
    match changes.iter().try_for_each(|change| plan.add(change, root)) {
        Ok(()) => plan.carry_out(root),
        Err(_) if is_rerun && is_in_place(&changes, root) => Ok("The patch was applied already.".into()),
        Err(problem) => Err(format!("{problem}\nNothing was changed.")),
    }
}

/// Contents of files as they are to be; `None`: no file.
#[derive(Default)]
struct Plan {
    files: BTreeMap<PathBuf, Option<String>>,
    /// How those were written that are not plain UTF-8.
    encodings: BTreeMap<PathBuf, Encoding>,
}

impl Plan {
    fn add(&mut self, change: &Change, root: &Root) -> Result<(), String> {
        match change {
            Change::Add { path, content } => {
                let file = root.resolve(path)?;
                if self.exists(&file) {
                    return Err(format!(
                        "{path}: cannot be added, it exists. Use \"*** Update File\" or delete it first."
                    ));
                }
                self.files.insert(file, Some(content.clone()));
            }
            Change::Delete { path } => {
                let file = root.resolve(path)?;
                self.read(path, &file)?;
                self.files.insert(file, None);
            }
            Change::Update { path, move_to, hunks } => {
                let file = root.resolve(path)?;
                let text = self.read(path, &file)?;
                let changed = apply(&text, hunks).map_err(|problem| format!("{path}: {problem}"))?;
                let target = move_to.as_deref().map_or(Ok(file.clone()), |to| root.resolve(to))?;
                if target != file {
                    if self.exists(&target) {
                        return Err(format!("{}: cannot be moved to, it exists.", root.shown(&target)));
                    }
                    if let Some(encoding) = self.encodings.get(&file).copied() {
                        self.encodings.insert(target.clone(), encoding);
                    }
                    self.files.insert(file, None);
                }
                self.files.insert(target, Some(changed));
            }
        }
        Ok(())
    }

    fn exists(&self, file: &Path) -> bool {
        self.files.get(file).map_or_else(|| file.symlink_metadata().is_ok(), Option::is_some)
    }

    fn read(&mut self, path: &str, file: &Path) -> Result<String, String> {
        match self.files.get(file) {
            Some(Some(text)) => Ok(text.clone()),
            Some(None) => Err(format!("{path}: was deleted by this patch")),
            None => {
                let (text, encoding) = read_text(path, file)?;
                self.encodings.insert(file.to_owned(), encoding);
                Ok(text)
            }
        }
    }

    /// The contents as they are written.
    fn encoded(&self, root: &Root) -> Result<BTreeMap<PathBuf, Option<Vec<u8>>>, String> {
        let bytes = |(file, content): (&PathBuf, &Option<String>)| {
            let encoding = self.encodings.get(file).copied().unwrap_or_default();
            let bytes = content.as_ref().map(|text| {
                let name = encoding.name().unwrap_or_default();
                let problem = || {
                    format!(
                        "{}: is {name}, which cannot write a character of the patch.\nNothing was changed.",
                        root.shown(file)
                    )
                };
                encoding.encode(text).ok_or_else(problem)
            });
            Ok((file.clone(), bytes.transpose()?))
        };
        self.files.iter().map(bytes).collect()
    }

    /// Writes the plan; puts back what was there if a write fails.
    fn carry_out(self, root: &Root) -> Outcome {
        let mut told = String::from("Done.");
        let mut done: Vec<(PathBuf, Option<Vec<u8>>)> = Vec::new();
        for (file, content) in self.encoded(root)? {
            let before = std::fs::read(&file).ok();
            let verb = match (&content, &before) {
                (None, _) => "Deleted",
                (Some(_), None) => "Added",
                (Some(_), Some(_)) => "Updated",
            };
            let shown = root.shown(&file).into_owned();
            done.push((file, before));
            let Some((file, _)) = done.last() else { unreachable!("an entry was just pushed") };
            if let Err(error) = put(file, content.as_deref()) {
                for (file, before) in done.iter().rev() {
                    // Best effort: the disk that failed may fail again, and the model is told to look.
                    let _ = put(file, before.as_deref());
                }
                return Err(format!(
                    "{}\nThe other changes were taken back; look before you go on.",
                    io_error("write", &shown, &error)
                ));
            }
            told.push_str(&format!(" {verb} {shown}."));
        }
        Ok(told)
    }
}

fn read_text(path: &str, file: &Path) -> Result<(String, Encoding), String> {
    if file.is_dir() {
        return Err(format!("{path} is a directory."));
    }
    let bytes = std::fs::read(file).map_err(|error| io_error("read", path, &error))?;
    Encoding::decode(&bytes).ok_or_else(|| format!("{path} is not a text; use run_command to change it."))
}

fn put(file: &Path, content: Option<&[u8]>) -> std::io::Result<()> {
    let Some(content) = content else {
        return match std::fs::remove_file(file) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        };
    };
    if let Some(dir) = file.parent() {
        std::fs::create_dir_all(dir)?;
    }
    std::fs::write(file, content)
}

/// Whether every file is as the patch would leave it.
fn is_in_place(changes: &[Change], root: &Root) -> bool {
    changes.iter().all(|change| {
        let text =
            |path: &str| root.resolve(path).ok().and_then(|file| read_text(path, &file).ok()).map(|(text, _)| text);
        match change {
            Change::Add { path, content } => text(path).as_ref() == Some(content),
            Change::Delete { path } => root.resolve(path).is_ok_and(|file| file.symlink_metadata().is_err()),
            Change::Update { path, move_to, hunks } => {
                let undone: Vec<Hunk> = hunks.iter().map(reversed).collect();
                text(move_to.as_deref().unwrap_or(path)).is_some_and(|text| apply(&text, &undone).is_ok())
            }
        }
    })
}

fn reversed(hunk: &Hunk) -> Hunk {
    Hunk { old: hunk.new.clone(), new: hunk.old.clone(), ..hunk.clone() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    const ALL: &str = "*** Begin Patch\n*** Update File: a\n@@\n-one\n+two\n*** Add File: sub/b\n+new\n*** Delete File: c\n\
                       *** Update File: d\n*** Move to: e\n@@\n-x\n+y\n*** End Patch\n";

    #[test]
    fn all_kinds_of_changes_at_once() {
        let (_dir, root) = tree(&[("a", "one\n"), ("c", "bye\n"), ("d", "x\n")]);
        assert_eq!(patch(&root, ALL, false).unwrap(), "Done. Updated a. Deleted c. Deleted d. Added e. Added sub/b.");
        assert_eq!(files(&root), [("a", "two\n"), ("e", "y\n"), ("sub/b", "new\n")].map(owned));
    }

    #[test]
    fn encodings_and_line_ends_stay() {
        let (dir, root) = tree(&[]);
        let update =
            |name: &str| format!("*** Begin Patch\n*** Update File: {name}\n@@\n-one\n+tw\u{f6}\n*** End Patch\n");
        for (name, old, new) in [
            ("mark", &b"\xef\xbb\xbfone\r\nx\r\n"[..], &b"\xef\xbb\xbftw\xc3\xb6\r\nx\r\n"[..]),
            ("wide", b"\xff\xfeo\0n\0e\0\n\0", b"\xff\xfet\0w\0\xf6\0\n\0"),
            ("latin", b"one\ncaf\xe9\n", b"tw\xf6\ncaf\xe9\n"),
        ] {
            fs::write(dir.path().join(name), old).unwrap();
            patch(&root, &update(name), false).unwrap();
            assert_eq!(fs::read(dir.path().join(name)).unwrap(), new, "{name}");
        }
        let euro = "*** Begin Patch\n*** Update File: latin\n@@\n-caf\u{e9}\n+5 \u{20ac}\n*** End Patch\n";
        assert!(patch(&root, euro, false).unwrap_err().contains("Latin-1"));
    }

    #[test]
    fn one_hunk_that_does_not_fit_changes_nothing() {
        let before = [("a", "one\n"), ("c", "bye\n"), ("d", "other\n")];
        let (_dir, root) = tree(&before);
        let error = patch(&root, ALL, false).unwrap_err();
        assert_eq!(
            error,
            "d: patch line 11: the file does not have these lines after its line 0:\nx\nNothing was changed."
        );
        assert_eq!(files(&root), before.map(owned));
    }

    #[test]
    fn a_write_that_fails_takes_the_others_back() {
        let before = [("a", "one\n"), ("file", "")];
        let (_dir, root) = tree(&before);
        let text = "*** Begin Patch\n*** Update File: a\n@@\n-one\n+two\n*** Add File: file/below\n+x\n*** End Patch";
        assert!(patch(&root, text, false).unwrap_err().contains("taken back"));
        assert_eq!(files(&root), before.map(owned));
    }

    #[test]
    fn a_second_run_after_a_kill_is_recognised() {
        let (_dir, root) = tree(&[("a", "one\n"), ("c", "bye\n"), ("d", "x\n")]);
        patch(&root, ALL, false).unwrap();
        assert!(patch(&root, ALL, false).is_err());
        assert_eq!(patch(&root, ALL, true).unwrap(), "The patch was applied already.");
        fs::write(root.dir().join("a"), "three\n").unwrap();
        assert!(patch(&root, ALL, true).is_err());
    }

    #[test]
    fn paths_and_states_that_do_not_fit_are_explained() {
        let (_dir, root) = tree(&[("a", "one\n")]);
        let told = |body: &str| patch(&root, &format!("*** Begin Patch\n{body}\n*** End Patch"), false).unwrap_err();
        assert!(told("*** Add File: a\n+x").starts_with("a: cannot be added, it exists."));
        assert!(told("*** Delete File: b").starts_with("b: there is no such file."));
        assert!(told("*** Add File: ../b\n+x").starts_with("../b is outside the working directory."));
        assert!(told("*** Delete File: a\n*** Delete File: a").starts_with("a: was deleted by this patch"));
    }

    fn patch(root: &Root, text: &str, is_rerun: bool) -> Outcome {
        run(&Args { patch: text.into() }, root, is_rerun)
    }

    fn tree(content: &[(&str, &str)]) -> (tempfile::TempDir, Root) {
        let dir = tempfile::tempdir().unwrap();
        for (file, text) in content {
            fs::write(dir.path().join(file), text).unwrap();
        }
        let root = Root::new(dir.path()).unwrap();
        (dir, root)
    }

    fn files(root: &Root) -> Vec<(String, String)> {
        let entries = super::super::walk::walk(root.dir(), root.dir(), None).unwrap();
        entries
            .map(|entry| (root.shown(entry.path()).into_owned(), fs::read_to_string(entry.path()).unwrap()))
            .collect()
    }

    fn owned((name, text): (&str, &str)) -> (String, String) {
        (name.into(), text.into())
    }
}
