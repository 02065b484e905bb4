//! The launcher's side: what runs between the caller's request and the program.
//!
//! Three processes, each as small as its task. The *launcher* takes requests and forks; it never reads a spec, so it has
//! no secret to pass on. The *stage* reads one spec, does what only the caller's identity can do, makes the namespaces and
//! is gone. *Init* is process 1 inside: it sets everything up, starts the program, and then only waits.

mod guest;
mod init;
mod lacks;
mod lock;
mod owners;
mod program;
mod root;
mod sockets;
mod stage;

use std::ffi::OsString;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::process::ExitCode;

use crate::sys::{self, Forked};
use crate::wire::{self, Failure, Reply, Step};
pub use guest::guest_main;
use lacks::Lacks;
use owners::Owners;

/// How far sandboxes stand back behind their caller, in steps of `nice`: each of them gets a tenth of its share when all want to compute.
const NICE: i32 = 10;

/// The whole of the hidden subcommand: serves launches asked for on standard input (a socket that [`crate::Launcher`]
/// made) until the caller is gone. Call it first thing in `main`, before any thread is started or file opened.
pub fn launcher_main() -> ExitCode {
    launcher_main_with(std::iter::empty())
}

/// The same with the rest of the command line. With `--without landlock,seccomp,namespaces` (any of them) it behaves as on
/// a host that lacks those layers: a launch is refused unless the policy gives them up. So one can see what a policy does
/// elsewhere.
pub fn launcher_main_with(words: impl Iterator<Item = OsString>) -> ExitCode {
    match Lacks::from_words(words).and_then(serve) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("sandbox launcher: {error}");
            ExitCode::FAILURE
        }
    }
}

fn serve(lacks: Lacks) -> io::Result<()> {
    sys::die_with_parent()?;
    sys::close_all_except(3, &[])?;
    // One session for all sandboxes, because the scheduler gives each session the same share of the processors: with one for each sandbox,
    // the caller, who answers them all, would get as much as one of them. Where sessions do not count, priority does.
    sys::new_session();
    sys::stand_back(NICE);
    sys::default_signals();
    sys::block_child_signals()?;
    let ends = sys::watch_children()?;
    sys::set_name(c"muster-launcher");
    let owners = Owners::prepare();
    let stdin = io::stdin();
    let control = stdin.as_fd();
    loop {
        let [ended, asked] = sys::wait_readable(&[ends.as_fd(), control], None);
        if ended {
            reap_all(ends.as_fd());
        }
        if !asked {
            continue;
        }
        let mut byte = [0];
        let (read, fds) = sys::receive_with_fds(control, &mut byte)?;
        if read == 0 {
            reap_all(ends.as_fd());
            return Ok(());
        }
        let Ok(plumbing) = <[OwnedFd; 4]>::try_from(fds) else {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "a request without its files"));
        };
        match sys::fork() {
            Ok(Forked::Child) => stage::run(plumbing, &owners, lacks),
            Ok(Forked::Parent(_)) => {}
            Err(error) => {
                let failure = Step::Request.failed("starting a process for it")(error);
                let _ = wire::reply(plumbing[0].as_fd(), &Reply::Failed(failure), &[]);
            }
        }
    }
}

/// Takes note of every sandbox that is over, so that what it used counts as used by the launcher, and in the end by the caller.
fn reap_all(ends: BorrowedFd<'_>) {
    sys::drain(ends);
    while sys::reap().is_some() {}
}

impl Step {
    /// This step failed while `what` was worked on.
    fn failed(self, what: impl Into<String>) -> impl FnOnce(io::Error) -> Failure {
        move |error| Failure { step: self, errno: error.raw_os_error().unwrap_or(libc::EIO), what: what.into() }
    }
}

/// Tells the caller why there will be no sandbox, and ends this process.
fn give_up(reports: BorrowedFd<'_>, failure: Failure) -> ! {
    let _ = wire::reply(reports, &Reply::Failed(failure), &[]);
    sys::exit(1)
}
