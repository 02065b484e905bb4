//! Limits of a whole tree of processes: memory, processor time, and what its directories hold on disk.
//!
//! The kernel limits single processes and single files, which many processes and many files get past. Where a part of the
//! control groups is ours ([`Cgroups`]) the kernel counts a whole tree; where not, and for disks, a thread of ours watches
//! and ends what has crossed its limit. The thread can be outrun for a moment (some ten to two hundred milliseconds of
//! writing), a control group cannot. How long a moment depends on what is left: the next look comes before the fastest
//! writing could use it up, and space cannot be taken without writing (the filter of system calls).

mod cgroup;
mod disk;
mod figures;
mod gauge;
mod memory;
mod processes;
mod watchdog;

use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::{Arc, OnceLock};

pub use cgroup::Cgroups;
use cgroup::{Controller, Leaf};
pub use watchdog::WatchCounts;
use watchdog::{Watchdog, Watched};

use crate::error::SandboxError;
use crate::policy::{Layer, Policy};
use crate::tree::Limit;

/// What keeps the limits of all trees of one launcher.
#[derive(Debug, Default)]
pub(crate) struct Keeper {
    cgroups: OnceLock<Cgroups>,
    watchdog: Watchdog,
}

/// What keeps the limits of one tree, for as long as it is held.
#[derive(Debug, Default)]
pub(crate) struct Kept {
    leaf: Option<Leaf>,
    watched: Option<Watched>,
}

impl Keeper {
    /// One that uses these groups.
    pub fn with(cgroups: Cgroups) -> Self {
        Self { cgroups: OnceLock::from(cgroups), ..Self::default() }
    }

    /// The groups in use; looks for them when first asked.
    pub fn cgroups(&self) -> &Cgroups {
        self.cgroups.get_or_init(Cgroups::find)
    }

    /// Makes ready what has to be there before the tree is. Costs nothing for policies without such limits.
    pub fn prepare(&self, policy: &Policy) -> Result<Kept, SandboxError> {
        let limits = &policy.limits;
        let zero = limits.tree_memory_bytes == Some(0) || limits.cpu_percent == Some(0) || limits.disk_bytes == Some(0);
        if zero {
            return Err(SandboxError::Policy("a limit of a whole tree cannot be 0; leave it out for none".to_owned()));
        }
        let for_all = self.cgroups.get().is_some_and(Cgroups::is_for_all);
        if limits.tree_memory_bytes.is_none() && limits.cpu_percent.is_none() && !for_all {
            return Ok(Kept::default());
        }
        let cgroups = self.cgroups();
        let by_group = |wanted: bool, controller| wanted && cgroups.has(controller);
        let cpu = by_group(limits.cpu_percent.is_some(), Controller::Cpu);
        if limits.cpu_percent.is_some() && !cpu && !policy.allow_degraded.contains(&Layer::Cgroup) {
            return Err(SandboxError::Policy(format!(
                "cpu_percent needs a control group, and {cgroups}; leave it out, or list `cgroup` under allow_degraded \
                 to do without this limit here"
            )));
        }
        if !cpu && !by_group(limits.tree_memory_bytes.is_some(), Controller::Memory) && !for_all {
            return Ok(Kept::default());
        }
        let leaf = cgroups.leaf(limits).map_err(|source| SandboxError::Host {
            step: "making its control group".to_owned(),
            source,
            advice: String::new(),
        })?;
        Ok(Kept { leaf: Some(leaf), ..Kept::default() })
    }

    /// How often trees were looked at.
    pub fn counts(&self) -> WatchCounts {
        self.watchdog.counts()
    }

    /// Begins to watch what no group limits.
    pub fn begin(&self, kept: &mut Kept, policy: &Policy, init: &Arc<OwnedFd>) -> io::Result<()> {
        if let Some(leaf) = &mut kept.leaf {
            leaf.holds(init);
        }
        let by_group = kept.leaf.is_some() && self.cgroups().has(Controller::Memory);
        let memory = policy.limits.tree_memory_bytes.filter(|_| !by_group);
        let disk = policy.limits.disk_bytes.map(|bytes| {
            let binds = policy.filesystem.binds.iter().filter(|bind| bind.access.writes());
            (bytes, binds.map(|bind| bind.host.clone()).collect())
        });
        if memory.is_some() || disk.is_some() {
            kept.watched = Some(self.watchdog.watch(init, memory, disk)?);
        }
        Ok(())
    }
}

/// Bytes on disk that these folders hold together, each file once whatever names it has. No link is followed and no other file
/// system entered; what is closed, or beyond a million entries, does not count.
pub fn disk_usage<'a>(folders: impl IntoIterator<Item = &'a Path>) -> u64 {
    let mut walk = disk::Walk::new(folders);
    loop {
        if let Some(usage) = walk.step(usize::MAX) {
            return usage.bytes;
        }
    }
}

impl Kept {
    /// The control group to start the tree in.
    pub fn group(&self) -> Option<&Path> {
        self.leaf.as_ref().map(Leaf::dir)
    }

    /// Kills what is in the group.
    pub fn kill(&self) {
        if let Some(leaf) = &self.leaf {
            leaf.kill();
        }
    }

    /// The limit for which the tree was ended, if it was.
    pub fn crossed(&self) -> Option<Limit> {
        let by_group = || self.leaf.as_ref().is_some_and(Leaf::ran_out_of_memory).then_some(Limit::Memory);
        self.watched.as_ref().and_then(Watched::crossed).or_else(by_group)
    }
}
