//! Running an agent: one process in the agent's own sandbox. There is no other way to run one.

use crate::{
    Process, Result, Workspace,
    layout::{INSIDE_HOME, INSIDE_WORK},
};
use sandbox::{Access, Backend, Bind, GATEWAY, Identity, Launch, Layer, Network, Policy, Preset, Processes, egress};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, ffi::OsString, path::PathBuf, time::Duration};

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

/// What the configuration may change of a sandbox.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SandboxExtras {
    /// The policy that everything else changes; a check is always run under its own.
    pub preset: Preset,
    /// What may be done with the place where work is done, if not what the preset says.
    pub work: Option<Access>,
    /// Further host files and directories, shown inside at the same places, to read and execute.
    pub read: Vec<PathBuf>,
    /// Further host files and directories, wherever they appear inside.
    pub binds: Vec<Bind>,
    /// What may be connected to, beside the gateway that an agent needs.
    pub network: Option<Network>,
    /// Names and groups of system calls; empty keeps those of the preset.
    pub allowed_syscalls: Vec<String>,
    /// Whether it may start others.
    pub processes: Option<Processes>,
    /// Further environment variables.
    pub env: BTreeMap<String, String>,
    /// Limits in place of the usual ones.
    pub limits: LimitExtras,
    /// Who it is inside.
    pub identity: Option<Identity>,
    /// What enforces the policy.
    pub backend: Backend,
    /// Layers that may be missing on this host.
    pub allow_degraded: Vec<Layer>,
}

/// Limits in place of the usual ones; `None` keeps the usual one. See [`sandbox::Limits`] for what each counts.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct LimitExtras {
    /// Private writable memory of each process, in bytes.
    pub memory_bytes: Option<u64>,
    /// Memory of the whole tree, in bytes.
    pub tree_memory_bytes: Option<u64>,
    /// Processes and threads at one time.
    pub processes: Option<u64>,
    /// Open files of each process.
    pub open_files: Option<u64>,
    /// Bytes of any one file.
    pub file_bytes: Option<u64>,
    /// Bytes in all writable binds together.
    pub disk_bytes: Option<u64>,
    /// Seconds of processor time of each process.
    pub cpu_s: Option<u64>,
    /// Share of processor time of the whole tree, in percent of one processor.
    pub cpu_percent: Option<u32>,
    /// Milliseconds until the whole tree is killed.
    pub wall_ms: Option<u64>,
    /// Bytes in `/tmp` and `/dev/shm` together.
    pub tmp_bytes: Option<u64>,
}

impl SandboxExtras {
    /// What may be done with the place where work is done.
    pub(crate) fn work_access(&self) -> Access {
        self.work.unwrap_or(self.preset.work_access())
    }

    /// Changes a policy; the network excepted, which depends on who is run.
    pub fn apply(&self, policy: &mut Policy) {
        for path in &self.read {
            show(policy, path.clone());
        }
        for bind in &self.binds {
            bind_over(policy, bind.clone());
        }
        if !self.allowed_syscalls.is_empty() {
            policy.allowed_syscalls.clone_from(&self.allowed_syscalls);
        }
        if let Some(processes) = &self.processes {
            policy.processes = processes.clone();
        }
        policy.env.extend(self.env.clone());
        self.limits.apply(policy);
        policy.identity = self.identity.unwrap_or(policy.identity);
        policy.backend = self.backend.clone();
        policy.allow_degraded.extend(&self.allow_degraded);
    }
}

impl LimitExtras {
    fn apply(&self, policy: &mut Policy) {
        let set = |limit: &mut u64, wish: Option<u64>| *limit = wish.unwrap_or(*limit);
        let limits = &mut policy.limits;
        set(&mut limits.memory_bytes, self.memory_bytes);
        set(&mut limits.processes, self.processes);
        set(&mut limits.open_files, self.open_files);
        set(&mut limits.file_bytes, self.file_bytes);
        set(&mut policy.filesystem.tmp_bytes, self.tmp_bytes);
        limits.tree_memory_bytes = self.tree_memory_bytes.or(limits.tree_memory_bytes);
        limits.disk_bytes = self.disk_bytes.or(limits.disk_bytes);
        limits.cpu_s = self.cpu_s.or(limits.cpu_s);
        limits.cpu_percent = self.cpu_percent.or(limits.cpu_percent);
        limits.wall_ms = self.wall_ms.or(limits.wall_ms);
    }
}

/// Shows a path; what was to be seen at the same place before gives way.
fn bind_over(policy: &mut Policy, bind: Bind) {
    policy.filesystem.binds.retain(|other| other.inside != bind.inside);
    policy.filesystem.files.retain(|path, _| !path.starts_with(&bind.inside));
    policy.filesystem.binds.push(bind);
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

/// Milliseconds as a policy counts them.
pub(crate) fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

impl Workspace {
    /// Starts a program in the workspace, in a sandbox of its own, with the agent's files at
    /// [`INSIDE_WORK`](crate::INSIDE_WORK) and its home at [`INSIDE_HOME`](crate::INSIDE_HOME). When this returns, it runs.
    ///
    /// Errors: `Sandbox` when the host cannot enforce the policy or the program cannot be executed; nothing was run then.
    pub async fn spawn(&self, program: Program) -> Result<Process> {
        let Program { path, args, env, gateway, extras } = program;
        let mut policy = extras.preset.policy();
        policy.network = match extras.network.clone() {
            Some(hosts @ Network::Hosts(_)) if gateway => hosts,
            _ if gateway => Network::Gateway,
            _ => Network::None,
        };
        if matches!(policy.network, Network::Hosts(_)) {
            policy.env.extend(egress::proxy_variables(GATEWAY));
        }
        let dirs = self.layout.agent(&self.agent);
        let access = extras.work_access();
        let work = Bind { access, ..Bind::write(dirs.work(), INSIDE_WORK) }.ours();
        policy.filesystem.binds.push(work);
        let home = Bind { access: extras.preset.home_access(), ..Bind::write(dirs.home(), INSIDE_HOME) }.ours();
        policy.filesystem.binds.push(home);
        if self.repository.is_some() {
            policy.filesystem.binds.push(self.layout.hub_bind());
            // Who starts no process has no business in git's own files: what is planted there would count in the commands that
            // are run for it. A command may have left a link there, which is not followed.
            let git = dirs.work().join(".git");
            let is_folder = std::fs::symlink_metadata(&git).is_ok_and(|about| about.is_dir());
            if extras.preset == Preset::Worker && is_folder {
                policy.filesystem.binds.push(Bind::read(git, format!("{INSIDE_WORK}/.git")).ours());
            }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_configuration_chooses_what_enforces_a_policy() {
        let mut policy = sandbox::presets::check();
        SandboxExtras::default().apply(&mut policy);
        assert_eq!(policy.backend, Backend::Kernel);
        let backend = Backend::Docker { image: "tools:3".to_owned() };
        SandboxExtras { backend: backend.clone(), ..SandboxExtras::default() }.apply(&mut policy);
        assert_eq!(policy.backend, backend);
    }
}
