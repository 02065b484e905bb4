//! The processes of one sandbox, seen from outside: wait, kill, and know how it ended.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::sync::Arc;

use crate::docker::Ending;
use crate::launcher::Shared;
use crate::limits::Kept;
use crate::seccomp::{Denial, Denials};
use crate::sys;
use crate::wire::{self, Reply};

/// All processes of one sandbox. Dropping it kills them.
#[derive(Debug)]
pub struct Tree {
    /// The sandbox's init; it is the last to go.
    init: Arc<OwnedFd>,
    /// Init's reports; init ends the tree when this closes.
    reports: OwnedFd,
    /// What init has counted.
    denials: Denials,
    exit: Option<Exit>,
    /// What keeps the limits that hold for all processes together.
    kept: Kept,
    holder: Holder,
}

/// What must outlive a sandbox.
#[derive(Debug)]
pub(crate) enum Holder {
    /// The launcher: its sandboxes die with it.
    Launcher { _shared: Arc<Shared> },
    /// The engine, which removes the container and knows why it ended.
    Container(Ending),
}

/// How a sandbox ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// The program ended by itself with this code.
    Code(i32),
    /// The program was ended by this signal (its own fault, or another process inside sent it).
    Signal(i32),
    /// A limit of the policy ended it.
    Limit(Limit),
    /// The tree was killed from outside.
    Killed,
}

/// The limit that ended a sandbox. Limits that only make a call fail (memory of one process, processes, open files)
/// end nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    /// `wall_ms` passed.
    Wall,
    /// The program used up `cpu_s`.
    Cpu,
    /// The program wrote a file beyond `file_bytes`.
    FileSize,
    /// All processes together used more than `tree_memory_bytes`.
    Memory,
    /// The writable binds together held more than `disk_bytes`, or the tree alone had nearly filled a disk.
    Disk,
}

impl Limit {
    /// All of them, by their number in reports; new ones come last.
    pub(crate) const ALL: [Self; 5] = [Self::Wall, Self::Cpu, Self::FileSize, Self::Memory, Self::Disk];
}

impl Tree {
    pub(crate) fn new(init: Arc<OwnedFd>, reports: OwnedFd, denials: Denials, kept: Kept, holder: Holder) -> Self {
        Self { init, reports, denials, exit: None, kept, holder }
    }

    /// Kills every process of the sandbox, however deeply hidden. Returns at once; harmless when it is gone already.
    pub fn kill(&self) {
        // There is nothing left to kill, or it belongs to another user: init ends when we say no more.
        if sys::pidfd_kill(self.init.as_fd()).is_err() {
            sys::hang_up(self.reports.as_fd());
        }
        self.kept.kill();
    }

    /// Sends a signal (1 to 31) to every process inside but our own, as a person does with Ctrl-C. Whether they end is up to
    /// them; harmless when they are gone.
    pub fn signal(&self, signal: u8) {
        // The only failure is that there is nobody left to read it.
        let _ = sys::send_all(self.reports.as_fd(), &[signal]);
    }

    /// Blocks until the whole tree is gone, and says how the program ended.
    pub fn wait(&mut self) -> Exit {
        loop {
            if let Some(exit) = self.exit_when(None) {
                return exit;
            }
        }
    }

    /// How the program ended, if the whole tree is gone; does not block.
    pub fn try_wait(&mut self) -> Option<Exit> {
        self.exit_when(Some(0))
    }

    /// Becomes readable when the whole tree is gone (a pidfd, so it can be polled and registered with an event loop).
    pub fn exit_fd(&self) -> BorrowedFd<'_> {
        self.init.as_fd()
    }

    /// The system calls that were refused so far, each with how often; may be asked at any time, also after the end.
    /// Calls that are refused for their arguments, and those that programs try and do without, are not among them.
    pub fn denials(&self) -> Vec<Denial> {
        self.denials.read()
    }

    fn exit_when(&mut self, timeout_ms: Option<i32>) -> Option<Exit> {
        if self.exit.is_none() && sys::readable(self.init.as_fd(), timeout_ms) {
            self.exit = Some(self.reported());
        }
        self.exit
    }

    /// Init reports before it goes, so the report is there or never will be.
    fn reported(&self) -> Exit {
        match sys::set_nonblocking(self.reports.as_fd()).and_then(|()| wire::receive(self.reports.as_fd())) {
            // Where the kernel kills a whole group, init may get to see the program's end before its own.
            Ok((Reply::Ended(Exit::Signal(libc::SIGKILL)), _)) => self.crossed(Exit::Signal(libc::SIGKILL)),
            Ok((Reply::Ended(exit), _)) => exit,
            Ok(_) | Err(_) => self.crossed(Exit::Killed),
        }
    }
}

impl Tree {
    /// A killed tree may have been killed for a limit.
    fn crossed(&self, exit: Exit) -> Exit {
        let by_engine = || match &self.holder {
            Holder::Launcher { .. } => None,
            Holder::Container(ending) => ending.ran_out_of_memory().then_some(Limit::Memory),
        };
        self.kept.crossed().or_else(by_engine).map_or(exit, Exit::Limit)
    }
}

/// The same descriptor as [`Tree::exit_fd`].
impl AsFd for Tree {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.exit_fd()
    }
}

/// The same descriptor as [`Tree::exit_fd`].
impl AsRawFd for Tree {
    fn as_raw_fd(&self) -> RawFd {
        self.init.as_raw_fd()
    }
}

impl Drop for Tree {
    fn drop(&mut self) {
        if self.exit.is_none() {
            self.kill();
        }
    }
}

impl Exit {
    /// What the end of the program means under a limit on processor time and file size.
    pub(crate) fn of(status: sys::Status) -> Self {
        match status {
            sys::Status::Code(code) => Self::Code(code),
            sys::Status::Signal(libc::SIGXCPU) => Self::Limit(Limit::Cpu),
            sys::Status::Signal(libc::SIGXFSZ) => Self::Limit(Limit::FileSize),
            sys::Status::Signal(signal) => Self::Signal(signal),
        }
    }
}

/// Nothing was reported in time.
pub(crate) fn timed_out() -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, "no answer in time")
}
