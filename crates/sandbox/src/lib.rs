//! Runs one process, and all that it starts, under a policy that the kernel enforces.
//!
//! Why a crate: this is the wall between the agents and the machine, so it is small, and the only place with `unsafe`. It
//! knows nothing of agents, git or models. What launches and what runs inside has no async runtime; a container engine is
//! asked on a thread with one of its own.
//!
//! # How to use it
//!
//! ```no_run
//! use sandbox::{Bind, Launch, Launcher, presets};
//!
//! // Once per process. The command is a fresh copy of the program that does nothing but `launcher_main()`.
//! let launcher = Launcher::new(vec!["/proc/self/exe".into(), "__sandbox".into()])?;
//! let mut policy = presets::tool();
//! policy.filesystem.binds.push(Bind::write_execute("/srv/agents/a/work", "/work"));
//! let sandboxed = launcher.launch(&Launch {
//!     policy,
//!     program: "git".into(),
//!     args: vec!["status".into()],
//!     cwd: "/work".into(),
//! })?;
//! // Take it apart: three pipes, perhaps a listener, and the tree of processes. Dropping the tree kills it.
//! let sandbox::Sandboxed { stdin, stdout, stderr, listener: _, mut tree } = sandboxed;
//! # drop((stdin, stdout, stderr));
//! println!("{:?}", tree.wait());
//! # Ok::<(), sandbox::SandboxError>(())
//! ```
//!
//! Everything here blocks, for about two milliseconds in [`Launcher::launch`]. For async use, the pipes can be made
//! non-blocking, and a [`Tree`] is itself a descriptor that becomes readable when all its processes are gone (for
//! `tokio`: an `AsyncFd<Tree>`); [`Tree::try_wait`] then tells how. A caller with many sandboxes calls
//! [`raise_open_files`] first.
//!
//! # How a launch goes
//!
//! ```text
//! caller ──control socket──▶ launcher (one per `Launcher`: small, single thread, owns no secret)
//!    │                          └ fork ▶ stage: reads the spec; as root opens the binds and gives root up
//!    │                                     └ clone3(user, mount, pid, net, ipc, uts, cgroup namespaces)
//!    │                                         ▶ init (pid 1): ids, network, files, Landlock, no capabilities
//!    └───socket of this launch──────────────────┤  (donated listener, failures, the end; its hang-up ends the tree)
//!                                               └ vfork ▶ the program: process group, limits, filter, exec
//! ```
//!
//! The stage is gone before the program starts: a running sandbox has exactly one process of ours, its init. The tree dies
//! when init dies, and init dies when the caller kills it, drops [`Tree`] or dies itself (its end of the socket closes),
//! when the launcher dies (`PR_SET_PDEATHSIG`), when the program ends, or when the wall limit passes.
//!
//! # Limits
//!
//! Limits of one process are `rlimit`s; the room in `/tmp` is that of its file system; `wall_ms` is kept by init. Limits of
//! the whole tree ([`Limits::tree_memory_bytes`], [`Limits::cpu_percent`], [`Limits::disk_bytes`]) are kept by a control
//! group of its own where one can be had ([`Cgroups`]), and otherwise, and for disks always, by a thread of the caller that
//! watches ([`Launcher::watch_counts`]). Whatever ends a tree for a limit is told as [`Exit::Limit`].
//!
//! What the thread cannot see, and a control group can: System V shared memory that nobody has attached (a policy must allow
//! that by name), memory behind descriptors that are on their way through a socket, and pages of shared memory that no
//! process has in its mappings any more although it could. It acts some ten to three hundred milliseconds after the fact.
//!
//! # In a container
//!
//! With [`Backend::Docker`] an engine makes the walls, and a guest of ours is process 1 in them; everything else is the
//! same, and so is what [`Launcher::launch`] returns. The module `docker` tells how.
//!
//! # Ownership of files
//!
//! Inside, the process is an ordinary user ([`Identity`]). When the caller is an ordinary user, that is the caller. When the
//! caller is root, it is a host id that belongs to nobody ([`HOST_ID_OF_ROOTS_AGENTS`]), and binds with
//! [`Ownership::Agent`] are id-mapped, so that what is root's on disk is the agent's inside. Either way the files that an
//! agent makes belong to the caller on disk. The filter of system calls keeps such a file from ever getting a set-user-id
//! bit. Where the policy gives that filter up, a directory that root binds to write in is closed to other users instead (its
//! mode loses `rwx` for group and others) at launch.
//!
//! The closed mode holds only as long as the agent leaves it: a directory with [`Ownership::Agent`] is its own, and it may
//! change the mode back. Give the filter up as root only where no other user of the host is to be feared.
//!
//! # What agents can take from each other
//!
//! All sandboxes of a caller are one user on the host, and some things the kernel counts by user, over all of them: instances
//! and watches of inotify, locked memory, descriptors in flight through sockets, bytes in pipes, pending signals. An agent
//! that takes all of one of these makes the others' calls for it fail (`EMFILE`, `ENOSPC`, `ETOOMANYREFS`) until it ends;
//! nothing else of theirs is touched. Who must keep that apart gives each agent a caller that is a user of its own.
//!
//! # What it refuses
//!
//! * To run anything with less than was asked for: each part either holds or the launch fails with the reason.
//! * To inherit: environment, open files, signal masks, keyrings and capabilities of the caller do not reach the program.
//! * To allow system calls that undo the sandbox, whoever asks. What the filter refuses is counted: [`Tree::denials`].

mod docker;
mod error;
mod host;
mod inside;
mod launcher;
mod limits;
mod policy;
pub mod presets;
mod removal;
mod seccomp;
mod shown;
mod spec;
mod sys;
mod tree;
mod wire;

pub use egress;
pub use error::SandboxError;
pub use host::{Check, HostReport, host_report};
pub use inside::{guest_main, launcher_main, launcher_main_with};
pub use launcher::{Launch, Launcher, Sandboxed, Terminals};
pub use limits::{Cgroups, WatchCounts, disk_usage};
pub use policy::{
    Access, Backend, Bind, Filesystem, GATEWAY, Identity, Layer, Limits, Network, Ownership, Policy, Processes,
};
pub use presets::{Preset, system_binds};
pub use removal::{open_up, remove_tree};
pub use seccomp::{Denial, allowed_syscalls};
pub use sys::{HOST_ID_OF_ROOTS_AGENTS, keep_from_core_dumps, raise_open_files};
pub use tree::{Exit, Limit, Tree};
