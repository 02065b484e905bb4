//! The client's mistakes.

use serde_json::{Value, json};

use crate::client::Place;
use crate::server::{Reply, Server};
use crate::stream::say;

#[test]
fn bad_lines_are_answered_and_survived() {
    let model = Server::scripted([say("Still here.")]);
    let place = Place::new(&model);
    let (mut client, session) = place.open();
    let null = Value::Null;
    let cases = [
        ("hello", &null, -32700),
        ("[]", &null, -32600),
        ("{\"jsonrpc\":\"2.0\",\"id\":90,\"method\":7}", &json!(90), -32600),
        ("{\"jsonrpc\":\"2.0\",\"id\":91,\"method\":\"session/dance\"}", &json!(91), -32601),
        ("{\"jsonrpc\":\"2.0\",\"id\":92,\"method\":\"session/prompt\",\"params\":{\"prompt\":3}}", &json!(92), -32602),
        (
            "{\"jsonrpc\":\"2.0\",\"id\":93,\"method\":\"session/new\",\"params\":{\"cwd\":\"here\",\"mcpServers\":[]}}",
            &json!(93),
            -32602,
        ),
        (
            "{\"jsonrpc\":\"2.0\",\"id\":94,\"method\":\"session/new\",\"params\":{\"cwd\":\"/nowhere\",\"mcpServers\":[]}}",
            &json!(94),
            -32602,
        ),
        (
            "{\"jsonrpc\":\"2.0\",\"id\":95,\"method\":\"session/load\",\"params\":{\"sessionId\":\"../x\",\"cwd\":\"/\",\"mcpServers\":[]}}",
            &json!(95),
            -32602,
        ),
        (
            "{\"jsonrpc\":\"2.0\",\"id\":96,\"method\":\"session/prompt\",\"params\":{\"sessionId\":\"x\",\"prompt\":[]}}",
            &json!(96),
            -32602,
        ),
    ];
    for (line, id, code) in cases {
        client.write(line);
        let answer = client.answer(id);
        assert_eq!(answer["error"]["code"], code, "{line}: {answer}");
    }
    client.write(&"x".repeat(9 << 20));
    assert_eq!(client.answer(&null)["error"]["code"], -32600);
    // Neither of these is owed an answer.
    client.write("{\"jsonrpc\":\"2.0\",\"id\":5,\"result\":{}}\n\n{\"jsonrpc\":\"2.0\",\"method\":\"session/cancel\",\"params\":[]}");
    assert_eq!(client.prompt(&session, "Still there?")["stopReason"], "end_turn");
    assert_eq!(client.leave(), Some(0));
}

#[test]
fn one_turn_at_a_time() {
    let model = Server::scripted([Reply::Hold]);
    let place = Place::new(&model);
    let (mut client, session) = place.open();
    let turn = client.send_prompt(&session, "One.");
    model.next();
    let second = client.send_prompt(&session, "Two.");
    assert_eq!(client.answer(&json!(second))["error"]["code"], -32600);
    let load = client.send("session/load", json!({ "sessionId": session, "cwd": place.work(), "mcpServers": [] }));
    assert_eq!(client.answer(&json!(load))["error"]["code"], -32600);
    client.tell("session/cancel", json!({ "sessionId": "another" }));
    client.tell("session/cancel", json!({ "sessionId": session }));
    assert_eq!(client.result(turn)["stopReason"], "cancelled");
}

#[test]
fn the_client_may_leave_in_the_middle_of_a_turn() {
    let model = Server::scripted([Reply::Hold]);
    let place = Place::new(&model);
    let (mut client, session) = place.open();
    client.send_prompt(&session, "One.");
    model.next();
    assert_eq!(client.leave(), Some(0));
    assert_eq!(place.log(&session).last().unwrap()["record"], "tools", "the turn is open and can be resumed");
}

#[test]
fn an_environment_that_does_not_do_is_named() {
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_native-agent")).env_clear().output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert_eq!(
        String::from_utf8_lossy(&output.stderr),
        "muster agent: environment variable OPENAI_BASE_URL: not set\n"
    );
}
