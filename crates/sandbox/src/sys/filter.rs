//! Loading a filter of system calls, and answering what it passes on.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use super::{check, check_int};

/// One instruction of a filter.
pub(crate) type FilterInstruction = libc::sock_filter;

/// Loads a filter on this process and all that it starts; wants `no_new_privs`. Returns a descriptor that becomes readable
/// when the filter passes a call on, or -1 where there can be none: a filter further out has one, or the limit on
/// open files leaves no room. Calls that are passed on then fail with `ENOSYS`. Allocates nothing.
pub(super) fn load_filter(filter: &[FilterInstruction]) -> io::Result<RawFd> {
    let program = libc::sock_fprog { len: filter.len() as u16, filter: filter.as_ptr().cast_mut() };
    let load = |flags: libc::c_ulong| {
        // SAFETY: `program` points to `filter`, which the kernel reads and copies during the call.
        unsafe { check(libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, flags, &raw const program)) }
    };
    match load(libc::SECCOMP_FILTER_FLAG_NEW_LISTENER) {
        Err(error) if matches!(error.raw_os_error(), Some(libc::EBUSY | libc::EMFILE)) => load(0).map(|_| -1),
        loaded => loaded.map(|listener| listener as RawFd),
    }
}

/// `struct seccomp_notif` with room for what later kernels add.
#[repr(C)]
struct Notification {
    id: u64,
    _process: u32,
    _flags: u32,
    number: libc::c_int,
    _rest: [u32; 63],
}

/// `struct seccomp_notif_resp`.
#[repr(C)]
struct Answer {
    id: u64,
    value: i64,
    error: i32,
    flags: u32,
}

/// `SECCOMP_IOCTL_NOTIF_RECV` and `SECCOMP_IOCTL_NOTIF_SEND` (`linux/seccomp.h`; the sizes in them are those of the first kernels).
const RECEIVE: libc::c_ulong = 0xC050_2100;
const SEND: libc::c_ulong = 0xC018_2101;

/// Takes one call that was passed on, lets it fail with `EPERM`, and returns its number; none if whoever called is gone or
/// was interrupted, which anybody can bring about. Fails when nobody is left who could call.
pub(crate) fn refuse_call(listener: BorrowedFd<'_>) -> io::Result<Option<usize>> {
    let mut polled = libc::pollfd { fd: listener.as_raw_fd(), events: libc::POLLIN, revents: 0 };
    // SAFETY: the pointer is that of one `pollfd`.
    unsafe { libc::poll(&raw mut polled, 1, 0) };
    if polled.revents & libc::POLLIN == 0 {
        let is_over = polled.revents & (libc::POLLHUP | libc::POLLNVAL) != 0;
        return if is_over { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(None) };
    }
    let mut call = Notification { id: 0, _process: 0, _flags: 0, number: 0, _rest: [0; 63] };
    // SAFETY: `call` is zeroed, as the kernel asks, and longer than what it writes.
    if unsafe { check_int(libc::ioctl(listener.as_raw_fd(), RECEIVE as _, &raw mut call)) }.is_err() {
        return Ok(None);
    }
    let answer = Answer { id: call.id, value: 0, error: -libc::EPERM, flags: 0 };
    // SAFETY: `answer` is laid out as the kernel wants it. The only failure is that the caller is gone.
    unsafe { libc::ioctl(listener.as_raw_fd(), SEND as _, &raw const answer) };
    Ok(usize::try_from(call.number).ok())
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
