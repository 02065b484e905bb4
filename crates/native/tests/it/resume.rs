//! Killed agents.

use std::fs::File;
use std::io::Read;

use serde_json::{Value, json};

use crate::client::{Place, stop};
use crate::server::{Reply, Server};
use crate::stream::{FORMATS, answer, calls, say};

#[test]
fn a_killed_agent_asks_the_same_bytes_again() {
    for format in FORMATS {
        let work = [("run_command", json!({ "command": "echo $$ >/dev/null; echo ran >>count; cat count" }))];
        let model = Server::scripted([answer(format, "Running.", &work), Reply::Hold]);
        let place = Place::new(&model).set("MUSTER_MODEL_FORMAT", format);
        let (mut client, session) = place.open();
        client.send_prompt(&session, "Run it.");
        model.next();
        let before = model.next();
        client.kill();

        model.then(answer(format, "It ran.", &[]));
        let mut client = place.start();
        client.load(&place, &session, json!([]));
        let result = client.resume(&session);

        assert_eq!(stop(&result), ("end_turn", "done"));
        let after = model.next();
        assert_eq!(String::from_utf8_lossy(&after.body), String::from_utf8_lossy(&before.body), "{format}");
        assert!(!String::from_utf8_lossy(&before.body).contains(&session));
        assert_eq!(place.read("count"), "ran\n");
        assert_eq!(result["usage"]["totalTokens"], 2 * 107, "usage is of the whole turn");
        assert_eq!(client.told("agent_message_chunk"), "It ran.");
        assert!(model.rest().is_empty());
    }
}

#[test]
fn only_calls_without_a_result_run_again() {
    let wait = "test -e go || { exec 8>fifo; echo up >&8; read word <gate; }";
    let first = ("run_command", json!({ "command": "echo first >>count" }));
    let second = ("run_command", json!({ "command": format!("echo second >>count; {wait}") }));
    let model = Server::scripted([calls(&[first, second]), say("Both ran.")]);
    let place = Place::new(&model);
    let (fifo, gate) = (place.fifo("fifo"), place.fifo("gate"));
    let (mut client, session) = place.open();
    client.send_prompt(&session, "Run both.");
    File::open(fifo).unwrap().read_exact(&mut [0; 3]).unwrap();
    client.kill();
    place.write("go", "");

    let mut client = place.start();
    client.load(&place, &session, json!([]));

    assert_eq!(stop(&client.resume(&session)), ("end_turn", "done"));
    assert_eq!(place.read("count"), "first\nsecond\nsecond\n");
    // What the killed agent left running is the sandbox's to end; here it waits for this.
    std::fs::write(gate, "end\n").unwrap();
}

#[test]
fn a_patch_that_was_applied_before_the_kill_is_not_an_error() {
    let patch = "*** Begin Patch\n*** Update File: a\n@@\n-one\n+two\n*** End Patch";
    let model = Server::scripted([calls(&[("apply_patch", json!({ "patch": patch }))]), say("Done.")]);
    let place = Place::new(&model);
    place.write("a", "one\n");
    let (mut client, session) = place.open();
    client.prompt(&session, "Patch it.");
    client.kill();
    model.rest();
    // As if the kill had come between the patch and its record.
    truncate_log(&place, &session, "answer");

    model.then(say("Done."));
    let mut client = place.start();
    client.load(&place, &session, json!([]));
    client.resume(&session);
    assert!(String::from_utf8_lossy(&model.next().body).contains("The patch was applied already."));
}

#[test]
fn a_turn_that_had_ended_is_answered_at_once() {
    let model = Server::scripted([say("Done.")]);
    let place = Place::new(&model);
    let (mut client, session) = place.open();
    let before = client.prompt(&session, "Do it.");
    client.kill();
    model.rest();

    for cut_to in ["ended", "answer"] {
        // Even if the kill came before the end was written down, the answer is there.
        truncate_log(&place, &session, cut_to);
        let mut client = place.start();
        client.load(&place, &session, json!([]));
        assert_eq!(client.resume(&session), before);
        assert_eq!(client.told("agent_message_chunk"), "Done.", "its last words are said again");
        assert!(model.rest().is_empty());
    }
}

#[test]
fn a_session_without_a_turn_takes_the_prompt() {
    let model = Server::scripted([say("Hello.")]);
    let place = Place::new(&model);
    let (client, session) = place.open();
    client.kill();
    let mut client = place.start();
    client.load(&place, &session, json!([]));
    assert_eq!(stop(&client.resume(&session)), ("end_turn", "done"));
    assert_eq!(model.next().json()["messages"][1]["content"], "go on");
}

#[test]
fn a_new_prompt_closes_an_interrupted_turn() {
    let model = Server::scripted([Reply::Hold]);
    let place = Place::new(&model);
    let (mut client, session) = place.open();
    client.send_prompt(&session, "One.");
    model.next();
    client.kill();
    model.then(say("Two it is."));
    let mut client = place.start();
    client.load(&place, &session, json!([]));
    assert_eq!(stop(&client.prompt(&session, "Two.")), ("end_turn", "done"));
    let ends: Vec<Value> = place.log(&session).into_iter().filter(|record| record["record"] == "ended").collect();
    assert_eq!(ends[0]["stop"], "cancelled");
    assert_eq!(ends[1]["stop"], "done");
}

#[test]
fn a_torn_last_line_is_as_if_it_had_never_been_written() {
    let model = Server::scripted([calls(&[("list_files", json!({}))]), Reply::Hold]);
    let place = Place::new(&model);
    let (mut client, session) = place.open();
    client.send_prompt(&session, "List.");
    model.next();
    let before = model.next();
    client.kill();
    let path = log_path(&place, &session);
    let mut log = std::fs::read(&path).unwrap();
    log.extend_from_slice(b"{\"record\":\"answer\",\"text\":\"half");
    std::fs::write(&path, log).unwrap();

    model.then(say("Listed."));
    let mut client = place.start();
    client.load(&place, &session, json!([]));
    client.resume(&session);
    assert_eq!(model.next().body, before.body);
}

/// Cuts the log after the last record of a kind.
fn truncate_log(place: &Place, session: &str, kind: &str) {
    let path = log_path(place, session);
    let text = std::fs::read_to_string(&path).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    let mark = format!("{{\"record\":\"{kind}\"");
    let wanted = |line: &&&str| {
        line.starts_with(&mark) && (kind != "answer" || line.contains("\"calls\"") || !text.contains("\"calls\""))
    };
    let last = lines.iter().position(|line| wanted(&line)).unwrap();
    std::fs::write(path, lines[..=last].iter().map(|line| format!("{line}\n")).collect::<String>()).unwrap();
}

fn log_path(place: &Place, session: &str) -> std::path::PathBuf {
    place.home().join(format!(".muster/sessions/{session}.jsonl"))
}

#[test]
fn a_turn_of_a_number_happens_once_and_the_next_one_is_another() {
    let model = Server::scripted([say("One."), say("Two.")]);
    let place = Place::new(&model);
    let (mut client, session) = place.open();
    let first = client.turn(&session, "Begin.", 1, false);
    client.kill();

    let mut client = place.start();
    client.load(&place, &session, json!([]));
    assert_eq!(client.turn(&session, "Begin.", 1, true), first, "the turn had ended; nothing is asked again");
    // This one was lost before the agent heard of it: that it is called resumed does not make it the first.
    assert_eq!(stop(&client.turn(&session, "Go on.", 2, true)), ("end_turn", "done"));
    assert_eq!(client.told("agent_message_chunk"), "One.Two.", "the last words of the first are said again");
    model.next();
    let second = String::from_utf8_lossy(&model.next().body).into_owned();
    assert!(second.contains("Begin.") && second.contains("Go on."));
    assert!(model.rest().is_empty());
}
