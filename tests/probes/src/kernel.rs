//! System calls that no agent needs: parts of the kernel that have let people out before, and privileges.

use std::ffi::CStr;
use std::fs::{self, File};
use std::io::{self, Write};
use std::os::fd::{AsRawFd, FromRawFd};

use crate::{Outcome, Probe, Scene, check, escaped, held, let_through, partly};

pub(crate) const PROBES: &[Probe] = &[
    Probe::new("sys_mount", "mounts a file system", mount),
    Probe::new("sys_bind_mount", "shows a directory at another place", bind_mount),
    Probe::new("sys_umount", "takes a mount away", umount),
    Probe::new("sys_fsopen", "prepares a mount the new way", fsopen),
    Probe::new("sys_open_tree", "copies a mount", open_tree),
    Probe::new("sys_mount_setattr", "makes the root writable again", mount_setattr),
    Probe::new("sys_unshare_user", "makes a user namespace", |_| unshare(libc::CLONE_NEWUSER)),
    Probe::new("sys_unshare_net", "makes a network namespace", |_| unshare(libc::CLONE_NEWNET)),
    Probe::new("sys_unshare_mount", "makes a mount namespace", |_| unshare(libc::CLONE_NEWNS)),
    Probe::new("sys_clone_newuser", "starts a child in a user namespace", clone_newuser),
    Probe::new("sys_clone3_newuser", "starts a child in a user namespace by clone3", clone3_newuser),
    Probe::new("sys_setns", "joins the namespace of process 1", setns),
    Probe::new("sys_chroot", "changes its root", |_| call_path(libc::SYS_chroot, c"/usr")),
    Probe::new("sys_pivot", "swaps its root", pivot),
    Probe::new("sys_bpf", "makes a map of the kernel's virtual machine", bpf),
    Probe::new("sys_perf", "counts events of the processor", perf),
    Probe::new("sys_io_uring", "makes an io_uring", io_uring),
    Probe::new("sys_keyctl_session", "joins a keyring", keyctl),
    Probe::new("sys_add_key", "adds a key", add_key),
    Probe::new("sys_request_key", "asks for a key", request_key),
    Probe::new("sys_userfaultfd", "handles its own page faults", userfaultfd),
    Probe::new("sys_name_to_handle", "makes a file handle", name_to_handle),
    Probe::new("sys_fanotify", "watches a whole mount", fanotify),
    Probe::new("sys_kexec", "loads another kernel", |_| zeroes(libc::SYS_kexec_load)),
    Probe::new("sys_init_module", "loads a kernel module", |_| zeroes(libc::SYS_init_module)),
    Probe::new("sys_finit_module", "loads a kernel module from a file", finit_module),
    Probe::new("sys_delete_module", "unloads a kernel module", |_| call_path(libc::SYS_delete_module, c"probe")),
    Probe::new("sys_syslog", "reads the kernel's messages", syslog),
    Probe::new("sys_acct", "switches process accounting off", |_| zeroes(libc::SYS_acct)),
    Probe::new("sys_personality", "switches the randomness of addresses off", personality),
    Probe::new("sys_x32", "calls the kernel as a program of the x32 kind", x32),
    Probe::new("sys_int80", "calls the kernel as a program of 32 bits", int80),
    Probe::new("sys_seccomp_new", "adds a filter of system calls", seccomp),
    Probe::new("sys_landlock_again", "adds a Landlock rule set", landlock),
    Probe::new("sys_setuid0", "becomes root", setuid0),
    Probe::new("sys_setgid0", "joins root's group", setgid0),
    Probe::new("sys_setgroups", "leaves all groups", setgroups),
    Probe::new("sys_capset", "takes every capability", capset),
    Probe::new("sys_no_new_privs", "takes back that there are no new privileges", no_new_privileges),
    Probe::new("sys_memfd_exec", "executes a program from memory", memfd_exec),
    Probe::new("sys_modify_ldt", "changes its segment table", modify_ldt),
    Probe::new("sys_iopl", "asks for the ports of the machine", iopl),
    Probe::new("sys_sethostname", "names the host", sethostname),
    Probe::new("sys_settime", "sets the clock", settime),
    Probe::new("sys_quotactl", "writes all disk quotas out", quotactl),
    Probe::new("sys_swapon", "swaps to a file", swapon),
    Probe::new("sys_reboot", "switches Ctrl-Alt-Del off", reboot),
];

/// A call whose arguments are all zero: too little to do harm, enough to pass or not pass the door.
fn zeroes(number: libc::c_long) -> io::Result<Outcome> {
    // SAFETY: nulls and zeroes; the kernel checks them.
    let_through(unsafe { libc::syscall(number, 0_usize, 0_usize, 0_usize, 0_usize, 0_usize, 0_usize) })
}

fn call_path(number: libc::c_long, path: &CStr) -> io::Result<Outcome> {
    // SAFETY: a path that ends with NUL.
    let_through(unsafe { libc::syscall(number, path.as_ptr(), 0_usize) })
}

fn mount(scene: &Scene) -> io::Result<Outcome> {
    let place = crate::scene::c_path(&scene.path("work")?)?;
    // SAFETY: strings that end with NUL, and no data.
    let_through(unsafe { libc::mount(c"x".as_ptr(), place.as_ptr(), c"tmpfs".as_ptr(), 0, std::ptr::null()) })
}

fn bind_mount(scene: &Scene) -> io::Result<Outcome> {
    let place = crate::scene::c_path(&scene.path("work")?)?;
    let null = std::ptr::null;
    // SAFETY: strings that end with NUL, and nulls for what a bind does not need.
    let_through(unsafe { libc::mount(c"/usr".as_ptr(), place.as_ptr(), null(), libc::MS_BIND, null().cast()) })
}

/// What is no mount cannot be taken away, but the question is answered behind the door.
fn umount(scene: &Scene) -> io::Result<Outcome> {
    let place = crate::scene::c_path(&scene.path("work")?)?;
    // SAFETY: a path that ends with NUL. Only an expired mount would go, and none is.
    let_through(unsafe { libc::umount2(place.as_ptr(), libc::MNT_EXPIRE) })
}

fn fsopen(_: &Scene) -> io::Result<Outcome> {
    // SAFETY: a name that ends with NUL.
    let_through(unsafe { libc::syscall(libc::SYS_fsopen, c"tmpfs".as_ptr(), 0) })
}

fn open_tree(_: &Scene) -> io::Result<Outcome> {
    const CLONE: libc::c_uint = 1;
    // SAFETY: a path that ends with NUL.
    let_through(unsafe { libc::syscall(libc::SYS_open_tree, libc::AT_FDCWD, c"/usr".as_ptr(), CLONE) })
}

fn mount_setattr(_: &Scene) -> io::Result<Outcome> {
    // `struct mount_attr`: to set, to clear (read-only), propagation, user namespace. In its own mount namespace only.
    let attributes = [0_u64, 1, 0, 0];
    // SAFETY: a path that ends with NUL, and a structure of the length that is told.
    let_through(unsafe {
        libc::syscall(libc::SYS_mount_setattr, libc::AT_FDCWD, c"/".as_ptr(), 0, attributes.as_ptr(), 32_usize)
    })
}

fn unshare(flags: libc::c_int) -> io::Result<Outcome> {
    // SAFETY: no pointers are involved.
    let_through(unsafe { libc::unshare(flags) })
}

fn clone_newuser(_: &Scene) -> io::Result<Outcome> {
    let flags = libc::CLONE_NEWUSER | libc::SIGCHLD;
    // SAFETY: without a stack this is a fork; the child ends at once.
    child_of(unsafe { libc::syscall(libc::SYS_clone, flags, 0_usize, 0_usize, 0_usize, 0_usize) })
}

fn clone3_newuser(_: &Scene) -> io::Result<Outcome> {
    clone3(libc::CLONE_NEWUSER as u64)
}

/// `clone3` as a fork with these flags.
pub(crate) fn clone3(flags: u64) -> io::Result<Outcome> {
    // `struct clone_args`: flags, four places for ids, the signal at the end, stack, its size, thread storage.
    let arguments = [flags, 0, 0, 0, libc::SIGCHLD as u64, 0, 0, 0];
    // SAFETY: a structure of the length that is told; without a stack this is a fork, and the child ends at once.
    child_of(unsafe { libc::syscall(libc::SYS_clone3, arguments.as_ptr(), size_of_val(&arguments)) })
}

/// The end of an attempt that has forked: the child says that it lives by its exit code.
pub(crate) fn child_of(forked: i64) -> io::Result<Outcome> {
    let mut status = 0;
    // SAFETY: the child ends without running anything else of this program; the parent waits for that child.
    unsafe {
        if forked == 0 {
            libc::_exit(42);
        }
        let child = check(forked)?;
        check(libc::waitpid(child as libc::pid_t, &raw mut status, 0))?;
    }
    if libc::WIFEXITED(status) && libc::WEXITSTATUS(status) == 42 { escaped("a child ran") } else { held("it died") }
}

fn setns(_: &Scene) -> io::Result<Outcome> {
    let namespace = File::open("/proc/1/ns/mnt").or_else(|_| File::open("/proc/self/ns/mnt"))?;
    // SAFETY: no pointers are involved.
    let_through(unsafe { libc::setns(namespace.as_raw_fd(), libc::CLONE_NEWNS) })
}

fn pivot(_: &Scene) -> io::Result<Outcome> {
    // SAFETY: paths that end with NUL. `/usr` is no place to swap to; the kernel says so behind the door.
    let_through(unsafe { libc::syscall(libc::SYS_pivot_root, c"/usr".as_ptr(), c"/usr".as_ptr()) })
}

fn bpf(_: &Scene) -> io::Result<Outcome> {
    const MAP_CREATE: libc::c_int = 0;
    // An array of one: kind, size of a key, size of a value, entries.
    let attributes = [2_u32, 4, 4, 1, 0, 0, 0, 0];
    // SAFETY: a structure of the length that is told.
    let_through(unsafe { libc::syscall(libc::SYS_bpf, MAP_CREATE, attributes.as_ptr(), size_of_val(&attributes)) })
}

fn perf(_: &Scene) -> io::Result<Outcome> {
    // `struct perf_event_attr`, first version (64 bytes): a software event, its size, the clock of the task.
    let mut attributes = [0_u64; 8];
    attributes[0] = 1 | 64 << 32;
    attributes[1] = 1;
    // Without the kernel (bit 5) and the hypervisor (bit 6).
    attributes[5] = 0b110_0000;
    // SAFETY: a structure of the length that it tells.
    let_through(unsafe { libc::syscall(libc::SYS_perf_event_open, attributes.as_ptr(), 0, -1, -1, 0) })
}

fn io_uring(_: &Scene) -> io::Result<Outcome> {
    let mut parameters = [0_u8; 120];
    // SAFETY: `struct io_uring_params` has 120 bytes.
    let_through(unsafe { libc::syscall(libc::SYS_io_uring_setup, 4, parameters.as_mut_ptr()) })
}

fn keyctl(_: &Scene) -> io::Result<Outcome> {
    const JOIN_SESSION_KEYRING: libc::c_int = 1;
    // SAFETY: a name that ends with NUL.
    let_through(unsafe { libc::syscall(libc::SYS_keyctl, JOIN_SESSION_KEYRING, c"probe".as_ptr()) })
}

fn add_key(_: &Scene) -> io::Result<Outcome> {
    const OF_THIS_PROCESS: libc::c_int = -2;
    let (kind, name) = (c"user".as_ptr(), c"probe".as_ptr());
    // SAFETY: strings that end with NUL, and one byte.
    let_through(unsafe { libc::syscall(libc::SYS_add_key, kind, name, c"x".as_ptr(), 1_usize, OF_THIS_PROCESS) })
}

fn request_key(_: &Scene) -> io::Result<Outcome> {
    let (kind, name) = (c"user".as_ptr(), c"probe".as_ptr());
    // SAFETY: strings that end with NUL.
    let_through(unsafe { libc::syscall(libc::SYS_request_key, kind, name, 0_usize, 0) })
}

fn userfaultfd(_: &Scene) -> io::Result<Outcome> {
    const USER_MODE_ONLY: libc::c_int = 1;
    // SAFETY: no pointers are involved.
    let_through(unsafe { libc::syscall(libc::SYS_userfaultfd, USER_MODE_ONLY) })
}

fn name_to_handle(_: &Scene) -> io::Result<Outcome> {
    let mut handle = [0_u32; 34];
    handle[0] = 128;
    let mut mount = 0;
    // SAFETY: a handle with as much room as it tells.
    let_through(unsafe {
        let handle = handle.as_mut_ptr();
        libc::syscall(libc::SYS_name_to_handle_at, libc::AT_FDCWD, c"/usr/bin".as_ptr(), handle, &raw mut mount, 0)
    })
}

fn fanotify(_: &Scene) -> io::Result<Outcome> {
    // SAFETY: no pointers but a path that ends with NUL.
    unsafe {
        let group = check(libc::fanotify_init(libc::FAN_CLASS_NOTIF | libc::FAN_REPORT_FID, 0))?;
        let whole = libc::FAN_MARK_ADD | libc::FAN_MARK_FILESYSTEM;
        let_through(libc::fanotify_mark(group as i32, whole, libc::FAN_CREATE, libc::AT_FDCWD, c"/usr".as_ptr()))
    }
}

fn finit_module(_: &Scene) -> io::Result<Outcome> {
    // SAFETY: no file at all, and parameters that end with NUL.
    let_through(unsafe { libc::syscall(libc::SYS_finit_module, -1, c"".as_ptr(), 0) })
}

fn syslog(_: &Scene) -> io::Result<Outcome> {
    const READ_ALL: libc::c_int = 3;
    let mut text = [0_u8; 64];
    // SAFETY: as many bytes as are told.
    let_through(unsafe { libc::syscall(libc::SYS_syslog, READ_ALL, text.as_mut_ptr(), text.len()) })
}

fn personality(_: &Scene) -> io::Result<Outcome> {
    const NO_RANDOM_ADDRESSES: libc::c_ulong = 0x004_0000;
    // SAFETY: no pointers are involved.
    let_through(unsafe { libc::personality(NO_RANDOM_ADDRESSES) })
}

#[cfg(target_arch = "x86_64")]
fn x32(_: &Scene) -> io::Result<Outcome> {
    const X32: libc::c_long = 0x4000_0000;
    // SAFETY: the number of `getpid`, which takes nothing.
    let_through(unsafe { libc::syscall(X32 | libc::SYS_getpid) })
}

/// The first byte of an x86 `int 0x80` would raise a signal where the kernel does not serve it; that signal is a refusal too.
#[cfg(target_arch = "x86_64")]
fn int80(_: &Scene) -> io::Result<Outcome> {
    const GETPID: i32 = 20;
    let mut value = GETPID;
    // SAFETY: `getpid` of 32 bits changes nothing but its result.
    unsafe { std::arch::asm!("int 0x80", inout("eax") value, options(nostack)) };
    if value > 0 { escaped("it was served") } else { Err(io::Error::from_raw_os_error(-value)) }
}

#[cfg(target_arch = "x86_64")]
fn modify_ldt(_: &Scene) -> io::Result<Outcome> {
    const WRITE: libc::c_int = 1;
    // `struct user_desc`: entry, base, limit, flags.
    let entry = [0_u32, 0, 0xfff, 0x51];
    // SAFETY: a structure of the length that is told.
    let_through(unsafe { libc::syscall(libc::SYS_modify_ldt, WRITE, entry.as_ptr(), size_of_val(&entry)) })
}

#[cfg(target_arch = "x86_64")]
fn iopl(_: &Scene) -> io::Result<Outcome> {
    // SAFETY: no pointers are involved; level 0 gives nothing, levels above need the right that is asked about.
    let_through(unsafe { libc::syscall(libc::SYS_iopl, 3) })
}

#[cfg(not(target_arch = "x86_64"))]
use other_processors as x32;
#[cfg(not(target_arch = "x86_64"))]
use other_processors as int80;
#[cfg(not(target_arch = "x86_64"))]
use other_processors as modify_ldt;
#[cfg(not(target_arch = "x86_64"))]
use other_processors as iopl;

#[cfg(not(target_arch = "x86_64"))]
fn other_processors(_: &Scene) -> io::Result<Outcome> {
    Ok(Outcome::NotApplicable("x86_64 only".to_owned()))
}

/// A filter that allows everything: it can only take more away.
fn seccomp(_: &Scene) -> io::Result<Outcome> {
    let mut allow = [libc::sock_filter { code: 6, jt: 0, jf: 0, k: libc::SECCOMP_RET_ALLOW }];
    let program = libc::sock_fprog { len: 1, filter: allow.as_mut_ptr() };
    // SAFETY: a program of the length that it tells.
    unsafe {
        libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
        check(libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, 0, &raw const program))?;
    }
    partly("a filter was added")
}

fn landlock(_: &Scene) -> io::Result<Outcome> {
    let handled = [1_u64];
    // SAFETY: the first version of the structure, eight bytes.
    check(unsafe { libc::syscall(libc::SYS_landlock_create_ruleset, handled.as_ptr(), 8_usize, 0) })?;
    partly("a rule set was made")
}

fn setuid0(_: &Scene) -> io::Result<Outcome> {
    // SAFETY: no pointers are involved.
    check(unsafe { libc::setresuid(0, 0, 0) })?;
    escaped("it is root")
}

fn setgid0(_: &Scene) -> io::Result<Outcome> {
    // SAFETY: no pointers are involved.
    check(unsafe { libc::setresgid(0, 0, 0) })?;
    escaped("it is in root's group")
}

fn setgroups(_: &Scene) -> io::Result<Outcome> {
    // SAFETY: an empty list.
    let_through(unsafe { libc::setgroups(0, std::ptr::null()) })
}

fn capset(_: &Scene) -> io::Result<Outcome> {
    let header = [0x2008_0522_u32, 0];
    let most = (1_u32 << 9) - 1;
    let sets = [u32::MAX, u32::MAX, 0, most, most, 0];
    // SAFETY: version 3 of the structures.
    let_through(unsafe { libc::syscall(libc::SYS_capset, header.as_ptr(), sets.as_ptr()) })
}

/// Without a sandbox there is nothing to take back, and the call is as impossible.
fn no_new_privileges(_: &Scene) -> io::Result<Outcome> {
    // SAFETY: no pointers are involved.
    let set = unsafe {
        libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 0, 0, 0, 0);
        check(libc::prctl(libc::PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0))?
    };
    if set == 1 { held("it stays set") } else { escaped("new privileges are possible") }
}

fn memfd_exec(_: &Scene) -> io::Result<Outcome> {
    // SAFETY: a name that ends with NUL; the descriptor is new and nobody else's.
    let mut file = unsafe { File::from_raw_fd(check(libc::memfd_create(c"program".as_ptr(), 0))? as i32) };
    file.write_all(&fs::read("/proc/self/exe")?)?;
    Err(execute_descriptor(file.as_raw_fd(), c"sys_memfd_exec"))
}

/// Becomes the program behind a descriptor, which reports in the name of the probe; returns why not.
pub(crate) fn execute_descriptor(fd: i32, probe: &CStr) -> io::Error {
    let args = [c"probe".as_ptr(), c"executed".as_ptr(), probe.as_ptr(), std::ptr::null()];
    let env = [std::ptr::null::<libc::c_char>()];
    // SAFETY: strings that end with NUL in lists that end with null.
    unsafe {
        libc::syscall(libc::SYS_execveat, fd, c"".as_ptr(), args.as_ptr(), env.as_ptr(), libc::AT_EMPTY_PATH);
    }
    io::Error::last_os_error()
}

fn sethostname(_: &Scene) -> io::Result<Outcome> {
    // SAFETY: as many bytes as are told.
    let_through(unsafe { libc::sethostname(c"probed".as_ptr(), 6) })
}

/// The zone of a kernel's clock, to what it is anyway: the same right, and nothing changes.
fn settime(_: &Scene) -> io::Result<Outcome> {
    let zone = [0_i32; 2];
    let now = std::ptr::null::<libc::timeval>();
    // SAFETY: no time, and a zone of two numbers.
    let_through(unsafe { libc::syscall(libc::SYS_settimeofday, now, zone.as_ptr()) })
}

fn quotactl(_: &Scene) -> io::Result<Outcome> {
    // `QCMD(Q_SYNC, USRQUOTA)`.
    const SYNC_USER_QUOTAS: libc::c_int = 0x8000_0100_u32 as libc::c_int;
    // SAFETY: no device and no address: all file systems, nothing to write to.
    let_through(unsafe { libc::syscall(libc::SYS_quotactl, SYNC_USER_QUOTAS, 0_usize, 0, 0_usize) })
}

/// A device that cannot hold anything; the kernel says so behind the door.
fn swapon(_: &Scene) -> io::Result<Outcome> {
    // SAFETY: a path that ends with NUL.
    let_through(unsafe { libc::swapon(c"/dev/null".as_ptr(), 0) })
}

/// The wrong magic number: the right is asked for first, and nothing happens after.
fn reboot(_: &Scene) -> io::Result<Outcome> {
    // SAFETY: no pointers are involved.
    let_through(unsafe { libc::syscall(libc::SYS_reboot, 0, 0, 0, 0_usize) })
}
