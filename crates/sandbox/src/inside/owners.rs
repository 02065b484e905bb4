//! The mapping that makes root's files on disk the agent's files inside, and back.
//!
//! The kernel takes such a mapping from a user namespace, so one is made, once per launcher, with nobody in it.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use crate::policy::{Bind, Ownership};
use crate::sys::{self, Forked, HostIdentity, HostIds};
use crate::wire::{Failure, Step};

/// Whose the files of binds appear to be.
pub(super) enum Owners {
    /// Sandboxes are the caller: nothing needs translating.
    Same,
    /// The caller is root: this namespace translates.
    Mapped(OwnedFd),
    /// The caller is root, and the namespace could not be made.
    Missing(i32),
}

impl Owners {
    /// Works it out for this launcher.
    pub fn prepare() -> Self {
        let Ok(HostIdentity::Separate(ids)) = HostIdentity::of_sandboxes() else {
            return Self::Same;
        };
        mapping_namespace(ids)
            .map_or_else(|error| Self::Missing(error.raw_os_error().unwrap_or(libc::EIO)), Self::Mapped)
    }

    /// The namespace that translates the owners of a bind, if it needs one.
    pub fn of(&self, bind: &Bind) -> Result<Option<BorrowedFd<'_>>, Failure> {
        match (self, bind.ownership) {
            (Self::Same, _) | (_, Ownership::Host) => Ok(None),
            (Self::Mapped(namespace), Ownership::Agent) => Ok(Some(namespace.as_fd())),
            (Self::Missing(errno), Ownership::Agent) => {
                Err(Step::Namespaces.failed("making the map of file owners")(io::Error::from_raw_os_error(*errno)))
            }
        }
    }
}

/// A user namespace in which the host's ids of the sandbox are called 0, as root's files are on disk.
fn mapping_namespace(ids: HostIds) -> io::Result<OwnedFd> {
    let (done, tell) = sys::pipe()?;
    let (made, made_tell) = sys::pipe()?;
    let child = match sys::fork()? {
        Forked::Child => {
            drop((tell, made));
            let entered = sys::enter_user_namespace();
            let _ = File::from(made_tell).write_all(&[u8::from(entered.is_ok())]);
            let _ = File::from(done).read(&mut [0]);
            sys::exit(0);
        }
        Forked::Parent(child) => child,
    };
    drop(made_tell);
    let mut entered = [0];
    File::from(made).read_exact(&mut entered)?;
    if entered == [0] {
        return Err(io::Error::from_raw_os_error(libc::EPERM));
    }
    fs::write(format!("/proc/{child}/gid_map"), format!("0 {} 1\n", ids.gid))?;
    fs::write(format!("/proc/{child}/uid_map"), format!("0 {} 1\n", ids.uid))?;
    // The child ends when `tell` is dropped.
    File::open(format!("/proc/{child}/ns/user")).map(OwnedFd::from)
}
