//! What we and Codex say to each other, against the schema that this version of Codex generates of itself; and that schema, as far as we rely on it,
//! against the one that is pinned. A new version of Codex whose protocol differs fails here first.

use crate::real_agents::installed;
use bridge::{
    codex::Conversation,
    talk::{Opening, Out, Server, Talk},
};
use expect_test::expect_file;
use serde_json::{Value, json};
use std::{collections::BTreeMap, fs, path::Path, process::Command};

const RECORDING: &str = include_str!("../../../bridge/tests/it/recordings/codex-0.169.0-done.jsonl");
/// What we read of Codex's own notifications.
const NOTIFICATIONS: [&str; 9] = [
    "error",
    "item/agentMessage/delta",
    "item/completed",
    "item/reasoning/summaryTextDelta",
    "item/reasoning/textDelta",
    "item/started",
    "thread/tokenUsage/updated",
    "turn/completed",
    "turn/started",
];

/// The schemas by the names of their files, as the program writes them.
fn generated(dir: &Path) -> BTreeMap<String, Value> {
    let program = installed().join("node_modules/@openai/codex-linux-x64/vendor/x86_64-unknown-linux-musl/bin/codex");
    let out = dir.join("schema");
    let mut command = Command::new(program);
    command.args(["app-server", "generate-json-schema", "--experimental", "--out"]).arg(&out);
    let ended = command.env("CODEX_HOME", dir).output().unwrap();
    assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
    let files = fs::read_dir(&out).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_file());
    let named = |path: std::path::PathBuf| {
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        (name, serde_json::from_slice(&fs::read(&path).unwrap()).unwrap())
    };
    files.map(named).collect()
}

/// Everything that a conversation of ours writes while this recording is played to it.
fn written() -> Vec<Value> {
    let headers = vec![("Authorization".to_owned(), "Bearer a-token".to_owned())];
    let servers = vec![Server { name: "muster".into(), url: "http://127.0.0.1:3128/mcp".into(), headers }];
    let opening = Opening { session: "ours".into(), cwd: "/workspace".into(), servers, ..Opening::default() };
    let mut talk = Conversation::new(opening, "scripted-1".into());
    let mut waiting = talk.open();
    let (mut lines, mut written) = (RECORDING.lines(), Vec::new());
    loop {
        for out in std::mem::take(&mut waiting) {
            match out {
                Out::Write(line) => written.push(serde_json::from_str(&line).unwrap()),
                Out::Opened(_) => waiting.extend(talk.prompt("go")),
                Out::Update(update) if update["sessionUpdate"] == "tool_call" => waiting.extend(talk.cancel()),
                _ => {}
            }
        }
        if waiting.is_empty() {
            match lines.next() {
                Some(line) => waiting = talk.line(line.as_bytes()),
                None => return written,
            }
        }
    }
}

/// Each variant of a union of messages by its method, with what its parameters have and need.
fn methods(schema: &Value) -> BTreeMap<String, Value> {
    let variants = schema["oneOf"].as_array().unwrap().iter();
    let pinned = variants.filter_map(|variant| {
        let method = variant.pointer("/properties/method/enum/0")?.as_str()?.to_owned();
        let params = variant.pointer("/properties/params/$ref").and_then(Value::as_str);
        let params = params.and_then(|path| schema.pointer(path.strip_prefix('#')?)).cloned().unwrap_or_default();
        let names: Vec<&String> =
            params["properties"].as_object().into_iter().flatten().map(|(name, _)| name).collect();
        Some((method, json!({"has": names, "needs": params["required"]})))
    });
    pinned.collect()
}

#[test]
fn what_is_said_to_codex_and_by_it_is_in_its_schema() {
    let dir = tempfile::tempdir().unwrap();
    let schemas = generated(dir.path());
    let is = |name: &str, message: &Value| {
        jsonschema::validator_for(&schemas[name]).unwrap().validate(message).map_err(|error| error.to_string())
    };
    let said = written();
    let methods_said: Vec<&str> = said.iter().filter_map(|message| message["method"].as_str()).collect();
    for method in [
        "initialize",
        "initialized",
        "thread/start",
        "turn/start",
        "turn/interrupt",
        "thread/backgroundTerminals/clean",
    ] {
        assert!(methods_said.contains(&method), "{method} is not said: {methods_said:?}");
    }
    for message in &said {
        let kind = if message.get("id").is_some() { "ClientRequest" } else { "ClientNotification" };
        is(kind, message).unwrap_or_else(|error| panic!("{error}: {message}"));
    }
    for line in RECORDING.lines() {
        let mut message: Value = serde_json::from_str(line).unwrap();
        // What we do not read was shortened in the recording.
        if message["method"].as_str().is_some_and(|method| NOTIFICATIONS.contains(&method)) {
            // Not in the schema, and on every notification.
            message.as_object_mut().unwrap().remove("emittedAtMs");
            is("ServerNotification", &message).unwrap_or_else(|error| panic!("{error}: {message}"));
        }
    }

    let asks = methods(&schemas["ServerRequest"]);
    let pinned = json!({
        "to_codex": methods(&schemas["ClientRequest"]).into_iter().filter(|(name, _)| methods_said.contains(&name.as_str()) || name == "thread/resume").collect::<BTreeMap<_, _>>(),
        "from_codex": methods(&schemas["ServerNotification"]).into_iter().filter(|(name, _)| NOTIFICATIONS.contains(&name.as_str())).collect::<BTreeMap<_, _>>(),
        "asks": asks.into_iter().filter(|(name, _)| name.ends_with("/requestApproval")).collect::<BTreeMap<_, _>>(),
    });
    expect_file!["../../../bridge/tests/it/recordings/codex-0.169.0-schema.json"]
        .assert_eq(&format!("{}\n", serde_json::to_string_pretty(&pinned).unwrap()));
}
