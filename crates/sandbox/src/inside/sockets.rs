//! Connecting from inside: to what listens inside, and to nobody else.
//!
//! A Unix socket is a file, so one of a service of the host may lie in a folder that is shown, and no namespace keeps a
//! program from connecting to it: neither a read-only mount nor Landlock before its version 9 does. A filter sees only where
//! the address of a call lies, and what lies there may be another when the kernel looks. So the filter passes `connect` on to
//! init, and init connects in the caller's place: it copies the address, opens the file that it names, asks the kernel whether
//! that is the file of a socket of this network namespace, which nobody outside has, and connects the caller's own socket to
//! the file that it has open. A file belongs to at most one socket as long as it exists, so nothing can be exchanged.
//!
//! Sockets that send without connecting (datagrams) are not made at all for this family. Where init could not look into its
//! processes, or there is no network namespace, there are pairs only.

use std::ffi::CString;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::MetadataExt;

use crate::sys::{self, Call, Forked};

/// Calls that may wait for the other side at a time; each takes up a process.
const WAITING_MAX: usize = 64;
/// `struct sockaddr_storage`, and `struct sockaddr_un`.
const ADDRESS_BYTES_MAX: usize = 128;
const UNIX_BYTES_MAX: usize = 110;
/// `sun_family`.
const FAMILY_BYTES: usize = 2;

/// The connections under way.
#[derive(Default)]
pub(super) struct Sockets {
    /// Processes that wait in a caller's place, and for which call.
    waiting: Vec<(libc::pid_t, u64)>,
}

/// What is to be connected, and to what.
struct Wanted {
    socket: OwnedFd,
    address: Vec<u8>,
    /// Keeps open what the address names.
    _file: Option<OwnedFd>,
}

impl Sockets {
    /// Carries a `connect` out, in a process of its own if it may take time.
    pub fn connect(&mut self, listener: BorrowedFd<'_>, call: &Call) {
        let wanted = match Wanted::by(listener, call) {
            Ok(wanted) => wanted,
            Err(error) => return answer(listener, call, Err(error.raw_os_error().unwrap_or(libc::EACCES))),
        };
        if sys::is_nonblocking(wanted.socket.as_fd()) {
            return answer(listener, call, wanted.connect());
        }
        self.forget_the_gone(listener);
        if self.waiting.len() >= WAITING_MAX {
            return answer(listener, call, Err(libc::EAGAIN));
        }
        match sys::fork() {
            Ok(Forked::Child) => {
                answer(listener, call, wanted.connect());
                sys::exit(0)
            }
            Ok(Forked::Parent(pid)) => self.waiting.push((pid, call.id)),
            Err(_) => answer(listener, call, Err(libc::EAGAIN)),
        }
    }

    /// A process has ended. Had it waited in a caller's place and was killed, the caller still waits.
    pub fn ended(&mut self, listener: Option<BorrowedFd<'_>>, pid: libc::pid_t) {
        let Some(at) = self.waiting.iter().position(|(waiting, _)| *waiting == pid) else { return };
        let (_, id) = self.waiting.swap_remove(at);
        if let Some(listener) = listener {
            sys::answer_call(listener, id, Err(libc::EINTR));
        }
    }

    /// Ends the processes whose callers do not wait any more.
    fn forget_the_gone(&mut self, listener: BorrowedFd<'_>) {
        for (pid, _) in self.waiting.iter().filter(|(_, id)| !sys::is_waiting(listener, *id)) {
            sys::kill_child(*pid);
        }
    }
}

fn answer(listener: BorrowedFd<'_>, call: &Call, result: Result<(), i32>) {
    sys::answer_call(listener, call.id, result);
}

impl Wanted {
    fn by(listener: BorrowedFd<'_>, call: &Call) -> io::Result<Self> {
        let [number, address, length, ..] = call.arguments;
        let invalid = || io::Error::from_raw_os_error(libc::EINVAL);
        // Both are of type int.
        let (number, length) = (number as i32, length as u32 as usize);
        let socket = sys::take_file(call.thread, number)?;
        let family = sys::family(socket.as_fd())?;
        if length > ADDRESS_BYTES_MAX {
            return Err(invalid());
        }
        let mut copy = vec![0; length];
        if length > 0 {
            sys::read_memory(call.thread, address, &mut copy)?;
        }
        let folder = || io::Result::Ok(OwnedFd::from(std::fs::File::open(format!("/proc/{}/cwd", call.thread))?));
        let file = match path_of(family, &copy)? {
            None => None,
            Some(path) if path.as_bytes().starts_with(b"/") => {
                Some(sys::open_from(sys::open_dir(c"/")?.as_fd(), &path)?)
            }
            Some(path) => Some(sys::open_from(folder()?.as_fd(), &path)?),
        };
        // Until here somebody else may have got the number of the thread.
        if !sys::is_waiting(listener, call.id) {
            return Err(io::Error::from_raw_os_error(libc::ESRCH));
        }
        let Some(file) = file else { return Ok(Self { socket, address: copy, _file: None }) };
        if !is_of_a_socket_inside(file.as_fd())? {
            return Err(io::Error::from_raw_os_error(libc::ECONNREFUSED));
        }
        let mut address = (libc::AF_UNIX as u16).to_ne_bytes().to_vec();
        address.extend_from_slice(format!("/proc/self/fd/{}\0", file.as_raw_fd()).as_bytes());
        Ok(Self { socket, address, _file: Some(file) })
    }

    fn connect(&self) -> Result<(), i32> {
        sys::connect(self.socket.as_fd(), &self.address)
    }
}

/// The path that an address names; none if it names none, or means another kind of socket.
fn path_of(family: libc::c_int, address: &[u8]) -> io::Result<Option<CString>> {
    let Some((kind, path)) = address.split_at_checked(FAMILY_BYTES) else { return Ok(None) };
    if family != libc::AF_UNIX || kind != (libc::AF_UNIX as u16).to_ne_bytes() {
        return Ok(None);
    }
    if address.len() > UNIX_BYTES_MAX {
        return Err(io::Error::from_raw_os_error(libc::EINVAL));
    }
    // Nothing, or an abstract name: of this network namespace, and scoped by Landlock.
    if path.first().is_none_or(|first| *first == 0) {
        return Ok(None);
    }
    let path = path.split(|byte| *byte == 0).next().unwrap_or_default();
    Ok(Some(CString::new(path)?))
}

/// Whether an open file is that of a socket that was bound in this network namespace. What was left by one that is closed is not.
fn is_of_a_socket_inside(file: BorrowedFd<'_>) -> io::Result<bool> {
    let place = std::fs::read_to_string(format!("/proc/self/fdinfo/{}", file.as_raw_fd()))?;
    let number = std::fs::File::from(file.try_clone_to_owned()?).metadata()?.ino() as u32;
    let mount = place.lines().find_map(|line| line.strip_prefix("mnt_id:")).map(str::trim);
    let mounts = std::fs::read_to_string("/proc/self/mountinfo")?;
    // The device of the file system itself; `stat` tells that of a part of it on some.
    let device = mounts.lines().find_map(|line| {
        let mut words = line.split(' ');
        let [id, _, device] = [words.next()?, words.next()?, words.next()?];
        let (major, minor) = device.split_once(':').filter(|_| Some(id) == mount)?;
        Some(major.parse::<u32>().ok()? << 20 | minor.parse::<u32>().ok()?)
    });
    Ok(device.is_some_and(|device| sys::bound_sockets().is_ok_and(|bound| bound.contains(&(device, number)))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_paths_of_unix_sockets_are_looked_at() {
        let unix = |rest: &[u8]| [&(libc::AF_UNIX as u16).to_ne_bytes()[..], rest].concat();
        let path = |family, address: &[u8]| path_of(family, address).map_err(|error| error.raw_os_error());
        let named = |text: &std::ffi::CStr| Ok(Some(text.to_owned()));
        assert_eq!(path(libc::AF_UNIX, &unix(b"a.sock")), named(c"a.sock"));
        assert_eq!(path(libc::AF_UNIX, &unix(b"/a\0b")), named(c"/a"));
        assert_eq!(path(libc::AF_UNIX, &unix(b"\0abstract")), Ok(None));
        assert_eq!(path(libc::AF_UNIX, &unix(b"")), Ok(None));
        assert_eq!(path(libc::AF_UNIX, &[1]), Ok(None));
        assert_eq!(path(libc::AF_INET, &unix(b"a")), Ok(None));
        assert_eq!(path(libc::AF_UNIX, &unix(&[b'a'; 109])), Err(Some(libc::EINVAL)));
    }
}
