//! The user's repository and the work on it: what is merged is on the branch, what is not part of a change is said, and what a
//! repository brings with it runs nothing.

use crate::support::Bench;
use std::fs;

const CONFIG: &str = r#"
upstreams:
  script: {scripted: script.yaml}
roles:
  builder: {runtime: native, model: scripted-1, context_tokens: 32000, output_tokens: 1000, count: 2}
"#;

fn plan(tasks: &str) -> String {
    format!("goal: Work.\ntasks:\n{tasks}\n")
}

/// An agent that writes these files, then submits; asked again, it submits again and says that it is done.
fn writes(task: &str, files: &[(&str, &str)]) -> String {
    let calls: Vec<String> = files
        .iter()
        .map(|(path, text)| format!("{{tool: write_file, args: {{path: {path:?}, content: {text:?}}}}}"))
        .collect();
    let submit = "      - calls: [{tool: submit_result, args: {summary: done}}]\n      - text: ok\n".repeat(4);
    format!("  - when: {{contains: \"[task {task}]\"}}\n    steps:\n      - calls: [{}]\n{submit}", calls.join(", "))
}

fn script(replies: &[String]) -> String {
    format!("version: 1\nreplies:\n{}", replies.concat())
}

/// Case 03: what is ignored is no part of the change, and an empty change is not merged.
#[test]
fn ignored_output_is_not_called_merged() {
    let task = "  - {id: bundle, role: builder, instructions: do it, writes: [\"dist/**\"], attempts_max: 1, checks: [{run: \"true\", timeout: 60s}]}";
    let script = script(&[writes("bundle", &[("dist/bundle.js", "1\n")])]);
    let bench = Bench::new(&plan(task), CONFIG, &script, &[(".gitignore", "dist/\n")]);
    let ended = bench.run(&[]).expect(3);
    assert!(
        ended.stderr.contains("it changes nothing: dist/bundle.js is ignored by .gitignore:1 (dist/)"),
        "{}",
        ended.stderr
    );
    assert!(!ended.stderr.contains("merged, verified"), "{}", ended.stderr);
    let question = ended.json()["interrupts"][0]["question"].as_str().unwrap().to_owned();
    assert!(question.contains("dist/bundle.js is ignored by .gitignore:1"), "{question}");
    let journal = bench.journal();
    assert_eq!((journal.count("merged"), journal.count("turn_owed")), (0, 1));
}

/// A plan may say that there may be nothing to do; then that is what is said.
#[test]
fn nothing_to_merge_is_said_where_it_is_fine() {
    let task = "  - {id: tidy, role: builder, instructions: do it, writes: [a.txt], may_change_nothing: true, checks: [{run: \"true\", timeout: 60s}]}";
    let script = script(&[writes("tidy", &[("a.txt", "1\n")])]);
    let bench = Bench::new(&plan(task), CONFIG, &script, &[("a.txt", "1\n")]);
    let ended = bench.run(&[]).expect(0);
    assert!(ended.stderr.contains("nothing to merge"), "{}", ended.stderr);
    assert!(!ended.stderr.contains("merged, verified"), "{}", ended.stderr);
    assert_eq!(ended.json()["tasks"][0]["state"], "nothing to merge");
}

/// Case 16: what could not be saved is told, and the rest is merged when the agent leaves it so.
#[test]
fn what_cannot_be_saved_is_told() {
    let task = "  - {id: a, role: builder, instructions: do it, checks: [{run: \"grep -qx 2 a.txt\", timeout: 60s}]}";
    let odd =
        "echo 2 >a.txt; echo data >secret.txt; chmod 000 secret.txt; mkdir -p .GIT; echo x >.GIT/config; mkfifo pipe";
    let submit = "      - calls: [{tool: submit_result, args: {summary: done}}]\n      - text: ok\n".repeat(3);
    let script = format!(
        "version: 1\nreplies:\n  - steps:\n      - calls: [{{tool: run_command, args: {{command: {odd:?}}}}}]\n{submit}"
    );
    let bench = Bench::new(&plan(task), CONFIG, &script, &[("a.txt", "1\n")]);
    let ended = bench.run(&[]).expect(0);
    assert!(ended.stderr.contains("not part of it: "), "{}", ended.stderr);
    let told: Vec<String> = bench
        .journal()
        .of("turn_owed")
        .map(|fact| fact["brief"]["returned"]["left_out"]["shown"].to_string())
        .collect();
    assert!(told.len() == 1, "{told:?}");
    for words in [
        r#""path":"secret.txt","why":{"unreadable":"Permission denied"}"#,
        r#""path":".GIT/config","why":"name""#,
        r#""path":"pipe","why":"special""#,
    ] {
        assert!(told[0].contains(words), "{words} in {}", told[0]);
    }
    let merged = ended.stderr.lines().find(|line| line.contains("merged, verified at")).unwrap();
    assert!(merged.contains("; not part of it: ") && merged.contains("could not be saved"), "{merged}");
    for command in ["explain", "report"] {
        let text = bench.muster(&[command, "last"]).expect(0).stdout;
        assert!(text.contains("secret.txt could not be saved: Permission denied"), "{command}: {text}");
    }
}

/// Case 04: attributes hold in merges.
#[test]
fn a_union_goes_together() {
    let tasks = "  - {id: a, role: builder, instructions: do a, checks: [{run: \"grep -q a CHANGES\", timeout: 60s}]}\n  - {id: b, role: builder, instructions: do b, checks: [{run: \"grep -q b CHANGES\", timeout: 60s}]}";
    let script =
        script(&[writes("a", &[("CHANGES", "# Changes\n- a\n")]), writes("b", &[("CHANGES", "# Changes\n- b\n")])]);
    let bench = Bench::new(
        &plan(tasks),
        CONFIG,
        &script,
        &[(".gitattributes", "CHANGES merge=union\n"), ("CHANGES", "# Changes\n")],
    );
    bench.run(&[]).expect(0);
    assert_eq!(bench.journal().count("change_returned"), 0);
    let text = bench.repo.git(&["show", &format!("{}:CHANGES", bench.repo.branch())]);
    assert!(text.contains("- a") && text.contains("- b"), "{text}");
}

/// Cases 06, 07 and 09 in one repository: brackets in a path, the repository's own file of patterns, a branch called `muster`.
#[test]
fn brackets_patterns_and_a_taken_name_are_no_obstacles() {
    let task = "  - {id: page, role: builder, instructions: do it, writes: [\"app/[id]/page.tsx\"], checks: [{run: \"grep -qx new 'app/[id]/page.tsx'\", timeout: 60s}]}";
    let script = script(&[writes("page", &[("app/[id]/page.tsx", "new\n"), ("cache/x", "1\n")])]);
    let bench = Bench::new(&plan(task), CONFIG, &script, &[("app/[id]/page.tsx", "old\n")]);
    fs::write(bench.repo.dir.join(".git/info/exclude"), "cache/\n").unwrap();
    bench.repo.git(&["branch", "muster"]);
    bench.run(&[]).expect(0);
    let name = bench.repo.git(&["for-each-ref", "--format=%(refname:short)", "refs/heads/muster-*"]);
    assert_eq!(bench.repo.git(&["diff", "--name-only", "main", &name]), "app/[id]/page.tsx");
}

/// Attacks 03: looking runs nothing, however a filter is called; what is behind one is said before anything is spent.
#[test]
fn looking_runs_no_filter_whatever_its_name() {
    let task = "  - {id: t, role: builder, instructions: x, attempts_max: 1, checks: [{run: \"true\", timeout: 60s}]}";
    let bench = Bench::new(
        &plan(task),
        CONFIG,
        "version: 1\nreplies: [{when: {}, steps: [{text: done}]}]\n",
        &[("f", "hello\n")],
    );
    let marker = bench.path("marker");
    for name in [&b"a=b"[..], b"\xff", b"a.b"] {
        let mut config = fs::read(bench.repo.dir.join(".git/config")).unwrap();
        config.extend(b"[filter \"");
        config.extend(name);
        config.extend(format!("\"]\n\tclean = \"touch {}; cat\"\n", marker.display()).bytes());
        fs::write(bench.repo.dir.join(".git/config"), config).unwrap();
        fs::write(bench.repo.dir.join(".gitattributes"), [b"f filter=", name, b"\n"].concat()).unwrap();
        bench.repo.git(&["-c", "core.attributesFile=/dev/null", "add", ".gitattributes"]);
        bench.repo.git(&["commit", "-qm", "attributes"]);
        let _ = fs::remove_file(&marker);
        fs::write(bench.repo.dir.join("f"), "hellp\n").unwrap();
        let ended = bench.run(&[]).expect(3);
        assert!(!marker.exists(), "{name:?}: {ended:?}");
        assert!(ended.stderr.contains("1 file is under the filter '"), "{ended:?}");
        bench.repo.git(&["status"]);
        assert!(marker.exists(), "the user's own git does run {name:?}");
    }
}

/// Attack 05: an agent that may run nothing plants a filter in its clone; the next task's files are written without it, and its
/// configuration is gone.
#[test]
fn a_filter_in_a_clone_is_never_run_by_us() {
    let tasks = "  - {id: t1, role: builder, instructions: one, checks: [{run: \"true\", timeout: 60s}]}\n  - {id: t2, role: builder, instructions: two, depends_on: [t1], checks: [{run: \"true\", timeout: 60s}]}";
    let config = CONFIG.replace("count: 2", "count: 1, sandbox: worker, approvals: deny");
    let filter = "[core]\n\trepositoryformatversion = 0\n[filter \"x\"]\n\tsmudge = \"touch /workspace/ran; cat\"\n";
    let script = script(&[
        writes("t1", &[("one.txt", "1\n"), (".git/info/attributes", "* filter=x\n"), (".git/config", filter)]),
        writes("t2", &[("two.txt", "1\n")]),
    ]);
    let bench = Bench::new(&plan(tasks), &config, &script, &[("README", "readme\n")]);
    bench.run(&[]).expect(0);
    let missions = fs::read_dir(bench.home().join("missions")).unwrap();
    let work = missions.flatten().next().unwrap().path().join("agents/builder-1/work");
    assert!(work.join("two.txt").exists() && !work.join("ran").exists());
    let planted = fs::read_to_string(work.join(".git/config")).unwrap();
    assert!(!planted.contains("smudge"), "{planted}");
}
