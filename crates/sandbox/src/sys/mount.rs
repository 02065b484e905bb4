//! Mounts by file descriptor (Linux 5.12): nothing is ever mounted at a path that somebody could swap.

use std::ffi::CStr;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::path::Path;

use super::file::c_string;
use super::{check, check_int};

/// What holds for a mount. Set-user-id bits never count.
#[derive(Clone, Copy)]
pub(crate) struct Attributes<'a> {
    pub read_only: bool,
    pub no_exec: bool,
    /// Device files work (only for the few of `/dev`).
    pub devices: bool,
    /// The user namespace whose mapping translates the owners of the files.
    pub owners: Option<BorrowedFd<'a>>,
}

/// A copy of the mount at a host path and everything mounted below it, attached nowhere yet.
pub(crate) fn clone_tree(path: &Path) -> io::Result<OwnedFd> {
    let path = c_string(path)?;
    let flags = libc::OPEN_TREE_CLONE as libc::c_uint
        | libc::OPEN_TREE_CLOEXEC as libc::c_uint
        | libc::AT_RECURSIVE as libc::c_uint;
    // SAFETY: `path` ends in NUL; the descriptor is new and ours.
    unsafe {
        let fd = check(libc::syscall(libc::SYS_open_tree, libc::AT_FDCWD, path.as_ptr(), flags))?;
        Ok(OwnedFd::from_raw_fd(fd as libc::c_int))
    }
}

/// The same for a path without any link in it: one that is there is an error (`ELOOP`).
pub(crate) fn clone_tree_by_no_link(path: &Path) -> io::Result<OwnedFd> {
    let path = c_string(path)?;
    let how = [(libc::O_PATH | libc::O_CLOEXEC) as u64, 0, libc::RESOLVE_NO_SYMLINKS | libc::RESOLVE_NO_MAGICLINKS];
    let flags = libc::OPEN_TREE_CLONE as libc::c_uint
        | libc::OPEN_TREE_CLOEXEC as libc::c_uint
        | libc::AT_RECURSIVE as libc::c_uint
        | libc::AT_EMPTY_PATH as libc::c_uint;
    // SAFETY: the paths end in NUL; `how` is laid out like `struct open_how` (three u64); the descriptors are new and ours.
    unsafe {
        let place = libc::syscall(libc::SYS_openat2, libc::AT_FDCWD, path.as_ptr(), how.as_ptr(), size_of_val(&how));
        let place = OwnedFd::from_raw_fd(check(place)? as libc::c_int);
        let fd = check(libc::syscall(libc::SYS_open_tree, place.as_raw_fd(), c"".as_ptr(), flags))?;
        Ok(OwnedFd::from_raw_fd(fd as libc::c_int))
    }
}

/// The same for a place that is already open.
pub(crate) fn bind_fd(place: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    let flags = libc::OPEN_TREE_CLONE as libc::c_uint
        | libc::OPEN_TREE_CLOEXEC as libc::c_uint
        | libc::AT_EMPTY_PATH as libc::c_uint;
    // SAFETY: the path is a constant that ends in NUL; the descriptor is new and ours.
    unsafe {
        let fd = check(libc::syscall(libc::SYS_open_tree, place.as_raw_fd(), c"".as_ptr(), flags))?;
        Ok(OwnedFd::from_raw_fd(fd as libc::c_int))
    }
}

/// Sets what holds for a mount, and (`recursive`) for all below it.
pub(crate) fn set_attributes(mount: BorrowedFd<'_>, attributes: Attributes<'_>, recursive: bool) -> io::Result<()> {
    let Attributes { read_only, no_exec, devices, owners } = attributes;
    let set = libc::MOUNT_ATTR_NOSUID
        | if read_only { libc::MOUNT_ATTR_RDONLY } else { 0 }
        | if no_exec { libc::MOUNT_ATTR_NOEXEC } else { 0 }
        | if devices { 0 } else { libc::MOUNT_ATTR_NODEV }
        | if owners.is_some() { libc::MOUNT_ATTR_IDMAP } else { 0 };
    // `struct mount_attr`: set, clear, propagation, user namespace.
    let attributes = [set, 0, 0, owners.map_or(0, |fd| fd.as_raw_fd() as u64)];
    let flags = libc::AT_EMPTY_PATH | if recursive { libc::AT_RECURSIVE } else { 0 };
    // SAFETY: the path is a constant that ends in NUL; `attributes` is laid out like `struct mount_attr` (four u64).
    unsafe {
        check(libc::syscall(
            libc::SYS_mount_setattr,
            mount.as_raw_fd(),
            c"".as_ptr(),
            flags,
            attributes.as_ptr(),
            size_of_val(&attributes),
        ))
        .map(drop)
    }
}

/// Attaches a mount at an open place.
pub(crate) fn move_to(mount: BorrowedFd<'_>, place: BorrowedFd<'_>) -> io::Result<()> {
    let flags = libc::MOVE_MOUNT_F_EMPTY_PATH as libc::c_uint | libc::MOVE_MOUNT_T_EMPTY_PATH as libc::c_uint;
    let empty = c"".as_ptr();
    // SAFETY: the paths are constants that end in NUL.
    unsafe {
        let moved = libc::syscall(libc::SYS_move_mount, mount.as_raw_fd(), empty, place.as_raw_fd(), empty, flags);
        check(moved).map(drop)
    }
}

/// A new file system of this kind, attached nowhere yet, without set-user-id bits and device files.
pub(crate) fn mount_new(kind: &CStr, options: &[(&CStr, &CStr)], no_exec: bool) -> io::Result<OwnedFd> {
    mount_with(kind, options, libc::MOUNT_ATTR_NODEV | if no_exec { libc::MOUNT_ATTR_NOEXEC } else { 0 })
}

/// Pseudo-terminals of its own.
pub(crate) fn mount_devpts() -> io::Result<OwnedFd> {
    mount_with(c"devpts", &[(c"ptmxmode", c"0666"), (c"mode", c"0620")], libc::MOUNT_ATTR_NOEXEC)
}

fn mount_with(kind: &CStr, options: &[(&CStr, &CStr)], attributes: u64) -> io::Result<OwnedFd> {
    const SET_STRING: libc::c_uint = libc::FSCONFIG_SET_STRING as libc::c_uint;
    const CREATE: libc::c_uint = libc::FSCONFIG_CMD_CREATE as libc::c_uint;
    let attributes = (libc::MOUNT_ATTR_NOSUID | attributes) as libc::c_uint;
    let null = std::ptr::null::<libc::c_char>();
    // SAFETY: all strings end in NUL and outlive the calls; the descriptors are new and ours.
    unsafe {
        let fs = check(libc::syscall(libc::SYS_fsopen, kind.as_ptr(), libc::FSOPEN_CLOEXEC as libc::c_uint))?;
        let fs = OwnedFd::from_raw_fd(fs as libc::c_int);
        for (key, value) in options {
            check(libc::syscall(libc::SYS_fsconfig, fs.as_raw_fd(), SET_STRING, key.as_ptr(), value.as_ptr(), 0))?;
        }
        check(libc::syscall(libc::SYS_fsconfig, fs.as_raw_fd(), CREATE, null, null, 0))?;
        let cloexec = libc::FSMOUNT_CLOEXEC as libc::c_uint;
        let mount = check(libc::syscall(libc::SYS_fsmount, fs.as_raw_fd(), cloexec, attributes))?;
        Ok(OwnedFd::from_raw_fd(mount as libc::c_int))
    }
}

/// Makes sure that no mount made here shows outside.
pub(crate) fn make_propagation_private() -> io::Result<()> {
    let null = std::ptr::null();
    // SAFETY: the target is a constant that ends in NUL; the other pointers may be null for this call.
    unsafe {
        let flags = libc::MS_REC | libc::MS_PRIVATE;
        check_int(libc::mount(null, c"/".as_ptr(), null, flags, null.cast())).map(drop)
    }
}

/// Makes `root` (an attached mount) the root of everything and lets go of all that was there before.
pub(crate) fn detach_old_root(root: BorrowedFd<'_>) -> io::Result<()> {
    let here = c".".as_ptr();
    // SAFETY: the paths are constants that end in NUL.
    unsafe {
        check_int(libc::fchdir(root.as_raw_fd()))?;
        check(libc::syscall(libc::SYS_pivot_root, here, here))?;
        check_int(libc::umount2(here, libc::MNT_DETACH))?;
        check_int(libc::chdir(c"/".as_ptr())).map(drop)
    }
}
