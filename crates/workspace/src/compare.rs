//! A mission's repository taken for another run, and the results of two runs compared.

use crate::{
    CommitId, Result, TreeId,
    git::{self, Git},
    known_refs::KnownRefs,
    manners::Manners,
    repository::{self, Repository},
};
use std::{collections::BTreeMap, path::Path};

/// Bytes of a listing of all files that are read; some 2 million files.
const LISTING_BYTES_MAX: usize = 256 * 1024 * 1024;

impl Repository {
    /// Makes a bare repository at `to` whose only branch is at the commit that the mission started from, with what that
    /// commit needs and nothing else. One that is there is left as it is.
    pub async fn copy_base(&self, to: &Path) -> Result<CommitId> {
        let (base, to) = (self.base()?, git::absolute(to)?);
        if !to.exists() {
            let fresh = to.with_extension("git-new");
            crate::layout::remove_tree(&fresh)?;
            repository::copy_history(&self.layout.hub(), &fresh, &base).await?;
            Manners::copy(&self.layout.hub(), &fresh)?;
            KnownRefs::copy(&self.layout.hub(), &fresh)?;
            crate::layout::rename(&fresh, &to)?;
        }
        Ok(base)
    }

    /// The tree of a commit of the hub. Errors: `Missing`.
    pub async fn tree(&self, commit: &CommitId) -> Result<TreeId> {
        let tree = format!("{commit}^{{tree}}");
        let answer =
            Git::at(&self.layout.hub()).to("reading a tree").args(["rev-parse", "--verify", &tree]).run().await?;
        TreeId::new(answer.line())
    }

    /// The first path, in the order of their bytes, at which a commit of this mission differs from one of another.
    pub async fn first_difference(
        &self,
        commit: &CommitId,
        other: &Repository,
        of_other: &CommitId,
    ) -> Result<Option<String>> {
        let (ours, theirs) = (self.files(commit).await?, other.files(of_other).await?);
        let differing = ours.keys().chain(theirs.keys()).filter(|path| ours.get(*path) != theirs.get(*path));
        Ok(differing.min().cloned())
    }

    /// Every file of a commit: its mode, kind and id by its path.
    async fn files(&self, commit: &CommitId) -> Result<BTreeMap<String, String>> {
        let args = ["ls-tree", "-r", "-z", "--full-tree", commit.as_str()];
        let listing = Git::at(&self.layout.hub()).to("listing files").args(args).output_max(LISTING_BYTES_MAX);
        let answer = listing.run().await?;
        let entry = |line: String| {
            let (about, path) = line.split_once('\t').unwrap_or(("", &line));
            (path.to_owned(), about.to_owned())
        };
        Ok(answer.fields().map(entry).collect())
    }
}
