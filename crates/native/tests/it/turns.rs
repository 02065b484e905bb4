//! Turns from prompt to end.

use std::fs::File;
use std::io::Read;

use serde_json::{Value, json};

use crate::client::{KEY, Place, stop};
use crate::server::{Asked, Server};
use crate::stream::{FORMATS, answer, calls, say};

const PATCH: &str =
    "*** Begin Patch\n*** Update File: sum.sh\n@@\n-echo $(($1 - $2))\n+echo $(($1 + $2))\n*** End Patch";
const TEST: &str = "test \"$(sh sum.sh 2 3)\" = 5 && echo passed";

#[test]
fn a_failing_test_is_found_fixed_and_verified_in_every_format() {
    for format in FORMATS {
        let model = Server::scripted([
            answer(format, "Let me look.", &[("list_files", json!({})), ("read_file", json!({ "path": "sum.sh" }))]),
            answer(format, "", &[("run_command", json!({ "command": TEST }))]),
            answer(format, "", &[("apply_patch", json!({ "patch": PATCH }))]),
            answer(format, "", &[("run_command", json!({ "command": TEST }))]),
            answer(format, "Fixed; the test passes.", &[]),
        ]);
        let place = Place::new(&model).set("MUSTER_MODEL_FORMAT", format);
        place.write("sum.sh", "echo $(($1 - $2))\n");
        let (mut client, session) = place.open();

        let result = client.prompt(&session, "Make the test pass.");

        assert_eq!(stop(&result), ("end_turn", "done"), "{format}: {result}");
        assert_eq!(place.read("sum.sh"), "echo $(($1 + $2))\n");
        assert_eq!(client.told("agent_message_chunk"), "Let me look.Fixed; the test passes.");
        assert_eq!(result["usage"]["totalTokens"], 5 * 107);
        let requests = model.rest();
        check_requests(format, &requests);
        check_updates(&client.updates);
        assert_eq!(client.leave(), Some(0));
    }
}

fn check_requests(format: &str, requests: &[Asked]) {
    let path = match format {
        "openai-chat" => "/v1/chat/completions",
        "openai-responses" => "/v1/responses",
        _ => "/v1/messages",
    };
    for request in requests {
        assert_eq!(request.path, path);
        assert!(request.headers.contains(KEY) && !String::from_utf8_lossy(&request.body).contains(KEY));
        // Neither the effort nor the namespace that a library might read out of the name.
        assert_eq!(request.json()["model"], "model-of-the-test-max");
        assert_eq!(request.json().get("reasoning_effort"), None);
    }
    let last = String::from_utf8(requests[4].body.clone()).unwrap();
    for shown in
        ["Make the test pass.", "Let me look.", "sum.sh", "Exit code 1.", "Updated sum.sh.", "Exit code 0.\\npassed"]
    {
        assert!(last.contains(shown), "{format}: {shown} is missing in {last}");
    }
    assert_eq!(requests.len(), 5);
}

fn check_updates(updates: &[Value]) {
    let told: Vec<String> = updates
        .iter()
        .filter_map(|update| match update["sessionUpdate"].as_str()? {
            "tool_call" => Some(format!("{} {}", update["toolCallId"], update["title"])),
            "tool_call_update" => Some(format!("{} {}", update["toolCallId"], update["status"])),
            "usage_update" => Some(format!("{} of {}", update["used"], update["size"])),
            _ => None,
        })
        .collect();
    let call = |id: &str, title: &str| [format!("\"{id}\" \"{title}\""), format!("\"{id}\" \"completed\"")];
    let used = ["107 of 128000".to_owned()];
    let run = format!("run_command: {}", TEST.replace('"', "\\\""));
    let expected = [
        &used[..],
        &call("1.0", "list_files"),
        &call("1.1", "read_file: sum.sh"),
        &used,
        &call("2.0", &run),
        &used,
        &call("3.0", "apply_patch"),
        &used,
        &call("4.0", &run),
        &used,
    ];
    assert_eq!(told, expected.concat());
}

#[test]
fn a_cancelled_command_dies_and_the_session_goes_on() {
    let wait = "exec 8>fifo; echo up >&8; sleep 1000 & wait";
    let both = [("run_command", json!({ "command": wait })), ("write_file", json!({ "path": "never", "content": "" }))];
    let model = Server::scripted([calls(&both), say("Hello again.")]);
    let place = Place::new(&model);
    let fifo = place.fifo("fifo");
    let (mut client, session) = place.open();
    let turn = client.send_prompt(&session, "Wait.");
    let mut fifo = File::open(fifo).unwrap();
    fifo.read_exact(&mut [0; 3]).unwrap();

    client.tell("session/cancel", json!({ "sessionId": session }));

    assert_eq!(stop(&client.result(turn)), ("cancelled", "cancelled"));
    // The fifo ends when all who could write to it are dead.
    assert_eq!(fifo.read(&mut [0]).unwrap(), 0);
    assert_eq!(stop(&client.prompt(&session, "Still there?")), ("end_turn", "done"));
    model.next();
    let messages = model.next().json()["messages"].clone();
    let roles: Vec<&str> =
        messages.as_array().unwrap().iter().map(|message| message["role"].as_str().unwrap()).collect();
    assert_eq!(roles, ["system", "user", "assistant", "tool", "tool", "user"]);
    assert!(!place.work().join("never").exists());
}

#[test]
fn a_turn_is_cancelled_while_the_model_thinks() {
    let model = Server::scripted([crate::server::Reply::Hold]);
    let place = Place::new(&model);
    let (mut client, session) = place.open();
    let turn = client.send_prompt(&session, "Think.");
    model.next();
    client.tell("session/cancel", json!({ "sessionId": session }));
    assert_eq!(stop(&client.result(turn)), ("cancelled", "cancelled"));
}

#[test]
fn commands_do_not_see_the_key() {
    let model = Server::scripted([calls(&[("run_command", json!({ "command": "env" }))]), say("Seen.")]);
    let place = Place::new(&model);
    let (mut client, session) = place.open();
    client.prompt(&session, "Look around.");
    let requests = model.rest();
    let shown = String::from_utf8_lossy(&requests[1].body);
    assert!(shown.contains("GIT_TERMINAL_PROMPT=0") && shown.contains("HOME="));
    assert!(!shown.contains(KEY) && !shown.contains("MUSTER_MODEL") && !shown.contains("OPENAI_"));
}

#[test]
fn sessions_follow_one_another_in_one_process() {
    let model = Server::scripted([say("one"), say("two"), say("three")]);
    let place = Place::new(&model);
    let (mut client, first) = place.open();
    client.prompt(&first, "first");
    let second = client.new_session(&place, json!([]));
    client.prompt(&second, "second");
    client.prompt(&first, "first again");
    let users = |request: &Asked| {
        let messages = request.json()["messages"].as_array().unwrap().clone();
        let users = messages.into_iter().filter(|message| message["role"] == "user");
        users.map(|message| message["content"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let asked: Vec<_> = model.rest().iter().map(users).collect();
    assert_eq!(asked, [vec!["first"], vec!["second"], vec!["first", "first again"]]);
}

/// Hundreds of agents share one machine. Counted is what no other process can share; the program's code is.
#[test]
fn an_idle_agent_is_small() {
    let work = [
        ("list_files", json!({})),
        ("search", json!({ "pattern": "x" })),
        ("run_command", json!({ "command": "true" })),
    ];
    let model = Server::scripted([calls(&work), say("Done.")]);
    let place = Place::new(&model);
    let (mut client, session) = place.open();
    client.prompt(&session, "Go.");
    let usage = std::fs::read_to_string(format!("/proc/{}/smaps_rollup", client.process.id())).unwrap();
    let anonymous = usage.lines().find_map(|line| line.strip_prefix("Anonymous:")).unwrap();
    let kib: u64 = anonymous.trim().trim_end_matches(" kB").parse().unwrap();
    assert!(kib <= 3 * 1024, "{kib} KiB");
}
