//! Looks at the user's repository before a mission starts: the facts that a mission needs, or the one thing in the way.
//!
//! It only reads, and by way of a [window](crate::window): no lock is taken, no index is refreshed, and nothing that the
//! repository's configuration names is run, so that looking at a repository from an untrusted place is harmless.

use crate::{
    BranchName, CommitId, Error, ErrorKind,
    peculiar::{self, RepoNote},
    window::Window,
};
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
    /// What will be otherwise for agents than it is in the user's checkout. Not an obstacle, but to be said before it costs anything.
    pub notes: Vec<RepoNote>,
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
    #[error("{root} keeps files in Git LFS ({}), which is not supported: agents would see pointers instead of files. Work on a branch without them: `git lfs migrate export` turns them into usual files.", shown(.paths))]
    Lfs {
        /// The root of the checkout.
        root: PathBuf,
        /// Files of which only the pointer is committed.
        paths: Vec<String>,
    },
    /// git does not use repositories of others.
    #[error(
        "{path} is in a repository that belongs to another user, and git refuses to use it: whoever owns it could have programs run as you. If you trust it, tell git so: {advice}"
    )]
    Foreign {
        /// What was given.
        path: PathBuf,
        /// The command, in git's own words.
        advice: String,
    },
    /// The repository says that its files are at another place.
    #[error(
        "{path} is in a repository whose checkout is {root}, by its setting core.worktree. Give that path with --repo."
    )]
    Elsewhere {
        /// What was given.
        path: PathBuf,
        /// What the repository says.
        root: PathBuf,
    },
    /// Objects are missing on purpose.
    #[error(
        "{0} is a partial clone: not all objects of the commit that is checked out are here. Fetch them with `git fetch --refetch --no-filter`, then run this again."
    )]
    Partial(PathBuf),
    /// The result could not be put there.
    #[error(
        "{path} cannot be written: {error}. The result of a mission is put there as a branch: see to its owner and mode, or work in a clone."
    )]
    NotWritable {
        /// The folder.
        path: PathBuf,
        /// Why not.
        error: String,
    },
    /// git could not read the repository.
    #[error("The repository cannot be read: {0}")]
    Unreadable(#[from] Error),
}

/// Reads the facts of the repository that `path` is in. It starts about ten git processes and changes nothing.
pub async fn inspect(path: &Path) -> Result<RepoFacts, RepoProblem> {
    if std::fs::metadata(path).is_err() {
        return Err(RepoProblem::Missing(path.to_owned()));
    }
    let window = Window::open(path).await?;
    let Some(root) = window.root.clone() else { return Err(RepoProblem::Bare(path.to_owned())) };
    if let Some((operation, abort)) = operation_in_progress(&window.own_dir) {
        return Err(RepoProblem::InProgress { root, operation, abort });
    }
    let status = status(&window).await?;
    let Some(head) = status.head else { return Err(RepoProblem::NoCommits(root)) };
    if may_lack_objects(&window) && !has_all_objects(&window, &head).await? {
        return Err(RepoProblem::Partial(root));
    }
    let files = listing(&window, &head).await?;
    let submodules: Vec<String> = files.iter().filter(|file| file.nested).map(|file| file.path.clone()).collect();
    if !submodules.is_empty() {
        return Err(RepoProblem::Submodules { root, paths: submodules });
    }
    let odd = peculiar::find(&window, &head, &files).await?;
    if !odd.lfs.is_empty() {
        return Err(RepoProblem::Lfs { root, paths: odd.lfs });
    }
    let (dirty, unknown) = changes(&window, status.changed, status.certain).await?;
    let mut notes = odd.notes;
    notes.extend((unknown > 0).then_some(RepoNote::NotCompared { files: unknown }));
    let shallow = window.git_dir.join("shallow").exists();
    Ok(RepoFacts { root, git_dir: window.git_dir.clone(), head, branch: status.branch, dirty, shallow, notes })
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

struct Status {
    head: Option<CommitId>,
    branch: Option<BranchName>,
    /// Files of the repository that look different.
    changed: Vec<String>,
    /// Something is not committed for certain.
    certain: bool,
}

async fn status(window: &Window) -> Result<Status, Error> {
    let asked = ["status", "--porcelain=v2", "--branch", "--no-renames", "--ignore-submodules=all", "-z"];
    let git = window.git_in_checkout().to("reading the repository's status").timeout(LONG);
    let answer = git.output_max(LISTING_BYTES_MAX).args(asked).run().await?;
    let mut status = Status { head: None, branch: None, changed: Vec::new(), certain: false };
    for field in answer.fields() {
        if let Some(oid) = field.strip_prefix("# branch.oid ") {
            status.head = CommitId::new(oid).ok();
        } else if let Some(name) = field.strip_prefix("# branch.head ") {
            status.branch = BranchName::new(name).ok();
        } else if field.starts_with("? ") {
            status.certain = true;
        } else if !field.starts_with(['#', '!']) {
            // "1 XY sub mH mI mW hH hI path", and for a conflict two ids more.
            let words = if field.starts_with("u ") { 11 } else { 9 };
            let path = field.splitn(words, ' ').nth(words - 1).unwrap_or_default().to_owned();
            // What is staged or gone differs, however its content is compared.
            status.certain |= !field.get(2..).is_some_and(|rest| rest.starts_with(".M"));
            status.changed.push(path);
        }
    }
    Ok(status)
}

/// Whether there is something that is not committed, and how many files cannot be compared: those that a filter turns into
/// what is committed look different without it, and it is not run.
async fn changes(window: &Window, changed: Vec<String>, certain: bool) -> Result<(bool, usize), Error> {
    if changed.is_empty() {
        return Ok((certain, 0));
    }
    let stdin: Vec<u8> = changed.iter().flat_map(|path| [path.as_bytes(), b"\0"].concat()).collect();
    let git = window.git_in_checkout().to("looking for files behind filters").stdin(stdin);
    let answer = git.args(["check-attr", "-z", "--stdin", "filter"]).output_max(LISTING_BYTES_MAX).run().await?;
    let values: Vec<String> = answer.fields().collect();
    let filtered = values.chunks(3).filter(|entry| entry.get(2).is_some_and(|value| peculiar::is_named(value))).count();
    Ok((certain || filtered < changed.len(), filtered))
}

/// Whether objects may be missing on purpose: by what the repository says, or by how its packs are marked.
fn may_lack_objects(window: &Window) -> bool {
    let packs = std::fs::read_dir(window.objects().join("pack"));
    let marked = |entry: std::fs::DirEntry| entry.path().extension().is_some_and(|end| end == "promisor");
    window.manners.partial || packs.is_ok_and(|packs| packs.flatten().any(marked))
}

async fn has_all_objects(window: &Window, head: &CommitId) -> Result<bool, Error> {
    let git = window.git().to("looking for missing objects").timeout(LONG);
    let answer = git.args(["rev-list", "--objects", "--quiet", head.as_str()]).accept(&[0, 1, 128]).run().await?;
    Ok(answer.code == 0)
}

/// One file of a commit.
pub(crate) struct File {
    pub oid: String,
    pub path: String,
    /// It is another repository.
    pub nested: bool,
}

async fn listing(window: &Window, head: &CommitId) -> Result<Vec<File>, Error> {
    let asked = ["ls-tree", "-r", "-z", "--full-tree", head.as_str()];
    let git = window.git().to("listing the files of HEAD").output_max(LISTING_BYTES_MAX);
    let listing = git.args(asked).run().await?;
    let file = |line: String| {
        let (about, path) = line.split_once('\t')?;
        let oid = about.rsplit(' ').next()?.to_owned();
        Some(File { oid, path: path.to_owned(), nested: about.starts_with("160000") })
    };
    Ok(listing.fields().filter_map(file).collect())
}

/// Wall limit of a look at every file or object.
const LONG: std::time::Duration = std::time::Duration::from_secs(30 * 60);
/// Bytes of a listing of all files that are read; some 2 million files.
pub(crate) const LISTING_BYTES_MAX: usize = 256 << 20;

impl From<RepoProblem> for Error {
    fn from(problem: RepoProblem) -> Self {
        let kind = match problem {
            RepoProblem::Unreadable(error) => return error,
            RepoProblem::Missing(_) | RepoProblem::NotARepository(_) => ErrorKind::Missing,
            _ => ErrorKind::Invalid,
        };
        Self::new(kind, problem.to_string())
    }
}

pub(crate) fn shown(paths: &[String]) -> String {
    let first: Vec<&str> = paths.iter().take(3).map(String::as_str).collect();
    let more = paths.len().saturating_sub(first.len());
    if more == 0 { first.join(", ") } else { format!("{} and {more} more", first.join(", ")) }
}
