//! Puts an agent's change on top of the mission branch, without a checkout: trees in, tree out, in the vault. Attributes
//! (`merge=union`, `-merge`, `binary`) hold as in a checkout of what is merged onto; drivers that are programs are not run.
//!
//! A change becomes one commit whose only parent is what it is merged onto, so the mission branch is a line with one
//! commit per merged change. The agent's own commits stay in its clone. The commit's id depends on the arguments alone
//! (no clock, no user name), so that asking twice gives the same candidate.

use crate::{
    CommitId, Error, ErrorKind, Result, TreeId,
    git::{self, Git, HAND_OVER, Output},
    layout, manners, receive,
    repository::Repository,
};

/// Most bytes of conflicting text in a [`Conflict`].
pub const HUNK_BYTES_MAX: usize = 24 << 10;
/// Most conflicting files whose text is shown.
const HUNK_FILES_MAX: usize = 20;
/// Files larger than this are named in a conflict, not shown.
const SHOWN_FILE_BYTES_MAX: usize = 4 << 20;
/// Lines shown before and after a conflicting place.
const CONTEXT_LINES: usize = 3;
/// Commit dates are whole seconds from the year 1970 to 2099 (git's own limit is later).
const DATE_S_MAX: u64 = 4_102_444_799;

/// What came of a merge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Merge {
    /// It went together; this commit is to be checked.
    Candidate(Candidate),
    /// The change is contained in what it was to be merged onto.
    Nothing,
    /// It does not go together.
    Conflict(Conflict),
}

/// A commit that may become the tip of the mission branch, present in the hub under `refs/candidates/`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// The commit.
    pub commit: CommitId,
    /// Its tree.
    pub tree: TreeId,
}

/// Where and how two changes contradict each other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conflict {
    /// The paths, sorted.
    pub files: Vec<String>,
    /// For a reader: git's messages, then the conflicting places with the mission's text between `<<<<<<< mission` and
    /// `=======` and the change's text up to `>>>>>>> change`. At most [`HUNK_BYTES_MAX`] bytes.
    pub hunks: String,
}

impl Repository {
    /// Merges `change` (a checkpoint's commit) onto the commit `onto`; `at_ms` is the time of the commit in milliseconds
    /// since 1970. Errors: `Missing` for an unknown commit, `Rejected` when the change contains a repository of its own
    /// or has no common history with `onto`.
    pub async fn merge_candidate(
        &self,
        onto: &CommitId,
        change: &CommitId,
        message: &str,
        at_ms: u64,
    ) -> Result<Merge> {
        let merged = match self.merge_trees(onto, change).await? {
            Merged::Clean(tree) => tree,
            Merged::Conflict { tree, files, messages } => {
                let hunks = self.hunks(onto, change, &tree, &files, messages).await?;
                return Ok(Merge::Conflict(Conflict { files, hunks }));
            }
        };
        let vault = self.layout.vault();
        let committed = commit(self, &merged, onto, message, at_ms).await?;
        let changes = self.changes(onto, &committed).await?;
        if changes.is_empty() {
            return Ok(Merge::Nothing);
        }
        if let Some(nested) = changes.iter().find(|change| change.nested) {
            let text = format!("{} is a repository of its own inside the work", nested.path);
            return Err(
                Error::new(ErrorKind::Rejected, text).hint("Remove its .git directory, so that its files are kept.")
            );
        }
        let hub = self.layout.hub();
        receive::transfer(&vault, &hub, &committed, &[onto]).await?;
        layout::make_ref(&hub, &format!("refs/candidates/{committed}"), &committed).await?;
        Ok(Merge::Candidate(Candidate { commit: committed, tree: merged }))
    }

    async fn merge_trees(&self, onto: &CommitId, change: &CommitId) -> Result<Merged> {
        // A store has no files, so git would know of no attributes: those hold that are in what is merged onto.
        let attributes = self.layout.hub().join(manners::USER_ATTRIBUTES);
        let answer = Git::at(&self.layout.vault())
            .to("merging")
            .setting(HAND_OVER)
            .setting("merge.conflictStyle=zdiff3")
            .setting(git::flag("core.attributesFile=", &attributes))
            .args([format!("--attr-source={onto}")])
            .args(["merge-tree", "--write-tree", "-z", "--name-only", "--messages", onto.as_str(), change.as_str()])
            .accept(&[0, 1])
            .run()
            .await
            .map_err(|error| match error.message.contains("unrelated histories") {
                true => Error { kind: ErrorKind::Rejected, ..error },
                false => error,
            })?;
        read_merge(&answer)
    }

    /// The text of a conflict: what git says, then the conflicting places of the files that can be shown.
    async fn hunks(
        &self,
        onto: &CommitId,
        change: &CommitId,
        tree: &TreeId,
        files: &[String],
        messages: String,
    ) -> Result<String> {
        let mut hunks = bounded(messages, HUNK_BYTES_MAX / 2);
        for path in files.iter().take(HUNK_FILES_MAX) {
            let name = format!("{tree}:{path}");
            let blob = Git::at(&self.layout.vault()).to("showing a conflict").args(["cat-file", "blob", &name]);
            // A path that is gone on one side has no text; git's message says so.
            let Ok(blob) = blob.accept(&[0, 128]).run().await else { continue };
            if blob.code == 0 && blob.stdout.len() <= SHOWN_FILE_BYTES_MAX {
                hunks.push_str(&conflicting_places(path, &blob.stdout, onto, change));
            }
            if hunks.len() > HUNK_BYTES_MAX {
                break;
            }
        }
        Ok(bounded(hunks, HUNK_BYTES_MAX))
    }
}

enum Merged {
    Clean(TreeId),
    Conflict { tree: TreeId, files: Vec<String>, messages: String },
}

/// Reads the answer of `merge-tree -z --name-only --messages`: the tree, the paths up to an empty field, then messages of
/// the form count, that many paths, kind, text.
fn read_merge(answer: &Output) -> Result<Merged> {
    let mut fields = answer.fields();
    if answer.stdout.is_empty() {
        return Err(Error::git("merging", &answer.stderr));
    }
    let tree = TreeId::new(fields.next().unwrap_or_default())?;
    if answer.code == 0 {
        return Ok(Merged::Clean(tree));
    }
    let mut files: Vec<String> = fields.by_ref().take_while(|path| !path.is_empty()).collect();
    files.sort();
    files.dedup();
    let mut messages = String::new();
    while let Some(count) = fields.next().and_then(|field| field.parse::<usize>().ok()) {
        let text = fields.by_ref().skip(count).nth(1).unwrap_or_default();
        if !text.starts_with("Auto-merging") {
            messages.push_str(&text);
        }
    }
    Ok(Merged::Conflict { tree, files, messages })
}

async fn commit(
    repository: &Repository,
    tree: &TreeId,
    onto: &CommitId,
    message: &str,
    at_ms: u64,
) -> Result<CommitId> {
    let date = git_date(at_ms);
    let git = Git::at(&repository.layout.vault()).to("making the merged commit").setting(HAND_OVER);
    let git = git.env("GIT_AUTHOR_DATE", &date).env("GIT_COMMITTER_DATE", &date);
    let answer =
        git.args(["commit-tree", tree.as_str(), "-p", onto.as_str()]).stdin(commit_message(message)).run().await?;
    CommitId::new(answer.line())
}

/// The time in git's raw form, always in UTC.
pub(crate) fn git_date(at_ms: u64) -> String {
    format!("@{} +0000", (at_ms / 1000).min(DATE_S_MAX))
}

/// A commit message is text without NUL that ends in a line end.
pub(crate) fn commit_message(message: &str) -> String {
    format!("{}\n", message.replace('\0', " ").trim_end())
}

/// The marked places of a merged file, each with a few lines around it.
fn conflicting_places(path: &str, content: &[u8], onto: &CommitId, change: &CommitId) -> String {
    if content.contains(&0) {
        return String::new();
    }
    let text = String::from_utf8_lossy(content);
    let lines: Vec<&str> = text.lines().collect();
    let (start, end) = (format!("<<<<<<< {onto}"), format!(">>>>>>> {change}"));
    let mut out = String::new();
    let mut at = 0;
    while let Some(first) = lines[at..].iter().position(|line| line.starts_with(&start)).map(|offset| at + offset) {
        let last = lines[first..].iter().position(|line| line.starts_with(&end)).map_or(lines.len() - 1, |n| first + n);
        let from = first.saturating_sub(CONTEXT_LINES).max(at);
        let to = (last + 1 + CONTEXT_LINES).min(lines.len());
        out.push_str(&format!("\n--- {path}, line {}\n", first + 1));
        for line in &lines[from..to] {
            let line = if line.starts_with(&start) { "<<<<<<< mission" } else { line };
            let line = if line.starts_with(&end) { ">>>>>>> change" } else { line };
            let line = if line.starts_with("||||||| ") { "||||||| before both" } else { line };
            out.push_str(line);
            out.push('\n');
        }
        if out.len() > HUNK_BYTES_MAX {
            break;
        }
        at = last + 1;
    }
    out
}

fn bounded(mut text: String, max: usize) -> String {
    const MORE: &str = "\n[more left out]\n";
    if text.len() > max {
        let mut end = max - MORE.len();
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        text.truncate(end);
        text.push_str(MORE);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(code: i32, stdout: &str) -> Output {
        Output { code, stdout: stdout.as_bytes().to_vec(), stderr: String::new() }
    }

    #[test]
    fn a_clean_merge_is_its_tree() {
        let tree = "a".repeat(40);
        assert!(matches!(read_merge(&answer(0, &format!("{tree}\0"))), Ok(Merged::Clean(id)) if id.as_str() == tree));
        assert!(read_merge(&answer(0, "")).is_err());
    }

    #[test]
    fn messages_of_several_paths_are_read_whole() {
        let text = format!(
            "{}\0b\0a\0\x001\0a\0Auto-merging\0Auto-merging a\n\x002\0a\0b\0CONFLICT (contents)\0CONFLICT (content): a\n\0",
            "a".repeat(40)
        );
        let Ok(Merged::Conflict { files, messages, .. }) = read_merge(&answer(1, &text)) else {
            unreachable!("a conflict")
        };
        assert_eq!(files, ["a", "b"]);
        assert_eq!(messages, "CONFLICT (content): a\n");
    }

    #[test]
    fn only_marked_places_are_shown() {
        let (onto, change) = (CommitId::new("1".repeat(40)).unwrap(), CommitId::new("2".repeat(40)).unwrap());
        let text = format!("1\n2\n3\n4\n<<<<<<< {onto}\nours\n=======\ntheirs\n>>>>>>> {change}\n5\n6\n7\n8\n");
        let shown = conflicting_places("f", text.as_bytes(), &onto, &change);
        let expected = "\n--- f, line 5\n2\n3\n4\n<<<<<<< mission\nours\n=======\ntheirs\n>>>>>>> change\n5\n6\n7\n";
        assert_eq!(shown, expected);
        assert_eq!(conflicting_places("f", b"a\0<<<<<<<", &onto, &change), "");
    }

    #[test]
    fn long_text_is_cut_at_a_character() {
        let cut = bounded("ä".repeat(100), 50);
        assert!(cut.len() <= 50 && cut.ends_with("[more left out]\n"));
        assert_eq!(bounded("short".into(), 50), "short");
    }
}
