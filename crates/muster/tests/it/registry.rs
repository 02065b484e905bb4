//! `muster agents list`: agents that are known by name and roles of the configuration, each with how it is.

use crate::support::Bench;
use serde_json::{Value, json};
use std::{fs, os::unix::fs::PermissionsExt as _, path::Path};

/// A program in a folder of programs, as a shell script.
fn program(folder: &Path, name: &str, script: &str) {
    let path = folder.join(name);
    fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
}

fn listed(bench: &Bench, folder: &Path) -> Vec<Value> {
    let mut command =
        bench.command(&["agents", "list", "--json", "--config", bench.path("muster.yaml").to_str().unwrap()]);
    command.env("PATH", format!("{}:/usr/bin:/bin", folder.display()));
    let output = command.output().unwrap();
    assert!(output.status.success(), "{output:?}");
    serde_json::from_slice::<Value>(&output.stdout).unwrap().as_array().unwrap().clone()
}

fn entry<'a>(entries: &'a [Value], name: &str) -> &'a Value {
    entries.iter().find(|entry| entry["name"] == name).unwrap_or_else(|| panic!("{name} is not in {entries:?}"))
}

#[test]
fn every_agent_has_a_state_that_somebody_looked_for() {
    let folder = tempfile::tempdir().unwrap();
    program(folder.path(), "codex", "echo codex-cli 0.169.0");
    program(folder.path(), "claude", "exit 3");
    program(
        folder.path(),
        "cursor-agent",
        "[ \"$1\" = --version ] && echo 2026.11 && exit 0\necho Not logged in\nexit 1",
    );
    let permissions = json!({"file_system": "read", "shell_commands": "none"});
    let config = json!({
        "upstreams": {"script": {"scripted": "script.yaml"}},
        "roles": {
            "well": {"runtime": "native", "model": "m", "capabilities": ["web"], "health": {"command": ["true"]}},
            "slow": {"runtime": "native", "model": "m", "health": {"command": ["sh", "-c", "echo queue is long; exit 75"]}},
            "unseen": {"runtime": "native", "model": "m"},
            "gone": {"runtime": "acp", "command": ["no-such-agent"], "model": "m"},
            "bound": {"runtime": "codex", "model": "m", "sandbox": {"permissions": permissions}},
        },
    });
    let bench = Bench::new("", &config.to_string(), "", &[]);
    let entries = listed(&bench, folder.path());
    let of = |name: &str, key: &str| entry(&entries, name)[key].clone();
    assert_eq!((of("Codex CLI", "state"), of("Codex CLI", "version")), (json!("active"), json!("codex-cli 0.169.0")));
    assert_eq!(of("Claude Code", "state"), "degraded");
    assert_eq!((of("Cursor CLI", "state"), of("Cursor CLI", "login")), (json!("blocked"), json!("Not logged in")));
    assert!(
        of("Cursor CLI", "reason").as_str().unwrap().starts_with("Not logged in; it speaks to Cursor's own service")
    );
    assert_eq!(of("Gemini CLI", "state"), "not_installed");
    assert_eq!((of("well", "state"), of("well", "reason")), (json!("active"), Value::Null));
    assert!(of("well", "capabilities").as_array().unwrap().contains(&json!("web")));
    assert_eq!((of("slow", "state"), of("slow", "reason")), (json!("degraded"), json!("queue is long")));
    assert_eq!((of("unseen", "state"), of("gone", "state")), (json!("not_checked"), json!("not_installed")));
    assert!(of("gone", "reason").as_str().unwrap().contains("no program no-such-agent"), "{entries:?}");
    assert_eq!(of("bound", "state"), "blocked");
    assert!(of("bound", "reason").as_str().unwrap().starts_with("runtime `codex` starts its commands itself"));

    // Once it is logged in it is not blocked any more: nothing but the answer decides it.
    program(folder.path(), "cursor-agent", "[ \"$1\" = --version ] && echo 2026.11 && exit 0\necho Logged in as you");
    let entries = listed(&bench, folder.path());
    let cursor = entry(&entries, "Cursor CLI");
    assert_eq!((&cursor["state"], &cursor["login"]), (&json!("active"), &json!("Logged in as you")));
}
