//! Signals to other processes, and calls that reach into them.

use std::io;

use crate::{Outcome, Probe, Scene, check, escaped, held};

pub(crate) const PROBES: &[Probe] = &[
    Probe::new("sig_kill_other_agent", "kills another agent", |s| kill(s.pid("other_pid")?)),
    Probe::new("sig_kill_supervisor", "kills the supervisor", |s| kill(s.pid("supervisor_pid")?)),
    Probe::new("sig_kill_group", "kills another agent's process group", |s| kill(-s.pid("other_pid")?)),
    Probe::new("sig_kill_all", "kills every process that it may", kill_all),
    Probe::new("sig_tgkill", "stops a thread of another agent", tgkill),
    Probe::new("sig_queue", "sends a signal with a value to another agent", queue),
    Probe::new("sig_pidfd", "kills another agent by a descriptor of it", pidfd),
    Probe::new("sig_kill_init", "kills process 1", kill_init),
    Probe::new("ptrace_other", "traces another agent", |s| trace(s.pid("other_pid")?)),
    Probe::new("ptrace_init", "traces process 1", |_| trace(1)),
    Probe::new("process_vm_readv_other", "reads another agent's memory by address", vm_readv),
    Probe::new("process_vm_writev_other", "writes another agent's memory by address", vm_writev),
    Probe::new("pidfd_getfd_other", "takes an open file from another agent", getfd),
    Probe::new("process_madvise_other", "drops memory of another agent", madvise),
    Probe::new("kcmp_other", "compares kernel pointers with another agent", kcmp),
    Probe::new("prlimit_other", "changes a limit of another agent", prlimit),
    Probe::new("sched_other", "moves another agent to the last place of the scheduler", scheduler),
    Probe::new("affinity_other", "pins another agent to one processor", affinity),
    Probe::new("ioprio_setpriority_other", "lowers another agent's priority", priority),
];

fn kill(pid: libc::pid_t) -> io::Result<Outcome> {
    // SAFETY: no pointers are involved; `pid` is of the scene.
    check(unsafe { libc::kill(pid, libc::SIGKILL) })?;
    escaped("the signal was sent")
}

/// Never run on the host itself: see `alone` in the program.
fn kill_all(_: &Scene) -> io::Result<Outcome> {
    // SAFETY: no pointers are involved.
    check(unsafe { libc::kill(-1, libc::SIGKILL) })?;
    escaped("signals were sent")
}

/// The signal is one that the scene's people do not survive.
fn tgkill(scene: &Scene) -> io::Result<Outcome> {
    let pid = scene.pid("other_pid")?;
    // SAFETY: no pointers are involved.
    check(unsafe { libc::syscall(libc::SYS_tgkill, pid, pid, libc::SIGKILL) })?;
    escaped("the signal was sent")
}

fn queue(scene: &Scene) -> io::Result<Outcome> {
    let value = libc::sigval { sival_ptr: std::ptr::null_mut() };
    // SAFETY: the value is never followed.
    check(unsafe { libc::sigqueue(scene.pid("other_pid")?, libc::SIGUSR1, value) })?;
    escaped("the signal was sent")
}

fn open_process(scene: &Scene) -> io::Result<i64> {
    // SAFETY: no pointers are involved.
    check(unsafe { libc::syscall(libc::SYS_pidfd_open, scene.pid("other_pid")?, 0) })
}

fn pidfd(scene: &Scene) -> io::Result<Outcome> {
    let fd = open_process(scene)?;
    let null = std::ptr::null::<libc::siginfo_t>();
    // SAFETY: a null stands for no details.
    check(unsafe { libc::syscall(libc::SYS_pidfd_send_signal, fd, libc::SIGKILL, null, 0) })?;
    escaped("the signal was sent")
}

/// The kernel does not deliver to the first process of a namespace what it has no handler for, so a call that works may still
/// have done nothing: whether process 1 lives is seen afterwards.
fn kill_init(_: &Scene) -> io::Result<Outcome> {
    // SAFETY: no pointers are involved.
    check(unsafe { libc::kill(1, libc::SIGKILL) })?;
    held("the signal was dropped: process 1 lives")
}

fn trace(pid: libc::pid_t) -> io::Result<Outcome> {
    // SAFETY: attaching takes no addresses.
    unsafe {
        check(libc::ptrace(libc::PTRACE_SEIZE, pid, 0, 0))?;
        libc::ptrace(libc::PTRACE_DETACH, pid, 0, 0);
    }
    escaped("traced")
}

fn vm_readv(scene: &Scene) -> io::Result<Outcome> {
    let mut bytes = [0_u8; 24];
    let local = libc::iovec { iov_base: bytes.as_mut_ptr().cast(), iov_len: bytes.len() };
    let remote = libc::iovec { iov_base: scene.number("other_address")? as *mut _, iov_len: bytes.len() };
    // SAFETY: the local range is `bytes`; the remote one is the other process's affair.
    check(
        unsafe { libc::process_vm_readv(scene.pid("other_pid")?, &raw const local, 1, &raw const remote, 1, 0) } as i64
    )?;
    escaped(String::from_utf8_lossy(&bytes))
}

fn vm_writev(scene: &Scene) -> io::Result<Outcome> {
    let mut bytes = *b"overwritten";
    let local = libc::iovec { iov_base: bytes.as_mut_ptr().cast(), iov_len: bytes.len() };
    let remote = libc::iovec { iov_base: scene.number("other_address")? as *mut _, iov_len: bytes.len() };
    // SAFETY: the local range is `bytes`; the remote one is the other process's affair.
    check(unsafe { libc::process_vm_writev(scene.pid("other_pid")?, &raw const local, 1, &raw const remote, 1, 0) }
        as i64)?;
    escaped("written")
}

fn getfd(scene: &Scene) -> io::Result<Outcome> {
    let process = open_process(scene)?;
    // SAFETY: no pointers are involved.
    let fd = check(unsafe { libc::syscall(libc::SYS_pidfd_getfd, process, scene.number("other_fd")?, 0) })?;
    let mut bytes = [0_u8; 24];
    // SAFETY: at most as many bytes as there is room for; the place is given, so the other's own is not moved.
    let read = check(unsafe { libc::pread(fd as i32, bytes.as_mut_ptr().cast(), bytes.len(), 0) } as i64)?;
    escaped(String::from_utf8_lossy(&bytes[..usize::try_from(read).unwrap_or(0)]))
}

fn madvise(scene: &Scene) -> io::Result<Outcome> {
    let process = open_process(scene)?;
    let page = scene.number("other_address")? & !4095;
    let range = libc::iovec { iov_base: page as *mut _, iov_len: 4096 };
    // SAFETY: the range is the other process's affair, and the advice only makes it slower.
    check(unsafe { libc::syscall(libc::SYS_process_madvise, process, &raw const range, 1, libc::MADV_COLD, 0) })?;
    escaped("advised")
}

fn kcmp(scene: &Scene) -> io::Result<Outcome> {
    const FILES: i32 = 2;
    let (own, other) = (std::process::id(), scene.pid("other_pid")?);
    // SAFETY: no pointers are involved.
    check(unsafe { libc::syscall(libc::SYS_kcmp, own, other, FILES, 0, 0) })?;
    escaped("compared")
}

fn prlimit(scene: &Scene) -> io::Result<Outcome> {
    let limit = libc::rlimit { rlim_cur: 77, rlim_max: 77 };
    let none = std::ptr::null_mut();
    // SAFETY: one limit to read, nothing to write.
    check(unsafe { libc::prlimit(scene.pid("other_pid")?, libc::RLIMIT_NOFILE, &raw const limit, none) })?;
    escaped("changed")
}

fn scheduler(scene: &Scene) -> io::Result<Outcome> {
    let parameters = libc::sched_param { sched_priority: 0 };
    // SAFETY: the parameters are read only.
    check(unsafe { libc::sched_setscheduler(scene.pid("other_pid")?, libc::SCHED_IDLE, &raw const parameters) })?;
    escaped("changed")
}

fn affinity(scene: &Scene) -> io::Result<Outcome> {
    let first = 1_u64;
    // SAFETY: a mask of eight bytes.
    let changed = unsafe { libc::sched_setaffinity(scene.pid("other_pid")?, 8, (&raw const first).cast()) };
    check(changed)?;
    escaped("changed")
}

fn priority(scene: &Scene) -> io::Result<Outcome> {
    const WHO_PROCESS: i32 = 1;
    const IDLE_CLASS: i32 = 3 << 13;
    let pid = scene.pid("other_pid")?;
    // SAFETY: no pointers are involved.
    let (nice, io) = unsafe {
        let nice = check(libc::setpriority(libc::PRIO_PROCESS, pid.unsigned_abs(), 15));
        (nice, check(libc::syscall(libc::SYS_ioprio_set, WHO_PROCESS, pid, IDLE_CLASS)))
    };
    nice.or(io)?;
    escaped("changed")
}
