//! The bytes between caller and launcher: length-framed, written and read by hand, because they are read where memory
//! and start-up time count and nothing else is linked in.

use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use crate::error::SandboxError;
use crate::spec::Spec;
use crate::sys;
use crate::tree::{Exit, Limit};

/// The longest frame that is read, in bytes; far above any command line that the kernel takes.
const FRAME_MAX: u32 = 16 << 20;

/// What the launcher's side says about one launch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Reply {
    /// The program runs; comes with init's pidfd, the counters of refused calls, then the listener if one was asked for.
    Started,
    /// Nothing was run.
    Failed(Failure),
    /// The program has ended, and the rest of the tree is about to.
    Ended(Exit),
}

/// Why a launch failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    pub step: Step,
    pub errno: i32,
    /// What was being worked on: a path, a limit, a file.
    pub what: String,
}

/// Where a launch failed; decides what the caller is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    Request,
    Bind,
    Owners,
    Identity,
    Namespaces,
    Network,
    Mounts,
    Landlock,
    Privileges,
    Limits,
    Seccomp,
    Programs,
    Cwd,
    Exec,
    Container,
}

const STEPS: &[Step] = &[
    Step::Request,
    Step::Bind,
    Step::Owners,
    Step::Identity,
    Step::Namespaces,
    Step::Network,
    Step::Mounts,
    Step::Landlock,
    Step::Privileges,
    Step::Limits,
    Step::Seccomp,
    Step::Programs,
    Step::Cwd,
    Step::Exec,
    Step::Container,
];

impl Failure {
    /// The failure as the caller reads it.
    pub fn into_error(self, spec: &Spec) -> SandboxError {
        let source = io::Error::from_raw_os_error(self.errno);
        match self.step {
            Step::Bind => SandboxError::Bind { host: PathBuf::from(self.what), source },
            Step::Exec => SandboxError::Exec { program: spec.program.clone(), source },
            Step::Programs => SandboxError::Exec { program: PathBuf::from(self.what), source },
            Step::Cwd => SandboxError::Cwd { path: PathBuf::from(self.what), source },
            Step::Owners => {
                let step = format!("mapping the owners of the files in {}", self.what);
                SandboxError::Host { step, source, advice: advice(Step::Owners, self.errno).to_owned() }
            }
            step => SandboxError::Host { step: self.what, source, advice: advice(step, self.errno).to_owned() },
        }
    }
}

/// What usually helps.
fn advice(step: Step, errno: i32) -> &'static str {
    match (step, errno) {
        (Step::Namespaces, libc::ENOSPC | libc::EUSERS) => {
            " User namespaces are switched off or used up: raise the sysctl user.max_user_namespaces"
        }
        (Step::Namespaces | Step::Identity | Step::Mounts | Step::Network, libc::EPERM | libc::EACCES) => {
            " Something forbids user namespaces: on Ubuntu 24.04 and later allow this program in an AppArmor profile \
             (`userns,`); on Debian set the sysctl kernel.unprivileged_userns_clone=1; in a container give it the right \
             to make namespaces and mounts (Docker: --security-opt seccomp=unconfined --security-opt systempaths=unconfined)"
        }
        (Step::Namespaces | Step::Mounts, libc::ENOSYS) => " It needs Linux 5.12 or later",
        (Step::Owners, _) => {
            " For root the file system must support id-mapped mounts: use ext4, xfs, btrfs or tmpfs, or run as an ordinary user"
        }
        (Step::Landlock, _) => {
            " Landlock is missing: boot with `lsm=landlock,...`, or list `landlock` under allow_degraded to do without this second lock"
        }
        (Step::Seccomp, _) => {
            " The kernel must be able to filter system calls (CONFIG_SECCOMP_FILTER); or list `seccomp` under allow_degraded to do without the filter"
        }
        (Step::Container, _) => {
            " The container engine did not give what it was asked for: look at its version and settings, or use the kernel \
             back end; a filter of system calls can be given up with `seccomp` under allow_degraded"
        }
        _ => "",
    }
}

/// Sends a reply with file descriptors.
pub(crate) fn reply(socket: BorrowedFd<'_>, reply: &Reply, fds: &[BorrowedFd<'_>]) -> io::Result<()> {
    let mut out = Writer::default();
    match reply {
        Reply::Started => _ = out.byte(0),
        Reply::Failed(Failure { step, errno, what }) => {
            out.byte(1).byte(*step as u8).number(u64::from(errno.unsigned_abs())).bytes(what.as_bytes());
        }
        Reply::Ended(exit) => {
            let (kind, value) = match exit {
                Exit::Code(code) => (0, code.unsigned_abs()),
                Exit::Signal(signal) => (1, signal.unsigned_abs()),
                Exit::Limit(limit) => (2, *limit as u32),
                Exit::Killed => (3, 0),
            };
            out.byte(2).byte(kind).number(value.into());
        }
    }
    sys::send_with_fds(socket, &out.framed(), fds)
}

/// Reads one reply and the file descriptors that come with it.
pub(crate) fn receive(socket: BorrowedFd<'_>) -> io::Result<(Reply, Vec<OwnedFd>)> {
    let (bytes, fds) = receive_frame(socket)?;
    let mut input = Reader::new(&bytes);
    let reply = match input.byte()? {
        0 => Reply::Started,
        1 => Reply::Failed(Failure {
            step: input.one_of(STEPS)?,
            errno: input.signed()?,
            what: String::from_utf8_lossy(&input.bytes()?).into_owned(),
        }),
        2 => Reply::Ended(match (input.byte()?, input.signed()?) {
            (0, code) => Exit::Code(code),
            (1, signal) => Exit::Signal(signal),
            (2, limit) => Exit::Limit(pick(&Limit::ALL, limit)?),
            _ => Exit::Killed,
        }),
        _ => return Err(malformed()),
    };
    input.end().map(|()| (reply, fds))
}

/// Reads one frame and the file descriptors that come with it.
pub(crate) fn receive_frame(socket: BorrowedFd<'_>) -> io::Result<(Vec<u8>, Vec<OwnedFd>)> {
    let mut length = [0; 4];
    let (read, fds) = sys::receive_with_fds(socket, &mut length)?;
    let length = u32::from_le_bytes(length);
    if read != 4 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    if length > FRAME_MAX {
        return Err(malformed());
    }
    let mut bytes = vec![0; length as usize];
    sys::receive_exact(socket, &mut bytes).map(|()| (bytes, fds))
}

/// Builds one frame: four bytes of length (little-endian), then the fields.
#[derive(Default)]
pub(crate) struct Writer {
    fields: Vec<u8>,
}

impl Writer {
    pub fn byte(&mut self, byte: u8) -> &mut Self {
        self.fields.push(byte);
        self
    }

    pub fn number(&mut self, number: u64) -> &mut Self {
        self.fields.extend(number.to_le_bytes());
        self
    }

    pub fn bytes(&mut self, bytes: &[u8]) -> &mut Self {
        self.number(bytes.len() as u64).fields.extend(bytes);
        self
    }

    pub fn path(&mut self, path: &Path) -> &mut Self {
        self.bytes(path.as_os_str().as_bytes())
    }

    pub fn list<T>(&mut self, items: &[T], write: impl Fn(&mut Self, &T)) {
        self.number(items.len() as u64);
        items.iter().for_each(|item| write(self, item));
    }

    pub fn framed(&self) -> Vec<u8> {
        let length = u32::try_from(self.fields.len()).unwrap_or(u32::MAX);
        [&length.to_le_bytes()[..], &self.fields].concat()
    }
}

/// Reads the fields of one frame.
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub fn new(rest: &'a [u8]) -> Self {
        Self { rest }
    }

    fn take(&mut self, count: usize) -> io::Result<&'a [u8]> {
        let (head, rest) = self.rest.split_at_checked(count).ok_or_else(malformed)?;
        self.rest = rest;
        Ok(head)
    }

    pub fn byte(&mut self) -> io::Result<u8> {
        Ok(self.take(1)?[0])
    }

    pub fn number(&mut self) -> io::Result<u64> {
        let bytes = self.take(8)?.try_into().map_err(|_| malformed())?;
        Ok(u64::from_le_bytes(bytes))
    }

    pub fn small(&mut self) -> io::Result<u32> {
        u32::try_from(self.number()?).map_err(|_| malformed())
    }

    pub fn signed(&mut self) -> io::Result<i32> {
        i32::try_from(self.number()?).map_err(|_| malformed())
    }

    pub fn bytes(&mut self) -> io::Result<Vec<u8>> {
        let count = usize::try_from(self.number()?).map_err(|_| malformed())?;
        Ok(self.take(count)?.to_vec())
    }

    pub fn path(&mut self) -> io::Result<PathBuf> {
        Ok(PathBuf::from(std::ffi::OsString::from_vec(self.bytes()?)))
    }

    pub fn list<T>(&mut self, mut read: impl FnMut(&mut Self) -> io::Result<T>) -> io::Result<Vec<T>> {
        let count = self.number()?;
        (0..count).map(|_| read(self)).collect()
    }

    /// One of the variants of an enum, by its number.
    pub fn one_of<T: Copy>(&mut self, variants: &[T]) -> io::Result<T> {
        let number = self.byte()?;
        pick(variants, number.into())
    }

    pub fn end(&self) -> io::Result<()> {
        if self.rest.is_empty() { Ok(()) } else { Err(malformed()) }
    }
}

fn pick<T: Copy>(variants: &[T], number: i32) -> io::Result<T> {
    usize::try_from(number).ok().and_then(|number| variants.get(number).copied()).ok_or_else(malformed)
}

fn malformed() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "malformed frame")
}
