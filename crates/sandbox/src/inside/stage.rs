//! Between the caller's identity and the sandbox's: opens what only the caller may open, then gives that identity up.

use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::fs::fchown;

use super::lacks::{self, Lacks};
use super::owners::Owners;
use super::{give_up, init, root};
use crate::spec::{Net, Spec};
use crate::sys::{self, Forked, HostIdentity, HostIds};
use crate::wire::{self, Failure, Step};

/// What init needs from outside.
pub(super) struct Stage {
    pub spec: Spec,
    pub reports: OwnedFd,
    pub stdio: [OwnedFd; 3],
    /// The binds, opened as root; an ordinary user's init opens them itself.
    pub trees: Vec<OwnedFd>,
    pub host_ids: HostIds,
    pub lacks: Lacks,
}

/// Makes init for one launch.
pub(super) fn run(plumbing: [OwnedFd; 4], owners: &Owners, lacks: Lacks) -> ! {
    let [reports, stdin, stdout, stderr] = plumbing;
    let stdio = [stdin, stdout, stderr];
    let prepared = prepare(&reports, &stdio, owners);
    let (spec, trees, host_ids) = prepared.unwrap_or_else(|failure| give_up(reports.as_fd(), failure));
    let made = if lacks.namespaces { Err(lacks::refusal()) } else { sys::clone_init(spec.net != Net::Host) };
    match made {
        Ok(Forked::Child) => init::run(Stage { spec, reports, stdio, trees, host_ids, lacks }),
        Ok(Forked::Parent(_)) => sys::exit(0),
        Err(error) => give_up(reports.as_fd(), Step::Namespaces.failed("making its namespaces")(error)),
    }
}

fn prepare(reports: &OwnedFd, stdio: &[OwnedFd; 3], owners: &Owners) -> Result<(Spec, Vec<OwnedFd>, HostIds), Failure> {
    let (frame, _) = wire::receive_frame(reports.as_fd()).map_err(Step::Request.failed("reading the request"))?;
    let spec = Spec::decode(&frame).map_err(Step::Request.failed("reading the request"))?;
    let identity = HostIdentity::of_sandboxes().map_err(Step::Identity.failed("finding a user for it"))?;
    let HostIdentity::Separate(ids) = identity else {
        return Ok((spec, Vec::new(), identity.ids()));
    };
    let trees = spec.binds.iter().map(|bind| root::open_bind(bind, owners)).collect::<Result<_, _>>()?;
    // Programs open `/dev/stderr`, which only the owner of a pipe may.
    let give = |pipe| fchown(pipe, Some(ids.uid), Some(ids.gid));
    stdio.iter().try_for_each(give).map_err(Step::Identity.failed("handing its pipes over"))?;
    sys::keep_capabilities_across(ids)
        .and_then(|()| sys::set_dumpable(true))
        .map_err(Step::Identity.failed("becoming the agents' user"))?;
    Ok((spec, trees, ids))
}

impl Stage {
    /// The descriptors that init still needs once the launcher's own are closed.
    pub fn kept(&self) -> Vec<i32> {
        let stdio = self.stdio.iter().chain(&self.trees).map(AsRawFd::as_raw_fd);
        stdio.chain([self.reports.as_raw_fd()]).collect()
    }
}
