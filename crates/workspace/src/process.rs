//! A running sandbox, for async code.

use crate::{Error, ErrorKind, Result};
use sandbox::{Denial, Exit, Launch, Launcher, SandboxError, Sandboxed, Terminals, Tree};
use std::{
    io,
    net::TcpListener,
    os::fd::{AsFd, OwnedFd},
    sync::{Arc, Mutex, PoisonError},
};
use tokio::{
    io::{Interest, unix::AsyncFd},
    net::unix::pipe,
};

/// A sandboxed process: its pipes, perhaps its listener, and the control of its life. Take it apart as needed; when the
/// last clone of `control` is dropped, the whole tree is killed.
#[derive(Debug)]
pub struct Process {
    /// Its standard input; dropping it is the end of input.
    pub stdin: pipe::Sender,
    /// Its standard output.
    pub stdout: pipe::Receiver,
    /// Its standard error.
    pub stderr: pipe::Receiver,
    /// What listens on 127.0.0.1:3128 inside, if the process may use the gateway or hosts. Whoever connects to it is this process.
    /// It is blocking; make it non-blocking before giving it to tokio.
    pub listener: Option<TcpListener>,
    /// Waiting and killing.
    pub control: Control,
}

/// Waits for a sandbox and kills it; clones mean the same sandbox.
#[derive(Debug, Clone)]
pub struct Control(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    exit: AsyncFd<OwnedFd>,
    tree: Mutex<Tree>,
}

impl Process {
    /// Starts a sandbox. Must be called on a tokio runtime.
    pub(crate) async fn launch(launcher: &Arc<Launcher>, launch: Launch) -> Result<Self> {
        Self::launch_on(launcher, launch, Terminals::default()).await
    }

    /// Starts a sandbox of a person's own, outside of any mission. Must be called on a tokio runtime.
    ///
    /// Errors: `Sandbox` when the host cannot enforce the policy or the program cannot be executed; nothing was run then.
    pub async fn launch_on(launcher: &Arc<Launcher>, launch: Launch, terminals: Terminals) -> Result<Self> {
        let launcher = Arc::clone(launcher);
        let started = tokio::task::spawn_blocking(move || launcher.launch_on(&launch, terminals)).await;
        let sandboxed = started.map_err(|e| Error::new(ErrorKind::Other, format!("starting a sandbox: {e}")))?;
        Self::adopt(sandboxed.map_err(sandbox_error)?).map_err(|e| Error::io("starting a sandbox", &e))
    }

    fn adopt(sandboxed: Sandboxed) -> io::Result<Self> {
        let Sandboxed { stdin, stdout, stderr, listener, tree } = sandboxed;
        let exit = register(tree.exit_fd().try_clone_to_owned()?)?;
        Ok(Self {
            stdin: pipe::Sender::from_owned_fd(stdin)?,
            stdout: pipe::Receiver::from_owned_fd(stdout)?,
            stderr: pipe::Receiver::from_owned_fd(stderr)?,
            listener,
            control: Control(Arc::new(Shared { exit, tree: Mutex::new(tree) })),
        })
    }
}

#[expect(
    deprecated,
    reason = "unsound only for types whose descriptor can change; the safe-to-name replacement is unsafe to call"
)]
fn register(exit: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    AsyncFd::with_interest(exit, Interest::READABLE)
}

impl Control {
    /// Waits until the whole tree is gone, and says how the program ended. May be called from several tasks.
    pub async fn wait(&self) -> Exit {
        loop {
            let ready = self.0.exit.readable().await;
            let ended = self.0.tree.lock().unwrap_or_else(PoisonError::into_inner).try_wait();
            match (ready, ended) {
                (_, Some(exit)) => return exit,
                (Ok(mut ready), None) => ready.clear_ready(),
                // The runtime is shutting down and nothing more can be learned; the tree goes with us.
                (Err(_), None) => return Exit::Killed,
            }
        }
    }

    /// Kills every process of the sandbox. Returns at once; harmless when it is gone.
    pub fn kill(&self) {
        self.0.tree.lock().unwrap_or_else(PoisonError::into_inner).kill();
    }

    /// Sends a signal (1 to 31) to every process of the sandbox, as a person does with Ctrl-C.
    pub fn signal(&self, signal: u8) {
        self.0.tree.lock().unwrap_or_else(PoisonError::into_inner).signal(signal);
    }

    /// The system calls that were refused so far; may be asked at any time, also after the end.
    pub fn denials(&self) -> Vec<Denial> {
        self.0.tree.lock().unwrap_or_else(PoisonError::into_inner).denials()
    }

    /// The descriptor that becomes readable when the whole tree is gone.
    pub fn exit_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        self.0.exit.get_ref().as_fd()
    }
}

pub(crate) fn sandbox_error(error: SandboxError) -> Error {
    let no_space = match &error {
        SandboxError::Bind { source, .. } | SandboxError::Host { source, .. } => {
            matches!(source.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
        }
        _ => false,
    };
    // Running out of user namespaces is ENOSPC too, and has nothing to do with the disk.
    let kind =
        if no_space && matches!(error, SandboxError::Bind { .. }) { ErrorKind::NoSpace } else { ErrorKind::Sandbox };
    Error::new(kind, error.to_string())
}
