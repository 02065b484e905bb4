//! Sockets that carry file descriptors, and the loopback interface of a new network.

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use super::{check, check_int};

/// The two kinds of local socket pairs that are used.
#[derive(Clone, Copy)]
pub(crate) enum Socket {
    /// A stream of bytes.
    Stream,
    /// One send is one receive.
    Packets,
}

/// The most file descriptors that travel in one message.
const FDS_MAX: usize = 4;

/// Room for a control message with [`FDS_MAX`] descriptors, aligned as the kernel wants it.
#[repr(C, align(8))]
struct ControlBuffer([u8; 64]);

/// A connected pair of local sockets.
pub(crate) fn socket_pair(kind: Socket) -> io::Result<(OwnedFd, OwnedFd)> {
    let kind = match kind {
        Socket::Stream => libc::SOCK_STREAM,
        Socket::Packets => libc::SOCK_SEQPACKET,
    };
    let mut fds = [-1; 2];
    // SAFETY: `fds` has room for the two descriptors, which are new and ours on success.
    unsafe {
        check_int(libc::socketpair(libc::AF_UNIX, kind | libc::SOCK_CLOEXEC, 0, fds.as_mut_ptr()))?;
        Ok((OwnedFd::from_raw_fd(fds[0]), OwnedFd::from_raw_fd(fds[1])))
    }
}

/// Sends `bytes` in one message, together with `fds` (at most [`FDS_MAX`]).
pub(crate) fn send_with_fds(socket: BorrowedFd<'_>, bytes: &[u8], fds: &[BorrowedFd<'_>]) -> io::Result<()> {
    let raw: Vec<libc::c_int> = fds.iter().map(AsRawFd::as_raw_fd).collect();
    if raw.len() > FDS_MAX {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let length = size_of_val(raw.as_slice());
    let mut control = ControlBuffer([0; 64]);
    let mut part = libc::iovec { iov_base: bytes.as_ptr().cast_mut().cast(), iov_len: bytes.len() };
    // SAFETY: the message points to `part` and `control`, which outlive the call; the header and the descriptors fit in
    // `control`, because FDS_MAX descriptors do.
    let sent = unsafe {
        let mut message: libc::msghdr = MaybeUninit::zeroed().assume_init();
        message.msg_iov = &raw mut part;
        message.msg_iovlen = 1;
        if !raw.is_empty() {
            message.msg_control = control.0.as_mut_ptr().cast();
            message.msg_controllen = libc::CMSG_SPACE(length as u32) as _;
            let header = libc::CMSG_FIRSTHDR(&raw const message);
            (*header).cmsg_level = libc::SOL_SOCKET;
            (*header).cmsg_type = libc::SCM_RIGHTS;
            (*header).cmsg_len = libc::CMSG_LEN(length as u32) as _;
            std::ptr::copy_nonoverlapping(raw.as_ptr().cast::<u8>(), libc::CMSG_DATA(header), length);
        }
        retry(|| check(libc::sendmsg(socket.as_raw_fd(), &raw const message, libc::MSG_NOSIGNAL) as _))?
    };
    // Messages with descriptors are far smaller than a socket's buffer, so they go whole or not at all.
    if sent as usize == bytes.len() { Ok(()) } else { Err(io::ErrorKind::WriteZero.into()) }
}

/// Receives one message (or, on a stream, up to `bytes.len()` bytes) and the descriptors that come with it.
/// Zero bytes mean that the other end is gone.
pub(crate) fn receive_with_fds(socket: BorrowedFd<'_>, bytes: &mut [u8]) -> io::Result<(usize, Vec<OwnedFd>)> {
    let mut control = ControlBuffer([0; 64]);
    let mut part = libc::iovec { iov_base: bytes.as_mut_ptr().cast(), iov_len: bytes.len() };
    // SAFETY: as for sending; every descriptor found in the control message is new and ours.
    unsafe {
        let mut message: libc::msghdr = MaybeUninit::zeroed().assume_init();
        message.msg_iov = &raw mut part;
        message.msg_iovlen = 1;
        message.msg_control = control.0.as_mut_ptr().cast();
        message.msg_controllen = control.0.len() as _;
        let flags = libc::MSG_CMSG_CLOEXEC;
        let count = retry(|| check(libc::recvmsg(socket.as_raw_fd(), &raw mut message, flags) as _))?;
        let mut fds = Vec::new();
        let mut header = libc::CMSG_FIRSTHDR(&raw const message);
        while !header.is_null() {
            if (*header).cmsg_level == libc::SOL_SOCKET && (*header).cmsg_type == libc::SCM_RIGHTS {
                let length = (*header).cmsg_len as usize - libc::CMSG_LEN(0) as usize;
                let data = libc::CMSG_DATA(header).cast::<libc::c_int>();
                let descriptors = (0..length / size_of::<libc::c_int>()).map(|i| data.add(i).read_unaligned());
                fds.extend(descriptors.map(|fd| OwnedFd::from_raw_fd(fd)));
            }
            header = libc::CMSG_NXTHDR(&raw const message, header);
        }
        Ok((count as usize, fds))
    }
}

/// Sends all of `bytes` on a stream.
pub(crate) fn send_all(socket: BorrowedFd<'_>, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        // SAFETY: the pointer and the length are those of `bytes`.
        let sent = unsafe {
            retry(
                || check(libc::send(socket.as_raw_fd(), bytes.as_ptr().cast(), bytes.len(), libc::MSG_NOSIGNAL) as _),
            )?
        };
        bytes = bytes.get(sent as usize..).unwrap_or_default();
    }
    Ok(())
}

/// Tells the other end that nothing more will come; what it said before can still be read.
pub(crate) fn hang_up(socket: BorrowedFd<'_>) {
    // SAFETY: no pointers are involved. The only failure is that the other end is gone.
    unsafe { libc::shutdown(socket.as_raw_fd(), libc::SHUT_WR) };
}

/// Fills `bytes` from a stream, or fails.
pub(crate) fn receive_exact(socket: BorrowedFd<'_>, bytes: &mut [u8]) -> io::Result<()> {
    let mut filled = 0;
    while let Some(rest) = bytes.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        // SAFETY: the pointer and the length are those of `rest`.
        let count =
            unsafe { retry(|| check(libc::recv(socket.as_raw_fd(), rest.as_mut_ptr().cast(), rest.len(), 0) as _))? };
        if count == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        filled += count as usize;
    }
    Ok(())
}

/// Brings up the loopback interface of this network namespace.
pub(crate) fn loopback_up() -> io::Result<()> {
    // SAFETY: the request is zeroed, its name is a NUL-ended string that fits, and the socket is new and ours.
    unsafe {
        let socket = check_int(libc::socket(libc::AF_INET, libc::SOCK_DGRAM | libc::SOCK_CLOEXEC, 0))?;
        let socket = OwnedFd::from_raw_fd(socket);
        let mut request: libc::ifreq = MaybeUninit::zeroed().assume_init();
        for (to, from) in request.ifr_name.iter_mut().zip(b"lo") {
            *to = *from as libc::c_char;
        }
        request.ifr_ifru.ifru_flags = (libc::IFF_UP | libc::IFF_RUNNING) as libc::c_short;
        check_int(libc::ioctl(socket.as_raw_fd(), libc::SIOCSIFFLAGS as _, &raw const request)).map(drop)
    }
}

/// Names the host of this UTS namespace.
pub(crate) fn set_host_name(name: &str) -> io::Result<()> {
    // SAFETY: the pointer and the length are those of `name`.
    unsafe { check_int(libc::sethostname(name.as_ptr().cast(), name.len())).map(drop) }
}

/// Repeats a call that a signal interrupted.
fn retry<T>(mut call: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    loop {
        match call() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}
