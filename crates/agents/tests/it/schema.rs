//! The recordings and our own messages against the protocol's published types.

use agent_client_protocol_schema::v1;
use serde::de::DeserializeOwned;
use serde_json::Value;

#[test]
fn every_recorded_message_is_one_of_the_protocol() {
    for recording in [
        include_str!("../../fixtures/opencode.txt"),
        include_str!("../../fixtures/claude.txt"),
        include_str!("../../fixtures/codex.txt"),
        include_str!("../../fixtures/gemini.txt"),
    ] {
        let mut calls: Vec<(Value, String)> = Vec::new();
        for line in recording.lines() {
            let (direction, line) = line.split_at(4);
            let message: Value = serde_json::from_str(line).unwrap();
            match message["method"].as_str() {
                Some(method) => {
                    calls.push((message["id"].clone(), method.to_owned()));
                    params(method, message["params"].clone());
                }
                None => {
                    let id = &message["id"];
                    let ours = direction == "--> ";
                    let asked = |method: &str| (method == "session/request_permission") == ours;
                    let (_, method) = calls.iter().rev().find(|(of, method)| of == id && asked(method)).unwrap();
                    result(method, message["result"].clone());
                }
            }
        }
    }
}

fn params(method: &str, params: Value) {
    match method {
        "initialize" => is::<v1::InitializeRequest>(params),
        "authenticate" => is::<v1::AuthenticateRequest>(params),
        "session/new" => is::<v1::NewSessionRequest>(params),
        "session/prompt" => is::<v1::PromptRequest>(params),
        "session/update" => is::<v1::SessionNotification>(params),
        "session/request_permission" => is::<v1::RequestPermissionRequest>(params),
        other => panic!("{other}"),
    }
}

fn result(method: &str, result: Value) {
    match method {
        "initialize" => is::<v1::InitializeResponse>(result),
        "authenticate" => is::<v1::AuthenticateResponse>(result),
        "session/new" => is::<v1::NewSessionResponse>(result),
        "session/prompt" => is::<v1::PromptResponse>(result),
        "session/request_permission" => is::<v1::RequestPermissionResponse>(result),
        other => panic!("{other}"),
    }
}

fn is<T: DeserializeOwned>(value: Value) {
    if let Err(error) = serde_json::from_value::<T>(value.clone()) {
        panic!("{error} in {value}");
    }
}
