//! Short scripts of ours in a sandbox: the only way in which git ever touches files that an agent can write.
//!
//! One script does everything that one step needs, because starting a sandbox costs more than a git process in it. The
//! script's text is a constant; what varies comes as arguments and is never parsed as shell.

use crate::{
    Error, ErrorKind, Process, Result,
    git::{self, ENVIRONMENT},
    layout::{INSIDE_WORK, Layout},
    repository::Repository,
};
use sandbox::{Bind, Exit, Launch, Limit, presets};
use std::{ffi::OsString, path::PathBuf, time::Duration};
use tokio::{io::AsyncWriteExt, net::unix::pipe, sync::OwnedSemaphorePermit};

/// Wall limit of one script: a check-out or a snapshot of a very large tree.
const WALL_MS: u64 = 15 * 60 * 1000;
/// How long a script whose output is refused may take to end by itself: its own failure is often the reason.
const GRACE: Duration = Duration::from_secs(2);
/// Bytes of standard output kept from a script that is not read as a stream.
const OUTPUT_BYTES_MAX: usize = 1 << 20;

/// One script to be run in a fresh sandbox.
pub(crate) struct Tool {
    what: &'static str,
    launch: Launch,
}

/// A script at work. Dropping it kills it and frees its place.
pub(crate) struct Running {
    what: &'static str,
    pub process: Process,
    permit: OwnedSemaphorePermit,
}

impl Tool {
    /// A script that starts in the agent's tree and sees the hub; `what` names it in errors.
    pub fn new(what: &'static str, script: &str, layout: &Layout, work: PathBuf) -> Self {
        let mut policy = presets::tool();
        policy.limits.wall_ms = Some(WALL_MS);
        policy.filesystem.binds.push(layout.hub_bind());
        policy.filesystem.binds.push(Bind::write_execute(work, INSIDE_WORK).ours());
        policy.env.extend(ENVIRONMENT.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        let args: [OsString; 3] = ["-c".into(), script.into(), "sh".into()];
        Self { what, launch: Launch { policy, program: "/bin/sh".into(), args: args.into(), cwd: INSIDE_WORK.into() } }
    }

    pub fn bind(mut self, bind: Bind) -> Self {
        self.launch.policy.filesystem.binds.push(bind);
        self
    }

    pub fn wall_ms(mut self, limit: u64) -> Self {
        self.launch.policy.limits.wall_ms = Some(limit);
        self
    }

    pub fn env(mut self, name: &str, value: impl Into<String>) -> Self {
        self.launch.policy.env.insert(name.to_owned(), value.into());
        self
    }

    pub fn arg(mut self, arg: impl Into<OsString>) -> Self {
        self.launch.args.push(arg.into());
        self
    }

    /// Starts the script when one of the places for tools is free.
    pub async fn start(self, repository: &Repository) -> Result<Running> {
        let permit = std::sync::Arc::clone(&repository.tools).acquire_owned().await;
        let permit = permit.map_err(|_| Error::new(ErrorKind::Other, "no more tools are started"))?;
        let process = Process::launch(&repository.launcher, self.launch).await?;
        Ok(Running { what: self.what, process, permit })
    }

    /// Runs the script to its end, with `input` on its standard input; the answer is its standard output.
    pub async fn run(self, repository: &Repository, input: &[u8]) -> Result<Vec<u8>> {
        let what = self.what;
        let read = async |mut stdout: pipe::Receiver| git::read_up_to(Some(&mut stdout), OUTPUT_BYTES_MAX).await;
        let (answer, _) = self.start(repository).await?.converse(input, read).await?;
        answer.ok_or_else(|| Error::new(ErrorKind::TooLarge, format!("{what}: too much output")))
    }
}

impl Running {
    /// Feeds `input`, lets `read` take the output, and waits for the end. The answer is what `read` made of it, and what
    /// the script said on standard error. When the script failed, its failure is the error, not what `read` thought.
    pub async fn converse<T>(
        self,
        input: &[u8],
        read: impl AsyncFnOnce(pipe::Receiver) -> Result<T>,
    ) -> Result<(T, String)> {
        let Process { mut stdin, stdout, stderr, control, .. } = self.process;
        let feed = async move {
            // A script that does not want its input says why itself.
            let _ = stdin.write_all(input).await;
        };
        let take = async {
            let taken = read(stdout).await;
            if taken.is_err() && tokio::time::timeout(GRACE, control.wait()).await.is_err() {
                control.kill();
            }
            taken
        };
        let ((), taken, stderr) = tokio::join!(feed, take, git::read_and_drop_rest(Some(stderr)));
        let (exit, stderr) = (control.wait().await, stderr?);
        drop(self.permit);
        match (taken, exit) {
            // It was stopped, or could not write any more, because of what `read` found.
            (Err(error), Exit::Killed | Exit::Signal(13) | Exit::Code(141)) => Err(error),
            (taken, exit) => ended_well(self.what, exit, &stderr).and(taken).map(|taken| (taken, stderr)),
        }
    }
}

pub(crate) fn ended_well(what: &str, exit: Exit, stderr: &str) -> Result<()> {
    let limit = |words: &str| Error::new(ErrorKind::TimedOut, format!("{what}: {words}"));
    match exit {
        Exit::Code(0) => Ok(()),
        Exit::Code(_) => Err(Error::git(what, stderr)),
        Exit::Limit(Limit::Wall | Limit::Cpu) => Err(limit("stopped, it took too long")),
        Exit::Limit(Limit::FileSize) => {
            Err(Error::new(ErrorKind::TooLarge, format!("{what}: a file is larger than the sandbox allows")))
        }
        Exit::Limit(Limit::Memory) => {
            Err(Error::new(ErrorKind::TooLarge, format!("{what}: it used more memory than the sandbox allows")))
        }
        Exit::Limit(Limit::Disk) => {
            Err(Error::new(ErrorKind::TooLarge, format!("{what}: its files are larger than the sandbox allows")))
        }
        Exit::Signal(signal) => Err(Error::new(ErrorKind::Other, format!("{what}: ended by signal {signal}"))),
        Exit::Killed => Err(Error::new(ErrorKind::Other, format!("{what}: killed"))),
    }
}
