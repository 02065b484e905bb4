//! Process 1 of a sandbox: sets it up, starts the program, reaps orphans, and takes everything with it when it goes.

use std::fs;
use std::io;
use std::net::TcpListener;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::time::{Duration, Instant};

use super::lacks::{self, Lacks};
use super::program::{self, Program};
use super::sockets::Sockets;
use super::stage::Stage;
use super::{give_up, lock, root};
use crate::policy::GATEWAY;
use crate::seccomp::{CALLS_MAX, Denials, Instruction};
use crate::spec::{Net, Spec};
use crate::sys::{self, Failed, FilterInstruction, Plan, Started};
use crate::tree::{Exit, Limit};
use crate::wire::{self, Failure, Reply, Step};

/// How much sooner than others a sandbox goes when the machine runs out of memory (-1000 to 1000).
const OOM_SCORE: &str = "500";

/// Ended processes that are taken note of at a time. Who makes them faster than that keeps nobody from looking at the clock.
const REAPED_MAX: usize = 64;

/// A sandbox that stands, with its program running.
pub(super) struct Standing {
    pub program: Started,
    pub denials: Denials,
    /// Whether connecting is passed on too, to be carried out here.
    pub connects: bool,
    /// Readable when a process has ended.
    pub ends: OwnedFd,
    pub deadline: Option<Instant>,
}

/// Sets the sandbox up and stays until it is over.
pub(super) fn run(stage: Stage) -> ! {
    let kept = stage.kept();
    let Stage { spec, reports, stdio, trees, host_ids, lacks } = stage;
    let set_up = || {
        sys::close_all_except(3, &kept).map_err(Step::Request.failed("closing files"))?;
        set_up(&spec, reports.as_fd(), stdio, trees, host_ids, lacks)
    };
    match set_up() {
        Ok(standing) => watch(standing, reports.as_fd()),
        Err(failure) => give_up(reports.as_fd(), failure),
    }
}

fn set_up(
    spec: &Spec,
    reports: BorrowedFd<'_>,
    stdio: [OwnedFd; 3],
    trees: Vec<OwnedFd>,
    host_ids: sys::HostIds,
    lacks: Lacks,
) -> Result<Standing, Failure> {
    let deadline = spec.limits.wall_ms.map(|wall_ms| Instant::now() + Duration::from_millis(wall_ms));
    take_identity(spec, host_ids).map_err(Step::Identity.failed("mapping its user"))?;
    sys::die_with_parent().map_err(Step::Privileges.failed("tying it to its launcher"))?;
    let listener = set_up_network(spec).map_err(Step::Network.failed("setting up its network"))?;
    let init = sys::own_pidfd().map_err(Step::Privileges.failed("referring to itself"))?;
    root::enter(spec, trees)?;
    let program = program::find(spec)?;
    lock::restrict(spec, program.executables.as_deref(), lacks)?;
    give_up_privileges().map_err(Step::Privileges.failed("giving up privileges"))?;
    let ends = sys::watch_children().map_err(Step::Privileges.failed("watching its processes"))?;
    let counters = sys::memory_file().map_err(Step::Privileges.failed("making its counters"))?;
    let program = start(spec, program, &stdio, lacks)?;
    let fds = [init.as_fd(), counters.as_fd()].into_iter().chain(listener.as_ref().map(AsFd::as_fd));
    let fds: Vec<BorrowedFd<'_>> = fds.collect();
    wire::reply(reports, &Reply::Started, &fds).map_err(Step::Request.failed("answering"))?;
    let connects = spec.filter.alone.is_some();
    Ok(Standing { program, denials: Denials::new(counters), connects, ends, deadline })
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

pub(super) fn give_up_privileges() -> io::Result<()> {
    sys::no_new_privileges()?;
    sys::drop_all_capabilities()?;
    sys::set_dumpable(false)?;
    sys::block_child_signals()
}

/// Starts the program; returns when it has been executed.
pub(super) fn start(spec: &Spec, program: Program, stdio: &[OwnedFd; 3], lacks: Lacks) -> Result<Started, Failure> {
    let mut plan = plan(spec, program, stdio).map_err(Step::Request.failed("reading the request"))?;
    let started = match lacks.seccomp {
        false => sys::spawn_program(&plan),
        true => Err((Failed::Filter, lacks::refusal())),
    };
    let started = match started {
        Err((Failed::Filter, _)) if spec.seccomp_optional => {
            plan.filter = None;
            sys::spawn_program(&plan)
        }
        started => started,
    };
    started.map_err(|(failed, error)| match failed {
        Failed::Cwd => Step::Cwd.failed(spec.cwd.to_string_lossy())(error),
        Failed::Terminal => Step::Request.failed("taking its terminal")(error),
        Failed::Limits => Step::Limits.failed("setting its limits")(error),
        Failed::Filter => Step::Seccomp.failed("filtering its system calls")(error),
        Failed::Exec => Step::Exec.failed("executing it")(error),
    })
}

fn plan(spec: &Spec, program: Program, stdio: &[OwnedFd; 3]) -> io::Result<Plan> {
    let filter = &spec.filter;
    let alone = filter.alone.as_ref().unwrap_or(&filter.program);
    let limits = &spec.limits;
    Ok(Plan {
        candidates: program.candidates,
        args: program.args,
        env: spec.env.iter().map(|variable| program::c_string(variable)).collect::<io::Result<_>>()?,
        cwd: program::c_string(spec.cwd.as_os_str().as_bytes())?,
        stdio: stdio.each_ref().map(AsRawFd::as_raw_fd),
        own_terminal: spec.own_terminal,
        filter: Some([&filter.program, alone].map(|filter| filter.iter().map(instruction).collect())),
        secret: spec.filter.once.unwrap_or_default(),
        limits: [
            // Not 0: a handler of `core_pattern` is started all the same then, outside, for every crash. At 1 the kernel starts none.
            (libc::RLIMIT_CORE, 1, 1),
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

fn instruction(instruction: &Instruction) -> FilterInstruction {
    let Instruction { code, jump_true, jump_false, value } = *instruction;
    FilterInstruction { code, jt: jump_true, jf: jump_false, k: value }
}

/// Waits for the program, the caller or the clock, whichever ends first. When this process ends, the kernel kills the rest.
pub(super) fn watch(standing: Standing, reports: BorrowedFd<'_>) -> ! {
    let Standing { program, denials, connects, ends, deadline } = standing;
    let Started { pid, mut refusals } = program;
    let counters = denials.as_fd().as_raw_fd();
    let kept =
        [Some(reports.as_raw_fd()), Some(ends.as_raw_fd()), Some(counters), refusals.as_ref().map(AsRawFd::as_raw_fd)];
    let _ = sys::close_all_except(0, &kept.into_iter().flatten().collect::<Vec<_>>());
    let (mut calls, mut unreaped) = (Calls::new(connects, denials), false);
    loop {
        let left_ms = deadline.map(|at| at.saturating_duration_since(Instant::now()).as_micros().div_ceil(1000));
        let timeout_ms = match unreaped {
            true => Some(0),
            false => left_ms.map(|ms| i32::try_from(ms).unwrap_or(i32::MAX)),
        };
        let [ended, told, refused] = wait(ends.as_fd(), reports, refusals.as_ref(), timeout_ms);
        if told {
            pass_on(reports);
        }
        if refused && let Some(listener) = refusals.take() {
            refusals = calls.answer(listener);
        }
        if ended {
            sys::drain(ends.as_fd());
            unreaped = true;
        }
        if unreaped && let Some(exit) = reap_some(&mut unreaped, pid, &mut calls.sockets, refusals.as_ref()) {
            report(reports, exit);
        }
        if left_ms == Some(0) {
            report(reports, Exit::Limit(Limit::Wall));
        }
    }
}

fn wait(
    ends: BorrowedFd<'_>,
    reports: BorrowedFd<'_>,
    refusals: Option<&OwnedFd>,
    timeout_ms: Option<i32>,
) -> [bool; 3] {
    match refusals {
        Some(refusals) => sys::wait_readable(&[ends, reports, refusals.as_fd()], timeout_ms),
        None => {
            let [ended, caller_gone] = sys::wait_readable(&[ends, reports], timeout_ms);
            [ended, caller_gone, false]
        }
    }
}

/// What the filter passes on.
struct Calls {
    /// How often each was refused.
    counts: Vec<u32>,
    denials: Denials,
    connects: bool,
    sockets: Sockets,
}

impl Calls {
    fn new(connects: bool, denials: Denials) -> Self {
        Self { counts: vec![0; CALLS_MAX], denials, connects, sockets: Sockets::default() }
    }

    /// Answers one call: one, so that nobody who makes many keeps this process from its other duties. Gives the listener back
    /// as long as there is anybody to listen to.
    fn answer(&mut self, listener: OwnedFd) -> Option<OwnedFd> {
        match sys::take_call(listener.as_fd()).ok()? {
            None => {}
            Some(call) if self.connects && call.number == libc::SYS_connect as usize => {
                self.sockets.connect(listener.as_fd(), &call);
            }
            Some(call) => {
                sys::answer_call(listener.as_fd(), call.id, Err(libc::EPERM));
                self.count(call.number);
            }
        }
        Some(listener)
    }

    fn count(&mut self, number: usize) {
        if let Some(count) = self.counts.get_mut(number) {
            *count = count.saturating_add(1);
            // Whoever counts must not stop for it.
            let _ = self.denials.write(number, *count);
        }
    }
}

/// The caller sends a signal for everybody inside, or is gone.
fn pass_on(reports: BorrowedFd<'_>) {
    let mut signal = [0];
    match sys::receive_exact(reports, &mut signal) {
        Ok(()) => sys::signal_all_others(signal[0].into()),
        Err(_) => sys::exit(1),
    }
}

/// Reaps what has ended, up to [`REAPED_MAX`]; how the program ended, if it has. `unreaped`: whether there may be more.
fn reap_some(
    unreaped: &mut bool,
    program: libc::pid_t,
    sockets: &mut Sockets,
    listener: Option<&OwnedFd>,
) -> Option<Exit> {
    for _ in 0..REAPED_MAX {
        let Some((pid, status)) = sys::reap() else {
            *unreaped = false;
            return None;
        };
        if pid == program {
            return Some(Exit::of(status));
        }
        sockets.ended(listener.map(AsFd::as_fd), pid);
    }
    None
}

fn report(reports: BorrowedFd<'_>, exit: Exit) -> ! {
    let _ = wire::reply(reports, &Reply::Ended(exit), &[]);
    sys::exit(0)
}
