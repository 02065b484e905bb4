//! What does not hold is refused with a reason, and nothing is run.

use sandbox::{Exit, Launch, Launcher, Layer, Policy, host_report, presets};

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

/// Hosts whose launcher pretends to lack layers.
pub(crate) fn each_without(layers: &str, test: impl Fn(&Host)) {
    let words = ["--without", layers];
    if crate::is_root() {
        test(&Host::with_words(&[], &words, 0));
        test(&Host::with_words(&["as", &crate::ORDINARY.to_string()], &words, crate::ORDINARY));
    } else {
        test(&Host::with_words(&[], &words, unsafe { libc::geteuid() }));
    }
}

#[test]
fn each_layer_that_is_missing_is_refused_unless_given_up_by_name() {
    let layers = [
        ("landlock", Layer::Landlock, "Landlock is missing"),
        ("seccomp", Layer::Seccomp, "filtering its system calls"),
    ];
    for (name, layer, reason) in layers {
        each_without(name, |host| {
            let refusal = host.refusal(host.policy(), &["touch", "/work/ran"]);
            assert!(refusal.contains(reason) && refusal.contains("allow_degraded"), "{refusal}");
            assert!(!host.path("work/ran").exists());
            let other = [Layer::Landlock, Layer::Seccomp].into_iter().find(|other| *other != layer).unwrap();
            let policy = Policy { allow_degraded: vec![other], ..host.policy() };
            assert!(host.refusal(policy, &["true"]).contains(reason));
            let policy = Policy { allow_degraded: vec![layer], ..host.policy() };
            assert_eq!(host.run(policy, &["true"]).exit, Exit::Code(0));
        });
    }
    each_without("namespaces", |host| {
        assert!(host.refusal(host.policy(), &["true"]).contains("making its namespaces"));
        let policy = Policy { allow_degraded: vec![Layer::Namespaces], ..host.policy() };
        assert!(host.refusal(policy, &["true"]).contains("namespaces cannot be given up"));
    });
}

#[test]
fn a_kernel_that_cannot_filter_is_refused_unless_allowed() {
    let lack = deny(libc::SYS_seccomp, libc::ENOSYS);
    each_lacking(&refs(&lack), |host| {
        let refusal = host.refusal(host.policy(), &["true"]);
        assert!(refusal.contains("filtering its system calls") && refusal.contains("CONFIG_SECCOMP"), "{refusal}");
        let policy = Policy { allow_degraded: vec![Layer::Seccomp], ..host.policy() };
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
