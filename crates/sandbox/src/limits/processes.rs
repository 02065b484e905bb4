//! The processes of a sandbox, seen from outside, and the files that only they still hold.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use crate::sys;

/// How often init's children are read again for ones that came up meanwhile.
const ROUNDS: usize = 3;
/// More processes than any policy allows are not looked at.
const PROCESSES_MAX: usize = 1 << 16;

/// The process that a pidfd stands for, unless it is gone.
pub(super) fn pid_of(pidfd: BorrowedFd<'_>) -> Option<i32> {
    let info = fs::read_to_string(format!("/proc/self/fdinfo/{}", pidfd.as_raw_fd())).ok()?;
    let pid = info.lines().find_map(|line| line.strip_prefix("Pid:"))?.trim().parse().ok()?;
    (pid > 0 && !is_gone(pidfd)).then_some(pid)
}

/// Whether the process that a pidfd stands for has ended.
pub(super) fn is_gone(pidfd: BorrowedFd<'_>) -> bool {
    sys::readable(pidfd, Some(0))
}

/// All processes of a sandbox, its init first. Whoever leaves its parent becomes a child of init, so that nobody hides;
/// who does so while we look is found when init's children are read again.
pub(super) fn of(init: i32) -> Vec<i32> {
    let mut found = vec![init];
    let mut known = BTreeSet::from([init]);
    let mut next = 0;
    for _ in 0..ROUNDS {
        let before = found.len();
        add_children(init, &mut found, &mut known);
        next = next.max(1);
        while let Some(pid) = found.get(next).copied() {
            next += 1;
            add_children(pid, &mut found, &mut known);
        }
        if found.len() == before || found.len() > PROCESSES_MAX {
            break;
        }
    }
    found
}

fn add_children(pid: i32, found: &mut Vec<i32>, known: &mut BTreeSet<i32>) {
    let Ok(threads) = fs::read_dir(format!("/proc/{pid}/task")) else { return };
    for thread in threads.flatten() {
        let children = fs::read_to_string(thread.path().join("children")).unwrap_or_default();
        let children = children.split_ascii_whitespace().filter_map(|child| child.parse().ok());
        found.extend(children.filter(|child| known.insert(*child)));
    }
}

/// A file without a name, held open by a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Held {
    pub device: u64,
    pub inode: u64,
    /// What it takes up, in bytes.
    pub bytes: u64,
    /// It lives in memory (`memfd_create`), not on a disk.
    pub in_memory: bool,
}

/// Descriptors that are looked at for one tree at a time: about a fifth of a second.
pub(super) const DESCRIPTORS_MAX: usize = 100_000;

/// What processes hold open.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct HeldFiles {
    /// The files without a name, each once.
    pub files: Vec<Held>,
    /// Some processes do not let us see theirs, as one may that an ordinary user watches.
    pub closed: bool,
    /// There are more descriptors than were looked at.
    pub cut: bool,
}

/// The files without a name that these processes hold open, among the first so many of their descriptors.
pub(super) fn held_files(pids: &[i32], descriptors_max: usize) -> HeldFiles {
    let (mut seen, mut found, mut left) = (BTreeSet::new(), HeldFiles::default(), descriptors_max);
    for pid in pids {
        let fds = match fs::read_dir(format!("/proc/{pid}/fd")) {
            Ok(fds) => fds,
            Err(error) => {
                found.closed |= error.kind() == io::ErrorKind::PermissionDenied && is_alive(*pid);
                continue;
            }
        };
        for fd in fds.flatten() {
            if left == 0 {
                found.cut = true;
                return found;
            }
            left -= 1;
            found.files.extend(held(&fd.path()).filter(|held| seen.insert((held.device, held.inode))));
        }
    }
    found
}

/// Whether a process has not ended yet; one that has ended and is not reaped holds nothing, and has no memory.
fn is_alive(pid: i32) -> bool {
    fs::read_to_string(format!("/proc/{pid}/status")).is_ok_and(|status| status.contains("\nVmSize:"))
}

fn held(fd: &Path) -> Option<Held> {
    let target = fs::read_link(fd).ok()?;
    let target = target.as_os_str().as_bytes();
    // Others cannot be without a name, and a look at them may cost more.
    if !target.ends_with(b" (deleted)") {
        return None;
    }
    let file = fs::metadata(fd).ok().filter(|file| file.is_file() && file.nlink() == 0)?;
    let in_memory = target.starts_with(b"/memfd:");
    Some(Held { device: file.dev(), inode: file.ino(), bytes: file.blocks() * 512, in_memory })
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::os::fd::AsFd;

    use super::*;

    #[test]
    fn a_file_without_a_name_is_found_once() {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&[1; 8192]).unwrap();
        let _again = file.try_clone().unwrap();
        let inode = file.metadata().unwrap().ino();
        let ours = i32::try_from(std::process::id()).unwrap();
        let HeldFiles { mut files, closed, cut } = held_files(&[ours], DESCRIPTORS_MAX);
        files.retain(|held| held.inode == inode);
        assert!(matches!(files[..], [Held { bytes: 8192, in_memory: false, .. }]), "{files:?}");
        assert!(!closed && !cut);
        assert_eq!(held_files(&[ours], 0), HeldFiles { files: Vec::new(), closed: false, cut: true });
    }

    #[test]
    fn a_pidfd_tells_its_process() {
        let ours = sys::own_pidfd().unwrap();
        assert_eq!(pid_of(ours.as_fd()), i32::try_from(std::process::id()).ok());
    }
}
