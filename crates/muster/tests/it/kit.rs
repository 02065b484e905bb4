//! The conformance kit: the example workers and our own agent pass it, and each broken worker fails the rule that it breaks.

use crate::{
    real_agents::installed,
    support::{Running, bench::MUSTER, child::Ended},
};
use serde_json::Value;
use std::{
    path::{Path, PathBuf},
    process::Command,
};

fn example(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/workers").join(name).canonicalize().unwrap()
}

fn check(args: &[&str]) -> Ended {
    let dir = tempfile::tempdir().unwrap();
    let mut command = Command::new(MUSTER);
    command.current_dir(dir.path()).env("MUSTER_HOME", dir.path().join("home")).env("TMPDIR", dir.path());
    command.args(["agents", "check", "--json"]).args(args);
    Running::start(command).end()
}

/// The rules that do not hold, each with what is wrong.
fn broken(ended: &Ended) -> Vec<(String, String)> {
    let verdicts = ended.json();
    let verdicts = verdicts.as_array().unwrap().iter();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    verdicts
        .filter(|verdict| !verdict["problem"].is_null())
        .map(|verdict| (text(&verdict["rule"]), text(&verdict["problem"])))
        .collect()
}

#[track_caller]
fn passes(args: &[&str]) {
    let ended = check(args);
    assert_eq!((broken(&ended), ended.code), (vec![], Some(0)), "{ended}");
}

#[test]
fn the_example_workers_pass() {
    passes(&[example("python/worker.py").to_str().unwrap()]);
    passes(&[example("node/worker.mjs").to_str().unwrap()]);
    let built = Path::new(MUSTER).with_file_name("example-worker");
    assert!(built.exists(), "there is no {}; build it: cargo build -p example-worker", built.display());
    passes(&[built.to_str().unwrap()]);
}

#[test]
fn our_own_agent_passes_as_a_stranger() {
    passes(&["--", MUSTER, "__native"]);
}

#[test]
fn the_vendors_programs_pass() {
    let agents = installed().join("node_modules");
    let codex = agents.join("@openai/codex-linux-x64/vendor/x86_64-unknown-linux-musl/bin/codex");
    passes(&["--runtime", "codex", codex.to_str().unwrap()]);
    let claude = agents.join("@anthropic-ai/claude-code/bin/claude.exe");
    passes(&["--runtime", "claude", claude.to_str().unwrap()]);
}

/// A stand-in for the Cursor CLI: it opens no session before `authenticate` has named `cursor_login`, as its documentation says.
#[test]
fn a_program_that_wants_a_login_first_passes_as_cursor() {
    let login = "elif method == \"authenticate\":\n            self.login = params.get(\"methodId\")\n            self.send({\"id\": id, \"result\": {}})\n        \
                 elif method == \"session/new\" and getattr(self, \"login\", None) != \"cursor_login\":\n            \
                 self.send({\"id\": id, \"error\": {\"code\": -32000, \"message\": \"Authentication required\"}})\n        elif method == \"session/new\":";
    let (_dir, worker) = rewritten("elif method == \"session/new\":", login);
    passes(&["--runtime", "cursor", &worker]);
    let ended = check(&[&worker]);
    assert!(
        broken(&ended).iter().any(|(rule, why)| rule == "turn" && why.contains("Authentication required")),
        "{ended}"
    );
}

/// The Python worker with one thing changed.
fn rewritten(from: &str, to: &str) -> (tempfile::TempDir, String) {
    let worker = std::fs::read_to_string(example("python/worker.py")).unwrap();
    assert_eq!(worker.matches(from).count(), 1, "{from}");
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("worker.py");
    std::fs::write(&path, worker.replace(from, to)).unwrap();
    std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let path = path.to_str().unwrap().to_owned();
    (dir, path)
}

/// The rules that it does not keep any more.
fn changed(from: &str, to: &str) -> Vec<(String, String)> {
    let (_dir, worker) = rewritten(from, to);
    let ended = check(&[&worker]);
    assert_eq!(ended.code, Some(1), "{ended}");
    broken(&ended)
}

#[track_caller]
fn fails(from: &str, to: &str, rule: &str, words: &str) {
    let broken = changed(from, to);
    let found = broken
        .iter()
        .find(|(known, _)| known == rule)
        .unwrap_or_else(|| panic!("{rule} holds; these do not: {broken:?}"));
    assert!(found.1.contains(words), "{broken:?}");
}

#[test]
fn a_worker_of_another_version_does_not_start() {
    let broken = changed(r#""protocolVersion": 1"#, r#""protocolVersion": 2"#);
    assert_eq!(broken[0].0, "start");
    assert!(broken[0].1.contains("version 2 of the protocol"), "{broken:?}");
    assert!(broken[1].1.contains("could not be tried"), "{broken:?}");
}

#[test]
fn a_worker_that_ends_its_turn_for_no_known_reason() {
    fails(r#""end_turn""#, r#""finished""#, "turn", "unknown stopReason");
}

#[test]
fn a_worker_that_prints() {
    fails(
        "        self.ctx.stream(\"I have read the task.\")",
        "        print('I have read the task.', flush=True)",
        "stream",
        "nothing else on standard output",
    );
}

#[test]
fn a_worker_that_claims_nothing() {
    fails("if summary and not", "if False and not", "tools", "submit_result was not called");
}

#[test]
fn a_worker_that_cannot_be_stopped() {
    fails(
        "elif method == \"session/cancel\":\n            self.ctx.cancelled.set()",
        "elif method == \"session/cancel\":\n            pass",
        "cancel",
        "stop reason `cancelled`",
    );
}

#[test]
fn a_worker_that_forgets() {
    fails(
        "if not (self.folder / os.path.basename(params[\"sessionId\"])).exists():",
        "if True:",
        "resume",
        "a new session was begun",
    );
}

#[test]
fn a_worker_that_falls_over_a_bad_line() {
    fails("except (ValueError, AttributeError):", "except KeyError:", "garbage", "it ended");
}

/// What lies beside a program is not shown to it: a folder of programs may be a person's home.
#[test]
fn a_worker_sees_nothing_of_its_folder() {
    let begins = "        self.ctx.stream(\"I have read the task.\")";
    let looks =
        format!("        assert not os.path.exists(os.path.join(os.path.dirname(__file__), 'neighbour'))\n{begins}");
    let (dir, worker) = rewritten(begins, &looks);
    let neighbour = dir.path().join("neighbour");
    std::fs::write(&neighbour, "not yours").unwrap();
    passes(&[&worker]);
    // The look itself works: what is shown on purpose is seen.
    let ended = check(&["--show", neighbour.to_str().unwrap(), &worker]);
    assert!(broken(&ended).iter().any(|(rule, _)| rule == "turn"), "{ended}");
}

#[test]
fn an_agent_that_is_not_there() {
    let ended = check(&["./no/such/worker"]);
    assert_eq!(ended.code, Some(2), "{ended}");
    assert!(ended.stderr.contains("there is no such program"), "{ended}");
}
