//! The decoder on recordings and on noise.

use agents::acp::decode::{Incoming, decode};
use expect_test::{Expect, expect};
use proptest::prelude::*;

#[test]
fn opencode() {
    check(
        include_str!("../../fixtures/opencode.txt"),
        expect![[r#"
            answer to 1, ok: true
            answer to 2, ok: true
            ses Other { what: "available_commands_update" }
            ses ToolCall { call: "call_1", title: "bash", kind: "execute", status: "pending", input: "{}", output: "" }
            permission 0 ses "bash: echo hi > out.txt": once=AllowOnce always=AllowAlways reject=RejectOnce
            ses ToolProgress { call: "call_1", title: "bash", status: "in_progress", input: "{\"command\":\"echo hi > out.txt\",\"description\":\"write\"}", output: "" }
            ses ToolProgress { call: "call_1", title: "write", status: "completed", input: "", output: "(no output)" }
            ses Thought { text: "Now I am done." }
            ses Text { text: "all " }
            ses Text { text: "done" }
            ses Context { used: 1050, size: 200000, cost: Some(Cost { amount: 0.0018, currency: "USD" }) }
            answer to 3, ok: true"#]],
    );
}

#[test]
fn claude() {
    check(
        include_str!("../../fixtures/claude.txt"),
        expect![[r#"
            answer to 1, ok: true
            answer to 2, ok: true
            0c5 Plan { entries: [PlanEntry { content: "write the file", status: "in_progress" }, PlanEntry { content: "run the tests", status: "pending" }] }
            0c5 ToolCall { call: "toolu_01", title: "Write out.txt", kind: "edit", status: "pending", input: "{\"file_path\":\"/work/out.txt\",\"content\":\"hi\\n\"}", output: "[diff of /work/out.txt]" }
            permission 0 0c5 "Write out.txt: /work/out.txt": allow_always=AllowAlways allow-once=AllowOnce reject=RejectOnce
            0c5 ToolProgress { call: "toolu_01", title: "", status: "completed", input: "", output: "File created successfully at: /work/out.txt" }
            0c5 Text { text: "I wrote it." }
            0c5 Context { used: 2100, size: 200000, cost: Some(Cost { amount: 0.0123, currency: "USD" }) }
            answer to 3, ok: true"#]],
    );
}

#[test]
fn codex() {
    check(
        include_str!("../../fixtures/codex.txt"),
        expect![[r#"
        answer to 1, ok: true
        answer to 2, ok: true
        01a Other { what: "session_info_update" }
        01a ToolCall { call: "call_1", title: "echo hi > out.txt", kind: "execute", status: "in_progress", input: "{\"command\":\"/bin/bash -lc 'echo hi > out.txt'\",\"cwd\":\"/work\"}", output: "[terminal]" }
        01a ToolProgress { call: "call_1", title: "", status: "completed", input: "", output: "{\"formatted_output\":\"\",\"exit_code\":0}" }
        01a Text { text: "unexpected status 400 Bad Request" }
        answer to 3, ok: true"#]],
    );
}

#[test]
fn gemini() {
    check(
        include_str!("../../fixtures/gemini.txt"),
        expect![[r#"
        answer to 1, ok: true
        answer to 2, ok: true
        answer to 3, ok: true
        permission 0 702 "echo hi > out.txt": proceed_always=AllowAlways proceed_once=AllowOnce cancel=RejectOnce
        702 ToolProgress { call: "run_shell_command-1", title: "echo hi > out.txt", status: "completed", input: "", output: "Exit Code: 0" }
        702 Thought { text: "**Done**" }
        702 Text { text: "It is written." }
        answer to 4, ok: true"#]],
    );
}

#[test]
fn strange_messages() {
    one(
        r#"{"jsonrpc":"2.0","method":"session/update"}"#,
        expect![[r#"Unusable { id: None, method: "session/update", why: "there is no sessionId" }"#]],
    );
    one(
        r#"{"jsonrpc":"2.0","method":"session/update","params":{"sessionId":"s"}}"#,
        expect![[r#"Unusable { id: None, method: "session/update", why: "there is no update.sessionUpdate" }"#]],
    );
    one(
        r#"{"jsonrpc":"2.0","method":"session/update","params":{"sessionId":"s","update":{"sessionUpdate":"from_the_future","x":1}}}"#,
        expect![[r#"s Other { what: "from_the_future" }"#]],
    );
    one(
        r#"{"jsonrpc":"2.0","method":"session/update","params":{"sessionId":"s","update":{"sessionUpdate":"tool_call"}}}"#,
        expect![[r#"s ToolCall { call: "", title: "", kind: "", status: "", input: "", output: "" }"#]],
    );
    one(
        r#"{"jsonrpc":"2.0","method":"session/update","params":{"sessionId":"s","update":{"sessionUpdate":"agent_message_chunk","content":{"type":"image","data":"…"}}}}"#,
        expect![[r#"s Text { text: "[image]" }"#]],
    );
    one(
        r#"{"jsonrpc":"2.0","id":1,"method":"session/request_permission","params":{"sessionId":"s"}}"#,
        expect![[
            r#"Unusable { id: Some(Number(1)), method: "session/request_permission", why: "there is no list of options" }"#
        ]],
    );
    one(
        r#"{"jsonrpc":"2.0","id":1,"method":"session/request_permission","params":[]}"#,
        expect![[
            r#"Unusable { id: Some(Number(1)), method: "session/request_permission", why: "there is no sessionId" }"#
        ]],
    );
    one(
        r#"{"jsonrpc":"2.0","id":1,"method":"fs/read_text_file","params":{"path":"/etc/passwd"}}"#,
        expect![[r#"UnknownRequest { id: Number(1), method: "fs/read_text_file" }"#]],
    );
    one(
        r#"{"jsonrpc":"2.0","id":"x","method":"cursor/ask_question"}"#,
        expect![[r#"UnknownRequest { id: Text("x"), method: "cursor/ask_question" }"#]],
    );
    one(r#"{"jsonrpc":"2.0","method":"$/progress"}"#, expect![[r#"UnknownNotification { method: "$/progress" }"#]]);
    one("npm warn deprecated", expect!["malformed: not JSON: expected ident at line 1 column 2"]);
}

#[test]
fn texts_are_cut() {
    let text = "x".repeat(100_000);
    let line = format!(
        r#"{{"jsonrpc":"2.0","method":"session/update","params":{{"sessionId":"s","update":{{"sessionUpdate":"tool_call_update","toolCallId":"{text}","title":"{text}","rawInput":{{"a":"{text}"}},"content":[{{"type":"content","content":{{"type":"text","text":"{text}"}}}},{{"type":"{text}"}}]}}}}}}"#
    );
    let size = format!("{:?}", decode(line.as_bytes()).unwrap()).len();
    assert!(size < 70_000, "{size}");
}

proptest! {
    #[test]
    fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = decode(&bytes);
    }

    #[test]
    fn no_update_panics(update in json(), method in "session/(update|request_permission|other)", id in prop::option::of(0i64..9)) {
        let mut message = serde_json::json!({"jsonrpc": "2.0", "method": method, "params": {"sessionId": "s", "update": update, "options": update, "toolCall": update}});
        if let Some(id) = id { message["id"] = id.into(); }
        let _ = decode(message.to_string().as_bytes());
    }
}

/// JSON out of the protocol's own words.
fn json() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<i64>().prop_map(Into::into),
        any::<f64>().prop_map(Into::into),
        "(tool_call|tool_call_update|plan|usage_update|agent_message_chunk|text|content|diff|ä{0,9})"
            .prop_map(Into::into),
    ];
    let name = "(sessionUpdate|content|type|text|entries|cost|amount|used|rawInput|rawOutput|optionId|kind|title)";
    leaf.prop_recursive(4, 40, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(serde_json::Value::Array),
            prop::collection::btree_map(name, inner, 0..6)
                .prop_map(|members| serde_json::Value::Object(members.into_iter().collect())),
        ]
    })
}

fn check(recording: &str, expected: Expect) {
    let lines: Vec<String> =
        recording.lines().filter_map(|line| line.strip_prefix("<-- ")).map(|line| short(line.as_bytes())).collect();
    expected.assert_eq(&lines.join("\n"));
}

fn one(line: &str, expected: Expect) {
    expected.assert_eq(&short(line.as_bytes()));
}

fn short(line: &[u8]) -> String {
    match decode(line) {
        Ok(Incoming::Response(response)) => format!("answer to {}, ok: {}", response.id, response.outcome.is_ok()),
        Ok(Incoming::Update { session, change }) => format!("{:.3} {change:?}", session.0),
        Ok(Incoming::Permission { id, session, title, options }) => {
            let options: Vec<String> =
                options.iter().map(|option| format!("{}={:?}", option.id, option.kind)).collect();
            format!("permission {id} {:.3} {title:?}: {}", session.0, options.join(" "))
        }
        Ok(other) => format!("{other:?}"),
        Err(malformed) => format!("malformed: {malformed}"),
    }
}
