//! One turn, as it should be and as agents really behave.

use crate::peer::{Peer, line, session, short, started, told, within};
use agents::acp::{AgentError, Connection, Ended, PermissionPolicy, Settings, TurnOutcome};
use api::acp_meta::Stop;
use serde_json::{Value, json};
use std::time::Duration;

#[tokio::test]
async fn a_turn_tells_its_end_and_what_was_said() {
    let (connection, mut peer, updates) = started(short()).await;
    let outcome = turn(&connection, async {
        let prompt = peer.expect("session/prompt").await;
        assert_eq!(
            prompt["params"],
            json!({"sessionId": "s1", "prompt": [{"type": "text", "text": "go"}], "_meta": {"muster/turn": 1}})
        );
        peer.say("Hello ").await;
        peer.say("world").await;
        peer.answer(&prompt["id"], json!({"stopReason": "end_turn"})).await;
    })
    .await;
    assert_eq!(
        outcome.unwrap(),
        TurnOutcome { stop: Stop::Done, usage: None, said: "Hello world".into(), problem: None, program: None }
    );
    assert_eq!(told(connection, updates).await, ["Text { text: \"Hello \" }", "Text { text: \"world\" }"]);
}

#[tokio::test]
async fn a_resumed_turn_says_so() {
    let (connection, mut peer, _updates) = started(short()).await;
    let id = session();
    let play = async {
        let prompt = peer.expect("session/prompt").await;
        assert_eq!(prompt["params"]["_meta"], json!({"muster/turn": 1, "muster/resume": true}));
        peer.answer(&prompt["id"], json!({"stopReason": "end_turn"})).await;
    };
    let (outcome, ()) = tokio::join!(connection.prompt(&id, "go on", 1, true), play);
    assert_eq!(outcome.unwrap().stop, Stop::Done);
}

#[tokio::test]
async fn every_end_of_a_turn_has_its_word() {
    for (result, stop) in [
        (json!({"stopReason": "end_turn"}), Stop::Done),
        (json!({"stopReason": "max_tokens"}), Stop::MaxTokens),
        (json!({"stopReason": "max_turn_requests"}), Stop::MaxSteps),
        (json!({"stopReason": "refusal"}), Stop::Refusal),
        (json!({"stopReason": "cancelled"}), Stop::Cancelled),
        (json!({"stopReason": "refusal", "_meta": {"muster/stop": "bad_answers"}}), Stop::BadAnswers),
        (json!({"stopReason": "end_turn", "_meta": {"muster/stop": "unheard_of"}}), Stop::Done),
    ] {
        assert_eq!(ended(result).await.unwrap().stop, stop);
    }
    let why = json!({"muster/stop": "model_error", "muster/why": "no answer"});
    let outcome = ended(json!({"stopReason": "refusal", "_meta": why})).await.unwrap();
    assert_eq!((outcome.stop, outcome.problem.as_deref()), (Stop::ModelError, Some("no answer")));
    for result in [json!({}), json!(null), json!({"stopReason": "tired"})] {
        assert!(matches!(ended(result).await, Err(AgentError::BadResult { method: "session/prompt", .. })));
    }
}

#[tokio::test]
async fn a_model_that_fails_is_an_outcome_and_a_refused_call_is_an_error() {
    let failed = failed(json!({"code": -32603, "message": "Internal error", "data": {"details": "HTTP 400"}})).await;
    let outcome = failed.unwrap();
    assert_eq!(outcome.stop, Stop::ModelError);
    assert_eq!(outcome.problem.unwrap(), "Internal error (code -32603) {\"details\":\"HTTP 400\"}");
    assert_eq!(self::failed(json!({"code": 429, "message": "slow down"})).await.unwrap().stop, Stop::ModelError);
    let budget = json!({"code": -32000, "message": "no money", "data": {"muster/stop": "budget"}});
    assert_eq!(self::failed(budget).await.unwrap().stop, Stop::Budget);
    for code in [-32602, -32000, -32002] {
        let refused = self::failed(json!({"code": code, "message": "no such session"})).await;
        assert!(matches!(refused, Err(AgentError::Refused { method: "session/prompt", .. })), "{refused:?}");
    }
}

#[tokio::test]
async fn a_cancelled_turn_ends_as_cancelled_even_when_the_agent_calls_it_an_error() {
    let (connection, mut peer, updates) = started(short()).await;
    let outcome = turn(&connection, async {
        let prompt = peer.expect("session/prompt").await;
        connection.cancel(&session());
        assert_eq!(peer.expect("session/cancel").await["params"], json!({"sessionId": "s1"}));
        ask(&mut peer, 9).await;
        assert_eq!(peer.expect("").await["result"], json!({"outcome": {"outcome": "cancelled"}}));
        peer.fail(&prompt["id"], json!({"code": -32603, "message": "aborted"})).await;
    })
    .await;
    assert_eq!(outcome.unwrap().stop, Stop::Cancelled);
    assert_eq!(told(connection, updates).await, ["rm -rf build: Cancelled"]);
}

#[tokio::test]
async fn permission_is_given_once_or_refused_and_recorded() {
    for (permission, option) in [(PermissionPolicy::AllowOnce, "yes"), (PermissionPolicy::Refuse, "no")] {
        let (connection, mut peer, updates) = started(Settings { permission, ..short() }).await;
        ask(&mut peer, 7).await;
        let answer = peer.expect("").await;
        assert_eq!(answer["id"], 7);
        assert_eq!(answer["result"], json!({"outcome": {"outcome": "selected", "optionId": option}}));
        let recorded = format!("rm -rf build: Selected {{ option: {option:?} }}");
        assert_eq!(told(connection, updates).await, [recorded]);
    }
}

#[tokio::test]
async fn what_is_not_offered_is_refused_by_the_protocol() {
    let (connection, mut peer, updates) = started(short()).await;
    for (id, method) in [(json!(1), "fs/read_text_file"), (json!("t"), "terminal/create"), (json!(null), "cursor/ask")]
    {
        peer.write(&json!({"jsonrpc": "2.0", "id": id, "method": method, "params": {}}).to_string()).await;
        let answer = peer.expect("").await;
        assert_eq!((&answer["id"], answer["error"]["code"].as_i64()), (&id, Some(-32601)));
    }
    peer.write(r#"{"jsonrpc":"2.0","id":4,"method":"session/request_permission","params":{}}"#).await;
    assert_eq!(peer.expect("").await["error"]["code"], -32602);
    assert_eq!(told(connection, updates).await.len(), 4);
}

#[tokio::test]
async fn answers_are_told_apart_by_their_ids() {
    let (connection, mut peer, updates) = started(short()).await;
    let (first, second) = (session(), agents::acp::SessionId("s2".into()));
    let play = async {
        let one = peer.expect("session/prompt").await;
        let two = peer.expect("session/prompt").await;
        peer.answer(&two["id"], json!({"stopReason": "refusal"})).await;
        peer.answer(&two["id"], json!({"stopReason": "end_turn"})).await;
        peer.answer(&json!("2"), json!({"stopReason": "max_tokens"})).await;
        peer.answer(&json!(4711), json!({})).await;
        peer.answer(&one["id"], json!({"stopReason": "end_turn"})).await;
    };
    let (one, two, ()) =
        tokio::join!(connection.prompt(&first, "a", 1, false), connection.prompt(&second, "b", 1, false), play);
    assert_eq!((one.unwrap().stop, two.unwrap().stop), (Stop::Done, Stop::Refusal));
    assert_eq!(
        told(connection, updates).await,
        [
            "note: an answer to no open request, id 3",
            "note: an answer to no open request, id \"2\"",
            "note: an answer to no open request, id 4711"
        ]
    );
}

#[tokio::test]
async fn one_turn_at_a_time_per_session() {
    let (connection, mut peer, _updates) = started(short()).await;
    let outcome = turn(&connection, async {
        let prompt = peer.expect("session/prompt").await;
        assert_eq!(connection.prompt(&session(), "me too", 1, false).await, Err(AgentError::Busy));
        peer.answer(&prompt["id"], json!({"stopReason": "end_turn"})).await;
    })
    .await;
    assert_eq!(outcome.unwrap().stop, Stop::Done);
}

#[tokio::test]
async fn a_forgotten_turn_leaves_nothing_behind() {
    let (connection, mut peer, mut updates) = started(short()).await;
    let id = session();
    let forgotten = tokio::select! {
        biased;
        _ = connection.prompt(&id, "go", 1, false) => panic!("nobody answered"),
        prompt = peer.expect("session/prompt") => prompt["id"].clone(),
    };
    peer.answer(&forgotten, json!({"stopReason": "end_turn"})).await;
    assert_eq!(line(&updates.next().await.unwrap()), format!("note: an answer to no open request, id {forgotten}"));
    assert_eq!(ended_on(&connection, &mut peer, json!({"stopReason": "end_turn"})).await.unwrap().stop, Stop::Done);
}

#[tokio::test]
async fn an_agent_that_dies_in_a_turn_is_heard_to_its_last_word() {
    let (connection, mut peer, _updates) = started(short()).await;
    let outcome = turn(&connection, async {
        peer.expect("session/prompt").await;
        peer.say("I am going to").await;
        tokio::io::AsyncWriteExt::write_all(peer.stderr.as_mut().unwrap(), b"out of memory\n").await.unwrap();
        peer.close_output();
    })
    .await;
    let ended = Ended::EndOfOutput { stderr: "out of memory".into() };
    assert_eq!(outcome, Err(AgentError::Ended(ended.clone())));
    assert_eq!(connection.closed().await, ended);
    assert_eq!(connection.prompt(&session(), "still there?", 1, false).await, Err(AgentError::Ended(ended)));
}

#[tokio::test(start_paused = true)]
async fn an_answer_before_the_exit_counts() {
    let (connection, mut peer, _updates) = started(short()).await;
    let outcome = turn(&connection, async {
        let prompt = peer.expect("session/prompt").await;
        peer.close_input();
        ask(&mut peer, 1).await;
        // The clock stands still until everybody waits: our answer has hit the closed input by then.
        tokio::time::sleep(Duration::from_millis(500)).await;
        let answer = json!({"jsonrpc": "2.0", "id": prompt["id"], "result": {"stopReason": "end_turn"}});
        peer.write_bytes(answer.to_string().as_bytes()).await.unwrap();
        peer.close_output();
    })
    .await;
    assert_eq!(outcome.unwrap().stop, Stop::Done);
}

async fn ended(result: Value) -> Result<TurnOutcome, AgentError> {
    let (connection, mut peer, _updates) = started(short()).await;
    ended_on(&connection, &mut peer, result).await
}

async fn ended_on(connection: &Connection, peer: &mut Peer, result: Value) -> Result<TurnOutcome, AgentError> {
    turn(connection, async {
        let id = peer.expect("session/prompt").await["id"].clone();
        peer.answer(&id, result).await;
    })
    .await
}

async fn failed(error: Value) -> Result<TurnOutcome, AgentError> {
    let (connection, mut peer, _updates) = started(short()).await;
    turn(&connection, async {
        let id = peer.expect("session/prompt").await["id"].clone();
        peer.fail(&id, error).await;
    })
    .await
}

async fn turn(connection: &Connection, play: impl Future<Output = ()>) -> Result<TurnOutcome, AgentError> {
    let id = session();
    within(async { tokio::join!(connection.prompt(&id, "go", 1, false), play).0 }).await
}

async fn ask(peer: &mut Peer, id: i64) {
    let options = json!([
        {"optionId": "no", "kind": "reject_once", "name": "No"},
        {"optionId": "yes", "kind": "allow_once", "name": "Yes"},
    ]);
    let params =
        json!({"sessionId": "s1", "toolCall": {"toolCallId": "c1", "title": "rm -rf build"}, "options": options});
    let method = "session/request_permission";
    peer.write(&json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params}).to_string()).await;
}
