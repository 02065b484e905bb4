//! Landlock: the second lock. The file view already shows only what is allowed; this holds even if that view leaks, and
//! it keeps signals and abstract sockets inside.

use std::path::{Path, PathBuf};

use landlock::{
    ABI, Access as _, AccessFs, BitFlags, PathBeneath, PathFd, Ruleset, RulesetAttr, RulesetCreated,
    RulesetCreatedAttr, RulesetError, RulesetStatus, Scope,
};

use super::lacks::Lacks;
use crate::policy::Access;
use crate::spec::Spec;
use crate::wire::{Failure, Step};

/// The newest rules that are understood; an older kernel enforces those that it knows.
const NEWEST: ABI = ABI::V9;

/// Locks this process and all that it starts. `executables`: the only files that can be executed; none means whatever
/// the binds let execute. Sets `no_new_privs`.
pub(super) fn restrict(spec: &Spec, executables: Option<&[PathBuf]>, lacks: Lacks) -> Result<(), Failure> {
    let failed = |what: String| Failure { step: Step::Landlock, errno: libc::EOPNOTSUPP, what };
    if lacks.landlock {
        return if spec.landlock_optional { Ok(()) } else { Err(failed("locking files".to_owned())) };
    }
    let status = rules(spec, executables)
        .and_then(RulesetCreated::restrict_self)
        .map_err(|error| failed(format!("locking files: {error}")))?;
    if status.ruleset == RulesetStatus::NotEnforced && !spec.landlock_optional {
        return Err(failed("locking files".to_owned()));
    }
    Ok(())
}

fn rules(spec: &Spec, executables: Option<&[PathBuf]>) -> Result<RulesetCreated, RulesetError> {
    let read = AccessFs::ReadFile | AccessFs::ReadDir;
    let handled = AccessFs::from_all(NEWEST);
    let execute = if executables.is_some() { BitFlags::EMPTY } else { AccessFs::Execute.into() };
    // Never given: what listens inside is reached without it.
    let all = (handled & !(AccessFs::Execute | AccessFs::ResolveUnix)) | execute;
    let rules = Ruleset::default().handle_access(handled)?.scope(Scope::from_all(NEWEST))?.create()?;
    let rules = allow(rules, Path::new("/"), read)?;
    let write = read | AccessFs::WriteFile | AccessFs::Truncate;
    let rules = allow(rules, Path::new("/dev"), write | AccessFs::IoctlDev)?;
    let rules = allow(rules, Path::new("/dev/shm"), all)?;
    let rules = allow(rules, Path::new("/tmp"), all)?;
    let rules = executables
        .unwrap_or_default()
        .iter()
        .try_fold(rules, |rules, program| allow(rules, program, AccessFs::ReadFile | AccessFs::Execute))?;
    spec.binds.iter().try_fold(rules, |rules, bind| match bind.access {
        Access::Read => Ok(rules),
        Access::ReadExecute => allow(rules, &bind.inside, read | execute),
        Access::Write => allow(rules, &bind.inside, all & !AccessFs::Execute),
        Access::WriteExecute => allow(rules, &bind.inside, all),
    })
}

fn allow(rules: RulesetCreated, path: &Path, access: BitFlags<AccessFs>) -> Result<RulesetCreated, RulesetError> {
    let Ok(place) = PathFd::new(path) else {
        // What cannot be opened is not allowed; that can only be too strict.
        return Ok(rules);
    };
    let access = if path.is_dir() { access } else { access & AccessFs::from_file(NEWEST) };
    rules.add_rule(PathBeneath::new(place, access))
}
