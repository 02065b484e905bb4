//! Gives the user the result: objects and one branch, in one atomic step, and nothing else.
//!
//! The user's checkout, index, HEAD, configuration and other branches are only read. None of the repository's hooks run
//! (a hook would be the user's program acting on an agent's commit, unasked).

use crate::{BranchName, CommitId, Error, ErrorKind, Result, git::Git, receive, repository::Repository};
use std::path::{Path, PathBuf};

impl Repository {
    /// Makes `branch` in the user's repository at `source` point to `commit`. `expected` is the value it must have now
    /// (`None`: it must not exist); a branch that is at `commit` already is left as it is. All objects are there before
    /// the branch moves.
    ///
    /// Errors: `Conflict` when the branch has another value, when its name is taken by other branches, or when it is
    /// checked out somewhere and would move under the user's feet.
    pub async fn publish(
        &self,
        source: &Path,
        branch: &BranchName,
        commit: &CommitId,
        expected: Option<&CommitId>,
    ) -> Result<()> {
        let git_dir = shared_git_dir(source).await?;
        let name = format!("refs/heads/{branch}");
        match current(&git_dir, &name).await? {
            Some(now) if now == *commit => return Ok(()),
            now if now.as_ref() == expected => {}
            now => return Err(moved(branch, now.as_ref(), expected)),
        }
        refuse_checked_out(&git_dir, &name).await?;
        if !self.user_has(&git_dir, commit).await? {
            receive::transfer(&self.layout.hub(), &git_dir, commit, &[&self.base()?]).await?;
        }
        let zero = "0".repeat(commit.as_str().len());
        let old = expected.map_or(zero.as_str(), CommitId::as_str);
        let update = ["update-ref", "--no-deref", "-m", "muster: result", &name, commit.as_str(), old];
        match Git::at(&git_dir).to(format!("making the branch {branch}")).args(update).run().await {
            Ok(_) => Ok(()),
            Err(error) => match current(&git_dir, &name).await? {
                Some(now) if now == *commit => Ok(()),
                now if now.as_ref() != expected => Err(moved(branch, now.as_ref(), expected)),
                _ => Err(error),
            },
        }
    }

    /// Whether the user's repository has the commit with all that it needs. A commit alone may be the rest of an import
    /// that was cut short, so everything beyond the base is walked.
    async fn user_has(&self, git_dir: &Path, commit: &CommitId) -> Result<bool> {
        let base = format!("^{}", self.base()?);
        let args = ["rev-list", "--objects", "--quiet", commit.as_str(), &base];
        let answer = Git::at(git_dir).to("looking for the commit").args(args).accept(&[0, 1, 128]).run().await?;
        Ok(answer.code == 0)
    }
}

fn moved(branch: &BranchName, now: Option<&CommitId>, expected: Option<&CommitId>) -> Error {
    let text = match (now, expected) {
        (Some(now), None) => format!("the branch {branch} exists already, at {now}"),
        (Some(now), Some(expected)) => format!("the branch {branch} was moved to {now}; it should be at {expected}"),
        (None, _) => format!("the branch {branch} was removed"),
    };
    Error::new(ErrorKind::Conflict, text).hint(format!("Rename it with `git branch -m {branch} NEW`, then ask again."))
}

async fn shared_git_dir(source: &Path) -> Result<PathBuf> {
    let args = ["rev-parse", "--path-format=absolute", "--git-common-dir"];
    let answer =
        Git::within(source).to(format!("opening the repository {}", source.display())).args(args).run().await?;
    Ok(answer.line().into())
}

async fn current(git_dir: &Path, name: &str) -> Result<Option<CommitId>> {
    let args = ["rev-parse", "--verify", "--quiet", name];
    let answer = Git::at(git_dir).to(format!("reading {name}")).args(args).accept(&[0, 1]).run().await?;
    if answer.code == 0 { CommitId::new(answer.line()).map(Some) } else { Ok(None) }
}

async fn refuse_checked_out(git_dir: &Path, name: &str) -> Result<()> {
    let args = ["for-each-ref", "--format=%(worktreepath)", name];
    let answer = Git::at(git_dir).to("looking at the user's worktrees").args(args).run().await?;
    match answer.line() {
        place if place.is_empty() => Ok(()),
        place => Err(Error::new(ErrorKind::Conflict, format!("{name} is checked out in {place}"))
            .hint("Switch to another branch there, then ask again.")),
    }
}
