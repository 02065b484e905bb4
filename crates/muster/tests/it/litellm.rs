//! A mission through LiteLLM's own proxy, the real one from PyPI: what we book for a call is what it computes for it.

use crate::support::{
    Bench, Running,
    server::{Provider, Step, Tokens},
};
use rustix::process::Signal;
use serde_json::{Value, json};
use std::{
    fs,
    net::TcpListener,
    path::{Path, PathBuf},
    process::Command,
};

const MASTER_KEY: &str = "sk-of-this-test-alone";
const PLAN: &str = r#"
goal: Write a note.
tasks:
  - id: note
    role: builder
    instructions: Write done into note.txt.
    checks: [{run: "grep -qx done note.txt", timeout: 60s}]
"#;

/// Models whose prices have every part that can differ: cached input, and costs that are no whole micro-dollars.
const MODELS: [&str; 3] = ["gpt-5", "gpt-4o-mini", "gpt-4.1-nano"];

#[test]
fn costs_are_those_of_litellm_to_the_micro_dollar() {
    let provider = Provider::billing(steps(), |turn| Tokens {
        input: 1037 + 211 * turn as u64,
        cached: 512 * (turn as u64 % 3),
        output: 33 + 7 * turn as u64,
    });
    let proxy = LiteLlm::start(&provider);
    for model in MODELS {
        let before = calls(&provider);
        let config = format!(
            "upstreams:\n  litellm: {{format: openai-chat, base_url: \"{}/v1\", key_env: LITELLM_KEY}}\n\
             roles:\n  builder: {{runtime: native, model: {model}}}\nrecord: true\n",
            proxy.url
        );
        let mut bench = Bench::new(PLAN, &config, "", &[]);
        bench.set_env("LITELLM_KEY", MASTER_KEY);
        bench.run(&[]).expect(0);
        assert_eq!(calls(&provider) - before, steps().len(), "every call came through LiteLLM to its upstream");
        let theirs = litellms_costs(&bench);
        assert_eq!(theirs.len(), steps().len());
        assert_eq!(our_costs(&bench), theirs, "{model}");
        assert!(theirs.iter().all(|micros| *micros > 0));
    }
}

/// LiteLLM asks its upstreams for their models, too.
fn calls(provider: &Provider) -> usize {
    provider.asked().iter().filter(|asked| asked.path == "/v1/chat/completions").count()
}

fn steps() -> Vec<Step> {
    vec![
        Step::Call("list_files", json!({})),
        Step::Call("write_file", json!({"path": "note.txt", "content": "done\n"})),
        Step::Call("submit_result", json!({"summary": "It is written."})),
        Step::Text("Submitted."),
    ]
}

/// What we booked for each call, in micro-dollars, in order.
fn our_costs(bench: &Bench) -> Vec<u64> {
    let facts = bench.muster(&["tail", "last", "--json", "--no-follow"]).expect(0).stdout;
    let costs = facts.lines().filter_map(|line| {
        let fact: Value = serde_json::from_str(line).unwrap();
        found(&fact, "usage")?["cost"].as_u64()
    });
    costs.collect()
}

/// The value of the first field of this name, however deep.
fn found<'a>(value: &'a Value, name: &str) -> Option<&'a Value> {
    let fields = value.as_object()?;
    fields.get(name).or_else(|| fields.values().find_map(|value| found(value, name)))
}

/// What LiteLLM computed for each call: with `include_cost_in_streaming_usage` it says so in the usage of the stream, which
/// our cassette has kept. It is a float in dollars; we round up to whole micro-dollars, so what is below a thousandth of
/// one is the float's own error.
fn litellms_costs(bench: &Bench) -> Vec<u64> {
    let name = bench.show()["name"].as_str().unwrap().to_owned();
    let cassette = bench.home().join("missions").join(name).join("cassette");
    let takes = fs::read_to_string(cassette.join("takes.jsonl")).unwrap();
    let costs = takes.lines().map(|take| {
        let take: Value = serde_json::from_str(take).unwrap();
        let answer = take["answer"].as_str().unwrap();
        let answer = fs::read(cassette.join("blobs").join(&answer[..2]).join(format!("{answer}.zst"))).unwrap();
        let answer = String::from_utf8(zstd::decode_all(&*answer).unwrap()).unwrap();
        let events = answer.lines().filter_map(|line| serde_json::from_str::<Value>(line.strip_prefix("data: ")?).ok());
        let dollars = events.filter_map(|event| event["usage"]["cost"].as_f64()).next_back();
        (dollars.unwrap_or_else(|| panic!("LiteLLM says no cost: {answer}")) * 1e6 - 1e-3).ceil() as u64
    });
    costs.collect()
}

/// LiteLLM's proxy. Dropping it ends it.
struct LiteLlm {
    url: String,
    _process: Running,
    _dir: tempfile::TempDir,
}

impl LiteLlm {
    fn start(provider: &Provider) -> LiteLlm {
        let dir = tempfile::Builder::new().prefix("muster-litellm-").tempdir().unwrap();
        fs::write(dir.path().join("config.yaml"), config(provider)).unwrap();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let mut command = Command::new(program());
        command.args(["--config", "config.yaml", "--host", "127.0.0.1", "--port", &port.to_string()]);
        command.args(["--num_workers", "1", "--telemetry", "False"]).current_dir(dir.path()).env_clear();
        command.env("PATH", std::env::var_os("PATH").unwrap()).env("HOME", dir.path()).env("PYTHONUNBUFFERED", "1");
        // Its own table of prices and not one from the network.
        command.env("LITELLM_LOCAL_MODEL_COST_MAP", "True").env("DISABLE_ADMIN_UI", "True");
        let mut process = Running::start(command);
        process.wait_for("Uvicorn running on");
        LiteLlm { url: format!("http://127.0.0.1:{port}"), _process: process, _dir: dir }
    }
}

impl Drop for LiteLlm {
    fn drop(&mut self) {
        self._process.signal(Signal::KILL);
    }
}

fn config(provider: &Provider) -> String {
    let models = MODELS.map(|model| {
        format!(
            "  - model_name: {model}\n    litellm_params: {{model: openai/{model}, api_base: \"http://{}/v1\", api_key: k}}\n",
            provider.address
        )
    });
    format!(
        "model_list:\n{}litellm_settings: {{drop_params: true, num_retries: 0, include_cost_in_streaming_usage: true}}\n\
         general_settings: {{master_key: {MASTER_KEY}}}\n",
        models.concat()
    )
}

/// The program that `scripts/litellm.sh` installs.
fn program() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let dir = std::env::var_os("MUSTER_LITELLM").map_or_else(|| root.join("target/litellm"), PathBuf::from);
    let program = dir.join("venv/bin/litellm");
    assert!(
        program.exists(),
        "LiteLLM's proxy is not at {}; install it with scripts/litellm.sh (MUSTER_LITELLM=DIR says where)",
        program.display()
    );
    program
}
