//! Running an agent: one process in the agent's own sandbox. There is no other way to run one.

use crate::{
    Process, Result, Workspace,
    layout::{INSIDE_HOME, INSIDE_WORK},
};
use sandbox::{Bind, Launch, Network, Policy, Preset};
use std::{collections::BTreeMap, ffi::OsString, path::PathBuf};

/// A program to be run in a workspace.
#[derive(Debug, Clone, Default)]
pub struct Program {
    /// The program: an absolute path on the host, shown inside at the same place, or a bare name that is looked up inside.
    pub path: PathBuf,
    /// Its arguments, without its name.
    pub args: Vec<OsString>,
    /// Its environment, beyond `HOME`, `PATH`, `LANG`, `SHELL` and `USER`; it wins over all of them but `HOME`.
    pub env: BTreeMap<String, String>,
    /// It gets a listener on 127.0.0.1:3128 inside, handed to us. Otherwise it has loopback and nothing else.
    pub gateway: bool,
    /// What the role's configuration adds.
    pub extras: SandboxExtras,
}

/// What the configuration may add to a sandbox.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SandboxExtras {
    /// The policy that everything else is added to; a check is always run under its own.
    pub preset: Preset,
    /// Further host files and directories, shown inside at the same places, to read and execute.
    pub read: Vec<PathBuf>,
    /// Further environment variables.
    pub env: BTreeMap<String, String>,
    /// Limits in place of the usual ones.
    pub limits: LimitExtras,
}

/// Limits in place of the usual ones; `None` keeps the usual one. See [`sandbox::Limits`] for what each counts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LimitExtras {
    /// Private writable memory of each process, in bytes.
    pub memory_bytes: Option<u64>,
    /// Processes and threads at one time.
    pub processes: Option<u64>,
    /// Open files of each process.
    pub open_files: Option<u64>,
    /// Bytes of any one file.
    pub file_bytes: Option<u64>,
    /// Seconds of processor time of each process.
    pub cpu_s: Option<u64>,
    /// Milliseconds until the whole tree is killed.
    pub wall_ms: Option<u64>,
    /// Bytes in `/tmp` and `/dev/shm` together.
    pub tmp_bytes: Option<u64>,
    /// Bytes of memory of the whole tree together.
    pub tree_memory_bytes: Option<u64>,
    /// Share of processor time of the whole tree together, in percent of one processor.
    pub cpu_percent: Option<u32>,
    /// Bytes that the writable binds may hold together.
    pub disk_bytes: Option<u64>,
}

impl SandboxExtras {
    pub(crate) fn apply(&self, policy: &mut Policy) {
        for path in &self.read {
            show(policy, path.clone());
        }
        policy.env.extend(self.env.clone());
        let set = |limit: &mut u64, wish: Option<u64>| *limit = wish.unwrap_or(*limit);
        let (limits, wish) = (&mut policy.limits, &self.limits);
        set(&mut limits.memory_bytes, wish.memory_bytes);
        set(&mut limits.processes, wish.processes);
        set(&mut limits.open_files, wish.open_files);
        set(&mut limits.file_bytes, wish.file_bytes);
        set(&mut policy.filesystem.tmp_bytes, wish.tmp_bytes);
        limits.cpu_s = wish.cpu_s.or(limits.cpu_s);
        limits.wall_ms = wish.wall_ms.or(limits.wall_ms);
        limits.tree_memory_bytes = wish.tree_memory_bytes.or(limits.tree_memory_bytes);
        limits.cpu_percent = wish.cpu_percent.or(limits.cpu_percent);
        limits.disk_bytes = wish.disk_bytes.or(limits.disk_bytes);
    }
}

/// Shows a host path at its own place, unless it is shown already.
fn show(policy: &mut Policy, path: PathBuf) {
    let shown = policy
        .filesystem
        .binds
        .iter()
        .any(|bind| bind.access.executes() && bind.host == bind.inside && path.starts_with(&bind.inside));
    if !shown {
        policy.filesystem.binds.push(Bind::read_execute(path.clone(), path));
    }
}

impl Workspace {
    /// Starts a program in the workspace, in a sandbox of its own, with the agent's files at
    /// [`INSIDE_WORK`](crate::INSIDE_WORK) and its home at [`INSIDE_HOME`](crate::INSIDE_HOME). When this returns, it runs.
    ///
    /// Errors: `Sandbox` when the host cannot enforce the policy or the program cannot be executed; nothing was run then.
    pub async fn spawn(&self, program: Program) -> Result<Process> {
        let Program { path, args, env, gateway, extras } = program;
        let mut policy = extras.preset.policy();
        policy.network = if gateway { Network::Gateway } else { Network::None };
        let dirs = self.layout.agent(&self.agent);
        let work = Bind { access: extras.preset.work_access(), ..Bind::write(dirs.work(), INSIDE_WORK) };
        policy.filesystem.binds.push(work);
        let home = Bind { access: extras.preset.home_access(), ..Bind::write(dirs.home(), INSIDE_HOME) };
        policy.filesystem.binds.push(home);
        if self.repository.is_some() {
            policy.filesystem.binds.push(self.layout.hub_bind());
        }
        if path.is_absolute() {
            show(&mut policy, path.clone());
        }
        extras.apply(&mut policy);
        policy.env.extend(env);
        policy.env.insert("HOME".to_owned(), INSIDE_HOME.to_owned());
        Process::launch(&self.launcher, Launch { policy, program: path, args, cwd: INSIDE_WORK.into() }).await
    }
}
