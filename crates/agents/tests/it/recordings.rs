//! Whole conversations: the agent's half is played, ours must come out as recorded.

use crate::peer::{pipes, short};
use agents::acp::{AgentError, Connection, McpServer, Settings, Tap, TurnOutcome};
use expect_test::{Expect, expect};
use serde_json::Value;

#[tokio::test]
async fn opencode() {
    check(include_str!("../../fixtures/opencode.txt"), short(), expect![[r#"TurnOutcome { stop: Done, usage: Some(Usage { input_tokens: 800, output_tokens: 40, cached_read_tokens: Some(200), cached_write_tokens: None, thought_tokens: Some(10) }), said: "all done", problem: None, program: None }"#]]).await;
}

#[tokio::test]
async fn claude() {
    check(include_str!("../../fixtures/claude.txt"), short(), expect![[r#"TurnOutcome { stop: Done, usage: Some(Usage { input_tokens: 1600, output_tokens: 80, cached_read_tokens: Some(400), cached_write_tokens: Some(20), thought_tokens: None }), said: "I wrote it.", problem: None, program: None }"#]]).await;
}

#[tokio::test]
async fn codex() {
    check(
        include_str!("../../fixtures/codex.txt"),
        short(),
        expect![[
            r#"TurnOutcome { stop: Done, usage: None, said: "unexpected status 400 Bad Request", problem: None, program: None }"#
        ]],
    )
    .await;
}

#[tokio::test]
async fn gemini() {
    let settings = Settings { auth_method: Some("gemini-api-key".into()), ..short() };
    check(include_str!("../../fixtures/gemini.txt"), settings, expect![[r#"TurnOutcome { stop: Done, usage: Some(Usage { input_tokens: 3000, output_tokens: 150, cached_read_tokens: None, cached_write_tokens: None, thought_tokens: None }), said: "It is written.", problem: None, program: None }"#]]).await;
}

async fn check(recording: &str, settings: Settings, expected: Expect) {
    let (io, mut peer) = pipes();
    let (tap, _updates) = Tap::new(1000);
    let play = async {
        for line in recording.lines() {
            if let Some(ours) = line.strip_prefix("--> ") {
                let ours: Value = serde_json::from_str(ours).unwrap();
                assert_eq!(without_version(peer.next().await.unwrap()), without_version(ours));
            } else if let Some(theirs) = line.strip_prefix("<-- ") {
                peer.write(theirs).await;
            }
        }
    };
    let (outcome, ()) = tokio::join!(one_turn(io, tap, settings), play);
    expected.assert_eq(&format!("{:?}", outcome.unwrap()));
}

async fn one_turn(io: crate::peer::PeerIo, tap: Tap, settings: Settings) -> Result<TurnOutcome, AgentError> {
    let connection = Connection::start(io, tap, settings).await?;
    let tools = McpServer {
        name: "muster".into(),
        url: "http://127.0.0.1:3128/mcp".into(),
        headers: vec![("Authorization".into(), "Bearer session-key".into())],
        tools: None,
    };
    assert!(connection.facts().load_session);
    let session = connection.new_session("/work", &[tools]).await?;
    connection.prompt(&session, "Do it.", 1, false).await
}

fn without_version(mut message: Value) -> Value {
    if let Some(version) = message.pointer_mut("/params/clientInfo/version") {
        *version = Value::Null;
    }
    message
}
