//! Real agents of several vendors on one repository, each in our sandbox, on a scripted model.

use crate::support::{Bench, bench::MUSTER};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

/// Where `scripts/agents.sh` has installed them: below the build folder that the program itself comes from.
pub fn installed() -> PathBuf {
    let dir = Path::new(MUSTER).ancestors().nth(2).unwrap().join("agents");
    assert!(dir.join("installed").exists(), "there is nothing at {}; run scripts/agents.sh", dir.display());
    dir
}

const CODEX: &str = "/opt/agents/node_modules/@openai/codex-linux-x64/vendor/x86_64-unknown-linux-musl/bin/codex";
const CLAUDE: &str = "/opt/agents/node_modules/@anthropic-ai/claude-code/bin/claude.exe";
const OPENCODE: &str = r#"{"autoupdate": false, "share": "disabled", "model": "here/scripted-1", "small_model": "here/scripted-1",
    "enabled_providers": ["here"], "snapshot": false, "provider": {"here": {"npm": "@ai-sdk/openai-compatible",
    "options": {"baseURL": "http://127.0.0.1:3128/v1", "apiKey": "{env:OPENAI_API_KEY}", "timeout": 60000},
    "models": {"scripted-1": {"tool_call": true, "limit": {"context": 200000, "output": 32000}}}}}}"#;
const OPENCODE_RUNS: &str =
    "export XDG_CONFIG_HOME=$HOME/c XDG_DATA_HOME=$HOME/d XDG_STATE_HOME=$HOME/s XDG_CACHE_HOME=$HOME/k
    export OPENCODE_CONFIG_CONTENT=\"$CONFIG\" OPENCODE_DISABLE_AUTOUPDATE=1 OPENCODE_DISABLE_MODELS_FETCH=1
    export OPENCODE_DISABLE_LSP_DOWNLOAD=1 OPENCODE_DISABLE_DEFAULT_PLUGINS=1
    exec /opt/agents/node_modules/opencode-linux-x64/bin/opencode acp";

/// A role of `muster.yaml`.
pub fn role(runtime: &str, command: &Value, env: &Value) -> Value {
    let files = json!({"execute": [{"host": installed(), "inside": "/opt/agents"}]});
    json!({
        "runtime": runtime, "command": command, "model": "scripted-1", "sandbox": {"preset": "agent-cli", "files": files, "env": env},
    })
}

pub fn roles() -> Value {
    json!({
        "codex": role("codex", &json!([CODEX]), &json!({})),
        "claude": role("claude", &json!([CLAUDE]), &json!({})),
        "opencode": role("acp", &json!(["sh", "-c", OPENCODE_RUNS]), &json!({"CONFIG": OPENCODE})),
        "native": {"runtime": "native", "model": "scripted-1"},
        "plain": {
            "runtime": "exec", "model": "scripted-1",
            "command": ["sh", "-c", "echo working; case \"$1\" in *'[task plain]'*) echo done > plain.txt;; esac", "sh", "{prompt}"],
        },
    })
}

/// What each calls the tools that write a file and submit.
pub const TOOLS: [(&str, &str, &str, &str); 4] = [
    ("codex", "exec_command", "cmd", "mcp__muster__submit_result"),
    ("claude", "Bash", "command", "mcp__muster__submit_result"),
    ("native", "run_command", "command", "submit_result"),
    ("opencode", "bash", "command", "muster_submit_result"),
];

fn reply((name, tool, argument, submit): (&str, &str, &str, &str)) -> Value {
    let mut args = json!({argument: format!("echo done > {name}.txt")});
    if name == "opencode" || name == "claude" {
        args["description"] = json!("writes the file");
    }
    let steps = json!([
        {"say": "I write the file.", "calls": [{"tool": tool, "args": args}]},
        {"calls": [{"tool": submit, "args": {"summary": format!("{name} has written it")}}]},
        {"text": "All done."},
    ]);
    json!({"when": {"contains": format!("[task {name}]")}, "steps": steps})
}

fn bench(names: &[&str]) -> Bench {
    let task = |name: &&str| {
        json!({
            "id": name, "role": name, "instructions": format!("Write done into {name}.txt."), "writes": [format!("{name}.txt")],
            "checks": [{"run": format!("grep -qx done {name}.txt"), "timeout": "60s"}],
        })
    };
    let plan = json!({"goal": "Each writes a file.", "tasks": names.iter().map(task).collect::<Vec<_>>()});
    let config = json!({"version": 1, "upstreams": {"script": {"scripted": "script.yaml"}}, "roles": roles()});
    let script = json!({"version": 1, "model": "scripted-1", "replies": TOOLS.map(reply)});
    Bench::new(&plan.to_string(), &config.to_string(), &script.to_string(), &[("README", "A repository to work on.\n")])
}

#[test]
fn five_kinds_of_agents_work_on_one_repository() {
    let names = ["codex", "claude", "opencode", "native", "plain"];
    let bench = bench(&names);
    let ended = bench.run(&["--all"]).expect(0);
    let view = ended.json();
    let journal = bench.journal();
    journal.check();
    assert_eq!(
        ["merged", "attempt_failed", "agent_lost"].map(|kind| journal.count(kind)),
        [5, 0, 0],
        "{}",
        ended.stderr
    );
    for name in names {
        let merged = bench.repo.git(&["show", &format!("{}:{name}.txt", bench.repo.branch())]);
        assert_eq!(merged, "done", "{name}");
    }
    // Each one's calls are on its own account.
    let by: Vec<&str> =
        view["money"]["by"].as_array().unwrap().iter().map(|by| by["agent"].as_str().unwrap()).collect();
    assert_eq!(by, ["claude-1", "codex-1", "native-1", "opencode-1"]);
}
