//! Agents that die, hang or talk nonsense: the mission goes on, or asks; nothing of theirs is left behind.

use crate::support::{Bench, bench::MUSTER};

const PLAN: &str = r#"
goal: Write a note.
tasks:
  - id: note
    role: builder
    instructions: Write done into note.txt.
    checks: [{run: "grep -qx done note.txt", timeout: 60s}]
    attempts_max: 1
"#;

/// A mission whose agents are this shell command, with the program itself within reach.
fn stranger(command: &str, limits: &str, script: &str) -> Bench {
    let config = format!(
        "upstreams:\n  script: {{scripted: script.yaml}}\nroles:\n  builder:\n    runtime: acp\n    command: [sh, -c, {command:?}]\n    \
         model: scripted-1\n    sandbox: {{read: [{MUSTER}]}}\n{limits}"
    );
    Bench::new(PLAN, &config, &format!("version: 1\nreplies:\n{script}"), &[])
}

/// The mission ends up asking a person about the task; the person gives it up.
fn gives_up(bench: &Bench, why: &str) {
    let view = bench.run(&[]).expect(3).json();
    let question = view["interrupts"][0]["question"].as_str().unwrap();
    assert!(question.contains(why), "{question}");
    bench.wait_until_all_processes_are_gone();
    bench.muster(&["answer", "i0", "--deny"]).expect(0);
    bench.resume().expect(1);
    bench.journal().check();
}

#[test]
fn a_program_that_is_not_there() {
    gives_up(&stranger("exec /no/such/agent", "", "  - steps: [{text: x}]\n"), "could not be started");
}

#[test]
fn a_program_that_talks_nonsense() {
    gives_up(&stranger("yes nonsense", "", "  - steps: [{text: x}]\n"), "could not be started");
}

#[test]
fn an_agent_that_dies_in_every_turn() {
    let script = "  - steps: [{calls: [{tool: run_command, args: {command: \"kill -9 $PPID\"}}]}]\n";
    let bench = stranger(&format!("exec {MUSTER} __native"), "", script);
    gives_up(&bench, "lost too often");
    assert_eq!(bench.journal().count("agent_lost"), 6);
}

#[test]
fn an_agent_that_cannot_be_woken() {
    // It stops its own process: neither the turn's end nor a request to end it reaches it.
    let script = "  - steps: [{calls: [{tool: run_command, args: {command: \"kill -STOP $PPID\"}}]}]\n";
    let bench = stranger(&format!("exec {MUSTER} __native"), "limits: {turn_timeout: 3s}\n", script);
    gives_up(&bench, "took too long");
    let journal = bench.journal();
    assert_eq!(journal.of("agent_stopping").filter(|fact| fact["reason"] == "unresponsive").count(), 1);
}

/// The same where silence has a limit: it is ended long before its turn's time is over, and the next process takes the turn up.
#[test]
fn an_agent_that_falls_silent_is_taken_up_again() {
    let script = r#"  - when: {contains: "[task note]"}
    steps:
      - calls: [{tool: run_command, args: {command: "[ -e ~/again ] || { touch ~/again; kill -STOP $PPID; }; echo done > note.txt"}}]
      - calls: [{tool: submit_result, args: {summary: It is written.}}]
      - text: Submitted.
"#;
    let bench =
        stranger(&format!("exec {MUSTER} __native"), "limits: {silence_timeout: 2s, turn_timeout: 10m}\n", script);
    let ended = bench.run(&["--all"]).expect(0);
    assert!(ended.stderr.contains("was lost: it did nothing for 2.0 s"), "{}", ended.stderr);
    bench.wait_until_all_processes_are_gone();
    let journal = bench.journal();
    journal.check();
    assert_eq!(["agent_lost", "attempt_failed", "merged"].map(|kind| journal.count(kind)), [1, 0, 1]);
}

/// A conversation that its agent does not have any more begins anew, with the task and what there is of it, under a name of its own.
#[test]
fn a_lost_conversation_begins_anew_with_what_there_is() {
    let script = r#"  - when: {contains: ["[task note]", "Your earlier conversation about this task is lost. This is still your first turn."]}
    steps:
      - calls: [{tool: run_command, args: {command: "grep -qx half note.txt && echo done > note.txt"}}]
      - calls: [{tool: submit_result, args: {summary: It is written.}}]
      - text: Submitted.
  - when: {contains: "[task note]"}
    steps:
      - calls: [{tool: run_command, args: {command: "echo half > note.txt; find ~ -name '*.jsonl' -delete; kill -9 $PPID"}}]
"#;
    let bench = stranger(&format!("exec {MUSTER} __native"), "", script);
    bench.run(&[]).expect(0);
    let journal = bench.journal();
    // Two conversations of one attempt, which nothing else makes.
    assert_eq!(["agent_lost", "session_opened", "merged"].map(|kind| journal.count(kind)), [1, 2, 1]);
}

#[test]
fn programs_that_agents_leave_behind_are_ended() {
    let script = r#"  - when: {contains: "[task note]"}
    steps:
      - calls: [{tool: run_command, args: {command: "setsid sh -c 'trap : TERM HUP INT; while :; do read x < /dev/zero; done' > /dev/null 2>&1 & echo done > note.txt"}}]
      - calls: [{tool: submit_result, args: {summary: It is written.}}]
      - text: Submitted.
"#;
    let bench = stranger(&format!("exec {MUSTER} __native"), "", script);
    bench.run(&[]).expect(0);
    bench.wait_until_all_processes_are_gone();
}

#[test]
fn a_turn_can_be_cancelled_while_its_agent_opens_no_session() {
    // The first one says hello and never opens a session; the one after it does.
    let hello = r#"{"jsonrpc":"2.0","id":1,"result":{"protocolVersion":1,"agentCapabilities":{"mcpCapabilities":{"http":true}}}}"#;
    let hello = hello.replace('"', "\\042");
    let command = format!(
        "[ -e ~/met ] && exec {MUSTER} __native; touch ~/met; read -r _; printf '{hello}\\012'; while read -r _; do :; done"
    );
    let script = r#"  - when: {contains: "[task note]"}
    steps:
      - calls: [{tool: write_file, args: {path: note.txt, content: "done\n"}}]
      - calls: [{tool: submit_result, args: {summary: It is written.}}]
      - text: Submitted.
"#;
    let bench = stranger(&command, "", script);
    let mut running = bench.start_run(&["--all"]);
    running.wait_for("turn 1 begins");
    bench.muster(&["pause"]).expect(0);
    running.end().expect(3);
    bench.muster(&["resume", "last", "--json"]).expect(0);
    let journal = bench.journal();
    assert!(journal.of("turn_ended").any(|fact| fact["stop"] == "cancelled"));
    assert_eq!(journal.of("agent_stopping").filter(|fact| fact["reason"] == "unresponsive").count(), 0);
}
