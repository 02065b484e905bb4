//! How much the directories that a sandbox may write in take up on disk.
//!
//! What is counted is what the file system has given (blocks), each file once however many names it has, so that sparse
//! files and hard links cost what they cost. No link is followed, no other file system entered, and a walk does only so much
//! at a time. Directories are opened below ones that are open, so that nothing can be exchanged under the walk.

use std::collections::HashSet;
use std::ffi::OsString;
use std::fs::{self, DirEntry, File, Metadata, ReadDir};
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

/// Directories that wait to be looked into, at most: some 30 MB if all their names are as long as they can be.
const WAITING_MAX: usize = 100_000;
/// Directories and files with several names that are remembered, at most: some 20 MB.
const SEEN_MAX: usize = 500_000;
/// Entries of one walk, at most: what is written while it goes on is found by the next only.
const ENTRIES_MAX: usize = 1_000_000;

/// What a walk has found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Usage {
    /// Bytes on disk.
    pub bytes: u64,
    /// Something was closed to us, too deep or too much: there may be more.
    pub hidden: bool,
    /// The devices of the files found.
    pub devices: Vec<u64>,
}

/// A walk under way. The agent decides how much there is to be kept of it, up to a bound; beyond that something is hidden.
#[derive(Debug)]
pub(super) struct Walk {
    usage: Usage,
    /// Directories, and files with several names.
    seen: HashSet<(u64, u64)>,
    /// Where they are, and their names there; none for the place itself.
    waiting: Vec<(Arc<Place>, Option<OsString>)>,
    current: Option<(ReadDir, Arc<Place>)>,
    most: Most,
}

/// How much a walk takes on.
#[derive(Clone, Copy, Debug)]
struct Most {
    waiting: usize,
    seen: usize,
    entries: usize,
}

/// A directory below one that is open.
#[derive(Debug)]
struct Place {
    anchor: Arc<File>,
    /// The directory that it is in, and its name there; none if it is the open one.
    above: Option<(Arc<Place>, OsString)>,
    /// Length of its path below the open one.
    path_bytes: usize,
    device: u64,
    anchors: u8,
}

impl Walk {
    /// A walk through these directories; files among them count as well, and what is not there does not.
    pub fn new<'a>(roots: impl IntoIterator<Item = &'a Path>) -> Self {
        Self::bounded(roots, Most { waiting: WAITING_MAX, seen: SEEN_MAX, entries: ENTRIES_MAX })
    }

    fn bounded<'a>(roots: impl IntoIterator<Item = &'a Path>, most: Most) -> Self {
        let (seen, waiting) = (HashSet::new(), Vec::new());
        let mut walk = Self { usage: Usage::default(), seen, waiting, current: None, most };
        for root in roots {
            let opened = fs::OpenOptions::new().read(true).custom_flags(libc::O_PATH).open(root);
            match opened.and_then(|root| Ok((root.metadata()?, root))) {
                Ok((found, root)) if found.is_dir() => {
                    let (anchor, device) = (Arc::new(root), found.dev());
                    let place = Place { anchor, above: None, path_bytes: 0, device, anchors: 0 };
                    walk.waiting.push((Arc::new(place), None));
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
            let Some((dir, _)) = &mut self.current else {
                let Some((place, name)) = self.waiting.pop() else { return Some(std::mem::take(&mut self.usage)) };
                self.enter(place, name);
                continue;
            };
            match dir.next() {
                None => self.current = None,
                Some(Err(error)) => {
                    self.failed(&error);
                    self.current = None;
                }
                Some(Ok(_)) if self.most.entries == 0 => {
                    self.usage.hidden = true;
                    return Some(std::mem::take(&mut self.usage));
                }
                Some(Ok(entry)) => self.look_at(&entry),
            }
        }
        None
    }

    fn look_at(&mut self, entry: &DirEntry) {
        self.most.entries -= 1;
        match entry.metadata() {
            Ok(found) => {
                self.count(&found);
                if found.is_dir() {
                    self.keep(entry.file_name());
                }
            }
            Err(error) => self.failed(&error),
        }
    }

    /// Keeps a directory of the current one for later.
    fn keep(&mut self, name: OsString) {
        let Some((_, place)) = &self.current else { return };
        if self.waiting.len() < self.most.waiting {
            self.waiting.push((Arc::clone(place), Some(name)));
        } else {
            self.usage.hidden = true;
        }
    }

    fn enter(&mut self, place: Arc<Place>, name: Option<OsString>) {
        let place = match name {
            None => place,
            Some(name) => Arc::new(Place::below(place, name)),
        };
        match open(&place) {
            Ok((dir, found)) => {
                if found.dev() != place.device || !self.is_new(&found) {
                    return;
                }
                match fs::read_dir(format!("/proc/self/fd/{}", dir.as_raw_fd())) {
                    Ok(entries) => match Place::deeper(place, dir) {
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
        if found.is_dir() || found.nlink() <= 1 || self.is_new(found) {
            self.usage.bytes += found.blocks() * 512;
        }
        if !self.usage.devices.contains(&found.dev()) {
            self.usage.devices.push(found.dev());
        }
    }

    /// Whether this was not seen before; what cannot be remembered is not looked at.
    fn is_new(&mut self, found: &Metadata) -> bool {
        let file = (found.dev(), found.ino());
        if self.seen.len() >= self.most.seen && !self.seen.contains(&file) {
            self.usage.hidden = true;
            return false;
        }
        self.seen.insert(file)
    }

    /// What is gone or has become a link meanwhile is not there; anything else may hide something.
    fn failed(&mut self, error: &io::Error) {
        let not_there = [libc::ENOENT, libc::ENOTDIR, libc::ELOOP];
        self.usage.hidden |= !error.raw_os_error().is_some_and(|errno| not_there.contains(&errno));
    }
}

fn open(place: &Place) -> io::Result<(File, Metadata)> {
    let dir = match place.above {
        None => place.anchor.try_clone()?,
        Some(_) => File::from(sys::open_beneath(place.anchor.as_fd(), &place.path())?),
    };
    let found = dir.metadata()?;
    Ok((dir, found))
}

impl Place {
    fn below(above: Arc<Self>, name: OsString) -> Self {
        let Self { device, anchors, path_bytes, .. } = *above;
        let path_bytes = path_bytes + 1 + name.as_bytes().len();
        Self { anchor: Arc::clone(&above.anchor), above: Some((above, name)), path_bytes, device, anchors }
    }

    /// Its path below the open directory.
    fn path(&self) -> PathBuf {
        let mut names = Vec::new();
        let mut at = self;
        while let Some((above, name)) = &at.above {
            names.push(name);
            at = above;
        }
        names.into_iter().rev().collect()
    }

    /// The same directory, which is open as `dir`, kept open if its path has become long; none if too many are.
    fn deeper(place: Arc<Self>, dir: File) -> Option<Arc<Self>> {
        if place.path_bytes < PATH_BYTES {
            return Some(place);
        }
        let (device, anchors) = (place.device, place.anchors + 1);
        let place = Self { anchor: Arc::new(dir), above: None, path_bytes: 0, device, anchors };
        (anchors <= ANCHORS).then(|| Arc::new(place))
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

    #[test]
    fn a_walk_keeps_only_so_much_and_says_so() {
        let dir = dir();
        for n in 0..20 {
            fs::create_dir(dir.path().join(n.to_string())).unwrap();
            fill(&dir.path().join(n.to_string()).join("f"), 4096);
            fs::hard_link(dir.path().join(n.to_string()).join("f"), dir.path().join(format!("link{n}"))).unwrap();
        }
        let all = Most { waiting: 20, seen: 41, entries: 60 };
        let usage = |most| Walk::bounded([dir.path()], most).step(usize::MAX).unwrap();
        let whole = usage(all);
        assert!(!whole.hidden && whole.bytes >= 20 * 4096, "{whole:?}");
        for less in [Most { waiting: 19, ..all }, Most { seen: 40, ..all }, Most { entries: 59, ..all }] {
            let part = usage(less);
            assert!(part.hidden && part.bytes <= whole.bytes, "{less:?}: {part:?}");
        }
    }
}
