//! Agents that never end, on a budget: what is booked never passes it, a person is asked once, and with their yes it goes on where it was.
//! Our own agent, and the real Codex and Claude Code by their ACP adapters.

use crate::{
    real_agents::installed,
    support::{
        Bench, evidence,
        server::{Provider, Step, Tokens},
    },
};
use engine::view::Readings;
use serde_json::{Value, json};
use std::collections::BTreeSet;

const AGENTS: usize = 8;
const CAP_MICROS: u64 = 1_000_000;

/// One kind of agent, and a model that has it do the same for ever.
struct Kind {
    name: &'static str,
    format: &'static str,
    path: &'static str,
    step: fn() -> Step,
    used: Tokens,
    /// Dollars for a million tokens, in and out.
    price: [u64; 2],
    /// The role's own lines of the configuration.
    role: fn() -> String,
}

impl Kind {
    /// What one call costs, in micro-dollars.
    fn call_micros(&self) -> u64 {
        self.used.input * self.price[0] + self.used.output * self.price[1]
    }

    fn config(&self, provider: &Provider) -> String {
        let [input, output] = self.price;
        format!(
            "upstreams: {{provider: {{format: {}, base_url: \"http://{}{}\"}}}}\nroles:\n  builder:\n    model: test-model\n    \
             count: {AGENTS}\n    context_tokens: 32000\n    output_tokens: 100\n{}\
             budget: {{usd: 1.00}}\nprices: {{test-model: {{input: {input}, output: {output}}}}}\n",
            self.format,
            provider.address,
            self.path,
            (self.role)()
        )
    }
}

const NATIVE: Kind = Kind {
    name: "native agents",
    format: "openai-chat",
    path: "/v1",
    step: || Step::Call("list_files", json!({"path": "."})),
    used: Tokens { input: 1_000, cached: 0, output: 20 },
    price: [10, 50],
    role: || "    runtime: native\n".to_owned(),
};

const CODEX: Kind = Kind {
    name: "sessions of Codex",
    format: "openai-responses",
    path: "/v1",
    step: || Step::Call("exec_command", json!({"cmd": "true"})),
    used: Tokens { input: 15_000, cached: 0, output: 20 },
    price: [1, 5],
    role: || {
        adapter(
            "mkdir -p $HOME/.codex && printf '%s' \"$CONFIG\" > $HOME/.codex/config.toml && exec $NODE $ADAPTERS/codex-acp/dist/index.js",
            &[
                (
                    "CODEX_PATH",
                    "/opt/agents/node_modules/@openai/codex-linux-x64/vendor/x86_64-unknown-linux-musl/bin/codex",
                ),
                ("CONFIG", CODEX_CONFIG),
            ],
        )
    },
};

pub const CODEX_CONFIG: &str = r#"
model = "test-model"
model_provider = "muster"
approval_policy = "never"
sandbox_mode = "danger-full-access"
check_for_update_on_startup = false
[model_providers.muster]
name = "muster"
base_url = "http://127.0.0.1:3128/v1"
env_key = "OPENAI_API_KEY"
wire_api = "responses"
request_max_retries = 2
stream_max_retries = 2
[analytics]
enabled = false
[features]
plugins = false
unbounded_connection_retries = false
"#;

const CLAUDE: Kind = Kind {
    name: "sessions of Claude Code",
    format: "anthropic",
    path: "",
    step: || Step::Call("Bash", json!({"command": "true", "description": "does nothing"})),
    used: Tokens { input: 15_000, cached: 0, output: 20 },
    price: [1, 5],
    role: || {
        let off = [
            "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC",
            "DISABLE_AUTOUPDATER",
            "DISABLE_TELEMETRY",
            "DISABLE_ERROR_REPORTING",
            "CLAUDE_CODE_MAX_RETRIES",
        ];
        let env: Vec<_> = off.map(|name| (name, "1")).into();
        adapter("export ANTHROPIC_MODEL=$MUSTER_MODEL && exec $NODE $ADAPTERS/claude-agent-acp/dist/index.js", &env)
    },
};

/// A role that runs an adapter of those that `scripts/agents.sh` installs.
fn adapter(script: &str, env: &[(&str, &str)]) -> String {
    let own = [
        ("NODE", "/opt/agents/node_modules/node/bin/node"),
        ("ADAPTERS", "/opt/agents/node_modules/@agentclientprotocol"),
    ];
    let env: serde_json::Map<String, Value> =
        own.iter().chain(env).map(|(name, value)| ((*name).to_owned(), (*value).into())).collect();
    let command = json!(["sh", "-c", script]);
    let files = json!({"execute": [{"host": installed(), "inside": "/opt/agents"}]});
    format!(
        "    runtime: acp\n    command: {command}\n    sandbox: {{preset: agent-cli, files: {files}, env: {}}}\n",
        Value::Object(env)
    )
}

#[test]
fn native_agents_stop_at_the_cap() {
    runs(&NATIVE, evidence::number("MUSTER_CAP_RUNS", 2));
}

#[test]
fn codex_stops_at_the_cap() {
    runs(&CODEX, evidence::number("MUSTER_CAP_RUNS_CODEX", 1));
}

#[test]
fn claude_code_stops_at_the_cap() {
    runs(&CLAUDE, evidence::number("MUSTER_CAP_RUNS_CLAUDE", 1));
}

fn runs(kind: &Kind, runs: u64) {
    let spent: Vec<u64> = (1..=runs).map(|run| one_run(kind, run)).collect();
    let (least, most) = (spent.iter().min().unwrap(), spent.iter().max().unwrap());
    println!(
        "{runs} runs of {AGENTS} {}: booked {least} to {most} micro-dollars of {CAP_MICROS}, no call paid twice",
        kind.name
    );
}

/// A mission up to its cap, a yes, and up to twice the cap; what was booked at the first.
fn one_run(kind: &Kind, run: u64) -> u64 {
    let used = kind.used;
    let provider = Provider::looping((kind.step)(), move |_| used);
    let bench = Bench::new(&plan(), &kind.config(&provider), "", &[("README.md", "Nothing to see.\n")]);
    let asker = |cap| Asked { kind, bench: &bench, provider: &provider, cap, run };
    let first = asker(CAP_MICROS).judge(&bench.run(&[]).expect(3).json());
    let id = bench.show()["interrupts"][0]["id"].as_str().unwrap().to_owned();
    bench.muster(&["answer", &id, "--approve"]).expect(0);
    let second = asker(2 * CAP_MICROS).judge(&bench.resume().expect(3).json());
    assert!(second > first, "run {run}: nothing was done with what was allowed");
    println!("run {run}: {first} micro-dollars, then {second}");
    first
}

/// A mission that waits for a person to allow more.
struct Asked<'a> {
    kind: &'a Kind,
    bench: &'a Bench,
    provider: &'a Provider,
    cap: u64,
    run: u64,
}

impl Asked<'_> {
    /// What was booked is what the provider was asked for, once each, and within the cap.
    #[track_caller]
    fn judge(&self, view: &Value) -> u64 {
        let Self { kind, cap, run, .. } = self;
        let open = view["interrupts"].as_array().unwrap();
        assert_eq!((open.len(), &open[0]["kind"]), (1, &"budget".into()), "run {run}: {view}");
        let readings = Readings::open(&self.bench.home()).unwrap();
        let calls = readings.calls(&readings.find("last").unwrap()).unwrap();
        let booked: u64 = calls.iter().map(|call| call.call.cost_micros.expect("a price is known")).sum();
        let asked: Vec<_> =
            self.provider.asked().into_iter().filter(|asked| asked.body["model"] == "test-model").collect();
        // Claude Code's own look whether the model is there is the same each time that it starts.
        let turns: Vec<String> =
            asked.iter().filter(|asked| asked.body["max_tokens"] != 1).map(|asked| asked.body.to_string()).collect();
        assert_eq!(turns.iter().collect::<BTreeSet<_>>().len(), turns.len(), "run {run}: a call was paid twice");
        assert_eq!((calls.len(), booked), (asked.len(), asked.len() as u64 * kind.call_micros()), "run {run}: {view}");
        assert!(booked <= *cap, "run {run}: {booked} micro-dollars were booked of {cap}");
        assert_eq!(view["money"]["spent_micros"], booked, "run {run}");
        booked
    }
}

fn plan() -> String {
    let task = |number| {
        format!(
            "  - {{id: t{number}, role: builder, instructions: Look around {number}., checks: [{{run: 'true'}}]}}\n"
        )
    };
    format!("goal: Look for ever.\ntasks:\n{}", (1..=AGENTS).map(task).collect::<String>())
}
