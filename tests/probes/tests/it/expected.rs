//! What is expected of whom: how a probe is run without a sandbox, what a preset allows on purpose, and what cannot be shown.

use sandbox::Preset;

/// How a probe is run without a sandbox, so that it shows that it works and leaves the host alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Control {
    Plain,
    /// In mount, host name, IPC and network namespaces of its own, because it changes them.
    OwnNamespaces,
    /// In a process namespace of its own, because it ends everybody.
    Alone,
    /// On a terminal of its own, because it types into it.
    OnATerminal,
}

pub fn control(name: &str) -> Control {
    match name {
        "sig_kill_all" => Control::Alone,
        "ipc_tty_tiocsti" => Control::OnATerminal,
        "sys_mount" | "sys_bind_mount" | "sys_umount" | "sys_fsopen" | "sys_open_tree" | "sys_mount_setattr"
        | "sys_unshare_net" | "sys_unshare_mount" | "sys_setns" | "sys_chroot" | "sys_pivot" | "sys_sethostname" => {
            Control::OwnNamespaces
        }
        _ => Control::Plain,
    }
}

/// What must not be tried without a sandbox at all, and why.
pub const NOT_WITHOUT: &[(&str, &str)] =
    &[("sig_kill_init", "it would be the host's process 1"), ("ptrace_init", "it would be the host's process 1")];

/// What does not work without a sandbox on any host that the tests have seen, or not everywhere, and why.
pub const NOT_SHOWN: &[(&str, &str)] = &[
    ("fs_dev_disk", "in a container not even root may open a disk"),
    ("fs_dev_mem", "newer kernels have no such file"),
    ("fs_mknod_disk", "in a container not even root may open a disk"),
    ("proc_environ_init", "in a container root may not look into process 1"),
    ("proc_mem_init", "in a container root may not look into process 1"),
    ("proc_kcore", "the kernel may be built without it"),
    ("proc_sysrq", "the kernel may be built without it"),
    ("sys_kexec", "the kernel may be built without it"),
    ("sys_init_module", "the kernel may be built without modules"),
    ("sys_finit_module", "the kernel may be built without modules"),
    ("sys_delete_module", "the kernel may be built without modules"),
    ("sys_x32", "the kernel may be built without it"),
    ("sys_int80", "the kernel may be built without it"),
    ("sys_iopl", "the kernel may be built without it"),
    ("sys_capset", "only a process that has every capability can take every capability"),
    ("sys_no_new_privs", "no process can take it back; without a sandbox it is not set"),
    ("ipc_alg", "the kernel may be built without it"),
    ("ipc_bluetooth", "the kernel may be built without it"),
    ("net_sctp", "the kernel may be built without it"),
    ("net_icmp_ping", "the sysctl ping_group_range may give it to nobody"),
    ("env_mounts_leak", "without a sandbox nothing is bound"),
    ("res_limit_raise", "in a container root may not raise limits"),
    ("res_pipe_mem", "in a container root may not exceed the limit of pipes"),
];

/// What an ordinary user cannot do without a sandbox either.
pub const NEEDS_ROOT: &[&str] = &[
    "fs_open_by_handle",
    "fs_etc_shadow",
    "fs_root_home",
    "fs_write_usr",
    "fs_write_etc",
    "fs_write_cgroup",
    "fs_sysctl_write",
    "fs_core_pattern",
    "fs_sysfs_write",
    "proc_kmsg",
    "process_madvise_other",
    "sys_mount",
    "sys_bind_mount",
    "sys_umount",
    "sys_fsopen",
    "sys_open_tree",
    "sys_mount_setattr",
    "sys_unshare_net",
    "sys_unshare_mount",
    "sys_setns",
    "sys_chroot",
    "sys_pivot",
    "sys_bpf",
    "sys_fanotify",
    "sys_syslog",
    "sys_acct",
    "sys_setuid0",
    "sys_setgid0",
    "sys_setgroups",
    "sys_sethostname",
    "sys_settime",
    "sys_swapon",
    "sys_reboot",
    "ipc_packet",
    "net_icmp_raw",
    "env_ld_preload",
    "env_loader_cache",
    "res_mlock",
    "res_nice",
    "res_realtime",
];

/// What nothing but the filter of system calls keeps away. None of it reaches anybody else or a file of the host by itself: it
/// is parts of the kernel that have had faults; except for the sockets of services that lie in a shown folder, which Landlock
/// keeps away too from its version 9 on. (Children of a `worker` are not here: without the filter there is no worker.)
pub const ONLY_SECCOMP: &[&str] = &[
    "fs_setuid_bit",
    "ipc_netlink",
    "ipc_shown_datagram",
    "ipc_shown_datagram_pair",
    "ipc_shown_unix",
    "ipc_shown_unix_descriptor",
    "ipc_shown_unix_exchanged",
    "ipc_shown_unix_link",
    "ipc_shown_unix_nonblocking",
    "ipc_shown_unix_relative",
    "ipc_vsock",
    "spawn_clone3_proc",
    "sys_add_key",
    "sys_clone3_newuser",
    "sys_clone_newuser",
    "sys_int80",
    "sys_io_uring",
    "sys_keyctl_session",
    "sys_landlock_again",
    "sys_modify_ldt",
    "sys_name_to_handle",
    "sys_perf",
    "sys_personality",
    "sys_quotactl",
    "sys_request_key",
    "sys_seccomp_new",
    "sys_unshare_user",
    "sys_userfaultfd",
];

/// Something that works inside on purpose.
pub struct Allowed {
    pub probes: &'static [&'static str],
    pub presets: &'static [Preset],
    pub why: &'static str,
}

const WITH_CHILDREN: &[Preset] = &[Preset::AgentCli, Preset::Check, Preset::ReadOnly];

pub const ALLOWED: &[Allowed] = &[
    Allowed {
        probes: &[
            "spawn_fork",
            "spawn_vfork",
            "spawn_clone_proc",
            "spawn_clone_shared",
            "spawn_posix",
            "spawn_command",
            "spawn_shell",
        ],
        presets: WITH_CHILDREN,
        why: "children are allowed; all of them live and end in the sandbox",
    },
    Allowed {
        probes: &["spawn_exec_self", "spawn_exec_other", "spawn_execveat_reuse", "sys_memfd_exec"],
        presets: WITH_CHILDREN,
        why: "programs can be executed; every one of them is under the same policy",
    },
    Allowed {
        probes: &["fs_exec_from_ws", "spawn_exec_loader"],
        presets: &[Preset::AgentCli, Preset::Check],
        why: "what was built has to run; it is under the same policy",
    },
    Allowed { probes: &["spawn_thread_ok"], presets: &Preset::ALL, why: "threads are allowed everywhere" },
    Allowed {
        probes: &["env_mounts_leak"],
        presets: &Preset::ALL,
        why: "the kernel tells which host path a bind shows; a path is no access",
    },
    Allowed {
        probes: &["net_bind_listen"],
        presets: &Preset::ALL,
        why: "its network is its own and has nothing but loopback",
    },
];

/// Why something that is not held is all right in a preset.
pub fn allowed(name: &str, preset: Preset) -> Option<&'static str> {
    let allows = |allowed: &&Allowed| allowed.probes.contains(&name) && allowed.presets.contains(&preset);
    ALLOWED.iter().find(allows).map(|allowed| allowed.why)
}
