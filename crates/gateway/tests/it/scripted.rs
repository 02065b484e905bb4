//! The scripted upstream in every format, streaming and not.

use gateway::{Cost, Format, Outcome, PriceSource};
use serde_json::{Value, json};

use crate::support::{Answer, MODEL, Scene, path_of, scripted};

const SCRIPT: &str = r#"
version: 1
model: scripted-1
replies:
  - when: {contains: ["[fix]", "calc"]}
    steps:
      - say: I read the file before anything else happens.
        calls:
          - {tool: read_file, args: {path: calc.py}}
          - {tool: list_files}
      - text: "Fixed: a sum is a sum, and not a difference. Grüße aus der Datei."
        usage: {input_tokens: 1000, cached_tokens: 400, output_tokens: 50}
  - when: {tool_result_contains: "2 failed"}
    steps:
      - text: not reached
      - text: I see two failures.
  - when: {model: other-model}
    steps:
      - text: I am another.
  - when: {contains: "limit"}
    steps:
      - error: {status: 429, message: Slow down., retry_after_s: 2}
  - when: {contains: "raw empty"}
    steps: [{raw: {kind: empty}}]
  - when: {contains: "raw refusal"}
    steps: [{raw: {kind: refusal}}]
  - when: {contains: "raw length"}
    steps: [{raw: {kind: length}}]
  - when: {contains: "raw unknown_tool"}
    steps: [{raw: {kind: unknown_tool}}]
  - when: {contains: "raw malformed"}
    steps: [{raw: {kind: malformed}}]
  - when: {contains: "raw unreachable"}
    steps: [{raw: {kind: unreachable}}]
  - when: {contains: "raw truncated"}
    steps: [{raw: {kind: truncated}}]
  - when: {contains: "raw garbage"}
    steps: [{raw: {kind: garbage}}]
  - when: {contains: "raw huge"}
    steps: [{raw: {kind: huge, bytes: 300000}}]
"#;

/// What an agent reads out of an answer, in whichever format it came.
#[derive(Debug, Default, PartialEq)]
struct Told {
    text: String,
    /// Name and arguments.
    calls: Vec<(String, String)>,
    ids: Vec<String>,
    finish: String,
}

fn request(format: Format, stream: bool, said: &[(&str, &str)]) -> String {
    let messages: Vec<Value> = said
        .iter()
        .map(|(role, text)| match (format, *role) {
            (Format::OpenAiChat, "tool") => json!({"role": "tool", "tool_call_id": "x", "content": text}),
            (Format::OpenAiResponses, "tool") => {
                json!({"type": "function_call_output", "call_id": "x", "output": text})
            }
            (Format::Anthropic, "tool") => {
                json!({"role": "user", "content": [{"type": "tool_result", "tool_use_id": "x", "content": text}]})
            }
            (Format::Gemini, "tool") => {
                json!({"role": "user", "parts": [{"functionResponse": {"name": "x", "response": {"output": text}}}]})
            }
            (Format::Gemini, "assistant") => json!({"role": "model", "parts": [{"text": text}]}),
            (Format::Gemini, _) => json!({"role": role, "parts": [{"text": text}]}),
            _ => json!({"role": role, "content": text}),
        })
        .collect();
    let conversation = match format {
        Format::OpenAiResponses => "input",
        Format::Gemini => return json!({"contents": messages}).to_string(),
        _ => "messages",
    };
    json!({"model": MODEL, "stream": stream, conversation: messages}).to_string()
}

fn told(format: Format, stream: bool, answer: &Answer) -> Told {
    match (format, stream) {
        (Format::OpenAiChat, false) => chat_document(&answer.json()),
        (Format::OpenAiChat, true) => chat_stream(&answer.events()),
        (Format::OpenAiResponses, false) => responses_document(&answer.json()),
        (Format::OpenAiResponses, true) => responses_stream(&answer.events()),
        (Format::Anthropic, false) => anthropic_document(&answer.json()),
        (Format::Anthropic, true) => anthropic_stream(&answer.events()),
        (Format::Gemini, false) => gemini(&[answer.json()]),
        (Format::Gemini, true) => gemini(&gemini_events(answer)),
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn chat_document(answer: &Value) -> Told {
    let choice = &answer["choices"][0];
    let calls = &choice["message"]["tool_calls"];
    Told {
        text: text(&choice["message"]["content"]) + &text(&choice["message"]["refusal"]),
        calls: list(calls)
            .map(|call| (text(&call["function"]["name"]), text(&call["function"]["arguments"])))
            .collect(),
        ids: list(calls).map(|call| text(&call["id"])).collect(),
        finish: text(&choice["finish_reason"]),
    }
}

fn chat_stream(events: &[Value]) -> Told {
    let mut told = Told::default();
    for choice in events.iter().flat_map(|event| list(&event["choices"])) {
        told.text += &(text(&choice["delta"]["content"]) + &text(&choice["delta"]["refusal"]));
        for call in list(&choice["delta"]["tool_calls"]) {
            let index = call["index"].as_u64().unwrap() as usize;
            if call["id"].is_string() {
                assert_eq!(index, told.calls.len());
                told.calls.push((text(&call["function"]["name"]), String::new()));
                told.ids.push(text(&call["id"]));
            }
            told.calls[index].1 += &text(&call["function"]["arguments"]);
        }
        told.finish += &text(&choice["finish_reason"]);
    }
    told
}

fn responses_document(response: &Value) -> Told {
    let mut told = Told { finish: text(&response["status"]), ..Told::default() };
    for item in list(&response["output"]) {
        let part = &item["content"][0];
        told.text += &(text(&part["text"]) + &text(&part["refusal"]));
        if item["type"] == "function_call" {
            told.calls.push((text(&item["name"]), text(&item["arguments"])));
            told.ids.push(text(&item["call_id"]));
        }
    }
    told
}

/// The deltas, the items that are done and the last event must tell the same.
fn responses_stream(events: &[Value]) -> Told {
    for (number, event) in events.iter().enumerate() {
        assert_eq!(event["sequence_number"], number);
    }
    let last = events.last().unwrap();
    let whole = responses_document(&last["response"]);
    let of =
        |kind: &str| events.iter().filter(move |event| event["type"] == format!("response.{kind}")).collect::<Vec<_>>();
    let joined = |kind: &str| of(kind).into_iter().map(|event| text(&event["delta"])).collect::<String>();
    assert_eq!(joined("output_text.delta") + &joined("refusal.delta"), whole.text);
    let arguments: String = whole.calls.iter().map(|(_, arguments)| arguments.as_str()).collect();
    assert_eq!(joined("function_call_arguments.delta"), arguments);
    let done: Vec<Value> = of("output_item.done").into_iter().map(|event| event["item"].clone()).collect();
    assert_eq!(json!(done), last["response"]["output"]);
    assert_eq!(of("output_item.added").len(), done.len());
    whole
}

fn anthropic_document(message: &Value) -> Told {
    let mut told = Told { finish: text(&message["stop_reason"]), ..Told::default() };
    for block in list(&message["content"]) {
        told.text += &text(&block["text"]);
        if block["type"] == "tool_use" {
            let input = block["input"].as_str().map_or_else(|| block["input"].to_string(), str::to_owned);
            told.calls.push((text(&block["name"]), input));
            told.ids.push(text(&block["id"]));
        }
    }
    told
}

fn anthropic_stream(events: &[Value]) -> Told {
    let mut told = Told::default();
    let mut open = None;
    for event in events {
        match event["type"].as_str().unwrap() {
            "content_block_start" => {
                assert_eq!(open.replace(event["index"].clone()), None);
                if event["content_block"]["type"] == "tool_use" {
                    told.calls.push((text(&event["content_block"]["name"]), String::new()));
                    told.ids.push(text(&event["content_block"]["id"]));
                }
            }
            "content_block_delta" => {
                assert_eq!(open.as_ref(), Some(&event["index"]));
                told.text += &text(&event["delta"]["text"]);
                if let (Some(call), Some(more)) = (told.calls.last_mut(), event["delta"]["partial_json"].as_str()) {
                    call.1 += more;
                }
            }
            "content_block_stop" => assert_eq!(open.take().as_ref(), Some(&event["index"])),
            "message_delta" => told.finish = text(&event["delta"]["stop_reason"]),
            _ => {}
        }
    }
    assert_eq!(events.first().unwrap()["type"], "message_start");
    assert_eq!(events.last().unwrap()["type"], "message_stop");
    told
}

fn gemini_events(answer: &Answer) -> Vec<Value> {
    let events = answer.text().split_terminator("\r\n\r\n").map(|event| event.strip_prefix("data: ").unwrap());
    events.map(|data| serde_json::from_str(data).unwrap()).collect()
}

fn gemini(chunks: &[Value]) -> Told {
    let mut told = Told::default();
    for candidate in chunks.iter().map(|chunk| &chunk["candidates"][0]) {
        for part in list(&candidate["content"]["parts"]) {
            told.text += &text(&part["text"]);
            let call = &part["functionCall"];
            if call.is_object() {
                let args = call["args"].as_str().map_or_else(|| call["args"].to_string(), str::to_owned);
                told.calls.push((text(&call["name"]), args));
                told.ids.push(text(&call["id"]));
            }
        }
        assert_eq!(told.finish, "");
        told.finish += &text(&candidate["finishReason"]);
    }
    told
}

/// The finish of each format for: an end, calls, the output limit, a refusal.
fn finish(format: Format, meant: &str) -> &'static str {
    match (format, meant) {
        (Format::OpenAiChat, "calls") => "tool_calls",
        (Format::OpenAiChat, "length") => "length",
        (Format::OpenAiChat, _) => "stop",
        (Format::OpenAiResponses, "length") => "incomplete",
        (Format::OpenAiResponses, _) => "completed",
        (Format::Anthropic, "calls") => "tool_use",
        (Format::Anthropic, "length") => "max_tokens",
        (Format::Anthropic, "refusal") => "refusal",
        (Format::Anthropic, _) => "end_turn",
        (Format::Gemini, "length") => "MAX_TOKENS",
        (Format::Gemini, "refusal") => "SAFETY",
        (Format::Gemini, _) => "STOP",
    }
}

fn every_way() -> impl Iterator<Item = (Format, bool)> {
    Format::ALL.into_iter().flat_map(|format| [(format, false), (format, true)])
}

#[tokio::test]
async fn steps_follow_the_turns_of_the_conversation_in_every_format() {
    let scene = Scene::of(scripted(SCRIPT));
    let user = ("user", "[fix] please fix calc");
    for (format, stream) in every_way() {
        let ask = async |said: &[(&str, &str)]| {
            let answer = scene.ask(&path_of(format, stream), request(format, stream, said)).await;
            assert_eq!((answer.status, answer.whole), (200, true));
            told(format, stream, &answer)
        };
        let first = ask(&[user]).await;
        assert_eq!(first.text, "I read the file before anything else happens.", "{format:?} {stream}");
        let calls = [("read_file", r#"{"path":"calc.py"}"#), ("list_files", "{}")];
        assert_eq!(first.calls, calls.map(|(name, arguments)| (name.to_owned(), arguments.to_owned())));
        let prefix = if format == Format::Anthropic { "toolu" } else { "call" };
        assert_eq!(first.ids, [format!("{prefix}_r0s0c0"), format!("{prefix}_r0s0c1")]);
        assert_eq!(first.finish, finish(format, "calls"));

        let second = ask(&[user, ("assistant", "I read"), ("tool", "def add"), ("tool", "calc.py")]).await;
        assert_eq!(second.text, "Fixed: a sum is a sum, and not a difference. Grüße aus der Datei.");
        assert_eq!((second.calls.len(), second.finish.as_str()), (0, finish(format, "text")));

        let beyond = ask(&[user, ("assistant", "a"), ("tool", "b"), ("assistant", "c"), ("user", "more")]).await;
        assert_eq!(beyond.text, "Nothing further to do.");

        let by_result = ask(&[("user", "go"), ("assistant", "a"), ("tool", "ran 5, 2 failed")]).await;
        assert_eq!(by_result.text, "I see two failures.");
    }
}

#[tokio::test]
async fn bad_answers_are_bad_in_the_way_they_say() {
    let mut scene = Scene::of(scripted(SCRIPT));
    for (format, stream) in every_way() {
        for (kind, said, calls, ends) in [
            ("empty", "", 0, "text"),
            ("refusal", "I cannot help with that.", 0, "refusal"),
            ("length", "First I will look at the file and then I", 0, "length"),
            ("unknown_tool", "", 1, "calls"),
            ("malformed", "", 1, "calls"),
        ] {
            let body = request(format, stream, &[("user", &format!("raw {kind}"))]);
            let told = told(format, stream, &scene.ask(&path_of(format, stream), body).await);
            assert_eq!((told.text.as_str(), told.calls.len()), (said, calls), "{format:?} {stream} {kind}");
            assert_eq!(told.finish, finish(format, ends), "{kind}");
            match kind {
                "unknown_tool" => assert_eq!(told.calls[0].0, "no_such_tool"),
                "malformed" => assert!(serde_json::from_str::<Value>(&told.calls[0].1).is_err()),
                _ => {}
            }
            assert_eq!(scene.settlements.recv().await.unwrap().outcome, Outcome::Complete);
        }
    }
}

#[tokio::test]
async fn bad_transport_is_bad_transport() {
    let mut scene = Scene::of(scripted(SCRIPT));
    for (format, stream) in every_way() {
        let body = |kind: &str| request(format, stream, &[("user", &format!("raw {kind}"))]);
        let truncated = scene.ask(&path_of(format, stream), body("truncated")).await;
        assert!(!truncated.whole && (truncated.body.len() > 20) == stream, "{format:?} {stream}");
        assert_eq!(scene.settlements.recv().await.unwrap().outcome, Outcome::Cut);

        let unreachable = scene.ask(&path_of(format, stream), body("unreachable")).await;
        assert_eq!(unreachable.status, 502, "{format:?} {stream}");
        assert_eq!(scene.settlements.recv().await.unwrap().outcome, Outcome::Unreachable);

        let garbage = scene.ask(&path_of(format, stream), body("garbage")).await;
        assert_eq!((garbage.status, garbage.text()), (200, "<html>This is not the API.</html>\n"));
        let settled = scene.settlements.recv().await.unwrap();
        assert_eq!((settled.outcome, settled.answer, settled.usage.estimated), (Outcome::Cut, None, true));

        let huge = told(format, stream, &scene.ask(&path_of(format, stream), body("huge")).await);
        assert_eq!(huge.text.len(), 300_000);
        assert_eq!(scene.settlements.recv().await.unwrap().usage.output_tokens, 75_000);
    }
}

#[tokio::test]
async fn errors_have_the_shape_of_their_format() {
    let scene = Scene::of(scripted(SCRIPT));
    for (format, stream) in every_way() {
        let answer = scene.ask(&path_of(format, stream), request(format, stream, &[("user", "limit")])).await;
        assert_eq!((answer.status, &answer.headers["retry-after"]), (429, &http::HeaderValue::from_static("2")));
        assert_eq!(answer.json()["error"]["message"], "Slow down.");
        let kind =
            if format == Format::Gemini { ("status", "RESOURCE_EXHAUSTED") } else { ("type", "rate_limit_error") };
        assert_eq!(answer.json()["error"][kind.0], kind.1);

        let none = scene.ask(&path_of(format, stream), request(format, stream, &[("user", "who fits this?")])).await;
        assert_eq!(none.status, 400);
        let message = "No reply of the script fits this request: none of its 13 has a \"when\" that holds.";
        assert_eq!(none.json()["error"]["message"], message);
    }
    let other = json!({"model": "other-model", "messages": [{"role": "user", "content": "x"}]}).to_string();
    assert_eq!(chat_document(&scene.ask("/v1/chat/completions", other).await.json()).text, "I am another.");
}

#[tokio::test]
async fn a_streamed_answer_comes_in_pieces_and_reports_usage() {
    let mut scene = Scene::of(scripted(SCRIPT));
    for (format, stream) in every_way() {
        let said = [("user", "[fix] calc"), ("assistant", "I read"), ("tool", "x")];
        let answer = scene.ask(&path_of(format, stream), request(format, stream, &said)).await;
        let pieces = answer.text().matches("data: {").count();
        assert!(!stream || pieces >= if format == Format::Gemini { 4 } else { 7 }, "{}", answer.text());
        let settled = scene.settlements.recv().await.unwrap();
        let usage = settled.usage;
        assert_eq!((usage.input_tokens, usage.cache_read_tokens, usage.output_tokens), (600, 400, 50), "{format:?}");
        // The test prices the model: 600 at $1, 400 at $0.10, 50 at $10.
        assert_eq!(settled.cost, Cost::Known { micros: 1140, source: PriceSource::Configured });
    }
}

#[tokio::test]
async fn a_script_is_free_and_counted_and_always_says_the_same() {
    let mut scene = Scene::of(scripted("version: 1\nlatency_ms: 1\nreplies:\n  - steps:\n      - text: hello\n"));
    let body = r#"{"model":"gpt-5","input":"x","stream":true}"#;
    let first = scene.ask("/v1/responses", body).await;
    let again = scene.ask("/v1/responses", body).await;
    assert_eq!(first.body, again.body);
    assert_eq!(scene.books.reserved()[0].1, Some(0));
    let settled = scene.settlements.recv().await.unwrap();
    assert_eq!(settled.cost, Cost::Known { micros: 0, source: PriceSource::Scripted });
    // 43 bytes of request and 5 of answer, divided by 4.
    assert_eq!((settled.usage.input_tokens, settled.usage.output_tokens), (11, 2));
    let stats = scene.gateway.stats();
    assert_eq!((stats.upstreams[0].started, stats.upstreams[0].answered), (2, 2));
}

#[tokio::test]
async fn geminis_other_ways_of_asking_are_answered() {
    let mut scene = Scene::of(scripted(SCRIPT));
    let body = request(Format::Gemini, true, &[("user", "[fix] calc"), ("assistant", "I read"), ("tool", "x")]);
    // Without `alt=sse` a stream is an array.
    let array = scene.ask(&format!("/v1/models/{MODEL}:streamGenerateContent"), body.clone()).await;
    assert_eq!(array.content_type, "application/json");
    let chunks: Vec<Value> = serde_json::from_slice(&array.body).unwrap();
    assert_eq!(gemini(&chunks).text, "Fixed: a sum is a sum, and not a difference. Grüße aus der Datei.");
    let settled = scene.settlements.recv().await.unwrap();
    assert_eq!((settled.outcome, settled.usage.output_tokens, settled.call.stream), (Outcome::Complete, 50, true));

    let models = http::Request::get("/v1beta/models");
    let models = models.header("x-goog-api-key", secrecy::ExposeSecret::expose_secret(scene.session.key()));
    let models = models.body(http_body_util::Full::<bytes::Bytes>::from("")).unwrap();
    let models = crate::support::read(scene.gateway.handle(&scene.session, models).await).await;
    assert_eq!(models.json()["models"][0]["name"], "models/scripted-1");
}

#[tokio::test]
async fn tokens_are_counted_for_nothing() {
    let scene = Scene::of(scripted(SCRIPT));
    let body = r#"{"model":"scripted-1","messages":[]}"#;
    let counted = scene.ask("/v1/messages/count_tokens", body).await;
    assert_eq!((counted.status, counted.text()), (200, r#"{"input_tokens":9}"#));
    let counted = scene.ask("/v1beta/models/m:countTokens", r#"{"contents":[]}"#).await;
    assert_eq!((counted.status, counted.text()), (200, r#"{"totalTokens":4}"#));
    assert!(scene.books.reserved().is_empty());
}
