//! What one process may do, as plain data.
//!
//! A policy is an allow-list: what it does not name does not exist inside. What a host cannot enforce of it refuses the
//! launch, unless the policy gives up that layer by name ([`Policy::allow_degraded`]); nothing is ever skipped silently.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use egress::HostRule;

/// Everything that one sandboxed process, and all that it starts, may see, reach and use.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Policy {
    /// The only files that exist inside.
    pub filesystem: Filesystem,
    /// What the process may connect to.
    pub network: Network,
    /// Whether it may start others.
    pub processes: Processes,
    /// What it may use up.
    pub limits: Limits,
    /// The whole environment: nothing is inherited.
    pub env: BTreeMap<String, String>,
    /// Who it is inside.
    pub identity: Identity,
    /// Names (`openat`) and groups (`@fs-read`) of system calls that are allowed; [`crate::allowed_syscalls`] resolves
    /// them. Empty means the group that [`Policy::processes`] needs: `@tool` with children; without, `@worker` and, if
    /// there is a network, `@net-client`. Some calls are allowed with harmless arguments only, some never.
    pub allowed_syscalls: Vec<String>,
    /// What enforces it.
    pub backend: Backend,
    /// Layers that may be missing on this host. Anything not listed here must hold, or the launch is refused.
    pub allow_degraded: Vec<Layer>,
}

/// What enforces a policy.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Backend {
    /// The kernel of this host, through our own launcher.
    #[default]
    Kernel,
    /// A container of Docker or Podman, through the engine's API.
    Docker {
        /// The image whose programs are run, as the engine knows it.
        image: String,
    },
}

/// The file view: an empty root, a private `/proc`, `/dev`, `/tmp`, `/dev/shm`, and what is listed here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Filesystem {
    /// Host paths shown inside. A path that does not exist refuses the launch.
    pub binds: Vec<Bind>,
    /// Small read-only files made for this sandbox (path inside, text).
    pub files: BTreeMap<PathBuf, String>,
    /// Bytes that `/tmp` and `/dev/shm` together may hold; they live in memory.
    pub tmp_bytes: u64,
    /// Whether pseudo-terminals can be opened (`/dev/ptmx`, `/dev/pts`). Costs a mount; programs that only compute do not need it.
    pub terminals: bool,
    /// Folders of the host, beside those that can be written in, in which programs may have made links: none is followed out
    /// of them.
    #[serde(skip)]
    pub distrusted: Vec<PathBuf>,
}

impl Default for Filesystem {
    fn default() -> Self {
        Self {
            binds: Vec::new(),
            files: BTreeMap::new(),
            tmp_bytes: 512 << 20,
            terminals: false,
            distrusted: Vec::new(),
        }
    }
}

/// One host path shown inside.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bind {
    /// The path on the host; a file or a directory.
    pub host: PathBuf,
    /// Where it appears; absolute. `/proc`, `/dev` and `/tmp` themselves are taken.
    pub inside: PathBuf,
    /// What may be done with it.
    pub access: Access,
    /// Whose the files appear to be.
    #[serde(default)]
    pub ownership: Ownership,
    /// Whether it is a place of the caller's own making, which nobody has named in a policy: see [`Bind::ours`].
    #[serde(skip)]
    pub ours: bool,
}

impl Bind {
    /// The same as a place of the caller's own: it may lie in what is hidden ([`crate::Launcher::hide`]), and a program may do
    /// with a git repository in it what it likes. Never for a path that a policy or a person names.
    #[must_use]
    pub fn ours(self) -> Self {
        Self { ours: true, ..self }
    }

    /// `host` shown at `inside`, to read only; nothing in it can be executed.
    pub fn read(host: impl Into<PathBuf>, inside: impl Into<PathBuf>) -> Self {
        Self::new(host.into(), inside.into(), Access::Read)
    }

    /// `host` shown at `inside`, to read and execute.
    pub fn read_execute(host: impl Into<PathBuf>, inside: impl Into<PathBuf>) -> Self {
        Self::new(host.into(), inside.into(), Access::ReadExecute)
    }

    /// `host` shown at `inside`, to read and write; nothing in it can be executed.
    pub fn write(host: impl Into<PathBuf>, inside: impl Into<PathBuf>) -> Self {
        Self::new(host.into(), inside.into(), Access::Write)
    }

    /// `host` shown at `inside`, to read, write and execute.
    pub fn write_execute(host: impl Into<PathBuf>, inside: impl Into<PathBuf>) -> Self {
        Self::new(host.into(), inside.into(), Access::WriteExecute)
    }

    /// `path` at its own place, to read and execute, with the owners it has on the host.
    pub fn system(path: impl AsRef<Path>) -> Self {
        let path = path.as_ref().to_path_buf();
        Self { host: path.clone(), inside: path, access: Access::ReadExecute, ownership: Ownership::Host, ours: false }
    }

    fn new(host: PathBuf, inside: PathBuf, access: Access) -> Self {
        Self { host, inside, access, ownership: Ownership::Agent, ours: false }
    }
}

/// What may be done with a bound path. Set-user-id bits and device files never work inside.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Access {
    /// Read files and list directories.
    Read,
    /// Read, and execute programs.
    ReadExecute,
    /// Read, create, change and remove.
    Write,
    /// Read, create, change, remove, and execute programs.
    WriteExecute,
}

impl Access {
    /// Whether anything can be changed.
    pub fn writes(self) -> bool {
        matches!(self, Self::Write | Self::WriteExecute)
    }

    /// Whether programs can be executed.
    pub fn executes(self) -> bool {
        matches!(self, Self::ReadExecute | Self::WriteExecute)
    }
}

/// Whose the files of a bind appear to be, when the caller is root.
///
/// A process in the sandbox is never root. With [`Ownership::Agent`] the files of *root* on the host appear as the
/// agent's own, and what the agent makes is root's on the host (an id-mapped mount), so that both sides can use and
/// remove everything; that is also exactly what an ordinary user gets without any mapping.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ownership {
    /// What is the caller's on the host is the agent's inside, and the other way round.
    #[default]
    Agent,
    /// As on the host: the agent has what everybody has. For system directories.
    Host,
}

/// What the process may connect to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Network {
    /// A network of its own with nothing but loopback, so that tests can open servers.
    #[default]
    None,
    /// The same, and a listener on [`GATEWAY`] inside, handed to the caller: the only way out.
    Gateway,
    /// The same as [`Network::Gateway`], and whoever serves the listener lets these hosts through with an
    /// [`egress::Proxy`](egress::Proxy). The list may be empty: then nothing is let through, with a reason.
    Hosts(Vec<HostRule>),
    /// The network of the host. The operator must want this; a project file must not be able to ask for it. Names are
    /// resolved only if `/etc/resolv.conf` is bound; the host's abstract sockets are kept away by Landlock from version 6.
    Open,
}

/// The address of the donated listener inside every sandbox with [`Network::Gateway`] or [`Network::Hosts`].
pub const GATEWAY: std::net::SocketAddrV4 = std::net::SocketAddrV4::new(std::net::Ipv4Addr::LOCALHOST, 3128);

/// Whether the process may start others.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Processes {
    /// It may; all of them live in its own process namespace and die with it.
    #[default]
    Tree,
    /// It may, but nothing else than these programs (paths inside) can be executed by any of them, the first included.
    /// An interpreter in the list runs whatever it can read, and so does the loader that a listed program needs, for
    /// files that a bind lets execute: bind what is written as [`Access::Write`]. Nothing in `/tmp` can be executed, and there
    /// are no files in memory: a list with `memfd_create` is refused. A script needs its interpreter listed.
    /// Enforced by Landlock, without which the launch is refused.
    Exec(Vec<PathBuf>),
    /// It may not: threads yes, a child of any kind no, and no other program in its place. If it is a script, its
    /// interpreter is the program. There is no `/dev/zero` and no anonymous shared memory, which no limit of a process
    /// counts. Enforced by the filter of system calls, without which the launch is refused.
    None,
}

/// What the process may use up. Limits that the kernel counts per process are said to be so; those of the whole tree are
/// kept by a control group where one is ours, and otherwise by a watchdog that ends the tree.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Private writable memory of each process, in bytes (`RLIMIT_DATA`: reserved but untouched address space of
    /// virtual machines such as Node's is not counted).
    pub memory_bytes: u64,
    /// Processes and threads in the sandbox at one time, two of them ours.
    pub processes: u64,
    /// Open files of each process.
    pub open_files: u64,
    /// Bytes of any one file.
    pub file_bytes: u64,
    /// Seconds of processor time of each process; none means no limit.
    pub cpu_s: Option<u64>,
    /// Milliseconds from launch after which the whole tree is killed; none means no limit.
    pub wall_ms: Option<u64>,
    /// Bytes of memory of the whole tree together (anonymous and shared, not the cache of files); none means no limit but
    /// the per-process one. What lies in `/tmp` and `/dev/shm` is bounded by `tmp_bytes`, and counts here too where a
    /// control group keeps this limit.
    pub tree_memory_bytes: Option<u64>,
    /// Share of processor time of the whole tree together, in percent of one processor. Only a control group keeps it.
    pub cpu_percent: Option<u32>,
    /// Bytes that the writable binds may hold together on disk; none means no limit. A tree with such a limit is also
    /// ended when it alone has used up what was free when it began, but a floor: a twentieth of the file system or one
    /// GiB, whichever is less.
    pub disk_bytes: Option<u64>,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            memory_bytes: 4 << 30,
            processes: 512,
            open_files: 4096,
            file_bytes: 4 << 30,
            cpu_s: None,
            wall_ms: None,
            tree_memory_bytes: None,
            cpu_percent: None,
            disk_bytes: None,
        }
    }
}

/// Who the process is inside. On the host it is the caller, or, when the caller is root, an id that nobody else has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Identity {
    /// User id inside; not 0.
    pub uid: u32,
    /// Group id inside; not 0.
    pub gid: u32,
}

impl Default for Identity {
    fn default() -> Self {
        Self { uid: 1000, gid: 1000 }
    }
}

/// A layer of protection that a policy may give up on hosts that lack it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Layer {
    /// Namespaces: the private view of files, processes, network and identities. Cannot be given up: a policy that does
    /// is refused.
    Namespaces,
    /// Landlock, the second lock on files, signals and abstract sockets. Cannot be given up with [`Processes::Exec`],
    /// which rests on it.
    Landlock,
    /// The filter of system calls. Cannot be given up with [`Processes::None`], which rests on it.
    Seccomp,
    /// A control group (cgroup v2) of its own. Without one `cpu_percent` does not hold; memory of the whole tree is watched
    /// instead, which needs nobody's leave. On macOS no limit of a whole tree holds, and this gives them all up.
    Cgroup,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_policy_is_data_and_unknown_keys_are_errors() {
        let policy = crate::presets::check();
        let text = serde_json::to_string(&policy).unwrap();
        assert_eq!(serde_json::from_str::<Policy>(&text).unwrap(), policy);
        let error = serde_json::from_str::<Policy>(r#"{"limits": {"memory": 1}}"#).unwrap_err().to_string();
        assert!(error.contains("unknown field `memory`"), "{error}");
    }

    #[test]
    fn hosts_are_lines_of_text_and_a_wrong_one_is_an_error() {
        let read = |hosts: &str| serde_json::from_str::<Policy>(&format!(r#"{{"network": {{"hosts": {hosts}}}}}"#));
        let policy = read(r#"["crates.io", "*.crates.io:443"]"#).unwrap();
        let text = serde_json::to_string(&policy.network).unwrap();
        assert_eq!(text, r#"{"hosts":["crates.io:443","*.crates.io:443"]}"#);
        let error = read(r#"["*:443"]"#).unwrap_err().to_string();
        assert!(error.contains("`*:443` cannot be allowed"), "{error}");
    }

    #[test]
    fn what_is_left_out_of_a_policy_is_not_allowed() {
        let policy: Policy = serde_json::from_str("{}").unwrap();
        assert_eq!((policy.network, policy.filesystem.binds, policy.env), (Network::None, vec![], BTreeMap::new()));
    }
}
