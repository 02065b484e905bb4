//! Agents modelled in the adapter's process carry out a whole mission, as sandboxed ones do.
#![cfg(feature = "modelled")]
#![allow(clippy::unwrap_used, reason = "a test may end at what it did not expect")]

use serde_json::Value;
use std::process::Command;

const SCRIPT: &str = r#"
version: 1
model: mock
replies:
  - steps:
      - calls: [{tool: calc, args: {a: 3, b: 4}}]
      - calls: [{tool: calc, args: {a: 7, b: 4}}]
      - text: The specialist is done.
"#;

#[test]
fn five_modelled_agents_do_their_tasks() {
    let state = tempfile::tempdir().unwrap();
    let script = state.path().join("script.yaml");
    std::fs::write(&script, SCRIPT).unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_bench-adapter"))
        .args(["--workload", "w1", "--n", "5", "--modelled", "--base-url"])
        .arg(format!("scripted:{}", script.display()))
        .arg("--state-dir")
        .arg(state.path())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    let line = |word: &str| -> Value {
        serde_json::from_str(said.lines().find_map(|l| l.strip_prefix(word)).unwrap()).unwrap()
    };
    assert_eq!(line("RESULT ")["model_turns"], 15);
    assert!(line("EXTRA ")["modelled_agents_cpu_s"].as_f64().is_some_and(|spent| spent > 0.0), "{said}");
}
