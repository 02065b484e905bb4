//! A hostile program: one attempt to get out of a sandbox per name.
//!
//! Why one program for all of them: each attempt runs as the only process of a sandbox, exactly as an agent would, and
//! without a shell or an interpreter that could be missing there. `probe NAME KEY=VALUE…` makes one attempt and prints one
//! line of JSON, `{"probe":…, "outcome":…, "how":…}`. The tests in `tests/it` set the scene, run every probe without a
//! sandbox (does it work at all?) and inside every preset, and judge it on the host side, by what has changed there, before
//! they believe what the probe says.
//!
//! What a probe refuses to do: harm the machine on which it runs without a sandbox. What it changes belongs to the scene, what
//! it uses up has a bound, and what concerns the whole host stops where the kernel's permission check is passed.
#![allow(unsafe_code)]

mod environment;
mod files;
mod git;
mod ipc;
mod kernel;
mod network;
mod others;
mod proc;
mod resources;
mod scene;
mod spawn;
mod time;

use std::io;

pub use scene::{Scene, errno_name};

/// One attempt.
#[derive(Clone, Copy, Debug)]
pub struct Probe {
    /// Its name; the first word is its group.
    pub name: &'static str,
    /// What it tries, in a few words.
    pub what: &'static str,
    run: fn(&Scene) -> io::Result<Outcome>,
}

/// How an attempt went, as the probe sees it, and in which words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It got what it wanted.
    Escaped(String),
    /// It was refused.
    Held(String),
    /// Something worked, but it reached nothing but itself.
    Partly(String),
    /// It makes no sense here: another processor, a part of the scene that is not there.
    NotApplicable(String),
}

impl Outcome {
    /// As written in the report, and in which words.
    pub fn parts(&self) -> (&'static str, &str) {
        match self {
            Self::Escaped(how) => ("escaped", how),
            Self::Held(how) => ("held", how),
            Self::Partly(how) => ("partly", how),
            Self::NotApplicable(how) => ("n/a", how),
        }
    }
}

impl Probe {
    const fn new(name: &'static str, what: &'static str, run: fn(&Scene) -> io::Result<Outcome>) -> Self {
        Self { name, what, run }
    }

    /// Makes the attempt. An error of the kernel means that it was held.
    pub fn run(&self, scene: &Scene) -> Outcome {
        match (self.run)(scene) {
            Ok(outcome) => outcome,
            Err(error) if error.kind() == io::ErrorKind::InvalidData => Outcome::NotApplicable(error.to_string()),
            Err(error) => Outcome::Held(errno_name(&error)),
        }
    }
}

/// All probes, by group.
pub fn all() -> impl Iterator<Item = &'static Probe> {
    let groups = [
        files::PROBES,
        proc::PROBES,
        others::PROBES,
        kernel::PROBES,
        spawn::PROBES,
        ipc::PROBES,
        network::PROBES,
        environment::PROBES,
        resources::PROBES,
        time::PROBES,
        git::PROBES,
    ];
    groups.into_iter().flatten()
}

/// The line that a probe prints.
pub fn report(name: &str, outcome: &Outcome) -> String {
    let (outcome, how) = outcome.parts();
    serde_json::json!({ "probe": name, "outcome": outcome, "how": how }).to_string()
}

/// Got it.
fn escaped(how: impl Into<String>) -> io::Result<Outcome> {
    Ok(Outcome::Escaped(how.into()))
}

/// Refused, without an error of the kernel.
fn held(how: impl Into<String>) -> io::Result<Outcome> {
    Ok(Outcome::Held(how.into()))
}

fn partly(how: impl Into<String>) -> io::Result<Outcome> {
    Ok(Outcome::Partly(how.into()))
}

/// The value of a call of libc, or its error.
fn check(value: impl Into<i64>) -> io::Result<i64> {
    let value = value.into();
    if value == -1 { Err(io::Error::last_os_error()) } else { Ok(value) }
}

/// The end of an attempt that is over when a call is let through at all. The kernel answers these errors for what it does not
/// let happen; any other error comes from behind that door.
fn let_through(value: impl Into<i64>) -> io::Result<Outcome> {
    let refused = [libc::EPERM, libc::EACCES, libc::ENOSYS, libc::ENOENT, libc::ESRCH, libc::EROFS, libc::EAFNOSUPPORT];
    match check(value) {
        Ok(_) => escaped("it worked"),
        Err(error) if error.raw_os_error().is_some_and(|errno| refused.contains(&errno)) => Err(error),
        Err(error) => escaped(format!("let through: {}", errno_name(&error))),
    }
}
