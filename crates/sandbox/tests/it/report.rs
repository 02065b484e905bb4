//! The report on a host says what holds, by what, and what does not.

use sandbox::{Check, HostReport, host_report};

use crate::each;
use crate::refusal::each_without;

fn broken(report: &HostReport) -> Vec<&str> {
    report.checks.iter().filter(|check| check.problem.is_some()).map(|check| check.name).collect()
}

fn find<'a>(report: &'a HostReport, name: &str) -> &'a Check {
    report.checks.iter().find(|check| check.name == name).unwrap()
}

#[test]
fn a_host_with_everything() {
    each(|host| {
        let report = host_report(&host.launcher);
        assert!(report.can_launch(), "{report:#?}");
        assert_eq!(report.checks.len(), 14);
        assert!(find(&report, "system calls").by.starts_with("a seccomp filter that lets 2"), "{report:#?}");
        assert!(find(&report, "a second lock on files").by.starts_with("Landlock version "), "{report:#?}");
    });
}

#[test]
fn a_host_that_lacks_a_layer_is_told_what_that_costs() {
    each_without("landlock", |host| {
        let report = host_report(&host.launcher);
        assert!(!report.can_launch());
        assert_eq!(broken(&report), ["a second lock on files"]);
        let problem = find(&report, "a second lock on files").problem.as_deref().unwrap();
        assert!(problem.contains("allow_degraded"), "{problem}");
    });
    each_without("seccomp", |host| {
        let report = host_report(&host.launcher);
        assert_eq!(broken(&report), ["system calls", "a worker has no children"], "{report:#?}");
    });
    each_without("landlock,seccomp", |host| {
        let report = host_report(&host.launcher);
        assert_eq!(broken(&report), ["system calls", "a worker has no children", "a second lock on files"]);
        let problem = |name| find(&report, name).problem.as_deref().unwrap();
        assert!(problem("system calls").contains("CONFIG_SECCOMP"), "{report:#?}");
        assert!(problem("a second lock on files").contains("Landlock is missing"), "{report:#?}");
    });
    each_without("namespaces", |host| {
        let report = host_report(&host.launcher);
        assert!(report.checks.iter().all(|check| check.problem.is_some()), "{report:#?}");
    });
}
