//! What a sandbox's configuration becomes in a mission's settings: complete, with absolute paths, in a form that the journal
//! keeps.

use api::policy::{self, CheckedPolicy};
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};
use workspace::{
    Access, Backend, Bind, Identity, Layer, LimitExtras, Network, Preset, Processes, SandboxExtras, egress::HostRule,
};

/// Where relative paths of a configuration begin, and where `~` is.
#[derive(Clone, Copy, Debug)]
pub struct Places<'a> {
    /// The folder of the configuration file.
    pub config_dir: &'a Path,
    /// The home folder of whoever runs `muster`.
    pub home: &'a Path,
}

impl Places<'_> {
    /// A file as it was written: below `~`, or relative to the configuration.
    pub fn file(&self, written: &str) -> PathBuf {
        match written.strip_prefix("~/") {
            Some(below) => self.home.join(below),
            None => self.config_dir.join(written),
        }
    }
}

/// What a sandbox offers beyond the usual.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Extras {
    /// The policy that the rest changes.
    pub preset: Preset,
    /// What may be done with the place where work is done, if not what the preset says.
    pub work: Option<Access>,
    /// Host paths to read and execute, absolute.
    pub read: Vec<PathBuf>,
    /// Host paths shown anywhere, with any access.
    pub binds: Vec<Bind>,
    /// What may be connected to beside the gateway.
    pub network: Option<Network>,
    /// System calls by name and group; empty keeps those of the preset.
    pub allowed_syscalls: Vec<String>,
    /// Whether it may start others.
    pub children: Option<Processes>,
    /// Environment.
    pub env: BTreeMap<String, String>,
    /// Limits in place of the preset's.
    pub limits: LimitExtras,
    /// Who it is inside.
    pub identity: Option<Identity>,
    /// What enforces it.
    pub backend: Backend,
    /// Layers that may be missing.
    pub allow_degraded: Vec<Layer>,
    /// Memory of each process, in MiB, as older journals say it.
    pub memory_mib: Option<u32>,
    /// Processes at one time, as older journals say it.
    pub processes: Option<u32>,
    /// Open files of one process, as older journals say it.
    pub open_files: Option<u32>,
    /// Largest file, in MiB, as older journals say it.
    pub file_mib: Option<u32>,
    /// Temporary files, in MiB, as older journals say it.
    pub tmp_mib: Option<u32>,
}

impl Extras {
    /// The hosts that an agent may reach beyond the gateway, if its network is of that kind.
    pub fn hosts(&self) -> Option<Vec<HostRule>> {
        match &self.network {
            Some(Network::Hosts(rules)) => Some(rules.clone()),
            _ => None,
        }
    }

    /// The settings of a policy. Variables of the caller are not part of it: they would come to lie in the journal.
    pub fn of(policy: &CheckedPolicy, places: Places<'_>) -> Self {
        let preset = policy.preset.map(preset).unwrap_or_default();
        let (read, binds) = files(policy, places);
        Self {
            preset,
            work: policy.work.and_then(|work| access_to_work(work, preset)),
            read,
            binds,
            // What cannot be converted lets nothing through; `sandboxed::check` says so before anything is begun.
            network: policy.network.as_ref().map(|wish| network(wish).unwrap_or(Network::Hosts(Vec::new()))),
            allowed_syscalls: policy.allowed_syscalls.iter().map(|call| call.value.clone()).collect(),
            children: policy.processes.as_ref().map(|processes| children(processes, policy)),
            env: policy.env.clone(),
            limits: limits(&policy.limits),
            identity: policy.identity.map(|who| Identity { uid: who.uid, gid: who.gid }),
            backend: policy.backend.as_ref().map(backend).unwrap_or_default(),
            allow_degraded: policy.allow_degraded.iter().map(|layer| layer_of(*layer)).collect(),
            ..Self::default()
        }
    }

    /// The same as a sandbox takes it.
    pub fn for_sandbox(&self) -> SandboxExtras {
        let mib = |mib: u32| u64::from(mib) << 20;
        let limits = self.limits.clone();
        SandboxExtras {
            preset: self.preset,
            work: self.work,
            read: self.read.clone(),
            binds: self.binds.clone(),
            network: self.network.clone(),
            allowed_syscalls: self.allowed_syscalls.clone(),
            processes: self.children.clone(),
            env: self.env.clone(),
            limits: LimitExtras {
                memory_bytes: limits.memory_bytes.or(self.memory_mib.map(mib)),
                processes: limits.processes.or(self.processes.map(u64::from)),
                open_files: limits.open_files.or(self.open_files.map(u64::from)),
                file_bytes: limits.file_bytes.or(self.file_mib.map(mib)),
                tmp_bytes: limits.tmp_bytes.or(self.tmp_mib.map(mib)),
                ..limits
            },
            identity: self.identity,
            backend: self.backend.clone(),
            allow_degraded: self.allow_degraded.clone(),
        }
    }
}

/// The sandbox's name of a preset.
pub(crate) fn preset(preset: policy::Preset) -> Preset {
    match preset {
        policy::Preset::Worker => Preset::Worker,
        policy::Preset::AgentCli => Preset::AgentCli,
        policy::Preset::Check => Preset::Check,
        policy::Preset::ReadOnly => Preset::ReadOnly,
    }
}

/// Nothing means what the preset says: a place that is not shown is an empty one.
fn access_to_work(work: policy::Work, preset: Preset) -> Option<Access> {
    match work {
        policy::Work::None => None,
        policy::Work::Read if preset.work_access().executes() => Some(Access::ReadExecute),
        policy::Work::Read => Some(Access::Read),
        policy::Work::Write if preset == Preset::Worker => Some(Access::Write),
        policy::Work::Write => Some(Access::WriteExecute),
    }
}

/// What is to be read and executed at its own place, and everything else that is shown.
fn files(policy: &CheckedPolicy, places: Places<'_>) -> (Vec<PathBuf>, Vec<Bind>) {
    let resolve = |shown: &policy::Shown| shown.resolve(places.home, places.config_dir);
    let run: Vec<_> = policy.execute.iter().map(resolve).collect();
    let written: Vec<_> = policy.write.iter().map(resolve).collect();
    let (same, elsewhere): (Vec<_>, Vec<_>) =
        run.iter().filter(|path| !written.contains(path)).cloned().partition(|(host, inside)| host == inside);
    let looked_at = policy.read.iter().map(resolve).filter(|path| !run.contains(path));
    let looked_at: Vec<_> = looked_at.map(|(host, inside)| Bind::read(host, inside)).collect();
    let written = written.into_iter().map(|path| match run.contains(&path) {
        true => Bind::write_execute(path.0, path.1),
        false => Bind::write(path.0, path.1),
    });
    let elsewhere = elsewhere.into_iter().map(|(host, inside)| Bind::read_execute(host, inside));
    (same.into_iter().map(|(host, _)| host).collect(), looked_at.into_iter().chain(written).chain(elsewhere).collect())
}

/// The sandbox's form of a network, or why it takes a host otherwise than the language does.
pub(crate) fn network(network: &policy::Network) -> Result<Network, String> {
    Ok(match network {
        policy::Network::None => Network::None,
        policy::Network::Gateway => Network::Gateway,
        policy::Network::Hosts(hosts) => {
            let written = serde_json::json!({ "hosts": hosts });
            serde_json::from_value(written).map_err(|error| error.to_string())?
        }
        policy::Network::Open => Network::Open,
    })
}

/// A bare name is looked up where the program will be looked up.
fn children(processes: &policy::Processes, policy: &CheckedPolicy) -> Processes {
    match processes {
        policy::Processes::None => Processes::None,
        policy::Processes::Tree => Processes::Tree,
        policy::Processes::Exec(programs) => {
            let path = policy.env.get("PATH").cloned().or_else(|| workspace::presets::tool().env.remove("PATH"));
            let path = path.unwrap_or_default();
            Processes::Exec(programs.iter().map(|program| full_path(program, &path)).collect())
        }
    }
}

/// Where a program is, or its name when it is nowhere.
pub(crate) fn full_path(program: &str, path: &str) -> PathBuf {
    if program.starts_with('/') {
        return program.into();
    }
    let found = path.split(':').map(|dir| Path::new(dir).join(program)).find(|candidate| candidate.is_file());
    found.unwrap_or_else(|| program.into())
}

fn limits(limits: &policy::ProcessLimits) -> LimitExtras {
    LimitExtras {
        memory_bytes: limits.memory_bytes,
        tree_memory_bytes: limits.tree_memory_bytes,
        processes: limits.processes.map(u64::from),
        open_files: limits.open_files.map(u64::from),
        file_bytes: limits.file_bytes,
        disk_bytes: limits.disk_bytes,
        // The kernel counts whole seconds.
        cpu_s: limits.cpu_ms.map(|ms| ms.div_ceil(1000)),
        cpu_percent: limits.cpu_percent,
        wall_ms: limits.wall_ms,
        tmp_bytes: limits.tmp_bytes,
    }
}

fn backend(backend: &policy::Backend) -> Backend {
    match backend {
        policy::Backend::Kernel => Backend::Kernel,
        policy::Backend::Docker { image } => Backend::Docker { image: image.clone() },
    }
}

fn layer_of(layer: policy::Layer) -> Layer {
    match layer {
        policy::Layer::Namespaces => Layer::Namespaces,
        policy::Layer::Landlock => Layer::Landlock,
        policy::Layer::Seccomp => Layer::Seccomp,
        policy::Layer::Cgroup => Layer::Cgroup,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_file_of_a_repository_gets_unasked_is_at_most_what_each_preset_allows() {
        let unasked = api::trust::LIMITS_UNASKED;
        for word in [policy::Preset::Worker, policy::Preset::AgentCli, policy::Preset::Check, policy::Preset::ReadOnly]
        {
            let (limits, files) = (preset(word).policy().limits, preset(word).policy().filesystem);
            assert!(unasked.memory_bytes.unwrap() <= limits.memory_bytes);
            assert!(limits.tree_memory_bytes.is_none_or(|most| unasked.tree_memory_bytes.unwrap() <= most));
            assert!(u64::from(unasked.processes.unwrap()) <= limits.processes);
            assert!(u64::from(unasked.open_files.unwrap()) <= limits.open_files);
            assert!(unasked.file_bytes.unwrap() <= limits.file_bytes);
            assert!(limits.disk_bytes.is_none_or(|most| unasked.disk_bytes.unwrap() <= most));
            assert!(unasked.tmp_bytes.unwrap() <= files.tmp_bytes);
            assert!(limits.wall_ms.is_none_or(|most| unasked.wall_ms.unwrap() <= most));
            assert!(limits.cpu_s.is_none() && limits.cpu_percent.is_none(), "any limit here is a smaller one");
        }
    }
}
