//! Who gets a task when several roles may do it: with the real program, a configuration and health checks that find what they find.

use crate::support::{Bench, bench::MUSTER};
use serde_json::{Value, json};

const SCRIPT: &str = r#"
version: 1
model: scripted-1
replies:
  - when: {contains: "[task note]"}
    steps:
      - calls: [{tool: write_file, args: {path: note.txt, content: "done\n"}}]
      - calls: [{tool: submit_result, args: {summary: It is written.}}]
      - text: Submitted.
  - when: {contains: "[task note.2]"}
    steps:
      - calls:
          - {tool: write_file, args: {path: note.txt, content: "done\n"}}
          - {tool: write_file, args: {path: more.txt, content: "more\n"}}
      - calls: [{tool: submit_result, args: {summary: It is written twice.}}]
      - text: Submitted.
"#;

fn bench(roles: &Value, task: &Value) -> Bench {
    let mut spec = json!({
        "id": "note", "instructions": "Fix the note: write done into note.txt.",
        "checks": [{"run": "grep -qx done note.txt", "timeout": "60s"}],
    });
    spec.as_object_mut().unwrap().extend(task.as_object().unwrap().clone());
    let plan = json!({"goal": "Write a note.", "tasks": [spec]});
    let config = json!({"upstreams": {"script": {"scripted": "script.yaml"}}, "roles": roles});
    Bench::new(&plan.to_string(), &config.to_string(), SCRIPT, &[("README", "A repository.\n")])
}

fn role(more: &Value) -> Value {
    let mut role = json!({"runtime": "native", "model": "scripted-1"});
    role.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    role
}

/// Who did the task, and how that is explained.
fn told(bench: &Bench) -> (String, String) {
    let view = bench.show();
    let agent = view["tasks"][0]["agent"].as_str().unwrap().to_owned();
    (agent, bench.muster(&["explain", "last", "note"]).expect(0).stdout)
}

#[test]
fn a_role_that_is_unwell_is_passed_over() {
    for (health, said) in [
        (
            json!({"command": ["sh", "-c", "echo the disk is gone; exit 1"]}),
            ["first has been down for ", ": the disk is gone; second is next"],
        ),
        (
            json!({"command": ["sh", "-c", "echo log in first; exit 77"]}),
            ["first has been blocked for ", ": log in first; second is next"],
        ),
        (
            json!({"command": ["sleep", "60"], "timeout": "300ms"}),
            ["first has been down for ", ": no answer within 300 ms; second is next"],
        ),
        (json!({"url": "http://127.0.0.1:9/health"}), ["first has been down for ", ": its health check got no answer"]),
        (json!({"command": ["sh", "-c", "echo slow; exit 75"]}), ["first is preferred", ""]),
    ] {
        let roles =
            json!({"first": role(&json!({"health": health, "fallback": ["second"]})), "second": role(&json!({}))});
        let bench = bench(&roles, &json!({"role": "first"}));
        bench.run(&[]).expect(0);
        let (agent, explained) = told(&bench);
        assert!(said.iter().all(|said| explained.contains(said)), "{explained}");
        let expected = if said[0].contains("preferred") { "first-1" } else { "second-1" };
        assert_eq!(agent, expected, "{explained}");
        bench.journal().check();
    }
}

#[test]
fn health_is_asked_by_http() {
    let server = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/health", server.local_addr().unwrap());
    let answering = std::thread::spawn(move || {
        use std::io::{Read as _, Write as _};
        let (mut asked, _) = server.accept().unwrap();
        let read = asked.read(&mut [0; 4096]).unwrap();
        assert!(read > 0);
        asked.write_all(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\nConnection: close\r\n\r\n").unwrap();
    });
    let health = json!({"url": url, "interval": "1h"});
    let roles = json!({"first": role(&json!({"health": health, "fallback": ["second"]})), "second": role(&json!({}))});
    let bench = bench(&roles, &json!({"role": "first"}));
    bench.run(&[]).expect(0);
    answering.join().unwrap();
    let (agent, explained) = told(&bench);
    let said = ["first has been blocked for ", ": its health check answered 403 Forbidden"];
    assert!(said.iter().all(|said| explained.contains(said)), "{explained}");
    assert_eq!(agent, "second-1");
}

#[test]
fn one_that_cannot_be_started_gives_way() {
    let gone = json!({"runtime": "acp", "command": ["/no/such/agent"], "model": "scripted-1", "fallback": ["second"]});
    let bench = bench(&json!({"first": gone, "second": role(&json!({}))}), &json!({"role": "first"}));
    bench.run(&[]).expect(0);
    let (agent, explained) = told(&bench);
    assert!(explained.contains("first could not be started; second is next"), "{explained}");
    assert_eq!(agent, "second-1");
}

#[test]
fn a_boundary_that_a_runtime_cannot_hold_is_a_reason() {
    let permissions = json!({"file_system": "read_write", "network": "restricted", "shell_commands": "none", "git_operations": "allowed"});
    let codex = json!({"runtime": "codex", "command": [MUSTER], "model": "scripted-1", "sandbox": {"permissions": permissions}});
    let roles = json!({"codex": codex, "own": role(&json!({"sandbox": {"permissions": permissions}}))});
    let both = bench(&roles, &json!({}));
    both.run(&[]).expect(0);
    let (agent, explained) = told(&both);
    assert!(
        explained.contains("codex")
            && explained.contains("cannot hold its boundaries: runtime `codex` starts its commands itself"),
        "{explained}"
    );
    assert_eq!(agent, "own-1");
    // Alone it is refused before anything begins.
    let alone = bench(&roles, &json!({"role": "codex"})).run(&[]).expect(2);
    assert!(
        alone.stderr.contains("nobody can do this task (codex: runtime `codex` starts its commands itself"),
        "{}",
        alone.stderr
    );
}

#[test]
fn what_was_done_well_before_is_remembered() {
    let roles = json!({"alpha": role(&json!({})), "beta": role(&json!({}))});
    let bench = bench(&roles, &json!({"role": "beta"}));
    bench.run(&[]).expect(0);
    let open = json!({"goal": "Write it again.", "tasks": [{
        "id": "note", "instructions": "Fix the note: write done into note.txt.",
        "checks": [{"run": "grep -qx done note.txt", "timeout": "60s"}],
    }]});
    bench.write("plan.yaml", &open.to_string());
    bench.run(&[]).expect(0);
    let (agent, explained) = told(&bench);
    assert_eq!(agent, "beta-1", "{explained}");
    assert!(explained.contains("the task: bug_fix, medium") && explained.contains("history 66"), "{explained}");
}

#[test]
fn the_smallest_of_several_changes_is_merged() {
    let bench = bench(&json!({"builder": role(&json!({"count": 2}))}), &json!({"role": "builder", "best_of": 2}));
    bench.run(&[]).expect(0);
    let view = bench.show();
    let states: Vec<_> = view["tasks"]
        .as_array()
        .unwrap()
        .iter()
        .map(|task| (task["name"].as_str().unwrap(), task["state"].as_str().unwrap()))
        .collect();
    assert_eq!(states, [("note", "merged"), ("note.2", "superseded")]);
    let explained = bench.muster(&["explain", "last", "note.2"]).expect(0).stdout;
    assert!(explained.contains("'note' does the same work and is done"), "{explained}");
    bench.journal().check();
}
