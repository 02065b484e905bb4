//! What a person sees of a mission: help, the other names of commands, what was changed, said and done, and where nothing can be kept.

use crate::{scenario::WORKER, support::Bench};

/// A mission that wrote one file and ran two commands.
fn done() -> Bench {
    let bench = WORKER.bench();
    bench.run(&[]).expect(0);
    bench
}

#[test]
fn the_program_alone_says_what_it_can_do() {
    let bench = WORKER.bench();
    let help = bench.muster(&[]).expect(0);
    assert!(help.stdout.contains("Usage: muster"), "{help}");
    let typo = bench.muster(&["statuz"]).expect(2);
    assert!(typo.stderr.contains("'status'"), "{typo}");
}

#[test]
fn commands_have_the_names_that_fingers_know() {
    let bench = done();
    for (known, own) in [("ls", "list"), ("status", "show")] {
        let other = bench.muster(&[known, "--json"]).expect(0).stdout;
        assert_eq!(other, bench.muster(&[own, "--json"]).expect(0).stdout, "{known}");
    }
    let log = bench.muster(&["log", "last", "--json", "--no-follow"]).expect(0).stdout;
    assert_eq!(log, bench.muster(&["tail", "last", "--json", "--no-follow"]).expect(0).stdout);
}

#[test]
fn what_was_changed_is_what_git_says() {
    let bench = done();
    let range = format!("main..{}", bench.repo.branch());
    let names = bench.muster(&["diff", "last", "--name-only"]).expect(0).stdout;
    assert_eq!(names.trim(), bench.repo.git(&["diff", "--name-only", &range]).trim());
    let plus = |text: &str| text.lines().filter(|line| line.starts_with('+')).map(str::to_owned).collect::<Vec<_>>();
    for args in [&["diff", "last"][..], &["diff", "last", "note"]] {
        let ours = bench.muster(args).expect(0).stdout;
        assert_eq!(plus(&ours), plus(&bench.repo.git(&["diff", &range])), "{ours}");
    }
    let report = bench.muster(&["report", "last"]).expect(0).stdout;
    assert!(report.contains("note.txt"), "{report}");
}

#[test]
fn what_agents_say_and_do_stands_between_the_facts() {
    let bench = done();
    let all = bench.muster(&["tail", "last", "--all", "--no-follow"]).expect(0).stdout;
    let at = |text: &str| all.find(text).unwrap_or_else(|| panic!("no '{text}' in\n{all}"));
    assert!(at("turn 1 begins") < at("write_file"), "{all}");
    assert!(at("write_file") < at("grep -x done note.txt"), "{all}");
    assert!(at("grep -x done note.txt") < at("Submitted."), "{all}");
}

#[test]
fn a_home_that_cannot_be_kept_is_found_by_looking() {
    let mut bench = WORKER.bench();
    bench.muster(&["doctor"]).expect(0);
    bench.write("file", "no folder\n");
    bench.set_home("file");
    let doctor = bench.muster(&["doctor"]).expect(1);
    assert!(doctor.stdout.contains("not a folder") || doctor.stderr.contains("not a folder"), "{doctor}");
}
