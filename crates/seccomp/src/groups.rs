//! Groups of system calls, by what a program wants to do; and those that no program gets.
//!
//! Why groups and not a list for each program: a list taken from one run of a program breaks with its next version, or
//! when a shell starts it. What is in none of the groups is seldom needed, or dangerous.

/// A name for several calls, without its `@`.
pub(crate) struct Group {
    pub name: &'static str,
    pub calls: &'static [&'static str],
    /// Groups that it contains.
    pub groups: &'static [&'static str],
}

/// All groups, in the order to show.
pub(crate) const GROUPS: &[Group] = &[
    Group { name: "base", calls: BASE, groups: &[] },
    Group { name: "event", calls: EVENT, groups: &[] },
    Group { name: "fs-read", calls: FS_READ, groups: &[] },
    Group { name: "fs-write", calls: FS_WRITE, groups: &[] },
    Group { name: "ipc", calls: IPC, groups: &[] },
    Group { name: "proc", calls: PROC, groups: &[] },
    Group { name: "net-client", calls: &["socket", "connect"], groups: &[] },
    Group { name: "net-server", calls: &["bind", "listen", "accept", "accept4"], groups: &[] },
    Group { name: "sysv-ipc", calls: SYSV_IPC, groups: &[] },
    Group { name: "mqueue", calls: MQUEUE, groups: &[] },
    Group { name: "aio", calls: AIO, groups: &[] },
    Group { name: "memfd", calls: &["memfd_create"], groups: &[] },
    Group { name: "worker", calls: &[], groups: &["base", "event", "fs-read", "fs-write", "ipc"] },
    Group { name: "tool", calls: &[], groups: &["worker", "proc", "net-client", "net-server"] },
];

/// Memory, threads, signals to itself, time, open files, and questions about itself.
#[rustfmt::skip]
const BASE: &[&str] = &[
    // open files, whatever they are
    "read", "write", "readv", "writev", "pread64", "pwrite64", "preadv", "pwritev", "preadv2", "pwritev2", "lseek",
    "close", "close_range", "dup", "dup2", "dup3", "fcntl", "ioctl", "pipe", "pipe2",
    // memory
    "brk", "mmap", "munmap", "mprotect", "mremap", "madvise", "msync", "mincore", "mlock", "mlock2", "munlock",
    "mlockall", "munlockall", "membarrier", "pkey_alloc", "pkey_free", "pkey_mprotect", "map_shadow_stack", "mseal",
    // threads
    "clone", "futex", "futex_wait", "futex_wake", "futex_waitv", "futex_requeue", "set_robust_list",
    "get_robust_list", "set_tid_address", "rseq", "sched_yield", "sched_getaffinity", "sched_setaffinity",
    "sched_getparam", "sched_getscheduler", "sched_get_priority_max", "sched_get_priority_min",
    "sched_rr_get_interval", "getcpu", "exit", "exit_group", "arch_prctl", "prctl", "restart_syscall",
    // signals
    "rt_sigaction", "rt_sigprocmask", "rt_sigreturn", "rt_sigpending", "rt_sigsuspend", "rt_sigtimedwait",
    "rt_sigqueueinfo", "rt_tgsigqueueinfo", "sigaltstack", "tgkill", "tkill", "pause", "alarm",
    // time
    "clock_gettime", "clock_getres", "clock_nanosleep", "nanosleep", "gettimeofday", "time", "times", "getitimer",
    "setitimer", "timer_create", "timer_settime", "timer_gettime", "timer_getoverrun", "timer_delete",
    // questions
    "getpid", "getppid", "gettid", "getuid", "geteuid", "getgid", "getegid", "getresuid", "getresgid", "getgroups",
    "getpgid", "getpgrp", "getsid", "capget", "getrlimit", "setrlimit", "prlimit64", "getrusage", "getpriority",
    "uname", "sysinfo", "getrandom", "personality",
];

/// Waiting for files, clocks, signals and changes of directories.
#[rustfmt::skip]
const EVENT: &[&str] = &[
    "epoll_create", "epoll_create1", "epoll_ctl", "epoll_wait", "epoll_pwait", "epoll_pwait2", "poll", "ppoll", "select",
    "pselect6", "eventfd", "eventfd2", "timerfd_create", "timerfd_settime", "timerfd_gettime", "signalfd", "signalfd4",
    "inotify_init", "inotify_init1", "inotify_add_watch", "inotify_rm_watch",
];

/// Opening and reading what the file view shows. Whether a file may be opened to write is the view's to say.
#[rustfmt::skip]
const FS_READ: &[&str] = &[
    "open", "openat", "access", "faccessat", "faccessat2", "stat", "lstat", "fstat", "newfstatat", "statx", "statfs",
    "fstatfs", "readlink", "readlinkat", "getdents", "getdents64", "getcwd", "chdir", "fchdir", "getxattr", "lgetxattr",
    "fgetxattr", "getxattrat", "listxattr", "llistxattr", "flistxattr", "listxattrat", "flock", "fadvise64", "readahead",
    "sendfile", "cachestat",
];

/// Making, changing and removing files.
#[rustfmt::skip]
const FS_WRITE: &[&str] = &[
    "creat", "mkdir", "mkdirat", "mknod", "mknodat", "rmdir", "unlink", "unlinkat", "rename", "renameat", "renameat2",
    "link", "linkat", "symlink", "symlinkat", "truncate", "ftruncate", "fallocate", "fsync", "fdatasync", "sync",
    "syncfs", "sync_file_range", "copy_file_range", "splice", "tee", "chmod", "fchmod", "fchmodat", "fchmodat2",
    "chown", "fchown", "lchown", "fchownat", "utime", "utimes", "utimensat", "futimesat", "setxattr", "lsetxattr",
    "fsetxattr", "setxattrat", "removexattr", "lremovexattr", "fremovexattr", "removexattrat", "umask",
];

/// Talking over sockets that are open already, or that are a pair.
#[rustfmt::skip]
const IPC: &[&str] = &[
    "socketpair", "sendmsg", "recvmsg", "sendto", "recvfrom", "sendmmsg", "recvmmsg", "shutdown", "getsockopt",
    "setsockopt", "getsockname", "getpeername",
];

/// Starting other processes and having to do with them. Setting one's ids is among it because `make` and shells make sure
/// that their effective ids are the real ones; a sandbox has one id, and no right to take another.
#[rustfmt::skip]
const PROC: &[&str] = &[
    "fork", "vfork", "execve", "execveat", "wait4", "waitid", "kill", "pidfd_open", "pidfd_send_signal", "setpgid",
    "setsid", "setpriority", "ioprio_get", "ioprio_set", "sched_setparam", "sched_setscheduler", "sched_setattr",
    "sched_getattr", "setuid", "setgid", "setreuid", "setregid", "setresuid", "setresgid",
];

/// Shared memory, semaphores and queues of System V. They live in memory that only a limit on the whole tree counts.
#[rustfmt::skip]
const SYSV_IPC: &[&str] = &[
    "shmget", "shmat", "shmdt", "shmctl", "semget", "semop", "semtimedop", "semctl", "msgget", "msgsnd", "msgrcv",
    "msgctl",
];

/// Message queues of POSIX.
#[rustfmt::skip]
const MQUEUE: &[&str] =
    &["mq_open", "mq_unlink", "mq_timedsend", "mq_timedreceive", "mq_notify", "mq_getsetattr"];

/// The older kind of asynchronous input and output, which databases use.
#[rustfmt::skip]
const AIO: &[&str] =
    &["io_setup", "io_destroy", "io_submit", "io_cancel", "io_getevents", "io_pgetevents"];

/// What no policy can allow: each undoes a wall, looks into others, or belongs to whoever runs the machine.
#[rustfmt::skip]
pub(crate) const NEVER: &[&str] = &[
    // looks into other processes, or acts in their place
    "ptrace", "process_vm_readv", "process_vm_writev", "process_madvise", "process_mrelease", "pidfd_getfd", "kcmp",
    "move_pages", "migrate_pages",
    // goes around this filter, or around the file view
    "io_uring_setup", "io_uring_enter", "io_uring_register", "seccomp", "clone3", "name_to_handle_at",
    "open_by_handle_at", "openat2", "fanotify_init", "fanotify_mark", "userfaultfd", "bpf", "perf_event_open",
    "memfd_secret", "remap_file_pages", "vmsplice", "file_setattr",
    // mounts and namespaces
    "mount", "umount2", "pivot_root", "chroot", "open_tree", "open_tree_attr", "move_mount", "fsopen", "fsconfig",
    "fsmount", "fspick", "mount_setattr", "statmount", "listmount", "unshare", "setns",
    // keys and identities
    "add_key", "request_key", "keyctl", "setfsuid", "setfsgid", "setgroups", "capset", "lsm_set_self_attr", "landlock_create_ruleset",
    "landlock_add_rule", "landlock_restrict_self",
    // the machine
    "init_module", "finit_module", "delete_module", "create_module", "query_module", "get_kernel_syms", "kexec_load",
    "kexec_file_load", "reboot", "swapon", "swapoff", "syslog", "acct", "quotactl", "quotactl_fd", "settimeofday",
    "clock_settime", "clock_adjtime", "adjtimex", "iopl", "ioperm", "modify_ldt", "sethostname", "setdomainname",
    "vhangup", "nfsservctl", "lookup_dcookie", "uselib", "ustat", "sysfs", "_sysctl", "mbind", "get_mempolicy",
    "set_mempolicy", "set_mempolicy_home_node",
];

/// A group by its name without `@`.
pub(crate) fn group(name: &str) -> Option<&'static Group> {
    GROUPS.iter().find(|group| group.name == name)
}

impl Group {
    /// Everything in it.
    pub fn all(&'static self) -> Vec<&'static str> {
        let inner = self.groups.iter().filter_map(|name| group(name)).flat_map(Self::all);
        self.calls.iter().copied().chain(inner).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::calls;

    #[test]
    fn every_word_is_a_call_and_stands_once() {
        let words: Vec<&str> = GROUPS.iter().flat_map(|group| group.calls).chain(NEVER).copied().collect();
        words.iter().for_each(|word| assert!(calls::known(word).is_some(), "{word}"));
        let unique: BTreeSet<&str> = words.iter().copied().collect();
        assert_eq!(unique.len(), words.len(), "twice: {:?}", {
            let mut seen = BTreeSet::new();
            words.iter().filter(|word| !seen.insert(**word)).collect::<Vec<_>>()
        });
    }

    #[test]
    fn groups_contain_only_groups() {
        GROUPS.iter().flat_map(|group| group.groups).for_each(|name| assert!(group(name).is_some(), "{name}"));
        assert!(group("tool").unwrap().all().len() > group("worker").unwrap().all().len());
    }
}
