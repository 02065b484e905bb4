//! The filter of system calls, tried from inside: what is not allowed fails, harms nobody, and is told.

use sandbox::{Denial, Exit, Launch, Limit, Network, Policy, SandboxError, allowed_syscalls, presets};

use crate::{Host, each};

/// The numbers, with commas, of all calls that a policy allows on this processor.
fn allowed_numbers(policy: &Policy) -> String {
    let allowed = allowed_syscalls(policy).unwrap();
    let numbers = allowed.iter().filter_map(|name| name.parse::<syscalls::Sysno>().ok());
    numbers.map(|number| number.id().to_string()).collect::<Vec<_>>().join(",")
}

/// The error of one call made inside.
fn error(host: &Host, policy: Policy, number: libc::c_long, args: &[&str]) -> i32 {
    let number = number.to_string();
    let command: Vec<&str> = ["/opt/kit", "try-call", &number].iter().chain(args).copied().collect();
    host.run(policy, &command).out.trim().parse().unwrap()
}

#[test]
fn every_call_that_is_not_allowed_fails() {
    let alone = Policy { network: Network::None, ..presets::worker() };
    for preset in [presets::worker(), alone, presets::tool(), presets::check(), presets::agent_cli()] {
        let numbers = allowed_numbers(&preset);
        each(|host| {
            let output = host.run(host.with_work(preset.clone()), &["/opt/kit", "try-calls", &numbers]);
            let expected = 1202 - 2 - numbers.split(',').count();
            assert_eq!((output.exit, output.out), (Exit::Code(0), format!("{expected} refused, open: []\n")));
        });
    }
}

#[test]
fn a_call_of_another_processor_kills() {
    each(|host| {
        let exit = host.run(host.policy(), &["/opt/kit", "try-foreign"]).exit;
        // On x86_64 without 32-bit programs the processor itself refuses.
        let expected = if cfg!(target_arch = "x86_64") {
            [libc::SIGSYS, libc::SIGSEGV].map(Exit::Signal)
        } else {
            [Exit::Code(0); 2]
        };
        assert!(expected.contains(&exit), "{exit:?}");
    });
}

#[test]
fn arguments_decide() {
    each(|host| {
        let none = |number, args: &[&str]| error(host, host.policy(), number, args);
        for family in
            [libc::AF_VSOCK, libc::AF_NETLINK, libc::AF_PACKET, libc::AF_ALG, libc::AF_KEY, libc::AF_BLUETOOTH]
        {
            let family = family.to_string();
            assert_eq!(none(libc::SYS_socket, &[&family, "3", "0"]), libc::EAFNOSUPPORT, "{family}");
            assert_eq!(none(libc::SYS_socketpair, &[&family, "3", "0"]), libc::EAFNOSUPPORT, "{family}");
        }
        for family in [libc::AF_UNIX, libc::AF_INET, libc::AF_INET6] {
            assert_eq!(none(libc::SYS_socket, &[&family.to_string(), "1", "0"]), 0);
        }
        // Without the filter the kernel would say that the pipe is no terminal.
        for trick in ["21522", "21532", "21533", "21539"] {
            assert_eq!(none(libc::SYS_ioctl, &["0", trick]), libc::EPERM, "{trick}");
        }
        assert_eq!(none(libc::SYS_ioctl, &["0", "21505"]), libc::ENOTTY);
        assert_eq!(none(libc::SYS_clone, &["268435473"]), libc::EPERM, "CLONE_NEWUSER");
        assert_eq!(none(libc::SYS_personality, &["262144"]), libc::EPERM);
        assert_eq!(none(libc::SYS_prlimit64, &["1", "7"]), libc::EPERM);
        assert_eq!(none(libc::SYS_prctl, &["22", "2"]), libc::EPERM);
        assert_eq!(none(libc::SYS_sched_setaffinity, &["1", "8", "0"]), libc::EPERM);
        for (which, who) in [("0", "1"), ("1", "0"), ("2", "0")] {
            assert_eq!(none(libc::SYS_setpriority, &[which, who, "19"]), libc::EPERM, "{which} {who}");
        }
        assert_eq!(none(libc::SYS_setpriority, &["0", "0", "19"]), 0);
        assert_eq!(none(libc::SYS_ioprio_set, &["3", "0", "24576"]), libc::EPERM);
        assert_eq!(none(libc::SYS_sched_setaffinity, &["0", "8", "0"]), libc::EFAULT);
    });
}

#[test]
fn no_file_is_given_a_set_user_id_bit() {
    each(|host| {
        let script =
            "cd /work; cp /bin/true t; chmod 755 t && ! chmod 4755 t && ! chmod g+s t && mkfifo p && stat -c %a t p";
        let output = host.run(host.policy(), &["sh", "-c", script]);
        assert_eq!((output.exit, output.out.as_str()), (Exit::Code(0), "755\n644\n"), "{}", output.err);
        let make = "import os; os.open('/work/s', os.O_CREAT | os.O_WRONLY, 0o4755)";
        assert!(host.run(host.policy(), &["python3", "-c", make]).err.contains("PermissionError"));
    });
}

#[test]
fn a_list_of_ones_own_holds() {
    each(|host| {
        let list = |words: &[&str]| {
            let allowed_syscalls = words.iter().map(|word| (*word).to_owned()).collect();
            Policy { allowed_syscalls, ..host.policy() }
        };
        assert_eq!(error(host, list(&["@tool"]), libc::SYS_memfd_create, &[]), libc::EPERM);
        assert_eq!(error(host, list(&["@tool", "@memfd"]), libc::SYS_memfd_create, &[]), libc::EFAULT);
        assert_eq!(error(host, list(&["@tool"]), libc::SYS_shmget, &["0", "0"]), libc::EPERM);
        assert_eq!(error(host, list(&["@tool", "shmget"]), libc::SYS_shmget, &["0", "0"]), libc::EINVAL);
        // Started although nothing in it may execute, and nothing can be executed by it.
        let output = host.run(list(&["@base", "@event", "@fs-read"]), &["/opt/kit", "try-call", "59"]);
        assert_eq!(output.out, format!("{}\n", libc::EPERM), "{output:?}");
        let refusal = host.refusal(list(&["@tool", "ptrace"]), &["touch", "/work/ran"]);
        assert!(refusal.contains("`ptrace` is never allowed"), "{refusal}");
        assert!(!host.path("work/ran").exists());
    });
}

#[test]
fn a_program_without_the_means_to_live_ends() {
    each(|host| {
        // Not even the end is allowed: it is not left hanging.
        let policy = Policy { allowed_syscalls: vec!["read".to_owned()], ..host.policy() };
        let ended = match host.launch(policy, &["true"]) {
            Ok(sandboxed) => crate::output(sandboxed).exit,
            Err(error) => panic!("{error}"),
        };
        assert!(matches!(ended, Exit::Signal(_)), "{ended:?}");
        // The program is not there, and whoever should have executed it may do nothing else.
        let policy = Policy { allowed_syscalls: vec!["read".to_owned()], ..host.policy() };
        let refusal = host.launch(policy, &["/bin/sh/no"]).unwrap_err();
        assert!(matches!(refusal, SandboxError::Exec { .. }), "{refusal}");
    });
}

#[test]
fn refused_calls_are_counted_and_told() {
    each(|host| {
        let ptrace = libc::SYS_ptrace.to_string();
        let mut sandboxed = host.launch(host.policy(), &["/opt/kit", "flood", &ptrace, "20000"]).unwrap();
        assert_eq!(sandboxed.tree.wait(), Exit::Code(0));
        assert_eq!(sandboxed.tree.denials(), [Denial { syscall: "ptrace", count: 20_000, allowable: false }]);
        let memfd = libc::SYS_memfd_create.to_string();
        let mut sandboxed = host.launch(host.policy(), &["/opt/kit", "try-call", &memfd]).unwrap();
        sandboxed.tree.wait();
        let denials = sandboxed.tree.denials();
        assert_eq!(denials, [Denial { syscall: "memfd_create", count: 1, allowable: true }]);
        assert!(denials[0].to_string().contains("to allow it add `memfd_create`"), "{}", denials[0]);
        let mut quiet = host.launch(host.policy(), &["true"]).unwrap();
        assert_eq!((quiet.tree.wait(), quiet.tree.denials()), (Exit::Code(0), vec![]));
    });
}

#[test]
fn a_flood_of_refused_calls_delays_no_end() {
    each(|host| {
        let ptrace = libc::SYS_ptrace.to_string();
        let mut policy = host.policy();
        policy.limits.wall_ms = Some(300);
        let script = format!("for i in 1 2 3 4; do /opt/kit flood {ptrace} 1000000000 & done; wait");
        let mut sandboxed = host.launch(policy, &["sh", "-c", &script]).unwrap();
        assert_eq!(sandboxed.tree.wait(), Exit::Limit(Limit::Wall));
        assert!(sandboxed.tree.denials()[0].count > 100);
        let command = Launch {
            policy: host.policy(),
            program: "/opt/kit".into(),
            args: ["flood", &ptrace, "1000000000"].map(Into::into).to_vec(),
            cwd: "/".into(),
        };
        let mut sandboxed = host.launcher.launch(&command).unwrap();
        sandboxed.tree.kill();
        assert_eq!(sandboxed.tree.wait(), Exit::Killed);
    });
}

#[test]
fn who_interrupts_its_refused_calls_does_not_end_their_counting() {
    each(|host| {
        let mut sandboxed = host.launch(host.policy(), &["/opt/kit", "interrupted"]).unwrap();
        assert_eq!(sandboxed.tree.wait(), Exit::Code(0));
        let denials = sandboxed.tree.denials();
        assert!(denials.iter().any(|denial| denial.syscall == "memfd_create" && denial.count == 1), "{denials:?}");
    });
}
