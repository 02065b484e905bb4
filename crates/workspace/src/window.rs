//! The user's repository as we open it: by way of a git directory of ours, whose refs and objects are links to the
//! user's and whose configuration is ours.
//!
//! Looking at a repository must run nothing of it, whatever is in it. A list of dangerous settings would never be complete
//! (filters, monitors, hooks, drivers, and what the next git invents), so none of the repository's configuration is given
//! to any git that reads files or objects. What is taken over are a few plain values, each checked here, copies of the two
//! files with patterns, and a copy of the index, so that nothing is written beside the user's.
//!
//! git itself is asked two things in the user's repository, with the user's own environment: where it is, which includes
//! git's own check whether it belongs to somebody else, and what those plain values are.

use crate::{
    Error, ErrorKind, RepoProblem, Result,
    git::{Git, Output},
    layout::{self, ObjectFormat},
    manners::{self, Manners},
};
use std::{
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
};
use tempfile::TempDir;

/// Most bytes of an index (and of a shared part of one) that are copied: some five million files.
const INDEX_BYTES_MAX: u64 = 1 << 30;
/// Most bytes of a file that says what is checked out.
const HEAD_BYTES_MAX: u64 = 4 << 10;
/// Shared parts of an index that are copied.
const SHARED_INDEXES_MAX: usize = 64;

/// A user's repository, opened. What is made for it goes when this is dropped.
#[derive(Debug)]
pub(crate) struct Window {
    dir: TempDir,
    /// The root of the checkout; none for a bare repository.
    pub root: Option<PathBuf>,
    /// The git directory of this worktree.
    pub own_dir: PathBuf,
    /// The git directory that all worktrees share.
    pub git_dir: PathBuf,
    /// What its user has set that shapes files.
    pub manners: Manners,
}

struct Place {
    root: Option<PathBuf>,
    own_dir: PathBuf,
    git_dir: PathBuf,
}

impl Window {
    /// Opens the repository that `path` is in.
    pub async fn open(path: &Path) -> std::result::Result<Self, RepoProblem> {
        let Place { root, own_dir, git_dir } = locate(path).await?;
        let manners = Manners::of(path_to_ask(path), &git_dir).await?;
        let dir = tempfile::Builder::new().prefix("muster-window-").tempdir();
        let dir = dir.map_err(|e| Error::io("making a place to look at a repository from", &e))?;
        let window = Self { dir, root, own_dir, git_dir, manners };
        window.furnish()?;
        Ok(window)
    }

    /// A git process that sees the repository's refs and objects, and nothing that configures git but what is ours.
    pub fn git(&self) -> Git {
        Git::at(self.dir.path()).env("GIT_OPTIONAL_LOCKS", "0")
    }

    /// The same with the files of the checkout, and with what the user ignores.
    pub fn git_in_checkout(&self) -> Git {
        let root = self.root.as_deref().unwrap_or(Path::new("/nonexistent"));
        let mut git = self.git().args([crate::git::flag("--work-tree=", root)]);
        for (setting, file) in
            [("core.excludesFile=", manners::USER_EXCLUDE), ("core.attributesFile=", manners::USER_ATTRIBUTES)]
        {
            let path = self.dir.path().join(file);
            if path.exists() {
                git = git.setting(crate::git::flag(setting, &path));
            }
        }
        git
    }

    /// Where the git directory of ours is.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// The repository's own folder of objects.
    pub fn objects(&self) -> PathBuf {
        self.git_dir.join("objects")
    }

    /// The list of commits at which a shallow history ends.
    pub fn shallow(&self) -> Option<Vec<u8>> {
        fs::read(self.git_dir.join("shallow")).ok()
    }

    fn furnish(&self) -> Result<()> {
        let (ours, theirs) = (self.dir.path(), &self.git_dir);
        layout::write(&ours.join("HEAD"), &head(&self.own_dir))?;
        layout::write(&ours.join("config"), self.config().as_bytes())?;
        for name in ["objects", "refs"] {
            link(&theirs.join(name), &ours.join(name))?;
        }
        for name in ["packed-refs", "reftable", "logs", "worktrees"] {
            if theirs.join(name).exists() {
                link(&theirs.join(name), &ours.join(name))?;
            }
        }
        if let Some(shallow) = self.shallow() {
            layout::write(&ours.join("shallow"), &shallow)?;
        }
        self.manners.write(ours)?;
        self.copy_index()
    }

    fn config(&self) -> String {
        let format = if self.manners.sha256 { ObjectFormat::Sha256 } else { ObjectFormat::Sha1 };
        let mut text = format!("[core]\n{}", format.config());
        text.push_str("\tbare = false\n\tlogAllRefUpdates = true\n\tuntrackedCache = false\n");
        text.push_str(&self.manners.core(|_| true));
        if self.manners.reftable {
            text.push_str("[core]\n\trepositoryformatversion = 1\n[extensions]\n\trefStorage = reftable\n");
        }
        text
    }

    /// The index as it is now; an index in two parts refers to the other by name.
    fn copy_index(&self) -> Result<()> {
        let from = self.own_dir.join("index");
        if !copy_bounded(&from, &self.dir.path().join("index"))? {
            return Ok(());
        }
        let shared = |name: &str| name.strip_prefix("sharedindex.").is_some_and(|id| id.len() < 80);
        let entries = fs::read_dir(&self.own_dir).map_err(|e| Error::io(self.own_dir.display(), &e))?;
        let names = entries.flatten().filter_map(|entry| entry.file_name().into_string().ok());
        for name in names.filter(|name| shared(name)).take(SHARED_INDEXES_MAX) {
            copy_bounded(&self.own_dir.join(&name), &self.dir.path().join(&name))?;
        }
        Ok(())
    }
}

fn link(to: &Path, at: &Path) -> Result<()> {
    symlink(to, at).map_err(|e| Error::io(format!("linking {}", at.display()), &e))
}

/// Copies a regular file; says whether there is one.
fn copy_bounded(from: &Path, to: &Path) -> Result<bool> {
    let Some(about) = fs::metadata(from).ok().filter(fs::Metadata::is_file) else { return Ok(false) };
    if about.len() > INDEX_BYTES_MAX {
        return Err(Error::new(ErrorKind::TooLarge, format!("{} is too large: {} bytes", from.display(), about.len())));
    }
    fs::copy(from, to).map_err(|e| Error::io(format!("reading {}", from.display()), &e))?;
    // The content's age decides what git believes of it.
    let copied = about.modified().and_then(|time| fs::File::options().write(true).open(to)?.set_modified(time));
    copied.map(|()| true).map_err(|e| Error::io(format!("copying {}", from.display()), &e))
}

/// What is checked out, in the form of a file. Old git made it a link to a ref.
fn head(own_dir: &Path) -> Vec<u8> {
    let path = own_dir.join("HEAD");
    match fs::read_link(&path).ok().and_then(|link| link.into_os_string().into_string().ok()) {
        Some(name) if name.starts_with("refs/") => format!("ref: {name}\n").into_bytes(),
        _ => manners::regular(&path, HEAD_BYTES_MAX).unwrap_or_else(|| b"ref: refs/heads/none\n".to_vec()),
    }
}

fn path_to_ask(path: &Path) -> &Path {
    if path.is_dir() { path } else { path.parent().unwrap_or(path) }
}

async fn locate(path: &Path) -> std::result::Result<Place, RepoProblem> {
    let asked = [
        "rev-parse",
        "--path-format=absolute",
        "--is-bare-repository",
        "--git-dir",
        "--git-common-dir",
        "--show-toplevel",
    ];
    let dir = path_to_ask(path);
    let answer = Git::asking(dir).to(format!("looking at {}", path.display())).args(asked).accept(&[0, 128]);
    let answer = answer.run().await?;
    let text = String::from_utf8_lossy(&answer.stdout).into_owned();
    match text.lines().collect::<Vec<_>>()[..] {
        ["true", own_dir, git_dir, ..] => Ok(Place { root: None, own_dir: own_dir.into(), git_dir: git_dir.into() }),
        ["false", own_dir, git_dir, root] if answer.code == 0 => {
            around(dir, Place { root: Some(root.into()), own_dir: own_dir.into(), git_dir: git_dir.into() })
        }
        // Inside a `.git` directory: not bare, and no checkout around it.
        ["false", own_dir, _] => Err(RepoProblem::NotARepository(own_dir.into())),
        _ => Err(unfound(path, &answer)),
    }
}

/// A setting can name any folder as the checkout; ours is one that the path is in.
fn around(dir: &Path, place: Place) -> std::result::Result<Place, RepoProblem> {
    let real = |path: &Path| fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    match &place.root {
        Some(root) if !real(dir).starts_with(real(root)) => {
            Err(RepoProblem::Elsewhere { path: dir.to_owned(), root: root.clone() })
        }
        _ => Ok(place),
    }
}

fn unfound(path: &Path, answer: &Output) -> RepoProblem {
    let said = &answer.stderr;
    if said.contains("dubious ownership") {
        let advice = said.lines().map(str::trim).find(|line| line.starts_with("git config --global"));
        let advice = advice.unwrap_or("git config --global --add safe.directory PATH").to_owned();
        return RepoProblem::Foreign { path: path.to_owned(), advice };
    }
    if said.contains("not a git repository") {
        return RepoProblem::NotARepository(path.to_owned());
    }
    Error::git(format!("looking at {}", path.display()), said).into()
}
