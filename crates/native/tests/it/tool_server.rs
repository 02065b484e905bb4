//! Tools that servers offer.

use serde_json::{Value, json};

use crate::client::{Place, stop};
use crate::server::{Asked, Reply, Server};
use crate::stream::{calls, say};

#[test]
fn tools_are_listed_once_and_called_with_an_id() {
    let send = ("send_message", json!({ "to": "lead", "text": "hi" }));
    let fail = ("muster_read_file", json!({}));
    let model = Server::scripted([calls(&[send.clone(), fail]), say("Sent."), calls(&[send]), say("Sent again.")]);
    let tools = Server::answering(|asked| answer(asked, false));
    let place = Place::new(&model);
    let mut client = place.start();
    let session = client.new_session(&place, server(&tools));
    assert_eq!(stop(&client.prompt(&session, "Send.")).1, "done");
    assert_eq!(stop(&client.prompt(&session, "Again.")).1, "done");

    let requests = tools.rest();
    let methods: Vec<Value> = requests.iter().map(|request| request.json()["method"].clone()).collect();
    let expected = ["initialize", "notifications/initialized", "tools/list", "tools/call", "tools/call", "tools/call"];
    assert_eq!(methods, expected);
    assert!(
        requests
            .iter()
            .all(|request| request.path == "/mcp" && request.headers.contains("authorization: bearer tool-key"))
    );
    let id = |index: usize| requests[index].json()["params"]["_meta"]["muster/callId"].clone();
    assert_eq!([id(3), id(4), id(5)], ["1.0", "1.1", "3.0"].map(|call| json!(format!("{session}/{call}"))));
    assert_eq!(requests[4].json()["params"]["name"], "read_file");

    let asked = model.rest();
    let shown = String::from_utf8_lossy(&asked[1].body);
    assert!(shown.contains("Delivered to lead.") && shown.contains("Error: not today"), "{shown}");
    assert!(
        !std::fs::read_to_string(place.home().join(format!(".muster/sessions/{session}.jsonl")))
            .unwrap()
            .contains("tool-key")
    );
}

#[test]
fn a_server_whose_tools_are_told_is_only_called() {
    let model = Server::scripted([calls(&[("send_message", json!({ "to": "lead", "text": "hi" }))]), say("Sent.")]);
    let tools = Server::answering(|asked| answer(asked, false));
    let place = Place::new(&model);
    let mut client = place.start();
    let mut servers = server(&tools);
    servers[0]["_meta"] = json!({ "muster/tools": [{ "name": "send_message", "inputSchema": { "type": "object" } }] });
    let session = client.new_session(&place, servers);
    assert_eq!(stop(&client.prompt(&session, "Send.")).1, "done");
    let methods: Vec<Value> = tools.rest().iter().map(|request| request.json()["method"].clone()).collect();
    assert_eq!(methods, ["tools/call"]);
    assert!(String::from_utf8_lossy(&model.rest()[1].body).contains("Delivered to lead."));
}

#[test]
fn a_call_that_was_interrupted_keeps_its_id() {
    let model = Server::scripted([calls(&[("send_message", json!({ "to": "lead" }))]), say("Sent.")]);
    let holding = Server::answering(|asked| answer(asked, true));
    let place = Place::new(&model);
    let mut client = place.start();
    let session = client.new_session(&place, server(&holding));
    client.send_prompt(&session, "Send.");
    let before = call(&holding);
    client.kill();

    let tools = Server::answering(|asked| answer(asked, false));
    let mut client = place.start();
    client.load(&place, &session, server(&tools));
    assert_eq!(stop(&client.resume(&session)).1, "done");
    assert_eq!(call(&tools), before);
}

#[test]
fn a_server_that_is_not_there_fails_the_prompt_and_leaves_the_turn_open() {
    let model = Server::scripted([say("Hello.")]);
    let place = Place::new(&model);
    let mut client = place.start();
    let nobody = json!([{ "type": "http", "name": "muster", "url": "http://127.0.0.1:1/mcp", "headers": [] }]);
    let session = client.new_session(&place, nobody);
    let id = client.send_prompt(&session, "Hello?");
    let error = client.answer(&json!(id))["error"].clone();
    assert_eq!(error["code"], -32603);
    assert!(error["message"].as_str().unwrap().contains("tool server muster"), "{error}");

    let tools = Server::answering(|asked| answer(asked, false));
    client.load(&place, &session, server(&tools));
    assert_eq!(stop(&client.resume(&session)).1, "done");
    assert_eq!(model.rest().len(), 1);
}

/// The parameters of the next tool call.
fn call(tools: &Server) -> Value {
    loop {
        let request = tools.next().json();
        if request["method"] == "tools/call" {
            return request["params"].clone();
        }
    }
}

fn server(tools: &Server) -> Value {
    let headers = json!([{ "name": "Authorization", "value": "Bearer tool-key" }]);
    json!([{ "type": "http", "name": "muster", "url": format!("{}/mcp", tools.url), "headers": headers }])
}

fn answer(asked: &Asked, holds_calls: bool) -> Reply {
    let request = asked.json();
    let tool = |name: &str| json!({ "name": name, "description": "A tool.", "inputSchema": { "type": "object" } });
    let result = match request["method"].as_str().unwrap() {
        "initialize" => {
            json!({ "protocolVersion": "2025-06-18", "capabilities": { "tools": {} }, "serverInfo": { "name": "t", "version": "1" } })
        }
        "tools/list" => json!({ "tools": [tool("send_message"), tool("read_file")] }),
        "tools/call" if holds_calls => return Reply::Hold,
        "tools/call" if request["params"]["name"] == "read_file" => {
            json!({ "content": [{ "type": "text", "text": "not today" }], "isError": true })
        }
        "tools/call" => json!({ "content": [{ "type": "text", "text": "Delivered to lead." }] }),
        _ => return Reply::Send { status: 202, headers: "", body: String::new() },
    };
    let body = json!({ "jsonrpc": "2.0", "id": request["id"], "result": result }).to_string();
    Reply::Send { status: 200, headers: "content-type: application/json\r\n", body }
}
