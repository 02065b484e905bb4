//! The policy of a sandbox as a file: what a process may see, reach, start and use up.
//!
//! One language in three places: a policy file of its own (`muster sandbox run --policy FILE`), the `sandbox:` of a role and
//! the `checks:` of `muster.yaml`. A policy is a preset and what changes it; where nothing is said, the preset holds.
//!
//! [`load`] judges what can be judged from the text alone. Whether paths exist and which system calls the kernel has is for
//! whoever knows the host; every such value keeps its [`Place`], so that they can say where the mistake stands.

use crate::source::{Place, Problems, Source, checker::Checker, repair};
use serde::Serialize;
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

mod contradictions;
mod files;
mod judge;
mod limits;
mod network;
mod permissions;
mod spec;

pub use files::HostPath;
pub use limits::ProcessLimits;
pub use permissions::{FileSystem, GitOperations, Mapped, NetworkWord, Permissions, ShellCommands};

use judge::Wider;
pub(crate) use judge::{checks_policy, role_policy};
pub(crate) use limits::LimitsSpec as ProcessLimitsSpec;
pub(crate) use permissions::PermissionsSpec;
pub(crate) use spec::{
    BackendSpec, DockerSpec, ExecSpec, FilesSpec, HostsSpec, IdentitySpec, PathSpec, PolicySpec, sandbox_schema,
};

/// A policy, judged as far as its text goes. The default changes nothing of its preset.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct CheckedPolicy {
    /// What everything else changes; nothing means whatever is usual where the policy is used.
    pub preset: Option<Preset>,
    /// What may be done with the place where work is done, if not what the preset says.
    pub work: Option<Work>,
    /// Host paths to read.
    pub read: Vec<Shown>,
    /// Host paths to read and write; what also stands in `execute` can be executed too.
    pub write: Vec<Shown>,
    /// Host paths to read and execute.
    pub execute: Vec<Shown>,
    /// What may be connected to.
    pub network: Option<Network>,
    /// Names (`openat`) and groups (`@worker`) of system calls that are allowed; empty means those of the preset.
    pub allowed_syscalls: Vec<Placed<String>>,
    /// Whether it may start others.
    pub processes: Option<Processes>,
    /// What bounds it; where nothing is set, the preset's own holds.
    pub limits: ProcessLimits,
    /// Environment variables that it gets.
    pub env: BTreeMap<String, String>,
    /// Names of variables that it gets from whoever starts it, if they have them.
    pub pass: Vec<String>,
    /// Who it is inside.
    pub identity: Option<Identity>,
    /// What enforces it; nothing means the kernel.
    pub backend: Option<Backend>,
    /// Layers that may be missing on the host.
    pub allow_degraded: Vec<Layer>,
    /// What the sandbox cannot hold alone of the `permissions:` that were written, a sentence each.
    pub remains: Vec<&'static str>,
    /// Where its keys stand, for problems that only who knows the host can find.
    #[serde(skip)]
    pub keys: BTreeMap<&'static str, Place>,
}

/// A value and where it stands in its file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Placed<T> {
    /// The value.
    #[serde(flatten)]
    pub value: T,
    /// Where it stands.
    pub place: Place,
}

/// A host path that is shown inside.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Shown {
    /// The path on the host.
    pub host: HostPath,
    /// Where it appears; nothing means at the same path.
    pub inside: Option<PathBuf>,
    /// Where it stands in its file.
    pub place: Place,
}

/// A ready policy by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Preset {
    /// A process that starts no other.
    Worker,
    /// An agent that runs its commands itself.
    AgentCli,
    /// A build or a test run.
    Check,
    /// A look without a change.
    ReadOnly,
}

/// What may be done with the place where work is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Work {
    /// It is not shown.
    None,
    /// Read files.
    Read,
    /// Read and change files.
    Write,
}

/// What may be connected to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Network {
    /// Nothing but loopback.
    None,
    /// The gateway and the agent tools.
    Gateway,
    /// The gateway, and these: `HOST:PORT`, where `*.` in front stands for any name below.
    Hosts(Vec<String>),
    /// Whatever the host may.
    Open,
}

/// Whether it may start others.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Processes {
    /// No process of any kind.
    None,
    /// Any, inside the sandbox.
    Tree,
    /// Only these programs: bare names, or absolute paths inside.
    Exec(Vec<String>),
}

/// Who the process is inside.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Identity {
    /// User id, not 0.
    pub uid: u32,
    /// Group id, not 0.
    pub gid: u32,
}

/// What enforces a policy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Backend {
    /// The kernel of this host.
    Kernel,
    /// A container of Docker or Podman.
    Docker {
        /// The image, as the engine knows it.
        image: String,
    },
}

/// A layer of protection that may be given up by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Layer {
    /// The private view of files, processes, network and identities.
    Namespaces,
    /// The second lock on files, signals and abstract sockets.
    Landlock,
    /// The filter of system calls.
    Seccomp,
    /// The kernel's own count of a whole tree.
    Cgroup,
}

/// Every word of a closed set, in the order to show.
pub(crate) trait Words: Sized + Copy + 'static {
    const ALL: &'static [(&'static str, Self)];
}

/// A closed set of words that a file may use: its names both ways.
macro_rules! words {
    ($($of:ident: $($word:literal = $variant:ident),+;)*) => {$(
        impl $crate::policy::Words for $of {
            const ALL: &'static [(&'static str, Self)] = &[$(($word, Self::$variant)),+];
        }

        impl $of {
            /// As written in a file.
            pub fn word(self) -> &'static str {
                match self { $(Self::$variant => $word),+ }
            }
        }
    )*};
}
pub(crate) use words;

words! {
    Preset: "worker" = Worker, "agent-cli" = AgentCli, "check" = Check, "read-only" = ReadOnly;
    Work: "none" = None, "read" = Read, "write" = Write;
    Layer: "namespaces" = Namespaces, "landlock" = Landlock, "seccomp" = Seccomp, "cgroup" = Cgroup;
}

impl Preset {
    /// The preset of this name.
    pub fn named(word: &str) -> Option<Self> {
        Self::ALL.iter().find(|(name, _)| *name == word).map(|(_, preset)| *preset)
    }
}

/// Reads and judges a policy file.
///
/// # Errors
/// Everything that is wrong with it; one problem only when the text is not YAML or JSON of the right shape.
pub fn load(source: &Source) -> Result<CheckedPolicy, Problems> {
    read(source).map_err(|first| match source.parse::<PolicySpec>() {
        Ok(_) => first,
        Err(_) => repair::every_problem::<PolicySpec>(source, first, |mended| read(mended).err()),
    })
}

fn read(source: &Source) -> Result<CheckedPolicy, Problems> {
    let spec: PolicySpec = source.parse()?;
    let mut checker = Checker::new(source);
    let policy = judge::policy(&mut checker, spec, Wider::Allowed);
    checker.finish(policy)
}

impl CheckedPolicy {
    /// Where a key stands, or the preset that the key would change; line 0 when neither is written.
    pub fn place(&self, key: &str) -> Place {
        self.keys.get(key).or_else(|| self.keys.get("preset")).copied().unwrap_or_default()
    }

    /// Every host path that it names.
    pub fn host_paths(&self) -> impl Iterator<Item = &Shown> {
        self.read.iter().chain(&self.write).chain(&self.execute)
    }
}

impl Shown {
    /// The path on the host and the path inside, for someone whose home folder is `home`, in a file of the folder `base`.
    pub fn resolve(&self, home: &Path, base: &Path) -> (PathBuf, PathBuf) {
        let host = self.host.resolve(home, base);
        let inside = self.inside.clone().unwrap_or_else(|| host.clone());
        (host, inside)
    }
}
