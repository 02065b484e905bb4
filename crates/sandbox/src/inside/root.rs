//! The file view: an empty root on which only the listed paths appear.
//!
//! Everything is mounted by descriptor at places that are resolved without following links, so that nothing that an agent
//! left in its own directories can redirect a mount.

use std::ffi::CString;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use super::owners::Owners;
use crate::policy::{Bind, Ownership};
use crate::spec::Spec;
use crate::sys::{self, Attributes};
use crate::wire::{Failure, Step};

/// The device files that every program may expect.
const DEVICES: &[&str] = &["null", "zero", "full", "random", "urandom", "tty"];
/// Links below `/dev`, and where they lead.
const DEVICE_LINKS: &[(&str, &str)] = &[
    ("fd", "/proc/self/fd"),
    ("stdin", "/proc/self/fd/0"),
    ("stdout", "/proc/self/fd/1"),
    ("stderr", "/proc/self/fd/2"),
];

const PRIVATE: Attributes<'_> = Attributes { read_only: false, no_exec: false, devices: false, owners: None };
const SEALED: Attributes<'_> = Attributes { read_only: true, no_exec: true, devices: false, owners: None };
const DEVICE: Attributes<'_> = Attributes { read_only: false, no_exec: true, devices: true, owners: None };

/// A bind as a mount that is attached nowhere yet, with everything set that holds for it. Without a filter of system calls
/// (`unfiltered`) what root lets be written is closed to other users on the host, for good.
pub(super) fn open_bind(bind: &Bind, owners: &Owners, unfiltered: bool) -> Result<OwnedFd, Failure> {
    let host = bind.host.to_string_lossy();
    // Where a link leads is decided when the launch is judged; one that appears after it is not followed.
    let opened = match bind.ownership {
        Ownership::Agent => sys::clone_tree_by_no_link(&bind.host),
        Ownership::Host => sys::clone_tree(&bind.host),
    };
    let tree = opened.map_err(Step::Bind.failed(host.clone()))?;
    let owners = owners.of(bind)?;
    if unfiltered && owners.is_some() && bind.access.writes() {
        close_to_others(tree.as_fd()).map_err(Step::Bind.failed(host.clone()))?;
    }
    let attributes =
        Attributes { read_only: !bind.access.writes(), no_exec: !bind.access.executes(), devices: false, owners };
    let step = if owners.is_some() { Step::Owners } else { Step::Bind };
    sys::set_attributes(tree.as_fd(), attributes, true).map_err(step.failed(host))?;
    Ok(tree)
}

/// What an agent makes here will be root's on disk; nobody else may reach it, should it carry a set-user-id bit, which
/// only the filter of system calls keeps it from.
fn close_to_others(tree: BorrowedFd<'_>) -> io::Result<()> {
    let mode = sys::stat_mode(tree)?;
    if mode & libc::S_IFMT == libc::S_IFDIR && mode & 0o077 != 0 { sys::set_mode(tree, mode & 0o7700) } else { Ok(()) }
}

/// Builds the view and makes it this process's root. `trees` are the opened binds, or empty if they are still to be opened.
pub(super) fn enter(spec: &Spec, trees: Vec<OwnedFd>) -> Result<(), Failure> {
    let root = attach_root(spec).map_err(Step::Mounts.failed("mounting its root"))?;
    let root = root.as_fd();
    add_links_and_files(root, spec)?;
    add_proc(root).map_err(Step::Mounts.failed("mounting /proc"))?;
    add_devices(root, spec).map_err(Step::Mounts.failed("making /dev"))?;
    // Before the binds: what is shown below `/tmp` would be hidden otherwise.
    for dir in ["tmp", "dev/shm"] {
        add_writable(root, Path::new(dir), spec.executes_anything()).map_err(Step::Mounts.failed(dir))?;
    }
    add_binds(root, spec, trees)?;
    spec.masks.iter().try_for_each(|place| cover(root, place).map_err(Step::Mounts.failed("covering a folder")))?;
    sys::set_attributes(root, SEALED, false)
        .and_then(|()| sys::detach_old_root(root))
        .map_err(Step::Mounts.failed("leaving the host's files"))
}

/// One file system in memory is the root, `/dev`, `/tmp` and `/dev/shm`. It covers the old root, which stays reachable by
/// absolute paths until it is let go of.
fn attach_root(spec: &Spec) -> io::Result<OwnedFd> {
    sys::make_propagation_private()?;
    let bytes = spec.tmp_bytes.max(1 << 20);
    let (size, inodes) = (CString::new(bytes.to_string())?, CString::new((bytes / 4096 + 1024).to_string())?);
    let root = sys::mount_new(c"tmpfs", &[(c"size", &size), (c"nr_inodes", &inodes), (c"mode", c"0755")], false)?;
    sys::move_to(root.as_fd(), sys::open_dir(c"/")?.as_fd())?;
    Ok(root)
}

fn add_links_and_files(root: BorrowedFd<'_>, spec: &Spec) -> Result<(), Failure> {
    let failed = |path: &Path| Step::Mounts.failed(format!("making {}", path.display()));
    for (path, target) in &spec.links {
        parent_of(root, path)
            .and_then(|parent| sys::make_link(parent.as_fd(), name(path)?, target))
            .map_err(failed(path))?;
    }
    for (path, content) in &spec.files {
        parent_of(root, path)
            .and_then(|parent| sys::make_file(parent.as_fd(), name(path)?, content))
            .map_err(failed(path))?;
    }
    Ok(())
}

/// Read-only: by `autogroup` any program could take processor time from all other sandboxes, which are of the same session.
/// What is reopened through `/proc/self/fd` is on a mount of its own.
fn add_proc(root: BorrowedFd<'_>) -> io::Result<()> {
    let proc = sys::mount_new(c"proc", &[], true)?;
    sys::set_attributes(proc.as_fd(), SEALED, false)?;
    sys::move_to(proc.as_fd(), place(root, Path::new("proc"), true)?.as_fd())
}

fn add_devices(root: BorrowedFd<'_>, spec: &Spec) -> io::Result<()> {
    let dev = place(root, Path::new("dev"), true)?;
    // Mapped as shared, `/dev/zero` is memory that no limit of a process counts. Who may not have that in another way
    // does not get it in this one.
    let uncounted = |device: &&&str| spec.shared_memory || **device != "zero";
    for device in DEVICES.iter().filter(uncounted) {
        let tree = sys::clone_tree(&Path::new("/dev").join(device))?;
        sys::set_attributes(tree.as_fd(), DEVICE, false)?;
        sys::move_to(tree.as_fd(), place(dev.as_fd(), Path::new(device), false)?.as_fd())?;
    }
    for (link, target) in DEVICE_LINKS {
        sys::make_link(dev.as_fd(), Path::new(link), Path::new(target))?;
    }
    if spec.terminals {
        let pts = sys::mount_devpts()?;
        sys::move_to(pts.as_fd(), place(dev.as_fd(), Path::new("pts"), true)?.as_fd())?;
        sys::make_link(dev.as_fd(), Path::new("ptmx"), Path::new("pts/ptmx"))?;
    }
    Ok(())
}

fn add_binds(root: BorrowedFd<'_>, spec: &Spec, trees: Vec<OwnedFd>) -> Result<(), Failure> {
    let mut trees = trees.into_iter();
    for bind in &spec.binds {
        let tree = trees.next().map_or_else(|| open_bind(bind, &Owners::Same, false), Ok)?;
        let attach = || {
            let is_dir = sys::stat_mode(tree.as_fd())? & libc::S_IFMT == libc::S_IFDIR;
            sys::move_to(tree.as_fd(), place(root, inside(&bind.inside), is_dir)?.as_fd())
        };
        attach().map_err(Step::Bind.failed(format!(
            "{} (at {} inside)",
            bind.host.display(),
            bind.inside.display()
        )))?;
    }
    Ok(())
}

/// Puts an empty folder over one that is there; what is not there needs none.
fn cover(root: BorrowedFd<'_>, place: &Path) -> io::Result<()> {
    let place = match sys::open_beneath(root, inside(place)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        opened => opened?,
    };
    let empty = sys::mount_new(c"tmpfs", &[(c"size", c"4096"), (c"nr_inodes", c"2"), (c"mode", c"0555")], true)?;
    sys::set_attributes(empty.as_fd(), SEALED, false)?;
    sys::move_to(empty.as_fd(), place.as_fd())
}

/// A directory of the root that stays writable when the root is sealed. Where only certain programs may be executed,
/// nothing that is written here may be, not even by giving it to a loader.
fn add_writable(root: BorrowedFd<'_>, dir: &Path, executes: bool) -> io::Result<()> {
    let place = place(root, dir, true)?;
    sys::set_mode(place.as_fd(), 0o1777)?;
    let tree = sys::bind_fd(place.as_fd())?;
    sys::set_attributes(tree.as_fd(), Attributes { no_exec: !executes, ..PRIVATE }, false)?;
    sys::move_to(tree.as_fd(), place.as_fd())
}

/// Opens a place below `root`, making it and the directories above it where they are missing.
fn place(root: BorrowedFd<'_>, path: &Path, is_dir: bool) -> io::Result<OwnedFd> {
    match sys::open_beneath(root, path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let parent = parent_of(root, path)?;
            if is_dir {
                sys::make_dir(parent.as_fd(), name(path)?)?;
            } else {
                sys::make_file(parent.as_fd(), name(path)?, b"")?;
            }
            sys::open_beneath(parent.as_fd(), name(path)?)
        }
        opened => opened,
    }
}

fn parent_of(root: BorrowedFd<'_>, path: &Path) -> io::Result<OwnedFd> {
    match inside(path).parent().filter(|parent| !parent.as_os_str().is_empty()) {
        Some(parent) => place(root, parent, true),
        None => root.try_clone_to_owned(),
    }
}

/// A path inside, relative to the root.
fn inside(path: &Path) -> &Path {
    path.strip_prefix("/").unwrap_or(path)
}

fn name(path: &Path) -> io::Result<&Path> {
    path.file_name().map(Path::new).ok_or_else(|| io::ErrorKind::InvalidInput.into())
}
