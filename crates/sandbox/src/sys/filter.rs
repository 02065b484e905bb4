//! Loading a filter of system calls.

use std::io;
use std::os::fd::{FromRawFd, OwnedFd, RawFd};

use super::{check, check_int};

/// One instruction of a filter.
pub(crate) type FilterInstruction = libc::sock_filter;

/// Loads a filter on this process and all that it starts; wants `no_new_privs`. Returns a descriptor that becomes readable
/// when the filter passes a call on, or -1 where there can be none: a filter further out has one, or the limit on
/// open files leaves no room. Calls that are passed on then fail with `ENOSYS`, and `alone` is loaded, which must not need
/// anybody who answers. Allocates nothing.
pub(super) fn load_filter(filter: &[FilterInstruction], alone: &[FilterInstruction]) -> io::Result<RawFd> {
    /// Who waits for an answer waits through signals that do not end it (Linux 5.19): a call is not made twice.
    const WAIT_KILLABLE: libc::c_ulong = 1 << 5;
    let load = |filter: &[FilterInstruction], flags: libc::c_ulong| {
        let program = libc::sock_fprog { len: filter.len() as u16, filter: filter.as_ptr().cast_mut() };
        // SAFETY: `program` points to `filter`, which the kernel reads and copies during the call.
        unsafe { check(libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, flags, &raw const program)) }
    };
    let listening = libc::SECCOMP_FILTER_FLAG_NEW_LISTENER;
    let loaded = match load(filter, listening | WAIT_KILLABLE) {
        Err(error) if error.raw_os_error() == Some(libc::EINVAL) => load(filter, listening),
        loaded => loaded,
    };
    match loaded {
        Err(error) if matches!(error.raw_os_error(), Some(libc::EBUSY | libc::EMFILE)) => load(alone, 0).map(|_| -1),
        loaded => loaded.map(|listener| listener as RawFd),
    }
}

/// An empty file in memory.
pub(crate) fn memory_file() -> io::Result<OwnedFd> {
    // SAFETY: the name is a constant that ends in NUL; the descriptor is new and ours.
    unsafe {
        let fd = check_int(libc::memfd_create(c"muster-denials".as_ptr(), libc::MFD_CLOEXEC))?;
        Ok(OwnedFd::from_raw_fd(fd))
    }
}

/// A number that nobody can guess.
pub(crate) fn random() -> io::Result<u64> {
    let mut bytes = [0_u8; 8];
    // SAFETY: the pointer and the length are those of `bytes`; so few bytes come whole.
    unsafe { check(libc::getrandom(bytes.as_mut_ptr().cast(), bytes.len(), 0) as _)? };
    Ok(u64::from_le_bytes(bytes))
}
