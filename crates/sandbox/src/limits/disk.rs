//! How much the directories that a sandbox may write in take up on disk.
//!
//! What is counted is what the file system has given (blocks), each file once however many names it has, so that sparse
//! files and hard links cost what they cost. No link is followed, no other file system entered, and a walk does only so much
//! at a time. Directories are opened below ones that are open, so that nothing can be exchanged under the walk.

use std::collections::HashSet;
use std::fs::{self, File, Metadata, ReadDir};
use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::sys;

/// Length of a path below an open directory from which on the directory at its end is kept open, well below `PATH_MAX`.
const PATH_BYTES: usize = 2048;
/// How many directories are kept open for that, one below the other.
const ANCHORS: u8 = 32;

/// What a walk has found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Usage {
    /// Bytes on disk.
    pub bytes: u64,
    /// Something was closed to us, or too deep: there may be more.
    pub hidden: bool,
    /// The devices of the files found.
    pub devices: Vec<u64>,
}

/// A walk under way.
#[derive(Debug)]
pub(super) struct Walk {
    usage: Usage,
    /// Directories, and files with several names.
    seen: HashSet<(u64, u64)>,
    waiting: Vec<Place>,
    current: Option<(ReadDir, Place)>,
}

/// A directory below one that is open.
#[derive(Clone, Debug)]
struct Place {
    anchor: Arc<File>,
    path: PathBuf,
    device: u64,
    anchors: u8,
}

impl Walk {
    /// A walk through these directories; files among them count as well, and what is not there does not.
    pub fn new<'a>(roots: impl IntoIterator<Item = &'a Path>) -> Self {
        let mut walk = Self { usage: Usage::default(), seen: HashSet::new(), waiting: Vec::new(), current: None };
        for root in roots {
            let opened = fs::OpenOptions::new().read(true).custom_flags(libc::O_PATH).open(root);
            match opened.and_then(|root| Ok((root.metadata()?, root))) {
                Ok((found, root)) if found.is_dir() => {
                    let place = Place { anchor: Arc::new(root), path: PathBuf::new(), device: found.dev(), anchors: 0 };
                    walk.waiting.push(place);
                }
                Ok((found, _)) => walk.count(&found),
                Err(error) => walk.failed(&error),
            }
        }
        walk
    }

    /// Goes on for at most so many entries. What was found, when it is over.
    pub fn step(&mut self, entries: usize) -> Option<Usage> {
        let mut left = entries;
        while left > 0 {
            left -= 1;
            let Some((dir, place)) = &mut self.current else {
                let Some(place) = self.waiting.pop() else { return Some(std::mem::take(&mut self.usage)) };
                self.enter(place);
                continue;
            };
            let entry = dir.next();
            let place = place.clone();
            match entry {
                None => self.current = None,
                Some(Err(error)) => {
                    self.failed(&error);
                    self.current = None;
                }
                Some(Ok(entry)) => match entry.metadata() {
                    Ok(found) => {
                        self.count(&found);
                        if found.is_dir() {
                            self.waiting.push(Place { path: place.path.join(entry.file_name()), ..place });
                        }
                    }
                    Err(error) => self.failed(&error),
                },
            }
        }
        None
    }

    fn enter(&mut self, place: Place) {
        match open(&place) {
            Ok((dir, found)) => {
                if found.dev() != place.device || !self.seen.insert((found.dev(), found.ino())) {
                    return;
                }
                match fs::read_dir(format!("/proc/self/fd/{}", dir.as_raw_fd())) {
                    Ok(entries) => match place.deeper(dir) {
                        Some(place) => self.current = Some((entries, place)),
                        None => self.usage.hidden = true,
                    },
                    Err(error) => self.failed(&error),
                }
            }
            Err(error) => self.failed(&error),
        }
    }

    fn count(&mut self, found: &Metadata) {
        if found.is_dir() || found.nlink() <= 1 || self.seen.insert((found.dev(), found.ino())) {
            self.usage.bytes += found.blocks() * 512;
        }
        if !self.usage.devices.contains(&found.dev()) {
            self.usage.devices.push(found.dev());
        }
    }

    /// What is gone or has become a link meanwhile is not there; anything else may hide something.
    fn failed(&mut self, error: &io::Error) {
        let not_there = [libc::ENOENT, libc::ENOTDIR, libc::ELOOP];
        self.usage.hidden |= !error.raw_os_error().is_some_and(|errno| not_there.contains(&errno));
    }
}

fn open(place: &Place) -> io::Result<(File, Metadata)> {
    let dir = if place.path.as_os_str().is_empty() {
        place.anchor.try_clone()?
    } else {
        File::from(sys::open_beneath(place.anchor.as_fd(), &place.path)?)
    };
    let found = dir.metadata()?;
    Ok((dir, found))
}

impl Place {
    /// The same directory, which is open as `dir`, kept open if its path has become long; none if too many are.
    fn deeper(self, dir: File) -> Option<Self> {
        if self.path.as_os_str().as_bytes().len() < PATH_BYTES {
            return Some(self);
        }
        let anchors = self.anchors + 1;
        (anchors <= ANCHORS).then(|| Self { anchor: Arc::new(dir), path: PathBuf::new(), anchors, ..self })
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn usage(root: &Path) -> Usage {
        let mut walk = Walk::new([root]);
        std::iter::repeat_with(|| walk.step(3)).flatten().next().unwrap()
    }

    fn dir() -> tempfile::TempDir {
        tempfile::tempdir().unwrap()
    }

    /// What `change` adds, in bytes, without what directories take up.
    fn added(change: impl FnOnce(&Path)) -> u64 {
        let dir = dir();
        let before = usage(dir.path()).bytes;
        change(dir.path());
        usage(dir.path()).bytes - before
    }

    fn fill(path: &Path, bytes: usize) {
        fs::write(path, vec![1; bytes]).unwrap();
    }

    #[test]
    fn many_small_files_add_up() {
        let bytes = added(|dir| (0..100).for_each(|n| fill(&dir.join(n.to_string()), 8192)));
        assert!((100 * 8192..200 * 8192).contains(&bytes), "{bytes}");
    }

    #[test]
    fn a_sparse_file_costs_nothing() {
        assert!(added(|dir| File::create(dir.join("sparse")).unwrap().set_len(1 << 40).unwrap()) < 1 << 20);
    }

    #[test]
    fn a_file_with_many_names_counts_once() {
        let bytes = added(|dir| {
            fill(&dir.join("a"), 1 << 20);
            (0..50).for_each(|n| fs::hard_link(dir.join("a"), dir.join(n.to_string())).unwrap());
        });
        assert!((1 << 20..2 << 20).contains(&bytes), "{bytes}");
    }

    #[test]
    fn links_are_not_followed() {
        let outside = dir();
        fill(&outside.path().join("huge"), 4 << 20);
        let bytes = added(|dir| {
            symlink(outside.path(), dir.join("dir")).unwrap();
            symlink(outside.path().join("huge"), dir.join("file")).unwrap();
            symlink(dir, dir.join("self")).unwrap();
        });
        assert!(bytes < 1 << 20, "{bytes}");
    }

    #[test]
    fn directories_within_each_other_count_once() {
        let dir = dir();
        fs::create_dir(dir.path().join("inner")).unwrap();
        fill(&dir.path().join("inner/f"), 1 << 20);
        let mut walk = Walk::new([dir.path(), &dir.path().join("inner"), Path::new("/nowhere")]);
        let usage = walk.step(usize::MAX).unwrap();
        assert!((1 << 20..2 << 20).contains(&usage.bytes) && !usage.hidden, "{usage:?}");
    }

    #[test]
    fn nothing_is_too_deep_for_a_path() {
        let dir = dir();
        // Deeper than `PATH_MAX`, so that only someone who walks step by step gets there.
        let script = "n=$(printf '%0200d' 0); i=0; while [ $i -lt 40 ]; do mkdir $n && cd -P $n || exit 1; i=$((i+1)); done; \
                      head -c 1048576 /dev/zero > f";
        let status = std::process::Command::new("bash").arg("-c").arg(script).current_dir(dir.path()).status();
        assert!(status.unwrap().success());
        let usage = usage(dir.path());
        assert!((1 << 20..2 << 20).contains(&usage.bytes) && !usage.hidden, "{usage:?}");
    }

    #[test]
    fn what_is_closed_to_us_is_said_to_be_hidden() {
        let dir = dir();
        let closed = dir.path().join("closed");
        fs::create_dir(&closed).unwrap();
        fs::set_permissions(&closed, std::os::unix::fs::PermissionsExt::from_mode(0o0)).unwrap();
        let may_all = fs::read_dir(&closed).is_ok();
        assert_eq!(usage(dir.path()).hidden, !may_all);
    }
}
