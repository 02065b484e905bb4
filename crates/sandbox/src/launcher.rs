//! The caller's side: one launcher process, asked over a socket.
//!
//! Why a process that stays instead of one per launch: starting a copy of a large program costs more than the whole
//! sandbox, in time and in memory. The launcher is started once, stays small, and forks; a fork of it is clean, because
//! it has one thread and nothing to hide.
//!
//! Why a thread: the kernel's "kill when the parent dies" watches the *thread* that started the process. A thread of our
//! own that lives as long as the launcher makes that the caller's death, and nothing else.

use std::ffi::OsString;
use std::io;
use std::net::TcpListener;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::thread::JoinHandle;

use crate::docker::{self, Docker};
use crate::error::SandboxError;
use crate::limits::{Cgroups, Keeper, WatchCounts};
use crate::policy::{Backend, Policy};
use crate::seccomp::Denials;
use crate::shown::{self, Shown};
use crate::spec::Spec;
use crate::sys;
use crate::tree::{Holder, Tree, timed_out};
use crate::wire::{self, Reply};

/// How long a launch may take before it counts as failed. Generous: a busy machine is not a broken one.
const LAUNCH_MS: i32 = 30_000;

/// One program to run under a policy.
#[derive(Clone, Debug)]
pub struct Launch {
    /// What it may do.
    pub policy: Policy,
    /// The program, as seen inside: a path, or a bare name that is looked up in the policy's `PATH`.
    pub program: PathBuf,
    /// Its arguments, without the name of the program.
    pub args: Vec<OsString>,
    /// Its working directory, as seen inside.
    pub cwd: PathBuf,
}

/// What a program gets in place of pipes, when a person talks with it. The pipe of [`Sandboxed`] then leads nowhere.
///
/// Only terminals are for this: the descriptor of a directory would lead out of the sandbox, and that of a file or a socket
/// could be used for more than reading or writing. A terminal of the person's cannot be typed into from inside, since it is not
/// the controlling terminal of anything there; one that was made for the program can, and belongs to nobody else.
#[derive(Debug, Default)]
pub struct Terminals {
    /// Standard input.
    pub stdin: Option<OwnedFd>,
    /// Standard output.
    pub stdout: Option<OwnedFd>,
    /// Standard error.
    pub stderr: Option<OwnedFd>,
    /// Whether `stdin` was made for this program alone. It is then the controlling terminal of the program, which leads a session of
    /// its own: keys become signals inside, and shells can tell foreground from background. Containers do without.
    pub own: bool,
}

/// A running program in its sandbox. Take it apart as needed; dropping [`Sandboxed::tree`] kills it.
#[derive(Debug)]
pub struct Sandboxed {
    /// Write end of the program's standard input; dropping it is the end of input.
    pub stdin: OwnedFd,
    /// Read end of its standard output.
    pub stdout: OwnedFd,
    /// Read end of its standard error.
    pub stderr: OwnedFd,
    /// With [`crate::Network::Gateway`] and [`crate::Network::Hosts`]: what listens on [`crate::GATEWAY`] inside. Who connects to it is this sandbox.
    pub listener: Option<TcpListener>,
    /// Its processes.
    pub tree: Tree,
}

/// Launches sandboxes. Cheap to clone; all clones use one launcher process, which lives as long as any clone or sandbox.
#[derive(Clone, Debug)]
pub struct Launcher {
    shared: Arc<Shared>,
}

/// What all clones of a launcher and all its sandboxes hold.
#[derive(Debug)]
pub(crate) struct Shared {
    /// Asks the spawner thread for a new launcher process.
    starts: Mutex<mpsc::Sender<Start>>,
    /// The socket of the present launcher process, which ends when this closes.
    control: Mutex<Arc<OwnedFd>>,
    /// Folders that are shown to nobody.
    hidden: Mutex<Vec<PathBuf>>,
    /// Limits of whole trees.
    keeper: Keeper,
    docker: Docker,
    /// Dropped last: waits until the launcher process is gone.
    _spawner: Spawner,
}

/// The thread that starts launcher processes and waits for them.
#[derive(Debug)]
struct Spawner(Option<JoinHandle<()>>);

impl Drop for Spawner {
    fn drop(&mut self) {
        if let Some(thread) = self.0.take() {
            // It does not panic; if it did, there would be nothing left to do.
            let _ = thread.join();
        }
    }
}

type Start = mpsc::Sender<io::Result<OwnedFd>>;

impl Launcher {
    /// Starts the launcher process: `command` is a program with arguments that runs nothing but [`crate::launcher_main`],
    /// with standard input as its only open file (for `muster`: itself, with the hidden subcommand `__sandbox`).
    pub fn new(command: Vec<OsString>) -> Result<Self, SandboxError> {
        Self::start(command, Keeper::default())
    }

    /// The same, with these control groups instead of those that are found; for operators who give us some elsewhere.
    pub fn with_cgroups(command: Vec<OsString>, cgroups: Cgroups) -> Result<Self, SandboxError> {
        Self::start(command, Keeper::with(cgroups))
    }

    /// The control groups that limit whole trees, or what is missing for that.
    pub fn cgroups(&self) -> &Cgroups {
        self.shared.keeper.cgroups()
    }

    /// How often the limits of whole trees were looked at.
    pub fn watch_counts(&self) -> WatchCounts {
        self.shared.keeper.counts()
    }

    fn start(command: Vec<OsString>, keeper: Keeper) -> Result<Self, SandboxError> {
        let docker = Docker::new(docker::program_of(&command));
        let (starts, requests) = mpsc::channel();
        let thread = std::thread::Builder::new()
            .name("sandbox-spawner".to_owned())
            .spawn(move || spawner(&command, &requests))
            .map_err(SandboxError::launcher("starting its thread"))?;
        let control = start(&starts).map_err(SandboxError::launcher("starting it"))?;
        let control = Mutex::new(Arc::new(control));
        let (starts, hidden) = (Mutex::new(starts), Mutex::default());
        let shared = Shared { starts, control, hidden, keeper, docker, _spawner: Spawner(Some(thread)) };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// Sends launches with [`Backend::Docker`] to the engine at this Unix socket, from the next one on. Without it they go to
    /// the first of the usual ones that is there: `/var/run/docker.sock`, then those of the user, then Podman's.
    pub fn use_engine(&self, socket: impl Into<PathBuf>) {
        self.shared.docker.use_engine(socket.into());
    }

    /// Shows this folder of the host to no program, from the next launch on, whatever a policy says and by whatever name it is
    /// reached: what lies in it is refused, and where a folder that holds it is shown an empty one takes its place. It need not be
    /// there yet. Binds of the caller's own ([`Bind::ours`](crate::Bind::ours)) may lie in it.
    pub fn hide(&self, folder: impl Into<PathBuf>) {
        lock(&self.shared.hidden).push(folder.into());
    }

    /// Runs a program under a policy. When this returns, the sandbox stands complete and the program is running;
    /// on any error nothing runs. Blocks for about two milliseconds, with a container for as long as the engine
    /// takes; may be called from many threads at once.
    pub fn launch(&self, launch: &Launch) -> Result<Sandboxed, SandboxError> {
        self.launch_on(launch, Terminals::default())
    }

    /// The same for a program that a person talks with: terminals in place of some of its pipes.
    pub fn launch_on(&self, launch: &Launch, terminals: Terminals) -> Result<Sandboxed, SandboxError> {
        let Shown { binds, masks } = shown::judge(&launch.policy.filesystem, &lock(&self.shared.hidden))?;
        let mut launch = launch.clone();
        launch.policy.filesystem.binds = binds;
        let launch = &launch;
        if let Backend::Docker { image } = &launch.policy.backend {
            if let Some(place) = masks.first() {
                let place = place.display();
                let what = format!(
                    "{place} would have to be covered in the container, since muster keeps its own there; show other folders"
                );
                return Err(SandboxError::Policy(what));
            }
            return self.shared.docker.launch(launch, image, terminals, &self.shared.keeper);
        }
        let mut spec = Spec::compile(launch)?;
        spec.masks = masks;
        let mut kept = self.shared.keeper.prepare(&launch.policy)?;
        spec.group = kept.group().map(Path::to_owned);
        spec.own_terminal = terminals.own && terminals.stdin.is_some();
        let plumbing = Plumbing::new(terminals).map_err(SandboxError::launcher("making pipes"))?;
        self.hand_over(&plumbing).map_err(SandboxError::launcher("asking it for a sandbox"))?;
        let Plumbing { reports, stdin, stdout, stderr, theirs } = plumbing;
        drop(theirs);
        // A launch that fails early stops reading; its reason is then waiting for us, and says more than our own error.
        let _ = sys::send_all(reports.as_fd(), &spec.encode());
        if !sys::readable(reports.as_fd(), Some(LAUNCH_MS)) {
            return Err(SandboxError::Launcher { what: "waiting for it", source: timed_out() });
        }
        let reply = wire::receive(reports.as_fd()).map_err(SandboxError::launcher("reading its answer"))?;
        let (init, denials, listener) = started(reply, &spec)?;
        let init = Arc::new(init);
        let begun = self.shared.keeper.begin(&mut kept, &launch.policy, &init);
        let tree = Tree::new(init, reports, denials, kept, Holder::Launcher { _shared: Arc::clone(&self.shared) });
        begun.map_err(SandboxError::launcher("watching its limits"))?;
        Ok(Sandboxed { stdin, stdout, stderr, listener, tree })
    }

    /// Gives the launcher its ends of the plumbing; a launcher that has died is replaced once. Whatever else goes wrong (too
    /// many descriptors under way, no memory) is the failure of this launch only: all that run would die with the launcher.
    fn hand_over(&self, plumbing: &Plumbing) -> io::Result<()> {
        let control = Arc::clone(&lock(&self.shared.control));
        match plumbing.send(&control) {
            Err(error) if is_death(&error) => {}
            sent => return sent,
        }
        let mut present = lock(&self.shared.control);
        if Arc::ptr_eq(&control, &present) {
            *present = Arc::new(start(&lock(&self.shared.starts))?);
        }
        plumbing.send(&present)
    }
}

/// Whether a request failed because nobody is there to take it.
fn is_death(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EPIPE | libc::ECONNRESET | libc::ENOTCONN))
}

/// What comes with a launch that succeeded: init's pidfd, the counters of refused calls, the donated listener.
pub(crate) type Donated = (OwnedFd, Denials, Option<TcpListener>);

/// The answer to a launch: what comes with it, or why not.
pub(crate) fn started((reply, fds): (Reply, Vec<OwnedFd>), spec: &Spec) -> Result<Donated, SandboxError> {
    if let Reply::Failed(failure) = reply {
        return Err(failure.into_error(spec));
    }
    let mut fds = fds.into_iter();
    match (reply, fds.next(), fds.next(), fds.next()) {
        (Reply::Started, Some(init), Some(denials), listener) if listener.is_some() == spec.wants_listener() => {
            Ok((init, Denials::new(denials), listener.map(TcpListener::from)))
        }
        _ => Err(SandboxError::Launcher {
            what: "reading its answer",
            source: io::Error::new(io::ErrorKind::InvalidData, "unexpected answer"),
        }),
    }
}

/// The pipes and the socket of one launch, both ends.
pub(crate) struct Plumbing {
    pub reports: OwnedFd,
    pub stdin: OwnedFd,
    pub stdout: OwnedFd,
    pub stderr: OwnedFd,
    /// The other end of each, in the same order.
    pub theirs: [OwnedFd; 4],
}

impl Plumbing {
    pub fn new(terminals: Terminals) -> io::Result<Self> {
        let (reports, their_reports) = sys::socket_pair(sys::Socket::Stream)?;
        let (their_stdin, stdin) = sys::pipe()?;
        let (stdout, their_stdout) = sys::pipe()?;
        let (stderr, their_stderr) = sys::pipe()?;
        let their_stdin = terminals.stdin.unwrap_or(their_stdin);
        let their_stdout = terminals.stdout.unwrap_or(their_stdout);
        let their_stderr = terminals.stderr.unwrap_or(their_stderr);
        let theirs = [their_reports, their_stdin, their_stdout, their_stderr];
        Ok(Self { reports, stdin, stdout, stderr, theirs })
    }

    fn send(&self, control: &OwnedFd) -> io::Result<()> {
        sys::send_with_fds(control.as_fd(), &[0], &self.theirs.each_ref().map(AsFd::as_fd))
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn start(starts: &mpsc::Sender<Start>) -> io::Result<OwnedFd> {
    let (answer, answered) = mpsc::channel();
    let gone = || io::Error::other("the spawner thread is gone");
    starts.send(answer).map_err(|_| gone())?;
    answered.recv().map_err(|_| gone())?
}

/// The spawner thread: starts launcher processes on request, one at a time. When nobody is left the last one's socket is
/// closed, at which it ends with all its sandboxes.
fn spawner(command: &[OsString], requests: &mpsc::Receiver<Start>) {
    let mut present: Option<Child> = None;
    for answer in requests {
        if let Some(mut dead) = present.take() {
            let _ = dead.kill();
            let _ = dead.wait();
        }
        let _ = answer.send(start_process(command).map(|(child, control)| {
            present = Some(child);
            control
        }));
    }
    if let Some(mut last) = present {
        let _ = last.wait();
    }
}

fn start_process(command: &[OsString]) -> io::Result<(Child, OwnedFd)> {
    let (program, args) = command.split_first().ok_or_else(|| io::Error::other("its command is empty"))?;
    let (ours, theirs) = sys::socket_pair(sys::Socket::Packets)?;
    let child = Command::new(program)
        .args(args)
        .env_clear()
        .current_dir("/")
        .stdin(Stdio::from(theirs))
        .stdout(Stdio::null())
        .stderr(Stdio::inherit())
        .spawn()?;
    Ok((child, ours))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_dead_launcher_is_replaced() {
        let (ours, theirs) = sys::socket_pair(sys::Socket::Packets).unwrap();
        let plumbing = Plumbing::new(Terminals::default()).unwrap();
        plumbing.send(&ours).unwrap();
        drop(theirs);
        assert!(is_death(&plumbing.send(&ours).unwrap_err()));
        for errno in [libc::ETOOMANYREFS, libc::EMFILE, libc::ENOMEM, libc::ENOBUFS, libc::EAGAIN, libc::EINTR] {
            assert!(!is_death(&io::Error::from_raw_os_error(errno)), "{errno}");
        }
    }

    #[test]
    fn a_request_that_cannot_be_sent_leaves_the_launcher_alone() {
        // Stays until its standard input is closed, as a launcher does.
        let launcher = Launcher::new(vec!["/bin/cat".into()]).unwrap();
        // No socket: the message is refused, and nobody has died.
        let (pipe, _end) = sys::pipe().unwrap();
        *lock(&launcher.shared.control) = Arc::new(pipe);
        let kept = Arc::as_ptr(&lock(&launcher.shared.control));
        let plumbing = Plumbing::new(Terminals::default()).unwrap();
        let error = launcher.hand_over(&plumbing).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::ENOTSOCK));
        assert!(kept == Arc::as_ptr(&lock(&launcher.shared.control)), "it was replaced");
    }
}
