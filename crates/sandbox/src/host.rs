//! What this host enforces, found out by doing it.
//!
//! Settings say little: a host may allow making a namespace and forbid using it. So a sandbox is launched, and the process
//! inside is asked what it is.

use std::fs::File;
use std::io::Read;

use crate::launcher::{Launch, Launcher};
use crate::policy::{Network, Policy};
use crate::{Exit, SandboxError, presets, sys};

/// What was found; [`HostReport::can_launch`] sums it up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostReport {
    /// Every check, in the order to show.
    pub checks: Vec<Check>,
    /// The version of Landlock that the kernel has (1 to 9; every version guards more); none if it has none.
    pub landlock_abi: Option<i32>,
    /// Whether the caller is root, so that agents get a user of their own on the host.
    pub root: bool,
}

/// One thing that was tried.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// What was tried, in a few words.
    pub name: &'static str,
    /// What went wrong and what to do about it; none if it holds.
    pub problem: Option<String>,
}

impl HostReport {
    /// Whether sandboxes can be launched here at all.
    pub fn can_launch(&self) -> bool {
        self.checks.iter().all(|check| check.problem.is_none())
    }
}

/// Launches sandboxes to see what holds on this host. Takes some ten milliseconds.
pub fn host_report(launcher: &Launcher) -> HostReport {
    let status = run(launcher, Network::Gateway, "/proc/self/status");
    let interfaces = run(launcher, Network::None, "/proc/net/dev");
    let mounts = run(launcher, Network::None, "/proc/self/mounts");
    let checks = vec![
        check("a sandbox can be launched", &status, |_| true),
        check("no new privileges", &status, |text| field(text, "NoNewPrivs") == Some("1")),
        check("no capabilities", &status, |text| {
            ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"]
                .iter()
                .all(|set| field(text, set) == Some("0000000000000000"))
        }),
        check("own processes", &status, |text| field(text, "Pid") == Some("2")),
        check("own files", &mounts, |text| {
            let root = text.lines().find(|line| line.split(' ').nth(1) == Some("/"));
            root.is_some_and(|line| line.split(' ').nth(2) == Some("tmpfs") && line.contains(" ro,"))
        }),
        check("own network", &interfaces, |text| text.lines().filter(|line| line.contains(':')).count() == 1),
    ];
    HostReport { checks, landlock_abi: sys::landlock_abi(), root: sys::is_root() }
}

fn check(name: &'static str, found: &Result<String, String>, holds: impl Fn(&str) -> bool) -> Check {
    let problem = match found {
        Err(problem) => Some(problem.clone()),
        Ok(text) if holds(text) => None,
        Ok(_) => Some("it does not hold inside the sandbox".to_owned()),
    };
    Check { name, problem }
}

/// What a program inside reads in a file.
fn run(launcher: &Launcher, network: Network, file: &str) -> Result<String, String> {
    let policy = Policy { network, ..presets::tool() };
    let launch = Launch { policy, program: "cat".into(), args: vec![file.into()], cwd: "/".into() };
    let mut sandboxed = launcher.launch(&launch).map_err(|error: SandboxError| error.to_string())?;
    let mut text = String::new();
    File::from(sandboxed.stdout).read_to_string(&mut text).map_err(|error| error.to_string())?;
    match sandboxed.tree.wait() {
        Exit::Code(0) => Ok(text),
        exit => Err(format!("a program in the sandbox ended with {exit:?}")),
    }
}

fn field<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':').map(str::trim))
}
