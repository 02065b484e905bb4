//! What an agent cannot do to us.

use crate::peer::{line, pipes, session, short, started, told, within};
use agents::acp::{AgentError, Connection, Ended, Settings, Tap};
use api::acp_meta::Stop;
use expect_test::expect;
use serde_json::json;
use tokio::io::AsyncWriteExt;

#[tokio::test]
async fn bad_lines_are_answered_recorded_and_survived() {
    let (connection, mut peer, updates) = started(short()).await;
    let id = session();
    let play = async {
        let prompt = peer.expect("session/prompt").await;
        for (bad, reply) in [
            ("npm warn deprecated", Some((json!(null), -32700))),
            ("[]", Some((json!(null), -32600))),
            (r#"{"jsonrpc":"2.0","id":5,"method":7}"#, Some((json!(5), -32600))),
            (r#"{"jsonrpc":"1.0","id":"q","method":"x"}"#, Some((json!("q"), -32600))),
            (r#"{"jsonrpc":"2.0","id":1,"result":{},"error":{"code":1}}"#, None),
            ("\"hello\"", Some((json!(null), -32600))),
        ] {
            peer.write(bad).await;
            if let Some((id, code)) = reply {
                let answer = peer.expect("").await;
                assert_eq!((&answer["id"], answer["error"]["code"].as_i64()), (&id, Some(code)), "{bad}");
            }
        }
        peer.write_bytes(b"\xff\xfe\n\n   \n").await.unwrap();
        assert_eq!(peer.expect("").await["error"]["code"], -32700);
        peer.answer(&prompt["id"], json!({"stopReason": "end_turn"})).await;
    };
    let (outcome, ()) = within(async { tokio::join!(connection.prompt(&id, "go", 1, false), play) }).await;
    assert_eq!(outcome.unwrap().stop, Stop::Done);
    expect![[r#"
        bad line (not JSON: expected ident at line 1 column 2): npm warn deprecated
        bad line (a batch; send one message per line): []
        bad line ("method" must be a text): {"jsonrpc":"2.0","id":5,"method":7}
        bad line ("jsonrpc" must be "2.0"): {"jsonrpc":"1.0","id":"q","method":"x"}
        bad line ("result" together with "error"): {"jsonrpc":"2.0","id":1,"result":{},"error":{"code":1}}
        bad line (expected an object, found a text): "hello"
        bad line (not JSON: expected value at line 1 column 1): ��"#]]
    .assert_eq(&told(connection, updates).await.join("\n"));
}

#[tokio::test]
async fn a_flood_of_bad_lines_ends_the_agent() {
    let (connection, mut peer, _updates) = started(short()).await;
    let id = session();
    let play = async { while peer.write_bytes(b"noise\n").await.is_ok() {} };
    let (outcome, ()) = within(async { tokio::join!(connection.prompt(&id, "go", 1, false), play) }).await;
    let ended = Ended::TooManyBadLines { count: 65 };
    assert_eq!(outcome, Err(AgentError::Ended(ended.clone())));
    assert_eq!(within(connection.closed()).await, ended);
}

#[tokio::test]
async fn each_turn_may_have_its_bad_lines() {
    let (connection, mut peer, _updates) = started(Settings { bad_lines_max: 3, ..short() }).await;
    for _ in 0..5 {
        let id = session();
        let play = async {
            let prompt = peer.expect("session/prompt").await;
            for _ in 0..3 {
                peer.write("noise").await;
                peer.expect("").await;
            }
            peer.answer(&prompt["id"], json!({"stopReason": "end_turn"})).await;
        };
        let (outcome, ()) = within(async { tokio::join!(connection.prompt(&id, "go", 1, false), play) }).await;
        assert_eq!(outcome.unwrap().stop, Stop::Done);
    }
}

#[tokio::test]
async fn an_endless_line_ends_the_agent() {
    let (connection, mut peer, _updates) = started(Settings { line_bytes_max: 100_000, ..short() }).await;
    let id = session();
    let play = async { while peer.write_bytes(&[b'x'; 1000]).await.is_ok() {} };
    let (outcome, ()) = within(async { tokio::join!(connection.prompt(&id, "go", 1, false), play) }).await;
    assert_eq!(outcome, Err(AgentError::Ended(Ended::EndlessLine { bytes_max: 100_000 })));
}

#[tokio::test]
async fn an_agent_that_does_not_read_ends() {
    let (connection, mut peer, _updates) = started(short()).await;
    let id = "x".repeat(60_000);
    let ask = format!("{}\n", json!({"jsonrpc": "2.0", "id": id, "method": "fs/read_text_file"}));
    while peer.write_bytes(ask.as_bytes()).await.is_ok() {}
    let Ended::InputIgnored { bytes } = within(connection.closed()).await else { panic!("{connection:?}") };
    assert!((16 * 1024 * 1024..17 * 1024 * 1024).contains(&bytes));
}

#[tokio::test(start_paused = true)]
async fn an_agent_that_closes_its_input_but_lives_ends() {
    let (connection, mut peer, _updates) = started(short()).await;
    peer.close_input();
    let outcome = within(connection.prompt(&session(), "hello?", 1, false)).await;
    assert!(matches!(outcome, Err(AgentError::Ended(Ended::Pipe(_)))), "{outcome:?}");
}

#[tokio::test]
async fn a_slow_reader_of_the_transcript_does_not_hold_up_the_turn() {
    let (io, mut peer) = pipes();
    let (tap, mut updates) = Tap::new(10);
    let (connection, ()) = tokio::join!(Connection::start(io, tap, short()), peer.hello());
    let (connection, id) = (connection.unwrap(), session());
    let play = async {
        let prompt = peer.expect("session/prompt").await;
        for _ in 0..5000 {
            peer.say("more").await;
        }
        peer.answer(&prompt["id"], json!({"stopReason": "end_turn"})).await;
    };
    let (outcome, ()) = within(async { tokio::join!(connection.prompt(&id, "go", 1, false), play) }).await;
    assert_eq!(outcome.unwrap().stop, Stop::Done);
    drop(connection);
    for _ in 0..10 {
        assert_eq!(line(&updates.next().await.unwrap()), "Text { text: \"more\" }");
    }
    peer.close_output();
    assert_eq!(line(&updates.next().await.unwrap()), "lost 4990");
}

#[tokio::test]
async fn what_an_agent_says_is_kept_to_its_end_only() {
    let (connection, mut peer, _updates) = started(short()).await;
    let id = session();
    let play = async {
        let prompt = peer.expect("session/prompt").await;
        for _ in 0..100 {
            peer.say(&"ä".repeat(1000)).await;
        }
        peer.say("the end").await;
        peer.answer(&prompt["id"], json!({"stopReason": "end_turn"})).await;
    };
    let (outcome, ()) = within(async { tokio::join!(connection.prompt(&id, "go", 1, false), play) }).await;
    let said = outcome.unwrap().said;
    assert!(said.ends_with("the end") && said.len() <= 32 * 1024, "{}", said.len());
}

#[tokio::test]
async fn a_long_complaint_is_cut() {
    let (connection, mut peer, _updates) = started(short()).await;
    let id = session();
    let long = "x".repeat(1_000_000);
    let play = async {
        let prompt = peer.expect("session/prompt").await;
        peer.fail(&prompt["id"], json!({"code": -32602, "message": long, "data": [long]})).await;
    };
    let (outcome, ()) = within(async { tokio::join!(connection.prompt(&id, "go", 1, false), play) }).await;
    let Err(AgentError::Refused { error, .. }) = outcome else { panic!("{outcome:?}") };
    assert!(error.message.ends_with("… (983616 more bytes)") && error.message.len() < 17_000 && error.data.is_none());
}

#[tokio::test]
async fn standard_error_is_shown_up_to_a_limit_and_always_drained() {
    let (connection, mut peer, mut updates) = started(short()).await;
    let mut stderr = peer.stderr.take().unwrap();
    let line = format!("{}ä\n", "e".repeat(998));
    for _ in 0..1000 {
        stderr.write_all(line.as_bytes()).await.unwrap();
    }
    drop(stderr);
    peer.close_output();
    let Ended::EndOfOutput { stderr } = within(connection.closed()).await else { panic!("{connection:?}") };
    assert!(stderr.ends_with("eä") && stderr.len() <= 4096 && !stderr.contains('\u{fffd}'));
    drop(connection);
    let (mut shown, mut notes) = (0, 0);
    while let Some(update) = updates.next().await {
        match update {
            agents::acp::Update::Stderr { text } => shown += text.len(),
            agents::acp::Update::Note { .. } => notes += 1,
            other => panic!("{other:?}"),
        }
    }
    assert!((256 * 1024..=260 * 1024).contains(&shown), "{shown}");
    assert_eq!(notes, 1);
}
