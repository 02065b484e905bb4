//! What a user can get wrong: told with its place and what to do, and nothing is begun.

use crate::support::{Bench, child::Ended};
use std::fs;

const PLAN: &str = r#"version: 1
goal: Write a note.
tasks:
  - id: note
    role: builder
    instructions: Write done into note.txt.
    writes: [note.txt]
    checks: [{run: "grep -qx done note.txt", timeout: 60s}]
"#;
const CONFIG: &str = r#"version: 1
upstreams:
  script: {scripted: script.yaml}
roles:
  builder: {runtime: native, model: scripted-1, context_tokens: 32000, output_tokens: 1000}
"#;
const SCRIPT: &str = r#"version: 1
replies:
  - when: {contains: "[task note]"}
    steps:
      - calls: [{tool: write_file, args: {path: note.txt, content: "done\n"}}]
      - calls: [{tool: submit_result, args: {summary: It is written.}}]
      - text: Submitted.
"#;

/// Refused with exit code 2 and these words, and nothing has been begun.
#[track_caller]
fn refused(bench: &Bench, ended: Ended, words: &[&str]) {
    let ended = ended.expect(2);
    for word in words {
        assert!(ended.stderr.contains(word), "'{word}' is not said: {ended}");
    }
    assert!(!ended.stderr.contains("panicked"), "{ended}");
    nothing_is_begun(bench);
}

#[track_caller]
fn nothing_is_begun(bench: &Bench) {
    let list = bench.muster(&["list", "--json"]);
    assert!(list.code == Some(2) || list.json() == serde_json::json!([]), "{list}");
    assert!(!bench.home().join("missions").exists(), "there is a mission's folder");
}

#[test]
fn sandboxes_that_are_wider_than_the_ceiling() {
    let bench = Bench::new(PLAN, CONFIG, SCRIPT, &[]);
    refused(
        &bench,
        bench.run(&["--ceiling", "worker"]),
        &["muster.yaml: processes: tree", "wider than the preset worker allows", "ask for less here"],
    );
}

#[test]
fn sandboxes_that_do_not_fit_this_host() {
    for (policy, words) in [
        ("{files: {read: [/no/such/folder]}}", &["muster.yaml:6:", "/no/such/folder does not exist"][..]),
        ("{allowed_syscalls: [opnat]}", &["muster.yaml:6:", "did you mean `openat`"]),
        ("{processes: {exec: [no-such-program]}}", &["no-such-program is not found"]),
        ("{network: open}", &["muster.yaml:6:", "cannot open the network of this machine"]),
    ] {
        let sandbox = format!("output_tokens: 1000,\n    sandbox: {policy}}}");
        let config = CONFIG.replace("output_tokens: 1000}", &sandbox);
        assert_ne!(config, CONFIG);
        let bench = Bench::new(PLAN, &config, SCRIPT, &[]);
        refused(&bench, bench.run(&[]), words);
    }
}

#[test]
fn wrong_plans() {
    for (from, to, words) in [
        ("role: builder", "role: bilder", &["plan.yaml:5:11", "bilder", "builder"][..]),
        ("instructions:", "instruction:", &["plan.yaml:6:", "instruction"]),
        ("  - id: note\n", "  - id: note\n    depends_on: [note]\n", &["plan.yaml:5:", "note"]),
        ("  - id: note\n", "  - id: note\n    depends_on: [other]\n", &["plan.yaml:5:", "other"]),
        ("timeout: 60s", "timeout: 60 apples", &["plan.yaml:8:", "60 apples"]),
        ("writes: [note.txt]", "writes: [\"../note.txt\"]", &["plan.yaml:7:", "../note.txt"]),
        ("    checks:", "    # checks:", &["plan.yaml:4:", "check"]),
        ("{run: \"grep -qx done note.txt\", timeout: 60s}", "{run: \" \"}", &["plan.yaml:8:", "empty"]),
        ("    writes:", "    attempts_max: 0\n    writes:", &["plan.yaml:7:", "attempts"]),
        ("version: 1", "version: 9", &["plan.yaml:1:", "9"]),
        ("tasks:", "tasks: [", &["plan.yaml:"]),
        (PLAN, "", &["plan.yaml"]),
    ] {
        let bench = Bench::new(&PLAN.replace(from, to), CONFIG, SCRIPT, &[]);
        refused(&bench, bench.run(&[]), words);
    }
    let twice = format!("{PLAN}  - id: note\n    role: builder\n    instructions: Again.\n    writes: []\n");
    let bench = Bench::new(&twice, CONFIG, SCRIPT, &[]);
    refused(&bench, bench.run(&[]), &["plan.yaml:9:", "second task", "line 4"]);
}

#[test]
fn wrong_configurations() {
    for (from, to, words) in [
        ("runtime: native", "runtime: naive", &["muster.yaml:5:", "naive"][..]),
        ("roles:", "rolls:", &["muster.yaml:4:", "rolls"]),
        ("model: scripted-1", "model: scripted-1, count: 0", &["muster.yaml:5:", "0"]),
        ("{scripted: script.yaml}", "{scripted: nowhere.yaml}", &["nowhere.yaml"]),
        (
            "{scripted: script.yaml}",
            "{format: openai-chat, base_url: \"http://127.0.0.1:9/v1\", key_env: TEST_MISSING_KEY}",
            &["TEST_MISSING_KEY", "set"],
        ),
        ("  script: {scripted: script.yaml}", "  script: {format: openai-chat}", &["muster.yaml:3:"]),
    ] {
        let bench = Bench::new(PLAN, &CONFIG.replace(from, to), SCRIPT, &[]);
        refused(&bench, bench.run(&[]), words);
    }
    let bench = Bench::new(PLAN, CONFIG, "version: 1\nreplies:\n  - setps: []\n", &[]);
    refused(&bench, bench.run(&[]), &["script.yaml:3:5", "setps"]);
}

#[test]
fn files_that_are_not_there() {
    let bench = Bench::new(PLAN, CONFIG, SCRIPT, &[]);
    for file in ["plan.yaml", "muster.yaml"] {
        let text = fs::read_to_string(bench.path(file)).unwrap();
        fs::remove_file(bench.path(file)).unwrap();
        refused(&bench, bench.run(&[]), &[file]);
        bench.write(file, &text);
    }
    refused(&bench, bench.run(&["--budget", "many"]), &["--budget", "many"]);
    refused(&bench, bench.run(&["--unknown"]), &["--unknown"]);
}

/// What it is called, how it is made, what is said of it.
type Case<'a> = (&'a str, &'a dyn Fn(&Bench), &'a [&'a str]);

#[test]
fn repositories_that_cannot_be_worked_on() {
    let git = |bench: &Bench, args: &[&str]| drop(bench.repo.git(args));
    let cases: &[Case] = &[
        ("missing", &|bench| fs::rename(bench.path("repo"), bench.path("away")).unwrap(), &["repo"]),
        ("no repository", &|bench| fs::remove_dir_all(bench.path("repo/.git")).unwrap(), &["git init"]),
        (
            "bare",
            &|bench| {
                git(bench, &["clone", "-q", "--bare", ".", "../bare"]);
                fs::rename(bench.path("repo"), bench.path("away")).unwrap();
                fs::rename(bench.path("bare"), bench.path("repo")).unwrap();
            },
            &["bare"],
        ),
        (
            "without a commit",
            &|bench| {
                fs::remove_dir_all(bench.path("repo/.git")).unwrap();
                git(bench, &["init", "-q"]);
            },
            &["commit"],
        ),
        (
            "in the middle of a merge",
            &|bench| {
                git(bench, &["checkout", "-q", "-b", "other"]);
                fs::write(bench.path("repo/file"), "other\n").unwrap();
                git(bench, &["commit", "-qam", "other"]);
                git(bench, &["checkout", "-q", "main"]);
                fs::write(bench.path("repo/file"), "mine\n").unwrap();
                git(bench, &["commit", "-qam", "mine"]);
                assert!(!bench.repo.try_git(&["merge", "-q", "other"]).status.success());
            },
            &["merge"],
        ),
        (
            "in the middle of a rebase",
            &|bench| {
                git(bench, &["checkout", "-q", "-b", "other"]);
                fs::write(bench.path("repo/file"), "other\n").unwrap();
                git(bench, &["commit", "-qam", "other"]);
                git(bench, &["checkout", "-q", "main"]);
                fs::write(bench.path("repo/file"), "mine\n").unwrap();
                git(bench, &["commit", "-qam", "mine"]);
                assert!(!bench.repo.try_git(&["rebase", "-q", "other"]).status.success());
            },
            &["rebase"],
        ),
        (
            "with submodules",
            &|bench| {
                git(bench, &["clone", "-q", ".", "../sub"]);
                git(bench, &["-c", "protocol.file.allow=always", "submodule", "--quiet", "add", "../sub", "sub"]);
                git(bench, &["commit", "-qm", "sub"]);
            },
            &["submodule"],
        ),
        (
            "with LFS",
            &|bench| {
                fs::write(bench.path("repo/.gitattributes"), "*.bin filter=lfs diff=lfs merge=lfs -text\n").unwrap();
                let pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:0000000000000000000000000000000000000000000000000000000000000000\nsize 1\n";
                fs::write(bench.path("repo/a.bin"), pointer).unwrap();
                git(bench, &["-c", "filter.lfs.clean=cat", "-c", "filter.lfs.required=false", "add", "-A"]);
                git(bench, &["commit", "-qm", "lfs"]);
            },
            &["LFS"],
        ),
    ];
    for (name, spoil, words) in cases {
        let bench = Bench::new(PLAN, CONFIG, SCRIPT, &[("file", "begin\n")]);
        spoil(&bench);
        println!("{name}");
        refused(&bench, bench.run(&[]), words);
    }
}

#[test]
fn a_dirty_checkout_is_left_alone() {
    let bench = Bench::new(PLAN, CONFIG, SCRIPT, &[("file", "begin\n")]);
    fs::write(bench.path("repo/file"), "changed\n").unwrap();
    fs::write(bench.path("repo/new"), "not added\n").unwrap();
    fs::write(bench.path("repo/staged"), "added\n").unwrap();
    bench.repo.git(&["add", "staged"]);
    let before = bench.repo.bytes();
    let ended = bench.run(&[]).expect(0);
    assert!(ended.stderr.contains("not committed"), "{ended}");
    assert_eq!(bench.repo.bytes(), before);
    let names = bench.repo.git(&["ls-tree", "-r", "--name-only", &bench.repo.branch()]);
    assert_eq!(names, "file\nnote.txt");
}

#[test]
fn a_second_engine_in_the_same_home_is_refused() {
    let asking = SCRIPT.replace(
        "      - calls: [{tool: write_file",
        "      - calls: [{tool: raise_interrupt, args: {kind: user_input, question: \"Now?\"}}]\n      - text: I wait.\n      - calls: [{tool: write_file",
    );
    let bench = Bench::new(PLAN, CONFIG, &asking, &[]);
    let mut running = bench.start_run(&["--wait"]);
    running.wait_for("i0 (user_input)");
    for second in [bench.run(&[]), bench.resume(), bench.muster(&["demo", "--dir", "demo"])] {
        assert!(matches!(second.code, Some(1 | 2)), "{second}");
        let says_who =
            second.stderr.contains(&running.id().to_string()) || second.stderr.contains("is being run already");
        assert!(says_who, "who has the home is not said: {second}");
    }
    assert_eq!(
        bench.muster(&["list", "--json"]).expect(0).json().as_array().unwrap().len(),
        1,
        "only the first is begun"
    );
    bench.muster(&["show"]).expect(0);
    bench.muster(&["report"]).expect(0);
    bench.muster(&["explain", "last"]).expect(0);
    bench.journal().check();
    assert!(bench.muster(&["inbox"]).expect(0).stdout.contains("Now?"));
    bench.muster(&["answer", "i0", "yes"]).expect(0);
    running.end().expect(0);
}

#[test]
fn readers_without_a_home_say_so() {
    let bench = Bench::new(PLAN, CONFIG, SCRIPT, &[]);
    for args in [
        &["show"][..],
        &["tail", "--no-follow"],
        &["report"],
        &["explain", "last"],
        &["resume"],
        &["cancel"],
        &["answer", "i0", "x"],
    ] {
        let ended = bench.muster(args).expect(2);
        assert!(!ended.stderr.is_empty() && !ended.stderr.contains("panicked"), "{ended}");
    }
    assert!(bench.muster(&["list"]).expect(0).stdout.starts_with("no missions yet"));
    assert_eq!(bench.muster(&["list", "--json"]).expect(0).stdout.trim(), "[]");
    assert_eq!(bench.muster(&["inbox", "--json"]).expect(0).stdout.trim(), "[]");
    assert!(!bench.home().exists(), "reading makes nothing");
}
