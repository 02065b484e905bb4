//! What changed between two commits of a mission, for people: a unified diff, and the files with their counts of lines.
//!
//! Both are made from stores of ours, between trees, with nothing but what this program says: no attributes, no program that converts or
//! compares, no pager, no colours. Neither takes a lock or writes anything, so that it may be asked while the mission runs.

use crate::{
    CommitId, Error, ErrorKind, Result,
    git::{self, Git},
    layout::Layout,
};
use std::{collections::BTreeMap, path::Path};

/// Most bytes of a diff.
const DIFF_BYTES_MAX: usize = 64 << 20;
/// Most files that are listed.
const FILES_MAX: usize = 100_000;

/// One file that differs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileDiff {
    /// Its path; bytes that are not UTF-8 as the replacement character.
    pub path: String,
    /// `A` added, `D` deleted, `M` modified, `T` of another type.
    pub status: char,
    /// Lines added and removed; nothing for a file that is not text.
    pub lines: Option<(u64, u64)>,
}

/// The stores of a mission, for looking only.
#[derive(Debug, Clone)]
pub struct Comparing {
    layout: Layout,
}

impl Comparing {
    /// The stores under a mission's folder. Errors: `Missing`.
    pub fn open(dir: &Path) -> Result<Self> {
        let layout = Layout::new(git::absolute(dir)?);
        match layout.hub().is_dir() {
            true => Ok(Self { layout }),
            false => Err(Error::new(ErrorKind::Missing, format!("{} holds no repository of a mission", dir.display()))),
        }
    }

    /// The commit that a task's change was made on: what muster merges and keeps has one parent. Errors: `Missing`.
    pub async fn parent(&self, commit: &CommitId) -> Result<CommitId> {
        let name = format!("{commit}^1");
        let answer = self.git("reading a commit").args(["rev-parse", "--verify", "--quiet", &name]).run().await?;
        CommitId::new(answer.line())
    }

    /// The files that differ, sorted by path; a renamed file is two. Errors: `Missing`, `TooLarge`.
    pub async fn files(&self, from: &CommitId, to: &CommitId) -> Result<Vec<FileDiff>> {
        let status = self.compare(["--name-status", "-z"], from, to).run().await?;
        let lines = self.compare(["--numstat", "-z"], from, to).run().await?;
        let count = |line: String| {
            let mut words = line.splitn(3, '\t').map(str::to_owned);
            let (added, removed, path) = (words.next()?, words.next()?, words.next()?);
            Some((path, added.parse().ok().zip(removed.parse().ok())))
        };
        let lines: BTreeMap<String, Option<(u64, u64)>> = lines.fields().filter_map(count).collect();
        let (mut files, mut fields) = (Vec::new(), status.fields());
        while let (Some(status), Some(path)) = (fields.next(), fields.next()) {
            let lines = lines.get(&path).copied().flatten();
            files.push(FileDiff { status: status.chars().next().unwrap_or('M'), lines, path });
            if files.len() > FILES_MAX {
                return Err(Error::new(ErrorKind::TooLarge, format!("more than {FILES_MAX} files differ")));
            }
        }
        Ok(files)
    }

    /// The unified diff, with the files' own bytes. Errors: `Missing`, `TooLarge`.
    pub async fn unified(&self, from: &CommitId, to: &CommitId) -> Result<Vec<u8>> {
        let diff = self.compare(["-p", "--full-index"], from, to).output_max(DIFF_BYTES_MAX).run().await;
        diff.map(|answer| answer.stdout)
    }

    fn compare(&self, form: [&str; 2], from: &CommitId, to: &CommitId) -> Git {
        let fixed = ["diff-tree", "-r", "--no-renames", "--no-ext-diff", "--no-textconv", "--no-color"];
        self.git("comparing two commits").args(fixed).args(form).args([from.as_str(), to.as_str(), "--"])
    }

    /// The vault borrows from the hub, so it knows every commit; before the first checkpoint there may be none.
    fn git(&self, what: &str) -> Git {
        let (vault, hub) = (self.layout.vault(), self.layout.hub());
        Git::at(if vault.is_dir() { &vault } else { &hub }).to(what).setting("core.quotePath=false")
    }
}
