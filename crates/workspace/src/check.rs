//! Verifies a candidate ourselves: the acceptance checks, in a clean check-out of exactly that commit, in a fresh sandbox.
//!
//! The agent's own claim that its tests pass counts for nothing here; nothing of its workspace is in the check-out, neither
//! uncommitted files nor caches. The check-out is made inside the sandbox and removed afterwards.

use crate::{
    CommitId, Control, Error, Process, Result, SandboxExtras,
    git::ENVIRONMENT,
    layout::{self, INSIDE_WORK},
    repository::Repository,
};
use sandbox::{Bind, Exit, Launch, Limit, Network, Policy, presets};
use std::{
    collections::VecDeque,
    ffi::OsString,
    path::Path,
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
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

/// How an acceptance check ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CheckEnd {
    /// With this exit code; 0 is passed.
    Exit(i32),
    /// By this signal.
    Signal(i32),
    /// It was stopped after its time-out.
    TimedOut,
    /// It used up its processor time.
    CpuLimit,
    /// It wrote a file that is too large.
    FileSizeLimit,
    /// All its processes together used too much memory.
    MemoryLimit,
    /// The check-out grew too large.
    DiskLimit,
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
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let mut runs = Vec::with_capacity(commands.len());
        for command in commands {
            let dir = self.layout.checks().join(NEXT.fetch_add(1, Ordering::Relaxed).to_string());
            layout::remove_tree(&dir)?;
            self.write_git(&dir.join(".git"), "none", "")?;
            let _removed_at_the_end = Removed(&dir);
            runs.push(self.run_check(&dir, candidate.as_str(), command, extras).await?);
        }
        Ok(runs)
    }

    async fn run_check(
        &self,
        dir: &Path,
        checkout: &str,
        command: &CheckCommand,
        extras: &SandboxExtras,
    ) -> Result<CheckRun> {
        let policy = self.check_policy(dir, command, extras);
        let ours: Vec<&str> = our_variables().map(|(name, _)| name).collect();
        let args = ["-c", SCRIPT, "sh", checkout, &command.run, &ours.join(" ")].map(OsString::from);
        let launch = Launch { policy, program: "/bin/sh".into(), args: args.into(), cwd: INSIDE_WORK.into() };
        let Process { stdin, mut stdout, stderr, control, .. } = Process::launch(&self.launcher, launch).await?;
        drop(stdin);
        if !begins(&mut stdout).await {
            control.kill();
            let said = crate::git::read_and_drop_rest(Some(stderr)).await?;
            return Err(Error::git("checking out the candidate", &said));
        }
        let started = Instant::now();
        let mut tail = Tail::default();
        let end = watch(&mut stdout, &mut tail, &control, command.timeout).await;
        let ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
        Ok(CheckRun { command: command.run.clone(), end, output_tail: tail.text(), output_bytes: tail.total, ms })
    }

    fn check_policy(&self, dir: &Path, command: &CheckCommand, extras: &SandboxExtras) -> Policy {
        let mut policy = presets::check();
        policy.filesystem.binds.push(self.layout.hub_bind());
        policy.filesystem.binds.push(Bind::write_execute(dir, INSIDE_WORK));
        policy.env.extend(our_variables().map(|(name, value)| (name.to_owned(), value.to_owned())));
        extras.apply(&mut policy);
        if let Some(network @ Network::Hosts(_)) = &extras.network {
            policy.network = network.clone();
        }
        // Behind our own time-out, which counts from the end of the check-out.
        let behind = CHECKOUT_TIMEOUT + command.timeout;
        policy.limits.wall_ms = Some(u64::try_from(behind.as_millis()).unwrap_or(u64::MAX));
        policy
    }
}

/// What our git needs for the check-out and the check must not see.
fn our_variables() -> impl Iterator<Item = (&'static str, &'static str)> {
    ENVIRONMENT.iter().copied().filter(|(name, _)| name.starts_with("GIT_"))
}

/// Reads the word that ends the check-out.
async fn begins(stdout: &mut pipe::Receiver) -> bool {
    let mut word = [0; READY.len()];
    let read = tokio::time::timeout(CHECKOUT_TIMEOUT, stdout.read_exact(&mut word)).await;
    matches!(read, Ok(Ok(_))) && word == *READY
}

/// Reads the output until the program is gone, and says how it went.
async fn watch(stdout: &mut pipe::Receiver, tail: &mut Tail, control: &Control, timeout: Duration) -> CheckEnd {
    let mut late = false;
    let exit = {
        let reading = async {
            let mut chunk = vec![0; 16 << 10];
            while let Ok(count @ 1..) = stdout.read(&mut chunk).await {
                tail.push(&chunk[..count]);
            }
        };
        let ended = async {
            // The pipe may be closed long before the program ends, and ends with the tree at the latest.
            let ((), exit) = tokio::join!(reading, control.wait());
            exit
        };
        tokio::pin!(ended);
        match tokio::time::timeout(timeout, &mut ended).await {
            Ok(exit) => exit,
            Err(_) => {
                late = true;
                control.kill();
                ended.await
            }
        }
    };
    match exit {
        _ if late => CheckEnd::TimedOut,
        Exit::Code(code) => CheckEnd::Exit(code),
        Exit::Signal(signal) => CheckEnd::Signal(signal),
        Exit::Killed => CheckEnd::Signal(9),
        Exit::Limit(Limit::Wall) => CheckEnd::TimedOut,
        Exit::Limit(Limit::Cpu) => CheckEnd::CpuLimit,
        Exit::Limit(Limit::FileSize) => CheckEnd::FileSizeLimit,
        Exit::Limit(Limit::Memory) => CheckEnd::MemoryLimit,
        Exit::Limit(Limit::Disk) => CheckEnd::DiskLimit,
    }
}

/// The end of a stream.
#[derive(Default)]
struct Tail {
    kept: VecDeque<u8>,
    total: u64,
}

impl Tail {
    fn push(&mut self, bytes: &[u8]) {
        self.total += bytes.len() as u64;
        self.kept.extend(bytes);
        let surplus = self.kept.len().saturating_sub(CHECK_TAIL_BYTES);
        self.kept.drain(..surplus);
    }

    /// As text that starts with a whole character and, when something is missing, says so.
    fn text(&self) -> String {
        let bytes: Vec<u8> = self.kept.iter().copied().collect();
        let whole = bytes.iter().position(|byte| byte & 0xC0 != 0x80).unwrap_or(0);
        let text = String::from_utf8_lossy(&bytes[whole..]);
        let missing = self.total - (bytes.len() - whole) as u64;
        if missing == 0 { text.into_owned() } else { format!("[{missing} bytes left out]\n{text}") }
    }
}

/// Removes the check-out, also when the caller gave up.
struct Removed<'a>(&'a Path);

impl Drop for Removed<'_> {
    fn drop(&mut self) {
        // What cannot be removed now is removed when its number comes again.
        let _ = layout::remove_tree(self.0);
    }
}
