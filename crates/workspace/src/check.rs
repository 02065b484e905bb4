//! Verifies a candidate ourselves: the acceptance checks, in a clean check-out of exactly that commit, in a fresh sandbox.
//!
//! The agent's own claim that its tests pass counts for nothing here; nothing of its workspace is in the check-out, neither
//! uncommitted files nor caches. The check-out is made inside the sandbox and removed afterwards.

use crate::{
    CheckEnd, CommitId, Error, ErrorKind, Process, Result, SandboxExtras, Spoken,
    git::ENVIRONMENT,
    layout::{self, INSIDE_WORK},
    program,
    repository::Repository,
    watch::Watch,
};
use sandbox::{Bind, GATEWAY, Launch, Network, Policy, egress, presets};
use std::{
    ffi::OsString,
    net::TcpListener,
    path::Path,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};
use tokio::{io::AsyncReadExt, net::unix::pipe};

/// Most bytes of a check's output that are kept, from its end.
pub const CHECK_TAIL_BYTES: usize = 32 << 10;
/// Wall limit of the check-out itself.
const CHECKOUT_TIMEOUT: Duration = Duration::from_secs(15 * 60);
/// Says that the check-out stands and the check begins; nothing of the candidate has run before it is written.
const READY: &[u8] = b"ready\n";

/// $1 commit; $2 the command; $3 the variables that are for our git alone.
const SCRIPT: &str = r#"
git -c core.fsync=none checkout -q -f --detach "$1" || exit 1
unset $3
echo ready
exec /bin/sh -c "$2" 2>&1
"#;

/// One acceptance check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckCommand {
    /// What is run by `sh -c` in the root of the check-out.
    pub run: String,
    /// When it is stopped and counts as failed.
    pub timeout: Duration,
}

/// What came of one acceptance check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckRun {
    /// What was run.
    pub command: String,
    /// How it ended.
    pub end: CheckEnd,
    /// The last [`CHECK_TAIL_BYTES`] of its standard output and standard error, as they came.
    pub output_tail: String,
    /// How many bytes it printed in all.
    pub output_bytes: u64,
    /// How long it ran, in milliseconds, without the check-out.
    pub ms: u64,
}

impl CheckRun {
    /// Whether the check passed.
    pub fn passed(&self) -> bool {
        self.end == CheckEnd::Exit(0)
    }
}

impl Repository {
    /// Runs `commands` one after the other, each in a clean check-out of `candidate` and a sandbox of its own without a
    /// network, and returns an entry for each, in order. `candidate` must be in the hub. A check runs the agent's code
    /// (a build script is enough), which could rewrite what the next one tests: so they share no file.
    ///
    /// Errors are ours (`Missing`, `NoSpace`, `Sandbox`): a check that fails is not an error.
    pub async fn check(
        &self,
        candidate: &CommitId,
        commands: &[CheckCommand],
        extras: &SandboxExtras,
    ) -> Result<Vec<CheckRun>> {
        let mut runs = Vec::with_capacity(commands.len());
        for command in commands {
            runs.push(self.check_aloud(candidate, command, extras, &mut |_| {}).await?);
        }
        Ok(runs)
    }

    /// One of them. `said` is given what it prints, as it comes; what it says on standard error comes as standard output.
    ///
    /// Errors: as [`check`](Self::check).
    pub async fn check_aloud(
        &self,
        candidate: &CommitId,
        command: &CheckCommand,
        extras: &SandboxExtras,
        said: &mut (dyn FnMut(Spoken<'_>) + Send),
    ) -> Result<CheckRun> {
        let run = self.check_once(candidate, command, extras, said).await?;
        // Somebody may have killed it from outside, and that would be no fault of what is checked. What kills itself does so again.
        if killed(run.end) { self.check_once(candidate, command, extras, said).await } else { Ok(run) }
    }

    async fn check_once(
        &self,
        candidate: &CommitId,
        command: &CheckCommand,
        extras: &SandboxExtras,
        said: &mut (dyn FnMut(Spoken<'_>) + Send),
    ) -> Result<CheckRun> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let dir = self.layout.checks().join(NEXT.fetch_add(1, Ordering::Relaxed).to_string());
        layout::remove_tree(&dir)?;
        self.write_git(&dir.join(".git"), "none", "")?;
        let _removed_at_the_end = Removed(&dir);
        let run = self.run_check(&dir, candidate.as_str(), command, extras, said).await?;
        match run.end {
            // Nobody here stops a check: its sandbox or the launcher of sandboxes was killed.
            CheckEnd::Stopped => {
                let what = format!("the sandbox of the check `{}` was killed from outside", command.run);
                Err(Error::new(ErrorKind::Sandbox, what))
            }
            _ => Ok(run),
        }
    }

    async fn run_check(
        &self,
        dir: &Path,
        checkout: &str,
        command: &CheckCommand,
        extras: &SandboxExtras,
        said: &mut (dyn FnMut(Spoken<'_>) + Send),
    ) -> Result<CheckRun> {
        let policy = self.check_policy(dir, command, extras);
        let ours: Vec<&str> = our_variables().map(|(name, _)| name).collect();
        let args = ["-c", SCRIPT, "sh", checkout, &command.run, &ours.join(" ")].map(OsString::from);
        let network = policy.network.clone();
        let launch = Launch { policy, program: "/bin/sh".into(), args: args.into(), cwd: INSIDE_WORK.into() };
        let Process { stdin, mut stdout, stderr, control, listener } = Process::launch(&self.launcher, launch).await?;
        let _way_out = way_out(listener, network)?;
        drop(stdin);
        if !begins(&mut stdout).await {
            control.kill();
            let said = crate::git::read_and_drop_rest(Some(stderr)).await?;
            return Err(Error::git("checking out the candidate", &said));
        }
        let watch = Watch { stdout, stderr, control, timeout: command.timeout, tail_bytes: CHECK_TAIL_BYTES };
        let watched = watch.follow(std::future::pending(), said).await;
        Ok(CheckRun {
            command: command.run.clone(),
            end: watched.end,
            output_tail: watched.stdout.text(),
            output_bytes: watched.stdout.total(),
            ms: watched.ms,
        })
    }

    fn check_policy(&self, dir: &Path, command: &CheckCommand, extras: &SandboxExtras) -> Policy {
        let mut policy = presets::check();
        policy.filesystem.binds.push(self.layout.hub_bind());
        policy.filesystem.binds.push(Bind::write_execute(dir, INSIDE_WORK).ours());
        policy.env.extend(our_variables().map(|(name, value)| (name.to_owned(), value.to_owned())));
        extras.apply(&mut policy);
        if let Some(network @ Network::Hosts(_)) = &extras.network {
            policy.network = network.clone();
            policy.env.extend(egress::proxy_variables(GATEWAY));
        }
        // Behind our own time-out, which counts from the end of the check-out.
        let behind = CHECKOUT_TIMEOUT + command.timeout;
        policy.limits.wall_ms = Some(program::millis(behind));
        policy
    }
}

/// Serves the hosts that a check may reach, until it is dropped. Refusals are answered inside and told nobody.
fn way_out(listener: Option<TcpListener>, network: Network) -> Result<Option<egress::Serving>> {
    let (Some(listener), Network::Hosts(rules)) = (listener, network) else { return Ok(None) };
    let proxy = egress::Proxy::new(egress::HostRules::new(rules), |_| {});
    let serving = egress::serve(&tokio::runtime::Handle::current(), listener, proxy);
    serving.map(Some).map_err(|error| Error::io("serving the hosts of a check", &error))
}

/// What our git needs for the check-out and the check must not see.
fn our_variables() -> impl Iterator<Item = (&'static str, &'static str)> {
    ENVIRONMENT.iter().copied().filter(|(name, _)| name.starts_with("GIT_"))
}

/// Whether a signal from somebody who wants an end (SIGHUP, SIGINT, SIGKILL, SIGTERM) ended the check or, as shells tell it, a program in it.
fn killed(end: CheckEnd) -> bool {
    let signal = match end {
        CheckEnd::Signal(signal) => signal,
        CheckEnd::Exit(code) => code - 128,
        _ => return false,
    };
    matches!(signal, 1 | 2 | 9 | 15)
}

/// Reads the word that ends the check-out.
async fn begins(stdout: &mut pipe::Receiver) -> bool {
    let mut word = [0; READY.len()];
    let read = tokio::time::timeout(CHECKOUT_TIMEOUT, stdout.read_exact(&mut word)).await;
    matches!(read, Ok(Ok(_))) && word == *READY
}

/// Removes the check-out, also when the caller gave up.
struct Removed<'a>(&'a Path);

impl Drop for Removed<'_> {
    fn drop(&mut self) {
        // What cannot be removed now is removed when its number comes again.
        let _ = layout::remove_tree(self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_killed_is_told_from_what_failed() {
        let ends =
            [CheckEnd::Signal(9), CheckEnd::Signal(15), CheckEnd::Exit(137), CheckEnd::Exit(143), CheckEnd::Exit(129)];
        assert!(ends.into_iter().all(killed));
        let failed =
            [CheckEnd::Exit(0), CheckEnd::Exit(1), CheckEnd::Exit(127), CheckEnd::Signal(11), CheckEnd::Exit(139)];
        let ours = [CheckEnd::TimedOut, CheckEnd::MemoryLimit, CheckEnd::Stopped];
        assert!(!failed.into_iter().chain(ours).any(killed));
    }
}
