//! System calls that a filter passes on: taking them, looking at what they are about, answering them.

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use super::{check, check_int};

/// `struct seccomp_notif` with room for what later kernels add.
#[repr(C)]
struct Notification {
    id: u64,
    thread: u32,
    _flags: u32,
    number: libc::c_int,
    _arch: u32,
    _instruction: u64,
    arguments: [u64; 6],
    _rest: [u32; 48],
}

/// `struct seccomp_notif_resp`.
#[repr(C)]
struct Answer {
    id: u64,
    value: i64,
    error: i32,
    flags: u32,
}

/// `SECCOMP_IOCTL_NOTIF_RECV`, `_SEND` and `_ID_VALID` (`linux/seccomp.h`; the sizes in them are those of the first kernels, and so is
/// the direction of the last, which newer ones take too).
const RECEIVE: libc::c_ulong = 0xC050_2100;
const SEND: libc::c_ulong = 0xC018_2101;
const IS_VALID: libc::c_ulong = 0x8008_2102;

/// A system call that waits for its answer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Call {
    pub id: u64,
    /// The thread that made it, as this process sees it.
    pub thread: libc::pid_t,
    pub number: usize,
    pub arguments: [u64; 6],
}

/// Takes one call that was passed on; none if whoever called is gone or was interrupted, which anybody can bring about. Fails
/// when nobody is left who could call.
pub(crate) fn take_call(listener: BorrowedFd<'_>) -> io::Result<Option<Call>> {
    let mut polled = libc::pollfd { fd: listener.as_raw_fd(), events: libc::POLLIN, revents: 0 };
    // SAFETY: the pointer is that of one `pollfd`.
    unsafe { libc::poll(&raw mut polled, 1, 0) };
    if polled.revents & libc::POLLIN == 0 {
        let is_over = polled.revents & (libc::POLLHUP | libc::POLLNVAL) != 0;
        return if is_over { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(None) };
    }
    // SAFETY: all zero is a value of the type, and what the kernel asks for.
    let mut call: Notification = unsafe { MaybeUninit::zeroed().assume_init() };
    // SAFETY: `call` is zeroed, and longer than what the kernel writes.
    if unsafe { check_int(libc::ioctl(listener.as_raw_fd(), RECEIVE as _, &raw mut call)) }.is_err() {
        return Ok(None);
    }
    let Notification { id, thread, number, arguments, .. } = call;
    let (Ok(number), Ok(thread)) = (usize::try_from(number), libc::pid_t::try_from(thread)) else { return Ok(None) };
    Ok(Some(Call { id, thread, number, arguments }))
}

/// Answers a call: it has worked, or it failed with this error. Whoever is gone hears nothing.
pub(crate) fn answer_call(listener: BorrowedFd<'_>, id: u64, result: Result<(), i32>) {
    let answer = Answer { id, value: 0, error: result.err().map_or(0, |errno| -errno), flags: 0 };
    // SAFETY: `answer` is laid out as the kernel wants it. The only failure is that the caller is gone.
    unsafe { libc::ioctl(listener.as_raw_fd(), SEND as _, &raw const answer) };
}

/// Whether a call still waits for its answer, so that its thread is who it was.
pub(crate) fn is_waiting(listener: BorrowedFd<'_>, id: u64) -> bool {
    // SAFETY: the pointer is that of a u64.
    unsafe { libc::ioctl(listener.as_raw_fd(), IS_VALID as _, &raw const id) == 0 }
}

/// A copy of an open file of another thread. Its owner must let us look into it.
pub(crate) fn take_file(thread: libc::pid_t, number: RawFd) -> io::Result<OwnedFd> {
    let process = open_thread(thread)?;
    // SAFETY: no pointers are involved; the descriptor is new and ours.
    unsafe {
        let file = check(libc::syscall(libc::SYS_pidfd_getfd, process.as_raw_fd(), number, 0))?;
        Ok(OwnedFd::from_raw_fd(file as RawFd))
    }
}

/// A descriptor of a thread, or before Linux 6.9 of its process.
fn open_thread(thread: libc::pid_t) -> io::Result<OwnedFd> {
    const PIDFD_THREAD: libc::c_int = libc::O_EXCL;
    let open = |pid: libc::pid_t, flags: libc::c_int| -> io::Result<OwnedFd> {
        // SAFETY: no pointers are involved; the descriptor is new and ours.
        unsafe {
            let fd = check(libc::syscall(libc::SYS_pidfd_open, pid, flags))?;
            Ok(OwnedFd::from_raw_fd(fd as RawFd))
        }
    };
    match open(thread, PIDFD_THREAD) {
        Err(error) if error.raw_os_error() == Some(libc::EINVAL) => {
            let status = std::fs::read_to_string(format!("/proc/{thread}/status"))?;
            let process = status.lines().find_map(|line| line.strip_prefix("Tgid:")?.trim().parse().ok());
            open(process.ok_or(io::ErrorKind::InvalidData)?, 0)
        }
        opened => opened,
    }
}

/// Copies memory of another thread; fails unless all of it is there.
pub(crate) fn read_memory(thread: libc::pid_t, address: u64, bytes: &mut [u8]) -> io::Result<()> {
    let ours = libc::iovec { iov_base: bytes.as_mut_ptr().cast(), iov_len: bytes.len() };
    let theirs = libc::iovec { iov_base: address as *mut libc::c_void, iov_len: bytes.len() };
    // SAFETY: the kernel writes to `bytes` only, and checks the other address itself.
    let read = unsafe { check(libc::process_vm_readv(thread, &raw const ours, 1, &raw const theirs, 1, 0) as _)? };
    if read as usize == bytes.len() { Ok(()) } else { Err(io::Error::from_raw_os_error(libc::EFAULT)) }
}

/// The kind of a socket (`AF_*`); fails if it is none.
pub(crate) fn family(socket: BorrowedFd<'_>) -> io::Result<libc::c_int> {
    let mut family = 0;
    let mut length = size_of::<libc::c_int>() as libc::socklen_t;
    // SAFETY: `family` and `length` outlive the call, which writes both.
    unsafe {
        let (level, name) = (libc::SOL_SOCKET, libc::SO_DOMAIN);
        let found = libc::getsockopt(socket.as_raw_fd(), level, name, (&raw mut family).cast(), &raw mut length);
        check_int(found)?;
    }
    Ok(family)
}

/// Whether using an open file returns at once.
pub(crate) fn is_nonblocking(file: BorrowedFd<'_>) -> bool {
    // SAFETY: no pointers are involved.
    unsafe { libc::fcntl(file.as_raw_fd(), libc::F_GETFL) & libc::O_NONBLOCK != 0 }
}

/// Connects a socket to an address as the kernel takes it.
pub(crate) fn connect(socket: BorrowedFd<'_>, address: &[u8]) -> Result<(), i32> {
    // SAFETY: the pointer and the length are those of `address`, and the kernel looks no further.
    let connected =
        unsafe { check_int(libc::connect(socket.as_raw_fd(), address.as_ptr().cast(), address.len() as _)) };
    connected.map(drop).map_err(|error| error.raw_os_error().unwrap_or(libc::EIO))
}

/// A reference to a path as seen from an open folder. Links are followed, but none of `/proc` that leads to an open file.
pub(crate) fn open_from(folder: BorrowedFd<'_>, path: &std::ffi::CStr) -> io::Result<OwnedFd> {
    let how = [(libc::O_PATH | libc::O_CLOEXEC) as u64, 0, libc::RESOLVE_NO_MAGICLINKS];
    // SAFETY: `how` is laid out like `struct open_how` (three u64) and outlives the call; the descriptor is new and ours.
    unsafe {
        let fd = libc::syscall(libc::SYS_openat2, folder.as_raw_fd(), path.as_ptr(), how.as_ptr(), size_of_val(&how));
        Ok(OwnedFd::from_raw_fd(check(fd)? as RawFd))
    }
}

/// The bound Unix sockets of this network namespace: device and number of the file of each, as the kernel has them (the
/// number's low half). Format: `linux/netlink.h`, `linux/sock_diag.h`, `linux/unix_diag.h`.
pub(crate) fn bound_sockets() -> io::Result<Vec<(u32, u32)>> {
    const SOCK_DIAG: libc::c_int = 4;
    // Length 40; SOCK_DIAG_BY_FAMILY; NLM_F_REQUEST and NLM_F_DUMP; number and port; then the request: AF_UNIX, every state, any
    // socket, UDIAG_SHOW_VFS, no cookie.
    let request: [u32; 10] = [40, 20 | 0x301 << 16, 1, 0, 1, u32::MAX, 0, 2, u32::MAX, u32::MAX];
    // SAFETY: the pointers and lengths are those of `request` and `answer`; the descriptor is new and ours.
    unsafe {
        let socket = check_int(libc::socket(libc::AF_NETLINK, libc::SOCK_RAW | libc::SOCK_CLOEXEC, SOCK_DIAG))?;
        let socket = OwnedFd::from_raw_fd(socket);
        let sent = libc::send(socket.as_raw_fd(), request.as_ptr().cast(), size_of_val(&request), 0);
        check(sent as _)?;
        let (mut found, mut answer) = (Vec::new(), vec![0_u8; 32 << 10]);
        loop {
            let count = libc::recv(socket.as_raw_fd(), answer.as_mut_ptr().cast(), answer.len(), 0);
            let count = check(count as _)? as usize;
            if take_sockets(answer.get(..count).unwrap_or_default(), &mut found)? {
                return Ok(found);
            }
        }
    }
}

/// Reads one answer. Whether it was the last.
fn take_sockets(mut rest: &[u8], found: &mut Vec<(u32, u32)>) -> io::Result<bool> {
    const HEADER: usize = 16;
    const MESSAGE: usize = 16;
    const DONE: u16 = 3;
    const ERROR: u16 = 2;
    const VFS: u16 = 1;
    while let (Some(length), Some(kind)) = (word(rest, 0), half(rest, 4)) {
        if kind == DONE {
            return Ok(true);
        }
        let message = rest.get(..length as usize).filter(|_| length as usize >= HEADER && kind != ERROR);
        let message = message.ok_or_else(|| io::Error::from_raw_os_error(libc::EOPNOTSUPP))?;
        let mut attributes = message.get(HEADER + MESSAGE..).unwrap_or_default();
        while let (Some(length), Some(kind)) = (half(attributes, 0), half(attributes, 2)) {
            if kind == VFS
                && let (Some(number), Some(device)) = (word(attributes, 4), word(attributes, 8))
            {
                found.push((device, number));
            }
            attributes = attributes.get(aligned(length.into()).max(4)..).unwrap_or_default();
        }
        rest = rest.get(aligned(length as usize)..).unwrap_or_default();
    }
    Ok(false)
}

fn aligned(length: usize) -> usize {
    length.div_ceil(4) * 4
}

fn half(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_ne_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;
    use std::os::unix::net::UnixListener;

    use super::*;

    #[test]
    fn the_sockets_of_the_namespace_are_told_by_their_files() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("socket");
        let number = |path: &std::path::Path| path.metadata().unwrap().ino() as u32;
        let listener = UnixListener::bind(&path).unwrap();
        let here = number(&path);
        assert!(bound_sockets().unwrap().iter().any(|(_, found)| *found == here));
        drop(listener);
        assert!(bound_sockets().unwrap().iter().all(|(_, found)| *found != here));
    }

    #[test]
    fn what_is_cut_short_or_an_error_is_no_list() {
        let mut found = Vec::new();
        assert!(!take_sockets(&[], &mut found).unwrap());
        assert!(!take_sockets(&[1, 2, 3], &mut found).unwrap());
        assert!(take_sockets(&[255, 0, 0, 0, 20, 0, 0, 0], &mut found).is_err());
        assert!(take_sockets(&[20, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0], &mut found).is_err());
        assert!(take_sockets(&[16, 0, 0, 0, 3, 0], &mut found).unwrap());
        assert!(found.is_empty());
    }

    #[test]
    fn files_and_memory_of_a_thread_are_copied() {
        // SAFETY: no pointers are involved.
        let own = unsafe { libc::getpid() };
        let text = *b"some bytes";
        let mut read = [0; 10];
        read_memory(own, text.as_ptr() as u64, &mut read).unwrap();
        assert_eq!(read, text);
        assert_eq!(read_memory(own, 8, &mut read).unwrap_err().raw_os_error(), Some(libc::EFAULT));
        let file = tempfile::tempfile().unwrap();
        let copy = take_file(own, file.as_raw_fd()).unwrap();
        assert_eq!(std::fs::File::from(copy).metadata().unwrap().ino(), file.metadata().unwrap().ino());
        assert_eq!(family(file.as_fd()).unwrap_err().raw_os_error(), Some(libc::ENOTSOCK));
    }

    use std::os::fd::AsFd;
}
