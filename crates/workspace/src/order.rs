//! A command that an agent wants run, in a sandbox of its own that dies with it.
//!
//! For agents that may start no process themselves, and good for every other. The command sees the agent's work folder and
//! nothing else of it: neither its home, with its conversation and its key, nor its processes. It has a home of its own,
//! which is kept from one command to the next, because build tools keep their caches there.

use crate::{
    CheckEnd, Error, ErrorKind, Process, Result, SandboxExtras, Spoken, Workspace,
    layout::{INSIDE_HOME, INSIDE_WORK},
    program,
    watch::Watch,
    workspace::write_home,
};
use sandbox::{Access, Bind, Denial, Launch, Network, Policy, Processes, presets};
use std::{
    ffi::OsString,
    path::{Component, Path, PathBuf},
    time::Duration,
};

/// Commands of one agent at one time; further ones wait for their turn.
pub const COMMANDS_MAX: usize = 4;
/// Most bytes that are kept of the end of each output of a command.
pub const COMMAND_TAIL_BYTES: usize = 16 << 10;
/// How far behind the command's own time-out the sandbox ends it by itself.
const BEHIND: Duration = Duration::from_secs(5);
/// Commands have no terminal and nobody to answer: what asks for one of these would hang.
const ENVIRONMENT: [(&str, &str); 4] =
    [("GIT_PAGER", "cat"), ("GIT_TERMINAL_PROMPT", "0"), ("PAGER", "cat"), ("TERM", "dumb")];

/// A command to be run.
#[derive(Debug, Clone)]
pub struct CommandOrder {
    /// The command line, for `sh -c`.
    pub command: String,
    /// Where it begins: relative to the work folder, without `..`.
    pub cwd: PathBuf,
    /// When it is killed with everything that it has started.
    pub timeout: Duration,
    /// What the agent's role adds to the sandbox. Its preset is for the agent itself; a command has the one of checks. But
    /// where the agent only reads its work folder, so do its commands.
    pub extras: SandboxExtras,
}

/// What came of a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommandRun {
    /// How it ended.
    pub end: CheckEnd,
    /// The last [`COMMAND_TAIL_BYTES`] of its standard output.
    pub stdout_tail: String,
    /// The last [`COMMAND_TAIL_BYTES`] of its standard error.
    pub stderr_tail: String,
    /// How many bytes it printed on standard output in all.
    pub stdout_bytes: u64,
    /// How many bytes it printed on standard error in all.
    pub stderr_bytes: u64,
    /// How long it ran, in milliseconds, without the time that it waited for its turn.
    pub ms: u64,
    /// What of the sandbox is likely to be behind a failure, a sentence each; empty after a success.
    pub hints: Vec<String>,
}

impl Workspace {
    /// Runs a command to its end. `said` is given what it prints, as it comes. `stop` ends it early, and so does dropping the
    /// future; when this returns, every process that the command has started is gone.
    ///
    /// At most [`COMMANDS_MAX`] commands of a workspace run at one time.
    ///
    /// Errors are about commands that were not run: `Invalid` for a folder outside of the work folder, `Sandbox` when the
    /// host cannot enforce the policy or the folder is not there. A command that fails is not an error.
    pub async fn run_command(
        &self,
        order: &CommandOrder,
        stop: impl Future<Output = ()>,
        said: &mut (dyn FnMut(Spoken<'_>) + Send),
    ) -> Result<CommandRun> {
        let launch = self.command_launch(order)?;
        let mut stop = std::pin::pin!(stop);
        let _turn = tokio::select! {
            turn = self.commands.acquire() => {
                turn.map_err(|_| Error::new(ErrorKind::Other, "no more commands are run"))?
            }
            () = &mut stop => return Ok(CommandRun::never()),
        };
        let Process { stdin, stdout, stderr, control, .. } = Process::launch(&self.launcher, launch).await?;
        drop(stdin);
        let watch = Watch { stdout, stderr, control, timeout: order.timeout, tail_bytes: COMMAND_TAIL_BYTES };
        let watched = watch.follow(stop, said).await;
        let (stdout_tail, stderr_tail) = (watched.stdout.text(), watched.stderr.text());
        Ok(CommandRun {
            end: watched.end,
            hints: hints(watched.end, &watched.denials, &[&stdout_tail, &stderr_tail]),
            stdout_tail,
            stderr_tail,
            stdout_bytes: watched.stdout.total(),
            stderr_bytes: watched.stderr.total(),
            ms: watched.ms,
        })
    }

    fn command_launch(&self, order: &CommandOrder) -> Result<Launch> {
        let cwd = inside(&order.cwd)?;
        let policy = self.command_policy(order)?;
        let args: [OsString; 2] = ["-c".into(), (&order.command).into()];
        Ok(Launch { policy, program: "/bin/sh".into(), args: args.into(), cwd })
    }

    fn command_policy(&self, order: &CommandOrder) -> Result<Policy> {
        let dirs = self.layout.agent(&self.agent);
        let home = dirs.command_home();
        if !home.is_dir() {
            write_home(&home, &self.agent)?;
        }
        let mut policy = presets::check();
        let work = if order.extras.work_access().writes() { Access::WriteExecute } else { Access::ReadExecute };
        policy.filesystem.binds.push(Bind { access: work, ..Bind::write_execute(dirs.work(), INSIDE_WORK) }.ours());
        policy.filesystem.binds.push(Bind::write_execute(home, INSIDE_HOME).ours());
        if self.repository.is_some() {
            policy.filesystem.binds.push(self.layout.hub_bind());
        }
        policy.env.extend(ENVIRONMENT.map(|(name, value)| (name.to_owned(), value.to_owned())));
        order.extras.apply(&mut policy);
        // What a role says of processes, system calls and the network is about its agents, not about what is run for them.
        policy.processes = Processes::Tree;
        policy.allowed_syscalls.clear();
        policy.network = Network::None;
        policy.env.insert("HOME".to_owned(), INSIDE_HOME.to_owned());
        policy.limits.wall_ms = Some(program::millis(order.timeout + BEHIND));
        Ok(policy)
    }
}

impl CommandRun {
    /// One that was stopped before its turn came.
    fn never() -> Self {
        Self {
            end: CheckEnd::Stopped,
            stdout_tail: String::new(),
            stderr_tail: String::new(),
            stdout_bytes: 0,
            stderr_bytes: 0,
            ms: 0,
            hints: Vec::new(),
        }
    }
}

/// The folder of a command inside. Links in it lead nowhere else than they do for the command itself.
fn inside(cwd: &Path) -> Result<PathBuf> {
    let is_below = cwd.components().all(|part| matches!(part, Component::Normal(_) | Component::CurDir));
    if is_below {
        return Ok(Path::new(INSIDE_WORK).join(cwd));
    }
    Err(Error::new(ErrorKind::Invalid, format!("{} is not a folder below the work folder", cwd.display()))
        .hint("Give a path relative to it, without `..`."))
}

/// Words of programs that a wall of the sandbox is often behind, and what to say of it.
const SYMPTOMS: [(&[&str], &str); 3] = [
    (
        &["Could not resolve host", "Temporary failure in name resolution", "Name or service not known", "EAI_AGAIN"],
        "Commands have no network, only loopback: what is needed must be in the work folder or on the system.",
    ),
    (
        &["Network is unreachable", "ENETUNREACH"],
        "Commands have no network, only loopback: what is needed must be in the work folder or on the system.",
    ),
    (
        &["Read-only file system", "EROFS"],
        "Only the work folder, unless the role only reads it, the home folder and /tmp can be written.",
    ),
];

/// Refused system calls that are named.
const DENIALS_MAX: usize = 8;

fn hints(end: CheckEnd, denials: &[Denial], outputs: &[&str]) -> Vec<String> {
    let mut hints: Vec<String> = Vec::new();
    if end == CheckEnd::Exit(0) {
        return hints;
    }
    for (words, hint) in SYMPTOMS {
        let seen = words.iter().any(|word| outputs.iter().any(|output| output.contains(word)));
        if seen && !hints.iter().any(|told| told == hint) {
            hints.push(hint.to_owned());
        }
    }
    hints.extend(denials.iter().take(DENIALS_MAX).map(|denial| format!("The sandbox {denial}.")));
    hints
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_below_the_work_folder() {
        assert_eq!(inside(Path::new("")).unwrap(), Path::new("/workspace/"));
        assert_eq!(inside(Path::new("./a/b")).unwrap(), Path::new("/workspace/a/b"));
        for bad in ["/etc", "..", "a/../../b"] {
            assert_eq!(inside(Path::new(bad)).unwrap_err().kind, ErrorKind::Invalid, "{bad}");
        }
    }

    #[test]
    fn a_failure_that_looks_like_a_wall_is_explained_once() {
        let told = hints(CheckEnd::Exit(6), &[], &["", "curl: (6) Could not resolve host: a\nNetwork is unreachable"]);
        assert_eq!(told.len(), 1);
        assert!(told[0].contains("no network"));
        let denial = Denial { syscall: "ptrace", count: 2, allowable: false };
        let told = hints(CheckEnd::Exit(1), &[denial], &["", ""]);
        assert_eq!(told, ["The sandbox refused 2 times: `ptrace` (system call), which is never allowed in a sandbox."]);
        assert!(hints(CheckEnd::Exit(0), &[], &["Read-only file system", ""]).is_empty());
        assert!(hints(CheckEnd::Exit(1), &[], &["assertion failed", ""]).is_empty());
    }
}
