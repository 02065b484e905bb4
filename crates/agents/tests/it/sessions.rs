//! Hello, new sessions and earlier ones.

use crate::peer::{Peer, is_timeout, line, pipes, session, short, started};
use agents::acp::{AgentError, AgentFacts, Connection, Ended, McpServer, Settings, Tap, Updates};
use serde_json::{Value, json};

#[tokio::test]
async fn hello_says_what_the_agent_can() {
    let (connection, ..) = hello(json!({"protocolVersion": 1, "agentInfo": {"name": "a", "version": "2"},
        "authMethods": [{"id": "key"}, {"name": "no id"}]}))
    .await;
    let facts =
        AgentFacts { name: "a".into(), version: "2".into(), auth_methods: vec!["key".into()], ..AgentFacts::default() };
    assert_eq!(connection.unwrap().facts(), &facts);
}

#[tokio::test]
async fn another_version_is_refused() {
    for (version, found) in [(json!(2), "2"), (json!("1"), "\"1\"")] {
        let (connection, ..) = hello(json!({"protocolVersion": version})).await;
        assert_eq!(connection.unwrap_err(), AgentError::Version { found: found.into() });
    }
    assert!(matches!(hello(json!({})).await.0.unwrap_err(), AgentError::BadResult { method: "initialize", .. }));
}

#[tokio::test(start_paused = true)]
async fn an_agent_that_does_not_answer_runs_into_its_limit() {
    let (io, _peer) = pipes();
    assert!(is_timeout(&Connection::start(io, Tap::new(1).0, short()).await.unwrap_err()));

    let (connection, _peer, _updates) = started(short()).await;
    assert!(is_timeout(&connection.new_session("/work", &[]).await.unwrap_err()));
}

#[tokio::test]
async fn a_program_that_is_no_agent_explains_itself() {
    let (io, mut peer) = pipes();
    let (tap, mut updates) = Tap::new(10);
    let play = async {
        peer.write_bytes(b"usage: cat [FILE]\n").await.unwrap();
        peer.close_output();
    };
    let (connection, ()) = tokio::join!(Connection::start(io, tap, short()), play);
    assert_eq!(connection.unwrap_err(), AgentError::Ended(Ended::EndOfOutput { stderr: String::new() }));
    let bad = line(&updates.next().await.unwrap());
    assert_eq!(bad, "bad line (not JSON: expected value at line 1 column 1): usage: cat [FILE]");
}

#[tokio::test]
async fn authentication_comes_before_the_first_session_and_may_fail() {
    let (io, mut peer) = pipes();
    let settings = Settings { auth_method: Some("key".into()), ..short() };
    let play = async {
        peer.hello().await;
        let call = peer.expect("authenticate").await;
        assert_eq!(call["params"], json!({"methodId": "key"}));
        peer.fail(&call["id"], json!({"code": -32000, "message": "signed out"})).await;
    };
    let (connection, ()) = tokio::join!(Connection::start(io, Tap::new(1).0, settings), play);
    assert_eq!(connection.unwrap_err().to_string(), "the agent refused authenticate: signed out (code -32000)");
}

#[tokio::test]
async fn a_session_needs_a_name() {
    for (result, ok) in [(json!({"sessionId": "x"}), true), (json!({"sessionId": ""}), false), (json!(null), false)] {
        let (connection, mut peer, _updates) = started(short()).await;
        let play = async {
            let id = peer.expect("session/new").await["id"].clone();
            peer.answer(&id, result).await;
        };
        let (session, ()) = tokio::join!(connection.new_session("/work", &[]), play);
        assert_eq!(session.is_ok(), ok, "{session:?}");
    }
}

#[tokio::test]
async fn what_the_agent_cannot_do_is_refused_before_it_is_asked() {
    let (connection, _peer, _updates) = hello(json!({"protocolVersion": 1})).await;
    let connection = connection.unwrap();
    let server = McpServer { name: "m".into(), url: "http://127.0.0.1/".into(), headers: vec![], tools: None };
    assert!(matches!(connection.load_session(&session(), "/", &[]).await, Err(AgentError::Unsupported(_))));
    assert!(matches!(connection.new_session("/", &[server]).await, Err(AgentError::Unsupported(_))));
}

#[tokio::test]
async fn a_loaded_session_is_not_told_twice() {
    let (connection, mut peer, mut updates) = started(short()).await;
    let id = session();
    let play = async {
        let call = peer.expect("session/load").await;
        assert_eq!(call["params"], json!({"sessionId": "s1", "cwd": "/work", "mcpServers": []}));
        peer.say("as I said").await;
        peer.say("before").await;
        peer.answer(&call["id"], Value::Null).await;
        peer.say("anew").await;
    };
    let (loaded, ()) = tokio::join!(connection.load_session(&id, "/work", &[]), play);
    loaded.unwrap();
    let told = [line(&updates.next().await.unwrap()), line(&updates.next().await.unwrap())];
    let note = "note: the earlier conversation of the loaded session is not shown again";
    assert_eq!(told, [note, "Text { text: \"anew\" }"]);
}

#[tokio::test]
async fn what_a_server_offers_can_be_told_with_it() {
    let (connection, mut peer, _updates) = started(short()).await;
    let tools = json!([{"name": "calc", "inputSchema": {"type": "object"}}]);
    let server = |tools| McpServer { name: "m".into(), url: "http://127.0.0.1/".into(), headers: vec![], tools };
    let servers = [server(Some(std::sync::Arc::new(tools.clone()))), server(None)];
    let play = async {
        let call = peer.expect("session/new").await;
        assert_eq!(call["params"]["mcpServers"][0]["_meta"], json!({"muster/tools": tools}));
        assert_eq!(call["params"]["mcpServers"][1].get("_meta"), None);
        peer.answer(&call["id"], json!({"sessionId": "s1"})).await;
    };
    let (session, ()) = tokio::join!(connection.new_session("/work", &servers), play);
    session.unwrap();
}

#[tokio::test]
async fn keys_are_not_printed() {
    let headers = vec![("Authorization".to_owned(), "Bearer hidden".to_owned())];
    let server = McpServer { name: "m".into(), url: "http://127.0.0.1/".into(), headers, tools: None };
    assert!(!format!("{server:?}").contains("hidden"));
}

#[tokio::test]
async fn closing_the_input_lets_the_agent_go() {
    let (connection, mut peer, _updates) = started(short()).await;
    connection.close_input();
    assert_eq!(peer.next().await, None);
    peer.say("bye").await;
    peer.close_output();
    assert_eq!(connection.closed().await, Ended::EndOfOutput { stderr: String::new() });
}

#[tokio::test]
async fn dropping_the_connection_closes_the_input() {
    let (connection, mut peer, mut updates) = started(short()).await;
    drop(connection);
    assert_eq!(peer.next().await, None);
    peer.close_output();
    assert_eq!(updates.next().await, None);
}

async fn hello(result: Value) -> (Result<Connection, AgentError>, Peer, Updates) {
    let (io, mut peer) = pipes();
    let (tap, updates) = Tap::new(10);
    let play = async {
        let id = peer.expect("initialize").await["id"].clone();
        peer.answer(&id, result).await;
    };
    let (connection, ()) = tokio::join!(Connection::start(io, tap, short()), play);
    (connection, peer, updates)
}
