//! Processes: forking the small single-threaded launcher, making init in its namespaces, executing the program.

use std::ffi::{CStr, CString};
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use super::filter::{FilterInstruction, load_filter};
use super::{check, check_int};

/// `CLONE_INTO_CGROUP` of `linux/sched.h`, which the C library's type is too narrow for.
const CLONE_INTO_CGROUP: u64 = 1 << 33;

/// Which side of a fork this is.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Forked {
    Child,
    Parent(libc::pid_t),
}

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Status {
    Code(i32),
    Signal(i32),
}

/// Copies this process. Only for a process with one thread.
pub(crate) fn fork() -> io::Result<Forked> {
    // SAFETY: the process has one thread, so the copy is complete.
    let pid = unsafe { check_int(libc::fork())? };
    Ok(if pid == 0 { Forked::Child } else { Forked::Parent(pid) })
}

/// Copies this process into new namespaces, as a child of this process's parent, where it is process 1; and into a
/// control group, if there is one. Only for a process with one thread.
pub(crate) fn clone_init(own_network: bool, group: Option<BorrowedFd<'_>>) -> io::Result<Forked> {
    let flags = libc::CLONE_NEWUSER
        | libc::CLONE_NEWNS
        | libc::CLONE_NEWPID
        | libc::CLONE_NEWIPC
        | libc::CLONE_NEWUTS
        | libc::CLONE_NEWCGROUP
        | libc::CLONE_PARENT
        | if own_network { libc::CLONE_NEWNET } else { 0 };
    // SAFETY: zeroed arguments with flags that share no memory make a plain fork; the process has one thread.
    let pid = unsafe {
        let mut args: libc::clone_args = MaybeUninit::zeroed().assume_init();
        args.flags = flags as u64;
        if let Some(group) = group {
            args.flags |= CLONE_INTO_CGROUP;
            args.cgroup = group.as_raw_fd() as u64;
        }
        check(libc::syscall(libc::SYS_clone3, &raw mut args, size_of::<libc::clone_args>()))?
    };
    Ok(if pid == 0 { Forked::Child } else { Forked::Parent(pid as libc::pid_t) })
}

/// Ends this process at once.
pub(crate) fn exit(code: i32) -> ! {
    // SAFETY: does not return; nothing of the process is used any more.
    unsafe { libc::_exit(code) }
}

/// Lets the kernel kill this process when its parent (the thread that started it) ends.
pub(crate) fn die_with_parent() -> io::Result<()> {
    // SAFETY: no pointers are involved.
    unsafe { check_int(libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL, 0, 0, 0)).map(drop) }
}

/// Names this process for people who look at a process list. At most 15 bytes count.
pub(crate) fn set_name(name: &CStr) {
    // SAFETY: `name` ends in NUL.
    let _ = unsafe { libc::prctl(libc::PR_SET_NAME, name.as_ptr(), 0, 0, 0) };
}

/// Every signal does what it does by default, also those that whoever started us ignored.
pub(crate) fn default_signals() {
    const SIGNALS: libc::c_int = 64;
    // The kernel's own `struct sigaction`, all zero. The C library would leave out the signals that it uses itself.
    let default = [0_u64; 4];
    let nowhere = std::ptr::null_mut::<u64>();
    for signal in 1..=SIGNALS {
        // SAFETY: a zeroed action is the default one; 8 is the size of the kernel's signal set. SIGKILL and SIGSTOP refuse.
        unsafe { libc::syscall(libc::SYS_rt_sigaction, signal, default.as_ptr(), nowhere, 8_usize) };
    }
}

/// Leaves the session of whoever started us, and its terminal.
pub(crate) fn new_session() {
    // SAFETY: no memory is involved. The only failure is that it is so already.
    unsafe { libc::setsid() };
}

/// Stands back behind other processes by so many steps of `nice`, of which each is worth about a tenth of the processor.
pub(crate) fn stand_back(steps: libc::c_int) {
    // SAFETY: no memory is involved. Standing back is always allowed.
    unsafe { libc::nice(steps) };
}

/// Ends of children wait until they are asked for, and interrupt nothing.
pub(crate) fn block_child_signals() -> io::Result<()> {
    // SAFETY: as above; the set is filled before use.
    unsafe {
        libc::signal(libc::SIGCHLD, libc::SIG_DFL);
        check_int(libc::sigprocmask(libc::SIG_BLOCK, &raw const *child_signal().as_ptr(), std::ptr::null_mut()))
            .map(drop)
    }
}

/// Becomes readable when a child has ended. Wants [`block_child_signals`] first.
pub(crate) fn watch_children() -> io::Result<OwnedFd> {
    // SAFETY: the set is filled; the descriptor is new and ours.
    unsafe {
        let flags = libc::SFD_CLOEXEC | libc::SFD_NONBLOCK;
        Ok(OwnedFd::from_raw_fd(check_int(libc::signalfd(-1, child_signal().as_ptr(), flags))?))
    }
}

fn child_signal() -> MaybeUninit<libc::sigset_t> {
    let mut set = MaybeUninit::uninit();
    // SAFETY: the set is initialised by the first call.
    unsafe {
        libc::sigemptyset(set.as_mut_ptr());
        libc::sigaddset(set.as_mut_ptr(), libc::SIGCHLD);
    }
    set
}

/// Takes note of one ended child, if there is one: who, and how.
pub(crate) fn reap() -> Option<(libc::pid_t, Status)> {
    let mut status = 0;
    // SAFETY: `status` is written by the call.
    let pid = unsafe { libc::waitpid(-1, &raw mut status, libc::WNOHANG) };
    (pid > 0).then(|| {
        let status = if libc::WIFSIGNALED(status) {
            Status::Signal(libc::WTERMSIG(status))
        } else {
            Status::Code(libc::WEXITSTATUS(status))
        };
        (pid, status)
    })
}

/// A pidfd of this process.
pub(crate) fn own_pidfd() -> io::Result<OwnedFd> {
    // SAFETY: no pointers are involved; the descriptor is new and ours.
    unsafe {
        let fd = check(libc::syscall(libc::SYS_pidfd_open, libc::getpid(), 0))?;
        Ok(OwnedFd::from_raw_fd(fd as RawFd))
    }
}

/// Kills the process that a pidfd stands for.
pub(crate) fn pidfd_kill(pidfd: BorrowedFd<'_>) -> io::Result<()> {
    let info = std::ptr::null::<libc::siginfo_t>();
    // SAFETY: a null signal information is filled in by the kernel.
    unsafe { check(libc::syscall(libc::SYS_pidfd_send_signal, pidfd.as_raw_fd(), libc::SIGKILL, info, 0)).map(drop) }
}

/// Kills a child that was not yet reaped, so that its number is its own.
pub(crate) fn kill_child(pid: libc::pid_t) {
    // SAFETY: no pointers are involved. The only failure is that it has ended already.
    unsafe {
        libc::kill(pid, libc::SIGKILL);
    }
}

/// Sends a signal to every process that this one may signal but itself; for process 1 of a namespace, all the others in it.
pub(crate) fn signal_all_others(signal: libc::c_int) {
    // SAFETY: no pointers are involved. The kernel refuses numbers that are no signals.
    unsafe {
        libc::kill(-1, signal);
    }
}

/// Closes everything from descriptor `first` on, except `kept`.
pub(crate) fn close_all_except(first: RawFd, kept: &[RawFd]) -> io::Result<()> {
    let mut kept: Vec<RawFd> = kept.iter().copied().filter(|fd| *fd >= first).collect();
    kept.sort_unstable();
    let mut from = first;
    for fd in kept {
        if fd > from {
            close_range(from as u32, fd as u32 - 1)?;
        }
        from = fd + 1;
    }
    close_range(from as u32, u32::MAX)
}

fn close_range(first: u32, last: u32) -> io::Result<()> {
    // SAFETY: callers own the descriptors in the range, and use none of them afterwards.
    unsafe { check(libc::syscall(libc::SYS_close_range, first, last, 0)).map(drop) }
}

/// The most that this process may have of something (`RLIMIT_*`).
pub(crate) fn hard_limit(kind: u32) -> u64 {
    limit(kind).map_or(u64::MAX, |limit| limit.rlim_max)
}

/// Lets this process open as many files as the system lets it, and returns how many that is. Every running sandbox
/// takes up to six; the usual limit of 1,024 is used up by some 170.
pub fn raise_open_files() -> io::Result<u64> {
    let mut limit = limit(libc::RLIMIT_NOFILE)?;
    limit.rlim_cur = limit.rlim_max;
    // SAFETY: `limit` outlives the call.
    unsafe { check_int(libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit))? };
    Ok(limit.rlim_cur)
}

fn limit(kind: u32) -> io::Result<libc::rlimit> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `limit` is written by the call.
    unsafe { check_int(libc::getrlimit(kind as _, &raw mut limit))? };
    Ok(limit)
}

/// All that is done between making the program's process and executing it, prepared before, because in between nothing
/// may be allocated: until the execution the new process runs in our memory.
pub(crate) struct Plan {
    /// Where the program may be, in the order to try.
    pub candidates: Vec<CString>,
    pub args: Vec<CString>,
    pub env: Vec<CString>,
    pub cwd: CString,
    /// What becomes standard input, output and error.
    pub stdio: [RawFd; 3],
    /// Whether standard input becomes the controlling terminal of a session that the program leads.
    pub own_terminal: bool,
    /// Kind of limit (`RLIMIT_*`), where it begins, and where it becomes absolute.
    pub limits: Vec<(u32, u64, u64)>,
    /// The filter of system calls, loaded last, and the one for where nobody can answer; none for no filter.
    pub filter: Option<[Vec<FilterInstruction>; 2]>,
    /// What lets the execution pass a filter that forbids it; ignored by the kernel.
    pub secret: u64,
}

/// The program, running.
pub(crate) struct Started {
    pub pid: libc::pid_t,
    /// Becomes readable when the filter passes a call on; see [`super::take_call`].
    pub refusals: Option<OwnedFd>,
}

/// Which part of a [`Plan`] failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Failed {
    Cwd,
    Terminal,
    Limits,
    Filter,
    Exec,
}

/// Shared with the new process until it executes.
struct Handover<'a> {
    plan: &'a Plan,
    args: Vec<*const libc::c_char>,
    env: Vec<*const libc::c_char>,
    failed: Option<(Failed, i32)>,
    /// -1 for none.
    refusals: RawFd,
}

/// Starts the program. Returns when it has been executed, or with the part that failed. Uses up this process's own
/// standard input, output and error: until the execution both processes have the same open files, because that is how
/// this one gets the descriptor of the filter. All of them must be closed on execution, which is seen to.
pub(crate) fn spawn_program(plan: &Plan) -> Result<Started, (Failed, io::Error)> {
    const STACK_BYTES: usize = 64 << 10;
    let mut handover =
        Handover { plan, args: pointers(&plan.args), env: pointers(&plan.env), failed: None, refusals: -1 };
    let mut stack = vec![0_u128; STACK_BYTES / size_of::<u128>()];
    let flags = libc::CLONE_VM | libc::CLONE_VFORK | libc::CLONE_FILES | libc::SIGCHLD;
    // SAFETY: the child has a stack of its own, aligned and growing down from its end, and this process is stopped until
    // the child has executed or ended, so that `handover` and `stack` outlive its use of them.
    let pid = unsafe {
        let top = stack.as_mut_ptr_range().end;
        libc::clone(become_program, top.cast(), flags, (&raw mut handover).cast())
    };
    let pid = check_int(pid).map_err(|error| (Failed::Exec, error))?;
    match handover.failed {
        None => {
            // SAFETY: the descriptor is new and ours.
            let refusals = (handover.refusals >= 0).then(|| unsafe { OwnedFd::from_raw_fd(handover.refusals) });
            Ok(Started { pid, refusals })
        }
        Some((failed, errno)) => Err((failed, io::Error::from_raw_os_error(errno))),
    }
}

/// Runs in the new process, in the memory of the old one: system calls only.
extern "C" fn become_program(handover: *mut libc::c_void) -> libc::c_int {
    // SAFETY: `handover` is the one of `spawn_program`, which nobody else touches until this process is done with it.
    let handover = unsafe { &mut *handover.cast::<Handover<'_>>() };
    let prepared = prepare(handover.plan).and_then(|()| filter(handover));
    let failed = prepared.err().unwrap_or_else(|| Failed::of_exec(handover));
    let errno = io::Error::last_os_error().raw_os_error().unwrap_or(libc::EIO);
    handover.failed = Some((failed, errno));
    127
}

/// Process group or session, signals, files, terminal, directory, limits.
fn prepare(plan: &Plan) -> Result<(), Failed> {
    // SAFETY: system calls on constants and on what `plan` holds.
    unsafe {
        match plan.own_terminal {
            true => _ = libc::setsid(),
            false => _ = libc::setpgid(0, 0),
        }
        libc::umask(0o022);
        let mut none = MaybeUninit::uninit();
        libc::sigemptyset(none.as_mut_ptr());
        libc::sigprocmask(libc::SIG_SETMASK, none.as_ptr(), std::ptr::null_mut());
        if libc::chdir(plan.cwd.as_ptr()) == -1 {
            return Err(Failed::Cwd);
        }
        for (target, fd) in plan.stdio.iter().enumerate() {
            if libc::dup2(*fd, target as RawFd) == -1 {
                return Err(Failed::Exec);
            }
        }
        if plan.own_terminal && libc::ioctl(0, libc::TIOCSCTTY, 0) == -1 {
            return Err(Failed::Terminal);
        }
        if libc::syscall(libc::SYS_close_range, 3, u32::MAX, libc::CLOSE_RANGE_CLOEXEC) == -1 {
            return Err(Failed::Exec);
        }
        for (kind, soft, hard) in &plan.limits {
            let limit = libc::rlimit { rlim_cur: *soft, rlim_max: *hard };
            if libc::setrlimit(*kind as _, &raw const limit) == -1 {
                return Err(Failed::Limits);
            }
        }
    }
    Ok(())
}

/// From here on only what the filter allows, so the rest must be nothing but the execution.
fn filter(handover: &mut Handover<'_>) -> Result<(), Failed> {
    if let Some([filter, alone]) = &handover.plan.filter {
        handover.refusals = load_filter(filter, alone).map_err(|_| Failed::Filter)?;
    }
    Ok(())
}

impl Failed {
    /// Executes the first candidate that is there; coming back is failure.
    fn of_exec(handover: &Handover<'_>) -> Self {
        for candidate in &handover.plan.candidates {
            // SAFETY: all strings end in NUL and both lists end in a null pointer; the kernel ignores what follows.
            unsafe {
                let (args, env) = (handover.args.as_ptr(), handover.env.as_ptr());
                libc::syscall(libc::SYS_execve, candidate.as_ptr(), args, env, 0_usize, 0_usize, handover.plan.secret)
            };
            let errno = io::Error::last_os_error().raw_os_error();
            if !matches!(errno, Some(libc::ENOENT | libc::ENOTDIR)) {
                break;
            }
        }
        Self::Exec
    }
}

/// A list of C strings as the kernel wants it: pointers, then null.
fn pointers(strings: &[CString]) -> Vec<*const libc::c_char> {
    strings.iter().map(|string| string.as_ptr()).chain([std::ptr::null()]).collect()
}
