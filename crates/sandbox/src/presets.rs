//! Ready policies for what is run: agents of both kinds, checks of the user, looks without a touch, and tools of ours.
//!
//! Each starts from the system's programs and an environment of five variables; callers add their binds and variables.
//!
//! # Limits of the whole tree
//!
//! | preset | memory, GiB | disk, GiB | what it leaves room for |
//! |---|---|---|---|
//! | [`agent_cli`] | 16 | 64 | an agent of 1 GiB that runs a large build with its caches in the workspace |
//! | [`worker`] | 6 | 64 | one process of at most 4 GiB, and what it shares; the workspace is the same as above |
//! | [`check`] | 16 | 64 | a build with as many compilers as a usual machine has processors |
//! | [`read_only`] | 8 | 16 | programs that search and print; what they may write in is a home of their own |
//! | [`tool`] | none | none | lives for a minute at most; its processes are few, and what it writes has a limit of its own |
//!
//! They are there to save the machine from a program that has gone wild, not to share it out: several agents may together
//! want more than there is. The configuration makes them smaller or larger (`tree_memory_mib`, `disk_mib`).

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::policy::{Access, Bind, Filesystem, Limits, Network, Policy, Processes};

const GIB: u64 = 1 << 30;

/// A ready policy by name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Preset {
    /// An agent that runs its commands itself, as Codex, Claude Code and others do: [`agent_cli`].
    #[default]
    AgentCli,
    /// An agent that starts no process and asks its supervisor to run commands: [`worker`].
    Worker,
    /// A build or a test run: [`check`].
    Check,
    /// A look at files without a change and without a network: [`read_only`].
    ReadOnly,
}

impl Preset {
    /// All of them, in the order to show.
    pub const ALL: [Self; 4] = [Self::AgentCli, Self::Worker, Self::Check, Self::ReadOnly];

    /// As written in a policy file.
    pub fn name(self) -> &'static str {
        match self {
            Self::AgentCli => "agent-cli",
            Self::Worker => "worker",
            Self::Check => "check",
            Self::ReadOnly => "read-only",
        }
    }

    /// The policy.
    pub fn policy(self) -> Policy {
        match self {
            Self::AgentCli => agent_cli(),
            Self::Worker => worker(),
            Self::Check => check(),
            Self::ReadOnly => read_only(),
        }
    }

    /// What may be done with a home of its own: state is kept there even by who only looks.
    pub fn home_access(self) -> Access {
        if self.work_access().executes() { Access::WriteExecute } else { Access::Write }
    }

    /// What may be done with the place where work is done.
    pub fn work_access(self) -> Access {
        match self {
            Self::AgentCli | Self::Check => Access::WriteExecute,
            Self::Worker => Access::Write,
            Self::ReadOnly => Access::Read,
        }
    }
}

/// Directories with programs, and the few files below `/etc` that programs need to run at all. Never all of `/etc`.
const SYSTEM: &[&str] = &[
    "/usr",
    "/bin",
    "/sbin",
    "/lib",
    "/lib32",
    "/lib64",
    "/libx32",
    "/nix/store",
    "/etc/alternatives",
    "/etc/ca-certificates",
    "/etc/ca-certificates.conf",
    "/etc/java-11-openjdk",
    "/etc/java-17-openjdk",
    "/etc/java-21-openjdk",
    "/etc/ld.so.cache",
    "/etc/ld.so.conf",
    "/etc/ld.so.conf.d",
    "/etc/localtime",
    "/etc/mime.types",
    "/etc/os-release",
    "/etc/pki",
    "/etc/protocols",
    "/etc/services",
    "/etc/ssl",
];

/// What is found on this host of the programs and files that every program needs, to read and execute, at their own
/// places. Enough for `sh`, `git`, `python3`, `node` and compilers installed by the distribution; tools in a home
/// directory need a [`Bind`] of their own.
pub fn system_binds() -> Vec<Bind> {
    SYSTEM.iter().filter(|path| Path::new(path).exists()).map(Bind::system).collect()
}

/// Whether a path is one of those that every program needs.
pub fn is_system(path: &Path) -> bool {
    SYSTEM.iter().any(|system| Path::new(system) == path)
}

/// For an agent that runs its own commands: the gateway and nothing else on the network, terminals, and no wall limit.
pub fn agent_cli() -> Policy {
    Policy {
        filesystem: Filesystem { terminals: true, ..filesystem() },
        network: Network::Gateway,
        limits: of_tree(16 * GIB, 64 * GIB),
        env: env(),
        ..Policy::default()
    }
}

/// For an agent that asks its supervisor to run commands: the gateway, no children of any kind, and no wall limit.
pub fn worker() -> Policy {
    let limits = of_tree(6 * GIB, 64 * GIB);
    Policy { processes: Processes::None, network: Network::Gateway, limits, ..tool_without_end() }
}

/// For a look: no network, nothing that stays, ten minutes.
pub fn read_only() -> Policy {
    let limits = Limits { processes: 128, wall_ms: Some(600_000), ..of_tree(8 * GIB, 16 * GIB) };
    Policy { limits, ..tool_without_end() }
}

/// For a tool of ours such as git: no network, one minute.
pub fn tool() -> Policy {
    let limits = Limits { processes: 128, wall_ms: Some(60_000), ..Limits::default() };
    Policy { limits, ..tool_without_end() }
}

fn tool_without_end() -> Policy {
    Policy { filesystem: filesystem(), env: env(), ..Policy::default() }
}

/// For a check of the user (a build, a test run): no network but loopback, terminals, room for compilers, ten minutes.
pub fn check() -> Policy {
    Policy {
        filesystem: Filesystem { terminals: true, tmp_bytes: 2 << 30, ..filesystem() },
        limits: Limits {
            memory_bytes: 8 * GIB,
            processes: 1024,
            wall_ms: Some(600_000),
            ..of_tree(16 * GIB, 64 * GIB)
        },
        env: env(),
        ..Policy::default()
    }
}

fn of_tree(memory_bytes: u64, disk_bytes: u64) -> Limits {
    Limits { tree_memory_bytes: Some(memory_bytes), disk_bytes: Some(disk_bytes), ..Limits::default() }
}

fn filesystem() -> Filesystem {
    Filesystem { binds: system_binds(), files: files(), ..Filesystem::default() }
}

/// The user database is made up, so that the host's user names do not show.
fn files() -> BTreeMap<PathBuf, String> {
    [
        (
            "/etc/passwd",
            "root:x:0:0:root:/nonexistent:/bin/sh\nagent:x:1000:1000:agent:/tmp:/bin/sh\nnobody:x:65534:65534:nobody:/nonexistent:/bin/false\n",
        ),
        ("/etc/group", "root:x:0:\nagent:x:1000:\nnogroup:x:65534:\n"),
        ("/etc/hosts", "127.0.0.1 localhost\n::1 localhost\n"),
        ("/etc/nsswitch.conf", "passwd: files\ngroup: files\nhosts: files dns\nprotocols: files\nservices: files\n"),
    ]
    .into_iter()
    .map(|(path, text)| (PathBuf::from(path), text.to_owned()))
    .collect()
}

fn env() -> BTreeMap<String, String> {
    [
        ("HOME", "/tmp"),
        ("LANG", "C.UTF-8"),
        ("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"),
        ("SHELL", "/bin/sh"),
        ("USER", "agent"),
    ]
    .into_iter()
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .collect()
}
