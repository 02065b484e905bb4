//! Agents' private checkouts: made, saved, merged and checked. The only crate that runs git or spawns an agent.
//!
//! # The idea
//!
//! Whatever an agent can write is hostile, its git configuration above all: one line of `.git/config` or `.gitattributes`
//! makes git run a program. So git of ours never opens an agent's tree on the host. It runs there only inside a sandbox,
//! work comes out as a bundle, and merging, comparing and publishing happen in bare stores that no agent can write.
//!
//! ```text
//! user's repository ──history of the base──▶ hub.git ◀──objects, read-only── agents/<agent>/work   (private clone)
//!        ▲                                     │  ▲                                │ bundle, made in a sandbox
//!        │ one ref, once                       │  └ candidates                     ▼
//!        └──────────── publish ◀── mission ────┘              vault.git: checkpoints, merges (no sandbox sees it)
//! ```
//!
//! # In the order of use
//!
//! * [`inspect`] the user's repository; [`Repository::prepare`] the mission's stores.
//! * [`Repository::clone_for`] an agent (or [`Workspace::scratch`]), [`Workspace::spawn`] its process,
//!   [`Workspace::start_task`], [`Workspace::checkpoint`]; [`Workspace::run_command`] for an agent that starts none itself.
//! * [`Repository::changed_paths`], [`Repository::merge_candidate`], [`Repository::check`], [`Repository::advance`].
//! * [`Repository::publish`].
//! * [`Repository::copy_base`] for a mission that is run again, [`Repository::first_difference`] between the two.
//!
//! Each of these may be called again with the same arguments after a crash at any point; it then finishes what was begun,
//! or finds that nothing is left to do.
//!
//! # What it refuses
//!
//! * To share a git directory between an agent and anybody else.
//! * To write in the user's checkout: a result is one branch, set in one step.
//! * To delete work: checkpoints have no removal here.

mod bundle;
mod check;
mod checkpoint;
mod compare;
mod diff;
mod error;
mod git;
mod inspect;
mod known_refs;
mod layout;
mod left_out;
mod manners;
mod merge;
mod name;
mod order;
mod peculiar;
mod process;
mod program;
mod publish;
mod receive;
mod repository;
mod sample;
mod secret;
mod tool;
mod version;
mod watch;
mod window;
mod workspace;

pub use check::{CHECK_TAIL_BYTES, CheckCommand, CheckRun};
pub use checkpoint::Checkpoint;
pub use diff::{Comparing, FileDiff};
pub use error::{Error, ErrorKind, Result};
pub use inspect::{RepoFacts, RepoProblem, inspect};
pub use layout::{INSIDE_HOME, INSIDE_HUB, INSIDE_WORK, MISSION_BRANCH};
pub use left_out::{LEFT_OUT_MAX, LeftOut, LeftOuts, WhyLeftOut};
pub use merge::{Candidate, Conflict, HUNK_BYTES_MAX, Merge};
pub use name::{AgentName, BranchName, CommitId, TreeId};
pub use order::{COMMAND_TAIL_BYTES, COMMANDS_MAX, CommandOrder, CommandRun};
pub use peculiar::RepoNote;
pub use process::{Control, Process};
pub use program::{LimitExtras, Program, SandboxExtras};
pub use publish::result_branch;
pub use receive::{PACK_BYTES_MAX, PACK_OBJECTS_MAX};
pub use repository::Repository;
pub use sample::make_repository;
pub use secret::secret_of;
pub use version::git_version;
pub use watch::{CheckEnd, Output, Spoken};
pub use workspace::{Started, Workspace};

// What the binary and the engine need of the sandbox, so that nothing but this crate depends on it.
pub use sandbox::{
    Access, Backend, Bind, Cgroups, Denial, Exit, GATEWAY, HostReport, Identity, Launch, Launcher, Layer, Limit,
    Limits, Network, Ownership, Policy, Preset, Processes, SandboxError, Terminals, allowed_syscalls, egress,
    guest_main, host_report, keep_from_core_dumps, launcher_main, launcher_main_with,
    presets::{self, is_system},
    raise_open_files, remove_tree,
};
