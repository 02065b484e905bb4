//! Missions that are recorded and run again.

use crate::support::{
    Bench, Running,
    server::{Provider, Step},
};
use serde_json::{Value, json};
use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

const KEY: &str = "not-a-real-key-77d0c1";
const PLAN: &str = r#"
goal: Write a note.
tasks:
  - id: note
    role: builder
    instructions: Write done into note.txt.
    checks: [{run: "grep -qx done note.txt", timeout: 60s}]
"#;

#[test]
fn the_demo_ends_with_the_same_tree() {
    let dir = tempfile::Builder::new().prefix("muster-it-").tempdir().unwrap();
    let muster = |args: &[&str]| {
        let mut command = Command::new(crate::support::bench::MUSTER);
        command.args(args).current_dir(dir.path()).env_clear().env("PATH", std::env::var_os("PATH").unwrap());
        command.env("HOME", dir.path()).env("MUSTER_HOME", dir.path().join("home"));
        Running::start(command).end()
    };
    let demo = muster(&["demo", "--dir", "sample-project", "--record", "--json"]).expect(0).json();
    // The script is gone: whatever is answered comes from what was recorded.
    fs::remove_file(dir.path().join("sample-project/script.yaml")).unwrap();
    fs::remove_dir_all(dir.path().join("sample-project/sample")).unwrap();

    let replay = muster(&["replay", "last", "--json"]).expect(0).json();
    assert_eq!(replay["same_tree"], true, "{replay}");
    assert_eq!(replay["requests_not_recorded"], json!([]), "{replay}");
    assert_eq!(replay["calls_recorded"], demo["money"]["calls"], "{replay}");
    let name = replay["replayed"].as_str().unwrap();
    assert!(name.starts_with("replay-"), "{name}");
    let view = muster(&["show", name, "--json"]).expect(0).json();
    assert_eq!(view["money"]["spent_micros"], 0);
    assert_eq!(view["ending"], "done");
}

#[test]
fn a_provider_is_asked_once_and_its_key_is_not_kept() {
    let (provider, bench) = mission();
    bench.run(&["--record"]).expect(0);
    let asked = provider.asked().len();
    assert_eq!(asked, 4);
    let name = bench.show()["name"].as_str().unwrap().to_owned();
    let cassette = bench.home().join("missions").join(&name).join("cassette");
    for (path, bytes) in kept(&cassette) {
        assert!(!bytes.windows(KEY.len()).any(|part| part == KEY.as_bytes()), "the key stands in {}", path.display());
    }

    let replay = bench.muster(&["replay", &name, "--json"]).expect(0).json();
    assert_eq!((&replay["same_tree"], &replay["calls_unasked"]), (&json!(true), &json!(0)), "{replay}");
    assert_eq!(provider.asked().len(), asked, "the provider was asked again");
}

#[test]
fn a_request_that_differs_is_told_with_the_difference() {
    let (_provider, bench) = mission();
    bench.run(&["--record"]).expect(0);
    let name = bench.show()["name"].as_str().unwrap().to_owned();
    let config = format!(
        "upstreams:\n  provider: {{replay: {name}}}\nroles:\n  builder: {{runtime: native, model: test-model}}\n\
         limits: {{attempts_max: 1}}\n"
    );
    bench.write("muster.yaml", &config);
    bench.write("plan.yaml", &PLAN.replace("Write done into", "Write done, please, into"));
    let ended = bench.run(&[]);
    assert_ne!(ended.code, Some(0), "{ended}");
    let said = bench.muster(&["explain", "last"]).expect(0).stdout;
    assert!(ended.stderr.contains("/messages/") && ended.stderr.contains("please"), "{ended}\n{said}");
}

#[test]
fn what_was_not_recorded_or_is_damaged_is_refused() {
    let (_provider, bench) = mission();
    bench.run(&[]).expect(0);
    let refused = bench.muster(&["replay", "last"]).expect(2);
    assert!(refused.stderr.contains("--record"), "{refused}");

    bench.run(&["--record"]).expect(0);
    let name = bench.show()["name"].as_str().unwrap().to_owned();
    let cassette = bench.home().join("missions").join(&name).join("cassette");
    let (path, _) = files(&cassette.join("blobs")).into_iter().next().unwrap();
    fs::write(&path, zstd::encode_all(&b"something else"[..], 3).unwrap()).unwrap();
    let refused = bench.muster(&["replay", &name]).expect(2);
    assert!(refused.stderr.contains(&path.display().to_string()), "{refused}");
}

/// A mission on a provider that writes a file and submits; the agent says its provider's key out loud.
fn mission() -> (Provider, Bench) {
    let provider = Provider::start(vec![
        Step::Call("run_command", json!({"command": format!("echo {KEY}; date; git log -1; mktemp")})),
        Step::Call("write_file", json!({"path": "note.txt", "content": "done\n"})),
        Step::Call("submit_result", json!({"summary": "It is written."})),
        Step::Text("Submitted."),
    ]);
    let config = format!(
        "upstreams:\n  provider: {{format: openai-chat, base_url: \"http://{}/v1\", key_env: TEST_PROVIDER_KEY}}\n\
         roles:\n  builder: {{runtime: native, model: test-model}}\nprices:\n  test-model: {{input: 2.0, output: 8.0}}\n",
        provider.address
    );
    let mut bench = Bench::new(PLAN, &config, "", &[]);
    bench.set_env("TEST_PROVIDER_KEY", KEY);
    (provider, bench)
}

/// Every file of a cassette and what is in it.
fn kept(cassette: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let unpacked = files(cassette).into_iter().map(|(path, bytes)| match path.extension() {
        Some(end) if end == "zst" => (path, zstd::decode_all(&*bytes).unwrap()),
        _ => (path, bytes),
    });
    let unpacked: Vec<_> = unpacked.collect();
    assert!(unpacked.iter().any(|(_, bytes)| serde_json::from_slice::<Value>(bytes).is_ok()), "{unpacked:?}");
    unpacked
}

fn files(dir: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { found.extend(files(&path)) } else { found.push((path.clone(), fs::read(&path).unwrap())) }
    }
    found
}
