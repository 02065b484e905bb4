//! What a policy asks of the filter of system calls.

pub use ::seccomp::Denial;
use ::seccomp::{Asked, Refused};
pub(crate) use ::seccomp::{CALLS_MAX, Denials, Filter, Instruction};

use crate::error::SandboxError;
use crate::policy::{Backend, Network, Policy, Processes};
use crate::sys;

/// The filter that a policy asks for; `secret` is a random number.
pub(crate) fn compile(policy: &Policy, secret: u64) -> Result<Filter, SandboxError> {
    Ok(Filter::compile(&asked(policy), secret)?)
}

/// How many system calls a policy allows on this processor.
pub(crate) fn allowed_here(policy: &Policy) -> usize {
    ::seccomp::allowed_here(&asked(policy))
}

/// The system calls that a policy allows on some processor, sorted by name: its `allowed_syscalls` with every group
/// resolved, or the group that its `processes` needs. Fails on unknown and on forbidden words.
pub fn allowed_syscalls(policy: &Policy) -> Result<Vec<&'static str>, SandboxError> {
    Ok(::seccomp::allowed_syscalls(&asked(policy))?)
}

fn asked(policy: &Policy) -> Asked {
    Asked {
        allowed_syscalls: policy.allowed_syscalls.clone(),
        processes: match policy.processes {
            Processes::None => ::seccomp::Processes::None,
            Processes::Exec(_) => ::seccomp::Processes::Listed,
            Processes::Tree => ::seccomp::Processes::Tree,
        },
        network: match policy.network {
            Network::None => ::seccomp::Network::None,
            Network::Gateway | Network::Hosts(_) => ::seccomp::Network::Own,
            Network::Open => ::seccomp::Network::Open,
        },
        // In a container a filter further out would have to let init look into others, too.
        is_checkable: policy.backend == Backend::Kernel && sys::may_look_into_children(),
        disk: policy.limits.disk_bytes.is_some(),
    }
}

impl From<Refused> for SandboxError {
    fn from(Refused(what): Refused) -> Self {
        Self::Policy(what)
    }
}
