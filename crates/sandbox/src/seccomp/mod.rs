//! The filter of system calls: from the words of a policy to a program that the kernel runs on every call.
//!
//! It is the only layer that closes what namespaces and Landlock leave open: starting processes at all, kernel interfaces
//! that are rarely needed and often broken, sockets that are no part of a network namespace, tricks with terminals.
//! One program holds it all, because it also forbids loading another one. It is an allow-list: what is not named fails.
//!
//! # What becomes of a call
//!
//! | call | answer |
//! |---|---|
//! | allowed | runs; some only with harmless arguments ([`rules`]) |
//! | `connect`, where Unix sockets can be made | init carries it out, to what listens inside only |
//! | known and not allowed | `EPERM`, and init counts it ([`Denial`]) |
//! | `clone3` and its like, whose arguments cannot be looked at | `ENOSYS`: programs then take the older call |
//! | newer than Linux 5.0 and not allowed, unknown, x32 | `ENOSYS` |
//! | of another processor (32-bit) | the process is killed |
//!
//! # Executing exactly once
//!
//! Who may not execute anything must still be executed. The filter lets `execve` pass when a register that the call
//! ignores holds a random number that was made for this launch. The launcher has it in its memory, which is gone after
//! the execution, as are the registers; so there is no second time. This needs no file system and no Landlock, and it
//! cannot be had by guessing 64 bits.

mod assemble;
mod calls;
mod denials;
mod groups;
mod rules;
mod select;
#[cfg(test)]
mod tests;

pub(crate) use assemble::Instruction;
pub use denials::Denial;
pub(crate) use denials::{CALLS_MAX, Denials};

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use crate::error::SandboxError;
use crate::policy::{Backend, Network, Policy, Processes};
use crate::sys;
use assemble::Action;
use calls::Arch;
use select::Selection;

/// A filter for this host, ready to be loaded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Filter {
    pub program: Vec<Instruction>,
    /// The one for where init cannot answer, if it would have to answer more than refusals.
    pub alone: Option<Vec<Instruction>>,
    /// What lets the launcher execute the program where the program itself may not execute anything.
    pub once: Option<u64>,
}

impl Filter {
    /// The filter that a policy asks for; `secret` is a random number.
    pub fn compile(policy: &Policy, secret: u64) -> Result<Self, SandboxError> {
        let arch = Arch::HOST.ok_or_else(|| {
            SandboxError::Policy("filters of system calls are made for x86_64 and aarch64 only".to_owned())
        })?;
        let rules = Rules::of(arch, policy)?;
        let alone = rules.alone.as_ref().map(|actions| program(arch, actions, secret));
        Ok(Self { program: program(arch, &rules.actions, secret), alone, once: rules.once.then_some(secret) })
    }
}

/// What becomes of every call under a policy.
struct Rules {
    actions: Vec<(u32, Action)>,
    alone: Option<Vec<(u32, Action)>>,
    once: bool,
}

/// All that [`Rules`] depend on: the list, whether there are no children, whether only listed programs run, the kind of network,
/// and whether the kernel enforces it.
type Wishes = (Vec<String>, bool, bool, [bool; 3]);

/// As many different lists are kept as a caller may plausibly use at a time.
const KEPT_MAX: usize = 16;

/// Working the rules out takes longer than all the rest of a launch on the caller's side, and few are ever different.
static KEPT: Mutex<VecDeque<(Wishes, Arc<Rules>)>> = Mutex::new(VecDeque::new());

impl Rules {
    fn of(arch: Arch, policy: &Policy) -> Result<Arc<Self>, SandboxError> {
        let childless = policy.processes == Processes::None;
        let (network, kernel) = (&policy.network, policy.backend == Backend::Kernel);
        let reach = [*network == Network::None, *network == Network::Open, kernel];
        let listed = matches!(policy.processes, Processes::Exec(_));
        let wishes = (policy.allowed_syscalls.clone(), childless, listed, reach);
        let mut kept = KEPT.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, rules)) = kept.iter().find(|(known, _)| *known == wishes) {
            return Ok(Arc::clone(rules));
        }
        let selection = Selection::of(policy)?;
        let pairs_only = Selection { unix: false, ..selection.clone() };
        let (selection, alone) = match selection.unix && sys::may_look_into_children() {
            true => (selection, Some(rules::actions(arch, &pairs_only))),
            false => (pairs_only, None),
        };
        let rules = Arc::new(Self { actions: rules::actions(arch, &selection), alone, once: selection.once });
        kept.truncate(KEPT_MAX - 1);
        kept.push_front((wishes, Arc::clone(&rules)));
        Ok(rules)
    }
}

fn program(arch: Arch, actions: &[(u32, Action)], secret: u64) -> Vec<Instruction> {
    let unknown = assemble::Verdict::Errno(libc::ENOSYS as u16);
    assemble::assemble(arch.audit(), actions, unknown, secret)
}

/// How many system calls a policy allows on this processor.
pub(crate) fn allowed_here(policy: &Policy) -> usize {
    let allowed = allowed_syscalls(policy).unwrap_or_default();
    Arch::HOST.map_or(0, |arch| arch.all().filter(|(name, _)| allowed.contains(name)).count())
}

/// The system calls that a policy allows on some processor, sorted by name: its `allowed_syscalls` with every group
/// resolved, or the group that its `processes` needs. Fails on unknown and on forbidden words.
pub fn allowed_syscalls(policy: &Policy) -> Result<Vec<&'static str>, SandboxError> {
    Ok(Selection::of(policy)?.allowed.into_iter().collect())
}
