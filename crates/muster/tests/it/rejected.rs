//! Files that cannot be taken over: the agent that left them is told and mends it; when it does not, a person is asked.

use crate::support::Bench;

const CONFIG: &str = r#"
upstreams:
  script: {scripted: script.yaml}
roles:
  builder: {runtime: native, model: scripted-1, context_tokens: 32000, output_tokens: 1000}
"#;

/// One task. Its agent names a submodule whose address is an option, which git refuses, and the change with it.
const NOTE: &str = r#"
goal: Write a note.
tasks:
  - id: note
    role: builder
    instructions: Write done into note.txt.
    writes: [note.txt]
    checks: [{run: "grep -qx done note.txt", timeout: 60s}]
    attempts_max: 1
"#;

#[test]
fn the_agent_is_told_and_mends_it() {
    let script = r#"
version: 1
replies:
  - steps:
      - calls: [{tool: run_command, args: {command: "echo done > note.txt; printf '[submodule \"x\"]\\n path = x\\n url = -x\\n' > .gitmodules"}}]
      - calls: [{tool: submit_result, args: {summary: It is written.}}]
      - text: Submitted.
      - calls: [{tool: run_command, args: {command: "rm .gitmodules"}}]
      - calls: [{tool: submit_result, args: {summary: It is mended.}}]
      - text: Submitted again.
"#;
    let bench = Bench::new(NOTE, CONFIG, script, &[]);
    bench.run(&[]).expect(0);
    let journal = bench.journal();
    assert_eq!((journal.count("attempt_failed"), journal.count("merged")), (0, 1));
    let told: Vec<_> = journal.of("turn_owed").map(|fact| &fact["brief"]["returned"]["rejected"]).collect();
    assert!(told.len() == 1 && told[0].as_str().is_some_and(|why| why.contains("submodule")), "{told:?}");
    assert_eq!(bench.repo.git(&["ls-tree", "--name-only", &bench.repo.branch()]), "note.txt");
}

#[test]
fn a_repository_inside_the_work_comes_back_too() {
    let script = r#"
version: 1
replies:
  - steps:
      - calls: [{tool: run_command, args: {command: "echo done > note.txt; git init -q inner; cd inner; touch a; git add a; git commit -qm a"}}]
      - calls: [{tool: submit_result, args: {summary: It is written.}}]
      - text: Submitted.
      - calls: [{tool: run_command, args: {command: "rm -rf inner"}}]
      - calls: [{tool: submit_result, args: {summary: It is mended.}}]
      - text: Submitted again.
"#;
    let plan = NOTE.replace("    writes: [note.txt]\n", "");
    let bench = Bench::new(&plan, CONFIG, script, &[]);
    bench.run(&[]).expect(0);
    let journal = bench.journal();
    let told: Vec<_> = journal.of("change_returned").map(|fact| &fact["why"]["rejected"]).collect();
    assert!(told.len() == 1 && told[0].as_str().is_some_and(|why| why.contains("inner is a repository")), "{told:?}");
}

/// The agent never mends it, so a person is asked, who lets the task be; the next task of the same agent is not in its way.
#[test]
fn what_is_never_mended_ends_with_a_person_and_the_agent_goes_on() {
    let poison = r#"
      - calls: [{tool: run_command, args: {command: "printf '[submodule \"x\"]\\n path = x\\n url = -x\\n' > .gitmodules"}}]
      - calls: [{tool: submit_result, args: {summary: It is written.}}]
      - text: Submitted."#;
    let script = format!(
        r#"
version: 1
replies:
  - when: {{contains: "[task other]"}}
    steps:
      - calls: [{{tool: write_file, args: {{path: other.txt, content: "done\n"}}}}]
      - calls: [{{tool: submit_result, args: {{summary: It is written.}}}}]
      - text: Submitted.
  - when: {{contains: "[task note]"}}
    steps:{}
"#,
        poison.repeat(8)
    );
    let other = r#"
  - id: other
    role: builder
    instructions: Write done into other.txt.
    checks: [{run: "grep -qx done other.txt", timeout: 60s}]
"#;
    let bench = Bench::new(&format!("{}{}", NOTE.trim_end(), other), CONFIG, &script, &[]);
    let view = bench.run(&[]).expect(3).json();
    let question = view["interrupts"][0]["question"].as_str().unwrap();
    assert!(question.contains("note") && question.contains("came back too often"), "{question}");
    bench.muster(&["answer", "i0", "--deny"]).expect(0);
    bench.resume().expect(1);
    assert_eq!(bench.journal().count("merged"), 1);
    assert_eq!(bench.repo.git(&["show", &format!("{}:other.txt", bench.repo.branch())]), "done");
}
