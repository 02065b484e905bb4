//! Removing what agents have made: trees of any depth, with any names and any permission bits.
//!
//! Why not the standard library's: it goes down a tree on the stack, keeps a file open for every level, and stops at a
//! folder that its owner has closed. Whoever makes a tree decides how deep it is, so nothing here grows with its depth:
//! what lies deeper than one folder is first moved up beside it. No link is followed, and every folder is reached from one
//! that is open, by one name; so neither the length of a path nor what is exchanged meanwhile matters.

use std::ffi::{CString, OsStr};
use std::fs;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::sys;

/// How long one tree may take. Ten million files go in less; only somebody who goes on making files gets there.
const PATIENCE: Duration = Duration::from_secs(15 * 60);

/// What the owner of a folder may do with it.
const OWNER: u32 = 0o700;

/// Removes a folder with all that is in it, or a file, or a link itself. Nothing there is no error. What is made in it
/// meanwhile goes too, as long as that comes to an end within a quarter of an hour.
///
/// # Errors
/// Those of the file system, and `TimedOut`. What is left then can be removed by another call.
pub fn remove_tree(path: &Path) -> io::Result<()> {
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(io::ErrorKind::InvalidInput.into());
    };
    let parent = if parent.as_os_str().is_empty() { Path::new(".") } else { parent };
    let parent = match sys::open_dir(&CString::new(parent.as_os_str().as_bytes())?) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        opened => opened?,
    };
    let name = CString::new(name.as_bytes())?;
    if gone(sys::remove_at(parent.as_fd(), &name, false))? || gone(sys::remove_at(parent.as_fd(), &name, true))? {
        return Ok(());
    }
    let Some(folder) = enter(parent.as_fd(), &name)? else { return Ok(()) };
    let mut removal = Removal { folder, moved: 0, until: Instant::now() + PATIENCE };
    while !gone(sys::remove_at(parent.as_fd(), &name, true))? {
        removal.empty()?;
    }
    Ok(())
}

/// Gives the owner of a folder every right to it, if it lacks some; a link or a file in its place is left alone. An agent
/// can close its folders, and then they cannot be listed or moved.
///
/// # Errors
/// Those of the file system; nothing there is none.
pub fn open_up(folder: &Path) -> io::Result<()> {
    match sys::open_folder_nofollow(&CString::new(folder.as_os_str().as_bytes())?) {
        Ok(folder) => allow(folder.as_fd()),
        Err(error) if matches!(error.raw_os_error(), Some(libc::ENOENT | libc::ENOTDIR | libc::ELOOP)) => Ok(()),
        Err(error) => Err(error),
    }
}

/// A folder that is being emptied.
struct Removal {
    folder: OwnedFd,
    /// How many folders were moved up so far; their names come from it.
    moved: u64,
    until: Instant,
}

impl Removal {
    /// Removes what is in the folder, once through.
    fn empty(&mut self) -> io::Result<()> {
        for entry in list(self.folder.as_fd())? {
            let name = CString::new(entry?.file_name().as_bytes())?;
            if gone(sys::remove_at(self.folder.as_fd(), &name, false))? {
                continue;
            }
            while !gone(sys::remove_at(self.folder.as_fd(), &name, true))? {
                self.lift(&name)?;
            }
        }
        Ok(())
    }

    /// Empties a folder of the folder: its files go, and so do its empty folders; all others are moved up.
    fn lift(&mut self, name: &CString) -> io::Result<()> {
        let Some(below) = enter(self.folder.as_fd(), name)? else { return Ok(()) };
        for entry in list(below.as_fd())? {
            if Instant::now() > self.until {
                return Err(io::Error::new(io::ErrorKind::TimedOut, "files are made as fast as they are removed"));
            }
            let name = CString::new(entry?.file_name().as_bytes())?;
            if gone(sys::remove_at(below.as_fd(), &name, false))? || gone(sys::remove_at(below.as_fd(), &name, true))? {
                continue;
            }
            // Moving a folder changes what it says of the one above it, for which it must be open to its owner.
            drop(enter(below.as_fd(), &name)?);
            self.move_up(below.as_fd(), &name)?;
        }
        Ok(())
    }

    fn move_up(&mut self, below: BorrowedFd<'_>, name: &CString) -> io::Result<()> {
        loop {
            self.moved += 1;
            let fresh = CString::new(format!(".muster-removed-{}", self.moved))?;
            match sys::rename_at(below, name, self.folder.as_fd(), &fresh) {
                // Another has the name.
                Err(error)
                    if matches!(error.raw_os_error(), Some(libc::ENOTEMPTY | libc::EEXIST | libc::ENOTDIR))
                        && Instant::now() < self.until => {}
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
                moved => return moved,
            }
        }
    }
}

/// What is in an open folder.
fn list(folder: BorrowedFd<'_>) -> io::Result<fs::ReadDir> {
    fs::read_dir(by_number(folder))
}

/// Where an open file is found whatever its path has become.
fn by_number(file: BorrowedFd<'_>) -> PathBuf {
    Path::new("/proc/self/fd").join(OsStr::new(&file.as_raw_fd().to_string()))
}

/// Opens a folder of another with every right for its owner; none if there is no folder of that name.
fn enter(above: BorrowedFd<'_>, name: &CString) -> io::Result<Option<OwnedFd>> {
    match sys::open_folder_at(above, name) {
        Ok(folder) => allow(folder.as_fd()).map(|()| Some(folder)),
        Err(error) if matches!(error.raw_os_error(), Some(libc::ENOENT | libc::ENOTDIR | libc::ELOOP)) => Ok(None),
        Err(error) => Err(error),
    }
}

fn allow(folder: BorrowedFd<'_>) -> io::Result<()> {
    let mode = sys::stat_mode(folder)?;
    if mode & OWNER == OWNER {
        return Ok(());
    }
    fs::set_permissions(by_number(folder), fs::Permissions::from_mode(mode & 0o777 | OWNER))
}

/// Whether an attempt at removing something left nothing there; what is still there is a folder, or not empty.
fn gone(removed: io::Result<()>) -> io::Result<bool> {
    match removed.map_err(|error| (error.raw_os_error(), error)) {
        Ok(()) | Err((Some(libc::ENOENT), _)) => Ok(true),
        Err((Some(libc::EISDIR | libc::ENOTEMPTY | libc::EEXIST | libc::ENOTDIR), _)) => Ok(false),
        Err((_, error)) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;
    use std::process::Command;
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;

    /// A chain of folders below `dir`, each made in the one before, whose paths no call would take; every one is closed
    /// when the next stands.
    fn deep(dir: &Path, levels: usize, closed: bool) {
        let script = format!(
            "import os\nos.chdir('{}')\nfor i in range({levels}):\n os.mkdir('d'); os.chdir('d')\n open('f', 'w').close()\n \
             {}\n",
            dir.display(),
            // Its own entry must be made first, so it is closed from below.
            if closed {
                "fd = os.open('..', os.O_PATH); i and os.chmod('/proc/self/fd/%d' % fd, 0); os.close(fd)"
            } else {
                ""
            }
        );
        assert!(Command::new("python3").args(["-c", &script]).status().unwrap().success());
    }

    /// On a stack that the standard library's way would need hundreds of times over.
    fn on_a_small_stack(work: impl FnOnce() + Send + 'static) {
        std::thread::Builder::new().stack_size(64 << 10).spawn(work).unwrap().join().unwrap();
    }

    #[test]
    fn depth_costs_no_stack_no_files_and_no_long_path() {
        let temp = tempfile::tempdir().unwrap();
        let tree = temp.path().join("tree");
        fs::create_dir(&tree).unwrap();
        deep(&tree, 20_000, false);
        let removed = tree.clone();
        on_a_small_stack(move || remove_tree(&removed).unwrap());
        assert!(!tree.exists());
    }

    #[test]
    fn closed_folders_are_no_hindrance() {
        let temp = tempfile::tempdir().unwrap();
        let tree = temp.path().join("tree");
        fs::create_dir_all(tree.join("a/b")).unwrap();
        deep(&tree.join("a/b"), 3_000, true);
        fs::set_permissions(tree.join("a/b"), fs::Permissions::from_mode(0o000)).unwrap();
        fs::set_permissions(tree.join("a"), fs::Permissions::from_mode(0o500)).unwrap();
        fs::set_permissions(&tree, fs::Permissions::from_mode(0o000)).unwrap();
        remove_tree(&tree).unwrap();
        assert!(fs::symlink_metadata(&tree).is_err());
    }

    #[test]
    fn wide_trees_names_of_every_kind_and_links() {
        let temp = tempfile::tempdir().unwrap();
        let (tree, outside) = (temp.path().join("tree"), temp.path().join("outside"));
        fs::create_dir_all(outside.join("kept")).unwrap();
        for at in 0..50 {
            fs::create_dir_all(tree.join(format!("{at}/x/y/z"))).unwrap();
            fs::write(tree.join(format!("{at}/x/y/f")), "x").unwrap();
            symlink(&outside, tree.join(format!("{at}/x/y/z/link"))).unwrap();
            // The names that the removal itself uses are taken, by files and by folders that hold something.
            fs::create_dir_all(tree.join(format!(".muster-removed-{}/in", at * 2))).unwrap();
            fs::write(tree.join(format!(".muster-removed-{}", at * 2 + 1)), "x").unwrap();
        }
        fs::create_dir_all(tree.join(OsStr::from_bytes(b"\xff\n\x01")).join("-rf")).unwrap();
        remove_tree(&tree).unwrap();
        assert!(!tree.exists() && outside.join("kept").exists());
        symlink(&outside, &tree).unwrap();
        remove_tree(&tree).unwrap();
        assert!(outside.join("kept").exists() && fs::symlink_metadata(&tree).is_err());
        remove_tree(&tree).unwrap();
        remove_tree(&tree.join("not/there")).unwrap();
    }

    #[test]
    fn what_is_made_meanwhile_goes_too() {
        let temp = tempfile::tempdir().unwrap();
        let tree = temp.path().join("tree");
        fs::create_dir_all(tree.join("a/b/c")).unwrap();
        let (until, over) = (tree.clone(), std::sync::Arc::new(AtomicBool::new(false)));
        let stop = std::sync::Arc::clone(&over);
        let maker = std::thread::spawn(move || {
            let mut made = 0_u32;
            while made < 20_000 && !stop.load(Ordering::Relaxed) {
                let _ = fs::create_dir_all(until.join(format!("a/b/c/{made}/d")));
                made += 1;
            }
        });
        let result = remove_tree(&tree);
        over.store(true, Ordering::Relaxed);
        maker.join().unwrap();
        result.unwrap();
        remove_tree(&tree).unwrap();
        assert!(!tree.exists());
    }

    #[test]
    fn a_closed_folder_can_be_opened_up_and_a_link_is_not_followed() {
        let temp = tempfile::tempdir().unwrap();
        let (closed, link) = (temp.path().join("closed"), temp.path().join("link"));
        fs::create_dir(&closed).unwrap();
        fs::set_permissions(&closed, fs::Permissions::from_mode(0o005)).unwrap();
        symlink(&closed, &link).unwrap();
        open_up(&link).unwrap();
        assert_eq!(fs::metadata(&closed).unwrap().permissions().mode() & 0o777, 0o005);
        open_up(&closed).unwrap();
        assert_eq!(fs::metadata(&closed).unwrap().permissions().mode() & 0o777, 0o705);
        open_up(&temp.path().join("nothing")).unwrap();
    }
}
