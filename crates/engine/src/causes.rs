//! From what was seen of a failure to the [`Problem`] that travels with the mission's facts, and what a person can do about it.
//!
//! The gateway's word counts before the agent's: it saw the provider's answer, and every agent makes something else of it, or nothing.

use crate::settings::{RoleSettings, Settings, UpstreamSettings};
use api::acp_meta::ProgramFailure;
use gateway::{Trouble, What};
use mission::{Cause, CheckRun, Problem, Return};

/// Errors of the system that say that a program cannot be run at all: ENOENT, EACCES, ENOEXEC, ENOTDIR, ELOOP, E2BIG (`errno(3)`).
const NEVER_RUNS: [i32; 6] = [2, 13, 8, 20, 40, 7];

/// A call that brought no answer.
pub(crate) fn of_call(trouble: &Trouble, role: &RoleSettings, settings: &Settings) -> Problem {
    let Trouble { upstream, address, tries, lasting, what } = trouble;
    let (upstream, address, tries) = (upstream.clone(), address.clone(), *tries);
    let known = settings.upstreams.get(&upstream);
    let hint = if *lasting { hint(trouble, role, known) } else { String::new() };
    let cause = match what.clone() {
        What::Answered { status, code, words } => Cause::Answered { upstream, address, status, code, words, tries },
        What::Unreachable { words } => Cause::Unreachable { upstream, address, words, tries },
        What::Unanswered { words } => Cause::Unanswered { upstream, address, words, tries },
        What::Refused { rule, words } => Cause::Refused { rule, words },
    };
    Problem { cause, lasting: *lasting, hint }
}

/// A program that the bridge could not start.
pub(crate) fn of_program(failure: ProgramFailure, role: &str) -> Problem {
    let ProgramFailure { program, words, errno } = failure;
    let never = errno.is_some_and(|errno| NEVER_RUNS.contains(&errno));
    let hint = format!(
        "Install {program} where the sandbox of role {role} sees it, or name its path in `command` of the role; `muster agents list` says what is found"
    );
    let cause = Cause::Program { program, words, errno };
    if never { Problem::lasting(cause, hint) } else { Problem::passing(cause) }
}

/// What a person can do about a call that ends the same until something is changed.
fn hint(trouble: &Trouble, role: &RoleSettings, upstream: Option<&UpstreamSettings>) -> String {
    const ANEW: &str = "in muster.yaml and begin a new mission: this one keeps what it began with";
    let (name, model) = (&trouble.upstream, &role.model);
    match &trouble.what {
        What::Unreachable { .. } => {
            format!(
                "Start what should answer there; or, if the address is wrong, change `base_url` of upstream {name} {ANEW}"
            )
        }
        What::Refused { rule, .. } if rule == "unknown_price" => {
            format!("Set the price of {model} under `prices:` {ANEW}")
        }
        What::Refused { .. } => format!("Change it {ANEW}"),
        what if what.is_of_money() => {
            format!(
                "Add credit or raise the limit at the provider of upstream {name} (its own budget, not the mission's)"
            )
        }
        what if what.is_of_key() => key_hint(name, upstream),
        What::Answered { .. } | What::Unanswered { .. } => format!(
            "Make model {model} available at upstream {name}; or change `model`, `upstream` or `base_url` {ANEW}"
        ),
    }
}

fn key_hint(name: &str, upstream: Option<&UpstreamSettings>) -> String {
    match upstream {
        Some(UpstreamSettings::Url { key_env: Some(variable), .. }) => {
            format!("Set the variable {variable} to a key that upstream {name} accepts")
        }
        Some(UpstreamSettings::Url { key_file: Some(file), .. }) => {
            format!("Put a key that upstream {name} accepts into {}", file.display())
        }
        Some(UpstreamSettings::Url { key_command: Some(words), .. }) => {
            format!("Let `{}` print a key that upstream {name} accepts", words.join(" "))
        }
        Some(UpstreamSettings::Url { pass_through: true, .. }) => {
            format!("Log the agent's program in at upstream {name} again")
        }
        _ => format!("Give upstream {name} a key that it accepts (`key_env` or `key_file`) and begin a new mission"),
    }
}

/// A check that could not even start.
pub(crate) fn of_check(run: &CheckRun) -> Option<Problem> {
    let hint = policies::checks::lacking(&run.ended, &run.output).filter(|_| !run.passed)?;
    Some(Problem::lasting(Cause::Returned(Box::new(Return::Checks(vec![run.clone()]))), hint))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_that_never_runs_is_told_from_one_that_may() {
        let failure = |errno| ProgramFailure { program: "codex".into(), words: "is not there".into(), errno };
        assert!(of_program(failure(Some(2)), "builder").lasting);
        // Out of memory or processes may pass.
        assert!(!of_program(failure(Some(11)), "builder").lasting && !of_program(failure(None), "builder").lasting);
    }
}
