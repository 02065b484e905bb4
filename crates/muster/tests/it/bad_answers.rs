//! Models that answer badly: bounded, told to a person, never a hang and never a crash.

use crate::support::Bench;

const PLAN: &str = r#"
goal: Write a note.
tasks:
  - id: note
    role: builder
    instructions: Write done into note.txt.
    checks: [{run: "grep -qx done note.txt", timeout: 60s}]
    attempts_max: 1
"#;
const CONFIG: &str = r#"
upstreams:
  script: {scripted: script.yaml}
roles:
  builder: {runtime: native, model: scripted-1, context_tokens: 32000, output_tokens: 1000}
"#;
/// Requests that one attempt may make of a model that never says anything of use.
const CALLS_MAX: u64 = 30;

#[test]
fn empty() {
    never_of_use("{raw: {kind: empty}}", "unusable");
}

#[test]
fn truncated() {
    never_of_use("{raw: {kind: truncated}}", "");
}

#[test]
fn malformed() {
    never_of_use("{raw: {kind: malformed}}", "");
}

#[test]
fn garbage() {
    never_of_use("{raw: {kind: garbage}}", "");
}

#[test]
fn huge() {
    never_of_use("{raw: {kind: huge, bytes: 20000000}}", "");
}

#[test]
fn refusal() {
    never_of_use("{raw: {kind: refusal}}", "refused");
}

#[test]
fn tools_that_do_not_exist() {
    never_of_use("{raw: {kind: unknown_tool}}", "");
}

#[test]
fn cut_off() {
    never_of_use("{raw: {kind: length}}", "");
}

#[test]
fn errors() {
    never_of_use("{error: {status: 400, message: The model does not like this.}}", "");
}

#[test]
fn talk_instead_of_work() {
    never_of_use("{text: I could do that.}", "never submitted");
}

/// A model whose every answer is this step. The mission ends up asking a person, who ends it.
fn never_of_use(step: &str, why: &str) {
    let steps = vec![step; 60].join(", ");
    let script = format!("version: 1\nreplies:\n  - steps: [{steps}]\n");
    let bench = Bench::new(PLAN, CONFIG, &script, &[]);
    let view = bench.run(&[]).expect(3).json();
    let question = view["interrupts"][0]["question"].as_str().unwrap();
    assert!(question.contains("note") && question.contains(why), "{question}");
    let calls = view["money"]["calls"].as_u64().unwrap();
    assert!((1..=CALLS_MAX).contains(&calls), "{calls} calls: {question}");
    bench.wait_until_all_processes_are_gone();
    bench.muster(&["answer", "i0", "--deny"]).expect(0);
    bench.resume().expect(1);
    bench.journal().check();
    assert_eq!(bench.repo.git(&["for-each-ref", "refs/heads/muster"]), "", "nothing is published");
}

#[test]
fn a_bad_answer_now_and_then_is_mended() {
    let script = r#"
version: 1
replies:
  - steps:
      - raw: {kind: empty}
      - raw: {kind: malformed}
      - calls: [{tool: write_file, args: {path: note.txt, content: "done\n"}}]
      - raw: {kind: unknown_tool}
      - calls: [{tool: submit_result, args: {summary: It is written.}}]
      - text: Submitted.
"#;
    let bench = Bench::new(PLAN, CONFIG, script, &[]);
    bench.run(&[]).expect(0);
    assert_eq!(bench.journal().count("attempt_failed"), 0);
}
