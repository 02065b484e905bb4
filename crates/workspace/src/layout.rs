//! Where everything lies: on the host under the mission's directory, and inside a sandbox at fixed places.
//!
//! Git repositories are made here by writing their few files, not by running git: no template, no configuration from
//! elsewhere, no process. Anything that must be there completely or not at all is made under another name and renamed.

use crate::{AgentName, CommitId, Error, ErrorKind, Result};
use std::{
    fs,
    io::{self, Write},
    path::{Path, PathBuf},
};

/// Where the agent's clone (or scratch directory) is inside its sandbox.
pub const INSIDE_WORK: &str = "/workspace";
/// The agent's home directory inside its sandbox.
pub const INSIDE_HOME: &str = "/home/agent";
/// The hub inside a sandbox; read-only.
pub const INSIDE_HUB: &str = "/muster/hub.git";
/// The snapshot store inside the sandbox that takes checkpoints; the agent's own sandbox never has it.
pub(crate) const INSIDE_SNAPSHOT: &str = "/muster/snapshot.git";

/// The branch of the hub that holds what is merged.
pub const MISSION_BRANCH: &str = "mission";

/// The paths of one mission on the host.
#[derive(Debug, Clone)]
pub(crate) struct Layout {
    dir: PathBuf,
}

impl Layout {
    pub fn new(dir: PathBuf) -> Self {
        Self { dir }
    }

    /// Base, mission branch, candidates. Agents see it read-only.
    pub fn hub(&self) -> PathBuf {
        self.dir.join("hub.git")
    }

    /// The hub as every sandbox sees it.
    pub fn hub_bind(&self) -> sandbox::Bind {
        sandbox::Bind::read(self.hub(), INSIDE_HUB).ours()
    }

    /// Checkpoints and merges. No sandbox ever sees it.
    pub fn vault(&self) -> PathBuf {
        self.dir.join("vault.git")
    }

    pub fn checks(&self) -> PathBuf {
        self.dir.join("checks")
    }

    pub fn agent(&self, agent: &AgentName) -> AgentLayout {
        AgentLayout { dir: self.dir.join("agents").join(agent.as_str()) }
    }
}

/// The paths of one agent on the host. Only `work` and `home` are ever written by the agent, and by
/// commands that are run for it `work` and `command_home`.
#[derive(Debug, Clone)]
pub(crate) struct AgentLayout {
    pub dir: PathBuf,
}

impl AgentLayout {
    pub fn work(&self) -> PathBuf {
        self.dir.join("work")
    }

    pub fn home(&self) -> PathBuf {
        self.dir.join("home")
    }

    /// The home of the commands that are run for the agent; not the agent's own.
    pub fn command_home(&self) -> PathBuf {
        self.dir.join("command-home")
    }

    /// The git directory with which checkpoints are taken; ours alone, so nothing that an agent configures applies.
    pub fn snapshot(&self) -> PathBuf {
        self.dir.join("snapshot.git")
    }

    /// Where the files go that cannot be saved, when the next task needs the tree.
    pub fn aside(&self) -> PathBuf {
        self.dir.join("aside")
    }

    /// What the workspace was last told to work on.
    pub fn task(&self) -> PathBuf {
        self.dir.join("task.json")
    }
}

/// The hash function of a repository, as git names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ObjectFormat {
    Sha1,
    Sha256,
}

impl ObjectFormat {
    pub fn of(commit: &CommitId) -> Self {
        if commit.as_str().len() == 64 { Self::Sha256 } else { Self::Sha1 }
    }

    pub fn config(self) -> &'static str {
        match self {
            Self::Sha1 => "\trepositoryformatversion = 0\n",
            Self::Sha256 => "\trepositoryformatversion = 1\n[extensions]\n\tobjectformat = sha256\n[core]\n",
        }
    }
}

/// A git repository to be written.
pub(crate) struct Skeleton<'a> {
    pub format: ObjectFormat,
    /// The branch that HEAD names.
    pub branch: &'a str,
    /// The object directory that this one borrows from, as the reader of the repository will see it.
    pub alternates: Option<&'a str>,
    /// The list of commits at which a shallow history ends.
    pub shallow: Option<&'a [u8]>,
    /// Further configuration.
    pub config: &'a str,
}

impl Skeleton<'_> {
    /// What its file of settings says.
    pub fn config_text(&self, bare: bool) -> String {
        format!("[core]\n{}\tbare = {bare}\n{}", self.format.config(), self.config)
    }

    /// Writes the repository's files in `git_dir`; existing files of these names are replaced.
    pub fn write(&self, git_dir: &Path, bare: bool) -> Result<()> {
        for dir in ["objects/info", "objects/pack", "refs/heads"] {
            make_dir(&git_dir.join(dir))?;
        }
        write(&git_dir.join("HEAD"), format!("ref: refs/heads/{}\n", self.branch).as_bytes())?;
        write(&git_dir.join("config"), self.config_text(bare).as_bytes())?;
        if let Some(alternates) = self.alternates {
            write(&git_dir.join("objects/info/alternates"), format!("{alternates}\n").as_bytes())?;
        }
        if let Some(shallow) = self.shallow {
            write(&git_dir.join("shallow"), shallow)?;
        }
        Ok(())
    }
}

/// Runs file work on a thread where it may block.
pub(crate) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|e| Err(Error::new(ErrorKind::Other, format!("file work was stopped: {e}"))))
}

pub(crate) fn make_dir(path: &Path) -> Result<()> {
    fs::create_dir_all(path).map_err(|e| Error::io(format!("making the directory {}", path.display()), &e))
}

pub(crate) fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    fs::write(path, bytes).map_err(|e| Error::io(format!("writing {}", path.display()), &e))
}

/// Writes a file so that it is there completely, or with its old content, and durably when this returns. The one sync comes
/// after the renaming, so it carries the name too, and all that was handed to the disk before it (see `git::HAND_OVER`).
/// A power cut before it can leave a new file empty, which its readers take for none.
fn replace_by_way_of(fresh: &Path, path: &Path, bytes: &[u8]) -> Result<()> {
    let fail = |e: io::Error| Error::io(format!("writing {}", path.display()), &e);
    let mut file = fs::File::create(fresh).map_err(fail)?;
    file.write_all(bytes).map_err(fail)?;
    fs::rename(fresh, path).map_err(fail)?;
    file.sync_all().map_err(fail)
}

/// Writes a file of ours so that it is there completely and durably.
pub(crate) fn replace(path: &Path, bytes: &[u8]) -> Result<()> {
    replace_by_way_of(&path.with_extension("new"), path, bytes)
}

/// Gives a commit a name in a store of ours, durably, and with it all its objects. Only for names that nobody moves: what
/// two could move at once is git's to do. The file is made as git makes it, so that git finds it there, or finds nothing.
pub(crate) async fn make_ref(store: &Path, name: &str, commit: &CommitId) -> Result<()> {
    let (path, text) = (store.join(name), format!("{commit}\n"));
    make_dir(path.parent().unwrap_or(store))?;
    let mut fresh = path.clone().into_os_string();
    fresh.push(".lock");
    blocking(move || replace_by_way_of(Path::new(&fresh), &path, text.as_bytes())).await
}

/// Gives a finished directory its name, durably.
pub(crate) fn rename(from: &Path, to: &Path) -> Result<()> {
    fs::rename(from, to).map_err(|e| Error::io(format!("renaming {} to {}", from.display(), to.display()), &e))?;
    sync_parent(to)
}

fn sync_parent(path: &Path) -> Result<()> {
    let parent = path.parent().unwrap_or(Path::new("/"));
    let synced = fs::File::open(parent).and_then(|dir| dir.sync_all());
    synced.map_err(|e| Error::io(format!("writing {}", parent.display()), &e))
}

/// Removes a directory tree, whatever an agent made of it; see [`sandbox::remove_tree`]. No directory is no error.
pub(crate) fn remove_tree(path: &Path) -> Result<()> {
    sandbox::remove_tree(path).map_err(|e| Error::io(format!("removing {}", path.display()), &e))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{PermissionsExt, symlink};

    #[test]
    fn removing_a_tree_follows_no_link_and_needs_no_permission_from_the_agent() {
        let temp = tempfile::tempdir().unwrap();
        let (outside, tree) = (temp.path().join("outside"), temp.path().join("tree"));
        fs::create_dir_all(outside.join("kept")).unwrap();
        fs::create_dir_all(tree.join("closed/inner")).unwrap();
        symlink(&outside, tree.join("closed/link")).unwrap();
        fs::set_permissions(tree.join("closed"), fs::Permissions::from_mode(0o000)).unwrap();
        remove_tree(&tree).unwrap();
        assert!(!tree.exists());
        assert!(outside.join("kept").exists());
        remove_tree(&tree).unwrap();
    }

    #[test]
    fn a_link_in_the_place_of_a_tree_is_removed_itself() {
        let temp = tempfile::tempdir().unwrap();
        let (outside, link) = (temp.path().join("outside"), temp.path().join("link"));
        fs::create_dir(&outside).unwrap();
        symlink(&outside, &link).unwrap();
        remove_tree(&link).unwrap();
        assert!(outside.exists() && fs::symlink_metadata(&link).is_err());
    }
}
