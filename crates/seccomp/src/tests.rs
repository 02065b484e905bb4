//! Filters, run on every number by a small interpreter of the instructions that they are made of.

use crate::assemble::{
    AND, ARCH, Instruction, JUMP, JUMP_ANY_BIT, JUMP_EQUAL, JUMP_GREATER_EQUAL, LOAD, NUMBER, RETURN, Verdict,
};
use crate::calls::Arch;
use crate::groups::{GROUPS, NEVER};
use crate::select::Selection;
use crate::*;

/// What presets of policies ask.
mod presets {
    use crate::{Asked, Network, Processes};

    pub fn tool() -> Asked {
        Asked { network: Network::None, is_checkable: true, ..Asked::default() }
    }

    pub fn check() -> Asked {
        Asked { disk: true, ..tool() }
    }

    pub fn agent_cli() -> Asked {
        Asked { network: Network::Own, ..check() }
    }

    pub fn worker() -> Asked {
        Asked { processes: Processes::None, ..agent_cli() }
    }
}

const SECRET: u64 = 0x0123_4567_89AB_CDEF;
const ARCHES: [Arch; 2] = [Arch::X86_64, Arch::Aarch64];
const EPERM: Verdict = Verdict::Errno(libc::EPERM as u16);
const ENOSYS: Verdict = Verdict::Errno(libc::ENOSYS as u16);
const NO_FAMILY: Verdict = Verdict::Errno(libc::EAFNOSUPPORT as u16);

/// What the kernel would answer. Fails on a jump out of the program and on what a filter never contains.
fn interpret(program: &[Instruction], arch: u32, number: u32, arguments: [u64; 6]) -> u32 {
    let word = |offset: u32| match offset {
        NUMBER => number,
        ARCH => arch,
        _ => (arguments[(offset as usize - 16) / 8] >> (8 * (offset % 8))) as u32,
    };
    let (mut at, mut register) = (0, 0);
    loop {
        let Instruction { code, jump_true, jump_false, value } = program[at];
        let branch = |taken: bool| 1 + usize::from(if taken { jump_true } else { jump_false });
        at += match code {
            LOAD => {
                register = word(value);
                1
            }
            AND => {
                register &= value;
                1
            }
            JUMP => 1 + value as usize,
            JUMP_EQUAL => branch(register == value),
            JUMP_GREATER_EQUAL => branch(register >= value),
            JUMP_ANY_BIT => branch(register & value != 0),
            RETURN => return value,
            _ => panic!("instruction {code:#x}"),
        };
    }
}

/// A filter of one processor.
struct Filtered {
    arch: Arch,
    program: Vec<Instruction>,
    selection: Selection,
}

impl Filtered {
    fn new(arch: Arch, policy: &Asked) -> Self {
        let selection = Selection::of(policy).unwrap();
        Self { arch, program: program(arch, &crate::rules::actions(arch, &selection), SECRET), selection }
    }

    fn number(&self, number: u32, arguments: [u64; 6]) -> u32 {
        interpret(&self.program, self.arch.audit(), number, arguments)
    }

    #[track_caller]
    fn check(&self, name: &str, arguments: [u64; 6], verdict: Verdict) {
        let Some(number) = self.arch.number(name) else { return };
        assert_eq!(self.number(number, arguments), verdict.value(), "{name} {arguments:x?}");
    }
}

fn each(policy: &Asked, test: impl Fn(&Filtered)) {
    ARCHES.iter().for_each(|arch| test(&Filtered::new(*arch, policy)));
}

fn refusal(words: &[&str], processes: Processes) -> String {
    let allowed_syscalls = words.iter().map(|word| (*word).to_owned()).collect();
    let policy = Asked { allowed_syscalls, processes, ..presets::tool() };
    Selection::of(&policy).expect_err("must be refused").to_string()
}

/// Arguments that no test of arguments finds fault with.
fn harmless(name: &str) -> [u64; 6] {
    match name {
        "clone" => [0x10000, 0, 0, 0, 0, 0],
        "socket" => [2, 1, 0, 0, 0, 0],
        "socketpair" => [1, 1, 0, 0, 0, 0],
        "ioprio_set" => [1, 0, 0, 0, 0, 0],
        "fallocate" => [0, 3, 0, 0, 0, 0],
        _ => [0; 6],
    }
}

#[test]
fn every_number_is_allowed_exactly_if_its_name_is() {
    for policy in [presets::worker(), presets::tool(), presets::check(), presets::agent_cli()] {
        each(&policy, |filter| {
            for number in (0..=600).chain([1000, 0x3FFF_FFFF, 0x4000_0000, 0x7FFF_FFFF, u32::MAX]) {
                let name = filter.arch.name(number);
                let allowed = name.is_some_and(|name| filter.selection.allowed.contains(name));
                // Carried out by init where Unix sockets can be made.
                let allowed = allowed && !(name == Some("connect") && filter.selection.unix);
                let given = filter.number(number, name.map_or([0; 6], harmless));
                assert_eq!(given == libc::SECCOMP_RET_ALLOW, allowed, "{number} {name:?}");
                let refusals = [EPERM, ENOSYS, Verdict::Told].map(Verdict::value);
                assert!(allowed || refusals.contains(&given), "{number} {name:?} {given:#x}");
            }
        });
    }
}

#[test]
fn no_x32_number_gets_through() {
    for policy in [presets::worker(), presets::tool()] {
        each(&policy, |filter| {
            (0..=600).for_each(|number| assert_eq!(filter.number(0x4000_0000 | number, [0; 6]), ENOSYS.value()));
        });
    }
}

#[test]
fn another_processors_calls_kill() {
    let policy = presets::tool();
    each(&policy, |filter| {
        for foreign in [0x4000_0003, Arch::X86_64.audit(), Arch::Aarch64.audit(), 0] {
            if foreign != filter.arch.audit() {
                let given = interpret(&filter.program, foreign, 1, [0; 6]);
                assert_eq!(given, libc::SECCOMP_RET_KILL_PROCESS);
            }
        }
    });
}

#[test]
fn what_is_never_allowed_is_in_no_group_and_refused_by_name() {
    for name in NEVER {
        GROUPS.iter().for_each(|group| assert!(!group.all().contains(name), "{name} is in {}", group.name));
        let text = refusal(&["@tool", name], Processes::Tree);
        assert!(text.contains(&format!("`{name}` is never allowed")), "{text}");
    }
    each(&presets::tool(), |filter| {
        for name in ["ptrace", "bpf", "keyctl", "mount", "io_uring_setup", "setns", "process_vm_readv", "pidfd_getfd"] {
            filter.check(name, [0; 6], Verdict::Told);
        }
        for name in ["clone3", "openat2", "landlock_restrict_self"] {
            filter.check(name, [0; 6], ENOSYS);
        }
    });
}

#[test]
fn a_worker_has_threads_and_no_children() {
    let thread = (libc::CLONE_VM | libc::CLONE_THREAD | libc::CLONE_SIGHAND | libc::CLONE_FILES) as u64;
    let process = libc::SIGCHLD as u64;
    let namespaces = [0x20000, 0x0200_0000, 0x0400_0000, 0x0800_0000, 0x1000_0000, 0x2000_0000, 0x4000_0000];
    each(&presets::worker(), |filter| {
        filter.check("clone", [thread, 0, 0, 0, 0, 0], Verdict::Allow);
        for flags in [0, process, process | (libc::CLONE_VM | libc::CLONE_VFORK) as u64] {
            filter.check("clone", [flags, 0, 0, 0, 0, 0], Verdict::Told);
        }
        for name in ["fork", "vfork", "execveat"] {
            filter.check(name, [0; 6], Verdict::Told);
        }
        for flag in namespaces {
            filter.check("clone", [thread | flag, 0, 0, 0, 0, 0], Verdict::Told);
        }
    });
    each(&presets::tool(), |filter| {
        filter.check("clone", [process, 0, 0, 0, 0, 0], Verdict::Allow);
        for flag in namespaces {
            filter.check("clone", [process | flag, 0, 0, 0, 0, 0], Verdict::Told);
        }
    });
}

#[test]
fn a_worker_is_executed_by_who_knows_the_number_only() {
    each(&presets::worker(), |filter| {
        filter.check("execve", [1, 2, 3, 0, 0, SECRET], Verdict::Allow);
        for guess in [0, 1, SECRET ^ 1, SECRET ^ (1 << 63), SECRET << 32, SECRET & 0xFFFF_FFFF] {
            filter.check("execve", [1, 2, 3, 0, 0, guess], Verdict::Told);
        }
        filter.check("execveat", [1, 2, 3, 0, 0, SECRET], Verdict::Told);
    });
    each(&presets::tool(), |filter| filter.check("execve", [0; 6], Verdict::Allow));
}

#[test]
fn unix_sockets_reach_only_what_they_are_connected_to_and_init_connects_them() {
    const FLAGS: u64 = (libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK) as u64;
    each(&presets::tool(), |filter| {
        for kind in 0..16 {
            let verdict = if [1, 5].contains(&kind) { Verdict::Allow } else { NO_FAMILY };
            for flags in [0, FLAGS] {
                filter.check("socket", [1, kind | flags, 0, 0, 0, 0], verdict);
                filter.check("socketpair", [1, kind | flags, 0, 0, 0, 0], verdict);
                filter.check("socket", [2, kind | flags, 0, 0, 0, 0], Verdict::Allow);
            }
        }
        filter.check("connect", [0; 6], Verdict::Told);
        filter.check("prctl", [4, 0, 0, 0, 0, 0], Verdict::Errno(0));
        filter.check("prctl", [22, 0, 0, 0, 0, 0], EPERM);
        filter.check("prctl", [15, 0, 0, 0, 0, 0], Verdict::Allow);
    });
    for policy in [presets::worker(), Asked { network: Network::Open, ..presets::tool() }] {
        each(&policy, |filter| {
            filter.check("connect", [0; 6], Verdict::Allow);
            filter.check("prctl", [4, 0, 0, 0, 0, 0], Verdict::Allow);
            filter.check("socketpair", [1, 2, 0, 0, 0, 0], NO_FAMILY);
        });
    }
}

#[test]
fn where_space_is_counted_none_is_taken_before_it_is_written() {
    const UNSUPPORTED: Verdict = Verdict::Errno(libc::EOPNOTSUPP as u16);
    each(&presets::check(), |filter| {
        for mode in 0..0x80 {
            let verdict = if [3, 8].contains(&mode) { Verdict::Allow } else { UNSUPPORTED };
            filter.check("fallocate", [0, mode, 0, 0, 0, 0], verdict);
        }
        for request in [0x4030_5828, 0x4030_582A, 0x4030_5839] {
            filter.check("ioctl", [0, request, 0, 0, 0, 0], EPERM);
        }
    });
    // A tool of ours has no such limit.
    each(&presets::tool(), |filter| filter.check("fallocate", [0; 6], Verdict::Allow));
}

#[test]
fn sockets_are_of_known_kinds_only() {
    let kinds = |filter: &Filtered, allowed: &[u64]| {
        for family in 0..64 {
            let verdict = if allowed.contains(&family) { Verdict::Allow } else { NO_FAMILY };
            filter.check("socket", [family, 1, 0, 0, 0, 0], verdict);
            let pair = if family == libc::AF_UNIX as u64 { Verdict::Allow } else { NO_FAMILY };
            filter.check("socketpair", [family, 1, 0, 0, 0, 0], pair);
        }
    };
    each(&presets::tool(), |filter| kinds(filter, &[1, 2, 10]));
    let open = Asked { network: Network::Open, ..presets::tool() };
    each(&open, |filter| kinds(filter, &[2, 10]));
    let contained = Asked { is_checkable: false, ..presets::tool() };
    each(&contained, |filter| kinds(filter, &[2, 10]));
    each(&presets::worker(), |filter| kinds(filter, &[2, 10]));
    let alone = Asked { network: Network::None, ..presets::worker() };
    each(&alone, |filter| filter.check("socket", [2, 1, 0, 0, 0, 0], Verdict::Told));
    let asked = Asked { allowed_syscalls: vec!["@worker".into(), "socket".into()], ..alone };
    each(&asked, |filter| kinds(filter, &[]));
}

#[test]
fn arguments_are_looked_at() {
    each(&presets::tool(), |filter| {
        for trick in [0x5412, 0x541C, 0x541D, 0x5423, 0x7700_0000_5412] {
            filter.check("ioctl", [0, trick, 0, 0, 0, 0], EPERM);
        }
        filter.check("ioctl", [0, 0x5401, 0, 0, 0, 0], Verdict::Allow);
        for trick in [22, 35, 0x5961_6d61] {
            filter.check("prctl", [trick, 0, 0, 0, 0, 0], EPERM);
        }
        filter.check("prctl", [15, 0, 0, 0, 0, 0], Verdict::Allow);
        filter.check("prlimit64", [0, 7, 0, 0, 0, 0], Verdict::Allow);
        filter.check("prlimit64", [1, 7, 0, 0, 0, 0], EPERM);
        for name in ["sched_setaffinity", "sched_setscheduler", "sched_setattr"] {
            filter.check(name, [7, 0, 0, 0, 0, 0], Verdict::Allow);
            filter.check(name, [1, 0, 0, 0, 0, 0], EPERM);
        }
        filter.check("setpriority", [0, 0, 19, 0, 0, 0], Verdict::Allow);
        filter.check("ioprio_set", [1, 0, 0, 0, 0, 0], Verdict::Allow);
        for (which, who) in [(0, 1), (0, 7), (1, 0), (2, 0), (3, 0)] {
            filter.check("setpriority", [which, who, 19, 0, 0, 0], EPERM);
        }
        for (which, who) in [(1, 1), (1, 7), (0, 0), (2, 0), (3, 0)] {
            filter.check("ioprio_set", [which, who, 0, 0, 0, 0], EPERM);
        }
        filter.check("personality", [0xFFFF_FFFF, 0, 0, 0, 0, 0], Verdict::Allow);
        filter.check("personality", [0x0004_0000, 0, 0, 0, 0, 0], EPERM);
    });
}

#[test]
fn no_file_gets_an_identity_of_its_own() {
    each(&presets::tool(), |filter| {
        for (mode, verdict) in [(0o755, Verdict::Allow), (0o1777, Verdict::Allow), (0o4755, EPERM), (0o2755, EPERM)] {
            filter.check("chmod", [0, mode, 0, 0, 0, 0], verdict);
            filter.check("fchmod", [0, mode, 0, 0, 0, 0], verdict);
            filter.check("creat", [0, mode, 0, 0, 0, 0], verdict);
            filter.check("fchmodat", [0, 0, mode, 0, 0, 0], verdict);
            filter.check("fchmodat2", [0, 0, mode, 0, 0, 0], verdict);
            filter.check("open", [0, 0o101, mode, 0, 0, 0], verdict);
            filter.check("openat", [0, 0, 0o101, mode, 0, 0], verdict);
            filter.check("openat", [0, 0, 0o20_200_001, mode, 0, 0], verdict);
            filter.check("openat", [0, 0, 0, mode, 0, 0], Verdict::Allow);
            filter.check("mknodat", [0, 0, 0o010_000 | mode, 0, 0, 0], verdict);
        }
        for device in [0o020_600, 0o060_600] {
            filter.check("mknod", [0, device, 0, 0, 0, 0], EPERM);
            filter.check("mknodat", [0, 0, device, 0, 0, 0], EPERM);
        }
    });
}

#[test]
fn a_worker_has_no_memory_that_its_limit_does_not_count() {
    let flags = [(0x22, Verdict::Allow), (0x01, Verdict::Allow), (0x21, EPERM), (0x23, EPERM), (0x4021, EPERM)];
    each(&presets::worker(), |filter| {
        flags.iter().for_each(|(flags, verdict)| filter.check("mmap", [0, 0, 0, *flags, 0, 0], *verdict));
        filter.check("memfd_create", [0; 6], Verdict::Told);
    });
    each(&presets::tool(), |filter| {
        filter.check("mmap", [0, 0, 0, 0x21, 0, 0], Verdict::Allow);
        filter.check("memfd_create", [0; 6], Verdict::Told);
    });
    let asked = Asked { allowed_syscalls: vec!["@tool".into(), "@memfd".into()], ..presets::tool() };
    each(&asked, |filter| filter.check("memfd_create", [0; 6], Verdict::Allow));
}

#[test]
fn words_that_mean_nothing_are_refused_with_the_nearest_that_do() {
    assert!(refusal(&["opneat"], Processes::Tree).contains("no system call `opneat`; did you mean `openat`?"));
    assert!(refusal(&["@wroker"], Processes::Tree).contains("no group `@wroker`; did you mean `@worker`?"));
    assert!(refusal(&["worker"], Processes::Tree).contains("did you mean the group `@worker`?"));
    assert!(refusal(&["@anything"], Processes::Tree).contains("there are `@base`, `@event`"));
    assert!(refusal(&["frobnicate"], Processes::Tree).contains("man 2 syscalls"));
}

#[test]
fn a_list_that_contradicts_processes_none_is_refused() {
    let text = refusal(&["@tool"], Processes::None);
    assert!(text.contains("`@tool` brings `fork`, which starts processes"), "{text}");
    let text = refusal(&["@worker", "execve"], Processes::None);
    assert!(text.contains("`execve` starts processes"), "{text}");
}

#[test]
fn what_is_allowed_can_be_listed() {
    let worker = allowed_syscalls(&Asked { network: Network::None, ..presets::worker() }).unwrap();
    let tool = allowed_syscalls(&presets::tool()).unwrap();
    assert!(worker.iter().all(|name| tool.contains(name)));
    assert!(tool.contains(&"execve") && !worker.contains(&"execve") && !worker.contains(&"socket"));
    assert!(worker.is_sorted() && tool.is_sorted());
}

#[test]
fn filters_are_short() {
    for policy in [presets::worker(), presets::tool()] {
        each(&policy, |filter| assert!(filter.program.len() < 512, "{}", filter.program.len()));
    }
}

#[test]
fn where_only_listed_programs_run_there_are_no_files_that_can_be_nowhere() {
    let listed = || Processes::Listed;
    let text = refusal(&["@tool", "memfd_create"], listed());
    assert!(text.contains("`memfd_create` makes files in memory") && text.contains("processes: exec"), "{text}");
    let text = refusal(&["@tool", "@memfd"], listed());
    assert!(text.contains("`@memfd` brings `memfd_create`"), "{text}");
    // Nor after the same list was good for somebody else.
    let policy = |processes| {
        let allowed_syscalls = vec!["@tool".into(), "@memfd".into()];
        Asked { allowed_syscalls, processes, ..presets::tool() }
    };
    assert!(Filter::compile(&policy(Processes::Tree), SECRET).is_ok());
    assert!(Filter::compile(&policy(listed()), SECRET).is_err());
}
