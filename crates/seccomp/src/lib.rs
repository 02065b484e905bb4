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

pub use assemble::Instruction;
pub use denials::{CALLS_MAX, Denial, Denials};

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use assemble::Action;
use calls::Arch;
use select::Selection;

/// What a policy asks of a filter.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Asked {
    /// Names and groups; empty for those that `processes` and `network` need.
    pub allowed_syscalls: Vec<String>,
    /// What may be started.
    pub processes: Processes,
    /// What there is of a network.
    pub network: Network,
    /// Whether init may look into the processes inside.
    pub is_checkable: bool,
    /// Whether space on disk is counted, so that nothing may be taken before it is written.
    pub disk: bool,
}

/// What may be started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Processes {
    /// Threads only.
    None,
    /// Listed programs.
    Listed,
    /// Anything.
    #[default]
    Tree,
}

/// What there is of a network.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Network {
    /// Nothing but loopback.
    None,
    /// A namespace of its own, in which something may be reached.
    #[default]
    Own,
    /// That of the host.
    Open,
}

/// Why there is no filter, in words for whoever wrote the policy.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Refused(pub String);

/// A filter for this host, ready to be loaded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Filter {
    /// Its instructions.
    pub program: Vec<Instruction>,
    /// The one for where init cannot answer, if it would have to answer more than refusals.
    pub alone: Option<Vec<Instruction>>,
    /// What lets the launcher execute the program where the program itself may not execute anything.
    pub once: Option<u64>,
}

impl Filter {
    /// The filter that a policy asks for; `secret` is a random number.
    ///
    /// # Errors
    /// Words that are no calls, that are never allowed, or that contradict the rest; a processor that no filter is made for.
    pub fn compile(asked: &Asked, secret: u64) -> Result<Self, Refused> {
        let unknown = || Refused("filters of system calls are made for x86_64 and aarch64 only".to_owned());
        let rules = Rules::of(Arch::HOST.ok_or_else(unknown)?, asked)?;
        let arch = Arch::HOST.ok_or_else(unknown)?;
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

/// As many different lists are kept as a caller may plausibly use at a time.
const KEPT_MAX: usize = 16;

/// Working the rules out takes longer than all the rest of a launch on the caller's side, and few are ever different.
static KEPT: Mutex<VecDeque<(Asked, Arc<Rules>)>> = Mutex::new(VecDeque::new());

impl Rules {
    fn of(arch: Arch, asked: &Asked) -> Result<Arc<Self>, Refused> {
        let mut kept = KEPT.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, rules)) = kept.iter().find(|(known, _)| known == asked) {
            return Ok(Arc::clone(rules));
        }
        let selection = Selection::of(asked)?;
        let pairs_only = || Selection { unix: false, ..selection.clone() };
        let alone = selection.unix.then(|| rules::actions(arch, &pairs_only()));
        let rules = Arc::new(Self { actions: rules::actions(arch, &selection), alone, once: selection.once });
        kept.truncate(KEPT_MAX - 1);
        kept.push_front((asked.clone(), Arc::clone(&rules)));
        Ok(rules)
    }
}

fn program(arch: Arch, actions: &[(u32, Action)], secret: u64) -> Vec<Instruction> {
    let unknown = assemble::Verdict::Errno(libc::ENOSYS as u16);
    assemble::assemble(arch.audit(), actions, unknown, secret)
}

/// How many system calls are allowed on this processor.
pub fn allowed_here(asked: &Asked) -> usize {
    let allowed = allowed_syscalls(asked).unwrap_or_default();
    Arch::HOST.map_or(0, |arch| arch.all().filter(|(name, _)| allowed.contains(name)).count())
}

/// The system calls that are allowed on some processor, sorted by name, with every group resolved.
///
/// # Errors
/// Unknown and forbidden words.
pub fn allowed_syscalls(asked: &Asked) -> Result<Vec<&'static str>, Refused> {
    Ok(Selection::of(asked)?.allowed.into_iter().collect())
}
