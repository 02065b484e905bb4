//! What does not hold is refused with a reason, and nothing is run.

use sandbox::{Exit, Launch, Launcher, Layer, host_report, presets};

use crate::{Host, each};

/// Hosts on which something is missing: as root if the tests run as root, and as an ordinary user.
fn each_lacking(lack: &[&str], test: impl Fn(&Host)) {
    if crate::is_root() {
        test(&Host::new(lack, 0));
        let ordinary = crate::ORDINARY.to_string();
        test(&Host::new(&[&["as", &ordinary], lack].concat(), crate::ORDINARY));
    } else {
        test(&Host::new(lack, unsafe { libc::geteuid() }));
    }
}

fn deny(call: libc::c_long, errno: i32) -> [String; 3] {
    ["deny".to_owned(), call.to_string(), errno.to_string()]
}

fn refs(words: &[String; 3]) -> [&str; 3] {
    words.each_ref().map(String::as_str)
}

#[test]
fn a_program_that_is_not_there() {
    each(|host| {
        let refusal = host.refusal(host.policy(), &["/work/missing"]);
        assert_eq!(refusal, "/work/missing cannot be started in the sandbox: No such file or directory (os error 2)");
        let refusal = host.refusal(host.policy(), &["no-such-program"]);
        assert!(refusal.starts_with("no-such-program cannot be started in the sandbox: No such file"), "{refusal}");
    });
}

#[test]
fn a_working_directory_that_is_not_there() {
    each(|host| {
        let launch = Launch { policy: host.policy(), program: "true".into(), args: vec![], cwd: "/nowhere".into() };
        let refusal = host.launcher.launch(&launch).unwrap_err().to_string();
        assert!(refusal.contains("the working directory /nowhere cannot be entered"), "{refusal}");
    });
}

#[test]
fn no_user_namespaces() {
    let ordinary = crate::ORDINARY.to_string();
    let lack = if crate::is_root() { vec!["as", &ordinary, "without-namespaces"] } else { vec!["without-namespaces"] };
    let host = Host::new(&lack, if crate::is_root() { crate::ORDINARY } else { unsafe { libc::geteuid() } });
    let refusal = host.refusal(host.policy(), &["touch", "/work/ran"]);
    assert!(refusal.contains("making its namespaces"), "{refusal}");
    assert!(refusal.contains("user.max_user_namespaces"), "{refusal}");
    assert!(!host.path("work/ran").exists());
    let report = host_report(&host.launcher);
    assert!(!report.can_launch() && report.checks.iter().all(|check| check.problem.is_some()), "{report:?}");
}

#[test]
fn namespaces_that_the_host_forbids() {
    for (errno, advice) in [(libc::EPERM, "AppArmor"), (libc::ENOSYS, "Linux 5.12")] {
        let lack = deny(libc::SYS_clone3, errno);
        each_lacking(&refs(&lack), |host| {
            let refusal = host.refusal(host.policy(), &["true"]);
            assert!(refusal.contains("making its namespaces") && refusal.contains(advice), "{refusal}");
        });
    }
}

#[test]
fn mounts_that_the_host_forbids() {
    for call in [libc::SYS_fsopen, libc::SYS_move_mount, libc::SYS_mount_setattr, libc::SYS_pivot_root] {
        let lack = deny(call, libc::EPERM);
        each_lacking(&refs(&lack), |host| {
            let refusal = host.refusal(host.policy(), &["touch", "/work/ran"]);
            assert!(refusal.contains("Operation not permitted"), "{refusal}");
            assert!(!host.path("work/ran").exists());
        });
    }
}

#[test]
fn landlock_missing_is_refused_unless_allowed() {
    let lack = deny(libc::SYS_landlock_create_ruleset, libc::EOPNOTSUPP);
    each_lacking(&refs(&lack), |host| {
        let refusal = host.refusal(host.policy(), &["true"]);
        assert!(refusal.contains("Landlock is missing"), "{refusal}");
        let mut policy = host.policy();
        policy.allow_degraded = vec![Layer::Landlock];
        assert_eq!(host.run(policy, &["true"]).exit, Exit::Code(0));
    });
}

#[test]
fn dropping_capabilities_that_fails() {
    let lack = deny(libc::SYS_capset, libc::EPERM);
    each_lacking(&refs(&lack), |host| {
        let refusal = host.refusal(host.policy(), &["true"]);
        assert!(refusal.contains("privileges") || refusal.contains("becoming"), "{refusal}");
    });
}

#[test]
fn a_launcher_that_does_not_start_or_answer() {
    let missing = Launcher::new(vec!["/nowhere/muster".into(), "__sandbox".into()]).unwrap_err().to_string();
    assert!(missing.contains("the sandbox launcher failed: starting it: No such file"), "{missing}");
    assert!(Launcher::new(vec![]).is_err());
    let silent = Launcher::new(vec!["/bin/true".into()]).unwrap();
    let launch = Launch { policy: presets::tool(), program: "true".into(), args: vec![], cwd: "/".into() };
    let refusal = silent.launch(&launch).unwrap_err().to_string();
    assert!(refusal.contains("the sandbox launcher failed"), "{refusal}");
}

#[test]
fn a_policy_that_cannot_be_enforced() {
    each(|host| {
        let mut policy = host.policy();
        policy.allowed_syscalls = vec!["@worker".to_owned()];
        let refusal = host.refusal(policy, &["true"]);
        assert_eq!(refusal, "the sandbox policy is refused: allowed_syscalls cannot be enforced yet; leave it empty");
    });
}
