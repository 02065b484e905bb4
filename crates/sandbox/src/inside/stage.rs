//! Between the caller's identity and the sandbox's: opens what only the caller may open, then gives that identity up.

use std::ffi::CString;
use std::io::{self, IsTerminal};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
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
    let (spec, trees, host_ids, group) = prepared.unwrap_or_else(|failure| give_up(reports.as_fd(), failure));
    let made = match lacks.namespaces {
        true => Err(lacks::refusal()),
        false => sys::clone_init(spec.net != Net::Host, group.as_ref().map(AsFd::as_fd)),
    };
    match made {
        Ok(Forked::Child) => init::run(Stage { spec, reports, stdio, trees, host_ids, lacks }),
        Ok(Forked::Parent(_)) => sys::exit(0),
        Err(error) => {
            let what =
                if group.is_some() { "making its namespaces in its control group" } else { "making its namespaces" };
            give_up(reports.as_fd(), Step::Namespaces.failed(what)(error))
        }
    }
}

/// What the stage works out: the request, the opened binds, who init will be, and its control group.
type Prepared = (Spec, Vec<OwnedFd>, HostIds, Option<OwnedFd>);

fn prepare(reports: &OwnedFd, stdio: &[OwnedFd; 3], owners: &Owners) -> Result<Prepared, Failure> {
    let (frame, _) = wire::receive_frame(reports.as_fd()).map_err(Step::Request.failed("reading the request"))?;
    let spec = Spec::decode(&frame).map_err(Step::Request.failed("reading the request"))?;
    let identity = HostIdentity::of_sandboxes().map_err(Step::Identity.failed("finding a user for it"))?;
    let group = open_group(&spec).map_err(Step::Limits.failed("opening its control group"))?;
    let HostIdentity::Separate(ids) = identity else {
        return Ok((spec, Vec::new(), identity.ids(), group));
    };
    let trees =
        spec.binds.iter().map(|bind| root::open_bind(bind, owners, spec.seccomp_optional)).collect::<Result<_, _>>()?;
    // Programs open `/dev/stderr`, which only the owner of a pipe may. A terminal stays with whoever sits at it.
    let give = |end: &OwnedFd| match end.is_terminal() {
        true => Ok(()),
        false => fchown(end, Some(ids.uid), Some(ids.gid)),
    };
    stdio.iter().try_for_each(give).map_err(Step::Identity.failed("handing its pipes over"))?;
    sys::keep_capabilities_across(ids)
        .and_then(|()| sys::set_dumpable(true))
        .map_err(Step::Identity.failed("becoming the agents' user"))?;
    Ok((spec, trees, ids, group))
}

fn open_group(spec: &Spec) -> io::Result<Option<OwnedFd>> {
    let Some(group) = &spec.group else { return Ok(None) };
    sys::open_dir(&CString::new(group.as_os_str().as_bytes())?).map(Some)
}

impl Stage {
    /// The descriptors that init still needs once the launcher's own are closed.
    pub fn kept(&self) -> Vec<i32> {
        let stdio = self.stdio.iter().chain(&self.trees).map(AsRawFd::as_raw_fd);
        stdio.chain([self.reports.as_raw_fd()]).collect()
    }
}
