//! Gives the user the result: objects and one branch, in one atomic step, and nothing else.
//!
//! The user's checkout, index, HEAD, configuration and other branches are only read. None of the repository's hooks run
//! (a hook would be the user's program acting on an agent's commit, unasked).

use crate::{
    BranchName, CommitId, Error, ErrorKind, RepoProblem, Result, git::Git, receive, repository::Repository,
    window::Window,
};
use rustix::fs::{Access, access};
use std::path::Path;

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
        let window = Window::open(source).await?;
        let name = format!("refs/heads/{branch}");
        match current(&window, &name).await? {
            Some(now) if now == *commit => return Ok(()),
            now if now.as_ref() == expected => {}
            now => return Err(moved(branch, now.as_ref(), expected)),
        }
        refuse_checked_out(&window, &name).await?;
        if !self.user_has(&window, commit).await? {
            let have = self.shared_history(&window).await?;
            let have: Vec<&CommitId> = have.iter().collect();
            receive::transfer(&self.layout.hub(), window.dir(), commit, &have).await?;
        }
        let zero = "0".repeat(commit.as_str().len());
        let old = expected.map_or(zero.as_str(), CommitId::as_str);
        let update = ["update-ref", "--no-deref", "-m", "muster: result", &name, commit.as_str(), old];
        match window.git().to(format!("making the branch {branch}")).args(update).run().await {
            Ok(_) => Ok(()),
            Err(error) => match current(&window, &name).await? {
                Some(now) if now == *commit => Ok(()),
                now if now.as_ref() != expected => Err(moved(branch, now.as_ref(), expected)),
                _ => Err(error),
            },
        }
    }

    /// Whether the user's repository has the commit with all that it needs. A commit alone may be the rest of an import
    /// that was cut short, so everything beyond the base is walked.
    async fn user_has(&self, window: &Window, commit: &CommitId) -> Result<bool> {
        let base = self.base()?;
        is_complete(window, commit, &[&format!("^{base}")]).await
    }

    /// Commits that the user's repository has for certain, with all that they need: the base, unless it is gone (the branch
    /// was reset and the rest collected), or else what its branches and tags stand at, as far as the mission knows it.
    async fn shared_history(&self, window: &Window) -> Result<Vec<CommitId>> {
        let base = self.base()?;
        if is_complete(window, &base, &["--not", "--all"]).await? {
            return Ok(vec![base]);
        }
        let args = ["for-each-ref", "--format=%(objectname)", "--sort=-creatordate", "--count=1000"];
        let tips = window.git().to("looking at the branches").args(args).accept(&[0, 128]).run().await?.stdout;
        let git = Git::at(&self.layout.hub()).to("looking for shared history").stdin(tips);
        let known = git.args(["cat-file", "--batch-check=%(objecttype) %(objectname)"]).run().await?.line();
        Ok(known.lines().filter_map(|line| line.strip_prefix("commit ")?.parse().ok()).collect())
    }
}

/// Whether a repository has a commit and all that it needs beyond what `beyond` excludes.
async fn is_complete(window: &Window, commit: &CommitId, beyond: &[&str]) -> Result<bool> {
    let git = window.git().to("looking for a commit").args(["rev-list", "--objects", "--quiet", commit.as_str()]);
    Ok(git.args(beyond).accept(&[0, 1, 128]).run().await?.code == 0)
}

/// The name that a mission's result can have in the user's repository at `source`: `muster/` and `key` unless another branch
/// stands in its way. It only looks, so that what would be found out at the end is known at the beginning.
///
/// Errors: [`RepoProblem::NotWritable`] where no branch can be made.
pub async fn result_branch(source: &Path, key: &str) -> std::result::Result<BranchName, RepoProblem> {
    let window = Window::open(source).await?;
    for place in ["refs/heads", "objects"] {
        let path = window.git_dir.join(place);
        if let Err(error) = access(&path, Access::WRITE_OK | Access::EXEC_OK) {
            return Err(RepoProblem::NotWritable { path, error: std::io::Error::from(error).to_string() });
        }
    }
    for prefix in ["muster/", "muster-", "muster-result/"] {
        let name = BranchName::new(format!("{prefix}{key}"))?;
        if is_free(&window, &name).await? {
            return Ok(name);
        }
    }
    let text = format!("the branches muster, muster-{key} and muster-result are all taken");
    Err(Error::new(ErrorKind::Conflict, text).hint("Rename one with `git branch -m`, then run this again.").into())
}

/// Whether a branch of this name can be made: neither it, nor one that its name continues, nor one that continues it is there.
async fn is_free(window: &Window, name: &BranchName) -> Result<bool> {
    let mut taken = Vec::new();
    let full = format!("refs/heads/{name}");
    for (end, _) in full.match_indices('/').skip(2) {
        taken.push(full[..end].to_owned());
    }
    taken.push(full);
    let args = ["for-each-ref", "--format=%(refname)"];
    let answer = window.git().to("looking for a free branch name").args(args).args(&taken).run().await?;
    let last = taken.last().map_or("", String::as_str);
    // Given a name, git lists what continues it too: that is in the way of the whole name only.
    let in_the_way = |found: &str| taken.iter().any(|name| name == found) || found.starts_with(&format!("{last}/"));
    let file = |name: &String| window.git_dir.join(name).is_file();
    let (full, above) = taken.split_last().map_or((None, &taken[..]), |(last, above)| (Some(last), above));
    let lock = full.is_some_and(|full| window.git_dir.join(format!("{full}.lock")).exists());
    Ok(!answer.line().lines().any(in_the_way) && !above.iter().any(file) && !lock)
}

fn moved(branch: &BranchName, now: Option<&CommitId>, expected: Option<&CommitId>) -> Error {
    let text = match (now, expected) {
        (Some(now), None) => format!("the branch {branch} exists already, at {now}"),
        (Some(now), Some(expected)) => format!("the branch {branch} was moved to {now}; it should be at {expected}"),
        (None, _) => format!("the branch {branch} was removed"),
    };
    Error::new(ErrorKind::Conflict, text).hint(format!("Rename it with `git branch -m {branch} NEW`, then ask again."))
}

async fn current(window: &Window, name: &str) -> Result<Option<CommitId>> {
    let args = ["rev-parse", "--verify", "--quiet", name];
    let answer = window.git().to(format!("reading {name}")).args(args).accept(&[0, 1]).run().await?;
    if answer.code == 0 { CommitId::new(answer.line()).map(Some) } else { Ok(None) }
}

async fn refuse_checked_out(window: &Window, name: &str) -> Result<()> {
    let args = ["for-each-ref", "--format=%(worktreepath)", name];
    let answer = window.git().to("looking at the user's worktrees").args(args).run().await?;
    match answer.line() {
        place if place.is_empty() => Ok(()),
        place => Err(Error::new(ErrorKind::Conflict, format!("{name} is checked out in {place}"))
            .hint("Switch to another branch there, then ask again.")),
    }
}
