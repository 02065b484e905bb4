//! Missions on models behind HTTP, in the two wire formats: what is sent, what it costs, and where the key does not go.

use crate::support::{
    Bench,
    server::{Provider, Step},
};
use serde_json::json;
use std::path::{Path, PathBuf};

const KEY: &str = "not-a-real-key-0f3c9a";
const PLAN: &str = r#"
goal: Write a note.
tasks:
  - id: note
    role: builder
    instructions: Write done into note.txt.
    checks: [{run: "grep -qx done note.txt", timeout: 60s}]
"#;

#[test]
fn openai_compatible() {
    let (provider, bench) = mission("openai-chat", "/v1");
    is_done(&provider, &bench);
    for asked in &provider.asked() {
        assert_eq!(
            (asked.path.as_str(), asked.header("authorization")),
            ("/v1/chat/completions", Some(&*format!("Bearer {KEY}")))
        );
    }
}

#[test]
fn anthropic() {
    let (provider, bench) = mission("anthropic", "");
    is_done(&provider, &bench);
    for asked in &provider.asked() {
        assert_eq!((asked.path.as_str(), asked.header("x-api-key")), ("/v1/messages", Some(KEY)));
        assert_eq!(asked.header("authorization"), None, "{asked:?}");
    }
}

#[test]
fn a_key_that_a_program_prints() {
    let (provider, bench) = mission_with("openai-chat", "/v1", "key_command: [cat, key.txt]");
    bench.write("key.txt", &format!("{KEY}\n"));
    is_done(&provider, &bench);
    assert_eq!(provider.asked()[0].header("authorization"), Some(&*format!("Bearer {KEY}")));
    // The same file would be refused if it had come with the repository.
    std::fs::copy(bench.path("muster.yaml"), bench.path("repo/muster.yaml")).unwrap();
    let refused = bench.muster(&["run", "--plan", "plan.yaml", "--repo", "repo"]).expect(2);
    assert!(
        refused.stderr.contains("outside any sandbox") && refused.stderr.contains(".config/muster/config.yaml"),
        "{}",
        refused.stderr
    );
    // One that fails ends the run before it begins, without what it printed.
    bench.write(
        "muster.yaml",
        &config(&provider, "openai-chat", "/v1", "key_command: [sh, -c, 'cat key.txt; echo locked >&2; exit 1']"),
    );
    let refused = bench.run(&[]).expect(2);
    assert!(refused.stderr.contains("locked") && !refused.stderr.contains(KEY), "{}", refused.stderr);
}

#[test]
fn a_rate_limit_is_a_state_and_no_failure() {
    let bench = crate::scenario::LIMITED.bench();
    let ended = bench.run(&[]).expect(0);
    // How long is left of the two seconds when it is told depends on the machine.
    assert!(ended.stderr.contains("the provider takes no more calls for "), "{}", ended.stderr);
    let journal = bench.journal();
    journal.check();
    let counted = ["attempt_limited", "attempt_released", "attempt_failed", "merged"].map(|kind| journal.count(kind));
    assert_eq!(counted, [1, 1, 0, 1]);
    let explained = bench.muster(&["explain", "last"]).expect(0).stdout;
    assert!(explained.contains("until its limit is reset"), "{explained}");
}

/// A mission whose agent looks at its environment, writes the file and submits.
fn mission(format: &str, path: &str) -> (Provider, Bench) {
    mission_with(format, path, "key_env: TEST_PROVIDER_KEY")
}

fn mission_with(format: &str, path: &str, key: &str) -> (Provider, Bench) {
    let provider = Provider::start(vec![
        Step::Call("run_command", json!({"command": "env; cat /proc/1/environ /proc/self/environ | tr '\\0' '\\n'"})),
        Step::Call("write_file", json!({"path": "note.txt", "content": "done\n"})),
        Step::Call("submit_result", json!({"summary": "It is written."})),
        Step::Text("Submitted."),
    ]);
    let mut bench = Bench::new(PLAN, &config(&provider, format, path, key), "", &[]);
    if key.starts_with("key_env") {
        bench.set_env("TEST_PROVIDER_KEY", KEY);
    }
    (provider, bench)
}

fn config(provider: &Provider, format: &str, path: &str, key: &str) -> String {
    format!(
        "upstreams:\n  provider: {{format: {format}, base_url: \"http://{}{path}\", {key}}}\n\
         roles:\n  builder: {{runtime: native, model: test-model}}\nprices:\n  test-model: {{input: 2.0, output: 8.0}}\n",
        provider.address
    )
}

fn is_done(provider: &Provider, bench: &Bench) {
    let view = bench.run(&[]).expect(0).json();
    let asked = provider.asked();
    assert_eq!(asked.len(), 4, "one request for each step");
    assert_eq!(view["money"]["calls"], 4);
    // 100 tokens in at $2 and 10 out at $8 for a million, in millionths of a dollar
    assert_eq!(view["money"]["spent_micros"], 4 * (200 + 80));
    let second = asked[1].body.to_string();
    assert!(second.contains("HOME="), "the agent saw its environment: {second}");
    assert!(!second.contains(KEY), "the provider's key is in the agent's environment");
    assert!(!second.contains("TEST_PROVIDER_KEY"), "the name of the variable is in the agent's environment");
    let holding = files_with(&bench.home(), KEY.as_bytes());
    assert!(holding.is_empty(), "the key stands in {holding:?}");
}

/// Every file below this folder that holds these bytes.
pub fn files_with(dir: &Path, bytes: &[u8]) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        let kind = path.symlink_metadata().unwrap();
        if kind.is_dir() {
            found.extend(files_with(&path, bytes));
        } else if kind.is_file() && std::fs::read(&path).unwrap().windows(bytes.len()).any(|window| window == bytes) {
            found.push(path);
        }
    }
    found
}
