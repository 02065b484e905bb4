//! Looks at the user's repository before a mission starts: the facts that a mission needs, or the one thing in the way.
//!
//! It only reads: no lock is taken, no index is refreshed, and none of the repository's own hooks, monitors or filters
//! run, so that looking at a repository from an untrusted place is harmless.

use crate::{BranchName, CommitId, Error, git::Git};
use std::path::{Path, PathBuf};

/// What is known of a repository that a mission can work on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RepoFacts {
    /// The root of the checkout.
    pub root: PathBuf,
    /// The directory that holds the refs and objects (shared between linked worktrees).
    pub git_dir: PathBuf,
    /// The commit that is checked out: the natural base of a mission.
    pub head: CommitId,
    /// The branch that is checked out; `None` when HEAD is detached or the name is not a plain one.
    pub branch: Option<BranchName>,
    /// There are changes or untracked files that are not committed. Not an obstacle: a mission works from `head` and leaves them alone.
    pub dirty: bool,
    /// The history is cut off (`git clone --depth`). Not an obstacle.
    pub shallow: bool,
}

/// Why a mission cannot work on a repository, and what to do.
#[derive(Debug, thiserror::Error)]
pub enum RepoProblem {
    /// Nothing is there.
    #[error("{0} does not exist. Give the path of a git repository with --repo.")]
    Missing(PathBuf),
    /// A directory or file without git.
    #[error("{0} is not in a git repository. Run `git init` there and commit, or give another path with --repo.")]
    NotARepository(PathBuf),
    /// A repository without a checkout.
    #[error("{0} is a bare repository. Clone it and give the path of the clone with --repo.")]
    Bare(PathBuf),
    /// There is no commit to start from.
    #[error("{0} has no commits. Commit something first: `git add -A && git commit -m start`.")]
    NoCommits(PathBuf),
    /// The user is in the middle of a git operation.
    #[error("A {operation} is in progress in {root}. Finish it, or stop it with `{abort}`.")]
    InProgress {
        /// The root of the checkout.
        root: PathBuf,
        /// The word for the operation: rebase, merge, cherry-pick, revert, patch series.
        operation: &'static str,
        /// The command that stops it.
        abort: &'static str,
    },
    /// The commit contains submodules.
    #[error("{root} has submodules ({}), which are not supported. Remove them on a branch of their own, or work in the submodule's repository.", shown(.paths))]
    Submodules {
        /// The root of the checkout.
        root: PathBuf,
        /// Where the submodules are.
        paths: Vec<String>,
    },
    /// The commit contains files kept with Git LFS.
    #[error("{root} keeps files in Git LFS (see {}), which is not supported: agents would see pointers instead of files. Work on a branch without LFS filters.", shown(.attribute_files))]
    Lfs {
        /// The root of the checkout.
        root: PathBuf,
        /// The `.gitattributes` files that name the filter.
        attribute_files: Vec<String>,
    },
    /// Objects are missing on purpose.
    #[error(
        "{0} is a partial clone: not all of its objects are here. Make it complete with `git fetch --refetch --no-filter`."
    )]
    Partial(PathBuf),
    /// git could not read the repository.
    #[error("The repository cannot be read: {0}")]
    Unreadable(#[from] Error),
}

/// Reads the facts of the repository that `path` is in. It starts about five git processes and changes nothing.
pub async fn inspect(path: &Path) -> Result<RepoFacts, RepoProblem> {
    if std::fs::metadata(path).is_err() {
        return Err(RepoProblem::Missing(path.to_owned()));
    }
    let place = locate(path).await?;
    if let Some((operation, abort)) = operation_in_progress(&place.own_dir) {
        return Err(RepoProblem::InProgress { root: place.root, operation, abort });
    }
    let settings = settings(&place.root).await?;
    if settings.partial {
        return Err(RepoProblem::Partial(place.root));
    }
    let status = status(&place.root, &settings.filters).await?;
    let Some(head) = status.head else {
        return Err(RepoProblem::NoCommits(place.root));
    };
    refuse_unsupported(&place.root, &head).await?;
    let shallow = place.git_dir.join("shallow").exists();
    Ok(RepoFacts {
        root: place.root,
        git_dir: place.git_dir,
        head,
        branch: status.branch,
        dirty: status.dirty,
        shallow,
    })
}

struct Place {
    root: PathBuf,
    /// The git directory of this worktree.
    own_dir: PathBuf,
    /// The git directory that all worktrees share.
    git_dir: PathBuf,
}

async fn locate(path: &Path) -> Result<Place, RepoProblem> {
    let dir = if path.is_dir() { path } else { path.parent().unwrap_or(path) };
    let asked = [
        "rev-parse",
        "--path-format=absolute",
        "--is-bare-repository",
        "--git-dir",
        "--git-common-dir",
        "--show-toplevel",
    ];
    let answer =
        Git::within(dir).to(format!("looking at {}", path.display())).args(asked).accept(&[0, 128]).run().await?;
    let text = String::from_utf8_lossy(&answer.stdout).into_owned();
    match text.lines().collect::<Vec<_>>()[..] {
        ["true", ..] => Err(RepoProblem::Bare(path.to_owned())),
        ["false", own_dir, git_dir, root] if answer.code == 0 => {
            Ok(Place { root: root.into(), own_dir: own_dir.into(), git_dir: git_dir.into() })
        }
        // Inside a `.git` directory: not bare, and no checkout around it.
        ["false", own_dir, _] => Err(RepoProblem::NotARepository(own_dir.into())),
        _ if answer.stderr.contains("not a git repository") => Err(RepoProblem::NotARepository(path.to_owned())),
        _ => Err(Error::git(format!("looking at {}", path.display()), &answer.stderr).into()),
    }
}

fn operation_in_progress(own_dir: &Path) -> Option<(&'static str, &'static str)> {
    let signs = [
        ("rebase-merge", "rebase", "git rebase --abort"),
        ("rebase-apply/applying", "patch series", "git am --abort"),
        ("rebase-apply", "rebase", "git rebase --abort"),
        ("MERGE_HEAD", "merge", "git merge --abort"),
        ("CHERRY_PICK_HEAD", "cherry-pick", "git cherry-pick --abort"),
        ("REVERT_HEAD", "revert", "git revert --abort"),
    ];
    signs.iter().find(|(sign, ..)| own_dir.join(sign).exists()).map(|&(_, operation, abort)| (operation, abort))
}

struct Settings {
    partial: bool,
    /// The names of the filter drivers that the repository's own configuration defines.
    filters: Vec<String>,
}

async fn settings(root: &Path) -> Result<Settings, Error> {
    let asked = [
        "config",
        "-z",
        "--name-only",
        "--get-regexp",
        r"^(filter\..*|extensions\.partialclone|remote\..*\.promisor)$",
    ];
    let answer = Git::within(root).to("reading the repository's settings").args(asked).accept(&[0, 1]).run().await?;
    let mut settings = Settings { partial: false, filters: Vec::new() };
    for name in answer.fields() {
        match name.strip_prefix("filter.").and_then(|rest| rest.rsplit_once('.')) {
            Some((driver, _)) => settings.filters.push(driver.to_owned()),
            None => settings.partial = true,
        }
    }
    settings.filters.sort();
    settings.filters.dedup();
    Ok(settings)
}

struct Status {
    head: Option<CommitId>,
    branch: Option<BranchName>,
    dirty: bool,
}

async fn status(root: &Path, filters: &[String]) -> Result<Status, Error> {
    let mut git = Git::within(root).to("reading the repository's status");
    for driver in filters {
        // An empty command is no command: the files are compared as they are.
        for setting in ["clean=", "smudge=", "process=", "required=false"] {
            git = git.setting(format!("filter.{driver}.{setting}"));
        }
    }
    let asked = ["status", "--porcelain=v2", "--branch", "--no-renames", "--ignore-submodules=all", "-z"];
    let answer = git.args(asked).run().await?;
    let mut status = Status { head: None, branch: None, dirty: false };
    for field in answer.fields() {
        if let Some(oid) = field.strip_prefix("# branch.oid ") {
            status.head = CommitId::new(oid).ok();
        } else if let Some(name) = field.strip_prefix("# branch.head ") {
            status.branch = BranchName::new(name).ok();
        } else if !field.starts_with('#') {
            status.dirty = true;
        }
    }
    Ok(status)
}

async fn refuse_unsupported(root: &Path, head: &CommitId) -> Result<(), RepoProblem> {
    let asked = ["ls-tree", "-r", "-z", "--full-tree", "--format=%(objectmode) %(objectname) %(path)", head.as_str()];
    let listing = Git::within(root).to("listing the files of HEAD").args(asked).run().await?;
    let (mut submodules, mut attributes) = (Vec::new(), Vec::new());
    for line in listing.fields() {
        let mut parts = line.splitn(3, ' ');
        match (parts.next(), parts.next(), parts.next()) {
            (Some("160000"), _, Some(path)) => submodules.push(path.to_owned()),
            (_, Some(oid), Some(path)) if path == ".gitattributes" || path.ends_with("/.gitattributes") => {
                attributes.push((oid.to_owned(), path.to_owned()));
            }
            _ => {}
        }
    }
    if !submodules.is_empty() {
        return Err(RepoProblem::Submodules { root: root.to_owned(), paths: submodules });
    }
    let mut attribute_files = Vec::new();
    for (oid, path) in attributes.into_iter().take(ATTRIBUTE_FILES_MAX) {
        let file = Git::within(root).to(format!("reading {path}")).args(["cat-file", "blob", &oid]).run().await?;
        if String::from_utf8_lossy(&file.stdout).lines().any(names_lfs) {
            attribute_files.push(path);
        }
    }
    if attribute_files.is_empty() { Ok(()) } else { Err(RepoProblem::Lfs { root: root.to_owned(), attribute_files }) }
}

/// Most `.gitattributes` files that are read; repositories have one or two.
const ATTRIBUTE_FILES_MAX: usize = 200;

fn names_lfs(line: &str) -> bool {
    !line.trim_start().starts_with('#') && line.split_whitespace().skip(1).any(|word| word == "filter=lfs")
}

fn shown(paths: &[String]) -> String {
    let first: Vec<&str> = paths.iter().take(3).map(String::as_str).collect();
    let more = paths.len().saturating_sub(first.len());
    if more == 0 { first.join(", ") } else { format!("{} and {more} more", first.join(", ")) }
}
