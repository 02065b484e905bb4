//! Providers as they are: shapes of OpenAI's chat format that its imitators send, and what they say when they will not.

use serde_json::{Value, json};

use crate::client::{Place, stop};
use crate::server::{Reply, Server};
use crate::stream::{error, say, stream};

/// A call of `write_file`, as a list of the format's has it.
fn write(path: &str) -> Value {
    let arguments = json!({ "path": path, "content": "2\n" }).to_string();
    json!({ "index": 0, "id": "call_a", "type": "function", "function": { "name": "write_file", "arguments": arguments } })
}

fn without(mut call: Value, names: &[&str]) -> Value {
    for name in names {
        call.as_object_mut().unwrap().remove(*name);
    }
    call
}

fn delta(delta: &Value) -> Value {
    json!({ "choices": [{ "index": 0, "delta": delta, "finish_reason": null }] })
}

fn calls(calls: &[Value]) -> Value {
    delta(&json!({ "role": "assistant", "content": null, "tool_calls": calls }))
}

fn finish() -> Value {
    json!({ "choices": [{ "index": 0, "delta": {}, "finish_reason": "tool_calls" }] })
}

fn events(frames: &[Value]) -> String {
    frames.iter().map(|frame| format!("data: {frame}\n\n")).collect::<String>() + "data: [DONE]\n\n"
}

/// Runs a turn whose first answer has that body; the files that came of it.
#[track_caller]
fn files_after(name: &str, first: Reply) -> Vec<String> {
    let model = Server::scripted([first, say("Done.")]);
    let place = Place::new(&model);
    let (mut client, session) = place.open();
    let result = client.prompt(&session, "Write.");
    assert_eq!(stop(&result), ("end_turn", "done"), "{name}: {result}");
    let asked = model.rest();
    assert_eq!(asked.len(), 2, "{name}: nothing is paid twice");
    // Every call has an id of its own, and every result finds its call.
    let messages = asked[1].json()["messages"].as_array().unwrap().clone();
    let ids: Vec<&str> =
        messages[2]["tool_calls"].as_array().unwrap().iter().map(|call| call["id"].as_str().unwrap()).collect();
    let answered: Vec<&str> = messages.iter().filter_map(|message| message["tool_call_id"].as_str()).collect();
    assert!(ids == answered && ids.iter().all(|id| !id.is_empty()), "{name}: {messages:?}");
    let mut files: Vec<_> =
        std::fs::read_dir(place.work()).unwrap().map(|file| file.unwrap().file_name().into_string().unwrap()).collect();
    files.sort();
    files
}

#[test]
fn calls_in_every_shape_are_run_once_each() {
    let (one, two) = (write("a.txt"), {
        let mut two = write("b.txt");
        two["id"] = json!("call_b");
        two
    });
    let args = |call: &Value| call["function"]["arguments"].as_str().unwrap().to_owned();
    let mut object = one.clone();
    object["function"]["arguments"] = serde_json::from_str(&args(&one)).unwrap();
    let mut prefixed = one.clone();
    prefixed["function"]["name"] = json!("functions.write_file");
    let mut raw = one.clone();
    raw["function"]["arguments"] = json!("{\"path\": \"a.txt\", \"content\": \"2\n\"}");
    let (start, rest) = args(&one).split_at(9).to_owned_pair();
    let piece = |text: &str, with: &Value| {
        let mut call = with.clone();
        call["function"]["arguments"] = json!(text);
        call
    };
    let nameless = json!({ "index": 0, "function": { "arguments": rest } });
    let message = json!({ "role": "assistant", "content": null, "tool_calls": [one] });
    let document = json!({ "object": "chat.completion", "choices": [{ "index": 0, "message": message, "finish_reason": "tool_calls" }],
        "usage": { "prompt_tokens": 100, "completion_tokens": 10 } });
    let frames = |frames: &[Value]| stream(events(frames));
    let crlf = format!(
        "\u{feff}: OPENROUTER PROCESSING\r\n\r\n{}",
        events(&[calls(std::slice::from_ref(&one)), finish()]).replace('\n', "\r\n")
    );
    let unclosed = events(&[calls(std::slice::from_ref(&one)), finish()]).replace("data: [DONE]\n\n", "");
    let a: &[&str] = &["a.txt"];
    let both: &[&str] = &["a.txt", "b.txt"];
    for (name, reply, expected) in [
        ("no index", frames(&[calls(&[without(one.clone(), &["index"])]), finish()]), a),
        ("no id", frames(&[calls(&[without(one.clone(), &["id"])]), finish()]), a),
        ("neither", frames(&[calls(&[without(one.clone(), &["id", "index"])]), finish()]), a),
        ("two of one index at once", frames(&[calls(&[one.clone(), two.clone()]), finish()]), both),
        (
            "two of one index in turn",
            frames(&[calls(std::slice::from_ref(&one)), calls(std::slice::from_ref(&two)), finish()]),
            both,
        ),
        (
            "two without an index",
            frames(&[calls(&[without(one.clone(), &["index"])]), calls(&[without(two.clone(), &["index"])]), finish()]),
            both,
        ),
        (
            "two with neither",
            frames(&[
                calls(&[without(one.clone(), &["id", "index"]), without(two.clone(), &["id", "index"])]),
                finish(),
            ]),
            both,
        ),
        ("in pieces", frames(&[calls(&[piece(&start, &one)]), calls(&[nameless]), finish()]), a),
        (
            "in pieces with the id each time",
            frames(&[calls(&[piece(&start, &one)]), calls(&[piece(&rest, &one)]), finish()]),
            a,
        ),
        ("an object", frames(&[calls(&[object]), finish()]), a),
        ("a prefix before the name", frames(&[calls(&[prefixed]), finish()]), a),
        ("a raw line end", frames(&[calls(&[raw]), finish()]), a),
        (
            "a document in place of a stream",
            Reply::Send { status: 200, headers: "content-type: application/json\r\n", body: document.to_string() },
            a,
        ),
        ("CRLF and a byte order mark", stream(crlf), a),
        ("no word of the end", stream(unclosed), a),
    ] {
        assert_eq!(files_after(name, reply), expected, "{name}");
    }
}

trait Pair {
    fn to_owned_pair(self) -> (String, String);
}

impl Pair for (&str, &str) {
    fn to_owned_pair(self) -> (String, String) {
        (self.0.to_owned(), self.1.to_owned())
    }
}

#[test]
fn reasoning_goes_back_in_the_shape_in_which_it_came() {
    let details = json!([{ "type": "reasoning.text", "text": "hm", "signature": "s", "index": 0 }]);
    for (name, value) in [
        ("reasoning_content", json!("hm")),
        ("reasoning", json!("hm")),
        ("reasoning_details", details),
        ("thinking_blocks", json!([{ "type": "redacted_thinking", "data": "d" }])),
    ] {
        let thought = delta(&json!({ "role": "assistant", name: value }));
        let said = delta(&json!({ "content": "Hello." }));
        let end = json!({ "choices": [{ "index": 0, "delta": {}, "finish_reason": "stop" }] });
        let model = Server::scripted([
            stream(events(&[thought.clone(), calls(&[write("a.txt")]), finish()])),
            stream(events(&[thought, said, end])),
            say("Bye."),
        ]);
        let place = Place::new(&model);
        let (mut client, session) = place.open();
        assert_eq!(stop(&client.prompt(&session, "Hi.")), ("end_turn", "done"));
        assert_eq!(stop(&client.prompt(&session, "Go on.")), ("end_turn", "done"));
        let messages = model.rest().pop().unwrap().json()["messages"].clone();
        let back: Vec<&Value> =
            messages.as_array().unwrap().iter().filter(|message| message["role"] == "assistant").collect();
        assert_eq!((back.len(), &back[0][name], &back[1][name]), (2, &value, &value), "{name}: {messages}");
    }
}

#[test]
fn thinking_in_the_content_goes_back_there() {
    let thinking = json!({ "type": "thinking", "thinking": [{ "type": "text", "text": "hm" }] });
    let said = delta(&json!({ "content": [thinking, { "type": "text", "text": "Hello." }] }));
    let end = json!({ "choices": [{ "index": 0, "delta": {}, "finish_reason": "stop" }] });
    let model = Server::scripted([stream(events(&[said, end])), say("Bye.")]);
    let place = Place::new(&model);
    let (mut client, session) = place.open();
    assert_eq!(stop(&client.prompt(&session, "Hi.")), ("end_turn", "done"));
    assert_eq!(client.told("agent_message_chunk"), "Hello.");
    client.prompt(&session, "Go on.");
    let messages = model.rest().pop().unwrap().json()["messages"].clone();
    assert_eq!(messages[2]["content"], json!([thinking, { "type": "text", "text": "Hello." }]));
}

#[test]
fn what_will_not_change_is_asked_once() {
    for (status, body) in [
        (401, json!({ "error": { "message": "Incorrect API key provided", "code": "invalid_api_key" } })),
        (403, json!({ "error": { "message": "Your key may not do this." } })),
        (404, json!({ "error": { "message": "The model `m` does not exist", "code": "model_not_found" } })),
        (402, json!({ "error": { "message": "Insufficient credits. Add more.", "code": 402 } })),
        (
            429,
            json!({ "error": { "message": "You exceeded your current quota, please check your plan and billing details.", "code": "insufficient_quota" } }),
        ),
        (
            400,
            json!({ "error": { "message": "There is a budget, but the price of the model is not known.", "code": "unknown_price" } }),
        ),
    ] {
        let model = Server::scripted([error(status, "", body.clone())]);
        let place = Place::new(&model);
        let (mut client, session) = place.open();
        let result = client.prompt(&session, "Hi.");
        assert_eq!(stop(&result).1, "model_error", "{result}");
        let words = body["error"]["message"].as_str().unwrap();
        assert!(result.to_string().contains(words), "{result}");
        assert_eq!(model.rest().len(), 1, "{status}");
    }
}
