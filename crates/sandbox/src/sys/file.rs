//! Files, pipes and waiting.

use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use super::{check, check_int};

/// A pipe: read end, write end.
pub(crate) fn pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    let mut fds = [-1; 2];
    // SAFETY: `fds` has room for the two descriptors, which are new and ours on success.
    unsafe {
        check_int(libc::pipe2(fds.as_mut_ptr(), libc::O_CLOEXEC))?;
        Ok((OwnedFd::from_raw_fd(fds[0]), OwnedFd::from_raw_fd(fds[1])))
    }
}

/// Makes reading and writing return at once.
pub(crate) fn set_nonblocking(fd: BorrowedFd<'_>) -> io::Result<()> {
    // SAFETY: no pointers are involved.
    unsafe {
        let flags = check_int(libc::fcntl(fd.as_raw_fd(), libc::F_GETFL))?;
        check_int(libc::fcntl(fd.as_raw_fd(), libc::F_SETFL, flags | libc::O_NONBLOCK)).map(drop)
    }
}

/// Whether there is something to read, or the other end is gone. Waits at most `timeout_ms`, or without end.
pub(crate) fn readable(fd: BorrowedFd<'_>, timeout_ms: Option<i32>) -> bool {
    wait_readable(&[fd], timeout_ms)[0]
}

/// The same for several at once: which of them are ready.
pub(crate) fn wait_readable<const N: usize>(fds: &[BorrowedFd<'_>; N], timeout_ms: Option<i32>) -> [bool; N] {
    let mut polled = fds.map(|fd| libc::pollfd { fd: fd.as_raw_fd(), events: libc::POLLIN, revents: 0 });
    // SAFETY: the pointer and the length are those of `polled`. An interruption counts as "not ready"; callers loop.
    let ready = unsafe { libc::poll(polled.as_mut_ptr(), N as _, timeout_ms.unwrap_or(-1)) };
    polled.map(|polled| ready > 0 && polled.revents != 0)
}

/// Throws away what is there to read, if anything. For descriptors that do not block.
pub(crate) fn drain(fd: BorrowedFd<'_>) {
    let mut rest = [0_u8; 1024];
    // SAFETY: the pointer and the length are those of `rest`.
    while unsafe { libc::read(fd.as_raw_fd(), rest.as_mut_ptr().cast(), rest.len()) } > 0 {}
}

/// Opens a directory, or any path as a mere reference (`O_PATH`).
pub(crate) fn open_dir(path: &CStr) -> io::Result<OwnedFd> {
    let flags = libc::O_PATH | libc::O_DIRECTORY | libc::O_CLOEXEC;
    // SAFETY: `path` ends in NUL; the descriptor is new and ours.
    unsafe { Ok(OwnedFd::from_raw_fd(check_int(libc::open(path.as_ptr(), flags))?)) }
}

/// A reference to a folder; a link in its place is not followed.
pub(crate) fn open_folder_nofollow(path: &CStr) -> io::Result<OwnedFd> {
    let flags = libc::O_PATH | libc::O_DIRECTORY | libc::O_NOFOLLOW | libc::O_CLOEXEC;
    // SAFETY: `path` ends in NUL; the descriptor is new and ours.
    unsafe { Ok(OwnedFd::from_raw_fd(check_int(libc::open(path.as_ptr(), flags))?)) }
}

/// The same for one in a folder that is open.
pub(crate) fn open_folder_at(above: BorrowedFd<'_>, name: &CStr) -> io::Result<OwnedFd> {
    let flags = libc::O_PATH | libc::O_DIRECTORY | libc::O_NOFOLLOW | libc::O_CLOEXEC;
    // SAFETY: `name` ends in NUL; the descriptor is new and ours.
    unsafe { Ok(OwnedFd::from_raw_fd(check_int(libc::openat(above.as_raw_fd(), name.as_ptr(), flags))?)) }
}

/// Removes an entry of an open folder: an empty folder, or anything else.
pub(crate) fn remove_at(above: BorrowedFd<'_>, name: &CStr, is_dir: bool) -> io::Result<()> {
    let flags = if is_dir { libc::AT_REMOVEDIR } else { 0 };
    // SAFETY: `name` ends in NUL.
    unsafe { check_int(libc::unlinkat(above.as_raw_fd(), name.as_ptr(), flags)).map(drop) }
}

/// Moves an entry of one open folder to another.
pub(crate) fn rename_at(from: BorrowedFd<'_>, name: &CStr, to: BorrowedFd<'_>, fresh: &CStr) -> io::Result<()> {
    // SAFETY: both names end in NUL.
    unsafe { check_int(libc::renameat(from.as_raw_fd(), name.as_ptr(), to.as_raw_fd(), fresh.as_ptr())).map(drop) }
}

/// A reference to a path below `root` that never leaves it and never follows a symbolic link.
pub(crate) fn open_beneath(root: BorrowedFd<'_>, path: &Path) -> io::Result<OwnedFd> {
    let path = c_string(path)?;
    let how = [
        (libc::O_PATH | libc::O_CLOEXEC) as u64,
        0,
        libc::RESOLVE_BENEATH | libc::RESOLVE_NO_SYMLINKS | libc::RESOLVE_NO_MAGICLINKS,
    ];
    // SAFETY: `how` is laid out like `struct open_how` (three u64) and outlives the call; the descriptor is new and ours.
    unsafe {
        let fd = libc::syscall(libc::SYS_openat2, root.as_raw_fd(), path.as_ptr(), how.as_ptr(), size_of_val(&how));
        Ok(OwnedFd::from_raw_fd(check(fd)? as libc::c_int))
    }
}

/// Makes a directory; one that is there already is fine.
pub(crate) fn make_dir(root: BorrowedFd<'_>, path: &Path) -> io::Result<()> {
    let path = c_string(path)?;
    // SAFETY: `path` ends in NUL.
    let made = unsafe { check_int(libc::mkdirat(root.as_raw_fd(), path.as_ptr(), 0o755)) };
    made.map(drop).or_else(fine_if_there)
}

/// Makes a file with this content; one that is there already is left alone.
pub(crate) fn make_file(root: BorrowedFd<'_>, path: &Path, content: &[u8]) -> io::Result<()> {
    let path = c_string(path)?;
    let flags = libc::O_WRONLY | libc::O_CREAT | libc::O_EXCL | libc::O_NOFOLLOW | libc::O_CLOEXEC;
    // SAFETY: `path` ends in NUL; the descriptor is new and ours.
    let file = unsafe { check_int(libc::openat(root.as_raw_fd(), path.as_ptr(), flags, 0o644)) };
    match file {
        // SAFETY: see above.
        Ok(fd) => io::Write::write_all(&mut std::fs::File::from(unsafe { OwnedFd::from_raw_fd(fd) }), content),
        Err(error) => fine_if_there(error),
    }
}

/// Makes a symbolic link; anything that is there already is left alone.
pub(crate) fn make_link(root: BorrowedFd<'_>, path: &Path, target: &Path) -> io::Result<()> {
    let (path, target) = (c_string(path)?, c_string(target)?);
    // SAFETY: both strings end in NUL.
    let made = unsafe { check_int(libc::symlinkat(target.as_ptr(), root.as_raw_fd(), path.as_ptr())) };
    made.map(drop).or_else(fine_if_there)
}

/// The mode of an open file, with its type.
pub(crate) fn stat_mode(fd: BorrowedFd<'_>) -> io::Result<u32> {
    let mut stat = std::mem::MaybeUninit::<libc::stat>::uninit();
    // SAFETY: `stat` is filled by the kernel when the call succeeds.
    unsafe {
        check_int(libc::fstat(fd.as_raw_fd(), stat.as_mut_ptr()))?;
        Ok(stat.assume_init().st_mode)
    }
}

/// Whether the file system at a path is mounted read-only.
pub(crate) fn is_read_only(path: &CStr) -> io::Result<bool> {
    let mut stat = std::mem::MaybeUninit::<libc::statvfs>::uninit();
    // SAFETY: `path` ends in NUL; `stat` is filled by the call when it succeeds.
    unsafe {
        check_int(libc::statvfs(path.as_ptr(), stat.as_mut_ptr()))?;
        Ok(stat.assume_init().f_flag & libc::ST_RDONLY != 0)
    }
}

/// Whether this process may write at a path.
pub(crate) fn can_write(path: &CStr) -> bool {
    // SAFETY: `path` ends in NUL.
    unsafe { libc::access(path.as_ptr(), libc::W_OK) == 0 }
}

/// Changes the permission bits of a directory reference.
pub(crate) fn set_mode(dir: BorrowedFd<'_>, mode: u32) -> io::Result<()> {
    // SAFETY: the path is a constant that ends in NUL.
    unsafe { check_int(libc::fchmodat(dir.as_raw_fd(), c".".as_ptr(), mode, 0)).map(drop) }
}

/// Room on a file system, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Space {
    /// Not taken.
    pub free: u64,
    /// Of that, what everybody may take.
    pub available: u64,
    pub total: u64,
}

/// The room on the file system that a path is on.
pub(crate) fn space(path: &Path) -> io::Result<Space> {
    let path = c_string(path)?;
    let mut found = std::mem::MaybeUninit::<libc::statvfs>::uninit();
    // SAFETY: `path` ends in NUL; `found` is filled when the call succeeds.
    let found = unsafe {
        check_int(libc::statvfs(path.as_ptr(), found.as_mut_ptr()))?;
        found.assume_init()
    };
    let bytes = |blocks: u64| blocks.saturating_mul(found.f_frsize);
    Ok(Space { free: bytes(found.f_bfree), available: bytes(found.f_bavail), total: bytes(found.f_blocks) })
}

/// Bytes of a page of memory.
pub(crate) fn page_bytes() -> u64 {
    // SAFETY: no pointers are involved.
    u64::try_from(unsafe { libc::sysconf(libc::_SC_PAGESIZE) }).unwrap_or(4096)
}

/// A path for the kernel.
pub(super) fn c_string(path: &Path) -> io::Result<CString> {
    Ok(CString::new(path.as_os_str().as_bytes())?)
}

fn fine_if_there(error: io::Error) -> io::Result<()> {
    if error.kind() == io::ErrorKind::AlreadyExists { Ok(()) } else { Err(error) }
}
