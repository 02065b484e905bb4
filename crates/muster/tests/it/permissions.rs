//! Requests for permission: by the rules of a role, or by a person, of our own agent and of vendors' programs.

use crate::{
    real_agents::{plan, roles, script, submits, writes},
    support::{Bench, Running},
    workers::commands_run,
};
use serde_json::{Value, json};

fn run_command(command: &str) -> Value {
    json!({"calls": [{"tool": "run_command", "args": {"command": command}}]})
}

/// A mission of our own agent, whose commands need approval by these rules.
fn bench(approvals: &Value, more: &Value) -> Bench {
    let sandbox = json!({"permissions": {"shell_commands": "approved_only"}});
    let mut role = json!({"runtime": "native", "model": "scripted-1", "sandbox": sandbox});
    if !approvals.is_null() {
        role["approvals"] = approvals.clone();
    }
    let mut config = json!({"upstreams": {"script": {"scripted": "script.yaml"}}, "roles": {"builder": role}});
    config.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let steps = json!([
        run_command("echo done > note.txt"),
        {"calls": [{"tool": "write_file", "args": {"path": "note.txt", "content": "done\n"}}]},
        submits(),
        {"text": "All done."},
    ]);
    let script = json!({"version": 1, "model": "scripted-1", "replies": [{"when": {"contains": "[task note]"}, "steps": steps}]});
    let plan = json!({"goal": "Write a note.", "tasks": [{
        "id": "note", "role": "builder", "instructions": "Write done into note.txt.",
        "checks": [{"run": "grep -qx done note.txt", "timeout": "60s"}],
    }]});
    Bench::new(&plan.to_string(), &config.to_string(), &script.to_string(), &[("README", "A repository.\n")])
}

/// Runs until a line says this, answers i0 so, and lets it end.
fn answered(bench: &Bench, said: &str, answer: &str) {
    let mut running: Running = bench.start_run(&["--all"]);
    while let Some(line) = running.line() {
        if line.contains(said) {
            let view = bench.show();
            let open = &view["interrupts"][0];
            assert_eq!((&open["kind"], &open["default"]), (&json!("permission"), &json!("deny")));
            bench.muster(&["answer", "last/i0", "whatever"]).expect(1);
            bench.muster(&["answer", "last/i0", answer]).expect(0);
        }
    }
    running.end().expect(0);
}

#[test]
fn a_person_approves_a_command_or_does_not() {
    for (answer, ran) in [("--approve", true), ("--deny", false)] {
        let bench = bench(&Value::Null, &json!({}));
        answered(&bench, "i0 (permission): run: echo done > note.txt", answer);
        let journal = bench.journal();
        journal.check();
        assert_eq!(["interrupt_raised", "turn_extended", "merged"].map(|kind| journal.count(kind)), [1, 2, 1]);
        assert_eq!(commands_run(&bench), usize::from(ran), "{answer}");
    }
}

#[test]
fn a_prompt_that_nobody_answers_is_refused_in_time() {
    let bench = bench(&Value::Null, &json!({"limits": {"answer_timeout": "1s"}}));
    let ended = bench.run(&["--all"]).expect(0);
    assert!(ended.stderr.contains("i0 answered by nobody in time; the default: no"), "{}", ended.stderr);
    assert_eq!(commands_run(&bench), 0);
    bench.journal().check();
}

#[test]
fn rules_answer_what_they_know() {
    let asks = json!({"otherwise": "ask", "rules": [{"is": "run: echo done > note.txt", "answer": "allow"}]});
    let refuses = json!({"otherwise": "allow", "rules": [{"contains": "note.txt", "answer": "deny"}]});
    for (rules, ran) in [(asks, 1), (refuses, 0), (json!("allow"), 1), (json!("deny"), 0)] {
        let bench = bench(&rules, &json!({}));
        bench.run(&[]).expect(0);
        assert_eq!(bench.journal().count("interrupt_raised"), 0, "{rules}");
        assert_eq!(commands_run(&bench), ran, "{rules}");
    }
}

#[test]
fn vendors_programs_ask_a_person_too() {
    for name in ["claude", "opencode"] {
        let mut roles = roles();
        roles[name]["approvals"] = json!("ask");
        if name == "opencode" {
            let mut config: Value =
                serde_json::from_str(roles[name]["sandbox"]["env"]["CONFIG"].as_str().unwrap()).unwrap();
            config["permission"] = json!({"bash": "ask"});
            roles[name]["sandbox"]["env"]["CONFIG"] = json!(config.to_string());
        }
        let config = json!({"version": 1, "upstreams": {"script": {"scripted": "script.yaml"}}, "roles": roles});
        let script = script(|kind| json!([writes(kind), submits(), submits(), {"text": "All done."}]));
        let files = [("README", "A repository to work on.\n")];
        let bench = Bench::new(&plan(&[name]).to_string(), &config.to_string(), &script.to_string(), &files);
        let mut running = bench.start_run(&["--all"]);
        let mut asked = Vec::new();
        while let Some(line) = running.line() {
            if let Some((before, request)) = line.split_once(" (permission): ") {
                let id = before.split_whitespace().next_back().unwrap().to_owned();
                asked.push(request.to_owned());
                bench.muster(&["answer", &format!("last/{id}"), "--approve"]).expect(0);
            }
        }
        running.end().expect(0);
        assert!(asked.iter().any(|request| request.contains(&format!("echo done > {name}.txt"))), "{name}: {asked:?}");
        bench.journal().check();
        bench.wait_until_all_processes_are_gone();
    }
}

/// What would let an agent do what nobody was asked for is refused before anything begins.
#[test]
fn a_program_that_asks_nobody_is_refused() {
    let mut roles = roles();
    roles["codex"]["approvals"] = json!({"rules": [{"contains": "git push", "answer": "ask"}]});
    let config = json!({"version": 1, "upstreams": {"script": {"scripted": "script.yaml"}}, "roles": roles});
    let script = json!({"version": 1, "model": "scripted-1", "replies": []});
    let bench =
        Bench::new(&plan(&["codex"]).to_string(), &config.to_string(), &script.to_string(), &[("README", "Work.\n")]);
    let refused = bench.run(&[]).expect(2);
    assert!(
        refused.stderr.contains("nobody can do this task (codex: runtime `codex` asks nobody before"),
        "{}",
        refused.stderr
    );
}
