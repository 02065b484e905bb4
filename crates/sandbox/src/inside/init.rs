//! Process 1 of a sandbox: sets it up, starts the program, reaps orphans, and takes everything with it when it goes.

use std::ffi::CString;
use std::fs;
use std::io;
use std::net::TcpListener;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::time::{Duration, Instant};

use super::stage::Stage;
use super::{give_up, lock, root};
use crate::policy::GATEWAY;
use crate::spec::{Net, Spec};
use crate::sys::{self, Failed, Plan};
use crate::tree::{Exit, Limit};
use crate::wire::{self, Failure, Reply, Step};

/// How much sooner than others a sandbox goes when the machine runs out of memory (-1000 to 1000).
const OOM_SCORE: &str = "500";

/// A sandbox that stands, with its program running.
struct Standing {
    program: libc::pid_t,
    /// Readable when a process has ended.
    ends: OwnedFd,
    deadline: Option<Instant>,
}

/// Sets the sandbox up and stays until it is over.
pub(super) fn run(stage: Stage) -> ! {
    let kept = stage.kept();
    let Stage { spec, reports, stdio, trees, host_ids } = stage;
    let set_up = || {
        sys::close_all_except(3, &kept).map_err(Step::Request.failed("closing files"))?;
        set_up(&spec, reports.as_fd(), stdio, trees, host_ids)
    };
    match set_up() {
        Ok(standing) => watch(&standing, reports.as_fd()),
        Err(failure) => give_up(reports.as_fd(), failure),
    }
}

fn set_up(
    spec: &Spec,
    reports: BorrowedFd<'_>,
    stdio: [OwnedFd; 3],
    trees: Vec<OwnedFd>,
    host_ids: sys::HostIds,
) -> Result<Standing, Failure> {
    let deadline = spec.limits.wall_ms.map(|wall_ms| Instant::now() + Duration::from_millis(wall_ms));
    take_identity(spec, host_ids).map_err(Step::Identity.failed("mapping its user"))?;
    sys::die_with_parent().map_err(Step::Privileges.failed("tying it to its launcher"))?;
    let listener = set_up_network(spec).map_err(Step::Network.failed("setting up its network"))?;
    let init = sys::own_pidfd().map_err(Step::Privileges.failed("referring to itself"))?;
    root::enter(spec, trees)?;
    lock::restrict(spec)?;
    give_up_privileges().map_err(Step::Privileges.failed("giving up privileges"))?;
    let ends = sys::watch_children().map_err(Step::Privileges.failed("watching its processes"))?;
    let program = start(spec, &stdio)?;
    let fds: Vec<BorrowedFd<'_>> = [init.as_fd()].into_iter().chain(listener.as_ref().map(AsFd::as_fd)).collect();
    wire::reply(reports, &Reply::Started, &fds).map_err(Step::Request.failed("answering"))?;
    Ok(Standing { program, ends, deadline })
}

/// Becomes the policy's user in the new user namespace; nothing else is mapped.
fn take_identity(spec: &Spec, host: sys::HostIds) -> io::Result<()> {
    fs::write("/proc/self/setgroups", "deny")?;
    fs::write("/proc/self/gid_map", format!("{} {} 1\n", spec.gid, host.gid))?;
    fs::write("/proc/self/uid_map", format!("{} {} 1\n", spec.uid, host.uid))?;
    // A kindness to the rest of the machine, not a protection: it may fail.
    let _ = fs::write("/proc/self/oom_score_adj", OOM_SCORE);
    sys::new_session_keyring();
    sys::set_name(c"muster-init");
    sys::set_host_name("sandbox")
}

fn set_up_network(spec: &Spec) -> io::Result<Option<TcpListener>> {
    match spec.net {
        Net::Host => Ok(None),
        Net::Loopback => sys::loopback_up().map(|()| None),
        Net::Gateway => sys::loopback_up().and_then(|()| TcpListener::bind(GATEWAY)).map(Some),
    }
}

fn give_up_privileges() -> io::Result<()> {
    sys::no_new_privileges()?;
    sys::drop_all_capabilities()?;
    sys::set_dumpable(false)?;
    sys::block_child_signals()
}

fn start(spec: &Spec, stdio: &[OwnedFd; 3]) -> Result<libc::pid_t, Failure> {
    let plan = plan(spec, stdio).map_err(Step::Request.failed("reading the request"))?;
    sys::spawn_program(&plan).map_err(|(failed, error)| match failed {
        Failed::Cwd => Step::Cwd.failed(spec.cwd.to_string_lossy())(error),
        Failed::Limits => Step::Limits.failed("setting its limits")(error),
        Failed::Exec => Step::Exec.failed("executing it")(error),
    })
}

fn plan(spec: &Spec, stdio: &[OwnedFd; 3]) -> io::Result<Plan> {
    let program = c_string(spec.program.as_os_str().as_bytes())?;
    let args = spec.args.iter().map(|arg| c_string(arg));
    let limits = &spec.limits;
    Ok(Plan {
        candidates: candidates(&spec.program, &spec.env)?,
        args: [Ok(program)].into_iter().chain(args).collect::<io::Result<_>>()?,
        env: spec.env.iter().map(|variable| c_string(variable)).collect::<io::Result<_>>()?,
        cwd: c_string(spec.cwd.as_os_str().as_bytes())?,
        stdio: stdio.each_ref().map(AsRawFd::as_raw_fd),
        limits: [
            (libc::RLIMIT_CORE, 0, 0),
            (libc::RLIMIT_DATA, limits.memory_bytes, limits.memory_bytes),
            (libc::RLIMIT_NPROC, limits.processes, limits.processes),
            (libc::RLIMIT_NOFILE, limits.open_files, limits.open_files),
            (libc::RLIMIT_FSIZE, limits.file_bytes, limits.file_bytes),
        ]
        .into_iter()
        // One second between the signal that can be told apart and the one that cannot be ignored.
        .chain(limits.cpu_s.map(|cpu_s| (libc::RLIMIT_CPU, cpu_s, cpu_s.saturating_add(1))))
        // Where the host is stricter than the policy, the host holds.
        .map(|(kind, soft, hard)| {
            let most = sys::hard_limit(kind);
            (kind, soft.min(most), hard.min(most))
        })
        .collect(),
    })
}

/// Where a program may be: itself if it has a slash, or below each directory of `PATH`.
fn candidates(program: &Path, env: &[Vec<u8>]) -> io::Result<Vec<CString>> {
    let name = program.as_os_str().as_bytes();
    if name.contains(&b'/') {
        return Ok(vec![c_string(name)?]);
    }
    let path = env.iter().find_map(|variable| variable.strip_prefix(b"PATH=")).unwrap_or_default();
    path.split(|byte| *byte == b':').map(|dir| c_string(&[dir, b"/", name].concat())).collect()
}

fn c_string(bytes: &[u8]) -> io::Result<CString> {
    Ok(CString::new(bytes)?)
}

/// Waits for the program, the caller or the clock, whichever ends first. When this process ends, the kernel kills the rest.
fn watch(standing: &Standing, reports: BorrowedFd<'_>) -> ! {
    let Standing { program, ends, deadline } = standing;
    let _ = sys::close_all_except(0, &[reports.as_raw_fd(), ends.as_raw_fd()]);
    loop {
        let left_ms = deadline.map(|at| at.saturating_duration_since(Instant::now()).as_micros().div_ceil(1000));
        let timeout_ms = left_ms.map(|ms| i32::try_from(ms).unwrap_or(i32::MAX));
        let [ended, caller_gone] = sys::wait_readable(&[ends.as_fd(), reports], timeout_ms);
        if caller_gone {
            sys::exit(1);
        }
        if ended && let Some(exit) = reap_all(ends.as_fd(), *program) {
            report(reports, exit);
        }
        if left_ms == Some(0) {
            report(reports, Exit::Limit(Limit::Wall));
        }
    }
}

/// Reaps whatever has ended; how the program ended, if it has.
fn reap_all(ends: BorrowedFd<'_>, program: libc::pid_t) -> Option<Exit> {
    sys::drain(ends);
    std::iter::from_fn(sys::reap).find(|(pid, _)| *pid == program).map(|(_, status)| Exit::of(status))
}

fn report(reports: BorrowedFd<'_>, exit: Exit) -> ! {
    let _ = wire::reply(reports, &Reply::Ended(exit), &[]);
    sys::exit(0)
}
