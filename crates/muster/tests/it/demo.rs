//! `muster demo`: what a newcomer sees first.

use crate::support::{
    Running,
    repo::{Repo, python_tests},
};
use std::process::Command;

#[test]
fn three_agents_mend_the_sample() {
    let dir = tempfile::Builder::new().prefix("muster-it-").tempdir().unwrap();
    let muster = |args: &[&str]| {
        let mut command = Command::new(crate::support::bench::MUSTER);
        command.args(args).current_dir(dir.path()).env_clear().env("PATH", std::env::var_os("PATH").unwrap());
        command.env("HOME", dir.path()).env("MUSTER_HOME", dir.path().join("home"));
        Running::start(command).end()
    };
    let demo = muster(&["demo", "--dir", "sample-project"]).expect(0);
    assert!(demo.stderr.contains("scripted"), "the screen says what is not real: {demo}");
    assert!(demo.stderr.contains("sent back"), "a change came back: {demo}");
    assert!(demo.stdout.contains("4 of 4") || demo.stdout.contains('4'), "{demo}");

    let repo = Repo::at(&dir.path().join("sample-project/sample"), dir.path());
    assert_eq!(repo.git(&["status", "--porcelain"]), "", "the checkout is as it was");
    repo.is_sound();
    let result = dir.path().join("result");
    repo.check_out(&repo.branch(), &result);
    assert_eq!(python_tests(&result, &[]), 29, "every test of the sample passes at the head of the branch");
    let before = Command::new("python3").args(["-m", "unittest"]).current_dir(&repo.dir).output().unwrap();
    assert!(!before.status.success(), "and did not before");

    let report = muster(&["report", "last"]).expect(0).stdout;
    for said in ["parser", "dates", "money", "report", "python3 -m unittest", "muster/"] {
        assert!(report.contains(said), "the report does not tell of {said}:\n{report}");
    }
    let report = muster(&["report", "last", "--format", "json"]).expect(0).json();
    assert_eq!(report["ending"].as_str().or(report["mission"]["ending"].as_str()), Some("done"), "{report}");
    let again = muster(&["demo", "--dir", "sample-project"]).expect(2);
    assert!(again.stderr.contains("--dir"), "{again}");
}
