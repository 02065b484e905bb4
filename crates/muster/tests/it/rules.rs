//! Rules that a mission keeps: who may change what, what counts as done, what may be spent, what happens when nobody answers.

use crate::support::{Bench, repo::Repo};

const ROLES: &str = "version: 1\nupstreams:\n  script: {scripted: script.yaml}\nroles:\n  builder: {runtime: native, model: scripted-1, context_tokens: 32000, output_tokens: 1000}\n";

fn bench(tasks: &str, more: &str, replies: &str) -> Bench {
    let plan = format!("goal: Write a note.\ntasks:\n{tasks}");
    Bench::new(
        &plan,
        &format!("{ROLES}{more}"),
        &format!("version: 1\nreplies:\n{replies}"),
        &[("README", "Read me.\n")],
    )
}

const NOTE: &str = r#"  - id: note
    role: builder
    instructions: Write done into note.txt.
    writes: [note.txt]
    checks: [{run: "grep -qx done note.txt", timeout: 60s}]
"#;
const WRITES: &str = r#"  - when: {contains: "[task note]"}
    steps:
      - calls: [{tool: write_file, args: {path: note.txt, content: "done\n"}}]
      - calls: [{tool: submit_result, args: {summary: It is written.}}]
      - text: Submitted.
"#;

#[test]
fn what_is_not_the_tasks_goes_back() {
    let replies = r#"  - steps:
      - calls:
          - {tool: write_file, args: {path: note.txt, content: "done\n"}}
          - {tool: write_file, args: {path: README, content: "Changed as well.\n"}}
      - calls: [{tool: submit_result, args: {summary: It is written.}}]
      - text: Submitted.
      - calls: [{tool: write_file, args: {path: README, content: "Read me.\n"}}]
      - calls: [{tool: submit_result, args: {summary: Only the note.}}]
      - text: Submitted again.
"#;
    let bench = bench(NOTE, "", replies);
    bench.run(&[]).expect(0);
    let journal = bench.journal();
    journal.check();
    let back = journal.of("turn_owed").next().unwrap();
    assert_eq!(back["brief"]["returned"]["outside"], serde_json::json!(["README"]), "{back}");
    assert_eq!(journal.count("change_queued"), 1, "the merge queue never saw it");
    let changed = bench.repo.git(&["diff", "--name-only", "main", &bench.repo.branch()]);
    assert_eq!(changed, "note.txt");
}

#[test]
fn a_claim_that_no_check_confirms_is_not_done() {
    let replies = r#"  - steps:
      - calls: [{tool: write_file, args: {path: note.txt, content: "not yet\n"}}]
      - calls: [{tool: submit_result, args: {summary: It is written. Believe me.}}]
      - text: Submitted.
      - calls: [{tool: submit_result, args: {summary: It really is.}}]
      - text: Submitted again.
"#;
    let tasks = NOTE.replace("    checks:", "    attempts_max: 1\n    checks:");
    let bench = bench(&tasks, "limits: {returns_max: 1}\n", replies);
    let view = bench.run(&[]).expect(3).json();
    assert!(view["interrupts"][0]["question"].as_str().unwrap().contains("came back"), "{view}");
    let journal = bench.journal();
    assert_eq!((journal.count("change_returned"), journal.count("merged")), (2, 0));
    bench.muster(&["answer", "i0", "--deny"]).expect(0);
    bench.resume().expect(1);
    assert_eq!(bench.repo.git(&["for-each-ref", "refs/heads/muster"]), "", "there is nothing to publish");
}

#[test]
fn a_check_that_hangs_is_ended() {
    let tasks = NOTE
        .replace("grep -qx done note.txt", "sleep 1000")
        .replace("60s", "1s")
        .replace("    checks:", "    attempts_max: 1\n    checks:");
    let bench = bench(&tasks, "limits: {returns_max: 0}\n", WRITES);
    bench.run(&[]).expect(3);
    let journal = bench.journal();
    let returned = journal.of("change_returned").next().unwrap();
    assert!(returned.to_string().contains("too long"), "{returned}");
    bench.wait_until_all_processes_are_gone();
}

#[test]
fn a_role_without_a_repository_reports() {
    let tasks = "  - {id: note, role: thinker, instructions: Think., writes: []}\n";
    let more = "  thinker: {runtime: native, model: scripted-1, workspace: scratch}\n";
    let replies = r#"  - steps:
      - calls: [{tool: run_command, args: {command: ls -A}}]
      - calls: [{tool: submit_result, args: {summary: I thought.}}]
      - text: Submitted.
"#;
    let bench = bench(tasks, more, replies);
    bench.run(&[]).expect(0);
    assert!(bench.muster(&["report"]).expect(0).stdout.contains("I thought."));
}

#[test]
fn the_cap_holds() {
    let bench = Bench::exercise("thirty");
    let paused = bench.run(&["--budget", "0.3"]).expect(3);
    let money = &paused.json()["money"];
    let amount = |name: &str| money[name].as_u64().unwrap();
    assert_eq!(amount("cap_micros"), 300_000);
    assert!(amount("spent_micros") + amount("leased_micros") <= 300_000, "{money}");
    assert!(amount("spent_micros") > 0);
    bench.wait_until_all_processes_are_gone();
    let question = &paused.json()["interrupts"][0];
    assert_eq!(question["kind"], "budget");
    assert_eq!(
        bench.resume().expect(3).json()["money"]["spent_micros"],
        money["spent_micros"],
        "no call is made without money"
    );
    bench.muster(&["answer", "i0", "--deny"]).expect(0);
    bench.resume().expect(4);
    let journal = bench.journal();
    journal.check();
    assert!(bench.show()["money"]["spent_micros"].as_u64().unwrap() <= 300_000);
}

#[test]
fn what_nobody_answers_in_time_is_decided_by_its_default() {
    let replies = r#"  - when: {contains: ["[task note]", "The answer:\ndone"]}
    steps:
      - text: (asks)
      - text: (waits)
      - calls: [{tool: write_file, args: {path: note.txt, content: "done\n"}}]
      - calls: [{tool: submit_result, args: {summary: It is written.}}]
      - text: Submitted.
  - when: {contains: "[task note]"}
    steps:
      - calls: [{tool: raise_interrupt, args: {kind: user_input, question: "What shall I write?", default: done}}]
      - text: I wait for the answer.
"#;
    let bench = bench(NOTE, "limits: {answer_timeout: 2s}\n", replies);
    bench.run(&["--wait"]).expect(0);
    let journal = bench.journal();
    assert_eq!(journal.of("interrupt_answered").next().unwrap()["by"], "default");
}

#[test]
fn a_failed_task_is_tried_again_when_a_person_says_so() {
    let refuses =
        "  - when: {contains: [\"[task note]\", \"You are builder-1\"]}\n    steps: [{raw: {kind: refusal}}]\n";
    let tasks = NOTE.replace("    checks:", "    attempts_max: 1\n    checks:");
    let bench = bench(&tasks, "", &format!("{refuses}{WRITES}"));
    bench.write("muster.yaml", &ROLES.replace("context_tokens", "count: 2, context_tokens"));
    bench.run(&[]).expect(3);
    bench.muster(&["retry", "last", "nothing"]).expect(2);
    bench.muster(&["retry", "last", "note"]).expect(0);
    bench.resume().expect(0);
    let over = bench.muster(&["retry", "last", "note"]);
    assert_eq!(over.code, Some(1), "{over}");
    assert_eq!(bench.journal().count("task_reopened"), 1);
}

#[test]
fn a_result_that_cannot_be_put_into_place_waits_until_it_can() {
    let bench = bench(NOTE, "", WRITES);
    let mut running = bench.start_run(&[]);
    // The name was free when the mission began.
    running.line().unwrap();
    bench.repo.git(&["branch", "muster"]);
    let view = running.end().expect(3).json();
    let question = view["interrupts"][0]["question"].as_str().unwrap();
    assert!(question.contains("could not be put into your repository"), "{question}");
    bench.repo.git(&["branch", "-D", "muster"]);
    bench.muster(&["answer", "i0", "--approve"]).expect(0);
    bench.resume().expect(0);
    assert_eq!(bench.repo.git(&["show", &format!("{}:note.txt", bench.repo.branch())]), "done");
}

#[test]
fn missions_of_one_home_do_not_disturb_each_other() {
    let bench = bench(NOTE, "", WRITES);
    let first = bench.run(&[]).expect(0).json()["name"].as_str().unwrap().to_owned();
    let second = bench.run(&[]).expect(0).json()["name"].as_str().unwrap().to_owned();
    assert_ne!(first, second);
    let list = bench.muster(&["list", "--json"]).expect(0).json();
    assert_eq!(list.as_array().unwrap().len(), 2);
    let before = bench.show();
    bench.muster(&["resume", &first]).expect(0);
    assert_eq!(bench.show(), before, "what is over stays as it is");
    let branches = bench.repo.git(&["for-each-ref", "--format=%(refname:short)", "refs/heads/muster/"]);
    assert_eq!(branches.lines().count(), 2);
}

#[test]
fn a_result_is_merged_by_the_user_like_any_branch() {
    let bench = bench(NOTE, "", WRITES);
    bench.run(&[]).expect(0);
    let branch = bench.repo.branch();
    bench.repo.git(&["merge", "-q", "--no-edit", &branch]);
    assert_eq!(std::fs::read_to_string(bench.path("repo/note.txt")).unwrap(), "done\n");
    let clone = bench.path("clone");
    bench.repo.check_out("main", &clone);
    Repo::at(&clone, &bench.path("user")).is_sound();
}
