//! Real agents of several vendors on one repository, each in our sandbox, on a scripted model.

use crate::support::{Bench, bench::MUSTER};
use engine::view::Readings;
use rustix::process::Signal;
use serde_json::{Value, json};
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

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

/// What the Gemini CLI finds as its settings.
const GEMINI: &str = r#"{"general": {"enableAutoUpdate": false}, "security": {"auth": {"selectedType": "gemini-api-key"},
    "folderTrust": {"enabled": false}}, "privacy": {"usageStatisticsEnabled": false}, "telemetry": {"enabled": false},
    "model": {"name": "scripted-1"}}"#;

/// Programs that speak ACP themselves, beside opencode: the Gemini CLI and the adapters for Codex and Claude Code.
fn acp_roles() -> Value {
    let node = "/opt/agents/node_modules/node/bin/node";
    let run = |script: &str, env: &Value| role("acp", &json!(["sh", "-c", script]), env);
    let gemini = format!(
        "mkdir -p ~/.gemini && printf '%s' \"$CONFIG\" > ~/.gemini/settings.json && \
         exec {node} /opt/agents/node_modules/@google/gemini-cli/bundle/gemini.js --acp"
    );
    let adapter =
        |name: &str| format!("exec {node} /opt/agents/node_modules/@agentclientprotocol/{name}/dist/index.js");
    let codex =
        format!("mkdir -p ~/.codex && printf '%s' \"$CONFIG\" > ~/.codex/config.toml && {}", adapter("codex-acp"));
    let claude = format!("export ANTHROPIC_MODEL=$MUSTER_MODEL && {}", adapter("claude-agent-acp"));
    let quiet = json!({"CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1", "DISABLE_AUTOUPDATER": "1", "DISABLE_TELEMETRY": "1",
        "DISABLE_ERROR_REPORTING": "1", "CLAUDE_CODE_MAX_RETRIES": "1", "IS_SANDBOX": "1", "ENABLE_TOOL_SEARCH": "false"});
    json!({
        "gemini": run(&gemini, &json!({"CONFIG": GEMINI, "GEMINI_CLI_TRUST_WORKSPACE": "true", "GEMINI_CLI_NO_RELAUNCH": "true"})),
        "codex-acp": run(&codex, &json!({"INITIAL_AGENT_MODE": "agent-full-access", "CODEX_PATH": CODEX, "CONFIG": crate::caps::CODEX_CONFIG.replace("test-model", "scripted-1")})),
        "claude-acp": run(&claude, &quiet),
    })
}

#[test]
fn other_programs_that_speak_acp() {
    let kinds: [Kind; 3] = [
        ("gemini", "run_shell_command", "command"),
        ("codex-acp", "exec_command", "cmd"),
        ("claude-acp", "Bash", "command"),
    ];
    let names = kinds.map(|(name, ..)| name);
    let reply = |kind: Kind| {
        let mut writes = writes(kind);
        if kind.0 != "codex-acp" {
            writes["calls"][0]["args"]["description"] = json!("writes the file");
        }
        json!({"when": {"contains": format!("[task {}]", kind.0)}, "steps": [writes, submits(), {"text": "All done."}]})
    };
    let script = json!({"version": 1, "model": "scripted-1", "replies": kinds.map(reply)});
    let config = json!({"version": 1, "upstreams": {"script": {"scripted": "script.yaml"}}, "roles": acp_roles()});
    let files = [("README", "A repository to work on.\n")];
    let bench = Bench::new(&plan(&names).to_string(), &config.to_string(), &script.to_string(), &files);
    let ended = bench.run(&["--all"]).expect(0);
    let journal = bench.journal();
    journal.check();
    let counted = ["merged", "attempt_failed", "agent_lost"].map(|kind| journal.count(kind));
    assert_eq!(counted, [3, 0, 0], "{}", ended.stderr);
    bench.wait_until_all_processes_are_gone();
}

/// A kind of agent: its name, the tool that runs a command, and the argument for it.
pub type Kind = (&'static str, &'static str, &'static str);

pub const KINDS: [Kind; 4] = [
    ("codex", "exec_command", "cmd"),
    ("claude", "Bash", "command"),
    ("native", "run_command", "command"),
    ("opencode", "bash", "command"),
];

/// The step that runs a command.
pub fn shell((name, tool, argument): Kind, command: &str) -> Value {
    let mut args = json!({argument: command});
    if name == "opencode" || name == "claude" {
        args["description"] = json!("does something");
    }
    json!({"calls": [{"tool": tool, "args": args}]})
}

/// The step that writes the agent's file.
pub fn writes(kind: Kind) -> Value {
    shell(kind, &format!("echo done > {}.txt", kind.0))
}

/// The step that submits.
pub fn submits() -> Value {
    json!({"calls": [{"tool": "submit_result", "args": {"summary": "It is written."}}]})
}

/// A script with these steps for each kind of agent.
pub fn script(steps: impl Fn(Kind) -> Value) -> Value {
    let reply = |kind: Kind| json!({"when": {"contains": format!("[task {}]", kind.0)}, "steps": steps(kind)});
    json!({"version": 1, "model": "scripted-1", "replies": KINDS.map(reply)})
}

/// A task for each, which writes a file of its name.
pub fn plan(names: &[&str]) -> Value {
    let task = |name: &&str| {
        json!({
            "id": name, "role": name, "instructions": format!("Write done into {name}.txt."), "writes": [format!("{name}.txt")],
            "checks": [{"run": format!("grep -qx done {name}.txt"), "timeout": "60s"}],
        })
    };
    json!({"goal": "Each writes a file.", "tasks": names.iter().map(task).collect::<Vec<_>>()})
}

fn config() -> Value {
    let prices = json!({"scripted-1": {"input": 1, "output": 10}});
    json!({"version": 1, "upstreams": {"script": {"scripted": "script.yaml"}}, "roles": roles(), "prices": prices})
}

/// A model call as the upstream saw and answered it: what was recorded of it, byte for byte.
struct Call {
    agent: String,
    request: String,
    answer: String,
}

impl Call {
    /// Tokens in and out, as the upstream says in its answer, whatever its format.
    fn usage(&self) -> [u64; 2] {
        let events = self.answer.lines().map(|line| line.strip_prefix("data: ").unwrap_or(line));
        let mut most = [0, 0];
        for event in events.filter_map(|event| serde_json::from_str::<Value>(event).ok()) {
            let places = ["/usage", "/response/usage", "/message/usage"];
            for usage in places.iter().filter_map(|place| event.pointer(place)) {
                let names = [["input_tokens", "prompt_tokens"], ["output_tokens", "completion_tokens"]];
                for (most, names) in most.iter_mut().zip(names) {
                    let told = names.iter().filter_map(|name| usage.get(name)?.as_u64()).max();
                    *most = told.unwrap_or_default().max(*most);
                }
            }
        }
        most
    }
}

/// The recorded calls of the newest mission.
fn calls(bench: &Bench) -> Vec<Call> {
    let cassette = bench.home().join("missions").join(bench.show()["name"].as_str().unwrap()).join("cassette");
    let blob = |name: &Value| {
        let name = name.as_str().unwrap();
        let packed = fs::read(cassette.join("blobs").join(&name[..2]).join(format!("{name}.zst"))).unwrap();
        String::from_utf8(zstd::decode_all(&*packed).unwrap()).unwrap()
    };
    let takes = fs::read_to_string(cassette.join("takes.jsonl")).unwrap();
    let takes = takes.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let call = |take: Value| Call {
        agent: take["agent"].as_str().unwrap().to_owned(),
        request: blob(&take["request"]),
        answer: blob(&take["answer"]),
    };
    takes.map(call).collect()
}

/// The rules of a role and those of the repository reach every agent's model, each in its program's own way.
#[test]
fn rules_reach_every_model() {
    let names = ["codex", "claude", "opencode", "native"];
    let mut config = config();
    names.iter().for_each(|name| config["roles"][*name]["instructions"] = json!("Mind the seventh rule."));
    let script = script(|kind| json!([writes(kind), submits(), {"text": "All done."}]));
    for file in ["AGENTS.md", "CLAUDE.md"] {
        let files = [("README", "A repository.\n"), (file, "Tabs are for indentation, spaces for alignment.\n")];
        let bench = Bench::new(&plan(&names).to_string(), &config.to_string(), &script.to_string(), &files);
        bench.run(&["--record"]).expect(0);
        let calls = calls(&bench);
        for name in names {
            let mine = calls.iter().filter(|call| call.agent == format!("{name}-1"));
            // opencode asks for a title beside, with nothing but the prompt.
            let told = mine.map(|call| &call.request).find(|request| request.contains("Tabs are for indentation"));
            let told = told.unwrap_or_else(|| panic!("{name} is not told of {file}"));
            assert_eq!(told.matches("Mind the seventh rule.").count(), 1, "{name} and the rules of its role");
        }
    }
}

#[test]
fn five_kinds_of_agents_work_on_one_repository() {
    let names = ["codex", "claude", "opencode", "native", "plain"];
    let script = script(|kind| json!([writes(kind), submits(), {"text": "All done."}]));
    let files = [("README", "A repository to work on.\n")];
    let bench = Bench::new(&plan(&names).to_string(), &config().to_string(), &script.to_string(), &files);
    let ended = bench.run(&["--all", "--record"]).expect(0);
    bench.wait_until_all_processes_are_gone();
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
    // Each one's calls are on its own account, at what the upstream itself counted in its answers.
    let by = view["money"]["by"].as_array().unwrap().iter();
    let booked: BTreeMap<&str, u64> =
        by.map(|by| (by["agent"].as_str().unwrap(), by["cost_micros"].as_u64().unwrap())).collect();
    let counted = calls(&bench).into_iter().fold(BTreeMap::<String, u64>::new(), |mut sums, call| {
        // A dollar for a million tokens in and ten out: so many millionths for each.
        let [input, output] = call.usage();
        *sums.entry(call.agent).or_default() += input + 10 * output;
        sums
    });
    assert_eq!(booked.keys().copied().collect::<Vec<_>>(), ["claude-1", "codex-1", "native-1", "opencode-1"]);
    assert_eq!(booked, counted.iter().map(|(agent, cost)| (agent.as_str(), *cost)).collect());
}

/// The engine is killed while every agent waits for its model in the middle of a turn; the next one takes each conversation up where it was.
#[test]
fn a_killed_engine_loses_no_conversation_and_pays_nothing_twice() {
    let names = ["codex", "claude", "opencode", "native"];
    let bench = Bench::new(
        &plan(&names).to_string(),
        &config().to_string(),
        &script(|kind| {
            let mut think = shell(kind, "true");
            think["latency_ms"] = json!(15_000);
            // Twice: one that takes up a conversation whose last call has no answer puts words of its own into it.
            json!([writes(kind), think, submits(), submits(), {"text": "All done."}])
        })
        .to_string(),
        &[("README", "A repository to work on.\n")],
    );
    let mut running = bench.start_run(&["--all"]);
    let mut written = BTreeSet::new();
    // A file is there when its agent has had its first answer; what it asks next is thought about for long.
    while written.len() < names.len() {
        let line = running.line().expect("the mission ended before it was killed");
        written.extend(
            names
                .into_iter()
                .filter(|name| line.contains(&format!(" {name}: model call: ")) && is_written(&bench, name)),
        );
    }
    running.signal(Signal::KILL);
    running.end();
    bench.resume().expect(0);
    let journal = bench.journal();
    journal.check();
    let counted = ["merged", "session_opened", "attempt_failed"].map(|kind| journal.count(kind));
    assert_eq!(counted, [4, 4, 0], "each goes on in the conversation that it had");
    let readings = Readings::open(&bench.home()).unwrap();
    let calls = readings.calls(&readings.find("last").unwrap()).unwrap();
    let complete = calls.iter().filter(|call| call.call.outcome == "complete");
    let paid: Vec<(&str, &str)> = complete.map(|call| (&*call.call.agent, &*call.call.digest)).collect();
    assert_eq!(paid.iter().collect::<BTreeSet<_>>().len(), paid.len(), "a call was paid twice: {paid:?}");
}

/// Whether an agent's file stands in its workspace.
fn is_written(bench: &Bench, name: &str) -> bool {
    let missions = std::fs::read_dir(bench.home().join("missions")).unwrap().flatten();
    let file = format!("agents/{name}-1/work/{name}.txt");
    missions.into_iter().any(|mission| mission.path().join(&file).exists())
}
