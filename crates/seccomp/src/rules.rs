//! What becomes of each call, given what a policy allows.

use crate::assemble::{Action, Test, Verdict};
use crate::calls::Arch;
use crate::groups::NEVER;
use crate::select::Selection;

/// Never allowed, and answered as by a kernel that lacks them: programs then take an older call, whose arguments are
/// there to be looked at, or do without.
const ABSENT: &[&str] = &[
    "clone3",
    "openat2",
    "statmount",
    "listmount",
    "landlock_create_ruleset",
    "landlock_add_rule",
    "landlock_restrict_self",
];

/// Newer calls (Linux 5.1 and later; from here on all processors count alike). Programs are used to their absence.
const FIRST_NEW_CALL: u32 = 424;

/// Ends a process. Refusing these is not told to init, which cannot listen while the program is not yet executed.
const QUIET: &[&str] = &["exit", "exit_group"];

const NEW_NAMESPACES: u32 = (libc::CLONE_NEWNS
    | libc::CLONE_NEWCGROUP
    | libc::CLONE_NEWUTS
    | libc::CLONE_NEWIPC
    | libc::CLONE_NEWUSER
    | libc::CLONE_NEWPID
    | libc::CLONE_NEWNET) as u32;
const THREAD: u32 = libc::CLONE_THREAD as u32;

/// Bytes pushed into a terminal as if typed, or its owner's settings changed (`asm-generic/ioctls.h`: TIOCSTI, TIOCLINUX,
/// TIOCCONS, TIOCSETD); and space taken on disk as by `fallocate` (`linux/falloc.h`: FS_IOC_RESVSP, FS_IOC_RESVSP64,
/// FS_IOC_ZERO_RANGE).
const REFUSED_IOCTLS: &[u32] = &[0x5412, 0x541C, 0x541D, 0x5423, 0x4030_5828, 0x4030_582A, 0x4030_5839];
/// What `fallocate` may do where space is counted: give it back (punch a hole, and take a range out). To take gigabytes at
/// once is faster than anybody counts; programs are used to file systems that cannot, and write instead.
const GIVES_BACK: &[u32] = &[3, 8];
/// PR_SET_SECCOMP, PR_SET_MM, PR_SET_PTRACER (`linux/prctl.h`).
const PROCESS_TRICKS: &[u32] = &[22, 35, 0x5961_6d61];
/// "Tell me" and "the usual one" (`personality(2)`).
const PERSONALITIES: &[u32] = &[0xFFFF_FFFF, 0];

/// PR_SET_DUMPABLE. There is nothing to keep from a dump, since there are none, and init must be able to look into whoever connects: it
/// has no effect.
const DUMPABLE: u32 = 4;
/// Of `bits/socket_type.h`: the kinds of Unix sockets that reach only what they are connected to. Others send to any address.
const CONNECTED: &[u32] = &[libc::SOCK_STREAM as u32, libc::SOCK_SEQPACKET as u32];
/// The type of a socket without SOCK_CLOEXEC and SOCK_NONBLOCK.
const SOCKET_TYPE: u32 = 0xF;
const UNIX: u32 = libc::AF_UNIX as u32;

const SET_ID_BITS: u32 = libc::S_ISUID | libc::S_ISGID;
/// O_CREAT, and the bit of O_TMPFILE that is not O_DIRECTORY (`asm-generic/fcntl.h`).
const CREATES: u32 = 0o100 | 0o20_000_000;
const SHARED_NOWHERE: u32 = (libc::MAP_SHARED | libc::MAP_ANONYMOUS) as u32;
/// What may be made besides by opening: ordinary files (0 means those), pipes, sockets. Never a device.
const NODES: &[u32] = &[0, libc::S_IFREG, libc::S_IFIFO, libc::S_IFSOCK];
/// The process that keeps the clock of the sandbox; nobody inside may take the processor from it.
const INIT: &[u32] = &[1];
/// Of `linux/resource.h` and `linux/ioprio.h`. By process group or by user one would change the priority of [`INIT`] too.
const PRIO_PROCESS: u32 = 0;
const IOPRIO_WHO_PROCESS: u32 = 1;
const ALL: u32 = u32::MAX;

/// What becomes of every call that this processor has, by number.
pub(super) fn actions(arch: Arch, selection: &Selection) -> Vec<(u32, Action)> {
    let mut actions: Vec<_> = arch.all().map(|(name, number)| (number, action(name, number, selection))).collect();
    actions.sort_unstable_by_key(|(number, _)| *number);
    actions
}

fn action(name: &str, number: u32, selection: &Selection) -> Action {
    if name == "execve" && selection.once {
        return Action::Secret { argument: 5 };
    }
    if !selection.allowed.contains(name) {
        return Action::Always(refusal(name, number));
    }
    if name == "connect" && selection.unix {
        return Action::Always(Verdict::Told);
    }
    match test(name, selection) {
        Some((test, refusal)) => Action::If(test, refusal),
        None => Action::Always(Verdict::Allow),
    }
}

fn refusal(name: &str, number: u32) -> Verdict {
    if ABSENT.contains(&name) {
        Verdict::Errno(libc::ENOSYS as u16)
    } else if QUIET.contains(&name) {
        Verdict::Errno(libc::EPERM as u16)
    } else if number < FIRST_NEW_CALL || NEVER.contains(&name) {
        Verdict::Told
    } else {
        Verdict::Errno(libc::ENOSYS as u16)
    }
}

/// What is asked of the arguments of an allowed call, and what becomes of it otherwise.
fn test(name: &str, selection: &Selection) -> Option<(Test, Verdict)> {
    let test = match name {
        "clone" if selection.children => Test::OneOf { argument: 0, mask: NEW_NAMESPACES, values: &[0] },
        "clone" => Test::OneOf { argument: 0, mask: NEW_NAMESPACES | THREAD, values: &[THREAD] },
        "socket" if selection.unix => {
            Test::FirstThen { values: selection.families, special: UNIX, mask: SOCKET_TYPE, then: CONNECTED }
        }
        "socket" => Test::OneOf { argument: 0, mask: ALL, values: selection.families },
        "socketpair" => Test::FirstThen { values: &[], special: UNIX, mask: SOCKET_TYPE, then: CONNECTED },
        "ioctl" => Test::NoneOf { argument: 1, mask: ALL, values: REFUSED_IOCTLS },
        "fallocate" if selection.disk => Test::OneOf { argument: 1, mask: ALL, values: GIVES_BACK },
        "prctl" if selection.unix => Test::NoneOfNor { values: PROCESS_TRICKS, ignored: DUMPABLE },
        "prctl" => Test::NoneOf { argument: 0, mask: ALL, values: PROCESS_TRICKS },
        "prlimit64" => Test::OneOf { argument: 0, mask: ALL, values: &[0] },
        "sched_setaffinity" | "sched_setparam" | "sched_setscheduler" | "sched_setattr" => {
            Test::NoneOf { argument: 0, mask: ALL, values: INIT }
        }
        "setpriority" => Test::Begins([PRIO_PROCESS, 0]),
        "ioprio_set" => Test::Begins([IOPRIO_WHO_PROCESS, 0]),
        "personality" => Test::OneOf { argument: 0, mask: ALL, values: PERSONALITIES },
        "mmap" if selection.children => return None,
        "mmap" => Test::NoneOf { argument: 3, mask: SHARED_NOWHERE, values: &[SHARED_NOWHERE] },
        "chmod" | "fchmod" | "creat" => Test::OneOf { argument: 1, mask: SET_ID_BITS, values: &[0] },
        "fchmodat" | "fchmodat2" => Test::OneOf { argument: 2, mask: SET_ID_BITS, values: &[0] },
        "open" => Test::FlagsThenBits { flags: (1, CREATES), bits: (2, SET_ID_BITS) },
        "openat" => Test::FlagsThenBits { flags: (2, CREATES), bits: (3, SET_ID_BITS) },
        "mknod" => Test::OneOf { argument: 1, mask: libc::S_IFMT | SET_ID_BITS, values: NODES },
        "mknodat" => Test::OneOf { argument: 2, mask: libc::S_IFMT | SET_ID_BITS, values: NODES },
        _ => return None,
    };
    let refusal = match name {
        "clone" => Verdict::Told,
        "fallocate" => Verdict::Errno(libc::EOPNOTSUPP as u16),
        "socket" | "socketpair" => Verdict::Errno(libc::EAFNOSUPPORT as u16),
        _ => Verdict::Errno(libc::EPERM as u16),
    };
    Some((test, refusal))
}
