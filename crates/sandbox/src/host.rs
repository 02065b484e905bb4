//! What this host enforces, found out by doing it.
//!
//! Settings say little: a host may allow making a namespace and forbid using it. So sandboxes are launched, and what they
//! promise is tried from inside.

use std::fs::File;
use std::io::Read;
use std::os::fd::AsFd;

use crate::launcher::{Launch, Launcher, Sandboxed};
use crate::policy::{Layer, Network, Policy};
use crate::{Exit, SandboxError, presets, seccomp, sys};

/// What was found; [`HostReport::can_launch`] sums it up.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HostReport {
    /// Every guarantee, in the order to show.
    pub checks: Vec<Check>,
    /// The version of Landlock that the kernel has (1 to 9; every version guards more); none if it has none.
    pub landlock_abi: Option<i32>,
    /// Whether the caller is root, so that agents get a user of their own on the host.
    pub root: bool,
}

/// One guarantee, tried.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// What is guaranteed, in a few words.
    pub name: &'static str,
    /// What enforces it here, or would.
    pub by: String,
    /// Why it does not hold and what to do about it; none if it holds.
    pub problem: Option<String>,
}

impl HostReport {
    /// Whether sandboxes can be launched here at all, with everything that a policy asks for unless it says otherwise.
    pub fn can_launch(&self) -> bool {
        self.checks.iter().all(|check| check.problem.is_none())
    }
}

/// How long the end of a killed tree may take, in milliseconds; it takes about ten.
const END_MS: i32 = 10_000;

/// Launches sandboxes to see what holds on this host. Takes some fifty milliseconds.
pub fn host_report(launcher: &Launcher) -> HostReport {
    let landlock_abi = sys::landlock_abi();
    let probe = Probe::of(launcher);
    let mut checks = seen_inside(&probe);
    checks.extend(tried_inside(&probe));
    checks.extend(layers(&probe, landlock_abi));
    HostReport { checks, landlock_abi, root: sys::is_root() }
}

/// Launches with as much as this host has.
struct Probe<'a> {
    launcher: &'a Launcher,
    /// The layers that it must do without.
    missing: Vec<Layer>,
}

impl<'a> Probe<'a> {
    fn of(launcher: &'a Launcher) -> Self {
        let lesser = [vec![], vec![Layer::Landlock], vec![Layer::Seccomp], vec![Layer::Landlock, Layer::Seccomp]];
        let mut probes = lesser.into_iter().map(|missing| Self { launcher, missing });
        let launches = |probe: &Self| probe.read(Network::None, "/dev/null").is_ok();
        probes.find(launches).unwrap_or(Self { launcher, missing: Vec::new() })
    }

    /// Why there is no sandbox with this layer; none if there is.
    fn refusal(&self, layer: Layer) -> Option<String> {
        let missing = self.missing.iter().copied().filter(|missing| *missing != layer).collect();
        Self { launcher: self.launcher, missing }.read(Network::None, "/dev/null").err()
    }

    fn launch(&self, policy: Policy, command: &[&str]) -> Result<Sandboxed, SandboxError> {
        let policy = Policy { allow_degraded: self.missing.clone(), ..policy };
        let (program, args) = command.split_first().unwrap_or((&"true", &[]));
        let args = args.iter().map(Into::into).collect();
        self.launcher.launch(&Launch { policy, program: program.into(), args, cwd: "/".into() })
    }

    /// What a program inside reads in a file.
    fn read(&self, network: Network, file: &str) -> Result<String, String> {
        self.say(Policy { network, ..presets::tool() }, &["cat", file])
    }

    /// What a program inside says.
    fn say(&self, policy: Policy, command: &[&str]) -> Result<String, String> {
        let mut sandboxed = self.launch(policy, command).map_err(|error| error.to_string())?;
        let mut text = String::new();
        File::from(sandboxed.stdout).read_to_string(&mut text).map_err(|error| error.to_string())?;
        match sandboxed.tree.wait() {
            Exit::Code(0) => Ok(text),
            exit => Err(format!("a program in the sandbox ended with {exit:?}")),
        }
    }
}

/// What can be read inside.
fn seen_inside(probe: &Probe<'_>) -> Vec<Check> {
    let status = probe.read(Network::Gateway, "/proc/self/status");
    let interfaces = probe.read(Network::None, "/proc/net/dev");
    let mounts = probe.read(Network::None, "/proc/self/mounts");
    let limits = probe.read(Network::None, "/proc/self/limits");
    let ipc = probe.say(presets::tool(), &["readlink", "/proc/self/ns/ipc"]);
    vec![
        check("a sandbox can be launched", "user, mount, process, network and IPC namespaces", &status, |_| true),
        check("own files", "a mount namespace with a read-only root", &mounts, |text| {
            let root = text.lines().find(|line| line.split(' ').nth(1) == Some("/"));
            root.is_some_and(|line| line.split(' ').nth(2) == Some("tmpfs") && line.contains(" ro,"))
        }),
        check("own processes", "a process namespace", &status, |text| field(text, "Pid") == Some("2")),
        check("own network", "a network namespace with loopback only", &interfaces, |text| {
            text.lines().filter(|line| line.contains(':')).count() == 1
        }),
        check("own shared memory, semaphores and queues", "an IPC namespace", &ipc, |inside| {
            let ours = std::fs::read_link("/proc/self/ns/ipc");
            ours.is_ok_and(|ours| ours.to_string_lossy() != inside.trim())
        }),
        check("an identity without rights", "a user namespace with one ordinary user", &status, |text| {
            field(text, "Uid") == Some("1000\t1000\t1000\t1000") && field(text, "Gid") == Some("1000\t1000\t1000\t1000")
        }),
        check("no new privileges", "the no-new-privileges bit", &status, |text| field(text, "NoNewPrivs") == Some("1")),
        check("no capabilities", "empty capability sets", &status, |text| {
            ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"]
                .iter()
                .all(|set| field(text, set) == Some("0000000000000000"))
        }),
        check("no core dumps", "a limit on their size", &limits, |text| {
            let line = text.lines().find_map(|line| line.strip_prefix("Max core file size"));
            line.is_some_and(|line| line.split_whitespace().take(2).eq(["1", "1"]))
        }),
        seccomp_check(probe, &status),
    ]
}

fn seccomp_check(probe: &Probe<'_>, status: &Result<String, String>) -> Check {
    let by = format!("a seccomp filter that lets {} calls through", seccomp::allowed_here(&presets::tool()));
    let filtered = check("system calls", &by, status, |text| field(text, "Seccomp") == Some("2"));
    unless_missing(probe, Layer::Seccomp, filtered)
}

/// What can only be seen by trying to get around it.
fn tried_inside(probe: &Probe<'_>) -> Vec<Check> {
    let children = check("a worker has no children", "the seccomp filter", &children(probe), |_| true);
    let end = check("the whole tree dies at once", "process 1 of the process namespace", &end(probe), |_| true);
    vec![unless_missing(probe, Layer::Seccomp, children), end]
}

/// The second lock.
fn layers(probe: &Probe<'_>, landlock_abi: Option<i32>) -> Vec<Check> {
    let version = landlock_abi.map_or("Landlock".to_owned(), |abi| format!("Landlock version {abi}"));
    let launched = probe.read(Network::None, "/dev/null");
    let files = check("a second lock on files", &version, &launched, |_| true);
    // Before version 6 the namespaces alone keep these in, and with `network: open` there is no namespace of the network.
    let by = match landlock_abi {
        Some(6..) => format!("process and network namespaces, and {version}"),
        _ => "process and network namespaces (with network: open nothing keeps abstract sockets away)".to_owned(),
    };
    let signals = check("signals and abstract sockets stay inside", &by, &launched, |_| true);
    vec![unless_missing(probe, Layer::Landlock, files), signals]
}

/// Fails unless a worker is refused a child.
fn children(probe: &Probe<'_>) -> Result<String, String> {
    let policy = Policy { network: Network::None, ..presets::worker() };
    if let Some(refusal) = probe.refusal(Layer::Seccomp) {
        return Err(refusal);
    }
    let mut sandboxed = probe.launch(policy, &["sh", "-c", "true & wait"]).map_err(|error| error.to_string())?;
    sandboxed.tree.wait();
    let refused = sandboxed.tree.denials().iter().any(|denial| ["fork", "vfork", "clone"].contains(&denial.syscall));
    if refused { Ok(String::new()) } else { Err("a worker could start a process".to_owned()) }
}

/// Fails unless a process that hides goes with its tree.
fn end(probe: &Probe<'_>) -> Result<String, String> {
    let script = "setsid sh -c 'trap \"\" TERM HUP; echo hidden; sleep 1000' & sleep 1000";
    let sandboxed = probe.launch(presets::tool(), &["sh", "-c", script]).map_err(|error| error.to_string())?;
    let Sandboxed { stdout, tree, .. } = sandboxed;
    let mut hidden = [0; 7];
    let mut stdout = File::from(stdout);
    stdout.read_exact(&mut hidden).map_err(|error| error.to_string())?;
    tree.kill();
    // The pipe ends when nobody inside holds it any more.
    let ended = sys::readable(stdout.as_fd(), Some(END_MS)) && matches!(stdout.read(&mut hidden), Ok(0));
    if ended { Ok(String::new()) } else { Err("a hidden process outlived its sandbox".to_owned()) }
}

fn check(name: &'static str, by: &str, found: &Result<String, String>, holds: impl Fn(&str) -> bool) -> Check {
    let problem = match found {
        Err(problem) => Some(problem.clone()),
        Ok(text) if holds(text) => None,
        Ok(_) => Some("it does not hold inside the sandbox".to_owned()),
    };
    Check { name, by: by.to_owned(), problem }
}

/// The check, or, where its layer is missing, what the launch with everything said.
fn unless_missing(probe: &Probe<'_>, layer: Layer, check: Check) -> Check {
    if probe.missing.contains(&layer) { Check { problem: probe.refusal(layer), ..check } } else { check }
}

fn field<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':').map(str::trim))
}
