//! The filter of system calls in the form in which container engines read it.
//!
//! Format: the "seccomp" object of the OCI runtime specification, which Docker and Podman take as `seccomp=<json>`.

use serde_json::{Value, json};

/// What the engine's runtime and our guest do between the filter and the program. The guest's own filter, set last, need
/// not allow them to the program.
const BEFORE_THE_PROGRAM: &[&str] = &[
    "access",
    "bind",
    "brk",
    "capset",
    "clone",
    "close",
    "close_range",
    "connect",
    "dup2",
    "dup3",
    "execve",
    "exit",
    "exit_group",
    "faccessat",
    "faccessat2",
    "fcntl",
    "fstat",
    "fstatfs",
    "ftruncate",
    "futex",
    "getdents64",
    "geteuid",
    "getpid",
    "ioctl",
    "landlock_add_rule",
    "landlock_create_ruleset",
    "landlock_restrict_self",
    "listen",
    "lseek",
    "memfd_create",
    "mmap",
    "mprotect",
    "munmap",
    "newfstatat",
    "openat",
    "pidfd_open",
    "poll",
    "ppoll",
    "prctl",
    "prlimit64",
    "pwrite64",
    "read",
    "recvfrom",
    "recvmsg",
    "rt_sigaction",
    "rt_sigprocmask",
    "seccomp",
    "sendmsg",
    "sendto",
    "setpgid",
    "setrlimit",
    "signalfd4",
    "socket",
    "statfs",
    "umask",
    "wait4",
    "write",
    "writev",
];

/// Every flag of `clone` that makes a namespace (`CLONE_NEW*` of `linux/sched.h`).
const NAMESPACE_FLAGS: u64 = 0x7E02_0000;
/// What `clone3` answers, so that libc falls back to `clone`, whose flags a filter can read.
const ENOSYS: u32 = 38;
/// What everything else answers.
const EPERM: u32 = 1;

#[cfg(target_arch = "x86_64")]
const ARCHITECTURE: &str = "SCMP_ARCH_X86_64";
#[cfg(target_arch = "aarch64")]
const ARCHITECTURE: &str = "SCMP_ARCH_AARCH64";

/// The profile that allows `names`, and what must happen before the program runs. No namespace can be made, and calls of
/// other architectures (32-bit ones above all) are not answered.
pub(super) fn profile<'a>(names: impl IntoIterator<Item = &'a str>) -> Value {
    let mut names: Vec<&str> = names.into_iter().chain(BEFORE_THE_PROGRAM.iter().copied()).collect();
    names.retain(|name| !matches!(*name, "clone" | "clone3"));
    names.sort_unstable();
    names.dedup();
    json!({
        "defaultAction": "SCMP_ACT_ERRNO",
        "defaultErrnoRet": EPERM,
        "architectures": [ARCHITECTURE],
        "syscalls": [
            { "names": names, "action": "SCMP_ACT_ALLOW" },
            {
                "names": ["clone"],
                "action": "SCMP_ACT_ALLOW",
                "args": [{ "index": 0, "value": NAMESPACE_FLAGS, "valueTwo": 0, "op": "SCMP_CMP_MASKED_EQ" }],
            },
            { "names": ["clone3"], "action": "SCMP_ACT_ERRNO", "errnoRet": ENOSYS },
        ],
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allowed(profile: &Value, name: &str) -> bool {
        let rules = profile["syscalls"].as_array().unwrap();
        let plain = |rule: &&Value| rule["action"] == "SCMP_ACT_ALLOW" && rule.get("args").is_none();
        rules.iter().filter(plain).any(|rule| rule["names"].as_array().unwrap().iter().any(|other| other == name))
    }

    #[test]
    fn what_is_not_named_is_refused() {
        let profile = profile(["epoll_wait", "clone3", "read"]);
        assert_eq!((&profile["defaultAction"], &profile["defaultErrnoRet"]), (&json!("SCMP_ACT_ERRNO"), &json!(1)));
        assert!(allowed(&profile, "epoll_wait") && allowed(&profile, "execve") && allowed(&profile, "read"));
        assert!(!allowed(&profile, "mount") && !allowed(&profile, "ptrace") && !allowed(&profile, "clone3"));
    }

    #[test]
    fn clone_makes_no_namespace_and_clone3_is_not_there() {
        let profile = profile(["clone"]);
        let rules = profile["syscalls"].as_array().unwrap();
        let of = |name: &str| rules.iter().find(|rule| rule["names"] == json!([name])).unwrap();
        assert_eq!(of("clone")["args"][0]["value"], json!(0x7E02_0000_u64));
        assert_eq!((&of("clone3")["action"], &of("clone3")["errnoRet"]), (&json!("SCMP_ACT_ERRNO"), &json!(38)));
    }
}
