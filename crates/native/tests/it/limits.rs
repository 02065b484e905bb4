//! Models and gateways that misbehave, and the limits that end a turn.

use serde_json::{Value, json};

use crate::client::{Place, stop};
use crate::server::{Reply, Server};
use crate::stream::{FORMATS, answer, calls, chat, error, say, stream};

#[test]
fn every_kind_of_bad_answer_is_told_to_the_model_and_survived() {
    let broken_call = chat("", &[("read_file", "{\"path\": ".into())], "tool_calls");
    let cases: [(&str, Reply, &str); 8] = [
        ("empty", stream(chat("", &[], "stop")), "Your last answer was empty."),
        (
            "no end",
            stream("data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"Hal\"}}]}\n\n".into()),
            "broke off before its end",
        ),
        ("no stream", stream(String::new()), "broke off before its end"),
        ("not JSON", stream("data: {\"choices\": [\n\n".into()), "could not be read"),
        ("cut off", stream(chat("I was about to", &[], "length")), "hit the limit on its length"),
        ("huge", stream(chat(&"x".repeat(2 << 20), &[], "stop")), "far too long"),
        ("broken arguments", stream(broken_call), "The arguments could not be read: EOF"),
        ("unknown tool", calls(&[("launch", json!({}))]), "There is no tool \\\"launch\\\". The tools are: read_file,"),
    ];
    for (name, reply, told) in cases {
        let model = Server::scripted([reply, say("Better now.")]);
        let place = Place::new(&model);
        let (mut client, session) = place.open();
        assert_eq!(stop(&client.prompt(&session, "Go.")), ("end_turn", "done"), "{name}");
        model.next();
        let body = String::from_utf8(model.next().body).unwrap();
        assert!(body.contains(told), "{name}: {body}");
        assert!(body.len() < 20_000, "{name}: {}", body.len());
    }
}

#[test]
fn three_bad_answers_in_a_row_end_the_turn_in_every_format() {
    for format in FORMATS {
        let model = Server::scripted(vec![answer(format, "", &[]); 3]);
        let place = Place::new(&model).set("MUSTER_MODEL_FORMAT", format);
        let (mut client, session) = place.open();
        assert_eq!(stop(&client.prompt(&session, "Go.")).1, "bad_answers", "{format}");
        assert_eq!(model.rest().len(), 3);
    }
}

#[test]
fn answers_that_are_always_too_long_have_their_own_stop() {
    let model = Server::scripted(vec![stream(chat("and then", &[], "length")); 3]);
    assert_eq!(one_turn(&model), ("max_tokens".into(), "max_tokens".into()));
}

#[test]
fn a_refusal_ends_the_turn() {
    let refusal =
        json!({ "choices": [{ "index": 0, "delta": { "refusal": "I will not." }, "finish_reason": "stop" }] });
    for reply in [stream(format!("data: {refusal}\n\ndata: [DONE]\n\n")), stream(chat("No.", &[], "content_filter"))] {
        assert_eq!(one_turn(&Server::scripted([reply])), ("refusal".into(), "refusal".into()));
    }
}

#[test]
fn passing_failures_are_retried_and_lasting_ones_are_not() {
    let busy = || error(429, "retry-after: 0\r\n", json!({ "error": { "message": "slow down" } }));
    let cut = Reply::Cut("data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"Hal\"}}]}\n\n".into());
    let model = Server::scripted([busy(), error(503, "retry-after-ms: 1\r\n", json!({})), cut, say("Hello.")]);
    assert_eq!(one_turn(&model).1, "done");
    let requests = model.rest();
    assert!(requests.len() == 4 && requests.iter().all(|request| request.body == requests[0].body));

    let model = Server::scripted(vec![busy(); 9]);
    assert_eq!(one_turn(&model), ("refusal".into(), "model_error".into()));
    assert_eq!(model.rest().len(), 4);

    let model = Server::scripted([error(401, "", json!({ "error": { "message": "who are you?" } }))]);
    assert_eq!(one_turn(&model).1, "model_error");
    assert_eq!(model.rest().len(), 1);
}

#[test]
fn the_gateways_refusal_for_want_of_money_is_its_own_stop() {
    for (status, body) in [(402, json!({})), (403, json!({ "error": { "message": "cap", "code": "budget" } }))] {
        let model = Server::scripted([error(status, "", body)]);
        assert_eq!(one_turn(&model).1, "budget");
        assert_eq!(model.rest().len(), 1);
    }
}

#[test]
fn steps_are_limited() {
    let model = Server::scripted(vec![calls(&[("list_files", json!({}))]); 9]);
    let place = Place::new(&model).set("MUSTER_STEPS_MAX", "3");
    let (mut client, session) = place.open();
    assert_eq!(stop(&client.prompt(&session, "Go.")).1, "max_steps");
    assert_eq!(model.rest().len(), 3);
}

#[test]
fn the_conversation_stays_within_the_window() {
    let read = || calls(&[("read_file", json!({ "path": "big" }))]);
    let model = Server::scripted((0..12).map(|_| read()).chain([say("Read.")]));
    let place = Place::new(&model).set("MUSTER_CONTEXT_TOKENS", "12000").set("MUSTER_OUTPUT_TOKENS", "1000");
    place.write("big", &"some text that is long\n".repeat(1000));
    let (mut client, session) = place.open();
    assert_eq!(stop(&client.prompt(&session, "Read it again and again.")).1, "done");
    let requests = model.rest();
    assert_eq!(requests.len(), 13);
    for request in &requests {
        assert!(request.body.len() < 3 * 11_000, "{}", request.body.len());
        assert!(String::from_utf8_lossy(&request.body).contains("Read it again and again."));
    }
    let cuts: Vec<Value> = place.log(&session).into_iter().filter(|record| record["record"] == "compaction").collect();
    assert!((1..6).contains(&cuts.len()), "{cuts:?}");
}

#[test]
fn a_request_that_the_model_finds_too_long_is_cut_and_a_hopeless_one_given_up() {
    let too_long = || error(400, "", json!({ "error": { "code": "context_length_exceeded", "message": "too long" } }));
    let read = || calls(&[("read_file", json!({ "path": "big" }))]);
    let model = Server::scripted([read(), read(), too_long(), say("Read.")]);
    let place = Place::new(&model);
    place.write("big", &"some text\n".repeat(2000));
    let (mut client, session) = place.open();
    assert_eq!(stop(&client.prompt(&session, "Read.")).1, "done");
    let sizes: Vec<usize> = model.rest().iter().map(|request| request.body.len()).collect();
    assert!(sizes[3] < sizes[2] * 2 / 3, "{sizes:?}");

    let model = Server::scripted(vec![too_long(); 9]);
    assert_eq!(one_turn(&model), ("max_tokens".into(), "context_full".into()));
}

fn one_turn(model: &Server) -> (String, String) {
    let place = Place::new(model);
    let (mut client, session) = place.open();
    let result = client.prompt(&session, "Go.");
    let (theirs, ours) = stop(&result);
    (theirs.to_owned(), ours.to_owned())
}
